//! A time as files write it -> unix seconds.

use super::table::Cell;
use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, tz::TimeZone};

/// Unix seconds of a cell; `None` if it is no time.
pub(crate) fn seconds(cell: &Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Missing => None,
        Cell::Seconds(s) => Some(*s),
        Cell::Int(i) => Some(of_number(*i)),
        Cell::Float(x) => of_float(*x),
        Cell::Text(bytes) => of_text(std::str::from_utf8(bytes).ok()?),
    }
}

/// The unit shows in the size: seconds stay below 1e11 (the year 5138), milliseconds below 1e14, microseconds below
/// 1e17. Eight digits that are a date of this age are `YYYYMMDD`, since as seconds they would lie in 1970.
fn of_number(n: i64) -> i64 {
    match n.unsigned_abs() {
        19_000_101..=21_001_231 if n > 0 => of_digits(n).unwrap_or(n),
        0..100_000_000_000 => n,
        100_000_000_000..100_000_000_000_000 => n.div_euclid(1000),
        100_000_000_000_000..100_000_000_000_000_000 => n.div_euclid(1_000_000),
        _ => n.div_euclid(1_000_000_000),
    }
}

fn of_digits(n: i64) -> Option<i64> {
    let (year, month, day) = (n / 10_000, n / 100 % 100, n % 100);
    let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    utc(date.at(0, 0, 0, 0))
}

fn of_float(x: f64) -> Option<i64> {
    // Beyond 2^53 a float has no whole numbers, but as nanoseconds it still tells the second.
    (x.is_finite() && x.abs() < 9.2e18).then(|| of_number(x.floor() as i64))
}

fn of_text(text: &str) -> Option<i64> {
    if let Ok(n) = text.parse::<i64>() {
        return Some(of_number(n));
    }
    if text.len() >= 10 && text.as_bytes()[4] == b'-' {
        return of_iso(text);
    }
    of_float(text.parse().ok()?)
}

/// ISO 8601 with a zone, or without one and then UTC; the time of day may be missing or separated by a blank.
fn of_iso(text: &str) -> Option<i64> {
    if let Some(fast) = of_fixed(text.as_bytes()) {
        return Some(fast);
    }
    let text = text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")).unwrap_or(text);
    if let Ok(zoned) = text.parse::<Timestamp>() {
        return Some(floor(zoned));
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return utc(time);
    }
    text.parse::<Date>().ok().and_then(|date| utc(date.at(0, 0, 0, 0)))
}

/// `YYYY-MM-DD hh:mm:ss`, the form of most exports, without the general parser.
fn of_fixed(b: &[u8]) -> Option<i64> {
    if b.len() != 19 || b[4] != b'-' || b[7] != b'-' || !matches!(b[10], b' ' | b'T') || b[13] != b':' || b[16] != b':'
    {
        return None;
    }
    let number = |from: usize, to: usize| {
        b[from..to].iter().try_fold(0i64, |n, c| c.is_ascii_digit().then(|| n * 10 + i64::from(c - b'0')))
    };
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let midnight = of_digits(number(0, 4)? * 10_000 + number(5, 7)? * 100 + number(8, 10)?)?;
    Some(midnight + hour * 3600 + minute * 60 + second)
}

fn utc(time: DateTime) -> Option<i64> {
    time.to_zoned(TimeZone::UTC).ok().map(|z| floor(z.timestamp()))
}

fn floor(time: Timestamp) -> i64 {
    time.as_nanosecond().div_euclid(1_000_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(seconds(&Cell::of_bytes(text.as_bytes())), expected, "{text}");
    }

    #[test]
    fn every_usual_way_to_write_a_time_gives_the_same_second() {
        for text in [
            "1433221332",
            "1433221332.0",
            "1.433221332E9",
            "1433221332117",
            "1433221332117000",
            "1433221332117000123",
            "2015-06-02 05:02:12",
            "2015-06-02T05:02:12",
            "2015-06-02T05:02:12Z",
            "2015-06-02T05:02:12.117Z",
            "2015-06-02 05:02:12 UTC",
            "2015-06-02T07:02:12+02:00",
        ] {
            check(text, Some(1_433_221_332));
        }
        check("2015-06-02", Some(1_433_203_200));
        check("20150602", Some(1_433_203_200));
        check("1969-12-31T23:59:59.5Z", Some(-1));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2015-13-02", "2015-06-02 25:00:00", "inf", "1e300", "2015-06-é2 05:02"] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn the_fast_form_agrees_with_the_general_parser(s in 0i64..4_102_444_800) {
            let text = Timestamp::from_second(s).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
            prop_assert_eq!(of_fixed(text.as_bytes()), Some(s));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            seconds(&Cell::of_bytes(text.as_bytes()));
        }
    }
}
