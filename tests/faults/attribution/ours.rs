//! Rows of what we have none left of.

use super::setup;
use super::table::{Got, Scene, Walk, body, path};
use crate::support::names::NameServer;
use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, Gate, Origin, PATIENCE, Setup, tools, until_true};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::cell::RefCell;

/// While it lives, a process has no more of something.
struct NoMore {
    pid: u32,
    what: Resource,
    before: Rlimit,
}

impl NoMore {
    fn of(what: Resource, pid: u32, most: u64) -> NoMore {
        // Its own is the same.
        let new = Rlimit { current: Some(most), maximum: getrlimit(what).maximum };
        NoMore { pid, what, before: limit(pid, what, new) }
    }

    fn files(pid: u32) -> NoMore {
        NoMore::of(Resource::Nofile, pid, 3)
    }

    /// But for those that it closes first.
    fn files_but_what_is_idle(pid: u32) -> NoMore {
        let open = |n: &u64| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{n}")).is_ok();
        NoMore::of(Resource::Nofile, pid, (0..).find(|n| !open(n)).unwrap())
    }

    /// No memory for one's stack.
    fn threads(pid: u32) -> NoMore {
        let said = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let size = said.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        NoMore::of(Resource::As, pid, (kib + 1536) * 1024)
    }
}

impl Drop for NoMore {
    fn drop(&mut self) {
        limit(self.pid, self.what, self.before);
    }
}

fn limit(pid: u32, what: Resource, new: Rlimit) -> Rlimit {
    prlimit(Pid::from_raw(pid as i32), what, new).expect("one may limit one's own children")
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
            let _lacking = NoMore::files(cluster.pid());
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
            let _lacking = NoMore::files(node.pid());
            client.request(method, &url, "", body(method)).unwrap();
            Got::next(client, method)
        })
    });

    walk.each("the node can have no thread to look a name up with", |row, method| {
        let node = Standalone::start("r1", &setup);
        let front = setup.clone().nodes(0).node_at("r1", &node.address.to_string());
        let (cluster, origin) = (front.start(), Origin::start());
        origin.on("/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "origin"));
        until_true("the node is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
        let scene = Scene { cluster: &cluster, origin: &origin };
        let url = format!("http://localhost:{}{}", origin.address.port(), path());
        let seen = scene.by(row, &url, |client| {
            let _lacking = NoMore::threads(node.pid());
            client.request(method, &url, "", body(method)).unwrap();
            Got::next(client, method)
        });
        assert_eq!(cluster.ask(method, &url, "", body(method)).status, 200, "nothing of it is kept");
        assert!(!node.said().contains("panicked"), "{}", node.said());
        seen
    });
    names(&walk, &setup);

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

/// A lookup needs two descriptors at one time.
fn names(walk: &Walk, setup: &Setup) {
    let (when, test) = (
        "the node has no descriptor to look a name up with, but idle connections",
        "attribution: no descriptors for a lookup",
    );
    let server = tools::wanted(test, &["unshare", "mount"]).then(NameServer::start);
    let Some(Ok(server)) = server else {
        tools::left_out(test, "it needs unshare, mount, and port 53");
        return walk.leave_out(when);
    };
    // It closes idle connections to have files: also that of the probes.
    let cluster = setup.clone().nodes(1).set("timeouts", "probe", "20s").start_by(&server.prefix());
    let (origin, node) = (Origin::start(), cluster.node("n1").pid);
    origin.on("/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "origin"));
    let scene = Scene { cluster: &cluster, origin: &origin };
    walk.each(when, |row, method| {
        let path = path();
        let url = format!("http://n{}.answers.test:{}{path}", &path[6..], origin.address.port());
        assert_eq!(cluster.get(&origin.url("/warm")).status, 200);
        let seen = scene.by(row, &url, |client| {
            let _lacking = NoMore::files_but_what_is_idle(node);
            client.request(method, &url, "", body(method)).unwrap();
            Got::next(client, method)
        });
        assert_eq!(cluster.ask(method, &url, "", body(method)).status, 200, "nothing of it is kept");
        seen
    });
}
