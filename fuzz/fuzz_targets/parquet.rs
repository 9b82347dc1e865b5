//! Any bytes as a log in this format.
#![no_main]

libfuzzer_sys::fuzz_target!(
    // The Parquet reader panics on some damage and its guard makes that an error: the fuzzer's own hook must not end the run
    // before. A panic that gets past the guard still ends it.
    init: std::panic::set_hook(Box::new(|_| {})),
    |bytes: &[u8]| lingxi_fuzz::read_log(lingxi_data::ingest::Format::Parquet, bytes)
);
