//! PURE. Since when a node answers for a key: another that did before may have answered with something newer than what this one
//! has from an earlier time (docs/link.md, One owner).

use super::route::{Candidate, Where};
use crate::cluster::views::{Millis, Node, View};
use crate::wire::target::Key;
use crate::wire::tenure::Tenure;

/// So much earlier counts as well: by as much the message may be late in which the numbers stand, and who has just fetched something
/// for one is not to fetch it again for the next.
const SLACK: Millis = 100;

/// What the node that is asked may answer with unasked. `None`, as nearly always: whatever it has, since it has been the owner for
/// long.
/// `can_ask`: it heeds whom it is told to ask; `peer`: since when what that one has counts, where that is known.
pub fn tenure(
    view: &View,
    key: &Key,
    place: Where,
    asked: Candidate,
    (can_ask, peer): (bool, Option<Millis>),
    now: Millis,
) -> Option<Tenure> {
    let node = view.nodes.get(asked.index)?;
    let is_owner = asked.is_owner && asked.instead_of.is_none();
    if is_owner && view.handover.is_none() && !node.has_returned() && node.answers() {
        return None;
    }
    // One that could not ask who answered before is not to ask the origin for all that it holds.
    if is_owner && !can_ask {
        return None;
    }
    // Alone, nobody has answered in its place.
    view.nodes.iter().chain(&view.beside).filter(|node| place.is_for(node)).nth(1)?;
    let order = OwnerOrder { view, position: view.ring.position(key.as_str()), place, now };
    let owner = asked.instead_of.unwrap_or(asked.index);
    let own = order.since(owner)?;
    let lent = match asked.instead_of {
        // The lender has answered with it ever since, if it has been the owner all the while.
        Some(owner) => own.max(Some(order.lends_since(owner)?)),
        None => match order.before(owner).collect::<Vec<_>>()[..] {
            // It stands in for whoever has lent it.
            [other] => Some(order.lends_since(other)?),
            _ => own,
        },
    };
    let peer = peer.map(|since| early(since, 0));
    let millis = |since: Option<Millis>| since.map_or(u64::MAX, |since| now.saturating_sub(since));
    let tenure = Tenure { only: asked.instead_of.is_some(), own: millis(own), lent: millis(lent), peer: millis(peer) };
    (tenure != Tenure::ANY).then_some(tenure)
}

/// A little earlier than `since`, but no earlier than what ended an earlier time of the same kind.
fn early(since: Millis, bound: Millis) -> Millis {
    since.saturating_sub(SLACK).max(bound)
}

/// The owners of a key, one after the other.
struct OwnerOrder<'a> {
    view: &'a View,
    position: u64,
    place: Where,
    now: Millis,
}

impl OwnerOrder<'_> {
    fn node(&self, index: usize) -> Option<&Node> {
        self.view.nodes.get(index).map(|node| &**node)
    }

    /// Since when a node has been the first that could be asked. `Some(None)`: for long; `None`: it is none.
    fn since(&self, index: usize) -> Option<Option<Millis>> {
        let node = self.node(index)?;
        if !node.answers() {
            return Some(Some(early(self.now, node.ceased())));
        }
        let handover = self.view.handover.as_ref();
        let moved = handover.and_then(|handover| handover.since(self.position, &node.id));
        let moved = moved.map(|since| early(since, 0));
        let returned = node.has_returned().then(|| early(node.began(), node.ceased()));
        let others = self.before(index).filter_map(|other| self.node(other));
        // One that still answers could not be reached just now.
        let ends = others.map(|other| (if other.answers() { self.now } else { other.ceased() }, other.began()));
        // Until one of them began it may have stood in once before.
        let stands_in = ends.reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)));
        let stands_in = stands_in.map(|(since, bound)| early(since.max(node.began()).max(self.view.since), bound));
        Some([moved, returned, stands_in].into_iter().flatten().max())
    }

    /// Since when a node has answered with whatever it has lent.
    fn lends_since(&self, index: usize) -> Option<Millis> {
        Some(self.node(index)?.began().max(self.view.since))
    }

    /// Those that come before it, and could be asked.
    fn before(&self, index: usize) -> impl Iterator<Item = usize> + use<'_> {
        let others = self.view.ring.successors(self.position).take_while(move |other| *other != index);
        others.filter(|other| self.node(*other).is_some_and(|node| self.place.is_for(node)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::ring::{Hash, Member, Ring};
    use std::sync::Arc;

    const START: Millis = 1_000;
    const NOW: Millis = 60_000;

    fn ring(nodes: usize) -> Ring {
        Ring::new(Hash::Xxh3, 64, (0..nodes).map(|i| Member { id: format!("n{i}"), weight: 1 }))
    }

    fn view() -> View {
        let node = |i: usize| {
            let node = Node::new(format!("n{i}"), Address::Tcp(format!("10.0.0.{i}:1")), 1, false);
            node.set_up(true, START);
            Arc::new(node)
        };
        View::new(1, ring(4), (0..4).map(node).collect())
    }

    /// The owners of a page, one after the other.
    fn owners(view: &View, key: &Key) -> Vec<usize> {
        view.ring.successors(view.ring.position(key.as_str())).collect()
    }

    /// Of the one in its own right.
    fn own(view: &View, key: &Key, index: usize) -> Option<Tenure> {
        let is_owner = owners(view, key)[0] == index;
        tenure(view, key, Where::Anywhere, Candidate { index, is_owner, instead_of: None }, (true, None), NOW)
    }

    fn since(own: Millis, lent: Millis) -> Option<Tenure> {
        Some(Tenure { own: NOW - own + SLACK, lent: NOW - lent, ..Tenure::ANY })
    }

    #[test]
    fn an_owner_answers_with_whatever_it_has_but_when_others_did_before() {
        let (view, key) = (view(), Key::parse("http://a.example/").unwrap());
        let first = owners(&view, &key)[0];
        assert_eq!(own(&view, &key, first), None);
        view.nodes[first].allow(Some(0), 20_000);
        assert_eq!(
            own(&view, &key, first),
            since(NOW, NOW - SLACK),
            "it is asked though it is slow: nobody else was there"
        );
        view.nodes[first].allow(None, 30_000);
        assert_eq!(own(&view, &key, first), None, "for long");
        view.nodes[first].set_returned(true);
        assert_eq!(own(&view, &key, first), since(30_000, 30_000 - SLACK));
    }

    #[test]
    fn who_stands_in_does_so_since_the_last_before_it_ceased_to_answer() {
        let (view, key) = (view(), Key::parse("http://a.example/").unwrap());
        let [first, second, third, _] = owners(&view, &key)[..] else { panic!("four nodes") };
        assert_eq!(own(&view, &key, second), since(NOW, START), "the first was not to be reached just now");
        view.nodes[first].set_up(false, 20_000);
        assert_eq!(own(&view, &key, second), since(20_000, START), "what the first has lent counts on");
        assert_eq!(own(&view, &key, third), since(NOW, NOW - SLACK), "whoever lent it");
        view.nodes[second].set_doubtful(true, 25_000);
        assert_eq!(own(&view, &key, third), since(25_000, 25_000 - SLACK));
        view.nodes[second].set_doubtful(false, 30_000);
        assert_eq!(own(&view, &key, second), since(30_000, START));
        view.nodes[first].set_up(true, 40_000);
        view.nodes[first].set_up(false, 50_000);
        assert_eq!(own(&view, &key, second), since(50_000, 40_000), "before that another process lent");
        view.nodes[first].set_up(true, 50_950);
        view.nodes[first].set_up(false, 51_000);
        let own = own(&view, &key, second).unwrap().own;
        assert_eq!(own, NOW - 50_950, "a little earlier, but not what it had when it stood in before");
    }

    #[test]
    fn in_the_owners_place_what_it_has_lent_counts_since_it_is_the_owner() {
        let (view, key) = (view(), Key::parse("http://a.example/").unwrap());
        let [first, second, third, _] = owners(&view, &key)[..] else { panic!("four nodes") };
        let instead = |index: usize, of: usize| {
            let asked = Candidate { index, is_owner: false, instead_of: Some(of) };
            tenure(&view, &key, Where::Anywhere, asked, (true, None), NOW)
        };
        let only = |own: Millis, lent: Millis| Some(Tenure { only: true, own, lent: NOW - lent, ..Tenure::ANY });
        assert_eq!(instead(second, first), only(Millis::MAX, START));
        view.nodes[first].set_up(false, 20_000);
        assert_eq!(instead(third, second), only(NOW - 20_000 + SLACK, 20_000 - SLACK), "of the one that stands in");
        view.nodes[first].set_up(true, 30_000);
        assert_eq!(instead(second, first), only(Millis::MAX, 30_000));
    }

    #[test]
    fn a_key_that_has_moved_is_its_new_owners_since_then() {
        let before = view();
        let node = Arc::new(Node::new("n4".to_owned(), Address::Tcp("10.0.0.4:1".to_owned()), 1, false));
        node.set_up(true, 40_000);
        let nodes = before.nodes.iter().cloned().chain([node]).collect();
        let after = View::new(2, ring(5), nodes).after(&before, 45_000, 600_000);
        let keys: Vec<Key> = (0..100).map(|i| Key::parse(&format!("http://a.example/{i}")).unwrap()).collect();
        let (mut moved, mut stayed) = (0, 0);
        for key in &keys {
            let owner = owners(&after, key)[0];
            let expected = if owner == 4 { since(45_000, 45_000 - SLACK) } else { None };
            assert_eq!(own(&after, key, owner), expected, "{}", key.as_str());
            (moved, stayed) = (moved + usize::from(owner == 4), stayed + usize::from(owner != 4));
        }
        assert!(moved > 5 && stayed > 5);
        let over = after.renewed(700_000, 600_000).unwrap();
        assert!(keys.iter().all(|key| own(&over, key, owners(&over, key)[0]).is_none()), "that is long ago");
    }
}
