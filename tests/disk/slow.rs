//! A device that takes or gives nothing while a large body is on its way.

use super::faults::FaultyCalls;
use super::*;
use std::io::Read;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const LENGTH: u64 = 48 * MIB;

fn with_large_bodies() -> Setup {
    with_disk(1).set("disk", "size", "256MiB").set("cache", "memory", "16MiB").set("cache", "max_object", "4MiB")
}

fn with_page() -> Origin {
    let origin = Origin::start();
    origin.on("/large", |x| {
        x.begin_sized(KEEP, LENGTH)?;
        x.noise(7, LENGTH)
    });
    origin
}

#[test]
fn a_disk_that_takes_nothing_is_not_waited_for_and_what_it_did_not_take_is_not_stored() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("a_disk_that_takes_nothing", "there is no rustc that builds a library");
    };
    let (origin, cluster) = (with_page(), with_large_bodies().start_by(&calls.prefix()));
    until_on(&cluster);
    let (url, whole) = (origin.url("/large"), noise::Noise::bytes(7, LENGTH));
    calls.begin("body write hang");
    assert!(cluster.get(&url).body == whole, "who fetches it has all of it while nothing of it can be written");
    let waits = cluster.metric("ringhold_node_disk_behind_bytes");
    assert!(waits <= 17 * MIB, "{} MiB wait to be written", waits / MIB);
    let explained = cluster.manage("GET", &format!("/v1/explain?url={url}"), "").json();
    assert_eq!(explained["on_disk"], false, "{explained}");
    assert!(explained["not_stored"].as_str().is_some_and(|why| why.contains("slower than the origin")), "{explained}");
    calls.end();
    until_true("what was written of it is gone", PATIENCE, || {
        cluster.metric("ringhold_node_disk_behind_bytes") == 0 && large::bodies(&cluster) == 0
    });
    assert_eq!(cluster.metric("ringhold_node_disk_state"), 2);
    // An origin that the disk keeps up with.
    let cluster = Arc::new(cluster);
    let of_origin = Arc::downgrade(&cluster);
    origin.on("/large", move |x| {
        x.begin_sized(KEEP, LENGTH)?;
        large::paced(&of_origin, &noise::Noise::bytes(7, LENGTH), |piece| x.raw(piece))
    });
    let again = cluster.get(&url);
    assert!(!again.is_hit() && again.body == whole, "{}", again.cache_status());
    large::until_a_file(&cluster, 1);
    let hit = cluster.get(&url);
    assert!(is_from_disk(&hit) && hit.body == whole, "{}", hit.cache_status());
}

/// What waits for it is let go where it is given up, so that those who come after find room.
#[test]
fn nor_by_one_body_after_the_other_where_little_may_be_in_flight_and_a_disk_that_hangs_is_left_alone() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("nor_by_one_body_after_the_other", "there is no rustc that builds a library");
    };
    let (origin, setup) = (Origin::start(), with_large_bodies().set("cache", "in_flight", "8MiB"));
    let cluster = setup.set("cache", "max_object", "1MiB").set("timeouts", "disk_body", "1s").start_by(&calls.prefix());
    until_on(&cluster);
    origin.on("/large/*", |x| {
        x.begin_sized(KEEP, LENGTH / 4)?;
        x.noise(7, LENGTH / 4)
    });
    calls.begin("body write hang");
    let whole = noise::Noise::bytes(7, LENGTH / 4);
    for n in 0..8 {
        let begun = Instant::now();
        assert!(cluster.get(&origin.url(&format!("/large/{n}"))).body == whole, "{n}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{n}: {:?}", begun.elapsed());
        let waits = cluster.metric("ringhold_node_disk_behind_bytes");
        assert!(waits <= 5 * MIB, "{n}: {} MiB wait to be written", waits / MIB);
    }
    until_true("it is left alone", PATIENCE, || {
        cluster.get(&origin.url("/large/more")).body == whole && cluster.metric("ringhold_node_disk_state") == 4
    });
    assert!(cluster.said().contains("bodies are not written in time"), "{}", cluster.said());
    calls.end();
}

#[test]
fn a_body_that_the_disk_does_not_go_on_with_breaks_off_after_disk_body_and_not_after_disk() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("a_body_that_the_disk_does_not_go_on_with", "there is no rustc that builds a library");
    };
    let setup = with_large_bodies().set("timeouts", "disk", "20s").set("timeouts", "disk_body", "300ms");
    let cluster = Arc::new(setup.start_by(&calls.prefix()));
    until_on(&cluster);
    let (origin, of_origin) = (Origin::start(), Arc::downgrade(&cluster));
    origin.on("/large", move |x| {
        x.begin_sized(KEEP, LENGTH)?;
        large::paced(&of_origin, &noise::Noise::bytes(7, LENGTH), |piece| x.raw(piece))
    });
    let url = origin.url("/large");
    assert!(cluster.get(&url).body == noise::Noise::bytes(7, LENGTH));
    large::until_a_file(&cluster, 1);
    let mut client = cluster.connect();
    client.request("GET", &url, "", b"").unwrap();
    client.final_head().unwrap();
    client.read_exact(MIB as usize).unwrap();
    calls.begin("body read hang");
    let mut rest = Vec::new();
    let _ = client.stream().read_to_end(&mut rest);
    let got = rest.len() as u64 + MIB;
    assert!(got < LENGTH, "it breaks off");
    until_true("it is counted", PATIENCE, || cluster.metric("ringhold_node_disk_errors_total") > 0);
    calls.end();
    until_true("it is a hit again", PATIENCE, || {
        cluster.connect().try_ask("GET", &url, "", b"").is_ok_and(|hit| is_from_disk(&hit))
    });
    assert_eq!(origin.count("/large"), 1);
}

#[test]
fn a_disk_that_is_slow_at_the_end_has_the_time_for_that_and_ends_in_order() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("a_disk_that_is_slow_at_the_end", "there is no rustc that builds a library");
    };
    let setup = with_disk(1).set("disk", "admit", "second").set("timeouts", "disk", "100ms");
    let (origin, mut cluster) = (counting(KEEP), setup.start_by(&calls.prefix()));
    until_on(&cluster);
    let urls: Vec<String> = (0..8).map(|n| origin.url(&format!("/{n}"))).collect();
    urls.iter().for_each(|url| assert_eq!(cluster.get(url).status, 200));
    assert_eq!(cluster.metric("ringhold_node_disk_objects"), 0, "memory alone has them");
    calls.begin("sync slow 600");
    cluster.terminate(Signal::TERM);
    calls.end();
    assert!(!cluster.folder().join("disk/n1/mark").exists(), "{}", cluster.said());
    assert!(!cluster.said().contains("did not end in order"), "{}", cluster.said());
    let cluster = cluster.restart();
    until_on(&cluster);
    urls.iter().for_each(|url| assert!(is_from_disk(&cluster.get(url)), "{url}"));
}

#[test]
fn a_start_goes_on_where_the_disk_was_so_that_restarts_do_not_fill_it() {
    let (origin, mut cluster) = (counting(KEEP), with_disk(1).start());
    let mut urls = Vec::new();
    for n in 0..10 {
        until_on(&cluster);
        urls.push(origin.url(&format!("/{n}")));
        assert_eq!(cluster.get(&urls[n]).status, 200);
        cluster = cluster.restart();
    }
    until_on(&cluster);
    urls.iter().for_each(|url| assert!(is_from_disk(&cluster.get(url)), "{url}"));
    let segments = fs::read_dir(cluster.folder().join("disk/n1")).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(segments.filter(|path| path.extension().is_some_and(|kind| kind == "seg")).count(), 1);
}

/// As systemd does by default (`KillMode=control-group`): the front's own SIGTERM is the second that a node gets.
#[test]
fn nor_does_a_sigterm_to_all_its_processes_cut_short_the_end_of_a_slow_disk() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("nor_does_a_sigterm_to_all_its_processes", "there is no rustc that builds a library");
    };
    let (origin, mut cluster) = (counting(KEEP), with_disk(1).start_by(&calls.prefix()));
    until_on(&cluster);
    assert_eq!(cluster.get(&origin.url("/")).status, 200);
    calls.begin("sync slow 1500");
    cluster.pids().into_iter().for_each(|pid| process::signal(pid, Signal::TERM));
    until_true("the front ends", 2 * PATIENCE, || cluster.exit_status().is_some());
    calls.end();
    assert!(!cluster.folder().join("disk/n1/mark").exists(), "{}", cluster.said());
}
