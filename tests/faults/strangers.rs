//! Strangers at a node's TCP port keep no front out, whatever they do there.

use super::shares::{OTHER, hello};
use crate::support::relay::Relay;
use crate::support::standalone::Standalone;
use crate::support::*;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Its proof takes four times the way; whose silent ones are many give way first.
#[test]
fn a_front_that_is_far_away_gets_in_however_many_strangers_are_silent_at_its_node() {
    let (origin, gate) = (Origin::start(), Gate::default());
    let setup = Setup::default().unhurried().set("cluster", "secret", "the-secret-of-this-cluster");
    let node = Standalone::start("r1", &setup);
    let relay = Relay::to(&node.address.to_string());
    relay.delay(Duration::from_millis(90));
    let cluster = setup.nodes(0).node_at("r1", &relay.address.to_string()).start();
    let (url, held) = (hello(&origin), gate.clone());
    origin.on("/held/*", move |x| held.wait().and_then(|()| x.reply(200, "Cache-Control: no-store\r\n", "")));
    until_true("the node is up", PATIENCE, || cluster.get(&url).status == 200);
    let (over, are_there, address) = (AtomicBool::new(false), AtomicBool::new(false), node.address);
    let come = || {
        let mut silent: Vec<_> = (0..400).map(|_| Connection::from(OTHER, address)).collect();
        are_there.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        while !over.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
            silent.iter_mut().filter(|one| has_closed(one)).for_each(|one| *one = Connection::from(OTHER, address));
            thread::yield_now();
        }
    };
    thread::scope(|all| {
        all.spawn(come);
        until_true("they are there", PATIENCE, || are_there.load(Ordering::Relaxed));
        let clients: Vec<_> = (0..24)
            .map(|n| {
                let url = origin.url(&format!("/held/{n}"));
                let cluster = &cluster;
                all.spawn(move || cluster.get(&url).status)
            })
            .collect();
        origin.until_asked("/held/*", 24);
        gate.open();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| assert_eq!(client.join().unwrap(), 200));
    });
}

/// Whoever they are, and even where the front is at the same address: each of them says a byte again and again.
#[test]
fn a_front_gets_in_at_once_however_many_strangers_talk_to_its_node() {
    many_files();
    let origin = Origin::start();
    let setup = Setup::default().unhurried().set("cluster", "secret", "the-secret-of-this-cluster");
    let node = Standalone::start("r1", &setup);
    let cluster = setup.nodes(0).node_at("r1", &node.address.to_string()).start();
    let url = hello(&origin);
    until_true("the node is up", PATIENCE, || cluster.get(&url).status == 200);
    let (one, own) = (|_| OTHER, |_| IpAddr::V4(Ipv4Addr::LOCALHOST));
    let many = |n: usize| IpAddr::V4(Ipv4Addr::new(127, 0, 1 + (n / 250) as u8, 1 + (n % 250) as u8));
    let rows: [(&str, &(dyn Fn(usize) -> IpAddr + Sync)); 3] = [("one", &one), ("own", &own), ("many", &many)];
    for (which, from) in rows {
        let (gate, over, settled) = (Gate::default(), AtomicBool::new(false), AtomicBool::new(false));
        let held = gate.clone();
        origin.on("/held/*", move |x| held.wait().and_then(|()| x.reply(200, "Cache-Control: no-store\r\n", "")));
        let talk = || {
            let begun = Instant::now();
            let mut talkers: Vec<_> = (0..500).map(|n| Connection::from(from(n), node.address)).collect();
            while !over.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                for (n, one) in talkers.iter_mut().enumerate() {
                    if one.send("x").is_err() || has_closed(one) {
                        *one = Connection::from(from(n), node.address);
                    }
                }
                // By then who came first has been there for as long as a front may take.
                settled.store(begun.elapsed() > Duration::from_millis(2500), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(100));
            }
        };
        thread::scope(|all| {
            all.spawn(talk);
            until_true("they are there", PATIENCE, || settled.load(Ordering::Relaxed));
            let begun = Instant::now();
            let clients: Vec<_> = (0..24)
                .map(|n| {
                    let (url, cluster) = (origin.url(&format!("/held/{which}/{n}")), &cluster);
                    all.spawn(move || cluster.get(&url).status)
                })
                .collect();
            origin.until_asked(&format!("/held/{which}/*"), 24);
            let took = begun.elapsed();
            gate.open();
            over.store(true, Ordering::Relaxed);
            clients.into_iter().for_each(|client| assert_eq!(client.join().unwrap(), 200));
            assert!(took < Duration::from_millis(1200), "{which}: after {took:?}");
        });
    }
}

fn has_closed(connection: &Connection) -> bool {
    let stream = connection.stream();
    stream.set_nonblocking(true).unwrap();
    !matches!(stream.peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}
