//! TCP links between the processes of one cluster: what who listens on the way hears, and what who meddles gets.

#[path = "links/carried.rs"]
mod carried;
#[path = "links/older.rs"]
mod older;
#[path = "links/passed.rs"]
mod passed;

use crate::support::relay::Relay;
use crate::support::standalone::Standalone;
use crate::support::*;
use older::OldNode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use tempfile::TempDir;

const SECRET: &str = "the-secret-of-this-cluster";
const KEEP: &str = "Cache-Control: max-age=600\r\n";
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
/// The end of the nonce of who can speak TLS (docs/link.md, Trust on TCP).
const ABLE: &str = "6c696e6b2d746c73";

/// Origins with and without TLS, and whose certificates are believed.
struct World {
    plain: Origin,
    secure: Origin,
    setup: Setup,
    /// That of the one with TLS.
    authority: Authority,
    _folder: TempDir,
}

impl World {
    fn new() -> World {
        let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
        let file = authority.write(&folder.path().join("roots.pem")).display().to_string();
        let setup = Setup::default().unhurried().nodes(0).set("cluster", "secret", SECRET);
        let setup = setup.set("https", "roots", vec![file]).set("log", "access", "text");
        let (plain, secure) = (Origin::start(), Origin::secure(authority.issue(&NAMES).server()));
        World { plain, secure, setup, authority, _folder: folder }
    }

    fn listed(&self) -> Setup {
        self.setup.clone().set("https", "hosts", vec![format!("localhost:{}", self.secure.address.port())])
    }

    fn on(&self, path: &str, body: &'static str) {
        for origin in [&self.plain, &self.secure] {
            origin.on(path, move |x| x.reply(200, &format!("{KEEP}X-Said: {body}-field\r\n"), body));
        }
    }
}

fn is_up(cluster: &Cluster, id: &str) -> bool {
    cluster.manage("GET", &format!("/v1/nodes/{id}"), "").json()["up"].as_bool() == Some(true)
}

fn until_up(cluster: &Cluster, id: &str) {
    until_true("the node is up", PATIENCE, || is_up(cluster, id));
}

fn has(tape: &[u8], text: &str) -> bool {
    tape.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A tunnel, and the TLS of a client that believes the proxy's authority in it.
fn inside(cluster: &Cluster, host: &str) -> Connection {
    let mut tunnel = cluster.connect();
    tunnel.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
    assert_eq!(client::status_of(&tunnel.head().unwrap()), 200);
    let authority = cluster.folder().join("state/ca/ca.pem");
    use rustls::pki_types::pem::PemObject;
    let roots = CertificateDer::pem_file_iter(authority).unwrap().map(Result::unwrap);
    let config = Arc::new(tls::client_of(roots, &["http/1.1"]));
    tunnel.secure(&config, "localhost").unwrap_or_else(|e| panic!("no TLS: {e}\n{}", cluster.said()))
}

#[test]
fn who_listens_on_a_link_hears_nothing_of_what_is_asked_and_answered_and_https_goes_over_it() {
    let world = World::new();
    world.on("/marked-path", "marked-answer");
    world.plain.on("/upload", |x| {
        let sent = x.whole_body()?;
        x.reply(200, "", format!("marked-answer {}", sent.len()))
    });
    let node = Standalone::start("r1", &world.setup);
    let relay = Relay::recording(&node.address.to_string());
    let cluster = world.listed().node_at("r1", &relay.address.to_string()).start();
    until_up(&cluster, "r1");
    for round in 0..2 {
        for url in [world.plain.url("/marked-path"), world.secure.url("/marked-path")] {
            let answer = cluster.ask("GET", &url, "X-Asked: marked-field\r\n", b"");
            assert_eq!((answer.status, answer.text().as_str()), (200, "marked-answer"), "{}", cluster.said());
            assert_eq!(answer.is_hit(), round == 1, "{url}: {}", answer.cache_status());
        }
    }
    let sent =
        cluster.ask("POST", &world.plain.url("/upload"), "X-Asked: marked-field\r\n", &b"marked-content".repeat(9999));
    assert_eq!(sent.text(), format!("marked-answer {}", 14 * 9999));
    let mut client = inside(&cluster, &format!("localhost:{}", world.secure.address.port()));
    let host = format!("Host: localhost:{}\r\n", world.secure.address.port());
    client.origin_form("GET", "/marked-path", &format!("{host}X-Asked: marked-field\r\n"), b"").unwrap();
    let answer = client.response("GET").unwrap();
    assert_eq!((answer.text().as_str(), answer.node().as_str()), ("marked-answer", "r1"), "it is intercepted");
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={}", world.secure.url("/marked-path")), "");
    assert_eq!(purged.status, 200, "{}", purged.text());
    let tape = relay.tape();
    assert!(tape.len() > 14 * 9999 && has(&tape, "GET /hello"), "{} bytes went over the link", tape.len());
    for mark in ["marked", "X-Asked", "x-said", "localhost", "http://", "https://", "/cache?url", "/healthz", SECRET] {
        assert!(!has(&tape, mark), "{mark} was heard on the link");
    }
}

/// Leads to a server, and does something to what goes there and back.
fn meddler(server: SocketAddr, meddle: impl Fn(TcpStream, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, meddle) = (listener.local_addr().unwrap(), Arc::new(meddle));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (server, meddle) = (TcpStream::connect(server).unwrap(), meddle.clone());
            thread::spawn(move || meddle(client, server));
        }
    });
    address
}

/// Cuts the next connection that is opened while it is armed when so many bytes of the server have come: -1 is never.
fn cutter(server: SocketAddr, after: &Arc<AtomicI64>) -> SocketAddr {
    let after = after.clone();
    meddler(server, move |client, server| {
        let left = after.swap(-1, SeqCst);
        let (there, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || copy(there, back));
        match left {
            -1 => copy(server, client),
            left => {
                let mut taken = server.try_clone().unwrap().take(left as u64);
                _ = std::io::copy(&mut taken, &mut &client);
                _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            }
        }
    })
}

#[test]
fn a_connection_that_is_lost_before_it_is_proved_is_opened_anew_and_nobody_else_is_asked() {
    let (world, gate, after) = (World::new(), Gate::default(), Arc::new(AtomicI64::new(-1)));
    world.plain.on("/page/*", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "answer"));
    let held = gate.clone();
    world.plain.on("/held/*", move |x| held.wait().and_then(|()| x.reply(200, "Cache-Control: no-store\r\n", "")));
    world.plain.on("/upload/*", |x| {
        let sent = x.whole_body()?;
        x.reply(200, "", sent)
    });
    let (r1, r2) = (Standalone::start("r1", &world.setup), Standalone::start("r2", &world.setup));
    let address = cutter(r1.address, &after).to_string();
    let setup = world.setup.clone().set("proxy", "workers", 1).set("hot", "memory", "0");
    let cluster = setup.node_at("r1", &address).node_at("r2", &r2.address.to_string()).start();
    until_up(&cluster, "r1");
    until_up(&cluster, "r2");
    let owner = |url: &str| cluster.manage("GET", &format!("/v1/ring/owner?url={url}"), "").json()["owner"] == "r1";
    let owned = |path: &str| (0..99).map(|n| world.plain.url(&format!("{path}/{n}"))).find(|url| owner(url)).unwrap();
    let (page, upload) = (owned("/page"), owned("/upload"));
    assert_eq!(cluster.get(&page).node(), "r1");
    thread::scope(|all| {
        for n in 0..6 {
            // It takes the connection that is free, so that the next one is new.
            let path = owned(&format!("/held/{n}"));
            all.spawn({
                let cluster = &cluster;
                move || assert_eq!(cluster.get(&path).status, 200)
            });
            world.plain.until_asked("/held/*", n + 1);
            after.store([0, 60, 400, 700, 900, 1000][n], SeqCst);
            let answer = match n % 2 {
                0 => cluster.get(&page),
                _ => cluster.ask("POST", &upload, "", b"answer"),
            };
            let said = answer.cache_status();
            assert_eq!((answer.status, answer.node().as_str(), &*answer.text()), (200, "r1", "answer"), "{n}: {said}");
            assert_eq!(after.load(SeqCst), -1, "{n}: a connection was opened");
        }
        gate.open();
    });
    assert_eq!((world.plain.count("/page/*"), world.plain.count("/upload/*")), (1, 3));
    assert!(is_up(&cluster, "r1"));
}

/// Whatever is said there, no request gets past whoever meddles, and the log says why.
fn assert_refused(world: &World, node: &Standalone, address: SocketAddr, why: &str) {
    let cluster = world.setup.clone().node_at("r1", &address.to_string()).start();
    until_true("the log says why", PATIENCE, || cluster.said().contains(why));
    for url in [world.plain.url("/marked-path"), world.secure.url("/marked-path")] {
        assert!([403, 503].contains(&cluster.get(&url).status), "{url}");
    }
    assert!(!is_up(&cluster, "r1"), "{}", cluster.said());
    assert_eq!(world.plain.count("*") + world.secure.count("*"), 0, "{}", node.said());
}

#[test]
fn who_takes_from_a_node_what_says_that_it_can_speak_tls_is_refused() {
    let world = World::new();
    world.on("/marked-path", "marked-answer");
    let node = Standalone::start("r1", &world.setup);
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let tape = heard.clone();
    let address = meddler(node.address, move |mut client, mut server| {
        let (mut from, mut to, tape) = (client.try_clone().unwrap(), server.try_clone().unwrap(), tape.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = from.read(&mut buffer) {
                tape.lock().unwrap().extend_from_slice(&buffer[..n]);
                if n == 0 || to.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        });
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = server.read(&mut buffer) {
            let said = String::from_utf8_lossy(&buffer[..n]).replace(ABLE, "0000000000000000");
            if client.write_all(said.as_bytes()).is_err() {
                return;
            }
        }
        _ = client.shutdown(std::net::Shutdown::Both);
    });
    assert_refused(&world, &node, address, "it does not accept our proof");
    let tape = heard.lock().unwrap();
    assert!(has(&tape, "POST /prove") && !has(&tape, "marked-path"), "it has got a proof, and nothing for it");
}

/// Believes whatever certificate it is shown, as whoever is between two would.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn client_of_anybody() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth()
}

#[test]
fn who_ends_tls_on_both_sides_and_passes_the_proof_on_is_refused() {
    let world = World::new();
    world.on("/marked-path", "marked-answer");
    let node = Standalone::start("r1", &world.setup);
    let ours = Arc::new(Authority::new().issue(&["between"]).server());
    let (theirs, passed) = (Arc::new(client_of_anybody()), Arc::<Mutex<Vec<String>>>::default());
    let heard = passed.clone();
    let address = meddler(node.address, move |client, server| {
        let mut first = [0];
        if client.peek(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let (client, server) = match first[0] {
            22 => (Wire::accept(&ours, client), Wire::connect(&theirs, "between", server, usize::MAX)),
            _ => (Ok(Wire::Plain(client)), Ok(Wire::Plain(server))),
        };
        let (Ok(client), Ok(mut server)) = (client, server) else { return };
        // One question, one answer, as long as both go on.
        let mut client = BufReader::new(client);
        while let Ok(Some((head, body))) = message(&mut client) {
            heard.lock().unwrap().push(head.clone());
            _ = server.write_all(head.as_bytes()).and_then(|()| server.write_all(&body)).and_then(|()| server.flush());
            let mut back = BufReader::with_capacity(1 << 16, &mut server);
            let Ok(Some((head, body))) = message(&mut back) else { return };
            heard.lock().unwrap().push(head.clone());
            let to = client.get_mut();
            if to.write_all(head.as_bytes()).and_then(|()| to.write_all(&body)).and_then(|()| to.flush()).is_err() {
                return;
            }
        }
    });
    assert_refused(&world, &node, address, "it does not accept our proof");
    let passed = passed.lock().unwrap();
    let proof = passed.iter().position(|head| head.starts_with("POST /prove")).expect("it has passed a proof on");
    assert!(passed[proof + 1].starts_with("HTTP/1.1 403"), "{passed:?}");
}

/// A head, and the body that it says.
fn message(from: &mut impl BufRead) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head)? == 0 {
            return Ok(None);
        }
        let line = head.trim_end().lines().last().unwrap_or_default().to_ascii_lowercase();
        if let Some(said) = line.strip_prefix("content-length:") {
            length = said.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

#[test]
fn to_a_node_that_has_spoken_tls_nothing_is_said_in_clear_any_more() {
    let world = World::new();
    world.on("/marked-path", "marked-answer");
    let (node, old) = (Standalone::start("r1", &world.setup), OldNode::start("r1"));
    let way = Arc::new(Mutex::new(node.address));
    let target = way.clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(*target.lock().unwrap()) else { continue };
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || copy(from, to));
            thread::spawn(move || copy(server, client));
        }
    });
    let cluster = world.setup.clone().node_at("r1", &address.to_string()).start();
    until_up(&cluster, "r1");
    assert_eq!(cluster.get(&world.plain.url("/marked-path")).text(), "marked-answer");
    *way.lock().unwrap() = old.address;
    drop(node);
    until_true("it is passed over", PATIENCE, || cluster.get(&world.plain.url("/marked-path")).status == 503);
    until_true("the log says why", PATIENCE, || cluster.said().contains("this link is spoken in TLS alone"));
    assert!(!is_up(&cluster, "r1"));
    assert!(old.has_heard("what is no HTTP"), "{:?}", old.heard.lock());
    assert!(!old.has_heard("GET") && !old.has_heard("POST"), "{:?}", old.heard.lock());
}

#[test]
fn a_node_that_has_spoken_tls_and_comes_back_at_another_address_leaves_https_as_it_is() {
    let world = World::new();
    world.on("/marked-path", "marked-answer");
    let (one, two) = (Standalone::start("r1", &world.setup), Standalone::start("r2", &world.setup));
    let cluster =
        world.listed().node_at("r1", &one.address.to_string()).node_at("r2", &two.address.to_string()).start();
    ["r1", "r2"].iter().for_each(|id| until_up(&cluster, id));
    let host = format!("localhost:{}", world.secure.address.port());
    let mut client = inside(&cluster, &host);
    let mut asks = || {
        client.origin_form("GET", "/marked-path", &format!("Host: {host}\r\n"), b"").unwrap();
        client.response("GET").map(|answer| answer.text())
    };
    assert_eq!(asks().unwrap(), "marked-answer");
    let gone = cluster.manage("DELETE", "/v1/nodes/r1", "");
    assert!((200..300).contains(&gone.status), "{}", gone.text());
    until_true("it is gone", PATIENCE, || cluster.manage("GET", "/v1/nodes/r1", "").status == 404);
    // Where it is now nobody has spoken with it yet, and does for as long as it accepts nobody.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = format!(r#"{{"id":"r1","address":"{}"}}"#, silent.local_addr().unwrap());
    let added = cluster.manage("POST", "/v1/nodes", &node);
    assert!((200..300).contains(&added.status), "{}", added.text());
    assert_eq!(asks().expect("the connection goes on"), "marked-answer");
    drop(inside(&cluster, &host));
    assert!(!cluster.said().contains("passed:nodes"), "{}", cluster.said());
    // One that has not is asked in clear, for all that is known.
    let added = cluster.manage("POST", "/v1/nodes", &node.replace("r1", "r3").replace("127.0.0.1", "localhost"));
    assert!((200..300).contains(&added.status), "{}", added.text());
    until_true("the connection ends", PATIENCE, || asks().is_err());
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    _ = std::io::copy(&mut from, &mut to);
    _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_configured_node_that_could_be_asked_in_clear_alone_is_no_start_where_https_is_answered_for() {
    let hosts = Setup::default().set("https", "hosts", vec!["localhost:1"]);
    let (code, said) = hosts.clone().node_at("r1", "127.0.0.1:1").refuse();
    assert_eq!(code, Some(2), "{said}");
    for part in ["node `r1` at 127.0.0.1:1", "set the same [cluster] secret", "cluster.toml"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    hosts.node_at("r1", "127.0.0.1:1").set("cluster", "secret", SECRET).start();
}
