//! The head of a request, whatever its bytes. See `src/properties.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringhold::lab::properties::request_head(data));
