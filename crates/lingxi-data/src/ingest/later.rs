//! What came after the files were written: goods and events under external ids, taken into what the files gave, so that a
//! build learns from both. Names that are new get ids after the known ones; what was known keeps its id.

use super::Ingested;
use super::standardise;
use crate::interactions::Rows;
use crate::{Catalog, Event, EventKind, Interactions, ItemId, Result, UserId};
use std::collections::HashSet;

/// An event that came after the files were written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Later<'a> {
    /// The shop's id of the shopper.
    pub user: &'a str,
    /// The shop's id of the item.
    pub item: &'a str,
    /// What was done.
    pub kind: EventKind,
    /// When, unix seconds.
    pub at: i64,
    /// Rating, quantity or 1.
    pub value: f32,
}

/// What became of later events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events that are now part of the log.
    pub kept: usize,
    /// Events that the files had too.
    pub known: usize,
    /// Events on items that the catalogue does not have.
    pub unknown_items: usize,
}

impl Ingested {
    /// Takes in a catalogue that has grown at its end, and later events in the order of their arrival. Events on items
    /// that this catalogue does not know are left out, and so are those that the files have too (same shopper, item, kind
    /// and second). Events of the files that `erased` names are forgotten; what came later under the same names was meant.
    ///
    /// # Errors
    /// [`crate::DataError`] if the catalogue does not hold together or has lost items.
    pub fn with_later(
        mut self,
        catalog: Catalog,
        price_buckets: u8,
        later: &[Later<'_>],
        erased: &dyn Fn(&str, &str, EventKind) -> bool,
    ) -> Result<(Ingested, Taken)> {
        self.catalog = catalog;
        self.catalog.price_bucket = standardise::price_buckets(&self.catalog.price, price_buckets);
        self.catalog.validate()?;
        self.numeric = standardise::of_catalog(&self.catalog);
        let (more, taken) = self.named(later);
        let n = (self.users.len(), self.catalog.len());
        let forgotten = |e: &Event| {
            let (user, item) = (self.users.name(e.user.0), self.catalog.ids.name(e.item.0));
            erased(user.unwrap_or_default(), item.unwrap_or_default(), e.kind)
        };
        self.interactions = grown(&self.interactions, n, more, &forgotten)?;
        for part in self.parts.values_mut() {
            *part = grown(part, n, Vec::new(), &forgotten)?;
        }
        for column in &mut self.user_attributes {
            column.values.resize(n.0, String::new());
        }
        Ok((self, taken))
    }

    /// Later events in dense ids; shoppers who are new are added.
    fn named(&mut self, later: &[Later<'_>]) -> (Vec<Event>, Taken) {
        let mut taken = Taken::default();
        let mut more = Vec::with_capacity(later.len());
        // Of each shopper who comes again, what the files have of them.
        let mut had: std::collections::HashMap<UserId, HashSet<(ItemId, i64, EventKind)>> = Default::default();
        for e in later {
            let Some(item) = self.catalog.ids.get(e.item).map(ItemId) else {
                taken.unknown_items += 1;
                continue;
            };
            // No id is left only after four billion shoppers.
            let Some(user) = self.users.intern(e.user).map(UserId) else { continue };
            let rows = had.entry(user).or_insert_with(|| seen(self.interactions.rows(user)));
            if rows.contains(&(item, e.at, e.kind)) {
                taken.known += 1;
                continue;
            }
            more.push(Event { user, item, at: e.at, kind: e.kind, value: e.value });
        }
        taken.kept = more.len();
        (more, taken)
    }
}

fn seen(rows: Rows<'_>) -> HashSet<(ItemId, i64, EventKind)> {
    (0..rows.len()).map(|i| (rows.items[i], rows.at[i], rows.kinds[i])).collect()
}

/// The log with room for `n` shoppers and items, `more` events, and without what is forgotten.
fn grown(
    log: &Interactions,
    n: (usize, usize),
    more: Vec<Event>,
    forgotten: &dyn Fn(&Event) -> bool,
) -> Result<Interactions> {
    let users = (0..log.n_users() as u32).map(UserId);
    let mut events: Vec<Event> = users.flat_map(|user| log.rows(user).iter(user)).collect();
    events.retain(|event| !forgotten(event));
    events.extend(more);
    let all = Interactions::from_events(events, n.0, n.1)?;
    let mut consent = log.consent().to_vec();
    if consent.is_empty() {
        return Ok(all);
    }
    // Who is new has agreed to what the shop asks for before it sends an event.
    consent.resize(n.0, u8::MAX);
    all.with_consent(consent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Purpose;
    use crate::ingest::{Source, read};

    fn shop(dir: &std::path::Path) -> Ingested {
        std::fs::write(
            dir.join("e.csv"),
            "user_id,item_id,timestamp\nann,tea,1700000100\nann,milk,1700000200\nbob,tea,1700000300\n",
        )
        .unwrap();
        let source = source();
        read(&source, dir, &mut |_| {}).unwrap()
    }

    fn source() -> Source {
        serde_json::from_value(serde_json::json!({"events": [{"path": "e.csv", "kind": "buy"}]})).unwrap()
    }

    const START: i64 = 1_700_000_000;

    fn later<'a>(user: &'a str, item: &'a str, at: i64) -> Later<'a> {
        Later { user, item, kind: EventKind::Buy, at: START + at, value: 1.0 }
    }

    #[test]
    fn later_events_take_their_place_and_known_or_unknown_ones_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let shop = shop(dir.path());
        let catalog = shop.catalog.clone();
        let ann = UserId(shop.users.get("ann").unwrap());
        let came =
            [later("ann", "tea", 150), later("ann", "milk", 200), later("zoe", "tea", 5), later("zoe", "gin", 6)];
        let (grown, taken) = shop.with_later(catalog, 10, &came, &|_, _, _| false).unwrap();
        assert_eq!(taken, Taken { kept: 2, known: 1, unknown_items: 1 });
        let log = grown.interactions.for_purpose(Purpose::Training);
        assert_eq!(log.of(ann).at, [100, 150, 200].map(|at| START + at));
        assert_eq!(log.of(UserId(grown.users.get("zoe").unwrap())).len(), 1);
    }

    #[test]
    fn what_is_erased_is_gone_from_the_log_of_the_files_and_what_came_later_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let shop = shop(dir.path());
        let catalog = shop.catalog.clone();
        let (grown, _) = shop
            .with_later(catalog, 10, &[later("ann", "milk", 900)], &|user, item, _| (user, item) == ("ann", "milk"))
            .unwrap();
        let ann = UserId(grown.users.get("ann").unwrap());
        assert_eq!(grown.interactions.for_purpose(Purpose::Training).of(ann).at, [100, 900].map(|at| START + at));
    }
}
