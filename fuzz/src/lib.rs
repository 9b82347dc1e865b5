//! What every parser's fuzz target does: bytes become a log, and reading it must end in columns or in an error.

pub mod doors;

use lingxi_data::ingest::report::Role;
use lingxi_data::ingest::{self, Clean, Format, Source, source::EventFile};
use std::path::Path;

/// Reads `bytes` as a log of this format and checks what must hold for every log.
pub fn read_log(format: Format, bytes: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("log"), bytes).expect("a small file");
    let (kind, part, columns, options) = Default::default();
    let file = EventFile { path: "log".into(), format: Some(format), kind, part, columns, options };
    let clean = Clean { max_misread: 1.0, ..Clean::default() };
    let source = Source { events: vec![file], clean, ..Source::default() };
    if let Ok(data) = ingest::read(&source, dir.path(), &mut |_| {}) {
        let (read, kept) = data.report.totals(Role::Events);
        let dropped: u64 = data.report.rules.iter().map(|r| r.dropped[Role::Events as usize]).sum();
        assert_eq!(read, kept + dropped);
        assert_eq!(kept, data.interactions.len() as u64);
        data.catalog.validate().expect("a whole catalogue");
    }
}

/// Reads `bytes` as a description of files.
pub fn read_source(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Source::from_toml(text, Path::new("source.toml"));
    }
}
