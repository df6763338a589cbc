//! A chunked body in any pieces. See `src/properties.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringhold::lab::properties::chunked(data));
