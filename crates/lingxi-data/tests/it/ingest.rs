//! From files to columns and back from disk.

use lingxi_data::ingest::{self, Ingested, Part, Rule, Source, report::Role};
use lingxi_data::{EventKind, Purpose, Result, UserId};
use std::path::Path;

fn shop(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn read(dir: &Path, description: &str) -> Result<Ingested> {
    ingest::read(&Source::from_toml(description, Path::new("source.toml"))?, dir, &mut |_| {})
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
