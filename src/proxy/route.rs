//! Which nodes may answer a request, in order.

use crate::cluster::view::View;
use crate::net::rules::{Reach, reach};
use crate::wire::target::{Host, Key};
use std::sync::atomic::Ordering;

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

/// A node to be asked, by index in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub index: usize,
    /// The owner, where this node is asked on purpose in its place: it is to ask the owner before the origin.
    pub instead_of: Option<usize>,
}

/// What the ring is asked with.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Of the key, on the ring.
    pub position: u64,
    pub place: Where,
    /// How often the key was asked for lately, where that makes it hot: it has two owners then.
    pub heat: Option<u32>,
    /// Bounded loads; 0: off.
    pub factor: f64,
}

/// The nodes to be asked for a key, in order: the ring's successors that are up, those that are slow on what they hold
/// last. The first may be another than the owner, see [`crate::ring::Ring::choose`].
pub fn candidates(view: &View, asked: Asked) -> impl Iterator<Item = Candidate> + use<'_> {
    let Asked { position, place, .. } = asked;
    let serves = move |index: &usize| {
        view.nodes.get(*index).is_some_and(|node| node.is_up() && (place == Where::Anywhere || node.same_machine))
    };
    let is_slow = move |index: &usize| view.nodes.get(*index).is_some_and(|node| node.pace.is_slow());
    let first = first(view, asked, |index| serves(&index), |index| is_slow(&index));
    let first_index = first.map(|first| first.index);
    // The successors are worked out only when the first could not answer.
    let all = move || std::iter::once(position).flat_map(move |position| view.ring.successors(position));
    let others = move || all().filter(move |index| Some(*index) != first_index && serves(index));
    let quick = others().filter(move |index| !is_slow(index));
    first.into_iter().chain(quick.chain(others().filter(is_slow)).map(Candidate::plain))
}

fn first(
    view: &View,
    asked: Asked,
    serves: impl Fn(usize) -> bool,
    is_slow: impl Fn(usize) -> bool,
) -> Option<Candidate> {
    let Asked { position, heat, factor, .. } = asked;
    let owner = view.ring.owner(position).filter(|index| serves(*index));
    match owner {
        // A trickle of what it owns shows whether it still is.
        Some(owner) if is_slow(owner) => {
            if view.nodes[owner].pace.admits() {
                return Some(Candidate::plain(owner));
            }
        }
        Some(owner) if heat.is_none() && factor <= 0.0 => return Some(Candidate::plain(owner)),
        _ => {}
    }
    let load = |index: usize| {
        let node = view.nodes.get(index).filter(|_| serves(index) && !is_slow(index))?;
        Some(node.load.load(Ordering::Relaxed))
    };
    let choice = view.ring.choose(position, heat, factor, load)?;
    let instead_of = (choice.member != choice.owner).then_some(choice.owner);
    Some(Candidate { index: choice.member, instead_of })
}

impl Candidate {
    fn plain(index: usize) -> Candidate {
        Candidate { index, instead_of: None }
    }
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
        View { epoch: 1, ring, nodes: (0..5).map(node).collect() }
    }

    fn order(view: &View, url: &str) -> Vec<usize> {
        candidates(view, asked(view, url)).map(|candidate| candidate.index).collect()
    }

    fn asked(view: &View, url: &str) -> Asked {
        let key = Key::parse(url).unwrap();
        Asked { position: view.ring.position(key.as_str()), place: place(&key), heat: None, factor: 0.0 }
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
    fn a_node_with_too_much_load_is_not_the_first_and_asks_the_owner() {
        let (view, url) = (view(), "http://a.example/");
        let owner = order(&view, url)[0];
        view.nodes[owner].load.store(1000, Ordering::Relaxed);
        let bounded: Vec<_> = candidates(&view, Asked { factor: 1.25, ..asked(&view, url) }).collect();
        assert_ne!(bounded[0].index, owner);
        assert_eq!(bounded[0].instead_of, Some(owner));
        assert_eq!(bounded.len(), 5, "it is still there to fall back on");
        assert!(bounded[1..].iter().all(|candidate| candidate.instead_of.is_none()));
    }

    #[test]
    fn a_hot_key_has_two_owners_of_which_the_less_loaded_is_asked() {
        let (view, url) = (view(), "http://a.example/");
        let order = order(&view, url);
        let hot = Asked { heat: Some(1000), ..asked(&view, url) };
        let first = || candidates(&view, hot).next().unwrap();
        assert_eq!(first(), Candidate::plain(order[0]));
        view.nodes[order[0]].load.store(1, Ordering::Relaxed);
        assert_eq!(first(), Candidate { index: order[1], instead_of: Some(order[0]) });
        view.nodes[order[0]].set_up(false);
        view.nodes[order[1]].load.store(1, Ordering::Relaxed);
        assert_eq!(first(), Candidate { index: order[2], instead_of: Some(order[1]) });
    }

    #[test]
    fn a_slow_node_is_asked_last_but_for_a_trickle_of_what_it_owns() {
        let (view, url) = (view(), "http://a.example/");
        let before = order(&view, url);
        view.nodes[before[0]].pace.allow(Some(1));
        view.nodes[before[2]].pace.allow(Some(1));
        assert_eq!(
            order(&view, url),
            [before[0], before[1], before[3], before[4], before[2]],
            "the one of the trickle"
        );
        let last = [before[1], before[3], before[4], before[0], before[2]];
        assert_eq!([order(&view, url), order(&view, url)], [last.to_vec(), last.to_vec()]);
        let hot = Asked { heat: Some(1001), ..asked(&view, url) };
        let second = Candidate { index: before[3], instead_of: Some(before[1]) };
        assert_eq!(candidates(&view, hot).next(), Some(second), "nor is it a second owner");
        before[1..].iter().for_each(|index| _ = view.nodes[*index].set_up(*index == before[2]));
        assert_eq!(order(&view, url), [before[0], before[2]], "nobody else is there");
    }
}
