//! Dense ids. Strings live only in ingest and at the HTTP edge.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Box<str>>", into = "Vec<Box<str>>")]
pub struct Interner {
    names: Vec<Box<str>>,
    ids: HashMap<Box<str>, u32>,
}

impl Interner {
    /// The id of `name`, a new one if it was never seen. `None` once 2^32 - 1 names are held.
    pub fn intern(&mut self, name: &str) -> Option<u32> {
        if let Some(&id) = self.ids.get(name) {
            return Some(id);
        }
        let id = u32::try_from(self.names.len()).ok().filter(|&id| id < u32::MAX)?;
        self.names.push(name.into());
        self.ids.insert(name.into(), id);
        Some(id)
    }

    /// The id of `name`, if it was seen.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// The name behind an id, if the id was given out.
    pub fn name(&self, id: u32) -> Option<&str> {
        self.names.get(id as usize).map(AsRef::as_ref)
    }

    /// All names, in the order of their ids.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// How many names are held.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether no name is held.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl From<Vec<Box<str>>> for Interner {
    fn from(names: Vec<Box<str>>) -> Self {
        // A name twice keeps its first id, so a damaged list can never give two ids for one name.
        let mut ids = HashMap::with_capacity(names.len());
        for (id, name) in names.iter().enumerate() {
            ids.entry(name.clone()).or_insert(id as u32);
        }
        Interner { names, ids }
    }
}

impl From<Interner> for Vec<Box<str>> {
    fn from(interner: Interner) -> Self {
        interner.names
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
}
