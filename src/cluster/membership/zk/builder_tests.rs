use super::super::gone::LINGER;
use super::*;
#[path = "limit_tests.rs"]
mod limits;
#[path = "world_tests.rs"]
pub mod world;
use world::{World, Written};

/// A generator that needs no dependency and gives the same numbers everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    fn pick(&mut self, from: Vec<String>) -> Option<String> {
        (!from.is_empty()).then(|| from[self.below(from.len())].clone())
    }
}

fn ids(doc: &Option<RingDoc>) -> Vec<String> {
    doc.iter().flat_map(|d| d.members.iter().map(|m| m.id.clone())).collect()
}

fn registered(world: &World) -> Vec<String> {
    world.nodes.keys().cloned().collect()
}

/// One random event; whether it was that more than half of the nodes went at once, which comes with a check of its own.
fn event(world: &mut World, dice: &mut Dice) -> bool {
    let (front, fronts) = (dice.below(world.fronts.len()), world.fronts.len());
    let there = registered(world);
    match dice.below(18) {
        0..=3 => {
            let id = format!("n{}", dice.below(24));
            let weight = 1 + dice.below(3) as u32;
            world.join(&id, weight, 1024 + dice.next() % 60_000);
        }
        // It says goodbye, or its session ends some time later.
        4 => drop(dice.pick(there).map(|id| world.nodes.remove(&id))),
        5 => {
            for _ in 0..1 + dice.below(3) {
                let at = world.now + dice.next() % 4000;
                world.dying.extend(dice.pick(registered(world)).map(|id| (at, id)));
            }
        }
        6 => _ = dice.pick(there).map(|id| world.say(&id, |said| said.state = MemberWish::Draining)),
        7 => {
            let known = world.members.keys().cloned().collect();
            _ = dice.pick(known).map(|id| world.say(&id, |said| said.state = MemberWish::Active));
        }
        8 => {
            let weight = 1 + dice.below(4) as u32;
            _ = dice.pick(there).map(|id| world.say(&id, |said| said.weight = Some(weight)));
        }
        9 => _ = dice.pick(there).map(|id| world.say(&id, |said| said.state = MemberWish::Removed)),
        10 => world.disconnect(front),
        11 | 12 => (0..fronts).for_each(|f| world.connect(f)),
        13 => world.restart(front),
        14 => world.now = if dice.below(2) == 0 { world.now + dice.next() % (1 << 40) } else { dice.next() % 1000 },
        // ZooKeeper is gone, for all of them.
        15 => (0..fronts).for_each(|f| world.disconnect(f)),
        16 => world.connect(front),
        _ => return mass_death(world, dice),
    }
    false
}

/// More than half of the ring's nodes go at once, which is seen session by session; nobody says so, and nothing else happens.
fn mass_death(world: &mut World, dice: &mut Dice) -> bool {
    world.settle();
    world.pass(LINGER);
    let mut members = ids(&world.ring);
    let active: Vec<String> = members.iter().filter(|id| world.nodes.contains_key(*id)).cloned().collect();
    if active.len() < members.len() || world.queue.is_empty() || members.is_empty() {
        return false;
    }
    let before = world.ring.clone();
    for _ in 0..members.len() / 2 + 1 {
        let id = members.remove(dice.below(members.len()));
        world.dying.push((world.now + dice.next() % LINGER, id));
    }
    world.pass(2 * LINGER);
    world.settle();
    assert_eq!(world.ring, before, "the ring is kept");
    true
}

/// A key that changes hands was its old owner's that left or grew lighter, or is its new owner's that came or grew heavier.
fn survivors_exchange_nothing(before: &RingDoc, after: &RingDoc) {
    assert_eq!(before.weights(), after.previous, "epoch {} names who was there before", after.epoch);
    let (old, new) = (before.ring(), after.ring());
    let weight = |ring: &Ring, id: &str| ring.index_of(id).map_or(0, |i| ring.members()[i].weight);
    for key in 0..200 {
        let key = format!("http://example.com/{key}");
        let owner = |ring: &Ring| ring.owner(ring.position(&key)).map(|i| ring.members()[i].id.clone());
        let (Some(was), Some(is)) = (owner(&old), owner(&new)) else { continue };
        let lighter = weight(&new, &was) < weight(&old, &was);
        let heavier = weight(&new, &is) > weight(&old, &is);
        assert!(was == is || lighter || heavier, "epoch {}: {key} went from {was} to {is}", after.epoch);
    }
}

/// Where somebody leads: who is there and active is on the ring, and nobody else, unless more than half of the ring is gone.
fn is_as_it_should_be(world: &World, seed: u64, step: usize) {
    if world.queue.is_empty() {
        return;
    }
    let is_active = |id: &String| world.members.get(id).is_none_or(|said| said.state == MemberWish::Active);
    let ring = ids(&world.ring);
    let there: Vec<String> = registered(world).into_iter().filter(is_active).collect();
    assert!(
        there.iter().all(|id| ring.contains(id)),
        "seed {seed} step {step}: {there:?} are there, on the ring {ring:?}"
    );
    let (gone, left): (Vec<_>, Vec<_>) = ring.iter().partition(|id| !there.contains(id));
    let lingers = gone.iter().all(|id| is_active(id)) && gone.len() > left.len();
    assert!(gone.is_empty() || lingers, "seed {seed} step {step}: {gone:?} are gone, on the ring {ring:?}");
}

/// All that are connected route by the ring that there is.
fn all_route_alike(world: &World, seed: u64, step: usize) {
    let Some(ring) = &world.ring else { return };
    for (i, front) in world.fronts.iter().enumerate().filter(|(_, front)| front.connected) {
        let view = front.builder.view();
        let (is, should) = ((view.epoch, view.ring.digest()), (ring.epoch, ring.ring().digest()));
        assert_eq!(is, should, "seed {seed} step {step}: front {i}");
    }
}

/// What the events were worth: how often more than half of the nodes went at once, how often all came to rest, epochs.
fn play(seed: u64, events: usize) -> (usize, usize, usize) {
    let (mut mass_deaths, mut rests) = (0, 0);
    let (mut world, mut dice) = (World::new(3), Dice(seed));
    for step in 0..events {
        mass_deaths += usize::from(event(&mut world, &mut dice));
        // Some hear of it and some do not yet; who leads may write by what it knows.
        (0..3).filter(|_| dice.below(2) == 0).collect::<Vec<_>>().into_iter().for_each(|f| world.tell(f));
        world.now += dice.next() % 1500;
        world.end_sessions();
        world.act_all();
        if dice.below(6) == 0 {
            rests += 1;
            world.settle();
            all_route_alike(&world, seed, step);
            is_as_it_should_be(&world, seed, step);
        }
    }
    let rings: Vec<&RingDoc> = world.history.values().collect();
    for step in rings.windows(2) {
        assert_eq!(step[0].epoch + 1, step[1].epoch, "seed {seed}: no epoch is left out");
        survivors_exchange_nothing(step[0], step[1]);
    }
    (mass_deaths, rests, rings.len())
}

#[test]
fn after_500_random_events_all_fronts_that_saw_the_same_hold_the_same_ring() {
    let played: Vec<_> = (1..=6).map(|seed| play(seed, 500)).collect();
    for (mass_deaths, rests, epochs) in &played {
        assert!(*mass_deaths >= 1 && *rests > 50 && *epochs > 50, "{played:?}");
    }
}

#[test]
fn a_leader_that_slept_through_its_session_cannot_write() {
    let mut world = World::new(3);
    (1..=4).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    // It sees a node go, and sleeps before it writes.
    world.nodes.remove("n1");
    world.tell(0);
    world.now += LINGER;
    assert_eq!(world.act(0), Written::Nothing);
    world.queue.retain(|f| *f != 0);
    world.nodes.remove("n2");
    (1..3).for_each(|f| world.tell(f));
    world.now += LINGER;
    assert_eq!(world.act(1), Written::Nothing, "what has gone is seen now");
    world.now += SETTLE;
    assert_eq!(world.act(1), Written::Done, "another one leads");
    let ring = world.ring.clone();
    assert_eq!(world.act(0), Written::Refused);
    assert_eq!((&world.ring, ids(&ring)), (&ring, vec!["n3".to_owned(), "n4".to_owned()]));
    world.queue.push(0);
    world.settle();
    assert_eq!(world.fronts[0].builder.view().ring.digest(), world.fronts[1].builder.view().ring.digest());
}

#[test]
fn an_admin_call_does_not_wait_for_those_that_linger() {
    let mut world = World::new(1);
    (1..=4).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    world.nodes.remove("n4");
    world.say("n1", |said| said.weight = Some(2));
    world.tell(0);
    world.now += SETTLE;
    assert_eq!(world.act(0), Written::Done);
    world.tell(0);
    assert_eq!((ids(&world.ring).len(), world.ring.as_ref().unwrap().members[0].weight), (4, 2));
    assert_eq!(world.fronts[0].builder.due(world.now), Due::In(LINGER - SETTLE));
    world.join("n4", 1, 1004);
    world.settle();
    assert_eq!(world.history.len(), 2, "it is back in time");
}

#[test]
fn nodes_that_start_together_join_together() {
    let mut world = World::new(1);
    for i in 1..=3 {
        world.join(&format!("n{i}"), 1, 1000 + i);
        world.tell(0);
        world.now += SETTLE / 2;
        assert_eq!(world.act(0), Written::Nothing, "not yet");
    }
    world.settle();
    assert_eq!((world.history.len(), ids(&world.ring).len()), (1, 3));
}

#[test]
fn half_of_the_nodes_may_die_one_more_may_not_and_an_admin_has_the_last_word() {
    let mut world = World::new(1);
    (1..=4).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    ["n1", "n2"].iter().for_each(|id| drop(world.nodes.remove(*id)));
    world.settle();
    assert_eq!(ids(&world.ring), ["n3", "n4"]);
    ["n3", "n4"].iter().for_each(|id| drop(world.nodes.remove(*id)));
    world.settle();
    assert_eq!(ids(&world.ring), ["n3", "n4"], "rather the network");
    world.join("n9", 1, 1009);
    world.settle();
    assert_eq!(ids(&world.ring), ["n3", "n4", "n9"], "who comes is welcome");
    world.say("n3", |said| said.state = MemberWish::Removed);
    world.settle();
    assert_eq!(ids(&world.ring), ["n9"], "of two that count, one is gone: half");
}

#[test]
fn a_node_that_comes_back_elsewhere_has_a_new_address_and_no_new_epoch() {
    let mut world = World::new(2);
    (1..=3).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    let before = world.fronts[1].builder.view();
    world.join("n2", 1, 2002);
    world.settle();
    let after = world.fronts[1].builder.view();
    assert_eq!((after.epoch, after.nodes[1].address.to_string().as_str()), (before.epoch, "127.0.0.1:2002"));
    assert!(Arc::ptr_eq(&before.nodes[0], &after.nodes[0]) && !Arc::ptr_eq(&before.nodes[1], &after.nodes[1]));
    let saved = world.fronts[1].builder.to_save().unwrap();
    assert_eq!(saved.members[1].address.to_string(), "127.0.0.1:2002");
}

#[test]
fn a_zookeeper_that_was_put_back_or_emptied_gets_a_ring_that_follows_all_others() {
    let mut world = World::new(3);
    world.join("n1", 1, 1001);
    world.settle();
    let old = world.ring.clone();
    world.join("n2", 1, 1002);
    world.settle();
    world.ring = old;
    world.settle();
    assert_eq!((world.ring.as_ref().unwrap().epoch, ids(&world.ring).len()), (3, 2));
    world.ring = None;
    world.tell(1);
    assert_eq!(world.fronts[1].builder.view().nodes.len(), 2, "the last ring stands meanwhile");
    world.settle();
    assert_eq!((world.ring.as_ref().unwrap().epoch, ids(&world.ring).len()), (4, 2));
}

#[test]
fn without_any_ring_a_front_routes_to_what_it_runs_itself() {
    let mut world = World::new(1);
    world.disconnect(0);
    let node = config::NodeConfig { id: "h-n1".into(), place: NodePlace::Spawn, weight: 1 };
    let now = world.now;
    world.fronts[0].builder.on(WorldEvent::Local(node, "127.0.0.1:9".parse().unwrap()), now);
    let view = world.fronts[0].builder.view();
    assert_eq!((view.epoch, view.nodes.len()), (0, 1));
    assert_eq!(world.fronts[0].builder.to_save(), None, "that is no ring to keep");
}

#[test]
fn a_front_with_another_file_does_not_move_every_key() {
    let mut world = World::new(2);
    world.join("n1", 1, 1001);
    world.settle();
    world.settings.points = 999;
    world.restart(1);
    world.disconnect(0);
    world.join("n2", 1, 1002);
    world.settle();
    let ring = world.ring.as_ref().unwrap();
    assert_eq!((ring.points, ring.members.len(), ring.previous.len()), (16, 2, 1));
}

/// How many of a thousand keys have another owner than in `before`; each of them has that one named by the view, and no
/// other key has anyone.
fn handed_over(view: &View, before: &View) -> usize {
    let owner = |view: &View, key: &str| view.nodes[view.ring.owner(view.ring.position(key)).unwrap()].clone();
    let keys = (0..1000).map(|i| format!("http://example.com/{i}"));
    keys.filter(|key| {
        let (was, is) = (owner(before, key), owner(view, key));
        let named = view.handover.as_ref().and_then(|handover| handover.previous(key, &is, |_| true));
        let expected = (was.id != is.id).then_some(&was.id);
        assert_eq!(named.map(|(node, _)| &node.id), expected, "{key}");
        was.id != is.id
    })
    .count()
}

#[test]
fn after_a_change_of_the_ring_the_owners_of_before_are_known_for_ten_minutes() {
    let mut world = World::new(2);
    (1..=3).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    // What happened while the cluster was formed is over.
    world.now += 600_000;
    (0..2).for_each(|f| world.tell(f));
    let before = world.fronts[0].builder.view();
    assert!(before.handover.is_none());
    world.join("n4", 1, 1004);
    world.settle();
    let changed = world.now;
    for front in &world.fronts {
        assert!(handed_over(&front.builder.view(), &before) > 100);
    }
    // A front that starts now has the members of before from the ring's record.
    world.restart(1);
    world.tell(1);
    assert!(handed_over(&world.fronts[1].builder.view(), &before) > 100);
    let end = world.fronts[0].builder.view().handover.as_ref().and_then(|h| h.next_end()).unwrap();
    assert!((changed + 590_000..=changed + 600_000).contains(&end), "{end} {changed}");
    for (now, lasts) in [(end - 1, true), (end, false)] {
        world.fronts[0].builder.on(WorldEvent::Later, now);
        let view = world.fronts[0].builder.view();
        assert_eq!((view.handover.is_some(), view.epoch), (lasts, before.epoch + 1), "{now}");
    }
}

#[test]
fn a_front_that_starts_knows_who_held_what_when_another_machine_was_restarted() {
    let mut world = World::new(2);
    (1..=3).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    world.nodes.remove("n1");
    world.pass(3 * LINGER);
    world.settle();
    let stand_ins = world.fronts[0].builder.view();
    assert_eq!(stand_ins.nodes.len(), 2);
    world.join("n1", 1, 1101);
    world.settle();
    // Now the machine of the second front and of n3.
    world.nodes.remove("n3");
    world.pass(3 * LINGER);
    world.settle();
    world.join("n3", 1, 1103);
    world.settle();
    world.restart(1);
    world.tell(1);
    let view = world.fronts[1].builder.view();
    let owner = |view: &View, key: &str| view.nodes[view.ring.owner(view.ring.position(key)).unwrap()].clone();
    let mut moved = 0;
    for key in (0..300).map(|i| format!("http://example.com/{i}")).filter(|key| owner(&view, key).id == "n1") {
        let named = view.handover.as_ref().unwrap().previous(&key, &owner(&view, &key), |_| true);
        assert_eq!(named.map(|(node, _)| &node.id), Some(&owner(&stand_ins, &key).id), "{key}");
        moved += 1;
    }
    assert!(moved > 50, "{moved}");
}

#[test]
fn a_node_that_drains_is_known_as_the_owner_of_before_while_it_is_there() {
    let mut world = World::new(1);
    (1..=3).for_each(|i| world.join(&format!("n{i}"), 1, 1000 + i));
    world.settle();
    world.now += 600_000;
    let before = world.fronts[0].builder.view();
    world.say("n1", |said| said.state = MemberWish::Draining);
    world.settle();
    let view = world.fronts[0].builder.view();
    assert_eq!(view.nodes.len(), 2);
    assert!(handed_over(&view, &before) > 100);
    let seat = world.fronts[0].builder.seats().find(|seat| seat.spec.id == "n1").unwrap().node.clone();
    let key =
        (0..).map(|i| format!("http://h/{i}")).find(|key| before.ring.owner(before.ring.position(key)) == Some(0));
    let key = key.unwrap();
    let is = view.nodes[view.ring.owner(view.ring.position(&key)).unwrap()].clone();
    let named = view.handover.as_ref().unwrap().previous(&key, &is, |_| true).unwrap();
    assert!(Arc::ptr_eq(named.0, &seat), "the one that is probed");
}
