//! Any bytes as a GGUF file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lingxi_fuzz::doors::read_gguf(bytes);
});
