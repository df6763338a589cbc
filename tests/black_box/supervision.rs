//! One command starts a front and its nodes, keeps them running, and ends them with itself.

use crate::support::cluster::{command, run, until_gone};
use crate::support::*;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn it_is_ready_within_two_seconds_with_three_nodes() {
    let _alone = alone();
    let cluster = Cluster::start();
    let limit = Duration::from_secs(if RELEASE { 2 } else { 10 });
    assert!(cluster.ready_after < limit, "ready after {:?}", cluster.ready_after);
    let ids: Vec<_> = cluster.nodes().into_iter().map(|n| n.id).collect();
    assert_eq!(ids, ["n1", "n2", "n3"]);
}

#[test]
fn the_shipped_configuration_starts() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/cluster.toml");
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", shipped];
    let mut front = command(folder.path(), &ports).spawn().unwrap();
    let ready = until("it is ready", PATIENCE, || {
        let said = std::fs::read_to_string(folder.path().join("stdout")).unwrap_or_default();
        said.contains("ringhold is ready").then_some(said)
    });
    let nodes = process::nodes_of(front.id());
    process::signal(front.id(), Signal::TERM);
    let status = front.wait().unwrap();
    assert!(ready.contains("export http_proxy=http://127.0.0.1:"), "{ready}");
    assert_eq!((nodes.len(), status.code()), (3, Some(0)));
}

#[test]
fn nodes_listen_where_nobody_else_can_reach_them() {
    let cluster = Cluster::start();
    for node in cluster.nodes() {
        let listen = process::value_of(&node.arguments, "--listen").expect("a node is told where to listen");
        let socket = Path::new(listen.strip_prefix("unix:").expect("a Unix socket"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(socket), 0o600, "{}", socket.display());
        assert_eq!(mode(socket.parent().unwrap()), 0o700);
    }
}

#[test]
fn nodes_do_not_take_the_processor_from_the_front() {
    let cluster = Cluster::start();
    let inherited = process::scheduling_policy(std::process::id());
    let expected = if inherited == libc::SCHED_OTHER { libc::SCHED_BATCH } else { inherited };
    for node in cluster.nodes() {
        assert_eq!(process::scheduling_policy(node.pid), expected, "{}", node.id);
    }
    assert_eq!(process::scheduling_policy(cluster.pid()), inherited);
}

#[test]
fn a_node_that_dies_is_started_again_with_growing_patience() {
    let cluster = Cluster::start();
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let old = cluster.node("n1").pid;
        let killed = Instant::now();
        cluster.signal_node("n1", Signal::KILL);
        until_true("n1 runs again", PATIENCE, || cluster.nodes().iter().any(|n| n.id == "n1" && n.pid != old));
        pauses.push(killed.elapsed());
    }
    assert!(pauses[3] > pauses[0], "no back-off: {pauses:?}");
    assert_eq!(cluster.nodes().len(), 3);
}

#[test]
fn nodes_end_with_a_front_that_is_killed() {
    let mut cluster = Cluster::start();
    let nodes: Vec<_> = cluster.nodes().iter().map(|n| n.pid).collect();
    assert_eq!(nodes.len(), 3);
    cluster.terminate(Signal::KILL);
    until_gone(&nodes, SOON);
}

#[test]
fn a_stopped_node_too_ends_with_a_front_that_is_terminated() {
    let mut cluster = Setup::default().set("timeouts", "drain", "1s").start();
    let nodes: Vec<_> = cluster.nodes().iter().map(|n| n.pid).collect();
    cluster.signal_node("n1", Signal::STOP);
    assert!(cluster.terminate(Signal::TERM).success());
    until_gone(&nodes, SOON);
}

#[test]
fn terminating_finishes_what_is_in_flight_and_exits_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (origin, mut cluster) = (Origin::start(), Cluster::start());
        let gate = Gate::default();
        let held = gate.clone();
        origin.on("/slow", move |x| {
            x.begin_sized("Cache-Control: no-store\r\n", 8)?;
            x.raw("half")?;
            held.wait()?;
            x.raw("done")
        });
        let mut client = cluster.connect();
        client.request("GET", &origin.url("/slow"), "", b"").unwrap();
        client.head().unwrap();
        assert_eq!(client.read_exact(4).unwrap(), b"half");
        let mut idle = cluster.connect();
        assert_eq!(idle.get(&origin.url("/else")).status, 404);
        cluster.signal(signal);
        until_true("no new connections", SOON, || Connection::try_to(cluster.proxy).is_err());
        assert!(idle.closes_within(SOON), "an idle connection does not hold it up");
        assert!(cluster.exit_status().is_none(), "a request is in flight");
        gate.open();
        assert_eq!(client.read_exact(4).unwrap(), b"done");
        let status = until("it ends", PATIENCE, || cluster.exit_status());
        assert_eq!(status.code(), Some(0), "{signal:?}");
    }
}

#[test]
fn terminating_leaves_no_process_and_no_socket() {
    let mut cluster = Cluster::start();
    let nodes = cluster.nodes();
    assert!(cluster.terminate(Signal::TERM).success());
    until_gone(&nodes.iter().map(|n| n.pid).collect::<Vec<_>>(), SOON);
    for node in nodes {
        let listen = process::value_of(&node.arguments, "--listen").unwrap();
        let socket = Path::new(listen.strip_prefix("unix:").unwrap());
        assert!(!socket.exists(), "{} is left behind", socket.display());
    }
}

#[test]
fn a_drain_that_takes_too_long_is_cut_short() {
    let (origin, mut cluster) = (Origin::start(), Setup::default().set("timeouts", "drain", "300ms").start());
    origin.on("/stuck", |x| x.until_closed());
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/stuck"), "", b"").unwrap();
    origin.until_asked("/stuck", 1);
    let begun = Instant::now();
    assert_eq!(cluster.terminate(Signal::TERM).code(), Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_2() {
    let used = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = used.local_addr().unwrap().to_string();
    for table in ["proxy", "admin"] {
        let setup = match table {
            "proxy" => Setup::default().set("proxy", "listen", vec![address.clone()]),
            _ => Setup::default().set("admin", "listen", address.clone()),
        };
        let (code, said) = setup.refuse();
        assert_eq!(code, Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&address) && said.contains("in use"), "{said}");
    }
}

#[test]
fn a_node_alone_is_a_proxy_that_a_client_can_use() {
    let origin = Origin::start();
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "page"));
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let arguments = ["node", "--id", "alone", "--listen", "127.0.0.1:0"];
    let mut node = command(folder.path(), &arguments).spawn().unwrap();
    let address = until("it listens", PATIENCE, || {
        let said = std::fs::read_to_string(folder.path().join("stdout")).unwrap_or_default();
        said.split_once("listening on ")?.1.lines().next()?.trim().parse().ok()
    });
    let mut client = Connection::to(address);
    let answers = [0, 1].map(|_| client.get(&origin.url("/page")));
    process::signal(node.id(), Signal::TERM);
    let status = node.wait().unwrap();
    assert_eq!((answers[0].node().as_str(), answers[1].is_hit()), ("alone", true));
    assert!(origin.heads("/page")[0].has("via"));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn help_and_version_are_there() {
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let (code, said) = run(folder.path(), &["--version"]);
    assert_eq!((code, said.trim()), (Some(0), concat!("ringhold ", env!("CARGO_PKG_VERSION"))));
    let (code, said) = run(folder.path(), &["--help"]);
    assert_eq!(code, Some(0));
    for role in ["serve", "front", "node", "nodes", "ring", "explain", "get", "purge", "check"] {
        assert!(said.lines().any(|line| line.trim_start().starts_with(role)), "{role} is missing in:\n{said}");
    }
}
