//! Which names the hosts file has: they are resolved without any server.

use crate::clock::{Tick, tick};
use std::collections::HashSet;
use std::fs;
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
    names: HashSet<Box<str>>,
}

impl Hosts {
    /// In any letter case. Where there is no such file nobody is in it.
    pub(super) fn has(&mut self, host: &str) -> bool {
        let now = tick();
        if self.looked.is_none_or(|looked| now.since(looked) >= AGAIN) {
            self.looked = Some(now);
            self.look();
        }
        self.names.contains(&*host.to_ascii_lowercase())
    }

    fn look(&mut self) {
        let changed = fs::metadata(FILE).ok().map(|about| (about.mtime(), about.mtime_nsec(), about.len()));
        if changed != self.changed {
            self.names = names(&fs::read_to_string(FILE).unwrap_or_default());
            self.changed = changed;
        }
    }
}

fn names(text: &str) -> HashSet<Box<str>> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or(""));
    lines.flat_map(|line| line.split_ascii_whitespace().skip(1)).map(|name| name.to_ascii_lowercase().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn every_word_behind_an_address_is_a_name() {
        let mut found: Vec<_> = names("127.0.0.1 localhost\n# 1.2.3.4 no\n\n::1\tA b # c\n").into_iter().collect();
        found.sort();
        assert_eq!(found.iter().map(|n| &**n).collect::<Vec<_>>(), ["a", "b", "localhost"]);
    }
}
