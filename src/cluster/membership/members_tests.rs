use super::*;
use crate::cluster::views::View;

fn ring() -> config::RingConfig {
    config::RingConfig {
        hash: Hash::Xxh3,
        points: 16,
        load_factor: 0.0,
        hot_keys: true,
        handover: std::time::Duration::ZERO,
    }
}

fn spawn(id: &str, weight: u32) -> config::NodeConfig {
    config::NodeConfig { id: id.into(), place: NodePlace::Spawn, weight }
}

fn at(id: &str, address: &str) -> config::NodeConfig {
    config::NodeConfig { id: id.into(), place: NodePlace::At(address.parse().unwrap()), weight: 1 }
}

fn three() -> Vec<config::NodeConfig> {
    vec![spawn("n1", 1), spawn("n2", 1), spawn("n3", 1)]
}

fn members() -> Members {
    Members::new(&ring(), &three(), Delta::default(), Some(Path::new("/run/r")))
}

/// As after a restart, by what was saved.
fn again(members: &Members) -> Members {
    Members::new(&ring(), &three(), members.delta().clone(), Some(Path::new("/run/r")))
}

fn on_ring(view: &View) -> Vec<(&str, u32)> {
    view.ring.members().iter().map(|m| (m.id.as_str(), m.weight)).collect()
}

fn states(members: &Members) -> Vec<(&str, MemberState)> {
    members.seats().map(|s| (s.spec.id.as_str(), s.state)).collect()
}

#[test]
fn a_view_has_the_rings_nodes_in_the_rings_order() {
    let view = members().view();
    assert_eq!(on_ring(&view), [("n1", 1), ("n2", 1), ("n3", 1)]);
    let ids: Vec<_> = view.nodes.iter().map(|n| n.id.as_str()).collect();
    assert_eq!(ids, ["n1", "n2", "n3"]);
    assert_eq!(view.nodes[0].address.to_string(), "unix:/run/r/n1.sock");
    assert!(view.nodes[0].same_machine);
}

/// Name, changes, the ring after them, its epoch.
type Case<'a> = (&'a str, &'a [Change], &'a [(&'a str, u32)], u64);

#[test]
fn every_change_has_its_ring_its_epoch_and_its_memory() {
    use Change::*;
    let id = || "n1".to_owned();
    let all: [(&str, u32); 3] = [("n1", 1), ("n2", 1), ("n3", 1)];
    let cases: &[Case] = &[
        ("add", &[Add(spawn("n4", 2))], &[("n1", 1), ("n2", 1), ("n3", 1), ("n4", 2)], 1),
        ("weight", &[Weight(id(), 3)], &[("n1", 3), ("n2", 1), ("n3", 1)], 1),
        ("the same weight", &[Weight(id(), 1)], &all, 0),
        ("there and back", &[Weight(id(), 3), Weight(id(), 1)], &all, 2),
        ("drain", &[Drain(id())], &[("n2", 1), ("n3", 1)], 1),
        ("drain twice", &[Drain(id()), Drain(id())], &[("n2", 1), ("n3", 1)], 1),
        ("resume", &[Drain(id()), Resume(id())], &all, 2),
        ("remove", &[Remove(id())], &[("n2", 1), ("n3", 1)], 1),
        ("remove what drains", &[Drain(id()), Remove(id())], &[("n2", 1), ("n3", 1)], 1),
        ("remove and add as in the file", &[Remove(id()), Forget(id()), Add(spawn("n1", 1))], &all, 2),
        (
            "remove and add elsewhere",
            &[Remove(id()), Forget(id()), Add(at("n1", "h:1"))],
            &[("n1", 1), ("n2", 1), ("n3", 1)],
            2,
        ),
        ("add and remove", &[Add(spawn("n4", 2)), Remove("n4".into()), Forget("n4".into())], &all, 2),
    ];
    for (name, changes, expected, epochs) in cases {
        let after = changes.iter().fold(members(), |m, change| m.with(change.clone()).unwrap());
        assert_eq!(on_ring(&after.view()), *expected, "{name}");
        assert_eq!(after.view().epoch, *epochs, "{name}");
        let restarted = again(&after);
        assert_eq!(on_ring(&restarted.view()), *expected, "{name}, after a restart");
        assert_eq!(restarted.view().epoch, *epochs, "{name}, after a restart");
    }
}

#[test]
fn a_node_stays_the_same_while_its_id_and_address_stay() {
    let before = members();
    let after = before
        .with(Change::Weight("n1".into(), 4))
        .and_then(|m| m.with(Change::Drain("n1".into())))
        .and_then(|m| m.with(Change::Resume("n1".into())))
        .unwrap();
    assert!(Arc::ptr_eq(&before.view().nodes[0], &after.view().nodes[0]));
}

#[test]
fn a_leaving_node_is_listed_until_it_is_forgotten_and_not_after_a_restart() {
    let leaving = members().with(Change::Remove("n1".into())).unwrap();
    assert_eq!(
        states(&leaving),
        [("n1", MemberState::Leaving), ("n2", MemberState::Active), ("n3", MemberState::Active)]
    );
    assert_eq!(states(&again(&leaving)), [("n2", MemberState::Active), ("n3", MemberState::Active)]);
    let gone = leaving.with(Change::Forget("n1".into())).unwrap();
    assert_eq!(states(&gone), [("n2", MemberState::Active), ("n3", MemberState::Active)]);
}

#[test]
fn a_draining_node_drains_still_after_a_restart() {
    let draining = members().with(Change::Drain("n1".into())).unwrap();
    assert_eq!(states(&again(&draining))[0], ("n1", MemberState::Draining));
}

#[test]
fn what_cannot_be_done_says_why_and_what_to_do() {
    let leaving = members().with(Change::Remove("n3".into())).unwrap();
    let only = Members::new(&ring(), &three(), Delta::default(), None);
    let cases = [
        (&leaving, Change::Add(spawn("n1", 1)), "choose another id"),
        (&leaving, Change::Add(spawn("n3", 1)), "wait until it is gone"),
        (&leaving, Change::Add(at("n9", "unix:/run/r/n1.sock")), "one of its own"),
        (&leaving, Change::Weight("n9".into(), 1), "there is no node `n9`"),
        (&leaving, Change::Weight("n1".into(), 0), "write 1 to"),
        (&leaving, Change::Weight("n1".into(), u32::MAX), "write 1 to"),
        (&leaving, Change::Drain("n3".into()), "wait until it is gone"),
        (&leaving, Change::Resume("n9".into()), "there is no node `n9`"),
        (&leaving, Change::Remove("n9".into()), "there is no node `n9`"),
        (&only, Change::Add(spawn("n4", 1)), "ringhold serve"),
    ];
    for (members, change, expected) in cases {
        let refusal = members.with(change.clone()).unwrap_err().to_string();
        assert!(refusal.contains(expected), "{change:?}: {refusal}");
    }
}

#[test]
fn too_many_points_are_refused() {
    let dense = config::RingConfig { points: 4096, ..ring() };
    let members = Members::new(&dense, &three(), Delta::default(), Some(Path::new("/run/r")));
    assert_eq!(
        members.with(Change::Weight("n1".into(), 1024)).unwrap_err(),
        ChangeRefusal::TooManyPoints { most: MAX_POINTS }
    );
}

#[test]
fn a_front_that_spawns_nothing_leaves_out_the_nodes_to_spawn() {
    let file = [spawn("n1", 1), at("rack2", "10.0.0.7:5003")];
    let members = Members::new(&ring(), &file, Delta::default(), None);
    assert_eq!(states(&members), [("rack2", MemberState::Active)]);
}

#[test]
fn another_file_is_another_epoch_and_the_same_file_is_not() {
    let mut first = members();
    first.settle_epoch(first.view().ring.digest());
    assert_eq!(first.view().epoch, 1);
    let mut same = again(&first);
    same.settle_epoch(same.view().ring.digest());
    assert_eq!(same.view().epoch, 1);
    let mut other = Members::new(&ring(), &three()[..2], same.delta().clone(), Some(Path::new("/run/r")));
    other.settle_epoch(other.view().ring.digest());
    assert_eq!(other.view().epoch, 2);
}

#[test]
fn a_free_id_is_nobodys() {
    assert_eq!(members().free_id(), "n4");
    let without = members().with(Change::Remove("n1".into())).unwrap().with(Change::Forget("n1".into())).unwrap();
    assert_eq!(without.free_id(), "n4", "the file's n1 may come back");
}

#[test]
fn a_long_id_has_a_short_socket() {
    let long = "x".repeat(64);
    let path = socket_path(Path::new("/run/user/1000/ringhold-abcdefgh"), &long);
    assert!(path.as_os_str().len() < 100, "{}", path.display());
    let longer = socket_path(Path::new("/run/user/1000/ringhold-abcdefgh-and-more"), &long);
    assert!(longer.as_os_str().len() < 100, "{}", longer.display());
}
