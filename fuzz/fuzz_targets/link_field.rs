//! A field that only the link carries. See `src/properties.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringhold::lab::properties::link_field(data));
