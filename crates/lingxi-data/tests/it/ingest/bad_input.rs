//! A file or description that cannot be used ends in an error that names it, never in a panic.

use super::formats::{Row, write_parquet};
use super::{read, shop};
use lingxi_data::DataError;
use proptest::prelude::*;

/// Reads one log with this name and content; the error must hold all of `needed`.
fn check(name: &str, content: &[u8], more: &str, needed: &[&str]) {
    let dir = shop(&[(name, content)]);
    let error = read(dir.path(), &format!("[[events]]\npath = '{name}'\n{more}")).unwrap_err();
    assert!(matches!(error, DataError::Input(_)), "{error:?}");
    let text = error.to_string();
    for part in needed.iter().chain(&[name]) {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn a_file_that_is_not_what_it_is_taken_for_is_refused_with_a_remedy() {
    check("e.csv", b"", "", &["empty file"]);
    check("e.csv", b"user_id,item_id\n", "", &["none left"]);
    check("e.csv", b"who,what\nu,a\n", "", &["field user", "who, what", "name the column"]);
    check(
        "e.csv",
        b"user_id,item_id\nu,a\n",
        "columns = { at = 'when' }",
        &["field at", "\"when\"", "user_id, item_id"],
    );
    check("e.csv", b"user_id,item_id,user_id\nu,a,b\n", "", &["e.csv:1", "\"user_id\" twice"]);
    check("e.csv", b"\xff\xfeu\0s\0", "", &["UTF-16"]);
    check("e.csv", b"\x1f\x8b\x08\0", "", &["compressed"]);
    check("e.csv", b"PAR1...", "format = 'csv'", &["Parquet", "format = \"parquet\""]);
    check("e.csv", b"user\xff,item_id\nu,a\n", "", &["e.csv:1", "UTF-8"]);
    check("e.inter", b"user_id:token\titem_id:word\nu\ta\n", "", &["e.inter:1", "token_seq", "item_id:word"]);
    check("e.json", b"[{\"user\": 1}]", "", &["JSON array", "jq"]);
    check("e.jsonl", b"not json\n", "", &["e.jsonl:1", "JSON"]);
    check("e.parquet", b"PAR1 no footer", "", &["Parquet", "cut short"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = read(dir.path(), "[[events]]\npath='nothing.csv'\n").unwrap_err().to_string();
    assert!(error.contains("nothing.csv") && error.contains("check the path"), "{error}");
}

#[test]
fn a_description_with_a_mistake_is_refused_with_its_line() {
    let dir = shop(&[("e.csv", "user_id,item_id\nu,a\n")]);
    for (toml, needed) in [
        ("[[events]]\npath='e.csv'\ncolour='red'\n", vec!["source.toml:3", "colour", "expected"]),
        ("[[events]]\npath='e.csv'\nkind='steal'\n", vec!["source.toml:3", "steal"]),
        ("[[events]]\npath=7\n", vec!["source.toml:2"]),
        ("[[events]\n", vec!["source.toml:1"]),
        ("[clean]\nnear_seconds=1\n", vec!["at least one [[events]]"]),
        ("[[events]]\npath='e.csv'\n[clean]\noff=['everything']\n", vec!["source.toml:4", "everything"]),
        ("[[events]]\npath='e.csv'\n[clean]\nmax_misread=7.0\n", vec!["max_misread"]),
        ("[[events]]\npath='e.csv'\n[clean]\nearliest='soon'\n", vec!["source.toml:4", "soon"]),
        ("[[events]]\npath='e.csv'\n[clean]\nearliest='2020-01-01'\nlatest=5\n", vec!["clean.earliest"]),
    ] {
        let error = read(dir.path(), toml).unwrap_err().to_string();
        for part in needed {
            assert!(error.contains(part), "{part:?} is missing in: {error}");
        }
    }
}

#[test]
fn logs_of_two_clocks_cannot_be_put_into_one_order() {
    let dir = shop(&[("a.csv", "user_id,item_id,timestamp\nu,a,1500000000\n"), ("b.csv", "user_id,item_id\nu,b\n")]);
    let error = read(dir.path(), "[[events]]\npath='a.csv'\n[[events]]\npath='b.csv'\n").unwrap_err().to_string();
    assert!(error.contains("b.csv") && error.contains("columns.at"), "{error}");
}

#[test]
fn a_file_of_which_most_rows_are_misread_is_refused_with_an_example() {
    let log = b"user_id,item_id,timestamp\nu,a,1500000000\nu,b,x\nu,c,y\n";
    check("e.csv", log, "", &["2 of 3 rows", "line 3", "\"x\"", "max_misread"]);
    let dir = shop(&[("e.csv", log)]);
    assert!(read(dir.path(), "[[events]]\npath='e.csv'\n[clean]\nmax_misread=1.0\n").is_ok());
}

#[test]
fn a_quote_that_never_closes_is_found_before_it_swallows_the_file() {
    let rows: String = (0..3000).map(|i| format!("u,i{i}\n")).collect();
    check("e.csv", format!("user_id,item_id\nu,\"a\n{rows}").as_bytes(), "", &["e.csv:2", "quote"]);
    let endless = format!("user_id,item_id\nu,\"{}", "a".repeat(18 << 20));
    check("e.csv", endless.as_bytes(), "", &["quote", "longer than"]);
}

#[test]
fn deep_long_and_foreign_lines_are_counted_and_the_others_read() {
    let good =
        "{\"user_id\":1,\"item_id\":\"a\"}\n{\"user_id\":1,\"item_id\":\"b\"}\n{\"user_id\":2,\"item_id\":\"b\"}\n";
    let deep = format!("{{\"user_id\":1,\"x\":{}{}}}\n", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"user_id\":1,\"x\":\"{}\"}}\n", "y".repeat(17 << 20));
    let dir = shop(&[("e.jsonl", format!("{good}{deep}{long}"))]);
    let data = read(dir.path(), "[[events]]\npath='e.jsonl'\nkind='view'\n").unwrap();
    assert_eq!(data.interactions.len(), 3);
    let unreadable = data.report.rule(lingxi_data::ingest::Rule::Unreadable);
    assert_eq!(unreadable.dropped[0], 2);
    assert!(unreadable.examples[0].what.contains("recursion"), "{:?}", unreadable.examples);
    assert!(unreadable.examples[1].what.contains("longer"), "{:?}", unreadable.examples);
}

/// A small file of every format: name and bytes.
fn sound_files() -> Vec<(&'static str, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<_> =
        (0..40).map(|i| (i % 7, format!("item-{}", i % 5), 1_500_000_000 + i * 100, (i % 5) as f64)).collect();
    write_parquet(&dir.path().join("p"), &rows);
    let line = |sep: &str| rows.iter().map(|(u, i, t, r)| format!("{u}{sep}{i}{sep}{t}{sep}{r}\n")).collect::<String>();
    let json = |(u, i, t, r): &Row| format!("{{\"user_id\":{u},\"item_id\":\"{i}\",\"time\":{t},\"rating\":{r}}}\n");
    vec![
        ("e.parquet", std::fs::read(dir.path().join("p")).unwrap()),
        ("e.csv", format!("user_id,item_id,time,rating\n{}", line(",")).into_bytes()),
        ("e.inter", format!("user_id:token\titem_id:token\ttime:float\trating:float\n{}", line("\t")).into_bytes()),
        ("e.dat", rows.iter().map(|(u, i, t, r)| format!("{u}::{i}::{r}::{t}\n")).collect::<String>().into_bytes()),
        ("e.jsonl", rows.iter().map(json).collect::<String>().into_bytes()),
    ]
}

/// Reads a damaged file; what comes is columns or an error, and the columns are whole.
fn survives(name: &str, bytes: &[u8]) {
    let dir = shop(&[(name, bytes)]);
    match read(dir.path(), &format!("[[events]]\npath='{name}'\n[clean]\nmax_misread=1.0\n")) {
        Ok(data) => data.catalog.validate().unwrap(),
        Err(error) => assert!(matches!(error, DataError::Input(_)), "{error:?}"),
    }
}

#[test]
fn a_parquet_file_cut_anywhere_is_refused() {
    let (name, bytes) = &sound_files()[0];
    for end in (0..bytes.len()).step_by(7) {
        let dir = shop(&[(*name, &bytes[..end])]);
        assert!(read(dir.path(), &format!("[[events]]\npath='{name}'\n")).is_err(), "cut at {end}");
    }
}

fn cases() -> u32 {
    if std::env::var_os("LINGXI_SLOW").is_some() { 4000 } else { 150 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]
    #[test]
    fn a_damaged_file_of_any_format_never_panics(
        which in 0usize..5,
        cut in 0.0f64..1.5,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (name, mut bytes) = sound_files().swap_remove(which);
        bytes.truncate((bytes.len() as f64 * cut) as usize);
        for (at, value) in flips {
            if !bytes.is_empty() {
                let i = at.index(bytes.len());
                bytes[i] = value;
            }
        }
        survives(name, &bytes);
    }
}
