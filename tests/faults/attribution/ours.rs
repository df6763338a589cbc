//! Rows of what we have none left of.

use super::setup;
use super::table::{Got, Scene, Walk, body, path};
use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, Gate, Origin, PATIENCE, until_true};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::cell::RefCell;

/// While it lives, a process can open no file more.
struct NoFiles {
    pid: u32,
    before: Rlimit,
}

impl NoFiles {
    fn left_to(pid: u32) -> NoFiles {
        // Its own is the same.
        let most = getrlimit(Resource::Nofile).maximum;
        NoFiles { pid, before: limit(pid, Rlimit { current: Some(3), maximum: most }) }
    }
}

impl Drop for NoFiles {
    fn drop(&mut self) {
        limit(self.pid, self.before);
    }
}

fn limit(pid: u32, new: Rlimit) -> Rlimit {
    prlimit(Pid::from_raw(pid as i32), Resource::Nofile, new).expect("one may limit one's own children")
}

/// Has asked, and waits for the answer.
fn holds(cluster: &Cluster, url: &str) -> Connection {
    let mut client = cluster.connect();
    client.request("GET", url, "", b"").unwrap();
    client
}

#[test]
fn the_rows_of_what_we_lack() {
    let walk = Walk::of("us");
    // One worker, so that all clients use one pool; less time to connect in, so that it is over soon.
    let setup = setup().set("proxy", "workers", 1).set("timeouts", "connect", "1500ms").set("log", "access", "json");
    let setup = setup.set("timeouts", "origin_silence", "60s");
    let (origin, gate) = (Origin::start(), Gate::default());
    let held = gate.clone();
    origin.on("/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "origin"));
    origin.on("/held*", move |x| {
        x.whole_body()?;
        x.begin_sized("Cache-Control: no-store\r\n", 100)?;
        x.raw("slowly")?;
        held.wait()
    });
    let few = setup.clone().nodes(1).set("limits", "node_connections", 2).set("limits", "queue", 1);
    let cluster = few.set("timeouts", "queue", "200ms").start();
    let _greedy: Vec<Connection> = (0..4).map(|n| holds(&cluster, &origin.url(&format!("/held{n}")))).collect();
    // Each has a connection by then, or was refused: nothing of it is counted any more while others ask.
    until_true("all who wait have been refused", PATIENCE, || {
        let metrics = cluster.manage("GET", "/metrics", "").text();
        let faults = metrics.lines().filter(|line| line.starts_with("ringhold_front_faults_total{"));
        let refused: f64 = faults.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        origin.count("/held*") + refused as usize >= 4
    });
    let scene = Scene { cluster: &cluster, origin: &origin };
    walk.each("all connections to the node are in use, and the queue is full", |row, method| {
        scene.ask(row, method, &path())
    });

    let cluster = setup.clone().nodes(1).start();
    let scene = Scene { cluster: &cluster, origin: &origin };
    let others = RefCell::new(Vec::new());
    walk.each("the front has no descriptor for a connection to the node", |row, method| {
        let (path, before) = (path(), origin.count("/held*"));
        scene.by(row, &origin.url(&path), |client| {
            // Takes the connection that there is.
            others.borrow_mut().push(holds(&cluster, &origin.url(&format!("/held{path}"))));
            origin.until_asked("/held*", before + 1);
            let _lacking = NoFiles::left_to(cluster.pid());
            client.request(method, &origin.url(&path), "", body(method)).unwrap();
            Got::next(client, method)
        })
    });

    walk.each("the node has no descriptor for a connection to the origin", |row, method| {
        let node = Standalone::start("r1", &setup);
        // A node closes idle connections to have files: also that of the probes.
        let front = setup.clone().nodes(0).node_at("r1", &node.address.to_string()).set("timeouts", "probe", "20s");
        let (cluster, other) = (front.start(), Origin::start());
        until_true("the node is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
        assert_eq!(cluster.get(&origin.url("/warm")).status, 200);
        let scene = Scene { cluster: &cluster, origin: &other };
        let url = other.url(&path());
        scene.by(row, &url, |client| {
            let _lacking = NoFiles::left_to(node.pid());
            client.request(method, &url, "", body(method)).unwrap();
            Got::next(client, method)
        })
    });

    let small = setup.nodes(1).set("cache", "in_flight", "4MiB").set("cache", "max_object", "4MiB");
    let cluster = small.start();
    let held = gate.clone();
    origin.on("/filling", move |x| {
        x.begin_sized("Cache-Control: max-age=60\r\n", 4_000_000)?;
        x.noise(1, 3_900_000)?;
        held.wait()
    });
    origin.on("/large*", |x| {
        x.begin_sized("Cache-Control: max-age=60\r\n", 3_000_000)?;
        x.noise(1, 3_000_000)
    });
    let mut filling = cluster.connect();
    filling.request("GET", &origin.url("/filling"), "", b"").unwrap();
    filling.read_exact(3_000_000).unwrap();
    let scene = Scene { cluster: &cluster, origin: &origin };
    walk.each("there is no room to hold what is to be stored", |row, method| {
        scene.ask(row, method, &format!("/large{}", path()))
    });
    gate.open();
    walk.done();
}
