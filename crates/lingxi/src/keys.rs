//! Who may ask?
//!
//! A key is made once, shown once, and kept only as a hash, in one small file beside the store. The server reads the file
//! again when it changes, so that a key that was taken away opens nothing a second later. A key is 256 random bits: a fast
//! hash is enough, nobody guesses it. Hashes are compared in constant time ([`blake3::Hash`]).

use crate::failure::UserError;
use anyhow::Result;
use lingxi_data::artefact::write_atomically;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Begins every key, so that a key in the wrong place is recognised as one.
const MARK: &str = "lx_";

/// Most keys of a shop.
const MOST: usize = 1000;

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Slates, search, similar goods, what is sold, who did what
    Read,
    /// Feedback, goods, shoppers
    Write,
    /// Everything, also builds, going back, bulk import and export
    Admin,
}

impl Scope {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }
}

/// What is kept of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Whose it is.
    pub name: String,
    /// BLAKE3 of the key, hexadecimal.
    pub hash: String,
    /// What it opens.
    pub scopes: Vec<Scope>,
    /// Requests a second that it may make, if that is limited.
    pub rate: Option<u32>,
    /// When it was made, unix seconds.
    pub made: i64,
}

impl Key {
    /// Whether it opens what asks for `scope`.
    pub fn opens(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }
}

/// The keys of one shop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    keys: Vec<Key>,
}

impl Keys {
    /// The file with the keys of the shop whose events go into `store`.
    pub fn file(store: &Path) -> PathBuf {
        let mut name = store.as_os_str().to_os_string();
        name.push(".keys.json");
        PathBuf::from(name)
    }

    /// Reads a file; no file, no keys.
    ///
    /// # Errors
    /// A file that cannot be read or is of another form.
    pub fn read(file: &Path) -> Result<Keys> {
        let wrong = |why: String| {
            let message = format!("{}: expected the keys of a shop, {why}", file.display());
            UserError::new(message, "mend it, or remove it and make new keys with lingxi keys add")
        };
        match std::fs::read(file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_err(|why| wrong(format!("got {why}")))?),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Keys::default()),
            Err(why) => Err(wrong("which cannot be read".into()).because(why).into()),
        }
    }

    /// Writes the file, readable by its owner alone.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn write(&self, file: &Path) -> Result<()> {
        write_atomically(file, &serde_json::to_vec_pretty(self)?)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }

    /// Makes a key from a `secret` that nobody can guess and returns it: the only time that it can be seen.
    ///
    /// # Errors
    /// A name that is taken or empty, or too many keys.
    pub fn add(
        &mut self,
        name: &str,
        scopes: &[Scope],
        rate: Option<u32>,
        secret: [u8; 32],
        now: i64,
    ) -> Result<String> {
        if name.trim().is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(
                UserError::new(format!("{name:?} is no name for a key"), "use 1 to 100 plain characters").into()
            );
        }
        if self.keys.iter().any(|key| key.name == name) {
            let remedy = "choose another name, or take that key away first: lingxi keys remove";
            return Err(UserError::new(format!("there is a key called {name:?}"), remedy).into());
        }
        if self.keys.len() >= MOST {
            return Err(
                UserError::new(format!("there are {MOST} keys already"), "take some away: lingxi keys remove").into()
            );
        }
        let text = secret.iter().fold(MARK.to_owned(), |text, byte| text + &format!("{byte:02x}"));
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        self.keys.push(Key { name: name.to_owned(), hash, scopes: scopes.to_vec(), rate, made: now });
        Ok(text)
    }

    /// Takes a key away.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let before = self.keys.len();
        self.keys.retain(|key| key.name != name);
        if self.keys.len() == before {
            let message = format!("there is no key called {name:?}");
            return Err(UserError::new(message, "lingxi keys list shows those that there are").into());
        }
        Ok(())
    }

    /// The key that was given, if it is one of these. Looks at all of them however early it finds one.
    pub fn find(&self, given: &str) -> Option<&Key> {
        let given = blake3::hash(given.as_bytes());
        let same = |key: &Key| blake3::Hash::from_hex(&key.hash).is_ok_and(|hash| hash == given);
        self.keys.iter().fold(None, |found, key| if same(key) { Some(key) } else { found })
    }

    /// All of them, in the order in which they were made.
    pub fn list(&self) -> &[Key] {
        &self.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_itself_alone_and_only_its_hash_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = Keys::file(&dir.path().join("s.sqlite"));
        let mut keys = Keys::read(&file).unwrap();
        let shop = keys.add("shop", &[Scope::Read, Scope::Write], None, [1; 32], 7).unwrap();
        let boss = keys.add("boss", &[Scope::Admin], Some(5), [2; 32], 8).unwrap();
        assert!(shop != boss && shop.len() == MARK.len() + 64);
        keys.write(&file).unwrap();
        assert!(!std::fs::read_to_string(&file).unwrap().contains(&shop[MARK.len()..]));
        let mut keys = Keys::read(&file).unwrap();
        assert_eq!(keys.find(&shop).map(|key| key.name.as_str()), Some("shop"));
        for wrong in ["", "lx_", &shop[1..], &shop.to_uppercase(), &format!("{shop} ")] {
            assert_eq!(keys.find(wrong), None, "{wrong}");
        }
        let opens = |key: &str, scope| keys.find(key).unwrap().opens(scope);
        assert_eq!([Scope::Read, Scope::Write, Scope::Admin].map(|scope| opens(&shop, scope)), [true, true, false]);
        assert_eq!([Scope::Read, Scope::Write, Scope::Admin].map(|scope| opens(&boss, scope)), [true; 3]);
        keys.remove("shop").unwrap();
        assert_eq!((keys.find(&shop), keys.list().len()), (None, 1));
        assert!(keys.remove("shop").is_err() && keys.add("boss", &[], None, [3; 32], 9).is_err());
    }

    #[test]
    fn a_file_that_is_none_is_refused_and_not_taken_for_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        for wrong in ["", "[]", "{\"keys\": [{\"name\": \"a\"}]}"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(Keys::read(&file).is_err(), "{wrong}");
        }
    }
}
