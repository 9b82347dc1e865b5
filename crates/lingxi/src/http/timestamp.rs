//! Timestamps as shops write them -> unix seconds: RFC 3339, a date with or without a time (taken as UTC), or a number
//! of seconds or milliseconds since 1970.

use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Numbers from here on are milliseconds: as seconds they would lie past the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// What [`parse`] takes, for messages.
pub const EXPECTED: &str = "a time such as \"2026-07-31T08:30:00Z\", or unix seconds";

/// Whether no time is meant: nothing, an empty text, or the zero of Go, which its clients send for nothing.
pub fn is_absent(value: &Value) -> bool {
    value.is_null() || matches!(value.as_str(), Some("" | "0001-01-01T00:00:00Z"))
}

/// Unix seconds, or `None` if it is no time from 1970 on.
pub fn parse(value: &Value) -> Option<i64> {
    let seconds = match value {
        Value::Number(number) => whole(number)?,
        Value::String(text) => text_seconds(text.trim())?,
        _ => return None,
    };
    (seconds >= 0).then_some(seconds)
}

/// RFC 3339 in UTC; empty for what is no time.
pub fn text(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |time| time.to_string())
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    let seconds = number.as_i64().or_else(|| number.as_f64().filter(|f| f.abs() < 1e18).map(|f| f.floor() as i64))?;
    Some(if seconds.abs() >= MILLISECONDS_FROM { seconds.div_euclid(1000) } else { seconds })
}

fn text_seconds(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_second());
    }
    let local = text.parse::<civil::DateTime>().ok()?;
    TimeZone::UTC.to_timestamp(local).ok().map(|time| time.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_read_in_every_way_that_shops_write_them() {
        let check = |value: Value, expected: Option<i64>| assert_eq!(parse(&value), expected, "{value}");
        check(json!("2024-02-29T12:00:00Z"), Some(1_709_208_000));
        check(json!("2024-02-29T20:00:00+08:00"), Some(1_709_208_000));
        check(json!("2024-02-29 12:00:00"), Some(1_709_208_000));
        check(json!("2024-02-29"), Some(1_709_164_800));
        check(json!(1_709_208_000), Some(1_709_208_000));
        check(json!(1_709_208_000_123_i64), Some(1_709_208_000));
        check(json!(1_709_208_000.9), Some(1_709_208_000));
        for bad in
            [json!("2023-02-29"), json!("yesterday"), json!(""), json!(-5), json!(1e300), json!(null), json!([1])]
        {
            check(bad, None);
        }
    }
}
