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
