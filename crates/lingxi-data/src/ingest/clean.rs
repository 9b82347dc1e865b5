//! The cleaning rules: what each looks for, its limit, and what it does. Every rule counts what it touched and can be
//! switched off; what "off" means is said with the rule.

use serde::{Deserialize, Serialize};

/// A rule of cleaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A line that the format does not allow: too few fields, broken JSON, too long, too deep. Off: an error.
    Unreadable,
    /// Bytes that are no UTF-8. Off: they become U+FFFD (in JSON lines an error).
    InvalidUtf8,
    /// No user or item. Off: an error.
    MissingId,
    /// A user or item id longer than [`Clean::max_id_bytes`]. Off: kept.
    HugeId,
    /// A time that cannot be read or lies outside [`Clean::earliest`]..[`Clean::latest`]. Off: an unreadable one is an
    /// error, a strange one is kept.
    BadTimestamp,
    /// A quantity, rating or price that is no number, negative, zero where nothing makes sense, or absurdly large. In a
    /// log the row is dropped, in a catalogue the price becomes unknown. Off: kept where it is a number, else an error.
    BadValue,
    /// No quantity: becomes 1. No rating: dropped. Off: an error.
    MissingValue,
    /// A word for what the shopper did that is not known: the row is kept as `other`; no word: as the kind of the file.
    /// Off: an unknown word is an error.
    UnknownKind,
    /// An item of the log that the catalogue lacks: kept as an item without text, or dropped
    /// ([`Clean::unknown_items`]). Off: an error.
    UnknownItem,
    /// The same user, item, kind, time and value again. Off: kept.
    ExactDuplicate,
    /// The same user, item and kind within [`Clean::near_seconds`]; only where the source has time. Off: kept.
    NearDuplicate,
    /// A shopper with more events on one day than [`Clean::max_events_per_day`], or in all than
    /// [`Clean::max_events`]: all their rows go. Off: kept.
    Robot,
    /// An item (or shopper) id a second time in the catalogue (or list of shoppers): the first row stays. Off: an
    /// error.
    DuplicateId,
    /// An item without any text: becomes its category path, or stays without text. Off: not counted.
    EmptyText,
}

impl Rule {
    /// All rules, in the order of the report.
    pub const ALL: [Rule; 14] = [
        Rule::Unreadable,
        Rule::InvalidUtf8,
        Rule::MissingId,
        Rule::HugeId,
        Rule::BadTimestamp,
        Rule::BadValue,
        Rule::MissingValue,
        Rule::UnknownKind,
        Rule::UnknownItem,
        Rule::ExactDuplicate,
        Rule::NearDuplicate,
        Rule::Robot,
        Rule::DuplicateId,
        Rule::EmptyText,
    ];

    /// The name, as written in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Unreadable => "unreadable",
            Rule::InvalidUtf8 => "invalid_utf8",
            Rule::MissingId => "missing_id",
            Rule::HugeId => "huge_id",
            Rule::BadTimestamp => "bad_timestamp",
            Rule::BadValue => "bad_value",
            Rule::MissingValue => "missing_value",
            Rule::UnknownKind => "unknown_kind",
            Rule::UnknownItem => "unknown_item",
            Rule::ExactDuplicate => "exact_duplicate",
            Rule::NearDuplicate => "near_duplicate",
            Rule::Robot => "robot",
            Rule::DuplicateId => "duplicate_id",
            Rule::EmptyText => "empty_text",
        }
    }

    /// Whether the rule is about rows that could not be understood, rather than understood and not wanted. Many of
    /// them mean a wrong description of the file.
    pub fn is_misread(self) -> bool {
        matches!(
            self,
            Rule::Unreadable
                | Rule::InvalidUtf8
                | Rule::MissingId
                | Rule::HugeId
                | Rule::BadTimestamp
                | Rule::BadValue
                | Rule::MissingValue
        )
    }
}

/// What becomes of an event whose item the catalogue lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownItems {
    /// The item joins the catalogue, without text.
    #[default]
    Keep,
    /// The event is dropped.
    Drop,
}

/// Which rules run, with their limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clean {
    /// Rules that are switched off.
    pub off: Vec<Rule>,
    /// Longest id, in bytes.
    pub max_id_bytes: usize,
    /// First time that is believed, as unix seconds or text like `"1990-01-01"`.
    #[serde(deserialize_with = "moment")]
    pub earliest: i64,
    /// Last time that is believed, likewise.
    #[serde(deserialize_with = "moment")]
    pub latest: i64,
    /// Repetitions within so many seconds are one event.
    pub near_seconds: i64,
    /// Largest believed quantity.
    pub max_quantity: f32,
    /// Smallest and largest believed rating.
    pub rating: [f32; 2],
    /// Largest believed price.
    pub max_price: f32,
    /// What becomes of an event whose item the catalogue lacks.
    pub unknown_items: UnknownItems,
    /// More events than this on one day (UTC) make a shopper a robot.
    pub max_events_per_day: usize,
    /// More events than this in all make a shopper a robot.
    pub max_events: usize,
    /// Largest share of a file's rows that may be misread before the file is refused; 1 accepts anything.
    pub max_misread: f64,
}

impl Default for Clean {
    fn default() -> Clean {
        Clean {
            off: Vec::new(),
            max_id_bytes: 512,
            earliest: 631_152_000,
            latest: 4_102_444_800,
            near_seconds: 2,
            max_quantity: 10_000.0,
            rating: [0.0, 100.0],
            max_price: 1e7,
            unknown_items: UnknownItems::Keep,
            max_events_per_day: 2_000,
            max_events: 1_000_000,
            max_misread: 0.5,
        }
    }
}

/// Unix seconds from a number or from text.
fn moment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "unix seconds or a text like \"2020-01-31\"")]
    enum Moment {
        Seconds(i64),
        Text(String),
    }
    match Moment::deserialize(deserializer)? {
        Moment::Seconds(s) => Ok(s),
        Moment::Text(text) => super::time::seconds(&super::table::Cell::of_bytes(text.as_bytes()))
            .ok_or_else(|| serde::de::Error::custom(format!("expected a time like \"2020-01-31\", got {text:?}"))),
    }
}

impl Clean {
    /// Says which limit makes no sense.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let checks = [
            (self.earliest <= self.latest, "clean.earliest must not lie after clean.latest"),
            (self.near_seconds >= 0, "clean.near_seconds must not be negative"),
            (self.max_quantity > 0.0, "clean.max_quantity must be above 0"),
            (self.rating[0] <= self.rating[1], "clean.rating must be [smallest, largest]"),
            (self.max_price > 0.0, "clean.max_price must be above 0"),
            (self.max_id_bytes > 0, "clean.max_id_bytes must be above 0"),
            (self.max_events_per_day > 0 && self.max_events > 0, "clean.max_events must be above 0"),
            ((0.0..=1.0).contains(&self.max_misread), "clean.max_misread must be between 0 and 1"),
        ];
        checks.iter().find(|(sound, _)| !sound).map(|(_, why)| *why)
    }

    /// Whether a rule runs.
    pub fn runs(&self, rule: Rule) -> bool {
        !self.off.contains(&rule)
    }

    /// What a rule looks for and does, with its limit, for the report.
    pub fn describe(&self, rule: Rule) -> String {
        match rule {
            Rule::Unreadable => "line that the format does not allow: dropped".into(),
            Rule::InvalidUtf8 => "bytes that are no UTF-8: row dropped".into(),
            Rule::MissingId => "no user or item: dropped".into(),
            Rule::HugeId => format!("id longer than {} bytes: dropped", self.max_id_bytes),
            Rule::BadTimestamp => "time unreadable or outside the believed range: dropped".into(),
            Rule::BadValue => "number unreadable, negative or absurd: row dropped, price unknown".into(),
            Rule::MissingValue => "no quantity: filled with 1; no rating: dropped".into(),
            Rule::UnknownKind => "kind of event unknown: kept as other; missing: kind of the file".into(),
            Rule::UnknownItem => match self.unknown_items {
                UnknownItems::Keep => "item not in the catalogue: kept as an item without text".into(),
                UnknownItems::Drop => "item not in the catalogue: dropped".into(),
            },
            Rule::ExactDuplicate => "same user, item, kind, time and value again: dropped".into(),
            Rule::NearDuplicate => format!("same user, item, kind within {} s: dropped", self.near_seconds),
            Rule::Robot => {
                format!("shopper above {} events a day or {}: dropped", self.max_events_per_day, self.max_events)
            }
            Rule::DuplicateId => "id a second time: first row stays".into(),
            Rule::EmptyText => "item without text: filled with its category, or left empty".into(),
        }
    }
}
