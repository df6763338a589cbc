//! What runs for some columns: a front with a node, or a node alone; and what it counts and logs.

use super::column::{Place, Route, Way};
use super::seen::Line;
use super::stage::{OTHER, Stage};
use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, PATIENCE, Setup, cluster, until, until_true};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// The program that was built with the tests: a release has no switch for the route.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringhold");
const FORCED: &str = "RINGHOLD_ROUTE: every request takes the long way";

pub struct Running {
    place: Place,
    node: Standalone,
    front: Option<Cluster>,
    /// Kept for the questions that are no cells.
    to_admin: Option<Connection>,
    to_node: Connection,
    admin: String,
    /// What was counted when the last cell was over.
    pub last: Option<Counts>,
    log: Option<(File, Vec<String>)>,
    /// How many pages have taken the place of what memory had.
    others: usize,
}

pub type Counts = BTreeMap<String, i64>;

impl Running {
    pub fn start(place: Place) -> Running {
        let setup = Setup::default()
            .nodes(0)
            .set("proxy", "workers", 1)
            .set("proxy", "pseudonym", "ringhold")
            .set("hot", "memory", if place.hot { "16MiB" } else { "0" })
            .set("log", "access", if place.log { "json" } else { "off" })
            .set("log", "queries", true)
            // What comes first, and who is silent, is not for the load of this machine to decide.
            .set("timeouts", "expect_continue", "1min")
            .set("timeouts", "small_body", "5s")
            .set("timeouts", "slow_hit", "0s")
            .set("timeouts", "probe", "2min");
        let setup = if place.disk { on_disk(setup) } else { setup };
        let node = Standalone::start_as(
            |folder, words| {
                let mut command = cluster::prepared(&[PROGRAM], folder, words);
                force(&mut command, place.route);
                command
            },
            Ipv4Addr::LOCALHOST.into(),
            "n1",
            &setup,
        );
        let address = node.address;
        let front = place.front.then(|| {
            let setup = setup.node_at("n1", &address.to_string());
            setup.start_as(Some(Path::new(PROGRAM)), |command| force(command, place.route))
        });
        let log = front.as_ref().filter(|_| place.log).map(|front| {
            (File::open(front.folder().join("stdout")).expect("its standard output is a file"), Vec::new())
        });
        let to_admin = front.as_ref().map(|front| Connection::to(front.admin));
        let admin = front.as_ref().map(|front| front.admin.to_string()).unwrap_or_default();
        let to_node = Connection::to(address);
        let mut running = Running { place, last: None, admin, to_node, node, front, to_admin, log, others: 0 };
        if place.disk {
            until_true("the disk is on", PATIENCE, || running.of_node()["disk_state"] == 2);
        }
        running
    }

    /// Two other pages, of which the second leaves no room for more than itself.
    pub fn leave_to_disk(&mut self, stage: &Stage) {
        for _ in 0..2 {
            self.others += 1;
            let (url, host) = (stage.other(self.others), self.node.address);
            self.to_node.send(format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("the node listens");
            assert_eq!(self.to_node.response("GET").expect("the node answers").status, 200);
        }
    }

    fn of_node(&mut self) -> Value {
        let host = self.node.address;
        self.to_node.send(format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("the node listens");
        self.to_node.response("GET").expect("the node answers").json()
    }

    pub fn address(&self, way: Way) -> SocketAddr {
        match (way, &self.front) {
            (Way::Front, Some(front)) => front.proxy,
            _ => self.node.address,
        }
    }

    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// What it has counted that a client or an operator would miss.
    pub fn counts(&mut self) -> Counts {
        let mut counts = self.all_counts();
        for (name, each) in
            [("requests", 1), ("stored", 1), ("forwarded", 1), ("origin_requests", 1), ("bytes_from_origin", OTHER)]
        {
            counts.entry(format!("node {name}")).and_modify(|count| *count -= (self.others * each) as i64);
        }
        counts
    }

    fn all_counts(&mut self) -> Counts {
        if let (Some(admin), Some(front)) = (&mut self.to_admin, &self.front) {
            admin.send(format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", front.admin)).expect("admin listens");
            let text = admin.response("GET").expect("admin answers").text();
            return text.lines().filter_map(|line| of_front(line).or_else(|| of_node(line))).collect();
        }
        let json = self.of_node();
        let all = json.as_object().expect("an object").iter();
        all.filter_map(|(name, value)| Some((node_count(name)?, value.as_i64()?))).collect()
    }

    /// Forgets a URL, everywhere.
    pub fn purge(&mut self, url: &str) {
        let (Some(admin), Some(front)) = (&mut self.to_admin, &self.front) else { return };
        let request = format!("DELETE /v1/cache?url={url} HTTP/1.1\r\nHost: {}\r\n\r\n", front.admin);
        admin.send(request).expect("admin listens");
        assert_eq!(admin.response("DELETE").expect("admin answers").status, 200);
    }

    /// The access lines of a cell, of which there have to be so many.
    pub fn log(&mut self, cell: &str, lines: usize) -> Vec<Line> {
        let Some((file, kept)) = &mut self.log else { return Vec::new() };
        let of_cell = |line: &&String| line.contains(&format!("/{cell}/"));
        let found = until("the access log has its lines", PATIENCE, || {
            let mut more = String::new();
            file.read_to_string(&mut more).expect("the log can be read");
            let whole = more.rfind('\n').map_or(0, |end| end + 1);
            file.seek(SeekFrom::Current(whole as i64 - more.len() as i64)).expect("the log is a file");
            kept.extend(more[..whole].lines().map(str::to_owned));
            let found: Vec<String> = kept.iter().filter(of_cell).cloned().collect();
            (found.len() >= lines).then_some(found)
        });
        kept.clear();
        found
    }

    /// What it was asked to be.
    pub fn check(&mut self) {
        let said = self.front.as_ref().map(Cluster::said).unwrap_or_default() + &self.node.said();
        let forced = said.matches(FORCED).count();
        let expected = if self.place.route == Route::Long { 1 + usize::from(self.place.front) } else { 0 };
        assert_eq!(forced, expected, "{:?}: the route is the one of the column", self.place);
        if self.place.disk {
            let (hits, from_disk) = (self.counts()["node hits"], self.of_node()["disk_hits"].as_i64().unwrap());
            assert!(from_disk > 100 && from_disk * 10 > hits * 9, "{from_disk} of {hits} hits were from disk");
        }
        if self.place.front {
            let hot = self.counts()["front hot_hits"];
            assert_eq!(
                hot > 0,
                self.place.hot && self.place.route == Route::Short,
                "{:?}: {hot} hits of the hot copy",
                self.place
            );
        }
    }
}

/// Memory has room for one page of any cell, and the disk for all.
fn on_disk(setup: Setup) -> Setup {
    let setup = setup.set("cache", "memory", "400KiB").set("cache", "eviction", "lru");
    let setup = setup.set("disk", "size", "64MiB").set("disk", "path", "disk").set("disk", "admit", "always");
    setup.set("access", "open", vec!["127.0.0.0/8"]).set("timeouts", "disk", "10s")
}

fn force(command: &mut std::process::Command, route: Route) {
    command.env_remove("RINGHOLD_ROUTE");
    if route == Route::Long {
        command.env("RINGHOLD_ROUTE", "long");
    }
}

fn of_front(line: &str) -> Option<(String, i64)> {
    let told =
        ["answers", "cache", "hot_hits", "own_answers", "cut_answers", "body_bytes", "failovers", "lost", "faults"];
    let (name, value) = line.strip_prefix("ringhold_front_")?.rsplit_once(' ')?;
    let base = name.split('{').next()?.strip_suffix("_total")?;
    told.contains(&base).then_some(())?;
    Some((format!("front {}", name.replacen("_total", "", 1)), value.parse::<f64>().ok()? as i64))
}

fn of_node(line: &str) -> Option<(String, i64)> {
    let (name, value) = line.strip_prefix("ringhold_node_")?.rsplit_once(' ')?;
    Some((node_count(name.split('{').next()?.strip_suffix("_total")?)?, value.parse::<f64>().ok()? as i64))
}

/// Not how many connections it took, nor what is there now.
fn node_count(name: &str) -> Option<String> {
    let told = [
        "requests",
        "hits",
        "validated",
        "collapsed",
        "forwarded",
        "stored",
        "broken_fills",
        "abandoned_fills",
        "purged",
        "invalidated",
        "origin_requests",
        "origin_failures",
        "peer_asks",
        "peer_answers",
        "strangers",
        "bytes_from_origin",
    ];
    told.contains(&name).then(|| format!("node {name}"))
}
