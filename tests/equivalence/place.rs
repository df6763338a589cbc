//! What runs for some columns: a front with a node, or a node alone; how clients reach it; and what it counts and logs.

use super::column::{Column, Edge, Place, Route, Version, Way};
use super::seen::Line;
use super::stage::{OTHER, Stage};
use crate::support::standalone::Standalone;
use crate::support::{Cluster, Connection, PATIENCE, Response, Setup, cluster, tls, until, until_true};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// The program that was built with the tests: a release has no switch for the route.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringhold");
const FORCED: &str = "RINGHOLD_ROUTE: every request takes the long way";

pub struct Running {
    place: Place,
    /// `None`: the front has spawned it, since nobody may hear what it is asked by https (docs/https.md).
    node: Option<StandaloneNode>,
    front: Option<Cluster>,
    /// Kept for the questions that are no cells.
    to_admin: Option<Connection>,
    admin: String,
    /// What clients believe that speak TLS with the front, and HTTP/1 or HTTP/2 inside.
    trust: Option<[Arc<ClientConfig>; 2]>,
    /// What was counted when the last cell was over.
    pub last: Option<Counts>,
    log: Option<(File, Vec<String>)>,
    /// How many pages have taken the place of what memory had.
    others: usize,
    /// How many tunnels the clients of cells have asked for.
    tunnels: i64,
}

struct StandaloneNode {
    process: Standalone,
    /// Kept for the questions that are no cells.
    connection: Connection,
}

pub type Counts = BTreeMap<String, i64>;

impl Running {
    pub fn start(place: Place, stage: &Stage) -> Running {
        let spawned = usize::from(place.edge == Edge::Tls);
        let setup = Setup::default()
            .nodes(spawned)
            .set("proxy", "workers", 1)
            .set("proxy", "pseudonym", "ringhold")
            .set("hot", "memory", if place.hot { "16MiB" } else { "0" })
            .set("log", "access", if place.log { "json" } else { "off" })
            .set("log", "queries", true)
            // What comes first, and who is silent, is not for the load of this machine to decide.
            .set("timeouts", "expect_continue", "1min")
            .set("timeouts", "small_body", "5s")
            .set("timeouts", "slow_hit", "0s")
            .set("timeouts", "probe", "2min")
            .set("timeouts", "first_byte", "10min");
        let setup = if place.disk { on_disk(setup) } else { setup };
        let setup = if place.edge == Edge::Tls { answering_for(setup, place, stage) } else { setup };
        let node = (spawned == 0).then(|| StandaloneNode::start(place, &setup));
        let front = place.front.then(|| {
            let setup = match &node {
                Some(node) => setup.node_at("n1", &node.process.address.to_string()),
                None => setup,
            };
            setup.start_as(Some(Path::new(PROGRAM)), |command| force(command, place.route))
        });
        let trust = front.as_ref().filter(|_| place.edge == Edge::Tls).map(|front| {
            let ours = front.folder().join("state/ca/ca.pem");
            let ours = CertificateDer::pem_file_iter(ours).expect("it has made one");
            let ours: Vec<_> = ours.map(|root| root.expect("a certificate")).collect();
            ["http/1.1", "h2"].map(|protocol| Arc::new(tls::client_of(ours.clone(), &[protocol])))
        });
        let log = front.as_ref().filter(|_| place.log).map(|front| {
            (File::open(front.folder().join("stdout")).expect("its standard output is a file"), Vec::new())
        });
        let to_admin = front.as_ref().map(|front| Connection::to(front.admin));
        let admin = front.as_ref().map(|front| front.admin.to_string()).unwrap_or_default();
        let mut running =
            Running { place, last: None, admin, trust, node, front, to_admin, log, others: 0, tunnels: 0 };
        if place.disk {
            until_true("the disk is on", PATIENCE, || running.of_node()["disk_state"] == 2);
        }
        running
    }

    /// Two other pages, of which the second leaves no room for more than itself.
    pub fn leave_to_disk(&mut self, stage: &Stage) {
        for _ in 0..2 {
            self.others += 1;
            let answer = self.node.as_mut().expect("it is on its own").ask(&stage.other(self.others));
            assert_eq!(answer.status, 200);
        }
    }

    fn of_node(&mut self) -> Value {
        self.node.as_mut().expect("it is on its own").ask("/metrics").json()
    }

    pub fn address(&self, way: Way) -> SocketAddr {
        match (way, &self.front, &self.node) {
            (Way::Front, Some(front), _) | (_, Some(front), None) => front.proxy,
            (.., Some(node)) => node.process.address,
            (.., None, None) => unreachable!("something runs"),
        }
    }

    /// A connection on which what the origin has is asked for.
    pub fn connect(&mut self, column: Column, origin: &str) -> Connection {
        let mut connection = Connection::to(self.address(column.way));
        let Some([text, two]) = &self.trust else { return connection };
        let trust = if column.version == Version::Two { two } else { text };
        self.tunnels += 1;
        connection.send(format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n")).expect("the front listens");
        assert_eq!(connection.head().expect("the front answers").word(1), "200");
        let (host, _) = origin.rsplit_once(':').expect("it has a port");
        connection.secure(trust, host).expect("the front answers in the origin's name")
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
        // The 200 of a CONNECT is an answer too.
        counts.entry("front answers{class=\"2xx\"}".to_owned()).and_modify(|count| *count -= self.tunnels);
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
        // 202 while the machine is so busy that a node has not yet said that it has done it.
        until_true("it is forgotten", PATIENCE, || {
            admin.send(&request).expect("admin listens");
            admin.response("DELETE").expect("admin answers").status == 200
        });
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
        let of_node = self.node.as_ref().map(|node| node.process.said()).unwrap_or_default();
        let said = self.front.as_ref().map(Cluster::said).unwrap_or_default() + &of_node;
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

impl StandaloneNode {
    fn start(place: Place, setup: &Setup) -> StandaloneNode {
        let made = |folder: &Path, words: &[&str]| {
            let mut command = cluster::prepared(&[PROGRAM], folder, words);
            force(&mut command, place.route);
            command
        };
        let process = Standalone::start_as(made, Ipv4Addr::LOCALHOST.into(), "n1", setup);
        let connection = Connection::to(process.address);
        StandaloneNode { process, connection }
    }

    fn ask(&mut self, target: &str) -> Response {
        let host = self.process.address;
        self.connection.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).expect("the node listens");
        self.connection.response("GET").expect("the node answers")
    }
}

/// The origins of all cells that are played there.
fn answering_for(setup: Setup, place: Place, stage: &Stage) -> Setup {
    let columns = Column::all().into_iter().enumerate().filter(|(_, column)| column.place == place);
    let hosts = columns.flat_map(|(column, _)| stage.hosts(column)).collect::<Vec<_>>();
    setup.set("https", "hosts", hosts).set("https", "roots", vec![stage.roots()])
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
