//! A client that takes so little of an answer that its node cuts it for its memory; and a node that dies meanwhile.

use super::table::{Got, Scene, Walk, path};
use super::{log_line, setup};
use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, Exchange, Origin, PATIENCE, Setup, client, process, until_true};
use rustix::process::Signal;
use std::io;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A node has 32 MiB for what is read of no store, and clients are given all the time they want.
fn small() -> Setup {
    let setup = setup().set("cache", "memory", "16MiB").set("cache", "in_flight", "32MiB").set("log", "access", "json");
    let setup = setup.set("cache", "max_object", "16MiB").set("cache", "eviction", "lru");
    setup.set("timeouts", "client_silence", "60s")
}

fn sized(x: &mut Exchange) -> io::Result<()> {
    x.begin_sized("Cache-Control: max-age=600\r\n", 15 * MIB)?;
    x.noise(1, 15 * MIB)
}

fn chunked(x: &mut Exchange) -> io::Result<()> {
    x.begin_chunked("Cache-Control: max-age=600\r\n")?;
    (0..15 * 16).try_for_each(|_| x.chunk([7; 1 << 16]))?;
    x.end_chunked("")
}

/// A counter of the node; 0 while nothing is told of it.
fn counted(cluster: &Cluster, name: &str) -> u64 {
    let metrics = cluster.manage("GET", "/metrics", "").text();
    let line = metrics.lines().find(|line| line.starts_with(&format!("ringhold_node_{name}_total{{")));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
}

/// Others come one after the other, who take nothing either, until the one is cut who has taken nothing for longest.
fn press(cluster: &Cluster, origin: &Origin) -> Vec<Connection> {
    let mut others: Vec<Connection> = Vec::new();
    until_true("somebody is cut", 2 * PATIENCE, || {
        let (stored, cut) = (counted(cluster, "stored"), counted(cluster, "readers_cut"));
        if cut == 0 && stored > others.len() as u64 {
            let mut other = cluster.connect();
            other.request("GET", &origin.url(&format!("/other-{}", others.len())), "", b"").unwrap();
            others.push(other);
        }
        cut > 0
    });
    others
}

/// Asks, takes nothing until it is cut, and then all that there is.
fn is_cut(scene: &Scene<'_>, client: &mut Connection, url: &str, version: &str, others: &mut Vec<Connection>) -> Got {
    client.send(format!("GET {url} HTTP/{version}\r\nHost: {}\r\n\r\n", client::host_of(url))).unwrap();
    let (head, _) = client.final_head().unwrap();
    // For longer than anybody who comes now, and than a front takes to see that it lies there.
    std::thread::sleep(Duration::from_millis(500));
    *others = press(scene.cluster, scene.origin);
    Got::of(&head, client.body("GET", &head, |_| {}).is_ok())
}

/// The row of it, by whatever the body's end is told, and by whatever the node is reached.
pub fn walk(walk: &Walk) {
    for (act, version, tcp) in [
        (sized as fn(&mut Exchange) -> io::Result<()>, "1.1", false),
        (sized, "1.1", true),
        (sized, "1.0", false),
        (chunked, "1.1", false),
        (chunked, "1.1", true),
    ] {
        let alone = tcp.then(|| Standalone::start("r1", &small()));
        let cluster = match &alone {
            Some(node) => small().nodes(0).node_at("r1", &node.address.to_string()).start(),
            None => small().nodes(1).start(),
        };
        until_true("it is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
        let origin = Origin::start();
        origin.on("/*", act);
        let scene = Scene { cluster: &cluster, origin: &origin };
        walk.each("takes so little that its node cuts it for its memory", |row, _| {
            let (url, mut others) = (origin.url(&path()), Vec::new());
            scene.by(row, &url, |client| is_cut(&scene, client, &url, version, &mut others))
        });
    }
}

#[test]
fn a_node_that_has_died_while_its_client_took_nothing_has_broken_off_also_where_it_is_back() {
    for starts_again in [false, true] {
        let (cluster, origin) = (small().nodes(1).start(), Origin::start());
        origin.on("/*", sized);
        let (url, mut client) = (origin.url("/x"), cluster.connect());
        client.request("GET", &url, "", b"").unwrap();
        let (head, _) = client.final_head().unwrap();
        // Nothing moves any more.
        std::thread::sleep(Duration::from_millis(500));
        let node = cluster.node("n1").pid;
        process::signal(node, Signal::KILL);
        if starts_again {
            until_true("it is back", PATIENCE, || {
                cluster.nodes().iter().any(|n| n.pid != node) && cluster.metric("ringhold_node_up") == 1
            });
        }
        assert!(client.body("GET", &head, |_| {}).is_err());
        let line = log_line(&cluster, &url);
        assert_eq!((&line["end"], &line["fault"]), (&"node-broke".into(), &"node".into()), "{line}");
    }
}
