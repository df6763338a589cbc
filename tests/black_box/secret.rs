//! Front and nodes on different machines: they prove the cluster's secret to each other, and strangers get nothing.

use crate::support::cluster::{command_after, run};
use crate::support::netns::Elsewhere;
use crate::support::*;
use std::net::SocketAddr;
use std::process::Child;
use tempfile::TempDir;

/// A node on another machine.
struct Remote {
    address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Remote {
    fn start(elsewhere: &Elsewhere, secrets: Secrets) -> Remote {
        let folder = TempDir::with_prefix("rh").unwrap();
        secrets.into(Setup::default().nodes(0)).write_into(folder.path());
        let listen = format!("{}:0", elsewhere.there);
        let words = ["node", "--id", "r1", "--listen", &listen, "--config", "cluster.toml"];
        let child = command_after(&elsewhere.prefix(), folder.path(), &words).spawn().unwrap();
        let mut remote = Remote { address: SocketAddr::new(elsewhere.there, 0), child, folder };
        remote.address = until("the node elsewhere listens", PATIENCE, || {
            let said = remote.said();
            said.lines().find_map(|line| line.strip_prefix("ringhold node r1 listening on ")?.parse().ok())
        });
        remote
    }

    fn said(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}{}", read("stdout"), read("stderr"))
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.said();
        if std::thread::panicking() {
            eprintln!("---- what the node elsewhere said ----\n{said}");
        } else {
            assert!(!said.contains("panicked at"), "{said}");
        }
    }
}

/// The secret, and the one before (empty: none).
#[derive(Clone, Copy, Debug)]
struct Secrets(&'static str, &'static str);

const OLD: &str = "an-old-secret-of-the-cluster";
const NEW: &str = "a-new-secret-of-the-cluster";
const ONE: Secrets = Secrets(OLD, "");

impl Secrets {
    fn into(self, setup: Setup) -> Setup {
        let setup = setup.set("cluster", "secret", self.0);
        if self.1.is_empty() { setup } else { setup.set("cluster", "previous_secret", self.1) }
    }
}

/// A front here with that one node.
fn front(remote: &Remote, secrets: Secrets) -> Cluster {
    let cluster = secrets.into(Setup::default().nodes(0)).start();
    let added = cluster.manage("POST", "/v1/nodes", &format!(r#"{{"id":"r1","address":"{}"}}"#, remote.address));
    assert!((200..300).contains(&added.status), "{}", added.text());
    cluster
}

fn up(cluster: &Cluster) -> bool {
    let listed = cluster.manage("GET", "/v1/nodes/r1", "");
    listed.json()["up"].as_bool().unwrap_or_else(|| panic!("{}", listed.text()))
}

fn until_up(cluster: &Cluster) {
    until_true("the node elsewhere is up", PATIENCE, || up(cluster));
}

#[test]
fn a_node_refuses_to_listen_for_the_network_without_a_secret() {
    let folder = TempDir::with_prefix("rh").unwrap();
    Setup::default().nodes(0).write_into(folder.path());
    let listen = |address| ["node", "--id", "n1", "--listen", address, "--config", "cluster.toml"];
    for address in ["0.0.0.0:0", "[::]:0"] {
        let (code, said) = run(folder.path(), &listen(address));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("set `[cluster] secret` in cluster.toml"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_stranger_gets_403_from_a_node() {
    let Some(elsewhere) = Elsewhere::make("a stranger at a node's port") else { return };
    let remote = Remote::start(&elsewhere, ONE);
    let origin = Origin::at(elsewhere.here);
    origin.on("/", |x| x.reply(200, "", "in"));
    let proxied = format!("GET {} HTTP/1.1\r\nHost: x\r\nRinghold-Client: local\r\n\r\n", origin.url("/"));
    for request in
        [&proxied, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "DELETE /cache?url=x HTTP/1.1\r\nHost: x\r\n\r\n"]
    {
        let mut stranger = Connection::to(remote.address);
        stranger.send(request).unwrap();
        let answer = stranger.response("GET").unwrap();
        assert_eq!(answer.status, 403, "{request}");
        assert!(answer.has_error("http_request_denied"), "{:?}", answer.head);
        assert!(stranger.closes_within(PATIENCE), "{request}");
    }
    assert_eq!(origin.count("*"), 0);
}

#[test]
fn a_front_is_served_by_a_node_on_another_machine() {
    let Some(elsewhere) = Elsewhere::make("a front and a node on two machines") else { return };
    let remote = Remote::start(&elsewhere, ONE);
    let origin = Origin::at(elsewhere.here);
    origin.on("/", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "hello"));
    let cluster = front(&remote, ONE);
    until_up(&cluster);
    for hit in [false, true, true] {
        let answer = cluster.get(&origin.url("/"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert_eq!((answer.node().as_str(), answer.is_hit()), ("r1", hit), "{}", answer.cache_status());
    }
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={}", origin.url("/")), "");
    assert_eq!(purged.status, 200, "{}", purged.text());
    assert!(!cluster.get(&origin.url("/")).is_hit());
    assert_eq!(origin.count("/"), 2);
    let loopback = Origin::start();
    assert_eq!(cluster.get(&loopback.url("/")).status, 503, "no node here can reach this machine's loopback");
    assert_eq!(loopback.count("*"), 0);
}

#[test]
fn a_node_with_another_secret_is_passed_over_and_the_log_says_why_once() {
    let Some(elsewhere) = Elsewhere::make("a node with another secret") else { return };
    let remote = Remote::start(&elsewhere, Secrets(NEW, ""));
    let origin = Origin::at(elsewhere.here);
    let cluster = front(&remote, ONE);
    let complaint = "set the same `[cluster] secret` here and there";
    until_true("the log says why", PATIENCE, || cluster.said().contains(complaint));
    assert_eq!(cluster.get(&origin.url("/")).status, 503);
    until_true("the node has refused some more probes", PATIENCE, || remote.said().contains("total=4"));
    assert!(!up(&cluster));
    assert_eq!(cluster.said().matches(complaint).count(), 1);
    assert!(!cluster.said().contains(OLD) && !remote.said().contains(NEW), "a secret was logged");
    assert_eq!(origin.count("*"), 0);
}

#[test]
fn a_new_secret_is_brought_in_machine_by_machine() {
    let Some(elsewhere) = Elsewhere::make("a new secret") else { return };
    let origin = Origin::at(elsewhere.here);
    origin.on("/", |x| x.reply(200, "Cache-Control: no-store\r\n", "hello"));
    for (node, front_has) in [(Secrets(NEW, OLD), ONE), (ONE, Secrets(NEW, OLD)), (Secrets(NEW, OLD), Secrets(NEW, ""))]
    {
        let remote = Remote::start(&elsewhere, node);
        let cluster = front(&remote, front_has);
        until_up(&cluster);
        assert_eq!(cluster.get(&origin.url("/")).text(), "hello", "{node:?} {front_has:?}");
    }
}
