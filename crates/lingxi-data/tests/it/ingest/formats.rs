//! Every format gives the same columns, and what is saved is what is loaded.

use super::{read, shop};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use lingxi_data::ingest::{Ingested, Part, Rule, report::Role};
use lingxi_data::{EventKind, ItemId, Purpose, UserId};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// User, item, unix seconds and rating.
pub type Row = (i64, String, i64, f64);

/// The rows as Parquet with the types that exports have.
pub fn write_parquet(path: &Path, rows: &[Row]) {
    let batch = RecordBatch::try_from_iter([
        ("user_id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0))) as ArrayRef),
        ("item_id", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.1.as_str())))),
        ("time", Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|r| r.2 * 1000)))),
        ("rating", Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.3)))),
    ])
    .unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The same rows in every text format: file name and content.
fn text_files(rows: &[Row]) -> Vec<(&'static str, String)> {
    let join =
        |header: &str, row: &dyn Fn(&Row) -> String| header.to_string() + &rows.iter().map(row).collect::<String>();
    vec![
        ("a.csv", join("user_id,item_id,time,rating\n", &|(u, i, t, r)| format!("{u},\"{i}\",{t},{r}\n"))),
        ("b.csv", join("user_id;item_id;time;rating\r\n", &|(u, i, t, r)| format!("{u};{i};{};{r}\r\n", t * 1000))),
        ("c.tsv", join("\u{feff}user_id\titem_id\ttime\trating\n", &|(u, i, t, r)| format!("{u}\t{i}\t{t}.0\t{r}\n"))),
        (
            "d.inter",
            join("user_id:token\titem_id:token\ttime:float\trating:float\n", &|(u, i, t, r)| {
                format!("{u}\t{i}\t{t}\t{r}\n")
            }),
        ),
        ("e.dat", join("", &|(u, i, t, r)| format!("{u}::{i}::{r}::{t}\n"))),
        (
            "f.jsonl",
            join("", &|(u, i, t, r)| format!("{{\"user_id\":{u},\"item_id\":\"{i}\",\"time\":{t},\"rating\":{r}}}\n")),
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_same_rows_give_the_same_columns_in_every_format(
        rows in prop::collection::vec((0i64..5, "[a-e]", 1_400_000_000i64..1_400_000_100, 1u8..=5), 1..40)
    ) {
        let rows: Vec<_> = rows.into_iter().map(|(u, i, t, r)| (u, i, t, f64::from(r))).collect();
        let dir = shop(&text_files(&rows));
        write_parquet(&dir.path().join("g"), &rows);
        let of = |name: &str| read(dir.path(), &format!("[[events]]\npath = '{name}'\n")).unwrap();
        let first = of("a.csv");
        prop_assert!(first.timed);
        for name in ["b.csv", "c.tsv", "d.inter", "e.dat", "f.jsonl", "g"] {
            let other = of(name);
            prop_assert_eq!(&other.interactions, &first.interactions, "{}", name);
            prop_assert_eq!((&other.users, &other.catalog.ids), (&first.users, &first.catalog.ids), "{}", name);
        }
    }
}

#[test]
fn atomic_files_may_hold_every_type_of_field() {
    let dir = shop(&[
        ("x.inter", "user_id:token\titem_id:token\trating:float\ttimestamp:float\tw:float_seq\nu\ta\t4\t1.5e9\t1 2\n"),
        (
            "x.item",
            "item_id:token\tname:token_seq\tclass:token_seq\tprice:float\tv:float_seq\na\tToy Story\tA B\t2.5\t.1 .2\n",
        ),
    ]);
    let toml = "[[events]]\npath='x.inter'\n[items]\npath='x.item'\ncategory_separator=' '\nattributes=['*']\n";
    let data = read(dir.path(), toml).unwrap();
    assert_eq!(data.interactions.for_purpose(Purpose::Training).of(UserId(0)).at, [1_500_000_000]);
    assert_eq!(data.catalog.category_name(ItemId(0)), Some("A > B"));
    assert_eq!(data.catalog.texts, ["Toy Story, A B"]);
    let names: Vec<&str> = data.catalog.attributes.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["name", "class", "price", "v"]);
    assert_eq!(data.catalog.attributes[3].values, [".1 .2"]);
}

#[test]
fn several_logs_of_several_kinds_become_one_sequence_per_shopper() {
    let dir = shop(&[
        ("view.csv", "visitorid,itemid,timestamp\n7,a,1433221332117\n7,b,1433221400000\n8,a,1433221332117\n"),
        ("buy.jsonl", "{\"user_id\": 7, \"item_id\": \"a\", \"time\": \"2015-06-02T06:00:00Z\", \"quantity\": 2}\n"),
        ("items.tsv", "item_id\ttitle\tprice\na\tMILK  1L\t2.50\nc\tＢｒｅａｄ\t$1,000.00\n"),
    ]);
    let toml = "[[events]]\npath='view.csv'\nkind='view'\n[[events]]\npath='buy.jsonl'\n[items]\npath='items.tsv'\n";
    let data = read(dir.path(), toml).unwrap();
    let events = data.interactions.for_purpose(Purpose::Training);
    let seven = events.of(UserId(data.users.get("7").unwrap()));
    assert_eq!(seven.kinds, [EventKind::View, EventKind::View, EventKind::Buy]);
    assert_eq!(seven.values, [1.0, 1.0, 2.0]);
    let names: Vec<&str> = seven.items.iter().map(|i| data.catalog.ids.name(i.0).unwrap()).collect();
    assert_eq!(names, ["a", "b", "a"]);
    assert_eq!(data.catalog.titles, ["MILK 1L", "Bread", ""]);
    assert_eq!(data.catalog.price[..2], [2.5, 1000.0]);
    assert_eq!(data.report.rule(Rule::UnknownItem).filled[Role::Events as usize], 1);
    assert!(data.timed);
}

#[test]
fn parts_of_a_published_split_share_their_ids() {
    let dir = shop(&[
        ("t.train.inter", "user_id:token\titem_id:token\nu\ta\nu\tb\nv\tb\n"),
        ("t.test.inter", "user_id:token\titem_id:token\nv\ta\n"),
    ]);
    let toml = "[[events]]\npath='t.train.inter'\npart='train'\n[[events]]\npath='t.test.inter'\npart='test'\n";
    let data = read(dir.path(), toml).unwrap();
    assert_eq!((data.parts[&Part::Train].len(), data.parts[&Part::Test].len(), data.interactions.len()), (3, 1, 4));
    let test = data.parts[&Part::Test].for_purpose(Purpose::Evaluation);
    assert_eq!(test.of(UserId(1)).items[0].0, data.catalog.ids.get("a").unwrap());
    assert!(!data.timed);
}

#[test]
fn what_is_saved_is_what_is_loaded() {
    let dir = shop(&[
        ("e.csv", "user_id,item_id,timestamp,rating\nu,a,1500000000,4\nv,b,1500000001,5\nv,a,1500000002,3\n"),
        (
            "i.jsonl",
            "{\"item_id\":\"a\",\"title\":\"牛奶\",\"category\":\"x\",\"price\":1,\"w\":1}\n{\"item_id\":\"b\",\"w\":2}\n",
        ),
        ("u.csv", "user_id,age\nv,30\nw,40\n"),
        ("k.kg", "head_id:token\trelation_id:token\ttail_id:token\na\tis\tb\n"),
    ]);
    let toml = "[[events]]\npath='e.csv'\npart='train'\n[items]\npath='i.jsonl'\nattributes=['w']\n[users]\npath='u.csv'\n\
                [[knowledge]]\npath='k.kg'\n";
    let data = read(dir.path(), toml).unwrap();
    let out = dir.path().join("stored");
    data.save(&out).unwrap();
    let back = Ingested::load(&out).unwrap();
    assert_eq!(back.interactions, data.interactions);
    assert_eq!(back.parts, data.parts);
    assert_eq!((&back.users, &back.user_attributes), (&data.users, &data.user_attributes));
    assert_eq!(back.user_attributes[0].values, ["", "30", "40"]);
    let json = |data: &Ingested| serde_json::to_string(&data.catalog).unwrap();
    assert_eq!(json(&back), json(&data));
    assert_eq!((&back.numeric, &back.knowledge, &back.report), (&data.numeric, &data.knowledge, &data.report));
    assert!(!back.numeric.is_empty());
}
