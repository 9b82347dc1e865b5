//! What may be shown, and which rule says no?
//!
//! A [`RulesConfig`] from the recipe and the catalogue give [`Rules`], once per snapshot; for one shopper
//! [`Rules::for_shopper`] gives [`Allowed`], which the policy asks before each place. Every refusal names its [`Rule`], so
//! that reasons can say why something better scored is missing.

use crate::{DecideError, Result};
use lingxi_data::{Catalog, CategoryId, Context, EventKind, ItemId, Scored, Slot};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;

/// The rules as a recipe writes them; everything left out allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// At most this many of one category on a slate; goods without a category are not capped.
    pub per_category: Option<usize>,
    /// At most so many of one brand, seller or other column of the catalogue on a slate.
    pub caps: Vec<CapConfig>,
    /// Every this many places, one is for goods that the shopper never took, as far as there are enough of them: 3 keeps the
    /// third, sixth, ninth ... place free of repeats. Absent: none is.
    pub new_every: Option<usize>,
    /// Whether goods that the shopper already has may be shown again.
    pub repeats: Repeats,
    /// The events that mean that a shopper has an item.
    pub bought_by: Vec<EventKind>,
    /// Whether goods that cannot be sold now are shown.
    pub show_unavailable: bool,
    /// External ids that are never shown.
    pub blocked: Vec<String>,
    /// Only goods whose price is known and at least this, in the shop's currency.
    pub min_price: Option<f32>,
    /// Only goods whose price is known and at most this, in the shop's currency.
    pub max_price: Option<f32>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        RulesConfig {
            per_category: None,
            caps: Vec::new(),
            new_every: None,
            repeats: Repeats::Wanted {},
            bought_by: vec![EventKind::Buy, EventKind::Rate],
            show_unavailable: false,
            blocked: Vec::new(),
            min_price: None,
            max_price: None,
        }
    }
}

/// At most so many goods of one value of a column; goods without a value are not capped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapConfig {
    /// The column of the catalogue, such as `brand`.
    pub attribute: String,
    /// How many a slate may hold.
    pub most: usize,
}

/// May a shopper be shown what they already have? Groceries yes, films no, shoes after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Repeats {
    /// Yes.
    Wanted {},
    /// No.
    Never {},
    /// Once this many days have passed since they last bought it.
    After {
        /// Days of 86,400 seconds.
        days: u32,
    },
}

/// Why an item may not take a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case", tag = "rule")]
pub enum Rule {
    /// It is on the block list.
    Blocked,
    /// It cannot be sold now.
    Unavailable,
    /// Its price is outside the range, or unknown while a range is set.
    Price,
    /// The shopper already has it.
    AlreadyBought,
    /// The place is for goods that the shopper never took.
    PlaceForNew,
    /// The slate has enough of its category.
    CategoryCap {
        /// The category.
        category: CategoryId,
        /// How many of it a slate may hold.
        most: usize,
    },
    /// The slate has enough of its brand, seller or other column.
    Cap {
        /// Which of [`RulesConfig::caps`].
        cap: usize,
        /// How many of one value a slate may hold.
        most: usize,
    },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Blocked => f.write_str("blocked by the shop"),
            Rule::Unavailable => f.write_str("not available"),
            Rule::Price => f.write_str("outside the price range"),
            Rule::AlreadyBought => f.write_str("already bought"),
            Rule::PlaceForNew => f.write_str("place kept for something new"),
            Rule::CategoryCap { most, .. } => write!(f, "at most {most} per category"),
            Rule::Cap { most, .. } => write!(f, "at most {most} of one brand or seller"),
        }
    }
}

/// A candidate that a rule kept off a slate although it scored above an item that was shown for its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeptAway {
    /// The candidate.
    pub item: ItemId,
    /// Its score.
    pub score: f32,
    /// The rule.
    pub rule: Rule,
}

/// The rules, checked against one catalogue. Memory: 9 bytes an item, 8 more per cap.
#[derive(Clone, Debug)]
pub struct Rules {
    config: RulesConfig,
    /// What is wrong with each item whoever asks.
    fixed: Vec<Option<Refusal>>,
    category: Vec<Option<CategoryId>>,
    /// Per cap: the value of each item, as a dense number.
    capped: Vec<Vec<Option<u32>>>,
    unknown: Vec<String>,
}

/// The rules that look at the item alone.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Blocked,
    Unavailable,
    Price,
}

impl From<Refusal> for Rule {
    fn from(refusal: Refusal) -> Rule {
        match refusal {
            Refusal::Blocked => Rule::Blocked,
            Refusal::Unavailable => Rule::Unavailable,
            Refusal::Price => Rule::Price,
        }
    }
}

impl Rules {
    /// Resolves the configuration against a catalogue.
    ///
    /// # Errors
    /// [`DecideError::Config`] if a cap or `new_every` is 0, a capped column is missing or a price range is empty.
    pub fn new(config: RulesConfig, catalog: &Catalog) -> Result<Rules> {
        let caps = config.caps.iter().map(|cap| ("caps.most", Some(cap.most)));
        for (what, number) in caps.chain([("per_category", config.per_category), ("new_every", config.new_every)]) {
            if number == Some(0) {
                return Err(DecideError::Config { what, expected: "at least 1", got: "0".into() });
            }
        }
        let range = config.min_price.unwrap_or(f32::NEG_INFINITY)..=config.max_price.unwrap_or(f32::INFINITY);
        if range.is_empty() {
            return Err(DecideError::Config {
                what: "min_price, max_price",
                expected: "a minimum that is not above the maximum",
                got: format!("{:?} to {:?}", config.min_price, config.max_price),
            });
        }
        let priced = config.min_price.is_some() || config.max_price.is_some();
        let mut fixed: Vec<Option<Refusal>> = (0..catalog.len())
            .map(|i| {
                if !catalog.available[i] && !config.show_unavailable {
                    Some(Refusal::Unavailable)
                } else {
                    (priced && !range.contains(&catalog.price[i])).then_some(Refusal::Price)
                }
            })
            .collect();
        let mut unknown = Vec::new();
        for name in &config.blocked {
            match catalog.ids.get(name) {
                Some(id) => fixed[id as usize] = Some(Refusal::Blocked),
                None => unknown.push(name.clone()),
            }
        }
        let capped = config.caps.iter().map(|cap| values(catalog, &cap.attribute)).collect::<Result<_>>()?;
        Ok(Rules { config, fixed, category: catalog.category.clone(), capped, unknown })
    }

    /// The cap that keeps `item` away where `taken(same)` places are taken by goods of the same value; `same` says which.
    fn cap(&self, item: ItemId, taken: impl Fn(&dyn Fn(ItemId) -> bool) -> usize) -> Option<Rule> {
        for (cap, (config, of)) in self.config.caps.iter().zip(&self.capped).enumerate() {
            let Some(value) = of.get(item.index()).copied().flatten() else { continue };
            if taken(&|other| of.get(other.index()) == Some(&Some(value))) >= config.most {
                return Some(Rule::Cap { cap, most: config.most });
            }
        }
        None
    }

    /// The configuration that these rules were made from.
    pub fn config(&self) -> &RulesConfig {
        &self.config
    }

    /// Blocked ids that the catalogue does not hold: harmless if the item is gone, worth a warning if mistyped.
    pub fn unknown_blocked(&self) -> &[String] {
        &self.unknown
    }

    /// The rules for one shopper at one time.
    pub fn for_shopper(&self, context: &Context<'_>) -> Allowed<'_> {
        let since = match self.config.repeats {
            Repeats::Wanted {} => None,
            Repeats::Never {} => Some(i64::MIN),
            Repeats::After { days } => Some(context.now.saturating_sub(i64::from(days) * 86_400)),
        };
        let history = &context.history;
        let bought = since.map_or_else(FxHashSet::default, |since| {
            let had = |i: &usize| history.at[*i] > since && self.config.bought_by.contains(&history.kinds[*i]);
            (0..history.len()).filter(had).map(|i| history.items[i]).collect()
        });
        Allowed { rules: self, bought, withdrawn: None, taken: FxHashSet::default() }
    }
}

/// A column as dense numbers.
fn values(catalog: &Catalog, name: &str) -> Result<Vec<Option<u32>>> {
    let Some(column) = catalog.attributes.iter().find(|column| column.name == name) else {
        let known: Vec<&str> = catalog.attributes.iter().map(|column| column.name.as_str()).collect();
        let got = format!("{name:?} (columns: {})", known.join(", "));
        return Err(DecideError::Config { what: "caps.attribute", expected: "a column of the catalogue", got });
    };
    let mut known: FxHashMap<&str, u32> = FxHashMap::default();
    let mut number = |value| {
        let next = known.len() as u32;
        *known.entry(value).or_insert(next)
    };
    Ok(column.values.iter().map(|value| (!value.is_empty()).then(|| number(value.as_str()))).collect())
}

/// The rules as they stand for one shopper.
#[derive(Clone, Debug)]
pub struct Allowed<'a> {
    rules: &'a Rules,
    bought: FxHashSet<ItemId>,
    /// Goods that the shop took away since the rules were made.
    withdrawn: Option<&'a HashSet<ItemId>>,
    /// What the shopper took, where places are kept for other goods.
    taken: FxHashSet<ItemId>,
}

impl<'a> Allowed<'a> {
    /// Without goods that were taken away after the rules were made: they cannot be sold.
    pub fn without(self, withdrawn: &'a HashSet<ItemId>) -> Allowed<'a> {
        Allowed { withdrawn: Some(withdrawn), ..self }
    }

    /// Keeps places for goods that the shopper never took, if the rules say so and enough of `candidates` are such: as many
    /// as the slate has places within the category cap, so that no place stays empty whatever takes the others.
    pub fn keep_places_for_new(&mut self, context: &Context<'_>, candidates: &[ItemId], places: usize) {
        if self.rules.config.new_every.is_none() {
            return;
        }
        let taken: FxHashSet<ItemId> = context.history.items.iter().copied().collect();
        let mut of_category: FxHashMap<CategoryId, usize> = FxHashMap::default();
        let counts = |item: &&ItemId| {
            let (most, category) = (self.rules.config.per_category, self.rules.category.get(item.index()).copied());
            let (Some(most), Some(category)) = (most, category.flatten()) else { return true };
            let so_far = of_category.entry(category).or_default();
            *so_far += 1;
            *so_far <= most
        };
        let new = candidates.iter().filter(|item| !taken.contains(item) && self.refusal_anywhere(**item).is_none());
        let mut within_caps: Vec<ItemId> = Vec::new();
        for item in new.filter(counts) {
            let fits = self.rules.cap(*item, |same| within_caps.iter().filter(|other| same(**other)).count()).is_none();
            if fits {
                within_caps.push(*item);
            }
            if within_caps.len() >= places {
                break;
            }
        }
        if within_caps.len() >= places {
            self.taken = taken;
        }
    }

    /// The rule that keeps `item` from the next place after `slots`; `None` if it may be shown. An item outside the
    /// catalogue cannot be sold.
    pub fn refusal(&self, slots: &[Slot], item: ItemId) -> Option<Rule> {
        if let Some(rule) = self.refusal_anywhere(item) {
            return Some(rule);
        }
        if self.rules.config.new_every.is_some_and(|every| (slots.len() + 1).is_multiple_of(every))
            && self.taken.contains(&item)
        {
            return Some(Rule::PlaceForNew);
        }
        if let Some(rule) = self.rules.cap(item, |same| slots.iter().filter(|slot| same(slot.item)).count()) {
            return Some(rule);
        }
        let (most, category) = (self.rules.config.per_category?, self.rules.category[item.index()]?);
        let same = slots.iter().filter(|s| self.rules.category.get(s.item.index()) == Some(&Some(category))).count();
        (same >= most).then_some(Rule::CategoryCap { category, most })
    }

    /// The rule that keeps `item` from every place of this shopper's slate, whatever else is on it.
    pub fn refusal_anywhere(&self, item: ItemId) -> Option<Rule> {
        if self.withdrawn.is_some_and(|withdrawn| withdrawn.contains(&item)) {
            return Some(Rule::Unavailable);
        }
        match self.rules.fixed.get(item.index()) {
            None => Some(Rule::Unavailable),
            Some(Some(refusal)) => Some((*refusal).into()),
            Some(None) => self.bought.contains(&item).then_some(Rule::AlreadyBought),
        }
    }

    /// What a policy asks.
    pub fn eligible(&self, slots: &[Slot], item: ItemId) -> bool {
        self.refusal(slots, item).is_none()
    }

    /// How many goods the shopper may not be shown because they have them.
    pub fn already_bought(&self) -> usize {
        self.bought.len()
    }

    /// Candidates that a rule kept away although they scored above an item that was shown for its score, best first.
    pub fn kept_away(&self, scored: &Scored, slots: &[Slot]) -> Vec<KeptAway> {
        let places: FxHashMap<ItemId, usize> = scored.items.iter().enumerate().map(|(i, item)| (*item, i)).collect();
        let last = slots.iter().filter(|s| !s.explored).filter_map(|s| places.get(&s.item)).max().copied().unwrap_or(0);
        let shown: FxHashSet<ItemId> = slots.iter().map(|s| s.item).collect();
        let missing = scored.items.iter().zip(&scored.scores).take(last).filter(|(item, _)| !shown.contains(item));
        let repeat = |item| self.taken.contains(&item).then_some(Rule::PlaceForNew);
        let kept = |(&item, &score)| {
            let rule = self.refusal(slots, item).or_else(|| repeat(item))?;
            Some(KeptAway { item, score, rule })
        };
        missing.filter_map(kept).collect()
    }
}
