//! What may be tried? One setting of a declared space: a range of numbers, evenly or by powers, whole or not, or a list of values.
//!
//! ```toml
//! "models.item.0.l2" = { from = 50, to = 500, scale = "log" }
//! "models.item.0.history.length" = { from = 5, to = 50, whole = true }
//! "models.item.0.history.decay" = { choice = [0.6, 0.7, 0.8] }
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a range is divided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By powers: from 1 to 10 is as long as from 10 to 100.
    Log,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Dimension {
    /// Any number of a range.
    Number {
        /// The least.
        from: f64,
        /// The largest.
        to: f64,
        /// How it is divided.
        scale: Scale,
        /// Whether only whole numbers.
        whole: bool,
    },
    /// One of a list.
    Choice(Vec<Value>),
}

/// As people write it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<f64>,
    scale: Scale,
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    choice: Option<Vec<Value>>,
}

impl TryFrom<Written> for Dimension {
    type Error = String;

    fn try_from(written: Written) -> Result<Dimension, String> {
        let Written { from, to, scale, whole, choice } = written;
        match (from, to, choice) {
            (None, None, Some(values)) if !values.is_empty() && !whole && scale == Scale::Linear => {
                Ok(Dimension::Choice(values))
            }
            (Some(from), Some(to), None) => {
                let good = from < to && from.is_finite() && to.is_finite();
                if !good || (scale == Scale::Log && from <= 0.0) {
                    let above = if scale == Scale::Log { " above 0" } else { "" };
                    return Err(format!("expected from below to{above}, got {from} and {to}"));
                }
                if whole && (from.fract() != 0.0 || to.fract() != 0.0) {
                    return Err(format!("expected whole numbers, got {from} and {to}"));
                }
                Ok(Dimension::Number { from, to, scale, whole })
            }
            _ => {
                Err("expected from and to (with scale and whole, where wanted), or choice with at least one value"
                    .into())
            }
        }
    }
}

impl From<Dimension> for Written {
    fn from(dimension: Dimension) -> Written {
        match dimension {
            Dimension::Number { from, to, scale, whole } => {
                Written { from: Some(from), to: Some(to), scale, whole, choice: None }
            }
            Dimension::Choice(values) => Written { choice: Some(values), ..Written::default() },
        }
    }
}

impl Dimension {
    /// Number of choices, where it is a list.
    pub fn choices(&self) -> Option<usize> {
        match self {
            Dimension::Choice(values) => Some(values.len()),
            Dimension::Number { .. } => None,
        }
    }

    /// The value that lies `share` of the way (0 to 1) along.
    pub fn at(&self, share: f64) -> Value {
        match self {
            Dimension::Choice(values) => values[((share * values.len() as f64) as usize).min(values.len() - 1)].clone(),
            Dimension::Number { from, to, scale, whole: true } => {
                // Half a step more at both ends, so that the ends are drawn as often as the others.
                let number = along(*scale, (from - 0.5).max(from * 0.75), to + 0.5, share);
                Value::from(number.round().clamp(*from, *to) as i64)
            }
            Dimension::Number { from, to, scale, .. } => {
                let number = along(*scale, *from, *to, share);
                // Four figures say all that a search knows, and people can read them.
                let digits = 3 - number.abs().max(f64::MIN_POSITIVE).log10().floor() as i32;
                let rounded = if digits.abs() < 300 {
                    let power = 10f64.powi(digits.abs());
                    if digits >= 0 { (number * power).round() / power } else { (number / power).round() * power }
                } else {
                    number
                };
                Value::from(rounded.clamp(*from, *to))
            }
        }
    }
}

fn along(scale: Scale, from: f64, to: f64, share: f64) -> f64 {
    match scale {
        Scale::Linear => from + (to - from) * share,
        Scale::Log => (from.ln() + (to.ln() - from.ln()) * share).exp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn dimension(value: Value) -> Result<Dimension, String> {
        serde_json::from_value(value).map_err(|why| why.to_string())
    }

    #[test]
    fn ends_and_middles_are_those_of_the_scale() {
        let log = dimension(json!({ "from": 1, "to": 100, "scale": "log" })).unwrap();
        assert_eq!([0.0, 0.5, 1.0].map(|u| log.at(u)), [json!(1.0), json!(10.0), json!(100.0)]);
        let whole = dimension(json!({ "from": 1, "to": 3, "whole": true })).unwrap();
        assert_eq!([0.0, 0.4, 0.6, 0.9, 1.0].map(|u| whole.at(u)), [1, 2, 2, 3, 3].map(|n| json!(n)));
        let choice = dimension(json!({ "choice": ["a", 2] })).unwrap();
        assert_eq!([0.0, 0.49, 0.5, 1.0].map(|u| choice.at(u)), [json!("a"), json!("a"), json!(2), json!(2)]);
        let even = dimension(json!({ "from": 0, "to": 1 })).unwrap();
        assert_eq!(even.at(0.123_456_7), json!(0.1235));
    }

    #[test]
    fn a_space_that_means_nothing_is_refused_with_what_would() {
        let refused = |value: Value, part: &str| {
            let why = dimension(value).unwrap_err();
            assert!(why.contains(part), "{part} in {why}");
        };
        refused(json!({ "from": 2, "to": 1 }), "from below to, got 2 and 1");
        refused(json!({ "from": 0, "to": 1, "scale": "log" }), "above 0");
        refused(json!({ "from": 0.5, "to": 1, "whole": true }), "whole numbers");
        refused(json!({ "from": 1 }), "from and to");
        refused(json!({ "choice": [] }), "at least one value");
        refused(json!({ "from": 1, "to": 2, "step": 1 }), "unknown field `step`");
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_range_and_rises(
            from in 1e-6..1e3f64, length in 1e-3..1e6f64, log: bool, a in 0.0..=1.0f64, b in 0.0..=1.0f64,
        ) {
            let scale = if log { "log" } else { "linear" };
            let range = dimension(json!({ "from": from, "to": from + length, "scale": scale })).unwrap();
            let at = |u: f64| range.at(u).as_f64().unwrap();
            prop_assert!(at(a) >= from && at(a) <= from + length);
            prop_assert!(a > b || at(a) <= at(b));
            let again: Dimension = serde_json::from_value(serde_json::to_value(&range).unwrap()).unwrap();
            prop_assert_eq!(again, range);
        }
    }
}
