//! What is done when more is held than may be (docs/caching.md, "What is held").

use super::CacheNode;
use super::fill::{Fate, Fill, FillStage};
use super::fills::Fills;
use super::outdone;
use super::settled::Unstored;
use crate::account::{self, AccountKind};
use crate::clock::{Tick, tick};
use crate::store::Then;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Of all that may be held: what one fill may have, and those of one origin, before they are the first to be given up.
const OF_FILL: u64 = 4;
const OF_ORIGIN: u64 = 2;
/// So long a fill waits for room when there is none: by then it has been made, unless this takes all that there is.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at what can be let go, while too much is held.
const LOOK: Duration = Duration::from_millis(10);
/// What is behind the disk with half of what may be held is not stored, where that is too much for so long.
const BEHIND: Duration = Duration::from_millis(250);
/// Between two looks at what can be given back to the system.
const TIDY: Duration = Duration::from_secs(1);

impl CacheNode {
    /// What asks for room brings nothing more until there is some.
    pub async fn make_room(&self) {
        self.relieve();
        tokio::task::yield_now().await;
        account::room(PATIENCE).await;
    }

    /// Lets go of what nobody needs, and gives fills up, where fills have taken more than their half; where readers have, the
    /// slowest is cut (by the sweep of `net::serve`), unless those who are quick take enough before that.
    fn relieve(&self) {
        if account::is_over() {
            self.fills.all().iter().for_each(|fill| fill.let_go_of_needless());
        }
        while account::is_over()
            && account::held(AccountKind::Fills) >= account::limit() / 2
            && let Some(fill) = self.fills.first_to_go(tick())
        {
            self.give_up(&fill);
        }
    }

    /// It goes on without being stored; or without being kept in memory, where the disk has it.
    fn give_up(&self, fill: &Fill) {
        if fill.is_spilled() && !fill.is_large() {
            return fill.grows_large();
        }
        let why = match fill.spill().filter(|_| fill.is_large()) {
            Some(spill) => {
                spill.give_up();
                Unstored::LeftByDisk
            }
            None => Unstored::Busy,
        };
        outdone::unkept(self, fill, why, Then::AsBefore);
        fill.set_fate(Fate::Forget);
    }
}

impl Fills {
    /// The slowest of those that have more than their own share, or else of an origin that has, or else of all.
    fn first_to_go(&self, now: Tick) -> Option<Rc<Fill>> {
        let all: Vec<_> = self.all().into_iter().filter(|fill| is_storing(fill) && may_go(fill, now)).collect();
        let mut of_origins: HashMap<&str, u64> = HashMap::new();
        all.iter().for_each(|fill| *of_origins.entry(origin(&fill.key)).or_default() += fill.held());
        let limit = account::limit();
        let is_large = |fill: &Fill| fill.held() > limit / OF_FILL;
        let is_of_many = |fill: &Fill| of_origins.get(origin(&fill.key)).is_some_and(|all| *all > limit / OF_ORIGIN);
        all.iter().min_by_key(|fill| (!is_large(fill), !is_of_many(fill), fill.pace(now))).cloned()
    }
}

fn is_storing(fill: &Fill) -> bool {
    let is_coming = matches!(fill.stage(), FillStage::Streaming(_)) && !fill.is_whole();
    fill.fate() == Fate::Store && fill.held() > 0 && is_coming
}

/// Of what memory does not keep there is only what waits for the disk.
fn may_go(fill: &Fill, now: Tick) -> bool {
    !fill.is_large() || !fill.is_spilled() || account::over_for(now) >= BEHIND
}

/// Scheme and authority of a key's text.
fn origin(key: &str) -> &str {
    let after = key.find("://").map_or(0, |at| at + 3);
    key[after..].find('/').map_or(key, |end| &key[..after + end])
}

/// Makes room, for as long as the node runs.
pub async fn mind(node: Rc<CacheNode>) {
    tokio::join!(relieve(node.clone()), tidy(node));
}

/// Whenever there is none: also of what brings nothing more.
async fn relieve(node: Rc<CacheNode>) {
    loop {
        account::over().await;
        node.relieve();
        tokio::time::sleep(LOOK).await;
    }
}

/// Drops what was evicted and gives it back to the system.
async fn tidy(node: Rc<CacheNode>) {
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
