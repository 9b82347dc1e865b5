//! Any bytes as labelled texts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lingxi_fuzz::doors::read_texts(bytes);
});
