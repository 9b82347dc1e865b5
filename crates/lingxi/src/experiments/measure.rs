//! What is measured of a shopper in an experiment?
//!
//! What a shopper did since they were first met ([`Deeds`], sums of which each event moves a few) comes in, one number per
//! [`Measure`] goes out. The same of what they did before they were met is what CUPED takes off.

use lingxi_data::{EventKind, Rows};
use serde::{Deserialize, Serialize};

/// One number of a shopper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Whether they bought anything.
    Conversion,
    /// The sum of the values of what they bought: units, or money where the shop sends money.
    Value,
    /// How often they looked at or clicked on an item of a slate that they were shown.
    Clicks,
    /// The part of their slates that held nothing.
    Empty,
    /// Milliseconds that their slates took to choose, on average.
    Latency,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 5] =
        [Measure::Conversion, Measure::Value, Measure::Clicks, Measure::Empty, Measure::Latency];

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Conversion => "conversion",
            Measure::Value => "value",
            Measure::Clicks => "clicks",
            Measure::Empty => "empty",
            Measure::Latency => "latency",
        }
    }

    /// Back from [`Measure::name`].
    pub fn parse(name: &str) -> Option<Measure> {
        Measure::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether a shop wants less of it.
    pub fn less_is_better(self) -> bool {
        matches!(self, Measure::Empty | Measure::Latency)
    }

    /// The number of a shopper who did this.
    pub fn of(self, deeds: &Deeds) -> f64 {
        let per_slate = |sum: f64| if deeds.slates > 0.0 { sum / deeds.slates } else { 0.0 };
        match self {
            Measure::Conversion => f64::from(u8::from(deeds.buys > 0.0)),
            Measure::Value => deeds.value,
            Measure::Clicks => deeds.clicks,
            Measure::Empty => per_slate(deeds.empty),
            Measure::Latency => per_slate(deeds.ms),
        }
    }
}

/// What a shopper did and was shown, as sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deeds {
    /// Purchases.
    pub buys: f64,
    /// The sum of their values.
    pub value: f64,
    /// Views of and clicks on what was shown.
    pub clicks: f64,
    /// Slates.
    pub slates: f64,
    /// Of these, those that held nothing.
    pub empty: f64,
    /// Milliseconds that all of them took.
    pub ms: f64,
}

impl Deeds {
    /// What a history says of the time before: all that the server remembers of it.
    pub fn before(history: Rows<'_>) -> Deeds {
        let mut deeds = Deeds::default();
        for (kind, value) in history.kinds.iter().zip(history.values) {
            deeds.act(*kind, f64::from(*value), true);
        }
        deeds
    }

    /// Takes an event in; `answers`: it is on an item that a slate showed.
    pub fn act(&mut self, kind: EventKind, value: f64, answers: bool) {
        match kind {
            EventKind::Buy => {
                self.buys += 1.0;
                self.value += value;
            }
            EventKind::View | EventKind::Click if answers => self.clicks += 1.0,
            _ => {}
        }
    }

    /// Takes a slate in that took `ms` to choose.
    pub fn see(&mut self, empty: bool, ms: f64) {
        self.slates += 1.0;
        self.empty += f64::from(u8::from(empty));
        self.ms += ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_says_what_its_name_says() {
        let mut deeds = Deeds::default();
        assert!(Measure::ALL.iter().all(|metric| metric.of(&deeds) == 0.0), "who did nothing has nothing");
        deeds.act(EventKind::Buy, 3.0, false);
        deeds.act(EventKind::Buy, 2.0, true);
        deeds.act(EventKind::Click, 1.0, true);
        deeds.act(EventKind::View, 1.0, false);
        deeds.act(EventKind::Rate, 5.0, true);
        deeds.see(true, 4.0);
        deeds.see(false, 2.0);
        assert_eq!(Measure::ALL.map(|metric| metric.of(&deeds)), [1.0, 5.0, 1.0, 0.5, 3.0]);
        assert!(Measure::ALL.iter().all(|metric| Measure::parse(metric.name()) == Some(*metric)));
    }
}
