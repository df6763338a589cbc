//! Validates in the background what was just served stale (RFC 5861 section 3): each variant once, whoever else asks
//! meanwhile and however.

use super::Node;
use super::ask::Ask;
use super::collapse::{Got, join_or_lead};
use super::confirm::Kept;
use super::fill::Fate;
use super::forgotten::Since;
use crate::clock::{Tick, tick};
use crate::store::Entry;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// After a refresh that came to nothing the origin is left alone for so many milliseconds.
const PAUSE: u64 = 1000;
/// With so many under way or pausing, what else is stale waits for its turn.
const MOST: usize = 4096;

/// By the hash of URL and variant.
#[derive(Debug, Default)]
pub struct Refreshes(RefCell<HashMap<u64, Turn>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Running,
    NotBefore(Tick),
}

impl Refreshes {
    /// Whether it is this one's turn; then [`end`](Refreshes::end) is to follow.
    fn begin(&self, variant: u64, now: Tick) -> bool {
        let mut turns = self.0.borrow_mut();
        if turns.len() >= MOST {
            turns.retain(|_, turn| !turn.is_over(now));
        }
        let is_free = turns.get(&variant).map_or(turns.len() < MOST, |turn| turn.is_over(now));
        if is_free {
            turns.insert(variant, Turn::Running);
        }
        is_free
    }

    fn end(&self, variant: u64, renewed: bool, now: Tick) {
        let mut turns = self.0.borrow_mut();
        match renewed {
            true => turns.remove(&variant),
            false => turns.insert(variant, Turn::NotBefore(Tick(now.0.saturating_add(PAUSE)))),
        };
    }
}

impl Turn {
    fn is_over(self, now: Tick) -> bool {
        matches!(self, Turn::NotBefore(then) if then.0 <= now.0)
    }
}

/// Begins one for what this request was answered with, unless it is not its turn.
pub fn begin(node: &Rc<Node>, ask: &Ask, stale: &Arc<Entry>) {
    let variant = variant(stale);
    if !node.refreshes.begin(variant, tick()) {
        return;
    }
    let running = Running { node: node.clone(), variant, renewed: Cell::new(false) };
    let (ask, stale, began) = (Rc::new(ask.for_everyone(&stale.terms)), stale.clone(), node.begins());
    tokio::task::spawn_local(async move { running.renewed.set(renew(&running.node, &ask, stale, began).await) });
}

async fn renew(node: &Rc<Node>, ask: &Rc<Ask>, stale: Arc<Entry>, began: Since) -> bool {
    // It was purged before this task had its turn: there is nothing to be renewed.
    if node.fate(began, &ask.key) == Fate::Forget {
        return false;
    }
    match join_or_lead(node, ask, Some(stale)).await {
        Ok(Got::Filling(_, reader, _)) if reader.fate() == Fate::Store => reader.follow_to_the_end().await,
        Ok(Got::Validated(confirmed, _)) => confirmed.kept == Kept::Stored,
        _ => false,
    }
}

/// Ends its turn however its task ends.
struct Running {
    node: Rc<Node>,
    variant: u64,
    renewed: Cell<bool>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.node.refreshes.end(self.variant, self.renewed.get(), tick());
    }
}

fn variant(entry: &Entry) -> u64 {
    let mut hash = Xxh3::new();
    for text in [entry.key(), entry.vary(), entry.selecting()] {
        hash.update(&text.len().to_le_bytes());
        hash.update(text);
    }
    hash.update(&[entry.mark as u8]);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_renewed_once_at_a_time_and_after_a_failure_not_at_once() {
        let refreshes = Refreshes::default();
        let begin = |variant, now| refreshes.begin(variant, Tick(now));
        assert!(begin(1, 0) && !begin(1, 5) && begin(2, 5));
        refreshes.end(1, true, Tick(10));
        assert!(begin(1, 10));
        refreshes.end(1, false, Tick(20));
        assert!(!begin(1, 20 + PAUSE - 1) && begin(1, 20 + PAUSE));
    }

    #[test]
    fn countless_variants_wait_for_their_turn() {
        let refreshes = Refreshes::default();
        assert_eq!((0..=MOST as u64).filter(|n| refreshes.begin(*n, Tick(0))).count(), MOST);
        refreshes.end(7, false, Tick(0));
        assert!(!refreshes.begin(u64::MAX, Tick(PAUSE - 1)) && refreshes.begin(u64::MAX, Tick(PAUSE)));
    }
}
