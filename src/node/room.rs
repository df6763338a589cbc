//! What is done when more is held than may be (docs/caching.md, "What is held").

use super::CacheNode;
use super::fill::{Fate, Fill, FillStage};
use super::fills::Fills;
use super::settled::Unstored;
use crate::account::{self, AccountKind};
use crate::clock::{Tick, tick};
use crate::store::Then;
use crate::wire::target::Key;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Of all that may be held: what one fill may have, and those of one origin, before they are the first to be given up.
const OF_FILL: u64 = 4;
const OF_ORIGIN: u64 = 2;
/// So long a fill waits for room when there is none: by then it has been made, unless this takes all that there is.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at what can be given back to the system.
const TIDY: Duration = Duration::from_secs(1);

impl CacheNode {
    /// Gives fills up, where fills have taken more than their half; where readers have, the slowest is cut (by the sweep of
    /// `net::serve`), unless those who are quick take enough before that. What asks for room brings nothing more until then.
    pub async fn make_room(&self) {
        while account::is_over()
            && account::held(AccountKind::Fills) >= account::limit() / 2
            && let Some(fill) = self.fills.first_to_go(tick())
        {
            if fill.is_spilled() {
                fill.grows_large();
                continue;
            }
            if let Ok(key) = Key::parse(&fill.key) {
                self.uncacheable.note(&key, Unstored::Busy, Then::AsBefore);
            }
            fill.set_fate(Fate::Forget);
        }
        tokio::task::yield_now().await;
        account::room(PATIENCE).await;
    }
}

impl Fills {
    /// The slowest of those that have more than their own share, or else of an origin that has, or else of all.
    fn first_to_go(&self, now: Tick) -> Option<Rc<Fill>> {
        let all: Vec<_> = self.all().into_iter().filter(|fill| is_storing(fill) && !fill.is_large()).collect();
        let mut of_origins: HashMap<&str, u64> = HashMap::new();
        all.iter().for_each(|fill| *of_origins.entry(origin(&fill.key)).or_default() += fill.held());
        let limit = account::limit();
        let is_large = |fill: &Fill| fill.held() > limit / OF_FILL;
        let is_of_many = |fill: &Fill| of_origins.get(origin(&fill.key)).is_some_and(|all| *all > limit / OF_ORIGIN);
        all.iter().min_by_key(|fill| (!is_large(fill), !is_of_many(fill), fill.pace(now))).cloned()
    }
}

fn is_storing(fill: &Fill) -> bool {
    fill.fate() == Fate::Store && fill.held() > 0 && matches!(fill.stage(), FillStage::Streaming(_))
}

/// Scheme and authority of a key's text.
fn origin(key: &str) -> &str {
    let after = key.find("://").map_or(0, |at| at + 3);
    key[after..].find('/').map_or(key, |end| &key[..after + end])
}

/// Drops what was evicted and gives it back to the system, for as long as the node runs.
pub async fn tidy(node: Rc<CacheNode>) {
    let mut interval = tokio::time::interval(TIDY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut trim = crate::alloc::Trim::default();
    loop {
        interval.tick().await;
        node.store.tidy();
        trim.look(account::freed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_key_is_what_stands_before_its_path() {
        for (key, expected) in [
            ("http://a.example/", "http://a.example"),
            ("http://a.example:8080/b/c?d", "http://a.example:8080"),
            ("https://[::1]:1/", "https://[::1]:1"),
            ("odd", "odd"),
        ] {
            assert_eq!(origin(key), expected);
        }
    }
}
