//! What many clients need of one origin, or of all name servers: one of them leaves some to the others.

use crate::support::standalone::Standalone;
use crate::support::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// At once, even where this machine is slow; far below any time limit.
const AT_ONCE: Duration = Duration::from_secs(3);
const GREEDY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Asks on a new connection, where the answer has to come at once.
fn served_at_once(proxy: SocketAddr, method: &str, url: &str) {
    let begun = Instant::now();
    let mut client = Connection::to(proxy);
    client.patience(2 * AT_ONCE);
    let answer = client.ask(method, url, "", if method == "POST" { b"x" } else { b"" });
    assert_eq!(answer.status, 200, "{method} after {:?}: {}", begun.elapsed(), answer.text());
    assert!(begun.elapsed() < AT_ONCE, "{method} after {:?}", begun.elapsed());
}

#[test]
fn requests_of_one_client_that_an_origin_does_not_answer_leave_connections_to_it_for_others() {
    for tcp in [false, true] {
        let setup = Setup::default().unhurried().set("limits", "origin_connections", 16).set("timeouts", "queue", "5s");
        let alone = tcp.then(|| Standalone::start("r1", &setup));
        let cluster = match &alone {
            Some(node) => setup.nodes(0).node_at("r1", &node.address.to_string()).start(),
            None => setup.nodes(1).start(),
        };
        until_true("the node is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
        let (origin, gate) = (Origin::start(), Gate::default());
        let held = gate.clone();
        origin.on("/long*", move |x| {
            held.wait()?;
            x.reply(200, "Cache-Control: no-store\r\n", "late")
        });
        origin.on("/hello*", |x| x.whole_body().and_then(|_| x.reply(200, "Cache-Control: no-store\r\n", "hello")));
        let ask = |n: usize| {
            let mut client = Connection::from(GREEDY, cluster.proxy);
            let (method, body) = if n.is_multiple_of(3) { ("POST", &b"x"[..]) } else { ("GET", &b""[..]) };
            client.request(method, &origin.url(&format!("/long?{n}")), "", body).unwrap();
            client
        };
        let greedy: Vec<_> = (0..40).map(ask).collect();
        origin.until_asked("/long*", 14);
        for n in 0..4 {
            // By its bytes the second time, and the long way.
            served_at_once(cluster.proxy, "GET", &origin.url("/hello"));
            served_at_once(cluster.proxy, "POST", &origin.url(&format!("/hello/{n}")));
            served_at_once(cluster.proxy, "GET", &origin.url(&format!("/hello/{n}")));
        }
        assert_eq!(origin.count("/long*"), 14, "nearly all, and not all");
        assert_eq!(cluster.metric("ringhold_front_failovers_total"), 0);
        gate.open();
        drop(greedy);
    }
}

/// A tunnel to a host by its name, or the status that it is refused with.
fn tunnel(client: &mut Connection, name: &str, port: u16) -> std::io::Result<u16> {
    client.send(format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n"))?;
    client.final_head().map(|(head, _)| client::status_of(&head))
}

#[test]
fn names_of_ever_new_silent_domains_that_one_client_asks_for_hold_up_no_name_of_another() {
    let test = "names: many silent domains";
    if !tools::wanted(test, &["unshare", "mount"]) {
        return;
    }
    let Ok(server) = names::NameServer::start() else {
        return tools::left_out(test, "port 53 may not be bound here");
    };
    let origin = Origin::start();
    let port = origin.address.port();
    origin.on("/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "hello"));
    let setup = Setup::default().unhurried().nodes(1).set("proxy", "workers", 1).set("timeouts", "connect", "4s");
    let ports: Vec<i64> = vec![443, port.into()];
    let cluster = setup.set("access", "connect_ports", ports).start_by(&server.prefix());
    for tunnels in [false, true] {
        let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut waiting = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let n = waiting.len();
                    let name = format!("n{n}.silent{n}-{tunnels}.test");
                    let mut client = Connection::from(GREEDY, cluster.proxy);
                    let asked = match tunnels {
                        true => client.send(format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n")),
                        false => client.request("GET", &format!("http://{name}:{port}/"), "", b""),
                    };
                    asked.unwrap();
                    waiting.push(client);
                    // More than have their turn in a second, and so many that the others are never reached.
                    thread::sleep(Duration::from_millis(5));
                    begun.store(n > 200, Ordering::Relaxed);
                }
            });
            until_true("the names of many domains are asked for", PATIENCE, || begun.load(Ordering::Relaxed));
            let asked = std::panic::catch_unwind(|| {
                for n in 0..8 {
                    let (name, began) = (format!("n{n}-{tunnels}.answers.test"), Instant::now());
                    match tunnels {
                        true => assert_eq!(tunnel(&mut cluster.connect(), &name, port).unwrap(), 200),
                        false => served_at_once(cluster.proxy, "GET", &format!("http://{name}:{port}/hello")),
                    }
                    assert!(began.elapsed() < AT_ONCE, "after {:?}", began.elapsed());
                }
            });
            over.store(true, Ordering::Relaxed);
            asked.unwrap();
        });
    }
}
