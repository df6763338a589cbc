//! The head of an answer, whatever its bytes. See `src/properties.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringhold::lab::properties::answer_head(data));
