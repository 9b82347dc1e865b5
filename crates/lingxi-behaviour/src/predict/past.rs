//! All that happened up to a moment, and the row that it makes of a shopper with an item.
//!
//! Columns: what the shopper did (counts, recency, the visit under way, an open cart), what the item earned (counts, lately, rates), both
//! together (own events with it, what was taken after the same items, likeness of vectors), the clock, and the first directions
//! of the item's vector. Cost of a row: the last [`REMEMBERED`] events of the shopper once, then some 2 microseconds an item.

mod kept;

use super::goods::Goods;
use super::table::{Seen, Table, likeness};
use crate::error::{Result, same_length};
use lingxi_data::{Because, EventKind, ItemId, Rows};
use rustc_hash::FxHashMap;

/// Events of a shopper that are looked at.
pub const REMEMBERED: usize = 100;
/// Items of a shopper that speak for another.
const NEAR: usize = 10;
/// Pairs of items whose neighbourhood is counted; later pairs are not taken in.
const PAIRS_AT_MOST: usize = 4_000_000;
/// Half-life of what an item earned lately.
const HALF_LIFE: f64 = 7.0 * 86_400.0;
/// Silence after which a new visit begins.
const SILENCE: i64 = 1_800;
/// Directions of an item's vector that are columns.
const DIRECTIONS: usize = 4;
/// How long ago something is that never was.
const NEVER: f32 = 20.0;

/// What an event is on the way from looking to taking.
fn stage(kind: EventKind) -> usize {
    match kind {
        EventKind::View | EventKind::Click | EventKind::Search => 0,
        EventKind::Cart => 1,
        EventKind::Buy | EventKind::Rate | EventKind::Other => 2,
    }
}

/// What an item earned so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Earned {
    count: [f32; 3],
    lately: [f32; 3],
    last: [Option<i64>; 3],
    first: Option<i64>,
}

impl Earned {
    fn take(&mut self, stage: usize, at: i64) {
        let latest = self.last.iter().flatten().copied().max().unwrap_or(at);
        let faded = fade(at - latest);
        self.lately.iter_mut().for_each(|x| *x *= faded);
        self.lately[stage] += 1.0;
        self.count[stage] += 1.0;
        self.last[stage] = Some(at);
        self.first.get_or_insert(at);
    }
}

fn fade(seconds: i64) -> f32 {
    (-(seconds.max(0) as f64) / HALF_LIFE).exp2() as f32
}

fn ago(now: i64, then: Option<i64>) -> f32 {
    then.map_or(NEVER, |then| (now.saturating_sub(then).max(0) as f32).ln_1p())
}

/// All that happened up to a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    goods: Goods,
    earned: Vec<Earned>,
    /// How often the second item came within a shopper's next events after the first.
    pairs: FxHashMap<(u32, u32), f32>,
}

/// The part of a row that is the shopper's, and what the part of an item reads.
pub(super) struct Glance<'a> {
    history: Rows<'a>,
    columns: Vec<f32>,
    /// The last distinct items, latest first.
    near: Vec<ItemId>,
    carted: Vec<ItemId>,
    now: i64,
}

impl Past {
    /// Before the first event.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Input`] if vectors or columns are not of `n_items`.
    pub fn new(n_items: usize, goods: Goods) -> Result<Past> {
        same_length("predict: item vectors", n_items * goods.dim, goods.vectors.len())?;
        goods.columns.iter().try_for_each(|(_, column)| same_length("predict: item columns", n_items, column.len()))?;
        Ok(Past { goods, earned: vec![Earned::default(); n_items], pairs: FxHashMap::default() })
    }

    /// Number of items.
    pub fn n_items(&self) -> usize {
        self.earned.len()
    }

    /// Names of the columns of a row.
    pub fn columns(&self) -> Vec<String> {
        let names = [
            "looked",
            "carted",
            "taken",
            "taken_rate",
            "since_look",
            "since_cart",
            "since_take",
            "last_hour",
            "last_day",
            "last_week",
            "carts_last_hour",
            "takes_last_hour",
            "open_cart",
            "visit_events",
            "visit_seconds",
            "hour_sin",
            "hour_cos",
            "weekday",
            "item_looked",
            "item_carted",
            "item_taken",
            "item_looked_lately",
            "item_carted_lately",
            "item_taken_lately",
            "item_cart_rate",
            "item_take_rate",
            "item_take_of_cart",
            "item_since_look",
            "item_since_take",
            "item_age",
            "own_looks",
            "own_carts",
            "own_takes",
            "own_since_look",
            "own_since_cart",
            "own_since_take",
            "together_most",
            "together_sum",
            "alike_most",
            "alike_mean",
            "alike_last",
            "alike_cart",
        ];
        let mut all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        all.extend((0..self.directions()).map(|at| format!("direction_{at}")));
        all.extend(self.goods.columns.iter().map(|(name, _)| name.clone()));
        all
    }

    fn directions(&self) -> usize {
        self.goods.dim.min(DIRECTIONS)
    }

    /// Takes one event, whose shopper did `history` before.
    pub(super) fn take(&mut self, history: Rows<'_>, item: ItemId, kind: EventKind, at: i64) {
        self.earned[item.index()].take(stage(kind), at);
        for near in distinct(history, NEAR).into_iter().filter(|near| *near != item) {
            let key = (near.0, item.0);
            if self.pairs.len() < PAIRS_AT_MOST || self.pairs.contains_key(&key) {
                *self.pairs.entry(key).or_default() += 1.0;
            }
        }
    }

    /// Rows for `items`, shown at `now` to whoever did `history`, which must hold known items and nothing later.
    pub fn rows(&self, history: Rows<'_>, items: &[ItemId], now: i64) -> Table {
        let glance = self.glance(history.before(now), now);
        let columns = self.columns();
        let mut features = Vec::with_capacity(items.len() * columns.len());
        let mut seen = self.seen();
        for &item in items {
            self.row(&glance, item, &mut features);
            if let Some(seen) = &mut seen {
                self.remember(&glance, item, seen);
            }
        }
        Table { columns, features, seen }
    }

    pub(super) fn seen(&self) -> Option<Seen> {
        let Goods { dim, vectors, .. } = &self.goods;
        (*dim > 0).then(|| Seen { dim: *dim, vectors: vectors.clone(), offsets: vec![0], ..Seen::default() })
    }

    pub(super) fn remember(&self, glance: &Glance<'_>, item: ItemId, seen: &mut Seen) {
        seen.target.push(item.0);
        seen.items.extend(glance.near.iter().map(|near| near.0));
        seen.offsets.push(seen.items.len());
    }

    pub(super) fn glance<'a>(&self, history: Rows<'a>, now: i64) -> Glance<'a> {
        let history = history.last(REMEMBERED);
        let (mut count, mut last) = ([0.0f32; 3], [None; 3]);
        let (mut lately, mut hour) = ([0.0f32; 3], [0.0f32; 3]);
        for (&at, kind) in history.at.iter().zip(history.kinds) {
            let stage = stage(*kind);
            count[stage] += 1.0;
            last[stage] = Some(at);
            let age = now - at;
            [3_600, 86_400, 604_800]
                .iter()
                .zip(&mut lately)
                .for_each(|(span, n)| *n += f32::from(u8::from(age <= *span)));
            hour[stage] += f32::from(u8::from(age <= 3_600));
        }
        let carted = open_cart(history, now);
        let begun = visit(history, now);
        let seconds = history.at.get(begun).map_or(0, |at| now - at);
        let day = now.rem_euclid(86_400) as f32 / 86_400.0 * std::f32::consts::TAU;
        // 1970 began on a Thursday.
        let weekday = (now.div_euclid(86_400) + 3).rem_euclid(7) as f32;
        let mut columns: Vec<f32> = count.iter().map(|n| n.ln_1p()).collect();
        columns.push((count[2] + 0.5) / (count[0] + 5.0));
        columns.extend(last.iter().map(|last| ago(now, *last)));
        columns.extend(lately.iter().map(|n| n.ln_1p()));
        columns.extend([hour[1].ln_1p(), hour[2].ln_1p(), (carted.len() as f32).ln_1p()]);
        columns.extend([
            ((history.len() - begun) as f32).ln_1p(),
            (seconds as f32).ln_1p(),
            day.sin(),
            day.cos(),
            weekday,
        ]);
        Glance { history, columns, near: distinct(history, NEAR), carted, now }
    }

    pub(super) fn row(&self, glance: &Glance<'_>, item: ItemId, out: &mut Vec<f32>) {
        out.extend_from_slice(&glance.columns);
        let (earned, now) = (&self.earned[item.index()], glance.now);
        let latest = earned.last.iter().flatten().copied().max();
        let faded = latest.map_or(0.0, |latest| fade(now - latest));
        let [looked, carted, taken] = earned.count;
        out.extend(earned.count.iter().map(|n| n.ln_1p()));
        out.extend(earned.lately.iter().map(|n| (n * faded).ln_1p()));
        out.extend([(carted + 1.0) / (looked + 8.0), (taken + 0.5) / (looked + 8.0), (taken + 1.0) / (carted + 3.0)]);
        out.extend([ago(now, earned.last[0]), ago(now, earned.last[2]), ago(now, earned.first)]);
        let (mut own, mut last) = ([0.0f32; 3], [None; 3]);
        let history = glance.history;
        for at in (0..history.len()).filter(|at| history.items[*at] == item) {
            let stage = stage(history.kinds[at]);
            own[stage] += 1.0;
            last[stage] = Some(history.at[at]);
        }
        out.extend(own);
        out.extend(last.iter().map(|last| ago(now, *last)));
        let (mut most, mut sum) = (0.0f32, 0.0f32);
        for near in glance.near.iter().filter(|near| **near != item) {
            let together = self.pairs.get(&(near.0, item.0)).copied().unwrap_or(0.0);
            let of: f32 = self.earned[near.index()].count.iter().sum();
            most = most.max(together / (of + 5.0));
            sum += together;
        }
        out.extend([most, sum.ln_1p()]);
        out.extend(self.alike(glance, item));
        out.extend_from_slice(&self.vector(item)[..self.directions()]);
        out.extend(self.goods.columns.iter().map(|(_, column)| column[item.index()]));
    }

    /// Likeness of an item to the shopper's last items: most, mean, to the last one, most to an open cart.
    fn alike(&self, glance: &Glance<'_>, item: ItemId) -> [f32; 4] {
        if self.goods.dim == 0 {
            return [0.0; 4];
        }
        let one = self.vector(item);
        let of =
            |items: &[ItemId]| likeness(one, items.iter().filter(|near| **near != item).map(|near| self.vector(*near)));
        let [most, mean] = of(&glance.near);
        [most, mean, of(&glance.near[..glance.near.len().min(1)])[0], of(&glance.carted)[0]]
    }

    fn vector(&self, item: ItemId) -> &[f32] {
        &self.goods.vectors[item.index() * self.goods.dim..][..self.goods.dim]
    }
}

impl Past {
    /// What of a history speaks most for an item: the item itself, one that it is taken after, one that is like it. `None` of nothing.
    pub fn speaks_for(&self, history: Rows<'_>, item: ItemId) -> Option<Because> {
        let history = history.last(REMEMBERED);
        if history.items.contains(&item) {
            return Some(Because::Repeat);
        }
        let near = distinct(history, NEAR);
        let kind = |of: ItemId| history.items.iter().rposition(|other| *other == of).map(|at| history.kinds[at]);
        let count = |of: &ItemId| self.pairs.get(&(of.0, item.0)).copied().unwrap_or(0.0);
        // Of equals the latest.
        let best = near.iter().rev().max_by(|a, b| count(a).total_cmp(&count(b)))?;
        if count(best) > 0.0 || self.goods.dim == 0 {
            return kind(*best).map(|kind| Because::BoughtTogether { item: *best, kind });
        }
        let alike = |of: &ItemId| likeness(self.vector(item), [self.vector(*of)].into_iter())[0];
        let best = near.iter().rev().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
        kind(*best).map(|kind| Because::SimilarMeaning { item: *best, kind })
    }
}

/// The last distinct items, latest first.
fn distinct(history: Rows<'_>, n: usize) -> Vec<ItemId> {
    let mut found: Vec<ItemId> = Vec::with_capacity(n);
    for item in history.items.iter().rev() {
        if !found.contains(item) {
            found.push(*item);
        }
        if found.len() == n {
            break;
        }
    }
    found
}

/// What was put into the cart within a day and not taken since.
fn open_cart(history: Rows<'_>, now: i64) -> Vec<ItemId> {
    let mut open: Vec<ItemId> = Vec::new();
    for at in 0..history.len() {
        let item = history.items[at];
        match stage(history.kinds[at]) {
            1 if now - history.at[at] <= 86_400 && !open.contains(&item) => open.push(item),
            2 => open.retain(|other| *other != item),
            _ => {}
        }
    }
    open
}

/// Where the visit under way begins; the end of the history if none is.
fn visit(history: Rows<'_>, now: i64) -> usize {
    let mut before = now;
    let mut begun = history.len();
    while begun > 0 && before - history.at[begun - 1] <= SILENCE {
        begun -= 1;
        before = history.at[begun];
    }
    begun
}
