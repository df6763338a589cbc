//! Which names the hosts file has, and their addresses: they are resolved without any server.

use crate::clock::{Tick, tick};
use crate::wire::authority::without_root;
use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

const FILE: &str = "/etc/hosts";
/// Between two looks at it.
const AGAIN: Duration = Duration::from_secs(1);

/// The names, as of the last change of the file.
#[derive(Default)]
pub(super) struct Hosts {
    /// Seconds and nanoseconds of its last change, and its length.
    changed: Option<(i64, i64, u64)>,
    looked: Option<Tick>,
    /// The first address of each, where it is written as one.
    names: HashMap<Box<str>, Option<IpAddr>>,
}

impl Hosts {
    /// In any letter case, with a dot at its end or without. Where there is no such file nobody is in it.
    pub(super) fn has(&mut self, host: &str) -> bool {
        self.heed();
        self.names.contains_key(&*without_root(host).to_ascii_lowercase())
    }

    /// The address of a name that is written as keys write it, with a dot at its end or without.
    pub(super) fn address(&mut self, host: &str) -> Option<IpAddr> {
        self.heed();
        self.names.get(without_root(host)).copied().flatten()
    }

    fn heed(&mut self) {
        let now = tick();
        if self.looked.is_none_or(|looked| now.since(looked) >= AGAIN) {
            self.looked = Some(now);
            self.look();
        }
    }

    fn look(&mut self) {
        let changed = fs::metadata(FILE).ok().map(|about| (about.mtime(), about.mtime_nsec(), about.len()));
        if changed != self.changed {
            self.names = names(&fs::read_to_string(FILE).unwrap_or_default());
            self.changed = changed;
        }
    }
}

fn names(text: &str) -> HashMap<Box<str>, Option<IpAddr>> {
    let mut found = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or("").split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse().ok());
        words.for_each(|name| _ = found.entry(name.to_ascii_lowercase().into()).or_insert(address));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn every_word_behind_an_address_is_a_name() {
        let mut found: Vec<_> =
            names("127.0.0.1 localhost\n# 1.2.3.4 no\n\n::1\tA b localhost # c\n").into_iter().collect();
        found.sort();
        let found: Vec<_> = found.iter().map(|(name, ip)| (&**name, ip.map(|ip| ip.to_string()))).collect();
        let (v4, v6) = (Some("127.0.0.1".to_owned()), Some("::1".to_owned()));
        assert_eq!(found, [("a", v6.clone()), ("b", v6), ("localhost", v4)]);
    }
}
