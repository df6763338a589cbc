//! Signals that other programs know, and that a supervisor or a terminal sends.

use crate::support::standalone::Standalone;
use crate::support::*;
use rustix::process::{Pid, Signal, kill_process_group};

const HARMLESS: [(Signal, &str); 6] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::USR1, "SIGUSR1"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::VTALARM, "SIGVTALRM"),
    (Signal::IO, "SIGIO"),
];

#[test]
fn signals_that_mean_nothing_here_end_nothing_and_leave_a_line() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/", |x| x.reply(200, "", "page"));
    let node = cluster.node("n1");
    for (signal, name) in HARMLESS {
        // As a terminal or `kill -HUP -PGID` does: the front and its nodes.
        kill_process_group(Pid::from_raw(cluster.pid() as i32).unwrap(), signal).unwrap();
        until_true("it says so", PATIENCE, || cluster.said().contains(&format!("{name} is ignored")));
    }
    for signal in [Signal::PIPE, Signal::PROF, Signal::POWER] {
        process::signal(cluster.pid(), signal);
    }
    // SAFETY: only a signal is sent.
    unsafe { libc::kill(cluster.pid() as i32, libc::SIGRTMIN() + 3) };
    until_true("it says so", PATIENCE, || cluster.said().contains("SIGRTMIN+3 is ignored"));
    assert_eq!(cluster.get(&origin.url("/")).status, 200);
    assert_eq!(cluster.node("n1"), node, "the same process");
    assert_eq!(cluster.metric("ringhold_node_restarts_total"), 0);
}

#[test]
fn a_node_that_runs_by_itself_ignores_them_too() {
    let node = Standalone::start("r1", &Setup::default());
    for (signal, name) in HARMLESS {
        process::signal(node.pid(), signal);
        until_true("it says so", PATIENCE, || node.said().contains(&format!("{name} is ignored")));
    }
    assert!(process::is_alive(node.pid()));
}

#[test]
fn a_start_says_what_it_is_and_an_end_says_why() {
    let mut cluster = Setup::default().nodes(1).start();
    let said = cluster.said();
    let version = concat!("ringhold ", env!("CARGO_PKG_VERSION"));
    let state = cluster.folder().join("state").display().to_string();
    for word in [version, "serve", "cluster.toml", &state, "n1", "hot copy off", "access log off"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(cluster.manage("PATCH", "/v1/nodes/n1", r#"{"state":"draining"}"#).status, 200);
    until_true("a drain leaves a line", PATIENCE, || cluster.said().contains("node n1 is drained"));
    cluster.terminate(Signal::TERM);
    assert!(cluster.said().contains("SIGTERM"), "{}", cluster.said());
}

#[test]
fn a_node_that_never_answered_leaves_a_line() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let setup = Setup::default().nodes(1).set("timeouts", "node_start", "1s").set("timeouts", "probe", "100ms");
    let cluster = setup.node_at("silent", &address).start();
    assert_eq!(cluster.manage("POST", "/v1/nodes", r#"{"id":"later","address":"127.0.0.1:1"}"#).status, 201);
    for (id, address) in [("silent", address.as_str()), ("later", "127.0.0.1:1")] {
        until_true("it is named", PATIENCE, || {
            let said = cluster.said();
            said.lines().any(|l| l.contains(id) && l.contains("has not answered") && l.contains(address))
        });
    }
}

#[test]
fn clients_that_ask_one_thing_after_the_other_are_told_the_last_answer_when_a_front_ends() {
    let (origin, mut cluster) = (Origin::start(), Setup::default().set("proxy", "workers", 2).start());
    origin.on("/", |x| {
        x.whole_body()?;
        x.reply(200, "Cache-Control: no-store\r\n", "done")
    });
    let url = origin.url("/");
    let ask = |mut client: Connection| {
        for asked in 1.. {
            // Nothing may be asked again by itself: a client that is cut cannot know whether it was done.
            match client.try_ask("POST", &url, "", b"more") {
                Ok(answer) if answer.get("connection").is_some_and(|said| said == "close") => return Ok(asked),
                Ok(answer) => assert_eq!(answer.status, 200),
                Err(e) => return Err(format!("the answer to request {asked}: {e}")),
            }
        }
        unreachable!()
    };
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..20).map(|_| cluster.connect()).map(|client| scope.spawn(|| ask(client))).collect();
        origin.until_asked("/", 200);
        cluster.signal(Signal::TERM);
        let asked: Vec<usize> = asked.into_iter().map(|client| client.join().unwrap().unwrap()).collect();
        assert_eq!(origin.count("/"), asked.iter().sum::<usize>(), "each was asked for once");
    });
    assert!(cluster.exit_status().is_none_or(|status| status.success()));
}

/// As systemd does by default (`KillMode=control-group`): to the front and its nodes at once, and the front tells its nodes as well.
#[test]
fn a_sigterm_to_all_processes_lets_finish_what_is_under_way_and_the_disks_end_in_order() {
    let (origin, gate) = (Origin::start(), Gate::default());
    let setup = Setup::default().nodes(2).set("disk", "size", "64MiB").set("disk", "path", "disk");
    let mut cluster = setup.set("access", "open", vec!["127.0.0.1/32"]).start();
    until_true("the disks are on", PATIENCE, || cluster.metric("ringhold_node_disk_state") >= 4);
    let held = gate.clone();
    origin.on("/*", move |x| {
        held.wait()?;
        x.reply(200, "Cache-Control: max-age=600\r\n", "page")
    });
    let mut clients: Vec<_> = (0..6).map(|_| cluster.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.request("GET", &origin.url(&format!("/{n}")), "", b"").unwrap();
        origin.until_asked(&format!("/{n}"), 1);
    }
    cluster.pids().into_iter().for_each(|pid| process::signal(pid, Signal::TERM));
    until_true("the front ends", PATIENCE, || cluster.said().contains("SIGTERM"));
    until_true("it takes no more clients", PATIENCE, || std::net::TcpStream::connect(cluster.proxy).is_err());
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().text(), "page");
    }
    until_true("the front ends", 2 * PATIENCE, || cluster.exit_status().is_some());
    for node in ["n1", "n2"] {
        assert!(!cluster.folder().join("disk").join(node).join("mark").exists(), "{node}: {}", cluster.said());
    }
}
