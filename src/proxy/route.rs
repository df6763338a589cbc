//! Which nodes may answer a request, in order.

use crate::cluster::view::View;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::view::Node;
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
