//! Any bytes as an artefact, and as the header of one.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lingxi_fuzz::doors::read_artefact(bytes);
});
