//! What odd records and bad timing must not do.

use super::world::World;
use super::*;

/// The ring of a world of one front with so many nodes, some time after it was formed.
fn formed(nodes: u64) -> World {
    let mut world = World::new(1);
    (1..=nodes).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    world.now += 600_000;
    world.tell(0);
    world
}

fn front_with(epoch: u64) -> Records<FrontRecord> {
    let (proxy, admin, version) = ("h:1".to_owned(), "h:2".to_owned(), "0".to_owned());
    Records::from([(
        "evil".to_owned(),
        FrontRecord { proxy, admin, epoch, leads: false, boot: 0, tls: false, version },
    )])
}

#[test]
fn an_absurd_epoch_of_some_front_changes_nothing() {
    for epoch in [u64::MAX, u64::MAX - 1, MAX_EPOCH, MAX_EPOCH / 2 + 1] {
        let mut world = formed(2);
        let (before, now) = (world.ring.clone(), world.now);
        let builder = &mut world.fronts[0].builder;
        builder.on(WorldEvent::Fronts(front_with(epoch)), now);
        assert_eq!(builder.due(now + SETTLE), Due::Nothing, "{epoch}");
        world.join("n9", 1, 1009);
        world.settle();
        assert_eq!(world.ring.as_ref().unwrap().epoch, before.unwrap().epoch + 1, "{epoch}");
    }
}

#[test]
fn the_last_epoch_that_there_is_stands() {
    let mut world = formed(2);
    let now = world.now;
    let doc = RingDoc { epoch: MAX_EPOCH, ..world.ring.clone().unwrap() };
    let builder = &mut world.fronts[0].builder;
    builder.on(WorldEvent::Ring(Some(doc)), now);
    builder.on(WorldEvent::Nodes(Records::new()), now);
    assert_eq!(builder.due(now + 1_000_000), Due::Nothing);
}

#[test]
fn a_write_that_does_not_help_is_not_repeated_at_once_and_later_and_later() {
    let mut world = formed(2);
    let ring = world.ring.clone();
    world.join("n9", 1, 1009);
    world.tell(0);
    let (begun, mut writes) = (world.now, 0);
    while world.now < begun + 60_000 {
        let builder = &mut world.fronts[0].builder;
        if let Due::Now(doc) = builder.due(world.now) {
            writes += 1;
            builder.on(WorldEvent::Ring(Some(doc)), world.now);
            // Another content of the same path, whoever wrote it.
            builder.on(WorldEvent::Ring(ring.clone()), world.now);
        }
        world.now += 50;
    }
    assert!((3..=10).contains(&writes), "{writes} writes in a minute");
}

/// Sessions end on ZooKeeper's tick (2 s by default), and a client says that it lives once in a third of its session:
/// what is cut off at one moment goes in batches.
#[test]
fn sessions_that_end_ticks_apart_are_one_loss() {
    for batches in [vec![3, 3], vec![2, 2, 2], vec![1, 5], vec![2, 4], vec![3, 2, 1]] {
        for apart in [300, 1100, 2000, 3900] {
            let mut world = formed(6);
            let (before, mut next) = (world.ring.clone(), 1);
            for size in &batches {
                (next..next + size).for_each(|i| drop(world.nodes.remove(&format!("n{i}"))));
                next += size;
                world.pass(apart);
            }
            world.pass(60_000);
            assert_eq!(world.ring, before, "{batches:?}, {apart} ms apart");
        }
    }
}

#[test]
fn those_who_left_a_moment_ago_count_among_those_who_are_gone() {
    let mut world = formed(6);
    ["n1", "n2", "n3"].iter().for_each(|id| drop(world.nodes.remove(*id)));
    world.pass(LINGER + 1000);
    assert_eq!(ids(&world.ring), ["n4", "n5", "n6"], "half of them");
    world.nodes.remove("n4");
    world.pass(2000);
    world.nodes.remove("n5");
    // Of the six of before, five are gone.
    world.pass(60_000);
    assert_eq!(ids(&world.ring), ["n4", "n5", "n6"]);
}

#[test]
fn nodes_that_leave_one_after_the_other_leave() {
    let mut world = formed(6);
    for left in (2..=5).rev() {
        world.nodes.remove(&format!("n{}", left + 1));
        world.pass(60_000);
        assert_eq!(ids(&world.ring).len() as u64, left);
    }
}

#[test]
fn a_node_leaves_when_it_has_been_gone_for_two_ticks() {
    let mut world = formed(3);
    world.nodes.remove("n1");
    world.pass(LINGER - 200);
    assert_eq!(ids(&world.ring).len(), 3);
    world.pass(1000);
    assert_eq!(ids(&world.ring).len(), 2);
}

#[test]
fn a_node_that_is_known_to_speak_tls_is_so_at_another_address_too() {
    let mut world = formed(2);
    let builder = std::mem::replace(&mut world.fronts[0].builder, World::new(1).fronts.remove(0).builder);
    world.fronts[0].builder = builder.knowing(AbleNodes::by(|id| id != "n2"));
    for (id, is_private) in [("n1", true), ("n2", false)] {
        world.join(id, 1, 2000);
        world.settle();
        let view = world.fronts[0].builder.view();
        assert_eq!(view.nodes.iter().find(|node| node.id == id).unwrap().is_private(), is_private, "{id}");
    }
}
