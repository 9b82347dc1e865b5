//! Any bytes as a recipe.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lingxi_fuzz::doors::read_recipe(bytes);
});
