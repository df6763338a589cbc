//! Memory, where bodies are written to a disk while they come.

use super::memory::{FRESH, MIB, asks_and_waits, counted, told_of};
use crate::support::*;
use std::time::{Duration, Instant};

/// So many read nothing: with a piece each, of 64 KiB at the least, it is more than may be in flight.
const MANY: u32 = 80;

/// A node with 4 MiB for what is on its way, whose memory keeps none of the large bodies.
fn small() -> Setup {
    let setup = Setup::default().nodes(1).unhurried().set("access", "open", vec!["127.0.0.1/32"]);
    let setup = setup.set("cache", "memory", "8MiB").set("cache", "in_flight", "4MiB");
    setup.set("cache", "max_object", "2MiB").set("disk", "size", "1GiB").set("disk", "path", "disk")
}

#[test]
fn readers_that_take_nothing_of_what_is_on_its_way_to_the_disk_hold_up_nobody() {
    let (origin, cluster) = (Origin::start(), small().start());
    until_true("the disk is on", PATIENCE, || cluster.metric("ringhold_node_disk_state") == 2);
    let gate = Gate::default();
    let wait = gate.clone();
    // None of them comes to its end, by which it would be in the store.
    origin.on("/large/*", move |x| {
        x.begin_sized(FRESH, 4 * MIB)?;
        x.noise(1, 3 * MIB)?;
        wait.wait()
    });
    origin.on("/page/*", |x| {
        x.begin_sized(FRESH, MIB)?;
        x.noise(1, MIB)
    });
    let readers: Vec<_> = (0..MANY).map(|n| asks_and_waits(&cluster, &origin.url(&format!("/large/{n}")))).collect();
    (0..MANY).for_each(|n| origin.until_asked(&format!("/large/{n}"), 1));
    until_true("who is too much has been cut", PATIENCE / 2, || {
        let held = told_of(&cluster, "n1", "fills") + told_of(&cluster, "n1", "readers");
        counted(&cluster, "readers_cut") > 0 && held <= 4 * MIB
    });
    for n in 0..5 {
        let begun = Instant::now();
        let page = cluster.get(&origin.url(&format!("/page/{n}")));
        assert!(page.body.len() as u64 == MIB && begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    gate.open();
    drop(readers);
}
