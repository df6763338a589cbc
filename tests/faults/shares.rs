//! Shares: no client, origin or name takes what all others need.

use crate::support::netns::Elsewhere;
use crate::support::standalone::Standalone;
use crate::support::*;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// At once, even where this machine is slow; far below any time limit.
const AT_ONCE: Duration = Duration::from_secs(3);

pub const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

pub fn hello(origin: &Origin) -> String {
    origin.on("/hello", |x| x.reply(200, "Cache-Control: no-store\r\n", "hello"));
    origin.url("/hello")
}

/// Asks on a new connection, where the answer has to come at once.
fn served_at_once(proxy: SocketAddr, url: &str) {
    let begun = Instant::now();
    let mut client = Connection::to(proxy);
    client.patience(2 * AT_ONCE);
    let answer = client.get(url);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(begun.elapsed() < AT_ONCE, "after {:?}", begun.elapsed());
}

/// Waits until this client has an answer (true) or something else has come of its request (false).
fn is_answered(client: &Connection, mut otherwise: impl FnMut() -> bool) -> bool {
    let stream = client.stream();
    stream.set_nonblocking(true).unwrap();
    let answered = until("something comes of a request", PATIENCE, || match stream.peek(&mut [0]) {
        Ok(_) => Some(true),
        Err(_) => otherwise().then_some(false),
    });
    stream.set_nonblocking(false).unwrap();
    answered
}

/// Runs with so many files.
fn with_files(files: usize) -> [String; 3] {
    ["sh".into(), "-c".into(), format!("ulimit -n {files} && exec \"$0\" \"$@\"")]
}

#[test]
fn who_comes_when_idle_clients_fill_the_limit_gets_in_at_once_in_place_of_the_longest_idle() {
    let (origin, cluster) =
        (Origin::start(), Setup::default().unhurried().nodes(1).set("limits", "connections", 16).start());
    let url = hello(&origin);
    let mut used: Vec<_> = (0..8).map(|_| cluster.connect()).collect();
    used.iter_mut().for_each(|client| assert_eq!(client.get(&url).status, 200));
    let _silent: Vec<_> = (0..24).map(|_| cluster.connect()).collect();
    served_at_once(cluster.proxy, &url);
    assert!(used[0].closes_within(AT_ONCE), "who was idle for longest has given way");
    // Nor do those help who begin a request and leave it at that.
    let mut begun: Vec<_> = (0..24).map(|_| cluster.connect()).collect();
    begun.iter_mut().for_each(|client| _ = client.send("GET http://"));
    thread::sleep(Duration::from_millis(1500));
    served_at_once(cluster.proxy, &url);
}

#[test]
fn a_client_whose_requests_all_take_long_leaves_room_for_others() {
    let (origin, gate) = (Origin::start(), Gate::default());
    let held = gate.clone();
    let cluster = Setup::default().unhurried().nodes(1).set("limits", "connections", 24).start();
    let url = hello(&origin);
    origin.on("/long", move |x| {
        held.wait()?;
        x.reply(200, "Cache-Control: no-store\r\n", "late")
    });
    // One after the other, so that none that has not asked yet gives way to the next.
    let mut greedy = Vec::new();
    let mut refused = loop {
        let mut client = Connection::from(OTHER, cluster.proxy);
        _ = client.request("GET", &origin.url("/long"), "", b"");
        if is_answered(&client, || origin.count("/long") > greedy.len()) {
            break client;
        }
        greedy.push(client);
    };
    assert!((16..24).contains(&greedy.len()), "nearly all, and not all: {}", greedy.len());
    served_at_once(cluster.proxy, &url);
    let answer = refused.response("GET").unwrap();
    assert!(answer.status == 503 && answer.has_error("connection_limit_reached"), "{answer:?}");
    assert!(answer.text().contains("limits.connections"), "{}", answer.text());
    assert_eq!(cluster.metric("ringhold_front_connections_refused_total"), 1);
    gate.open();
}

#[test]
fn the_admin_port_answers_who_comes_when_idle_connections_fill_it() {
    let cluster = Setup::default().unhurried().nodes(1).start();
    let _idle: Vec<_> = (0..300).map(|_| Connection::to(cluster.admin)).collect();
    let begun = Instant::now();
    assert_eq!(cluster.manage("GET", "/healthz", "").status, 200);
    assert!(begun.elapsed() < AT_ONCE);
}

#[test]
fn answers_that_trickle_to_one_client_leave_connections_to_the_node_for_others() {
    let (origin, gate) = (Origin::start(), Gate::default());
    let held = gate.clone();
    let setup = Setup::default().unhurried().nodes(1).set("proxy", "workers", 1).set("limits", "node_connections", 16);
    let cluster = setup.start();
    let url = hello(&origin);
    origin.on("/long", move |x| {
        x.begin_sized("Cache-Control: no-store\r\n", 100)?;
        x.raw("slowly")?;
        held.wait()
    });
    let mut greedy: Vec<_> = (0..32).map(|_| Connection::from(OTHER, cluster.proxy)).collect();
    for (n, client) in greedy.iter_mut().enumerate() {
        _ = client.request("GET", &origin.url(&format!("/long?{n}")), "", b"");
    }
    origin.until_asked("/long*", 12);
    // What is given back goes to who has less, not to those of the greedy one that wait.
    for _ in 0..30 {
        served_at_once(cluster.proxy, &url);
    }
    gate.open();
}

#[test]
fn with_1024_files_and_1100_idle_clients_others_are_served_and_the_start_names_the_cure() {
    let (origin, setup) = (Origin::start(), Setup::default().unhurried().nodes(1));
    let cluster = setup.start_by(&with_files(1024));
    let url = hello(&origin);
    let _idle: Vec<_> = (0..1100).map(|_| Connection::from(OTHER, cluster.proxy)).collect();
    for _ in 0..20 {
        served_at_once(cluster.proxy, &url);
    }
    let (said, failovers) = (cluster.said(), cluster.metric("ringhold_front_failovers_total"));
    assert!(said.contains("1024") && said.contains("LimitNOFILE") && said.contains("limits.connections"), "{said}");
    assert!(!said.contains("is not reachable") && failovers == 0, "no node is suspected: {said}");
}

#[test]
fn with_1024_files_and_1100_requests_that_are_not_answered_others_are_served_and_no_node_is_suspected() {
    let (origin, silent, setup) = (Origin::start(), Origin::start(), Setup::default().unhurried().nodes(1));
    let (gate, cluster) = (Gate::default(), setup.start_by(&with_files(1024)));
    let (url, held) = (hello(&origin), gate.clone());
    silent.on("/*", move |x| {
        held.wait()?;
        x.reply(200, "Cache-Control: no-store\r\n", "late")
    });
    served_at_once(cluster.proxy, &url);
    let greedy: Vec<_> = (0..1100)
        .map(|n| {
            let mut client = Connection::from(OTHER, cluster.proxy);
            _ = client.request("GET", &silent.url(&format!("/{n}")), "", b"");
            client
        })
        .collect();
    for _ in 0..20 {
        served_at_once(cluster.proxy, &url);
    }
    assert_eq!(cluster.manage("GET", "/healthz", "").status, 200, "nor is the admin port without files");
    // Longer than it takes for a node to be found silent.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        served_at_once(cluster.proxy, &url);
        thread::sleep(Duration::from_millis(50));
    }
    let (said, failovers) = (cluster.said(), cluster.metric("ringhold_front_failovers_total"));
    assert!(!said.contains("is silent") && !said.contains("is not reachable") && failovers == 0, "{failovers} {said}");
    drop(greedy);
    gate.open();
}

/// Runs on the other machine, which has so many local ports to connect from.
fn with_ports(elsewhere: &Elsewhere, ports: u16) -> Vec<String> {
    let (first, last) = (50_000, 50_000 + ports - 1);
    let range = format!("echo {first} {last} > /proc/sys/net/ipv4/ip_local_port_range");
    let script = format!("ip link set lo up && {range} && exec \"$0\" \"$@\"");
    elsewhere.prefix().into_iter().chain(["sh", "-c", &script]).map(str::to_owned).collect()
}

#[test]
fn clients_stay_connected_to_a_front_that_has_no_local_port_left_to_its_node() {
    let Some(elsewhere) = Elsewhere::make("a front without a local port") else { return };
    let setup = Setup::default().unhurried().set("cluster", "secret", "the-secret-of-this-cluster");
    let setup = setup.set("access", "open", vec![format!("{}/32", elsewhere.here)]).set("proxy", "workers", 1);
    let node = Standalone::start_by(&[], elsewhere.here, "r1", &setup);
    let (origin, gate) = (Origin::at(elsewhere.here), Gate::default());
    let (url, held) = (hello(&origin), gate.clone());
    origin.on("/held*", move |x| {
        held.wait()?;
        x.reply(200, "Cache-Control: no-store\r\n", "late")
    });
    let setup = setup.set("proxy", "listen", vec![format!("{}:0", elsewhere.there)]).nodes(0);
    let setup = setup.node_at("r1", &node.address.to_string()).set("timeouts", "connect", "1500ms");
    let cluster = setup.start_by(&with_ports(&elsewhere, 16));
    until_true("the node is up", PATIENCE, || cluster.get(&url).status == 200);
    let mut idle: Vec<_> = (0..20).map(|_| cluster.connect()).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get(&url).status, 200));
    let mut greedy: Vec<_> = (0..30)
        .map(|n| {
            let mut client = cluster.connect();
            client.request("GET", &origin.url(&format!("/held{n}")), "", b"").unwrap();
            client
        })
        .collect();
    // Longer than a request waits for a port.
    thread::sleep(Duration::from_millis(2500));
    gate.open();
    let answers: Vec<_> = greedy.iter_mut().map(|client| client.response("GET").expect("it is answered")).collect();
    let lacking: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(!lacking.is_empty() && lacking.len() < answers.len(), "{} of {}", lacking.len(), answers.len());
    for answer in lacking {
        assert!(answer.status == 503 && answer.has_error("connection_limit_reached"), "{}", answer.text());
        let told = format!("no local port is left to {}: widen net.ipv4.ip_local_port_range", node.address);
        assert!(answer.text().contains(&told), "{}", answer.text());
    }
    for client in &mut idle {
        let answer = client.try_ask("GET", &url, "", b"").expect("it was not closed");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Answers on every address of loopback, and keeps every connection.
fn origin_of_all_names() -> (SocketAddr, &'static AtomicUsize) {
    many_files();
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming().flatten() {
            let mut reader = io::BufReader::new(stream.try_clone().unwrap());
            if let Ok(Some(_)) = Head::read(&mut reader) {
                ASKED.fetch_add(1, Ordering::Relaxed);
                _ = (&stream).write_all(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok");
            }
            open.push(stream);
            if open.len() > 4096 {
                open.drain(..1024);
            }
        }
    });
    (address, &ASKED)
}

#[test]
fn thousands_of_origins_in_seconds_are_more_than_files_and_none_is_answered_503() {
    let (address, asked) = origin_of_all_names();
    let cluster = Setup::default().unhurried().nodes(1).start_by(&with_files(256));
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    let all: usize = drill(1500, 6000);
    let clients = (0..4).map(|client| {
        let mut connection = cluster.connect();
        thread::spawn(move || {
            let answered = (client..all).step_by(4).map(|n| {
                let url =
                    format!("http://127.{}.{}.{}:{}/", 1 + n / 62_500, n / 250 % 250, 1 + n % 250, address.port());
                // With and without a word about the connection.
                let fields = if n % 2 == 0 { "" } else { "Connection: keep-alive\r\n" };
                connection.ask("GET", &url, fields, b"").status
            });
            answered.collect::<Vec<u16>>()
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        client.join().unwrap().into_iter().for_each(|status| *statuses.entry(status).or_default() += 1);
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [(200, all)]);
    assert_eq!(asked.load(Ordering::Relaxed), all, "each was asked once");
}

#[test]
fn who_proves_nothing_on_a_node_takes_neither_its_files_nor_its_time() {
    let origin = Origin::start();
    let secret = Setup::default()
        .unhurried()
        .set("cluster", "secret", "the-secret-of-this-cluster")
        .set("timeouts", "header", "1s");
    let prefix = with_files(256);
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let node = Standalone::start_by(&prefix, Ipv4Addr::LOCALHOST.into(), "r1", &secret);
    let cluster = secret.nodes(0).node_at("r1", &node.address.to_string()).start();
    let url = hello(&origin);
    until_true("the node is up", PATIENCE, || cluster.get(&url).status == 200);
    let mut strangers: Vec<_> = (0..400).map(|_| Connection::from(OTHER, node.address)).collect();
    served_at_once(cluster.proxy, &url);
    let begun = Instant::now();
    assert!(strangers.pop().unwrap().closes_within(PATIENCE));
    assert!(begun.elapsed() < 2 * AT_ONCE, "timeouts.header holds for the proof: {:?}", begun.elapsed());
    served_at_once(cluster.proxy, &url);
    assert_eq!(cluster.metric("ringhold_front_failovers_total"), 0);
}

#[test]
fn names_whose_servers_are_silent_hold_up_no_other_name() {
    let test = "names: silent servers";
    if !tools::wanted(test, &["unshare", "mount"]) {
        return;
    }
    let Ok(server) = names::NameServer::start() else {
        return tools::left_out(test, "port 53 may not be bound here");
    };
    let origin = Origin::start();
    let cluster = Setup::default().unhurried().nodes(1).set("timeouts", "dns", "1s").start_by(&server.prefix());
    hello(&origin);
    let by = |name: &str| format!("http://{name}:{}/hello", origin.address.port());
    served_at_once(cluster.proxy, &by("first.answers.test"));
    let silent: Vec<_> = (0..drill(700, 3000))
        .map(|n| {
            let name = if n % 2 == 0 { format!("n{n}.silent.test") } else { format!("n{n}.silent{n}.test") };
            let mut client = Connection::from(OTHER, cluster.proxy);
            client.request("GET", &by(&name), "", b"").unwrap();
            client
        })
        .collect();
    for round in 0..3 {
        served_at_once(cluster.proxy, &by("127.0.0.1"));
        served_at_once(cluster.proxy, &by("localhost"));
        served_at_once(cluster.proxy, &by(&format!("n{round}.answers.test")));
    }
    drop(silent);
}

fn collapsing() -> Setup {
    Setup::default().unhurried().nodes(1).set("timeouts", "collapse", "300ms")
}

#[test]
fn a_get_that_makes_its_origin_hang_holds_up_nobody_else() {
    let (origin, cluster, gate) = (Origin::start(), collapsing().start(), Gate::default());
    let held = gate.clone();
    origin.on("/page*", move |x| {
        if x.head.has("x-hang") {
            held.wait()?;
        }
        x.reply(200, "Cache-Control: max-age=60\r\n", "page")
    });
    // The second stops within its body.
    let gate_of_body = gate.clone();
    origin.on("/body", move |x| {
        if x.head.has("x-hang") {
            x.begin_sized("Cache-Control: max-age=60\r\n", 4)?;
            x.raw("pa")?;
            return gate_of_body.wait();
        }
        x.reply(200, "Cache-Control: max-age=60\r\n", "page")
    });
    for path in ["/page", "/page?2", "/body"] {
        let mut attacker = cluster.connect();
        attacker.request("GET", &origin.url(path), "X-Hang: 1\r\n", b"").unwrap();
        origin.until_asked(path, 1);
        if path == "/body" {
            attacker.head().unwrap();
            thread::sleep(Duration::from_millis(700));
        }
        served_at_once(cluster.proxy, &origin.url(path));
        assert!(origin.count(path) <= 3, "{}", origin.count(path));
    }
    gate.open();
}

#[test]
fn a_slow_origin_answers_all_who_wait_by_a_few_requests() {
    let (origin, cluster) = (Origin::start(), collapsing().start());
    origin.on("/slow", |x| {
        thread::sleep(Duration::from_millis(1200));
        x.reply(200, "Cache-Control: max-age=60\r\n", "slow")
    });
    let url = origin.url("/slow");
    let mut waiting: Vec<_> = (0..200).map(|_| cluster.connect()).collect();
    waiting.iter_mut().for_each(|client| client.request("GET", &url, "", b"").unwrap());
    waiting.iter_mut().for_each(|client| assert_eq!(client.response("GET").unwrap().status, 200));
    assert!(origin.count("/slow") <= 20, "{}", origin.count("/slow"));
}

#[test]
fn a_long_list_of_languages_costs_no_more_than_a_request_of_its_length() {
    let (origin, cluster) = (Origin::start(), Setup::default().unhurried().nodes(1).start());
    origin.on("/v/*", |x| x.reply(200, "Vary: Accept-Language\r\nCache-Control: max-age=600\r\n", "x"));
    let mut client = cluster.connect();
    let (few, many) = (origin.url("/v/few"), origin.url("/v/many"));
    client.ask("GET", &few, "Accept-Language: x\r\n", b"");
    (0..32).for_each(|n| _ = client.ask("GET", &many, &format!("Accept-Language: x-{n}\r\n"), b""));
    let list = (0..8000).map(|n| format!("a{n}")).collect::<Vec<_>>().join(",");
    let fields = format!("Accept-Language: {list}\r\n");
    let _alone = alone();
    let node = cluster.node("n1").pid;
    let mut spent = |url: &str| {
        let before = process::processor_time(node);
        (0..20).for_each(|_| _ = client.ask("GET", url, &fields, b""));
        process::processor_time(node) - before
    };
    let (of_few, of_many) = (spent(&few), spent(&many));
    let most = 3 * of_few + Duration::from_millis(20);
    assert!(of_many <= most, "{of_many:?} with 32 variants, {of_few:?} with one");
}

#[test]
fn who_sends_many_heads_without_an_end_is_refused_and_nobody_else() {
    let (origin, cluster) = (Origin::start(), Setup::default().unhurried().nodes(1).set("proxy", "workers", 1).start());
    let url = hello(&origin);
    let begin = format!("GET {url} HTTP/1.1\r\nHost: x\r\nX: ");
    let mut others: Vec<_> = (0..3).map(|_| Connection::from(OTHER, cluster.proxy)).collect();
    others[0].send(&begin).unwrap();
    let mut crowd: Vec<_> = (0..250).map(|_| cluster.connect()).collect();
    for (n, client) in crowd.iter_mut().enumerate() {
        // Once there are too many, those of before are refused, and who brings more at once.
        let _ = client.send(format!("{begin}{}", "x".repeat(50_000)));
        if n == 200 {
            others[1].send(&begin).unwrap();
        }
    }
    others[2].send(format!("{begin}{}", "x".repeat(5_000))).unwrap();
    thread::sleep(Duration::from_secs(1));
    for other in &mut others {
        other.send("\r\n\r\n").unwrap();
        let (head, _) = other.final_head().unwrap();
        assert!(head.line.contains(" 200 "), "{}", head.line);
    }
    let served = crowd.iter_mut().filter_map(|client| {
        client.send("\r\n\r\n").ok()?;
        client.final_head().ok().filter(|(head, _)| head.line.contains(" 200 "))
    });
    let served = served.count();
    assert!((100..240).contains(&served), "about as many as 8 MiB are enough for: {served}");
}

#[test]
fn a_worker_refuses_no_unfinished_head_for_those_of_another() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).set("proxy", "workers", 2).start());
    let url = hello(&origin);
    let begin = format!("GET {url} HTTP/1.1\r\nHost: x\r\nX: ");
    // New connections go to the worker that has the fewest, so these are on the two in turn.
    let mut both: Vec<_> = (0..500)
        .map(|_| {
            let mut client = Connection::from(OTHER, cluster.proxy);
            assert_eq!(client.get(&url).status, 200);
            Some(client)
        })
        .collect();
    both[1].as_mut().unwrap().send(&begin).unwrap();
    // Those of one worker leave, and a crowd takes their places.
    both.iter_mut().step_by(2).for_each(|client| drop(client.take()));
    until_true("they have left", PATIENCE, || cluster.metric("ringhold_front_connections") <= 251);
    let mut crowd: Vec<_> = (0..250).map(|_| cluster.connect()).collect();
    for client in &mut crowd {
        let _ = client.send(format!("{begin}{}", "x".repeat(50_000)));
    }
    // The only one on its worker: it is no crowd, whatever others hold.
    let other = both[1].as_mut().unwrap();
    other.send("y").unwrap();
    thread::sleep(Duration::from_secs(1));
    other.send("\r\n\r\n").unwrap();
    let (head, _) = other.final_head().unwrap();
    assert!(head.line.contains(" 200 "), "{}", head.line);
    let served = crowd.iter_mut().filter_map(|client| {
        client.send("\r\n\r\n").ok()?;
        client.final_head().ok().filter(|(head, _)| head.line.contains(" 200 "))
    });
    let served = served.count();
    assert!((140..240).contains(&served), "as many as 8 MiB are enough for: {served}");
}

#[test]
fn long_urls_that_become_invalid_at_one_time_are_told_in_pieces_that_a_node_reads() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(2).start());
    origin.on("/*", |x| x.reply(200, "", "done"));
    let long = "a".repeat(60_000);
    let mut clients: Vec<_> = (0..60).map(|_| cluster.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let url = origin.url(&format!("/{n}/{long}"));
        _ = client.send(format!("POST {url} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"));
    }
    // All at the same time: those that come while others are told are told together.
    clients.iter_mut().for_each(|client| _ = client.send("\r\n"));
    clients.iter_mut().for_each(|client| assert_eq!(client.response("POST").unwrap().status, 200));
    let said = cluster.said();
    assert!(!said.contains("not told of an invalidation, it will validate everything: status"), "{said}");
}

#[test]
fn empty_lines_without_end_are_refused_and_a_few_before_a_request_are_skipped() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    let url = hello(&origin);
    let mut client = cluster.connect();
    for _ in 0..3 {
        client.send("\r\n\n\r\n").unwrap();
        assert_eq!(client.get(&url).status, 200);
    }
    let (mut endless, begun) = (cluster.connect(), Instant::now());
    while endless.send("\r\n".repeat(100)).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "nobody reads empty lines for ever");
    }
    let mut one_by_one = cluster.connect();
    (0..40).for_each(|_| _ = one_by_one.send("\r\n"));
    assert_eq!(one_by_one.response("GET").unwrap().status, 400);
}
