//! PURE. Who owned a key before: the rings of before a change, for as long as their owners hold what has moved.

use super::node::{Millis, Node};
use crate::ring::Ring;
use std::sync::Arc;

/// When a ring ended that this front has not routed by.
pub const UNKNOWN: Millis = 0;

/// So many rings of before are remembered: one change may follow another before the first has been handed over.
const MOST: usize = 16;

/// Rings of before, the newest first. Immutable; the marks of its nodes are alive.
#[derive(Clone, Debug, Default)]
pub struct Handover {
    rings: Vec<Before>,
    /// When the last of those ended that there was no more room for, and until when it was to be remembered: any key may have been
    /// another's then.
    lost: Option<(Millis, Millis)>,
}

#[derive(Clone, Debug)]
struct Before {
    ring: Arc<Ring>,
    /// `nodes[i]` is `ring.members()[i]`, where that one is still known.
    nodes: Vec<Option<Arc<Node>>>,
    /// When the next ring took its place, or [`UNKNOWN`].
    ended: Millis,
    until: Millis,
}

impl Handover {
    /// With one more ring, which was the last one until now. An empty ring has nothing to hand over.
    pub fn begin(&mut self, ring: Arc<Ring>, known: impl Fn(&str) -> Option<Arc<Node>>, ended: Millis, until: Millis) {
        if ring.members().is_empty() {
            return;
        }
        let nodes = ring.members().iter().map(|member| known(&member.id)).collect();
        self.rings.insert(0, Before { ring, nodes, ended, until });
        let lost = self.rings.drain(MOST.min(self.rings.len())..).map(|before| (before.ended, before.until));
        self.lost = self.lost.into_iter().chain(lost).max();
    }

    /// The same with the nodes as they are known now; whoever is not known any more stays as it was.
    pub fn seated(mut self, known: impl Fn(&str) -> Option<Arc<Node>>) -> Handover {
        for Before { ring, nodes, .. } in &mut self.rings {
            for (node, member) in nodes.iter_mut().zip(ring.members()) {
                *node = known(&member.id).or_else(|| node.take());
            }
        }
        self
    }

    /// What of it lasts at `now`. `None`: nothing. A clock that was put back makes nothing last longer than `time`.
    pub fn at(&self, now: Millis, time: Millis) -> Option<Handover> {
        let lasts = |until: Millis| now < until && until <= now.saturating_add(time);
        let rings: Vec<Before> = self.rings.iter().filter(|before| lasts(before.until)).cloned().collect();
        let lost = self.lost.filter(|(_, until)| lasts(*until));
        (!rings.is_empty()).then_some(Handover { rings, lost })
    }

    /// When the next of the rings is forgotten.
    pub fn next_end(&self) -> Option<Millis> {
        self.rings.iter().map(|before| before.until).chain(self.lost.map(|(_, until)| until)).min()
    }

    /// The newest first.
    pub fn rings(&self) -> impl Iterator<Item = &Ring> {
        self.rings.iter().map(|before| &*before.ring)
    }

    /// Since when `owner` has owned a key, where another did not long ago and that is known.
    pub fn since(&self, position: u64, owner: &str) -> Option<Millis> {
        self.since_before(0, position, owner)
    }

    /// The same of who owned it by the ring `n`.
    fn since_before(&self, n: usize, position: u64, owner: &str) -> Option<Millis> {
        let is_anothers = |before: &&Before| {
            let member = before.ring.owner(position).and_then(|index| before.ring.members().get(index));
            member.is_some_and(|member| member.id != owner)
        };
        let moved = self.rings.get(n..)?.iter().find(is_anothers).map(|before| before.ended);
        moved.or(self.lost.map(|(ended, _)| ended)).filter(|ended| *ended != UNKNOWN)
    }

    /// The last owner of a key before `owner` that is fit to be asked, and since when it was that, where that was not long.
    pub fn previous(
        &self,
        key: &str,
        owner: &Node,
        is_fit: impl Fn(&Node) -> bool,
    ) -> Option<(&Arc<Node>, Option<Millis>)> {
        self.rings.iter().enumerate().find_map(|(n, Before { ring, nodes, .. })| {
            let position = ring.position(key);
            let node = nodes.get(ring.owner(position)?)?.as_ref().filter(|node| node.id != owner.id && is_fit(node))?;
            Some((node, self.since_before(n + 1, position, &node.id)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::ring::{Hash, Member};

    const MINUTES: Millis = 60_000;

    fn ring(ids: &[&str]) -> Arc<Ring> {
        Arc::new(Ring::new(Hash::Xxh3, 64, ids.iter().map(|id| Member { id: (*id).to_owned(), weight: 1 })))
    }

    fn node(id: &str) -> Arc<Node> {
        Arc::new(Node::new(id.to_owned(), Address::Tcp("h:1".to_owned()), 1, true))
    }

    fn known(id: &str) -> Option<Arc<Node>> {
        (id != "gone").then(|| node(id))
    }

    fn owner(ring: &Ring, key: &str) -> String {
        ring.members()[ring.owner(ring.position(key)).unwrap()].id.clone()
    }

    fn keys() -> impl Iterator<Item = String> {
        (0..500).map(|i| format!("http://h/{i}"))
    }

    #[test]
    fn it_lasts_its_time_and_no_longer() {
        let mut handover = Handover::default();
        handover.begin(ring(&["a"]), known, 0, 10 * MINUTES);
        handover.begin(ring(&["a", "b"]), known, 0, 12 * MINUTES);
        for (now, rings, next) in [
            (2 * MINUTES, 2, Some(10 * MINUTES)),
            (10 * MINUTES - 1, 2, Some(10 * MINUTES)),
            (10 * MINUTES, 1, Some(12 * MINUTES)),
            (12 * MINUTES - 1, 1, Some(12 * MINUTES)),
            (12 * MINUTES, 0, None),
            (1, 1, Some(10 * MINUTES)),
        ] {
            let at = handover.at(now, 10 * MINUTES);
            assert_eq!(at.as_ref().map_or(0, |at| at.rings.len()), rings, "{now}");
            assert_eq!(at.and_then(|at| at.next_end()), next, "{now}");
        }
    }

    #[test]
    fn the_last_owner_before_this_one_is_named() {
        let (first, second) = (ring(&["a", "b"]), ring(&["a", "b", "c"]));
        let mut handover = Handover::default();
        handover.begin(first.clone(), known, 0, MINUTES);
        handover.begin(second.clone(), known, 0, MINUTES);
        let now = ring(&["a", "b", "c", "d"]);
        let mut skipped = 0;
        for key in keys() {
            let asked = node(&owner(&now, &key));
            let rings = [&second, &first].map(|ring| owner(ring, &key));
            let expected = rings.iter().find(|id| **id != asked.id);
            let named = handover.previous(&key, &asked, |_| true).map(|(node, _)| &node.id);
            assert_eq!(named, expected, "{key}");
            skipped += usize::from(expected == Some(&rings[1]) && rings[0] == asked.id);
        }
        assert!(skipped > 50, "what c had not yet asked for when d came is still named: {skipped}");
    }

    #[test]
    fn who_is_not_fit_or_not_known_is_not_named() {
        let mut handover = Handover::default();
        handover.begin(ring(&["a", "gone"]), known, 0, MINUTES);
        let asked = node("b");
        for key in keys() {
            let named = handover.previous(&key, &asked, |_| true).map(|(node, _)| node.id.as_str());
            assert_ne!(named, Some("gone"));
            assert!(handover.previous(&key, &asked, |_| false).is_none());
        }
    }

    #[test]
    fn a_key_is_owned_since_the_last_change_that_moved_it() {
        let mut handover = Handover::default();
        handover.begin(ring(&["a", "b"]), known, 100, MINUTES);
        handover.begin(ring(&["a", "b", "c"]), known, 200, MINUTES);
        let now = ring(&["a", "b", "c", "d"]);
        let position = |key: &str| now.position(key);
        for key in keys() {
            let (owner, before) = (owner(&now, &key), owner(&ring(&["a", "b", "c"]), &key));
            let expected = match (owner == before, before == "c") {
                (false, _) => Some(200),
                (true, true) => Some(100),
                (true, false) => None,
            };
            assert_eq!(handover.since(position(&key), &owner), expected, "{key}: {before}, {owner}");
        }
    }

    #[test]
    fn whom_there_is_no_more_room_for_may_have_owned_any_key() {
        let mut handover = Handover::default();
        (1..=MOST as Millis + 2).for_each(|n| handover.begin(ring(&["a"]), known, n, MINUTES));
        let position = ring(&["a"]).position("http://h/");
        assert_eq!(handover.since(position, "b"), Some(MOST as Millis + 2), "a had it until then");
        assert_eq!(handover.since(position, "a"), Some(2), "nobody knows who had it before");
        let over = handover.at(MINUTES, MINUTES);
        assert!(over.is_none());
        let named = handover.previous("http://h/", &node("b"), |_| true).map(|(node, since)| (&*node.id, since));
        assert_eq!(named, Some(("a", Some(2))));
    }

    #[test]
    fn changes_upon_changes_are_bounded() {
        let mut handover = Handover::default();
        (0..20).for_each(|_| handover.begin(ring(&["a"]), known, 0, MINUTES));
        handover.begin(ring(&[]), known, 0, MINUTES);
        assert_eq!(handover.rings.len(), MOST);
    }

    #[test]
    fn a_node_under_a_new_address_takes_the_place_of_the_old_one() {
        let mut handover = Handover::default();
        handover.begin(ring(&["a"]), known, 0, MINUTES);
        let moved = node("a");
        let handover = handover.seated(|id| (id == "a").then(|| moved.clone()));
        let (named, _) = handover.previous("http://h/", &node("b"), |_| true).unwrap();
        assert!(Arc::ptr_eq(named, &moved));
    }
}
