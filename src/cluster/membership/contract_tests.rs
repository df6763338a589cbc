//! One contract for both kinds of membership: static, and through ZooKeeper.

use crate::cluster::membership::members::{Change, Members};
use crate::cluster::membership::state::Delta;
use crate::cluster::membership::zk::builder::tests::world::World;
use crate::cluster::membership::zk::record::MemberWish;
use crate::cluster::views::View;
use crate::config::{self, NodeConfig, NodePlace};
use crate::ring::Hash;
use std::sync::Arc;

/// A membership that can be changed and asked.
trait Membership {
    fn add(&mut self, id: &str, weight: u32);
    fn weight(&mut self, id: &str, weight: u32);
    fn drain(&mut self, id: &str);
    fn resume(&mut self, id: &str);
    fn remove(&mut self, id: &str);
    /// As after a restart of everything.
    fn restart(&mut self);
    /// Of each front.
    fn views(&self) -> Vec<Arc<View>>;
}

struct Static(Members);

fn ring() -> config::RingConfig {
    config::RingConfig {
        hash: Hash::Xxh3,
        points: 32,
        load_factor: 0.0,
        hot_keys: true,
        handover: std::time::Duration::from_secs(600),
    }
}

impl Static {
    fn change(&mut self, change: Change) {
        self.0 = self.0.with(change).unwrap();
    }
}

impl Membership for Static {
    fn add(&mut self, id: &str, weight: u32) {
        let place = NodePlace::At(format!("127.0.0.1:{}", port(id)).parse().unwrap());
        self.change(Change::Add(NodeConfig { id: id.into(), place, weight }));
    }
    fn weight(&mut self, id: &str, weight: u32) {
        self.change(Change::Weight(id.into(), weight));
    }
    fn drain(&mut self, id: &str) {
        self.change(Change::Drain(id.into()));
    }
    fn resume(&mut self, id: &str) {
        self.change(Change::Resume(id.into()));
    }
    fn remove(&mut self, id: &str) {
        self.change(Change::Remove(id.into()));
        self.change(Change::Forget(id.into()));
    }
    fn restart(&mut self) {
        self.0 = Members::new(&ring(), &[], self.0.delta().clone(), None);
    }
    fn views(&self) -> Vec<Arc<View>> {
        vec![Arc::new(self.0.view())]
    }
}

impl Membership for World {
    fn add(&mut self, id: &str, weight: u32) {
        self.join(id, weight, port(id));
        self.say(id, |said| said.state = MemberWish::Active);
        self.settle();
    }
    fn weight(&mut self, id: &str, weight: u32) {
        self.say(id, |said| said.weight = Some(weight));
        self.settle();
    }
    fn drain(&mut self, id: &str) {
        self.say(id, |said| said.state = MemberWish::Draining);
        self.settle();
    }
    fn resume(&mut self, id: &str) {
        self.say(id, |said| said.state = MemberWish::Active);
        self.settle();
    }
    fn remove(&mut self, id: &str) {
        self.say(id, |said| said.state = MemberWish::Removed);
        self.settle();
    }
    fn restart(&mut self) {
        (0..self.fronts.len()).for_each(|front| World::restart(self, front));
        self.settle();
    }
    fn views(&self) -> Vec<Arc<View>> {
        self.fronts.iter().map(|f| f.builder.view()).collect()
    }
}

fn port(id: &str) -> u64 {
    1000 + u64::from(*id.as_bytes().last().unwrap())
}

/// The ring and epoch that all fronts have.
fn state(membership: &dyn Membership) -> (Vec<(String, u32)>, u64) {
    let views = membership.views();
    for view in &views {
        assert_eq!((view.epoch, view.ring.digest()), (views[0].epoch, views[0].ring.digest()), "fronts differ");
        let ids: Vec<_> = view.nodes.iter().map(|n| n.id.as_str()).collect();
        let members: Vec<_> = view.ring.members().iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, members, "nodes[i] is members()[i]");
    }
    (views[0].ring.members().iter().map(|m| (m.id.clone(), m.weight)).collect(), views[0].epoch)
}

fn owners(membership: &dyn Membership) -> Vec<String> {
    let view = &membership.views()[0];
    let owner = |i: u32| view.nodes[view.ring.owner(view.ring.position(&format!("http://h/{i}"))).unwrap()].id.clone();
    (0..500).map(owner).collect()
}

/// Name, change, the ring after it, epochs since the beginning.
type Step<'a> = (&'a str, fn(&mut dyn Membership), &'a [(&'a str, u32)], u64);

fn keeps_the_contract(mut membership: impl Membership) {
    let m: &mut dyn Membership = &mut membership;
    ["a", "b", "c"].iter().for_each(|id| m.add(id, 1));
    let (all, epoch) = state(m);
    assert_eq!(all, [("a".to_owned(), 1), ("b".to_owned(), 1), ("c".to_owned(), 1)]);
    let steps: [Step; 7] = [
        ("a joiner", |m| m.add("d", 2), &[("a", 1), ("b", 1), ("c", 1), ("d", 2)], 1),
        ("another weight", |m| m.weight("d", 3), &[("a", 1), ("b", 1), ("c", 1), ("d", 3)], 2),
        ("the same weight", |m| m.weight("d", 3), &[("a", 1), ("b", 1), ("c", 1), ("d", 3)], 2),
        ("a drain", |m| m.drain("b"), &[("a", 1), ("c", 1), ("d", 3)], 3),
        ("a restart", |m| m.restart(), &[("a", 1), ("c", 1), ("d", 3)], 3),
        ("a return", |m| m.resume("b"), &[("a", 1), ("b", 1), ("c", 1), ("d", 3)], 4),
        ("a removal", |m| m.remove("a"), &[("b", 1), ("c", 1), ("d", 3)], 5),
    ];
    for (name, step, expected, epochs) in steps {
        let (before, nodes) = (owners(m), m.views()[0].nodes.clone());
        let (old, _) = state(m);
        step(m);
        let expected: Vec<(String, u32)> = expected.iter().map(|(id, w)| ((*id).to_owned(), *w)).collect();
        assert_eq!(state(m), (expected.clone(), epoch + epochs), "{name}");
        let weight = |ring: &[(String, u32)], id: &String| ring.iter().find(|(i, _)| i == id).map_or(0, |(_, w)| *w);
        for (was, is) in before.iter().zip(owners(m)) {
            let lighter = weight(&expected, was) < weight(&old, was);
            let heavier = weight(&expected, &is) > weight(&old, &is);
            assert!(*was == is || lighter || heavier, "{name}: {was} gave a key to {is}");
        }
        if name != "a restart" {
            let stays = |n: &&Arc<crate::cluster::views::Node>| nodes.iter().any(|old| Arc::ptr_eq(old, n));
            let view = &m.views()[0];
            let kept = view.nodes.iter().filter(|n| nodes.iter().any(|old| old.id == n.id));
            assert!(kept.clone().count() > 0 && kept.clone().all(|n| stays(&n)), "{name}: a node is another one");
        }
    }
}

#[test]
fn static_membership_keeps_the_contract() {
    keeps_the_contract(Static(Members::new(&ring(), &[], Delta::default(), None)));
}

#[test]
fn membership_through_zookeeper_keeps_the_contract() {
    keeps_the_contract(World::new(1));
    keeps_the_contract(World::new(3));
}
