//! What an origin may be asked again, what nodes and clients do wrong, and what the log says of it.

use super::*;
use rustix::process::Signal;

/// An origin that answers the first request on each connection, and does this to the second.
fn tired(act: impl Fn(&mut Exchange) -> io::Result<()> + Send + Sync + 'static) -> Origin {
    let origin = Origin::start();
    origin.on("/first", |x| x.reply(200, "Cache-Control: no-store\r\n", "first"));
    origin.on("/second", move |x| act(x));
    origin
}

#[test]
fn an_idempotent_request_is_repeated_where_a_kept_connection_closes_before_its_first_byte_and_never_else() {
    let cluster = setup().nodes(1).start();
    for (method, partial, asked) in [
        ("GET", "", 2),
        ("HEAD", "", 2),
        ("DELETE", "", 2),
        ("POST", "", 1),
        ("GET", "HTTP/1.1 200", 1),
        ("GET", "HTTP/1.1 103 Hints\r\n\r\n", 1),
    ] {
        for fields in ["", "Connection: close\r\n"] {
            let origin = tired(move |x| {
                x.hang_up();
                x.raw(partial)
            });
            assert_eq!(cluster.ask(method, &origin.url("/first"), fields, b"").status, 200);
            let answer = cluster.ask(method, &origin.url("/second"), fields, b"");
            let error = if partial.is_empty() { "connection_terminated" } else { "http_response_incomplete" };
            assert!(answer.status == 502 && answer.has_error(error), "{method} {partial}: {:?}", answer.head);
            assert_eq!(origin.count("/second"), asked, "{method} {partial:?} {fields}");
        }
    }
    assert_eq!(cluster.metric("ringhold_front_failovers_total"), 0);
}

#[test]
fn everyone_who_reads_along_sees_the_origins_failure_and_the_next_asks_anew() {
    let (origin, cluster, gate) = (Origin::start(), setup().start(), Gate::default());
    let held = gate.clone();
    origin.on("/x", move |x| {
        x.hang_up();
        x.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100000\r\n\r\n")?;
        x.raw(vec![b'x'; 50_000])?;
        held.wait()
    });
    let url = origin.url("/x");
    let mut readers: Vec<Connection> = (0..5).map(|_| cluster.connect()).collect();
    let heads: Vec<_> = readers
        .iter_mut()
        .map(|reader| {
            reader.request("GET", &url, "", b"").unwrap();
            reader.final_head().unwrap().0
        })
        .collect();
    gate.open();
    for (reader, head) in readers.iter_mut().zip(&heads) {
        let mut came = 0;
        assert!(reader.body("GET", head, |piece| came += piece.len()).is_err());
        assert_eq!(came, 50_000);
    }
    assert_eq!(origin.count("/x"), 1);
    cluster.get_broken(&url);
    assert_eq!(origin.count("/x"), 2);
    assert_eq!(cluster.metric("ringhold_front_failovers_total"), 0);
}

trait Broken {
    fn get_broken(&self, url: &str);
}

impl Broken for Cluster {
    fn get_broken(&self, url: &str) {
        assert!(!ask(self, &PLAIN, url).whole);
    }
}

#[test]
fn a_time_limit_that_was_kept_names_its_key() {
    let (origin, cluster) = (Origin::start(), setup().start());
    origin.on("/x", |x| x.until_closed());
    let answer = cluster.get(&origin.url("/x"));
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("first_byte"), "{}", answer.text());
    assert!(answer.head.get("proxy-status").unwrap().contains("first_byte"));
}

#[test]
fn a_node_that_dies_is_the_nodes_fault_and_told_so() {
    let (origin, cluster, gate) = (Origin::start(), setup().set("log", "access", "json").start(), Gate::default());
    let held = gate.clone();
    origin.on("/x", move |x| {
        x.begin_sized("Cache-Control: no-store\r\n", 100_000)?;
        x.raw(vec![b'x'; 50_000])?;
        held.wait()
    });
    let url = origin.url("/x");
    let mut client = cluster.connect();
    client.request("GET", &url, "", b"").unwrap();
    let (head, _) = client.final_head().unwrap();
    cluster.signal_node(&client::node_of(&head), Signal::KILL);
    assert!(client.body("GET", &head, |_| {}).is_err());
    let line = log_line(&cluster, &url);
    assert_eq!((&line["end"], &line["fault"]), (&"node-broke".into(), &"node".into()), "{line}");
    gate.open();
}

/// Between a front and a node: closes the first connections that carry a request, without a byte.
fn flaky(node: std::net::SocketAddr, breaks: usize) -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let left = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(breaks));
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let left = left.clone();
            thread::spawn(move || relay(near, node, &left));
        }
    });
    address
}

fn relay(
    mut near: std::net::TcpStream,
    node: std::net::SocketAddr,
    left: &std::sync::atomic::AtomicUsize,
) -> Option<()> {
    use std::sync::atomic::Ordering::Relaxed;
    let mut far = std::net::TcpStream::connect(node).ok()?;
    let (mut back_from, mut back_to) = (far.try_clone().ok()?, near.try_clone().ok()?);
    thread::spawn(move || {
        let _ = io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Both);
    });
    let mut buffer = [0; 16 * 1024];
    loop {
        let n = near.read(&mut buffer).ok().filter(|n| *n > 0)?;
        let asks = String::from_utf8_lossy(&buffer[..n]).contains(" http://");
        if asks && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            let _ = near.shutdown(Shutdown::Both);
            return None;
        }
        far.write_all(&buffer[..n]).ok()?;
    }
}

#[test]
fn a_link_that_closes_early_makes_its_connection_doubtful_and_no_node() {
    let node = Standalone::start("r1", &setup());
    let cluster = setup().nodes(0).node_at("r1", &flaky(node.address, 3).to_string()).start();
    until_true("it is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
    let origin = Origin::start();
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "hello"));
    // The first is asked again of the same node, on another connection; that is lost as well, and there is no other node.
    let lost = cluster.get(&origin.url("/a"));
    assert!(lost.status == 502 && lost.has_error("connection_terminated"), "{:?}", lost.head);
    assert!(!lost.head.has("retry-after"));
    assert_eq!(cluster.get(&origin.url("/b")).status, 200, "asked once more, on another connection");
    assert_eq!(cluster.metric("ringhold_node_up"), 1);
    assert_eq!(origin.count("/a"), 0);
    assert!(!cluster.said().contains("next owner"), "{}", cluster.said());
    // What may not be repeated is not.
    let cluster = setup().nodes(0).node_at("r1", &flaky(node.address, 1).to_string()).start();
    until_true("it is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
    let lost = cluster.ask("POST", &origin.url("/c"), "", b"x");
    assert!(lost.status == 502 && !lost.head.has("retry-after"), "{:?}", lost.head);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(origin.count("/c"), 0);
    assert_eq!(cluster.metric("ringhold_node_up"), 1);
}

#[test]
fn a_tunnel_that_nothing_moves_in_or_whose_origin_breaks_is_not_told_as_left_by_its_client() {
    let cluster = setup().nodes(1).set("timeouts", "tunnel_idle", "300ms").set("log", "access", "json").start();
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = echo.local_addr().unwrap();
    thread::spawn(move || {
        let mut first = None;
        for stream in echo.incoming().flatten() {
            if first.is_some() {
                // Not before it has been connected.
                let _ = (&stream).read(&mut [0]);
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            first.get_or_insert(stream);
        }
    });
    for (end, fault) in [("idle", serde_json::Value::Null), ("origin-broke", "origin".into())] {
        let mut client = cluster.connect();
        client.send(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n")).unwrap();
        client.final_head().unwrap();
        if end != "idle" {
            client.send("x").unwrap();
        }
        let line = until("the line is written", PATIENCE, || {
            let lines = cluster.said();
            let line = lines.lines().filter(|line| line.contains("CONNECT")).find(|line| line.contains(end))?;
            serde_json::from_str::<serde_json::Value>(line).ok()
        });
        assert_eq!(line["fault"], fault, "{line}");
    }
    let cut = cluster.manage("GET", "/metrics", "").text();
    assert!(cut.contains("ringhold_front_cut_answers_total{by=\"client\"} 0"), "{cut}");
}

/// Ends of tunnels through a node, which the log tells apart.
#[test]
fn the_log_says_who_has_broken_a_tunnel_through_a_node() {
    for tcp in [false, true] {
        let alone = tcp.then(|| Standalone::start("n1", &setup()));
        let setup = setup().nodes(usize::from(!tcp)).set("log", "access", "json");
        let cluster = match &alone {
            Some(node) => setup.node_at("n1", &node.address.to_string()).start(),
            None => setup.start(),
        };
        until_true("it is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
        let origin = Origin::start();
        origin.on("/*", |x| {
            x.raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")?;
            match x.target() {
                "/reset" => {
                    x.read_exactly(1)?;
                    x.reset()
                }
                "/closes" => {
                    x.read_exactly(1)?;
                    x.hang_up();
                    Ok(())
                }
                _ => x.echo(),
            }
        });
        let node = alone.as_ref().map_or_else(|| cluster.node("n1").pid, Standalone::pid);
        // The last, because it ends the node.
        for (path, end, fault) in [
            ("/client", "complete", serde_json::Value::Null),
            ("/closes", "complete", serde_json::Value::Null),
            ("/reset", "origin-broke", "origin".into()),
            ("/killed", "node-broke", "node".into()),
        ] {
            let mut client = cluster.connect();
            client.request("GET", &origin.url(path), "Connection: upgrade\r\nUpgrade: websocket\r\n", b"").unwrap();
            assert_eq!(client.final_head().unwrap().0.word(1), "101");
            client.send("x").unwrap();
            if ["/client", "/killed"].contains(&path) {
                assert_eq!(client.read_exact(1).unwrap(), b"x");
            }
            if path == "/killed" {
                crate::support::process::signal(node, Signal::KILL);
            }
            if path == "/client" {
                client.finish_sending();
            }
            assert!(client.closes_within(PATIENCE), "{path}");
            drop(client);
            let line = until(&format!("{path} is logged"), PATIENCE, || {
                let said = cluster.said();
                let line = said.lines().find(|line| line.contains("\"GET\"") && line.contains(path))?;
                serde_json::from_str::<serde_json::Value>(line).ok()
            });
            assert_eq!((&line["end"], &line["fault"]), (&end.into(), &fault), "{path}, by TCP: {tcp}: {line}");
        }
    }
}
