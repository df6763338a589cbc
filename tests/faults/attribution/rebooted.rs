//! A node whose machine dies without a word, and is back: nothing on the way says that its connections have ended. And a way
//! on which small packets alone arrive.

use super::{log_line, setup};
use crate::support::standalone::Standalone;
use crate::support::{Gate, Origin, PATIENCE, client, until_true};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The way to a node. Nobody hears that a connection has ended there.
struct Way {
    address: SocketAddr,
    to: Mutex<SocketAddr>,
    /// What is as long as a packet does not arrive, nor what comes after it.
    is_narrow: AtomicBool,
}

impl Way {
    fn to(server: SocketAddr) -> Arc<Way> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, to, is_narrow) = (listener.local_addr().unwrap(), Mutex::new(server), AtomicBool::default());
        let way = Arc::new(Way { address, to, is_narrow });
        let shared = way.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(*shared.to.lock().unwrap()) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to, way) = (from.try_clone().unwrap(), to.try_clone().unwrap(), shared.clone());
                    thread::spawn(move || way.pass_on(from, to));
                }
            }
        });
        way
    }

    /// Until there is no more; then neither end is told.
    fn pass_on(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buf = [0; 1 << 16];
        while let Ok(n @ 1..) = from.read(&mut buf) {
            if self.is_narrow.load(Ordering::Relaxed) && n > 1400 || to.write_all(&buf[..n]).is_err() {
                break;
            }
        }
        loop {
            thread::park();
        }
    }
}

#[test]
fn a_node_is_passed_over_that_only_what_is_small_gets_to_and_comes_from() {
    let quick = setup().set("timeouts", "probe_interval", "50ms").set("timeouts", "probe", "300ms");
    for secret in [None, Some("a-secret-that-all-have")] {
        let quick = secret.into_iter().fold(quick.clone(), |quick, secret| quick.set("cluster", "secret", secret));
        let (r1, r2) = (Standalone::start("r1", &quick), Standalone::start("r2", &quick));
        let way = Way::to(r1.address);
        let front = quick.nodes(0).node_at("r1", &way.address.to_string()).node_at("r2", &r2.address.to_string());
        let front = front.start();
        until_true("both are up", PATIENCE, || front.metric("ringhold_node_up") == 2);
        way.is_narrow.store(true, Ordering::Relaxed);
        until_true("one is passed over", PATIENCE, || front.metric("ringhold_node_up") == 1);
        way.is_narrow.store(false, Ordering::Relaxed);
        until_true("it is back", PATIENCE, || front.metric("ringhold_node_up") == 2);
    }
}

#[test]
fn the_answers_of_a_node_that_has_died_without_a_word_end_when_another_process_is_in_its_place() {
    let (origin, gate) = (Origin::start(), Gate::default());
    let held = gate.clone();
    origin.on("/*", move |x| {
        x.begin_sized("Cache-Control: max-age=60\r\n", 400_000)?;
        x.noise(1, 200_000)?;
        held.wait()
    });
    let quick = setup().set("timeouts", "probe_interval", "100ms").set("timeouts", "probe", "300ms");
    let node = Standalone::start("r1", &quick);
    let way = Way::to(node.address);
    let front = quick.clone().nodes(0).node_at("r1", &way.address.to_string()).set("log", "access", "json");
    let front = front.set("timeouts", "first_byte", "60s").set("timeouts", "origin_silence", "300s").start();
    until_true("the node is up", PATIENCE, || front.metric("ringhold_node_up") == 1);
    let (url, mut asker) = (origin.url("/x"), front.connect());
    asker.request("GET", &url, "", b"").unwrap();
    let (head, _) = asker.final_head().unwrap();
    assert_eq!(client::status_of(&head), 200);
    asker.read_exact(200_000).unwrap();
    drop(node);
    until_true("it is missed", PATIENCE, || front.metric("ringhold_node_up") == 0);
    // Longer than what the new process could have been asked before it is met.
    thread::sleep(Duration::from_secs(3));
    let node = Standalone::start("r1", &quick);
    *way.to.lock().unwrap() = node.address;
    until_true("it is back", PATIENCE, || front.metric("ringhold_node_up") == 1);
    assert!(asker.closes_within(PATIENCE), "the answer has ended, cut");
    let line = log_line(&front, &url);
    assert_eq!((&line["end"], &line["fault"]), (&"node-broke".into(), &"node".into()), "{line}");
    gate.open();
}
