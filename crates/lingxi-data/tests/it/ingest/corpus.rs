//! The seeds of the fuzz targets are read on every test run too.

use lingxi_data::ingest::{self, Source};
use std::path::Path;

#[test]
fn every_seed_of_the_fuzz_targets_is_read_without_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let (mut seeds, mut read) = (0, 0);
    for format in ["csv", "jsonl", "atomic", "movielens", "parquet"] {
        let dir = corpus.join(format);
        for entry in std::fs::read_dir(&dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let toml = format!("[[events]]\npath='{name}'\nformat='{format}'\n[clean]\nmax_misread=1.0\n");
            let source = Source::from_toml(&toml, Path::new("source.toml")).unwrap();
            seeds += 1;
            read += u32::from(ingest::read(&source, &dir, &mut |_| {}).is_ok());
        }
    }
    // One holds no event that can be kept: its only time is no time. Another is damaged so that the Parquet reader panics,
    // which its guard makes an error of that file.
    assert_eq!((seeds, read), (11, 9));
    for entry in std::fs::read_dir(corpus.join("source")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(Source::from_toml(&text, Path::new("source.toml")).is_ok());
    }
}
