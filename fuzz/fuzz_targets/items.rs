//! Any bytes as the body of `POST /api/items`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lingxi_fuzz::doors::read_items(bytes);
});
