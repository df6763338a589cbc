//! `Cache-Control` of any bytes on any lines: no panic, and a directive that stands alone between commas is seen.
#![no_main]

use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ringhold::lab::wire::{CacheControl, Set, withheld};

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    let lines = data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    lines.for_each(|line| _ = headers.append(CACHE_CONTROL, line));
    let read = CacheControl::read(&headers);
    withheld(&headers);
    // Without quotes a comma always splits.
    if !data.contains(&b'"') {
        let says = |wanted: &[u8]| {
            let mut members = headers.values().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
            members.any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted))
        };
        assert!(!says(b"no-store") || read.has(Set::NO_STORE));
        assert!(!says(b"private") || read.has(Set::PRIVATE));
    }
});
