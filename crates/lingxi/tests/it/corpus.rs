//! The seeds of the fuzz targets of the app go through the same functions on every test run.

#[path = "../../../../fuzz/src/doors.rs"]
mod doors;

use std::path::Path;

#[test]
fn every_seed_of_the_fuzz_targets_of_the_app_is_read_or_refused_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    type Door = fn(&[u8]) -> bool;
    let doors: [(&str, Door, usize); 6] = [
        ("events", doors::read_events, 2),
        ("items", doors::read_items, 1),
        ("recipe", doors::read_recipe, 2),
        ("texts", doors::read_texts, 2),
        ("artefact", doors::read_artefact, 2),
        ("gguf", doors::read_gguf, 2),
    ];
    for (name, door, expected) in doors {
        let seeds =
            std::fs::read_dir(corpus.join(name)).unwrap().map(|seed| std::fs::read(seed.unwrap().path()).unwrap());
        let seeds: Vec<Vec<u8>> = seeds.collect();
        let taken = seeds.iter().filter(|seed| door(seed)).count();
        println!("{name}: {} seeds, {taken} of them sound", seeds.len());
        assert!(taken >= expected && taken < seeds.len(), "{name}: {taken} of {} seeds are sound", seeds.len());
        assert!(seeds.iter().all(|seed| seed.len() < 8192), "{name}: seeds are small");
    }
}
