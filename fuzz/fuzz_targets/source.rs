//! Any bytes as a description of files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lingxi_fuzz::read_source(bytes));
