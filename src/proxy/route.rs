//! Which nodes may answer a request, in order.

use crate::cluster::views::{Millis, Node, View};
use crate::net::rules::{Reach, reach};
use crate::wire::target::Key;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

/// Whose answer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    Anywhere,
    /// The target is this machine's loopback: on another machine it would be a different one.
    ThisMachine,
    /// The target is on a machine of nodes of ours, which would be taken there for somebody on it: they are asked last.
    Beside(IpAddr),
}

/// Where a URL can be fetched whose host is at this address, as far as is known.
pub fn place(view: &View, address: Option<IpAddr>) -> Where {
    let Some(ip) = address.map(|ip| ip.to_canonical()) else { return Where::Anywhere };
    match reach(ip, &[], &[]) {
        Reach::SameMachine => Where::ThisMachine,
        _ if view.nodes.iter().any(|node| is_at(node, ip)) => Where::Beside(ip),
        _ => Where::Anywhere,
    }
}

/// Whether a node is on another machine, at this address.
fn is_at(node: &Node, ip: IpAddr) -> bool {
    !node.same_machine && node.ip == Some(ip)
}

impl Where {
    /// Whether a node may fetch from there at all.
    fn allows(self, node: &Node) -> bool {
        self != Where::ThisMachine || node.same_machine
    }

    /// Whether a node is among those that are asked first, where it is well.
    pub fn is_for(self, node: &Node) -> bool {
        self.allows(node) && !matches!(self, Where::Beside(ip) if is_at(node, ip))
    }
}

/// A node to be asked, by index in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub index: usize,
    /// It is the owner by the ring.
    pub is_owner: bool,
    /// The owner, where this node is asked on purpose in its place: it is to ask the owner before the origin.
    pub instead_of: Option<usize>,
}

/// What the ring is asked with.
#[derive(Clone, Copy, Debug)]
pub struct RingQuery {
    /// Of the key, on the ring.
    pub position: u64,
    pub place: Where,
    /// How often the key was asked for lately, where that makes it hot: it has two owners then.
    pub heat: Option<u32>,
    /// Bounded loads; 0: off.
    pub factor: f64,
    /// There is a `[cluster] secret`: without one a node heeds who is named on a Unix socket alone.
    pub proved: bool,
}

/// How gladly a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Liking {
    Gladly,
    /// It is slow on what it holds.
    Slow,
    /// It has missed a purge, so that nothing it holds is of use until it has promised to validate.
    Doubtful,
    /// The target is on its machine.
    Last,
}

/// The nodes to be asked for a key, in order: the ring's successors that are up, then those that are slow on what they
/// hold, then those that may hold what was purged. The first may be another than the owner, see
/// [`crate::ring::Ring::choose`].
pub fn candidates(view: &View, asked: RingQuery) -> impl Iterator<Item = Candidate> + use<'_> {
    let RingQuery { position, place, .. } = asked;
    let serves = move |index: &usize| view.nodes.get(*index).is_some_and(|node| node.is_up() && place.allows(node));
    let liked = move |index: &usize| view.nodes.get(*index).map_or(Liking::Doubtful, |node| liking(node, place));
    let first = first(view, asked, |index| serves(&index), |index| liked(&index));
    // Who was asked in the owner's place comes again where it stands, after the owner: then it answers by itself.
    let first_index = first.filter(|first| first.instead_of.is_none()).map(|first| first.index);
    // The successors are worked out only when the first could not answer.
    let rest = move || {
        let mut others: Vec<_> = view.ring.successors(position).filter(|index| Some(*index) != first_index).collect();
        others.sort_by_key(liked);
        let owner = view.ring.owner(position);
        others.into_iter().filter(serves).map(move |index| Candidate::plain(index, Some(index) == owner))
    };
    first.into_iter().chain(std::iter::once_with(rest).flatten())
}

fn liking(node: &Node, place: Where) -> Liking {
    match (node.is_doubtful(), node.pace.is_slow()) {
        _ if matches!(place, Where::Beside(ip) if is_at(node, ip)) => Liking::Last,
        (true, _) => Liking::Doubtful,
        (false, true) => Liking::Slow,
        (false, false) => Liking::Gladly,
    }
}

fn first(
    view: &View,
    asked: RingQuery,
    serves: impl Fn(usize) -> bool,
    liked: impl Fn(usize) -> Liking,
) -> Option<Candidate> {
    let RingQuery { position, heat, factor, proved, .. } = asked;
    let is_well = |index: &usize| serves(*index) && liked(*index) == Liking::Gladly;
    if heat.is_none()
        && factor <= 0.0
        && let Some(owner) = view.ring.owner(position).filter(is_well)
    {
        return Some(Candidate::plain(owner, true));
    }
    let load = |index: usize| {
        let node = view.nodes.get(index).filter(|_| serves(index) && liked(index) == Liking::Gladly)?;
        Some(node.load.load(Ordering::Relaxed))
    };
    let choice = view.ring.choose(position, heat, factor, load)?;
    let is_owner = |index: usize| view.ring.owner(position) == Some(index);
    let instead_of = (choice.member != choice.owner).then_some(choice.owner);
    // Who cannot ask the owner would renew by itself, and its pages would be older than the owner's, or newer.
    let other = &view.nodes[choice.member];
    let asks = |owner: usize| (proved || other.address.is_private()) && is_fit(&view.nodes[owner], other, asked.place);
    if instead_of.is_some_and(|owner| !asks(owner)) {
        return Some(Candidate::plain(choice.owner, is_owner(choice.owner)));
    }
    Some(Candidate { index: choice.member, is_owner: is_owner(choice.member), instead_of })
}

impl Candidate {
    fn plain(index: usize, is_owner: bool) -> Candidate {
        Candidate { index, is_owner, instead_of: None }
    }
}

/// The owner, where it was slow and is to show whether it still is.
pub fn on_trial(view: &View, asked: &RingQuery) -> Option<usize> {
    let index = view.ring.owner(asked.position)?;
    let node = view.nodes.get(index).filter(|node| node.is_up() && liking(node, asked.place) == Liking::Slow)?;
    node.pace.admits().then_some(index)
}

/// Whom the node that is asked is to ask before the origin: the owner, where it is asked in the owner's place; else who
/// owned the key before it, or stood in for it while it was away. `None`, as nearly always: nobody. One that has left may be
/// none of those that [`View::may_carry`] speaks of.
/// With it since when what it has counts, where it has not answered for the key for long.
pub fn peer<'a>(view: &'a View, key: &Key, place: Where, asked: Candidate) -> Option<(&'a Node, Option<Millis>)> {
    let owner = view.nodes.get(asked.index)?;
    let may_hear = |node: &Node| key.scheme() != "https" || node.is_private();
    let is_fit = |node: &Node| may_hear(node) && is_fit(node, owner, place);
    if let Some(instead_of) = asked.instead_of {
        let owner = view.nodes.get(instead_of).map(|node| &**node).filter(|node| is_fit(node));
        return owner.map(|owner| (owner, None));
    }
    if view.handover.is_none() && !owner.has_returned() {
        return None;
    }
    let before = view.handover.as_ref().and_then(|handover| handover.previous(key.as_str(), owner, is_fit));
    let before = before.map(|(node, since)| (&**node, since));
    let stand_in = || stand_in(view, key, owner, is_fit).map(|node| (node, Some(owner.ceased())));
    before.or_else(|| owner.has_returned().then(stand_in)?)
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
    let of_place = place.allows(node);
    node.is_up() && !node.pace.is_slow() && !node.is_doubtful() && reachable && of_place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, Config};
    use crate::net::dial::Dialer;
    use crate::ring::{Hash, Member, Ring};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    /// Nodes n0 to n4, all up, of which n0 to n2 are on this machine.
    fn view() -> View {
        let member = |i: usize| Member { id: format!("n{i}"), weight: 1 };
        let node = |i: usize| {
            let node = Node::new(format!("n{i}"), Address::Tcp(format!("10.0.0.{i}:1")), 1, i < 3);
            node.set_up(true, 0);
            Arc::new(node)
        };
        let ring = Ring::new(Hash::Xxh3, 64, (0..5).map(member));
        View::new(1, ring, (0..5).map(node).collect())
    }

    fn order(view: &View, url: &str) -> Vec<usize> {
        candidates(view, asked(view, url)).map(|candidate| candidate.index).collect()
    }

    fn asked(view: &View, url: &str) -> RingQuery {
        let key = Key::parse(url).unwrap();
        RingQuery {
            position: view.ring.position(key.as_str()),
            place: at(view, &key),
            heat: None,
            factor: 0.0,
            proved: true,
        }
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
        view.nodes[before[0]].set_up(false, 0);
        view.nodes[before[2]].set_up(false, 0);
        assert_eq!(order(&view, "http://a.example/"), [before[1], before[3], before[4]]);
    }

    /// Where a URL can be fetched, by its text.
    fn at(view: &View, key: &Key) -> Where {
        place(view, Dialer::new(&Config::default()).known(key.host()))
    }

    #[test]
    fn loopback_is_fetched_only_on_this_machine() {
        let view = view();
        for url in [
            "http://127.0.0.1/",
            "http://localhost:8080/",
            "http://localhost.:8080/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://a.localhost/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://2130706433/",
        ] {
            let mut nodes = order(&view, url);
            nodes.sort_unstable();
            assert_eq!(nodes, [0, 1, 2], "{url}");
        }
        assert_eq!(order(&view, "http://notlocalhost/").len(), 5);
    }

    #[test]
    fn what_is_on_the_machine_of_a_node_is_asked_of_that_node_last() {
        let view = view();
        for (host, last) in [
            ("10.0.0.3", Some(3)),
            ("10.0.0.4", Some(4)),
            ("10.3", Some(3)),
            ("[::ffff:10.0.0.3]", Some(3)),
            ("10.0.0.9", None),
        ] {
            for page in 0..20 {
                let nodes = order(&view, &format!("http://{host}/{page}"));
                assert_eq!(nodes.len(), 5, "{host}");
                assert!(last.is_none_or(|last| nodes[4] == last), "{host}: {nodes:?}");
            }
        }
        let first = |host: &str| (0..20).any(|page| order(&view, &format!("http://{host}/{page}"))[0] == 3);
        assert!(first("10.0.0.9") && !first("10.0.0.3"));
    }

    const KEY: &str = "http://a.example/";

    /// The view that follows [`view`] when `n5` has joined, and the key's owners in both where the key has moved.
    fn joined(at: &str, here: bool) -> (View, Key, usize, Arc<Node>) {
        let before = view();
        let mut members = before.ring.members().to_vec();
        members.push(Member { id: "n5".to_owned(), weight: 1 });
        let node = Arc::new(Node::new("n5".to_owned(), at.parse().unwrap(), 1, here));
        node.set_up(true, 0);
        let nodes = before.nodes.iter().cloned().chain([node]).collect();
        let after = View::new(2, Ring::new(Hash::Xxh3, 64, members), nodes).after(&before, 0, 1000);
        let owner = |view: &View, key: &Key| view.ring.owner(view.ring.position(key.as_str())).unwrap();
        let keys = (0..).map(|i| Key::parse(&format!("http://a.example/{i}")).unwrap());
        let key = keys.into_iter().find(|key| owner(&after, key) == 5).unwrap();
        let previous = before.nodes[owner(&before, &key)].clone();
        (after, key, 5, previous)
    }

    fn named(view: &View, key: &Key, asked: usize) -> Option<String> {
        peer(view, key, at(view, key), Candidate::plain(asked, false)).map(|(node, _)| node.id.clone())
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
        let ended = view.renewed(1000, 1000).unwrap();
        assert_eq!(named(&ended, &key, owner), None, "the hand-over is over");
    }

    #[test]
    fn who_is_down_or_may_hold_what_was_purged_is_not_named() {
        let (view, key, owner, previous) = joined("10.0.0.5:1", false);
        for (up, doubtful, expected) in [(false, false, false), (true, true, false), (true, false, true)] {
            previous.set_up(up, 0);
            previous.set_doubtful(doubtful, 0);
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
            from.set_up(true, 0);
            assert_eq!(is_fit(&from, &to, Where::Anywhere), expected, "{} by {}", from.address, to.address);
            assert_eq!(is_fit(&from, &to, Where::ThisMachine), expected && from_here, "{}", from.address);
        }
    }

    #[test]
    fn a_node_is_named_for_https_only_where_nobody_else_hears_what_it_is_asked() {
        let (view, http, owner, previous) = joined("unix:/n5", true);
        assert_eq!(named(&view, &http, owner), Some(previous.id.clone()));
        let keys = (0..500).map(|i| Key::parse(&format!("https://a.example/{i}")).unwrap());
        let moved: Vec<_> = keys.filter(|key| order(&view, key.as_str())[0] == owner).collect();
        assert!(moved.len() > 20 && moved.iter().all(|key| named(&view, key, owner).is_none()), "{}", moved.len());
        let node = |id: &str| Arc::new(Node::new(id.to_owned(), format!("unix:/{id}").parse().unwrap(), 1, true));
        let nodes: Vec<_> = (0..5).map(|i| node(&format!("n{i}"))).collect();
        nodes.iter().for_each(|node| _ = node.set_up(true, 0));
        let ring = Ring::new(Hash::Xxh3, 64, (0..5).map(|i| Member { id: format!("n{i}"), weight: 1 }));
        let all = View::new(1, ring, nodes);
        let key = &moved[0];
        let order = order(&all, key.as_str());
        all.nodes[order[0]].set_returned(true);
        assert_eq!(named(&all, key, order[0]), Some(all.nodes[order[1]].id.clone()));
    }

    #[test]
    fn a_node_that_was_away_asks_its_stand_in() {
        let view = view();
        let key = Key::parse(KEY).unwrap();
        let order = order(&view, KEY);
        assert_eq!(named(&view, &key, order[0]), None);
        view.nodes[order[0]].set_returned(true);
        view.nodes[order[1]].set_up(false, 0);
        // Nodes 0 to 2 are on this machine, and all have addresses that mean the same everywhere.
        assert_eq!(named(&view, &key, order[0]), Some(view.nodes[order[2]].id.clone()));
    }

    #[test]
    fn a_node_with_too_much_load_is_not_the_first_and_asks_the_owner() {
        let (view, url) = (view(), "http://a.example/");
        let owner = order(&view, url)[0];
        view.nodes[owner].load.store(1000, Ordering::Relaxed);
        let bounded: Vec<_> = candidates(&view, RingQuery { factor: 1.25, ..asked(&view, url) }).collect();
        assert_ne!(bounded[0].index, owner);
        assert_eq!(bounded[0].instead_of, Some(owner));
        assert_eq!((bounded.len(), bounded[1].index), (6, owner), "then the owner; then all others, who was first too");
        assert!(bounded[1..].iter().all(|candidate| candidate.instead_of.is_none()));
    }

    #[test]
    fn a_hot_key_has_two_owners_of_which_the_less_loaded_is_asked() {
        let (view, url) = (view(), "http://a.example/");
        let order = order(&view, url);
        let hot = RingQuery { heat: Some(1000), ..asked(&view, url) };
        let first = || candidates(&view, hot).next().unwrap();
        assert_eq!(first(), Candidate::plain(order[0], true));
        view.nodes[order[0]].load.store(1, Ordering::Relaxed);
        let second = Candidate { index: order[1], is_owner: false, instead_of: Some(order[0]) };
        assert_eq!(first(), second);
        let then: Vec<_> = candidates(&view, hot).map(|candidate| candidate.index).collect();
        assert_eq!(
            then[..3],
            [order[1], order[0], order[1]],
            "which is asked again when it has sent on to the owner in vain"
        );
        let unheeded = RingQuery { proved: false, ..hot };
        assert_eq!(
            candidates(&view, unheeded).next(),
            Some(Candidate::plain(order[0], true)),
            "it could not ask the owner"
        );
        let key = Key::parse("http://127.0.0.1/").unwrap();
        let asks =
            |place: Where| peer(&view, &key, place, Candidate { index: 0, is_owner: false, instead_of: Some(1) });
        assert_eq!(
            asks(Where::Anywhere).map(|(node, _)| node.id.as_str()),
            Some("n1"),
            "who asks the owner before the origin"
        );
        view.nodes[1].allow(Some(2), 0);
        assert!(asks(Where::Anywhere).is_none(), "but not a slow one");
        view.nodes[1].allow(None, 0);
        view.nodes[order[0]].set_up(false, 0);
        view.nodes[order[1]].load.store(1, Ordering::Relaxed);
        assert_eq!(first(), Candidate { index: order[2], is_owner: false, instead_of: Some(order[1]) });
    }

    #[test]
    fn a_node_that_missed_a_purge_is_asked_last_of_all_and_still_asked() {
        let (view, url) = (view(), "http://a.example/");
        let before = order(&view, url);
        view.nodes[before[0]].set_doubtful(true, 0);
        view.nodes[before[1]].allow(Some(1), 0);
        let after = [before[2], before[3], before[4], before[1], before[0]];
        assert_eq!(order(&view, url), after);
        let hot = RingQuery { heat: Some(1000), ..asked(&view, url) };
        assert_ne!(candidates(&view, hot).next().unwrap().index, before[0], "nor is it an owner of a hot key");
        before[1..].iter().for_each(|index| _ = view.nodes[*index].set_up(false, 0));
        assert_eq!(order(&view, url), [before[0]], "better than nobody");
    }

    #[test]
    fn a_slow_node_is_asked_last_and_on_trial_for_as_much_as_it_is_allowed() {
        let (view, url) = (view(), "http://a.example/");
        let before = order(&view, url);
        assert!(on_trial(&view, &asked(&view, url)).is_none(), "it is not slow");
        view.nodes[before[0]].allow(Some(1), 0);
        view.nodes[before[2]].allow(Some(1), 0);
        let last = [before[1], before[3], before[4], before[0], before[2]];
        assert_eq!([order(&view, url), order(&view, url)], [last.to_vec(), last.to_vec()]);
        let on_trial = || on_trial(&view, &asked(&view, url));
        assert_eq!([on_trial(), on_trial()], [Some(before[0]), None]);
        let hot = RingQuery { heat: Some(1001), ..asked(&view, url) };
        let second = Candidate { index: before[3], is_owner: false, instead_of: Some(before[1]) };
        assert_eq!(candidates(&view, hot).next(), Some(second), "nor is it a second owner");
        before[1..].iter().for_each(|index| _ = view.nodes[*index].set_up(*index == before[2], 0));
        assert_eq!(order(&view, url), [before[0], before[2]], "nobody else is there");
    }
}
