//! PURE. What all nodes and fronts of a cluster have to do alike with https URLs: it is compiled in, so two processes differ where
//! they are of different versions.

use super::preset::PRESETS;
use crate::wire::target::Key;
use std::sync::LazyLock;
use xxhash_rust::xxh3::xxh3_64;

/// URLs that show what becomes of a URL on its way to a key: one or more for each rule.
const SHOWN: &[&str] = &[
    "https://A.example",
    "https://a.example.:443/b/../c?d#e",
    "https://a.example:8443/\u{e4}%7e%7E",
    "https://[2001:DB8::0:1]/",
    "https://quay.io/v2/a/blobs/sha256:0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a?X-Amz-Signature=1&b=2",
    "https://cas.hf.co/0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a?response-content-type=a&Expires=1",
    "https://quay.io/0A0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a/data?sig=1",
];

/// Of this process: of the presets, and of what the rules for keys make of [`SHOWN`]. 16 hex digits.
pub fn digest() -> &'static str {
    static DIGEST: LazyLock<String> = LazyLock::new(|| of(&format!("{PRESETS:?}"), key));
    &DIGEST
}

fn key(url: &str) -> String {
    match Key::parse(url) {
        Ok(key) => format!("{} {}", key, key.digest().is_some()),
        Err(_) => String::new(),
    }
}

fn of(presets: &str, key: impl Fn(&str) -> String) -> String {
    let shown = SHOWN.iter().map(|url| key(url));
    let all: Vec<String> = std::iter::once(presets.to_owned()).chain(shown).collect();
    format!("{:016x}", xxh3_64(all.join("\n").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_that_is_shown_has_a_key_of_its_own() {
        let keys: std::collections::HashSet<_> = SHOWN.iter().map(|url| key(url)).collect();
        assert!(keys.len() == SHOWN.len() && !keys.contains(""), "{keys:?}");
        assert_eq!(keys.iter().filter(|key| key.ends_with("true")).count(), 2, "{keys:?}");
    }

    /// Who changes a rule on purpose writes the new digest here: until all nodes of a cluster have that version, its fronts tunnel.
    #[test]
    fn the_rules_are_those_of_this_version() {
        assert_eq!(digest(), "ae39c63c5f6bdeac");
    }

    #[test]
    fn another_preset_or_another_rule_for_keys_is_another_digest() {
        let presets = format!("{PRESETS:?}");
        assert_eq!(of(&presets, key), digest());
        assert_ne!(of(&presets.replace("pypi.org", "pypi.example"), key), digest());
        assert_ne!(of(&presets, |url: &str| key(url).to_uppercase()), digest());
    }
}
