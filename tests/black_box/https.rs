//! https URLs in absolute form: fetched from origins with TLS, and cached as http is.

use crate::support::noise::{Noise, sha256_of};
use crate::support::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const KEEP: &str = "Cache-Control: max-age=60\r\n";
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A cluster that believes an authority of its own, and that authority.
struct Stage {
    authority: Authority,
    cluster: Cluster,
    _folder: TempDir,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(|setup| setup)
    }

    fn with(change: impl FnOnce(Setup) -> Setup) -> Stage {
        let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
        let file = authority.write(&folder.path().join("roots.pem"));
        let setup = Setup::default().unhurried().set("https", "roots", vec![file.display().to_string()]);
        Stage { authority, cluster: change(setup).start(), _folder: folder }
    }

    /// An origin whose certificate is good.
    fn origin(&self) -> Origin {
        Origin::secure(self.authority.issue(&NAMES).server())
    }

    /// A page that may be stale so, and in whose origin's place there is one with a certificate that has ended: the way there,
    /// its URL, and both.
    fn impostor_of(&self, stale: &str) -> (Swap, String, [Origin; 2]) {
        let (origin, cache) = (self.origin(), format!("Cache-Control: max-age=0, {stale}\r\nETag: \"a\"\r\n"));
        origin.on("/page", move |x| x.reply(200, &cache, "page"));
        let relay = Swap::new(origin.address);
        let url = format!("https://localhost:{}/page", relay.address.port());
        assert_eq!(self.cluster.get(&url).text(), "page");
        let impostor = Origin::secure(self.authority.issue_expired(&NAMES).server());
        relay.lead_to(impostor.address);
        (relay, url, [origin, impostor])
    }
}

#[test]
fn an_https_url_is_fetched_once_and_then_answered_from_the_cache() {
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let by_name = format!("https://localhost:{}/page", origin.address.port());
    for url in [origin.url("/page"), by_name] {
        let before = origin.count("/page");
        for hit in [false, true, true] {
            let answer = stage.cluster.get(&url);
            assert_eq!(
                (answer.status, answer.text().as_str(), answer.is_hit()),
                (200, "page", hit),
                "{:?}",
                answer.head
            );
        }
        assert_eq!(origin.count("/page"), before + 1);
    }
    let host = format!("localhost:{}", origin.address.port());
    assert_eq!(origin.heads("/page")[1].get("host"), Some(host));
    assert_eq!(origin.heads("/page")[1].line, "GET /page HTTP/1.1");
}

#[test]
fn twins_of_http_and_https_share_neither_a_key_nor_a_connection() {
    let stage = Stage::with(|setup| setup.set("timeouts", "connect", "500ms"));
    let (secure, plain) = (stage.origin(), Origin::start());
    for (origin, name) in [(&secure, "secure"), (&plain, "plain")] {
        origin.on("/kept", move |x| x.reply(200, KEEP, name));
        origin.on("/each", move |x| x.reply(200, "Cache-Control: no-store\r\n", name));
    }
    // The same authority, said with either scheme: whoever mixes them up speaks the wrong protocol to one.
    for path in ["/kept", "/each", "/each"] {
        let (https, wrong) = (secure.url(path), secure.url(path).replace("https:", "http:"));
        assert_eq!(stage.cluster.get(&https).text(), "secure");
        assert_eq!(stage.cluster.get(&wrong).status, 502, "in clear nobody is there");
        assert_eq!(stage.cluster.get(&https).text(), "secure");
        let (http, wrong) = (plain.url(path), plain.url(path).replace("http:", "https:"));
        assert_eq!(stage.cluster.get(&http).text(), "plain");
        let answer = stage.cluster.get(&wrong);
        let (status, text) = (answer.status, answer.text());
        assert!(status >= 500 && text.contains("TLS"), "{status} {text}");
        assert_eq!(stage.cluster.get(&http).text(), "plain");
    }
    assert_eq!((secure.count("/kept"), plain.count("/kept")), (1, 1));
}

#[test]
fn an_origin_that_does_not_prove_who_it_is_is_502_with_the_cure() {
    let stage = Stage::new();
    let stranger = Authority::new();
    for (identity, says) in [
        (stage.authority.issue_expired(&NAMES), &["ended on", "2020", "renew"][..]),
        (stage.authority.issue(&["other.example"]), &["other names", "other.example", "check the URL"]),
        (stranger.issue(&NAMES), &["does not trust", "[https] roots"]),
    ] {
        let origin = Origin::secure(identity.server());
        origin.on("/page", |x| x.reply(200, KEEP, "page"));
        let answer = stage.cluster.get(&origin.url("/page"));
        assert_eq!(answer.status, 502, "{says:?}");
        assert!(answer.has_error("tls_certificate_error"), "{:?}", answer.head);
        assert!(says.iter().all(|part| answer.text().contains(part)), "{says:?}: {}", answer.text());
        assert_eq!(origin.count("/page"), 0);
        assert!(answer.get("cache-status").is_none_or(|status| !status.contains("hit")));
    }
    assert!(stage.cluster.nodes().len() == 3, "no node was suspected of it");
    assert_eq!(stage.cluster.metric("ringhold_node_up"), 3);
}

#[test]
fn nothing_stale_stands_in_for_an_origin_that_does_not_prove_who_it_is() {
    let stage = Stage::new();
    let (relay, url, _origins) = stage.impostor_of("stale-if-error=600");
    let answer = stage.cluster.get(&url);
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.has_error("tls_certificate_error"));
    relay.lead_nowhere();
    let answer = stage.cluster.get(&url);
    assert_eq!((answer.status, answer.text().as_str()), (200, "page"), "an origin that is gone is another matter");
}

#[test]
fn what_is_served_stale_while_it_is_renewed_ends_with_a_bad_certificate() {
    let stage = Stage::new();
    let (_relay, url, _origins) = stage.impostor_of("stale-while-revalidate=600");
    until_true("it is refused", PATIENCE, || stage.cluster.get(&url).has_error("tls_certificate_error"));
}

#[test]
fn old_tls_and_wanted_client_certificates_are_502_with_the_cure() {
    let stage = Stage::new();
    let identity = stage.authority.issue(&NAMES);
    let origin = Origin::secure(stage.authority.server_for_known_clients(&identity));
    origin.on("/page", |x| x.reply(200, KEEP, "page"));
    for _ in 0..2 {
        let answer = stage.cluster.get(&origin.url("/page"));
        assert_eq!(answer.status, 502);
        assert!(answer.has_error("tls_alert_received"), "{:?} {}", answer.head, answer.text());
        assert!(answer.text().contains("wants a certificate of its client"), "{}", answer.text());
        assert!(answer.text().contains("[https] pass"), "{}", answer.text());
    }
    // The alert `protocol_version`, with which servers that know TLS 1.0 alone refuse others (RFC 5246 section E.1).
    let old = Blunt::new(&[0x15, 3, 1, 0, 2, 2, 70]);
    let answer = stage.cluster.get(&old.url());
    assert!(answer.status == 502 && answer.has_error("tls_protocol_error"), "{:?}", answer.head);
    assert!(answer.text().contains("neither TLS 1.2 nor TLS 1.3"), "{}", answer.text());
    let other = Blunt::new(b"SSH-2.0-OpenSSH_9.2\r\n");
    let answer = stage.cluster.get(&other.url());
    assert!(answer.status == 502 && answer.has_error("tls_protocol_error"), "{:?}", answer.head);
    assert!(answer.text().contains("does not speak TLS"), "{}", answer.text());
}

#[test]
fn a_handshake_takes_no_longer_than_a_connection_may() {
    let stage = Stage::with(|setup| setup.set("timeouts", "connect", "200ms"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let answer = stage.cluster.get(&format!("https://{}/", silent.local_addr().unwrap()));
    assert!(answer.status == 504 && answer.has_error("connection_timeout"), "{:?}", answer.head);
    assert!(answer.text().contains("TLS handshake"), "{}", answer.text());
}

#[test]
fn a_body_with_a_length_is_whole_without_the_last_word_of_tls() {
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/sized", |x| {
        x.cut();
        x.reply(200, KEEP, "all of it")
    });
    for hit in [false, true] {
        let answer = stage.cluster.get(&origin.url("/sized"));
        assert_eq!((answer.text().as_str(), answer.is_hit()), ("all of it", hit));
    }
}

#[test]
fn a_body_that_ends_with_its_connection_is_whole_by_the_last_word_of_tls_alone() {
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/ended", |x| {
        x.hang_up();
        x.raw(format!("HTTP/1.1 200 OK\r\n{KEEP}\r\nall of it"))
    });
    origin.on("/cut", |x| {
        x.cut();
        x.raw(format!("HTTP/1.1 200 OK\r\n{KEEP}\r\na part"))
    });
    for hit in [false, true] {
        let answer = stage.cluster.get(&origin.url("/ended"));
        assert_eq!((answer.text().as_str(), answer.is_hit()), ("all of it", hit));
    }
    for asked in 1..=2 {
        let mut client = stage.cluster.connect();
        let answer = client.try_ask("GET", &origin.url("/cut"), "", b"");
        assert!(answer.is_err(), "the client sees that it is cut: {answer:?}");
        assert_eq!(origin.count("/cut"), asked, "and it is not stored");
    }
}

#[test]
fn connections_are_kept_although_tickets_come_on_them() {
    let stage = Stage::with(|setup| setup.nodes(1));
    let origin = stage.origin();
    origin.on("/each*", |x| x.reply(200, "Cache-Control: no-store\r\n", "each"));
    for n in 0..5 {
        assert_eq!(stage.cluster.get(&origin.url(&format!("/each{n}"))).text(), "each");
        assert_eq!(stage.cluster.get(&origin.url("/each")).text(), "each");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_new_connection_goes_on_with_the_session_of_an_earlier_one() {
    let stage = Stage::with(|setup| setup.nodes(1));
    for (version, host) in [(&rustls::version::TLS13, "127.0.0.1"), (&rustls::version::TLS12, "localhost")] {
        let mut config = stage.authority.issue(&NAMES).server_of(&[version]);
        config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
        let origin = Origin::secure(config);
        origin.on("/last*", |x| x.reply(200, "Cache-Control: no-store\r\nConnection: close\r\n", "last"));
        let before = stage.cluster.node_total("origin_tls_resumed");
        for n in 0..3 {
            let url = format!("https://{host}:{}/last{n}", origin.address.port());
            assert_eq!(stage.cluster.get(&url).text(), "last");
        }
        assert_eq!((origin.connections(), origin.resumed()), (3, 2), "{version:?}");
        assert_eq!(stage.cluster.node_total("origin_tls_resumed") - before, 2);
    }
}

#[test]
fn a_stale_answer_is_validated_and_a_range_is_cut_from_what_is_stored() {
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/stale", |x| match x.head.has("if-none-match") {
        true => x.reply_empty(304, "ETag: \"a\"\r\nCache-Control: max-age=60\r\n"),
        false => x.reply(200, "ETag: \"a\"\r\nCache-Control: max-age=0\r\n", "0123456789"),
    });
    let url = origin.url("/stale");
    for _ in 0..2 {
        assert_eq!(stage.cluster.get(&url).text(), "0123456789");
    }
    assert!(origin.heads("/stale")[1].has("if-none-match"));
    let part = stage.cluster.ask("GET", &url, "Range: bytes=2-4\r\n", b"");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert!(part.is_hit());
    assert_eq!(origin.count("/stale"), 2);
}

#[test]
fn large_bodies_pass_both_ways_without_a_changed_bit() {
    const SIZE: u64 = 5 * 1024 * 1024;
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/upload", |x| x.digest());
    origin.on("/large", |x| {
        x.begin_sized(KEEP, SIZE)?;
        x.noise(7, SIZE)
    });
    let answer = stage.cluster.ask("POST", &origin.url("/upload"), "", &Noise::bytes(3, SIZE));
    assert_eq!(answer.text(), format!("{SIZE} {}", sha256_of(3, SIZE)));
    let expected = Noise::bytes(7, SIZE);
    for hit in [false, true] {
        let answer = stage.cluster.get(&origin.url("/large"));
        assert!(answer.body == expected && answer.is_hit() == hit, "{} bytes", answer.body.len());
    }
}

#[test]
fn interim_responses_come_through() {
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/hinted", |x| {
        x.raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")?;
        x.reply(200, "Cache-Control: no-store\r\n", "page")
    });
    let answer = stage.cluster.get(&origin.url("/hinted"));
    assert_eq!((answer.interim.as_slice(), answer.text().as_str()), (&[103][..], "page"));
}

#[test]
fn an_answer_may_come_before_its_upload_is_read() {
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/early", |x| {
        x.hang_up();
        x.reply(413, "Cache-Control: no-store\r\nConnection: close\r\n", "too large")
    });
    let answer = stage.cluster.ask("POST", &origin.url("/early"), "", &vec![7; 3 * 1024 * 1024]);
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
}

#[test]
fn a_switched_protocol_is_passed_on() {
    let stage = Stage::new();
    let origin = stage.origin();
    origin.on("/chat", |x| {
        x.reply_empty(101, "Upgrade: websocket\r\nConnection: Upgrade\r\n")?;
        x.echo()
    });
    let mut client = stage.cluster.connect();
    let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n";
    client.request("GET", &origin.url("/chat"), fields, b"").unwrap();
    assert_eq!(client.head().unwrap().word(1), "101");
    for word in ["hello", "again"] {
        client.send(word).unwrap();
        assert_eq!(client.read_exact(word.len()).unwrap(), word.as_bytes());
    }
    client.finish_sending();
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn fifty_requests_at_once_are_one_fetch() {
    let stage = Stage::new();
    let (origin, gate) = (stage.origin(), Gate::default());
    let held = gate.clone();
    origin.on("/crowd", move |x| {
        held.wait()?;
        x.reply(200, KEEP, "crowd")
    });
    let url = origin.url("/crowd");
    let mut clients: Vec<_> = (0..50).map(|_| stage.cluster.connect()).collect();
    clients.iter_mut().for_each(|client| client.request("GET", &url, "", b"").unwrap());
    origin.until_asked("/crowd", 1);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().text(), "crowd");
    }
    // Who waits for longer than `timeouts.collapse` asks as well: not a crowd.
    assert!(origin.count("/crowd") <= 4, "{}", origin.count("/crowd"));
}

#[test]
fn what_is_https_is_said_in_clear_to_no_node_by_tcp() {
    let mut node = None;
    let stage = Stage::with(|setup| {
        let node = node.insert(standalone::Standalone::start("r1", &setup));
        setup.node_at("r1", &node.address.to_string())
    });
    let (node, origin) = (node.unwrap(), stage.origin());
    origin.on("/page", |x| x.reply(200, KEEP, "page"));
    origin.on("/each", |x| x.reply(200, "Cache-Control: no-store\r\n", "for each"));
    until_true("all nodes are up", PATIENCE, || stage.cluster.metric("ringhold_node_up") == 4);
    for n in 0..8 {
        let answer = stage.cluster.get(&origin.url(&format!("/page?{n}")));
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(answer.text().contains("CONNECT") && answer.text().contains("[cluster] secret"), "{}", answer.text());
    }
    assert_eq!(origin.connections(), 0);
    let mut front = Connection::to(node.address);
    // And so it does what it has stored, or knows as what is never stored.
    for asked_before in [false, true] {
        for path in ["/page", "/each"] {
            let answer = front.ask("GET", &origin.url(path), "Ringhold-Client: local\r\n", b"");
            assert_eq!(answer.status, 403, "{path}, {asked_before}: {}", answer.text());
            let answer = front.ask("GET", &origin.url(path), "", b"");
            assert_eq!(answer.status, 200, "who asks the node for itself is told: {}", answer.text());
        }
    }
}

#[test]
fn the_commands_speak_https() {
    let stage = Stage::with(|setup| setup.nodes(1));
    let origin = stage.origin();
    origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let url = origin.url("/page");
    let run = |words: &[&str]| {
        let (proxy, admin) = (stage.cluster.proxy.to_string(), stage.cluster.admin.to_string());
        let whom = if words[0] == "get" { ["--proxy", &proxy] } else { ["--admin", &admin] };
        cluster::run(TempDir::new().unwrap().path(), &[words, &whom].concat())
    };
    assert_eq!(run(&["get", &url]), (Some(0), "page".to_owned()));
    let (code, said) = run(&["explain", &url]);
    assert!(code == Some(0) && said.contains("owned by n1") && said.contains("answered from the cache"), "{said}");
    let (code, said) = run(&["ring", "owner", &url]);
    assert!(code == Some(0) && said.contains("n1"), "{said}");
    let (code, said) = run(&["purge", &url]);
    assert!(code == Some(0) && said.contains("stored on n1"), "{said}");
    assert!(!stage.cluster.get(&url).is_hit());
}

#[test]
fn the_environments_authorities_are_not_believed() {
    let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
    let file = authority.write(&folder.path().join("roots.pem"));
    let cluster = Setup::default().nodes(1).start_as(None, |command| _ = command.env("SSL_CERT_FILE", &file));
    let origin = Origin::secure(authority.issue(&NAMES).server());
    assert!(cluster.get(&origin.url("/")).has_error("tls_certificate_error"));
}

#[test]
fn our_own_authority_vouches_for_no_origin() {
    let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
    let file = authority.write(&folder.path().join("ca.pem")).display().to_string();
    let setup = Setup::default().nodes(1).set("https", "roots", vec![file]);
    let cluster = setup.set("https", "ca", folder.path().display().to_string()).start();
    let origin = Origin::secure(authority.issue(&NAMES).server());
    assert!(cluster.get(&origin.url("/")).has_error("tls_certificate_error"));
}

#[test]
fn roots_that_cannot_be_read_are_named_at_the_start() {
    let (code, said) = Setup::default().set("https", "roots", vec!["nowhere.pem"]).refuse();
    assert!(code != Some(0) && said.contains("nowhere.pem") && said.contains("[https] roots"), "{said}");
}

/// Passes connections on to an address that can be changed.
struct Swap {
    address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Swap {
    fn new(to: SocketAddr) -> Swap {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (to, open) = (Arc::new(Mutex::new(Some(to))), Arc::<Mutex<Vec<_>>>::default());
        let (lead, opened) = (to.clone(), open.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Some(to) = *lead.lock().unwrap() else { continue };
                let Ok(far) = TcpStream::connect(to) else { continue };
                opened.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    std::thread::spawn(move || {
                        _ = std::io::copy(&mut from, &mut to);
                        _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        Swap { address, to, open }
    }

    /// From now on; what is open is closed.
    fn lead_to(&self, to: SocketAddr) {
        self.lead(Some(to));
    }

    fn lead_nowhere(&self) {
        self.lead(None);
    }

    fn lead(&self, to: Option<SocketAddr>) {
        *self.to.lock().unwrap() = to;
        self.open.lock().unwrap().drain(..).for_each(|stream| _ = stream.shutdown(Shutdown::Both));
    }
}

/// Says the same to everybody, once it has heard something.
struct Blunt(SocketAddr);

impl Blunt {
    fn new(says: &'static [u8]) -> Blunt {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if stream.read(&mut [0; 4096]).is_ok() {
                    _ = stream.write_all(says);
                }
            }
        });
        Blunt(address)
    }

    fn url(&self) -> String {
        format!("https://{}/", self.0)
    }
}
