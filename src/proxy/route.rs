//! Which nodes may answer a request, in order.

use crate::cluster::view::{Node, View};
use crate::net::rules::{Reach, reach};
use crate::wire::target::{Host, Key};

/// Whose answer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    Anywhere,
    /// The target is this machine's loopback: on another machine it would be a different one.
    ThisMachine,
}

/// Where a URL can be fetched.
pub fn place(key: &Key) -> Where {
    let local = match key.host() {
        Host::Ip(ip) => reach(ip, &[]) == Reach::SameMachine,
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost") || name == "localhost.",
    };
    if local { Where::ThisMachine } else { Where::Anywhere }
}

/// The nodes (by index in the view) to be asked for a key, in order: the ring's successors that are up. With bounded
/// loads (`factor` not 0) the first is the first that has room.
pub fn candidates<'a>(view: &'a View, key: &Key, place: Where, factor: f64) -> impl Iterator<Item = usize> + use<'a> {
    let position = view.ring.position(key.as_str());
    let serves = move |index: usize| {
        view.nodes.get(index).is_some_and(|node| node.is_up() && (place == Where::Anywhere || node.same_machine))
    };
    let load = |index: usize| view.nodes.get(index).map_or(0, |n| n.load.load(std::sync::atomic::Ordering::Relaxed));
    let first = if factor > 0.0 { view.ring.owner_bounded(position, factor, load) } else { view.ring.owner(position) };
    let first = first.filter(|index| serves(*index));
    // The successors are worked out only when the first could not answer.
    let rest = std::iter::once(position).flat_map(move |position| view.ring.successors(position));
    first.into_iter().chain(rest.filter(move |index| Some(*index) != first && serves(*index)))
}

/// Whom the node at `asked` is to ask before the origin: who owned the key before it, or stood in for it while it was
/// away. `None`, as nearly always: nobody.
pub fn peer<'a>(view: &'a View, key: &Key, place: Where, asked: usize) -> Option<&'a Node> {
    let owner = view.nodes.get(asked)?;
    if view.handover.is_none() && !owner.has_returned() {
        return None;
    }
    let is_fit = |node: &Node| is_fit(node, owner, place);
    let before = view.handover.as_ref().and_then(|handover| handover.previous(key.as_str(), owner, is_fit));
    before.map(|node| &**node).or_else(|| owner.has_returned().then(|| stand_in(view, key, owner, is_fit))?)
}

/// The first of the other nodes that is up, which had its requests while it was not.
fn stand_in<'a>(view: &'a View, key: &Key, owner: &Node, is_fit: impl Fn(&Node) -> bool) -> Option<&'a Node> {
    let mut order = view.ring.successors(view.ring.position(key.as_str()));
    let others = order.by_ref().filter_map(|index| view.nodes.get(index)).filter(|node| node.id != owner.id);
    others.map(|node| &**node).find(|node| is_fit(node))
}

/// Whether `owner` can ask this node, and may believe its answer.
fn is_fit(node: &Node, owner: &Node, place: Where) -> bool {
    // Between two machines an address must not be one that means another place on each.
    let reachable = owner.same_machine && node.same_machine || !node.address.is_local();
    // This machine's loopback is not what another machine has stored under the same URL.
    let of_place = place == Where::Anywhere || node.same_machine;
    node.is_up() && !node.is_doubtful() && reachable && of_place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::ring::{Hash, Member, Ring};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    /// Nodes n0 to n4, all up, of which n0 to n2 are on this machine.
    fn view() -> View {
        let member = |i: usize| Member { id: format!("n{i}"), weight: 1 };
        let node = |i: usize| {
            let node = Node::new(format!("n{i}"), Address::Tcp(format!("10.0.0.{i}:1")), 1, i < 3);
            node.set_up(true);
            Arc::new(node)
        };
        let ring = Ring::new(Hash::Xxh3, 64, (0..5).map(member));
        View::new(1, ring, (0..5).map(node).collect())
    }

    fn order(view: &View, url: &str) -> Vec<usize> {
        let key = Key::parse(url).unwrap();
        candidates(view, &key, place(&key), 0.0).collect()
    }

    #[test]
    fn every_node_is_asked_once_the_owner_first() {
        let view = view();
        let order = order(&view, "http://a.example/");
        let position = view.ring.position("http://a.example/");
        assert_eq!(order, view.ring.successors(position).collect::<Vec<_>>());
        assert_eq!(order.len(), 5);
    }

    #[test]
    fn a_node_that_is_not_up_is_passed_over() {
        let view = view();
        let before = order(&view, "http://a.example/");
        view.nodes[before[0]].set_up(false);
        view.nodes[before[2]].set_up(false);
        assert_eq!(order(&view, "http://a.example/"), [before[1], before[3], before[4]]);
    }

    #[test]
    fn loopback_is_fetched_only_on_this_machine() {
        let view = view();
        for url in ["http://127.0.0.1/", "http://localhost:8080/", "http://[::1]/", "http://a.localhost/"] {
            let mut nodes = order(&view, url);
            nodes.sort_unstable();
            assert_eq!(nodes, [0, 1, 2], "{url}");
        }
        assert_eq!(order(&view, "http://notlocalhost/").len(), 5);
    }

    const KEY: &str = "http://a.example/";

    /// The view that follows [`view`] when `n5` has joined, and the key's owners in both where the key has moved.
    fn joined(at: &str, here: bool) -> (View, Key, usize, Arc<Node>) {
        let before = view();
        let mut members = before.ring.members().to_vec();
        members.push(Member { id: "n5".to_owned(), weight: 1 });
        let node = Arc::new(Node::new("n5".to_owned(), at.parse().unwrap(), 1, here));
        node.set_up(true);
        let nodes = before.nodes.iter().cloned().chain([node]).collect();
        let after = View::new(2, Ring::new(Hash::Xxh3, 64, members), nodes).after(&before, 0, 1000);
        let owner = |view: &View, key: &Key| view.ring.owner(view.ring.position(key.as_str())).unwrap();
        let keys = (0..).map(|i| Key::parse(&format!("http://a.example/{i}")).unwrap());
        let key = keys.into_iter().find(|key| owner(&after, key) == 5).unwrap();
        let previous = before.nodes[owner(&before, &key)].clone();
        (after, key, 5, previous)
    }

    fn named(view: &View, key: &Key, asked: usize) -> Option<String> {
        peer(view, key, place(key), asked).map(|node| node.id.clone())
    }

    #[test]
    fn the_owner_of_before_is_named_to_who_has_the_key_now_and_to_who_stands_in_for_it() {
        let (view, key, owner, previous) = joined("10.0.0.5:1", false);
        assert_eq!(named(&view, &key, owner), Some(previous.id.clone()));
        let own = view.ring.index_of(&previous.id).unwrap();
        assert_eq!(named(&view, &key, own), None, "nobody asks itself");
        for asked in (0..5).filter(|asked| *asked != own) {
            assert_eq!(named(&view, &key, asked), Some(previous.id.clone()), "n{asked} stands in");
        }
        let stays = (0..).map(|i| Key::parse(&format!("http://b.example/{i}")).unwrap());
        let stays = stays.into_iter().find(|key| order(&view, key.as_str())[0] != 5).unwrap();
        assert_eq!(named(&view, &stays, order(&view, stays.as_str())[0]), None, "nothing moved");
        let ended = view.without_ended(1000, 1000).unwrap();
        assert_eq!(named(&ended, &key, owner), None, "the hand-over is over");
    }

    #[test]
    fn who_is_down_or_may_hold_what_was_purged_is_not_named() {
        let (view, key, owner, previous) = joined("10.0.0.5:1", false);
        for (up, doubtful, expected) in [(false, false, false), (true, true, false), (true, false, true)] {
            previous.set_up(up);
            previous.set_doubtful(doubtful);
            assert_eq!(named(&view, &key, owner).is_some(), expected, "up {up}, doubtful {doubtful}");
        }
    }

    #[test]
    fn a_peer_is_named_only_where_the_asking_node_reaches_it() {
        // (the previous owner's address, on this machine), (the new owner's), whether it can ask
        let rows = [
            (("unix:/a", true), ("unix:/b", true), true),
            (("unix:/a", true), ("127.0.0.1:1", true), true),
            (("unix:/a", true), ("10.0.0.5:1", false), false),
            (("127.0.0.1:1", true), ("10.0.0.5:1", false), false),
            (("10.0.0.1:1", false), ("unix:/b", true), true),
            (("10.0.0.1:1", false), ("10.0.0.5:1", false), true),
        ];
        for ((from, from_here), (to, to_here), expected) in rows {
            let node = |id: &str, at: &str, here| Node::new(id.to_owned(), at.parse().unwrap(), 1, here);
            let (from, to) = (node("a", from, from_here), node("b", to, to_here));
            from.set_up(true);
            assert_eq!(is_fit(&from, &to, Where::Anywhere), expected, "{} by {}", from.address, to.address);
            assert_eq!(is_fit(&from, &to, Where::ThisMachine), expected && from_here, "{}", from.address);
        }
    }

    #[test]
    fn a_node_that_was_away_asks_its_stand_in() {
        let view = view();
        let key = Key::parse(KEY).unwrap();
        let order = order(&view, KEY);
        assert_eq!(named(&view, &key, order[0]), None);
        view.nodes[order[0]].set_returned(true);
        view.nodes[order[1]].set_up(false);
        // Nodes 0 to 2 are on this machine, and all have addresses that mean the same everywhere.
        assert_eq!(named(&view, &key, order[0]), Some(view.nodes[order[2]].id.clone()));
    }

    #[test]
    fn a_node_with_too_much_load_is_not_the_first() {
        let view = view();
        let key = Key::parse("http://a.example/").unwrap();
        let owner = order(&view, key.as_str())[0];
        view.nodes[owner].load.store(1000, Ordering::Relaxed);
        let bounded: Vec<_> = candidates(&view, &key, Where::Anywhere, 1.25).collect();
        assert_ne!(bounded[0], owner);
        assert_eq!(bounded.len(), 5, "it is still there to fall back on");
    }
}
