//! Nodes that have left without being removed: dead, or cut off and still serving through a front that is cut off with
//! them. For the time of a hand-over they are told of purges like everybody else.

use crate::clock::Tick;
use crate::cluster::views::Node;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// More than these are not remembered; the oldest make way.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub struct Departed(Mutex<BTreeMap<String, (Arc<Node>, Tick)>>);

impl Departed {
    pub fn left(&self, node: &Arc<Node>, now: Tick) {
        let mut departed = self.lock();
        if departed.len() >= MOST
            && let Some(oldest) = departed.iter().min_by_key(|(_, (_, since))| *since).map(|(id, _)| id.clone())
        {
            departed.remove(&oldest);
        }
        departed.insert(node.id.clone(), (node.clone(), now));
    }

    pub fn is_back(&self, id: &str) {
        self.lock().remove(id);
    }

    pub fn list(&self, now: Tick, time: Duration) -> Vec<Arc<Node>> {
        let mut departed = self.lock();
        departed.retain(|_, (_, since)| now.since(*since) < time);
        departed.values().map(|(node, _)| node.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Arc<Node>, Tick)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_remembered_for_a_time_or_until_it_is_back() {
        let departed = Departed::default();
        let node = |id: &str| Arc::new(Node::new(id.to_owned(), "10.0.0.1:1".parse().unwrap(), 1, false));
        departed.left(&node("a"), Tick(1000));
        departed.left(&node("b"), Tick(2000));
        let ids = |now| {
            let nodes = departed.list(Tick(now), Duration::from_secs(10));
            nodes.iter().map(|node| node.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(10_999), ["a", "b"]);
        assert_eq!(ids(11_000), ["b"]);
        departed.is_back("b");
        assert!(ids(0).is_empty());
        (0..=MOST as u64).for_each(|i| departed.left(&node(&format!("n{i}")), Tick(i)));
        assert_eq!(departed.lock().len(), MOST);
        assert!(!departed.lock().contains_key("n0"));
    }
}
