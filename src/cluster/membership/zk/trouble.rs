//! Why something could not be done in ZooKeeper, and what the log has said of its records.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Why something could not be done in ZooKeeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZkError {
    /// The session is over: a new one is needed.
    Over(String),
    /// No answer: it may come when the connection is back, and whether it was done is not known.
    Unknown(String),
    /// Somebody else was faster: read again.
    Conflict,
    /// The lock is lost: this front does not lead any more.
    Fenced,
    /// That one thing is not done by this session nor by another one, until somebody changes what is there: where that is,
    /// and why, with the cure.
    Refused { path: String, why: String },
}

pub const RETRY: Duration = Duration::from_millis(500);
/// What is refused is asked for again, for somebody may have changed what is there, but not as often.
const REFUSED: Duration = Duration::from_secs(5);

impl ZkError {
    /// Until it is tried again.
    pub fn pause(&self) -> Duration {
        if matches!(self, ZkError::Refused { .. }) { REFUSED } else { RETRY }
    }
}

impl fmt::Display for ZkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ZkError::Over(why) | ZkError::Unknown(why) => f.write_str(why),
            ZkError::Conflict => f.write_str("somebody else wrote at the same time"),
            ZkError::Fenced => f.write_str("the lock is lost"),
            ZkError::Refused { path, why } => write!(f, "{path}: {why}"),
        }
    }
}

impl std::error::Error for ZkError {}

/// So much is said.
const MOST: usize = 128;
/// So much of a path is shown.
const LONGEST: usize = 256;
const LEFT_OUT: &str = "is left out: ";

/// What the log has said of which place: that is said once. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SaidOnce(Arc<Mutex<BTreeSet<(String, String)>>>);

impl SaidOnce {
    /// What is so of the place, as a clause that its name begins.
    pub fn say(&self, path: &str, what: &str) {
        let path: String = path.chars().take(LONGEST).collect();
        if self.is_new(&path, what) {
            tracing::warn!("in ZooKeeper {path:?} {what}");
        }
    }

    /// A record that is as if it were not there, and why.
    pub fn left_out(&self, path: &str, why: &str) {
        self.say(path, &format!("{LEFT_OUT}{why}"));
    }

    fn is_new(&self, path: &str, what: &str) -> bool {
        let mut said = self.said();
        said.len() < MOST && said.insert((path.to_owned(), what.to_owned()))
    }

    /// These are left out no more: were they again, it would be news.
    pub fn are_read(&self, is_read: impl Fn(&str) -> bool) {
        self.said().retain(|(path, what)| !what.starts_with(LEFT_OUT) || !is_read(path));
    }

    fn said(&self) -> MutexGuard<'_, BTreeSet<(String, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_so_of_a_place_is_said_once_and_again_when_it_was_not_so_in_between() {
        let named = SaidOnce::default();
        let new = |path: &str, what: &str| named.is_new(path, what);
        let closed = "is left out: closed";
        assert!(new("/a", closed) && !new("/a", closed) && new("/a", "stays") && new("/b", closed));
        named.are_read(|path| path == "/a");
        assert!(new("/a", closed) && !new("/a", "stays") && !new("/b", closed));
        let many = (0..1000).filter(|i| new(&i.to_string(), closed)).count();
        assert_eq!(many, MOST - 3, "so much is said");
        named.are_read(|path| path != "/a");
        assert!(new("/b", closed), "there is room again");
    }
}
