//! A shop's events -> rows to foretell from, each of what happened before it and nothing else.
//!
//! A moment is an event of a kind that counts as shown (a view, a click). [`Past`] takes the events in the order of their times; the row
//! of a moment is made before the events of its second are taken, so it cannot know what came then or later. The same [`Past`],
//! as it is after the last event, answers while a shop serves: what a shopper did since comes with the context.

use super::goods::Goods;
use super::past::{Past, REMEMBERED};
use super::table::{Lessons, Table, Task};
use crate::error::{Result, require};
use lingxi_data::{EventKind, Events, ItemId, Rows, UserId};
use serde::{Deserialize, Serialize};

/// Rows at most: the latest are kept.
const ROWS_AT_MOST: usize = 600_000;

/// What is foretold of a shop's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MomentsConfig {
    /// Events that are moments; default view and click.
    pub shown: Vec<EventKind>,
    /// What must come of it; default buy.
    pub wanted: Vec<EventKind>,
    /// What is a step on the way there; default cart.
    pub step: Vec<EventKind>,
    /// Hours within which it must come; default 24.
    pub horizon_hours: f64,
}

impl Default for MomentsConfig {
    fn default() -> Self {
        let (shown, wanted) = (vec![EventKind::View, EventKind::Click], vec![EventKind::Buy]);
        MomentsConfig { shown, wanted, step: vec![EventKind::Cart], horizon_hours: 24.0 }
    }
}

impl MomentsConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        require(!self.shown.is_empty(), "predict.shown", "at least one kind of event", "none")?;
        require(!self.wanted.is_empty(), "predict.wanted", "at least one kind of event", "none")?;
        let hours = self.horizon_hours;
        require(hours > 0.0 && hours <= 8_760.0, "predict.horizon_hours", "hours up to 8760", hours)
    }

    fn horizon(&self) -> i64 {
        (self.horizon_hours * 3_600.0) as i64
    }
}

/// Every moment of a shop with what came of it.
pub struct Moments {
    /// Rows, and the tasks `step` and `wanted`; the parts are empty.
    pub lessons: Lessons,
    /// When each moment was, in the order of the rows: never falling.
    pub at: Vec<i64>,
    /// Whose each moment was.
    pub user: Vec<UserId>,
    /// All that happened, to answer from.
    pub past: Past,
}

/// Goes through the events in the order of their times. Moments so late that their horizon is not over teach nothing.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for settings out of range, [`crate::BehaviourError::Input`] for goods of another shop.
pub fn moments(config: &MomentsConfig, events: &Events<'_>, goods: Goods) -> Result<Moments> {
    config.validate()?;
    let mut past = Past::new(events.n_items(), goods)?;
    let mut order: Vec<(i64, UserId, usize)> = Vec::with_capacity(events.len());
    for (user, rows) in events.users() {
        order.extend(rows.at.iter().enumerate().map(|(at, time)| (*time, user, at)));
    }
    order.sort_unstable();
    let end = order.last().map_or(i64::MIN, |(time, ..)| time.saturating_sub(config.horizon()));
    let is_shown =
        |(time, user, at): &(i64, UserId, usize)| *time <= end && config.shown.contains(&events.of(*user).kinds[*at]);
    let total = order.iter().filter(|event| is_shown(event)).count();
    let mut skip = total.saturating_sub(ROWS_AT_MOST);
    let mut table = Table { columns: past.columns(), features: Vec::new(), seen: past.seen() };
    let (mut times, mut users, mut step, mut wanted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for now in order.chunk_by(|a, b| a.0 == b.0) {
        for &(time, user, at) in now.iter().filter(|event| is_shown(event)) {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let rows = events.of(user);
            let glance = past.glance(rows.before(time), time);
            past.row(&glance, rows.items[at], &mut table.features);
            if let Some(seen) = &mut table.seen {
                past.remember(&glance, rows.items[at], seen);
            }
            let [stepped, taken] = came(config, rows, rows.items[at], time);
            step.push(Some(stepped || taken));
            wanted.push(Some(taken));
            times.push(time);
            users.push(user);
        }
        for &(time, user, at) in now {
            let rows = events.of(user);
            past.take(rows.before(time).last(REMEMBERED), rows.items[at], rows.kinds[at], time);
        }
    }
    let task = |name: &str, came| Task { name: name.into(), came };
    let tasks = vec![task("step", step), task("wanted", wanted)];
    let lessons = Lessons { table, tasks, ..Lessons::default() };
    Ok(Moments { lessons, at: times, user: users, past })
}

/// Whether a step, and what is wanted, came of an item within the horizon.
fn came(config: &MomentsConfig, rows: Rows<'_>, item: ItemId, time: i64) -> [bool; 2] {
    let from = rows.at.partition_point(|at| *at <= time);
    let to = rows.at.partition_point(|at| *at <= time.saturating_add(config.horizon()));
    let of = |kinds: &[EventKind]| (from..to).any(|at| rows.items[at] == item && kinds.contains(&rows.kinds[at]));
    [of(&config.step), of(&config.wanted)]
}

impl Moments {
    /// Divides the rows by time: the first `shares[0]` of the moments train, the next `shares[1]` are validation, the rest is the test.
    /// Moments whose horizon reaches into the next part are in none. Returns the test rows.
    pub fn divide(&mut self, shares: [f64; 2], horizon: i64) -> Vec<u32> {
        let n = self.at.len();
        let bound =
            |share: f64| self.at.get(((n as f64 * share) as usize).min(n.saturating_sub(1))).copied().unwrap_or(0);
        let (valid_from, test_from) =
            (bound(shares[0]), if shares[0] + shares[1] < 1.0 { bound(shares[0] + shares[1]) } else { i64::MAX });
        let within = |from: i64, to: i64| -> Vec<u32> {
            (0..n).filter(|row| self.at[*row] >= from && self.at[*row] < to).map(|row| row as u32).collect()
        };
        self.lessons.train = within(i64::MIN, valid_from.saturating_sub(horizon));
        self.lessons.valid =
            within(valid_from, test_from.saturating_sub(if test_from == i64::MAX { 0 } else { horizon }));
        if test_from == i64::MAX { Vec::new() } else { within(test_from, i64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{Event, Interactions, Purpose};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn shop(n: usize) -> Vec<Event> {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let kinds = [EventKind::View, EventKind::View, EventKind::Cart, EventKind::Buy];
        let one = |at: usize| Event {
            user: UserId(rng.random_range(0..12)),
            item: ItemId(rng.random_range(0..9)),
            // Two events share a second.
            at: 1_500_000_000 + at as i64 / 2 * 700,
            kind: kinds[rng.random_range(0..4)],
            value: 1.0,
        };
        (0..n).map(one).collect()
    }

    fn goods() -> Goods {
        let vectors = (0..9 * 3).map(|i| ((i * 7 % 11) as f32) - 5.0).collect();
        Goods { dim: 3, vectors, columns: vec![("price".into(), (0..9).map(|i| i as f32).collect())] }
    }

    fn rows(events: Vec<Event>) -> Moments {
        let log = Interactions::from_events(events, 12, 9).unwrap();
        moments(
            &MomentsConfig { horizon_hours: 2.0, ..Default::default() },
            &log.for_purpose(Purpose::Training),
            goods(),
        )
        .unwrap()
    }

    #[test]
    fn a_row_reads_nothing_that_happened_at_its_time_or_later() {
        let events = shop(600);
        let whole = rows(events.clone());
        for cut in [100, 311, 480] {
            let time = events[cut].at;
            // The future is another one: other items, other kinds, and later.
            let changed = events.iter().map(|e| match e.at >= time {
                true => Event { item: ItemId((e.item.0 + 4) % 9), at: e.at + 50_000, ..*e },
                false => *e,
            });
            let other = rows(changed.collect());
            let before = whole.at.iter().take_while(|at| **at <= time).count();
            let compared = before.min(other.at.iter().take_while(|at| **at < time).count());
            assert!(compared > 20, "{compared}");
            let width = whole.lessons.table.columns.len();
            assert_eq!(
                whole.lessons.table.features[..compared * width],
                other.lessons.table.features[..compared * width]
            );
        }
    }

    #[test]
    fn what_serves_says_the_same_as_the_row_of_the_next_moment() {
        let mut events = shop(600);
        let next =
            Event { user: UserId(3), item: ItemId(4), at: events[599].at + 90, kind: EventKind::View, value: 1.0 };
        let past = rows(events.clone()).past;
        events.push(next);
        // A later event ends the horizon of the moment.
        events.push(Event { user: UserId(11), at: next.at + 10_000, ..next });
        let all = rows(events);
        let width = all.lessons.table.columns.len();
        let at = all.at.iter().position(|at| *at == next.at).unwrap();
        let log = Interactions::from_events(shop(600), 12, 9).unwrap();
        let history = log.for_purpose(Purpose::Training).of(UserId(3));
        let served = past.rows(history, &[ItemId(4), ItemId(5)], next.at);
        assert_eq!(served.row(0), all.lessons.table.row(at));
        assert!(served.features.len() == 2 * width && served.row(0).iter().all(|x| x.is_finite()));
        let (seen, trained) = (served.seen.unwrap(), all.lessons.table.seen.unwrap());
        assert_eq!((seen.of(0), seen.target[0]), (trained.of(at), 4));
    }

    #[test]
    fn what_came_is_looked_for_within_the_horizon_and_of_the_same_item_only() {
        let event = |item, at, kind| Event { user: UserId(0), item: ItemId(item), at, kind, value: 1.0 };
        let (view, cart, buy) = (EventKind::View, EventKind::Cart, EventKind::Buy);
        let events = vec![
            event(0, 0, view),
            event(1, 10, view),
            event(0, 20, cart),
            event(1, 7_210, buy),
            event(0, 7_211, buy),
            event(2, 7_300, view),
            event(2, 20_000, view),
            event(3, 40_000, view),
        ];
        let found = rows(events).lessons.tasks;
        assert_eq!(found[0].came, [Some(true), Some(true), Some(false), Some(false)]);
        assert_eq!(found[1].came, [Some(false), Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn parts_follow_each_other_in_time_and_no_horizon_reaches_from_one_into_the_next() {
        let mut found = rows(shop(600));
        let test = found.divide([0.6, 0.2], 7_200);
        let span = |rows: &[u32]| (found.at[rows[0] as usize], found.at[rows[rows.len() - 1] as usize]);
        let [train, valid, test] = [&found.lessons.train, &found.lessons.valid, &test].map(|rows| span(rows));
        assert!(train.1 + 7_200 < valid.0 + 1 && valid.1 + 7_200 < test.0 + 1, "{train:?} {valid:?} {test:?}");
    }
}
