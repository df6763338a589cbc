//! A URL is refused, or has one normal form that is read as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringhold::lab::wire::Key;

fuzz_target!(|text: &str| {
    let Ok(key) = Key::parse(text) else { return };
    let again = Key::parse(key.as_str()).expect("what was normalised is a URL");
    assert_eq!(again.as_str(), key.as_str());
    assert_eq!(again.hash(), key.hash());
    if let Some(joined) = key.join(text) {
        Key::parse(joined.as_str()).expect("what was joined is a URL");
    }
});
