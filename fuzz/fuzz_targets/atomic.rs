//! Any bytes as a log in this format.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lingxi_fuzz::read_log(lingxi_data::ingest::Format::Atomic, bytes));
