//! Any bytes as the body of `POST /api/feedback`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lingxi_fuzz::doors::read_events(bytes);
});
