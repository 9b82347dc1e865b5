//! Every rule counts what it touches, shows it with file and line, and can be switched off.

use super::{read, shop};
use lingxi_data::ingest::{Ingested, Rule, report::Role};
use proptest::prelude::*;

fn dropped(data: &Ingested, rule: Rule) -> (u64, Vec<u64>) {
    let r = data.report.rule(rule);
    (r.dropped.iter().sum(), r.examples.iter().map(|e| e.line).collect())
}

/// One log with one row or more for each rule; the comments are line numbers.
fn dirty_log() -> Vec<u8> {
    let mut log = b"user_id,item_id,timestamp,rating\n".to_vec();
    let long = "x".repeat(600);
    for row in [
        "u,a,1500000000,4",                // 2
        "u,a,1500000000,4",                // 3 exact duplicate
        "u,a,1500000001,3",                // 4 near duplicate
        ",a,1500000000,4",                 // 5 no user
        "u,b,soon,4",                      // 6 bad time
        "u,b,12,4",                        // 7 bad time
        "u,b,1500000000,-3",               // 8 bad rating
        "u,b,1500000000,NULL",             // 9 no rating
        "u,b,1500000000",                  // 10 too few fields
        "u,BYTES,1500000000,4",            // 11 no UTF-8
        &format!("{long},b,1500000000,4"), // 12 huge id
        "u,b,1500000000,5",                // 13
    ] {
        let (before, after) = row.split_once("BYTES").unwrap_or((row, ""));
        log.extend_from_slice(before.as_bytes());
        if row.contains("BYTES") {
            log.extend_from_slice(b"\xff\xfe");
        }
        log.extend_from_slice(after.as_bytes());
        log.push(b'\n');
    }
    log
}

#[test]
fn each_rule_of_a_row_counts_and_shows_what_it_dropped() {
    let dir = shop(&[("e.csv", dirty_log())]);
    let data = read(dir.path(), "[[events]]\npath='e.csv'\n[clean]\nmax_misread=1.0\n").unwrap();
    for (rule, lines) in [
        (Rule::ExactDuplicate, vec![3]),
        (Rule::NearDuplicate, vec![4]),
        (Rule::MissingId, vec![5]),
        (Rule::BadTimestamp, vec![6, 7]),
        (Rule::BadValue, vec![8]),
        (Rule::MissingValue, vec![9]),
        (Rule::Unreadable, vec![10]),
        (Rule::InvalidUtf8, vec![11]),
        (Rule::HugeId, vec![12]),
    ] {
        assert_eq!(dropped(&data, rule), (lines.len() as u64, lines), "{}", rule.name());
    }
    assert_eq!((data.report.totals(Role::Events), data.interactions.len()), ((12, 2), 2));
    let text = data.report.to_string();
    assert!(text.lines().all(|l| l.chars().count() <= 100), "{text}");
    for needed in ["e.csv:6: time \"soon\"", "e.csv:8: rating \"-3\"", "user=user_id?", "exact_duplicate"] {
        assert!(text.contains(needed), "{needed} is missing in\n{text}");
    }
}

#[test]
fn a_rule_that_is_off_keeps_the_row_or_refuses_the_file() {
    let rows = |off: &str, row: &str| {
        let dir = shop(&[("e.csv", format!("user_id,item_id,timestamp,rating\nu,a,1500000000,4\n{row}\n"))]);
        read(dir.path(), &format!("[[events]]\npath='e.csv'\n[clean]\noff=['{off}']\n")).map(|d| d.interactions.len())
    };
    for (rule, row) in [
        ("exact_duplicate", "u,a,1500000000,4"),
        ("near_duplicate", "u,a,1500000001,3"),
        ("bad_timestamp", "u,b,12,4"),
        ("bad_value", "u,b,1500000000,-3"),
        ("huge_id", &format!("{},b,1500000000,4", "x".repeat(600))),
    ] {
        // A duplicate may fall under the other rule of duplicates too.
        let kept = rows(rule, row).unwrap();
        assert_eq!(kept, if rule == "exact_duplicate" { 1 } else { 2 }, "{rule}");
    }
    for (rule, row) in [
        ("missing_id", ",a,1500000000,4"),
        ("bad_timestamp", "u,b,soon,4"),
        ("bad_value", "u,b,1500000000,many"),
        ("missing_value", "u,b,1500000000,"),
        ("unreadable", "u,b"),
    ] {
        let error = rows(rule, row).unwrap_err().to_string();
        assert!(error.contains("e.csv:3") && error.contains(rule), "{error}");
    }
}

#[test]
fn a_robot_goes_with_all_its_rows_and_a_busy_week_is_no_robot() {
    let row = |user: &str, i: i64, at: i64| format!("{user},i{i},{at}\n");
    let log: String = ["user_id,item_id,timestamp\n".to_string()]
        .into_iter()
        .chain((0..5).map(|i| row("robot", i, 1_500_000_000 + i * 60)))
        .chain((0..5).map(|i| row("person", i, 1_500_000_000 + i * 86_400)))
        .collect();
    let dir = shop(&[("e.csv", log)]);
    let toml = "[[events]]\npath='e.csv'\nkind='view'\n[clean]\nmax_events_per_day=4\n";
    let data = read(dir.path(), toml).unwrap();
    assert_eq!(dropped(&data, Rule::Robot), (5, vec![2, 3, 4]));
    assert_eq!(data.interactions.len(), 5);
    assert_eq!(
        read(dir.path(), &toml.replace("_per_day", "")).unwrap_err().to_string().matches("none left").count(),
        1
    );
}

#[test]
fn rules_of_the_catalogue_fill_or_drop_and_say_so() {
    let items =
        "item_id,title,category,price,available\na,  ,Soup,-1,maybe\na,Again,Soup,1,yes\nb,Bread,,2,no\n,x,,,\n";
    let dir = shop(&[("i.csv", items), ("e.csv", "user_id,item_id\nu,a\nu,zz\n")]);
    let toml = "[[events]]\npath='e.csv'\nkind='buy'\n[items]\npath='i.csv'\n";
    let data = read(dir.path(), toml).unwrap();
    assert_eq!(dropped(&data, Rule::DuplicateId), (1, vec![3]));
    assert_eq!(dropped(&data, Rule::MissingId), (1, vec![5]));
    let filled = |rule| data.report.rule(rule).filled[Role::Items as usize];
    assert_eq!((filled(Rule::BadValue), filled(Rule::EmptyText)), (2, 0), "the category is part of the text");
    assert_eq!(
        (data.catalog.available.clone(), data.catalog.texts.clone()),
        (vec![true, false, true], vec!["Soup".into(), "Bread".into(), String::new()])
    );
    assert!(data.catalog.price[0].is_nan());
    assert_eq!(data.report.rule(Rule::UnknownItem).filled[Role::Events as usize], 1);

    let strict = toml.to_string() + "[clean]\nunknown_items='drop'\n";
    let data = read(dir.path(), &strict).unwrap();
    assert_eq!((dropped(&data, Rule::UnknownItem), data.catalog.len()), ((1, vec![3]), 2));

    let titles = toml.to_string() + "text='title'\n";
    let data = read(dir.path(), &titles).unwrap();
    assert_eq!(data.report.rule(Rule::EmptyText).filled[Role::Items as usize], 1);
    assert_eq!(data.catalog.texts[0], "Soup");
}

#[test]
fn a_price_that_only_the_log_knows_is_the_mean_unit_price() {
    let log = "user_id,item_id,quantity,sales_value\nu,a,2,5\nv,a,1,1.5\nv,b,1,0\n";
    let dir = shop(&[("e.csv", log)]);
    let data = read(dir.path(), "[[events]]\npath='e.csv'\n").unwrap();
    assert_eq!(data.catalog.price[0], 2.0);
    assert!(data.catalog.price[1].is_nan());
    assert_eq!(data.catalog.price_bucket, [Some(0), None]);
}

#[test]
fn a_source_without_time_has_no_near_duplicates_and_a_position_orders() {
    let dir =
        shop(&[("e.inter", "user_id:token\titem_id:token\tposition:float\nu\tb\t1\nu\ta\t0\nu\tb\t2\nu\tb\t2\n")]);
    let data = read(dir.path(), "[[events]]\npath='e.inter'\nkind='view'\n").unwrap();
    assert_eq!(data.interactions.len(), 3);
    assert_eq!(dropped(&data, Rule::ExactDuplicate), (1, vec![5]));
    assert!(!data.timed);
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]",
        4 => (1_500_000_000i64..1_500_000_006).prop_map(|t| t.to_string()),
        1 => Just(String::new()),
        1 => Just("-5".to_string()),
        1 => "[ -~]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_row_that_is_read_is_kept_or_counted_under_one_rule(
        rows in prop::collection::vec(prop::collection::vec(field(), 3..6), 1..30),
        robots in 1usize..6,
    ) {
        let join = |row: &Vec<String>| row.join("\t") + "\n";
        let log: String = "user_id\titem_id\ttimestamp\trating\n".to_string() + &rows.iter().map(join).collect::<String>();
        let dir = shop(&[("e.tsv", log)]);
        let toml = format!("[[events]]\npath='e.tsv'\n[clean]\nmax_misread=1.0\nmax_events_per_day={robots}\n");
        match read(dir.path(), &toml) {
            Err(e) => prop_assert!(e.to_string().contains("none left"), "{e}"),
            Ok(data) => {
                let (read, kept) = data.report.totals(Role::Events);
                let dropped: u64 = data.report.rules.iter().map(|r| r.dropped[Role::Events as usize]).sum();
                prop_assert_eq!(read, rows.len() as u64);
                prop_assert_eq!(read, kept + dropped);
                prop_assert_eq!(kept, data.interactions.len() as u64);
                for rule in &data.report.rules {
                    prop_assert!(rule.examples.len() as u64 == rule.dropped.iter().chain(&rule.filled).sum::<u64>().min(3));
                }
            }
        }
    }
}
