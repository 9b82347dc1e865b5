//! The public data sets come in whole; counts as their README states them.

use super::read;
use lingxi_data::ingest::{Ingested, Part};
use std::path::{Path, PathBuf};

fn folder(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("LINGXI_DATA") else {
        eprintln!("SKIPPED: set LINGXI_DATA to the folder of the public data sets to test {name}");
        return None;
    };
    Some(Path::new(&root).join(name))
}

fn sizes(data: &Ingested) -> (usize, usize, usize) {
    (data.users.len(), data.catalog.len(), data.interactions.len())
}

#[test]
fn beauty_comes_in_whole_and_in_order() {
    let Some(dir) = folder("beauty") else { return };
    let toml = "[[events]]\npath='beauty.inter'\nkind='rate'\n[items]\npath='beauty.item'\ntitle='title'\n";
    let data = read(&dir, toml).unwrap();
    assert_eq!(sizes(&data), (22_363, 12_101, 198_502));
    assert_eq!(data.catalog.titles.iter().filter(|t| !t.is_empty()).count(), 12_094);
    assert!(!data.timed);
}

#[test]
fn grocery_comes_in_with_its_split_and_triples() {
    let Some(dir) = folder("grocery") else { return };
    let part = |p: &str| format!("[[events]]\npath='grocery.{p}.inter'\nkind='buy'\npart='{p}'\n");
    let rest = "[items]\npath='grocery.item'\ntext=[]\n[[knowledge]]\npath='grocery.kg'\n";
    let data = read(&dir, &(part("train") + &part("valid") + &part("test") + rest)).unwrap();
    assert_eq!(sizes(&data), (14_681, 8_713, 121_892 + 14_681 + 14_681));
    assert_eq!([Part::Train, Part::Valid, Part::Test].map(|p| data.parts[&p].len()), [121_892, 14_681, 14_681]);
    assert_eq!((data.knowledge.triples.len(), data.timed), (373_377, true));
}

#[test]
fn ml1m_and_scientific_and_retailrocket_come_in_whole() {
    let Some(dir) = folder("ml1m") else { return };
    let toml = "[[events]]\npath='ml1m.train.inter'\npart='train'\n[[events]]\npath='ml1m.test.inter'\npart='test'\n";
    assert_eq!(sizes(&read(&dir, toml).unwrap()), (6_022, 3_043, 796_244 + 99_455));

    let toml = "[[events]]\npath='scientific.inter'\nkind='rate'\n[items]\npath='scientific.item'\n\
                text=['title','brand','categories','description']\ncategory='categories'\ncategory_separator=','\n";
    let data = read(&dir.join("../scientific"), toml).unwrap();
    assert_eq!(sizes(&data), (8_317, 4_344, 58_492));
    let path = data.catalog.category_name(lingxi_data::ItemId(1)).unwrap();
    assert_eq!(path, "Industrial & Scientific > Fasteners > Collated Fasteners > Staples");

    let log = |kind: &str| format!("[[events]]\npath='retailrocket.{kind}.inter'\nkind='{kind}'\n");
    let data = read(&dir.join("../retailrocket"), &(log("view") + &log("cart") + &log("buy"))).unwrap();
    assert_eq!((data.users.len(), data.interactions.len()), (2_174, 75_374 + 12_456 + 9_551));
}
