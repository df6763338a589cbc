//! A node that is cut off from ZooKeeper alone: by a relay of its own, so that any machine can play it.

use super::*;
use support::standalone::Standalone;

#[test]
fn a_node_cut_off_from_zookeeper_alone_leaves_the_ring_with_its_session_and_comes_back() {
    if !wanted("ZooKeeper: a node cut off from it") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::of(3);
    let relay = Relay::to(&zookeeper.connect());
    let (_origin, urls) = objects(OBJECTS);
    let fronts = vec![machine(&zookeeper.connect(), 2, 1).start(), machine(&zookeeper.connect(), 3, 1).start()];
    let setup = Setup::default().set("zookeeper", "connect", relay.address.to_string());
    let _node = Standalone::start("r1", &setup.set("zookeeper", "session", "2s"));
    until_ring(&fronts, 3);
    let history = History::of(&zookeeper, &fronts);
    let loads: Vec<Running> = fronts.iter().map(|f| load(f, &urls)).collect();
    let mut client = fronts[0].connect();
    let url = urls.iter().find(|url| client.get(url).node() == "r1").expect("it owns something");
    for (there, back, name) in [(true, true, "both ways"), (true, false, "there"), (false, true, "back")] {
        let (epoch, ..) = ring(&fronts[0]);
        loads[0].until(loads[0].done() + 200, Instant::now() + Duration::from_secs(1));
        relay.cut(there, back);
        let cut = Instant::now();
        until_true("it is not registered any more", PATIENCE, || {
            let members = cluster(&fronts[0])["members"].as_array().unwrap().clone();
            members.iter().any(|m| m["id"] == "r1" && m["registered"] == false)
        });
        let noticed = cut.elapsed();
        assert_eq!((ring(&fronts[0]).0, client.get(url).node().as_str()), (epoch, "r1"), "{name}: its place is kept");
        until_true("it leaves the ring", PATIENCE, || fronts.iter().all(|f| ring(f).2.len() == 2));
        let left = cut.elapsed();
        assert!(fronts.iter().all(connected) && client.get(url).node() != "r1", "{name}");
        assert_eq!(ring(&fronts[0]).0, epoch + 1, "{name}: one change");
        relay.mend();
        let mended = Instant::now();
        until_ring(&fronts, 3);
        until_true("it answers for what it owns", PATIENCE, || client.get(url).node() == "r1");
        let back = mended.elapsed();
        figure(&format!(
            "node and ZooKeeper, cut {name}: gone after {noticed:?}, left after {left:?}, back after {back:?}"
        ));
        assert_eq!(ring(&fronts[0]).0, epoch + 2, "{name}: one change back");
    }
    none_failed(loads, "a node cut off from ZooKeeper");
    figure(&format!("{} epochs, each written once", history.one()));
}

/// It reads a ring then of which it has met nobody yet, and on which its own node is not. Here the other machine stands still
/// meanwhile, so that nothing of that changes.
#[test]
fn a_machine_that_comes_back_goes_on_with_its_own_nodes_until_it_has_met_another() {
    if !wanted("ZooKeeper: a machine that comes back") {
        return;
    }
    let _alone = alone();
    let zookeeper = Zookeeper::alone();
    let relay = Relay::to(&zookeeper.connect());
    let (_origin, urls) = objects(OBJECTS);
    // It leads, and is not missed while it stands still.
    let other = machine(&zookeeper.connect(), 3, 1).set("zookeeper", "session", "8s").start();
    let machine = machine(&relay.address.to_string(), 2, 1).start();
    let fronts = vec![other, machine];
    until_ring(&fronts, 2);
    relay.cut(true, true);
    until_true("it has left the ring", PATIENCE, || ring(&fronts[0]).2.len() == 1);
    until_true("it is alone", PATIENCE, || !connected(&fronts[1]));
    let stands: Vec<u32> = fronts[0].pids();
    stands.iter().for_each(|pid| process::signal(*pid, Signal::STOP));
    let up = || cluster(&fronts[1])["up"].as_u64();
    until_true("its node is the only one that answers", PATIENCE, || up() == Some(1));
    relay.mend();
    let mut client = fronts[1].connect();
    let mut asked = 0;
    let until = |what: &str, asked: &mut usize, client: &mut Connection, is: &dyn Fn() -> bool| {
        until_true(what, 3 * PATIENCE, || {
            for url in &urls[..20] {
                let answer = client.get(url);
                assert_eq!(answer.status, 200, "after {asked} requests: {}", answer.text());
                *asked += 1;
            }
            is()
        });
    };
    until("it is back", &mut asked, &mut client, &|| connected(&fronts[1]));
    let now = asked;
    while asked < now + 500 {
        until("it goes on", &mut asked, &mut client, &|| true);
    }
    stands.iter().for_each(|pid| process::signal(*pid, Signal::CONT));
    until("all are there", &mut asked, &mut client, &|| {
        fronts.iter().all(|front| ring(front).2.len() == 2 && cluster(front)["up"] == 2)
    });
    figure(&format!("a machine that comes back: {asked} requests, none failed"));
}
