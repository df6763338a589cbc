//! A target in any spelling. See `src/properties.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringhold::lab::properties::target(data));
