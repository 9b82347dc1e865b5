//! Dense ids. Strings live only in ingest and at the HTTP edge.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, RandomState};

/// A shopper: a dense index from 0, so that it can address a row directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct UserId(pub u32);

/// An item of the catalogue: a dense index from 0.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, bytemuck::Pod, bytemuck::Zeroable,
)]
#[serde(transparent)]
#[repr(transparent)]
pub struct ItemId(pub u32);

impl UserId {
    /// The row that this shopper addresses.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ItemId {
    /// The row that this item addresses.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// External names in the order in which they were first seen: name -> dense id and back.
///
/// The names lie in one text, and the table holds numbers only: 16 to 25 bytes a name beside its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Box<str>>", into = "Vec<Box<str>>")]
pub struct Interner {
    text: String,
    /// Where each name ends in `text`.
    ends: Vec<usize>,
    /// The hash of each name and its id.
    table: HashTable<(u32, u32)>,
    /// Keyed at random: names come from outside.
    state: RandomState,
}

impl Interner {
    /// The id of `name`, a new one if it was never seen. `None` once 2^32 - 1 names are held.
    pub fn intern(&mut self, name: &str) -> Option<u32> {
        self.intern_hashed(self.hash(name), name)
    }

    /// The ids of many names, appended to `ids`; as [`Interner::intern`], one after the other. All are hashed first, so that
    /// the searches follow each other closely and the processor waits for the memory of several at once.
    pub fn intern_all<'a>(&mut self, names: impl Iterator<Item = &'a str> + Clone, ids: &mut Vec<u32>) -> Option<()> {
        let hashes: Vec<u32> = names.clone().map(|name| self.hash(name)).collect();
        ids.reserve(hashes.len());
        for (name, hash) in names.zip(hashes) {
            ids.push(self.intern_hashed(hash, name)?);
        }
        Some(())
    }

    fn intern_hashed(&mut self, hash: u32, name: &str) -> Option<u32> {
        if let Some(id) = self.find(hash, name) {
            return Some(id);
        }
        let id = u32::try_from(self.ends.len()).ok().filter(|&id| id < u32::MAX)?;
        self.push(name);
        self.table.insert_unique(spread(hash), (hash, id), |(hash, _)| spread(*hash));
        Some(id)
    }

    fn push(&mut self, name: &str) {
        self.text.push_str(name);
        self.ends.push(self.text.len());
    }

    fn hash(&self, name: &str) -> u32 {
        self.state.hash_one(name) as u32
    }

    fn find(&self, hash: u32, name: &str) -> Option<u32> {
        let same = |&(other, id): &(u32, u32)| other == hash && self.name(id) == Some(name);
        self.table.find(spread(hash), same).map(|(_, id)| *id)
    }

    /// The id of `name`, if it was seen.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.find(self.hash(name), name)
    }

    /// The name behind an id, if the id was given out.
    pub fn name(&self, id: u32) -> Option<&str> {
        let end = *self.ends.get(id as usize)?;
        let start = (id as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        self.text.get(start..end)
    }

    /// All names, in the order of their ids.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|id| self.name(id as u32).expect("every id below the length has a name"))
    }

    /// How many names are held.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no name is held.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// The table takes its place from the lower bits of a hash and a first comparison from the upper ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

/// The same names with the same ids.
impl PartialEq for Interner {
    fn eq(&self, other: &Interner) -> bool {
        self.ends == other.ends && self.text == other.text
    }
}

impl Eq for Interner {}

impl From<Vec<Box<str>>> for Interner {
    fn from(names: Vec<Box<str>>) -> Self {
        // A name twice keeps its first id, so a damaged list can never give two ids for one name.
        let mut interner = Interner { table: HashTable::with_capacity(names.len()), ..Interner::default() };
        for (id, name) in names.iter().enumerate() {
            let hash = interner.hash(name);
            if interner.find(hash, name).is_none() {
                interner.table.insert_unique(spread(hash), (hash, id as u32), |(hash, _)| spread(*hash));
            }
            interner.push(name);
        }
        interner
    }
}

impl From<Interner> for Vec<Box<str>> {
    fn from(interner: Interner) -> Self {
        interner.names().map(Into::into).collect()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Interner {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut interner = Interner::default();
        for name in names {
            interner.intern(name.as_ref()).expect("fewer than 2^32 names");
        }
        interner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id_and_comes_back_by_it() {
        let mut interner = Interner::default();
        let milk = interner.intern("milk");
        assert_eq!(interner.intern("bread"), Some(1));
        assert_eq!(interner.intern("milk"), milk);
        assert_eq!(interner.name(0), Some("milk"));
        assert_eq!(interner.get("cheese"), None);
    }

    #[test]
    fn many_names_at_once_get_the_ids_that_they_would_get_one_by_one() {
        let names: Vec<String> =
            (0..5_000u32).map(|i| format!("name {}", i.wrapping_mul(2_654_435_761) % 1_500)).collect();
        let mut one_by_one = Interner::default();
        let want: Vec<u32> = names.iter().map(|name| one_by_one.intern(name).unwrap()).collect();
        let (mut at_once, mut ids) = (Interner::default(), Vec::new());
        for part in names.chunks(700) {
            at_once.intern_all(part.iter().map(String::as_str), &mut ids).unwrap();
        }
        assert_eq!((ids, &at_once), (want, &one_by_one));
        assert_eq!(Interner::from(Vec::from(at_once)), one_by_one);
    }

    #[test]
    fn a_name_twice_in_a_damaged_list_keeps_its_first_id() {
        let interner = Interner::from(vec!["a".into(), "".into(), "a".into()]);
        assert_eq!(
            (interner.len(), interner.get("a"), interner.get(""), interner.name(2)),
            (3, Some(0), Some(1), Some("a"))
        );
    }
}
