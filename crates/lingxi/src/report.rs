//! What do people and programs read?
//!
//! Figures come in; out go tables that fit the terminal, numbers a person can read, and the one JSON line that other
//! programs can rely on: `{"command":..,"name":..,"result":{..},"others":[..]}`, always the last line of stdout.

use std::io::Write;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

/// A line under the header and nothing else: the eye follows columns by their space.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The JSON line: `result` is the one thing asked for, `others` everything that stands beside it.
#[derive(Clone, Debug, Serialize)]
pub struct ResultLine<R: Serialize> {
    /// The command, as typed.
    pub command: &'static str,
    /// What it ran on, where a command takes a name: `beauty`, `list`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The answer. For commands that measure: the model that validation chose.
    pub result: R,
    /// Other models, slices, published rows.
    pub others: Vec<serde_json::Value>,
}

impl<R: Serialize> ResultLine<R> {
    /// A line without others.
    pub fn new(command: &'static str, name: Option<&str>, result: R) -> Self {
        Self { command, name: name.map(str::to_owned), result, others: Vec::new() }
    }

    /// Prints the line on stdout.
    ///
    /// # Errors
    /// A closed pipe, or figures that JSON cannot hold.
    pub fn print(&self) -> anyhow::Result<()> {
        Ok(say(&serde_json::to_string(self)?)?)
    }
}

/// Writes one line to stdout without the panic that `println!` has on a closed pipe.
///
/// # Errors
/// Whatever stdout answers; `main` takes a closed pipe as the end of the reader's interest.
pub fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// Builds a table; the columns named in `right` (by index) hold numbers and are aligned to the right.
pub fn table(header: &[&str], rows: &[Vec<String>], right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        // A pipe has no width to fit; keep each row on one line for grep.
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string()
}

/// The most memory that this program had at once, where the system says.
pub fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// `1234567` as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes as `90.9 MB` (powers of ten, as download pages say it).
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.2} GB", n as f64 / 1e9),
    }
}

/// Seconds as `0.42 s`, `41.2 s`, `4 min 10 s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{seconds:.2} s")
    } else if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// A metric as `0.0451`; what is not a number says so.
pub fn metric(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "n/a".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(got: String, expected: &str) {
        assert_eq!(got, expected);
    }

    #[test]
    fn numbers_read_as_a_person_writes_them() {
        check(count(0), "0");
        check(count(999), "999");
        check(count(1_000), "1,000");
        check(count(12_345_678), "12,345,678");
        check(bytes(53), "53 B");
        check(bytes(90_868_376), "90.9 MB");
        check(bytes(1_500), "1.5 kB");
        check(bytes(2_500_000_000), "2.50 GB");
        check(duration(0.421), "0.42 s");
        check(duration(41.24), "41.2 s");
        check(duration(250.0), "4 min 10 s");
        check(metric(0.04512), "0.0451");
        check(metric(f64::NAN), "n/a");
    }

    #[test]
    fn the_result_line_has_the_agreed_shape() {
        let measured = serde_json::json!({ "split": "test", "seed": 1, "metrics": { "ndcg@10": 0.0451 } });
        let line = serde_json::to_string(&ResultLine::new("reproduce", Some("beauty"), measured)).unwrap();
        let expected = concat!(
            r#"{"command":"reproduce","name":"beauty","result":{"metrics":{"ndcg@10":0.0451},"seed":1,"split":"test"},"#,
            r#""others":[]}"#
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn a_table_away_from_a_terminal_keeps_each_row_on_one_line() {
        let wide = "x".repeat(300);
        let text = table(&["name", "size"], &[vec![wide.clone(), "1".into()]], &[1]);
        assert!(text.lines().any(|line| line.contains(&wide)));
    }
}
