//! Who may reach what: rules bind the address that is really connected to, and the cache keeps them.

use crate::support::head::latin1;
use crate::support::netns::Elsewhere;
use crate::support::*;
use std::net::SocketAddr;

/// A cluster that listens for the other machine too, and where.
fn open_to(elsewhere: &Elsewhere, setup: Setup) -> (Cluster, SocketAddr) {
    // The ready line tells the first address only, so the one for the other machine comes first.
    let cluster = setup.set("proxy", "listen", vec![format!("{}:0", elsewhere.here)]).start();
    let address = cluster.proxy;
    (cluster, address)
}

/// The origin of these tests is on this machine, whose addresses are for its own clients unless somebody opens them.
fn opened(elsewhere: &Elsewhere, setup: Setup) -> Setup {
    setup.set("access", "open", vec![format!("{}/32", elsewhere.here)])
}

fn get(url: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn status(answer: &[u8]) -> String {
    latin1(answer).split(' ').nth(1).unwrap_or("nothing").to_owned()
}

#[test]
fn link_local_and_metadata_addresses_are_for_nobody() {
    let cluster = Setup::default().nodes(1).start();
    let spellings = [
        "169.254.169.254",
        "169.254.1.1:8080",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "224.0.0.1",
        "255.255.255.255",
    ];
    for host in spellings {
        let answer = cluster.get(&format!("http://{host}/latest/meta-data/"));
        // A spelling that no resolver takes for an address may as well be an unknown name; it must not be reached.
        let odd = !host.starts_with('[') && host.split('.').count() != 4 || host.starts_with("0251");
        assert!(answer.status == 403 || odd && [400, 502].contains(&answer.status), "{host}: {}", answer.head.line);
        assert!(answer.head.has("proxy-status"), "{host}: {:?}", answer.head);
        if answer.status == 403 {
            assert!(answer.has_error("destination_ip_prohibited"), "{host}: {:?}", answer.head);
        }
    }
    let mut client = cluster.connect();
    client.send("CONNECT 169.254.169.254:443 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(client.response("CONNECT").unwrap().status, 403);
}

#[test]
fn the_operator_may_open_a_network_that_is_closed() {
    let cluster = Setup::default().nodes(1).set("access", "open", vec!["169.254.77.0/24"]);
    let cluster = cluster.set("timeouts", "connect", "300ms").start();
    let opened = cluster.get("http://169.254.77.1/");
    assert!(!opened.has_error("destination_ip_prohibited"), "{:?} {}", opened.head, opened.text());
    assert!(cluster.get("http://169.254.78.1/").has_error("destination_ip_prohibited"));
}

#[test]
fn a_loopback_page_fetched_by_a_local_client_is_403_for_one_elsewhere() {
    let Some(elsewhere) = Elsewhere::make("a loopback page for a client elsewhere") else { return };
    let origin = Origin::start();
    origin.on("/secret", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "the secret"));
    for hot in ["0", "64MiB"] {
        let (cluster, proxy) = open_to(&elsewhere, Setup::default().set("hot", "memory", hot));
        let url = origin.url("/secret");
        for _ in 0..3 {
            let local = cluster.get(&url);
            assert_eq!((local.status, local.text().as_str()), (200, "the secret"));
        }
        let asked = origin.count("/secret");
        for _ in 0..2 {
            let remote = elsewhere.send(proxy, &get(&url));
            assert_eq!(status(&remote), "403", "{}", latin1(&remote));
            assert!(!latin1(&remote).contains("the secret"));
        }
        for name in ["localhost", "localhost.", "127.0.0.1"] {
            let remote = elsewhere.send(proxy, &get(&format!("http://{name}:{}/secret", origin.address.port())));
            assert_eq!(status(&remote), "403", "{name}: {}", latin1(&remote));
        }
        let claims = elsewhere.send(proxy, &get(&url).replace("Host", "Ringhold-Client: local\r\nHost"));
        assert_eq!(status(&claims), "403", "who is local is not for the client to say");
        assert_eq!(origin.count("/secret"), asked);
        assert_eq!(cluster.get(&url).text(), "the secret", "it is still there for those on the machine");
    }
}

#[test]
fn a_client_elsewhere_gets_what_anyone_may_reach() {
    let Some(elsewhere) = Elsewhere::make("an open page for a client elsewhere") else { return };
    let origin = Origin::at(elsewhere.here);
    origin.on("/open", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "open to all"));
    let (cluster, proxy) = open_to(&elsewhere, opened(&elsewhere, Setup::default()));
    assert_eq!(cluster.get(&origin.url("/open")).text(), "open to all");
    let remote = latin1(&elsewhere.send(proxy, &get(&origin.url("/open"))));
    assert!(remote.ends_with("open to all") && remote.contains("hit"), "{remote}");
    assert_eq!(origin.count("/open"), 1);
}

#[test]
fn connect_from_elsewhere_reaches_443_only() {
    let Some(elsewhere) = Elsewhere::make("CONNECT by a client elsewhere") else { return };
    let origin = Origin::at(elsewhere.here);
    origin.on("/", |x| x.reply(200, "Connection: close\r\n", "in"));
    let connect = format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", origin.address);
    let inside = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let (_cluster, proxy) = open_to(&elsewhere, Setup::default().nodes(1));
    let refused = elsewhere.send(proxy, &connect.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
    assert_eq!(status(&refused), "403", "{}", latin1(&refused));
    let ports = vec![i64::from(origin.address.port())];
    let setup = opened(&elsewhere, Setup::default().nodes(1).set("access", "connect_ports", ports));
    let (_cluster, proxy) = open_to(&elsewhere, setup);
    let allowed = latin1(&elsewhere.send(proxy, &(connect + inside)));
    assert!(allowed.starts_with("HTTP/1.1 200") && allowed.ends_with("in"), "{allowed}");
}

#[test]
fn only_clients_in_the_access_list_are_served() {
    let Some(elsewhere) = Elsewhere::make("a client that is not on the access list") else { return };
    let (_cluster, proxy) =
        open_to(&elsewhere, Setup::default().nodes(1).set("access", "clients", vec!["192.0.2.0/24"]));
    let origin = Origin::at(elsewhere.here);
    let answer = elsewhere.send(proxy, &get(&origin.url("/")));
    assert!(answer.is_empty() || status(&answer) == "403", "{}", latin1(&answer));
    assert_eq!(origin.count("*"), 0);
}
