//! CONNECT to a listed host: answered in the host's name and from the cache, or tunnelled with every byte that was said.

mod tunnelled;

use crate::support::*;
use rustix::process::Signal;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

const KEEP: &str = "Cache-Control: max-age=60\r\n";
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// An origin, and a cluster that answers in its name.
struct Stage {
    origin: Origin,
    /// That of the origin.
    authority: Authority,
    cluster: Cluster,
    _folder: TempDir,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(|setup, _| setup)
    }

    fn with(change: impl FnOnce(Setup, String) -> Setup) -> Stage {
        let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
        let origin = Origin::secure(authority.issue(&NAMES).server());
        let file = authority.write(&folder.path().join("roots.pem")).display().to_string();
        let setup =
            Setup::default().unhurried().nodes(1).set("https", "roots", vec![file]).set("log", "access", "text");
        let listed = format!("localhost:{}", origin.address.port());
        let cluster = change(setup.set("https", "hosts", vec![listed.clone()]), listed).start();
        Stage { origin, authority, cluster, _folder: folder }
    }

    fn authority_of_ours(&self) -> PathBuf {
        self.cluster.folder().join("state/ca/ca.pem")
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.origin.address.port())
    }

    /// A client that believes the proxy's authority alone, and speaks these protocols.
    fn client(&self, protocols: &[&str]) -> ClientConfig {
        let certificates = CertificateDer::pem_file_iter(self.authority_of_ours()).unwrap();
        tls::client_of(certificates.map(Result::unwrap), protocols)
    }

    /// A tunnel that the proxy has agreed to.
    fn tunnel(&self) -> Connection {
        tunnel(&self.cluster, &format!("localhost:{}", self.origin.address.port()))
    }

    /// A connection inside one.
    fn inside(&self, config: &Arc<ClientConfig>) -> Connection {
        self.tunnel().secure(config, "localhost").unwrap_or_else(|e| panic!("no TLS: {e}\n{}", self.cluster.said()))
    }

    fn get(&self, client: &mut Connection, path: &str) -> Response {
        client.origin_form("GET", path, &format!("Host: localhost:{}\r\n", self.origin.address.port()), b"").unwrap();
        client.response("GET").unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.cluster.said()))
    }

    /// How often tunnels to the origin were passed on, for this reason.
    fn passed(&self, why: &str) -> bool {
        let metrics = self.cluster.manage("GET", "/metrics", "").text();
        let line = format!("ringhold_front_tls_passed_total{{reason=\"{why}\"}}");
        metrics.lines().any(|said| said.starts_with(&line))
    }

    /// What `ringhold explain` says of its URL.
    fn explained(&self) -> String {
        let (url, admin) = (self.url("/page"), self.cluster.admin.to_string());
        // Elsewhere: what the cluster says is in files of its folder.
        cluster::run(TempDir::new().unwrap().path(), &["explain", &url, "--admin", &admin]).1
    }

    fn until_logged(&self, what: &str) {
        until_true(&format!("the log has {what}"), PATIENCE, || self.cluster.said().contains(what));
    }
}

fn tunnel(front: &Cluster, authority: &str) -> Connection {
    let mut tunnel = front.connect();
    tunnel.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).unwrap();
    let head = tunnel.head().unwrap();
    assert_eq!(head.word(1), "200", "{head:?}");
    tunnel
}

#[test]
fn a_listed_host_is_answered_in_its_name_and_from_the_cache() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, &format!("{KEEP}Alt-Svc: h3=\":443\"\r\n"), "page"));
    let config = Arc::new(stage.client(&["http/1.1"]));
    for hit in [false, true] {
        let mut client = stage.inside(&config);
        for again in [false, true] {
            let answer = stage.get(&mut client, "/page");
            assert_eq!((answer.status, answer.text().as_str()), (200, "page"));
            assert_eq!(answer.is_hit(), hit || again);
            assert_eq!(answer.get("alt-svc"), None);
        }
    }
    assert_eq!(stage.origin.count("/page"), 1);
    assert_eq!(stage.origin.heads("/page")[0].line, "GET /page HTTP/1.1");
    // The same URL by absolute form is the same.
    assert!(stage.cluster.get(&stage.url("/page")).is_hit());
    stage.until_logged("CONNECT localhost");
    stage.until_logged(" tls=hit");
    stage.until_logged(&stage.url("/page"));
    assert_eq!(stage.cluster.metric("ringhold_front_tls_handshakes_total"), 2);
}

#[test]
fn a_client_goes_on_with_an_earlier_session() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let config = Arc::new(stage.client(&[]));
    for resumed in [false, true] {
        let mut client = stage.inside(&config);
        assert_eq!(stage.get(&mut client, "/page").text(), "page");
        assert_eq!(client.wire().is_resumed(), resumed);
    }
}

#[test]
fn other_hosts_inside_are_misdirected_and_connect_is_no_request_there() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let config = Arc::new(stage.client(&[]));
    let mut client = stage.inside(&config);
    for (target, host, status) in [
        ("/page", "other.example", 421),
        ("https://other.example/page", "localhost", 421),
        ("http://localhost/page", "localhost", 421),
    ] {
        client.origin_form("GET", target, &format!("Host: {host}\r\n"), b"").unwrap();
        let answer = client.response("GET").unwrap();
        assert_eq!(answer.status, status, "{target} {host}: {}", answer.text());
    }
    assert_eq!(stage.get(&mut client, "/page").text(), "page", "the connection goes on");
    client.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n").unwrap();
    assert_eq!(client.head().unwrap().word(1), "400");
    assert_eq!(stage.origin.count("/page"), 1);
}

#[test]
fn uploads_ranges_interim_responses_and_other_protocols_pass_inside() {
    let stage = Stage::new();
    stage.origin.on("/upload", |x| x.digest());
    stage.origin.on("/page", |x| x.reply(200, KEEP, "0123456789"));
    stage.origin.on("/hinted", |x| {
        x.raw("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")?;
        x.reply(200, "Cache-Control: no-store\r\n", "page")
    });
    stage.origin.on("/chat", |x| {
        x.reply_empty(101, "Upgrade: websocket\r\nConnection: Upgrade\r\n")?;
        x.echo()
    });
    let (config, host) = (Arc::new(stage.client(&[])), format!("Host: localhost:{}\r\n", stage.origin.address.port()));
    let mut client = stage.inside(&config);
    let body = vec![7; 3 * 1024 * 1024];
    client.origin_form("POST", "/upload", &host, &body).unwrap();
    assert!(client.response("POST").unwrap().text().starts_with(&format!("{} ", body.len())));
    assert_eq!(stage.get(&mut client, "/page").text(), "0123456789");
    client.origin_form("GET", "/page", &format!("{host}Range: bytes=2-4\r\n"), b"").unwrap();
    assert_eq!(client.response("GET").unwrap().text(), "234");
    let hinted = stage.get(&mut client, "/hinted");
    assert_eq!((hinted.interim.as_slice(), hinted.text().as_str()), (&[103][..], "page"));
    client.origin_form("GET", "/chat", &format!("{host}Upgrade: websocket\r\nConnection: Upgrade\r\n"), b"").unwrap();
    assert_eq!(client.head().unwrap().word(1), "101");
    for word in ["hello", "again"] {
        client.send(word).unwrap();
        assert_eq!(client.read_exact(word.len()).unwrap(), word.as_bytes());
    }
}

#[test]
fn the_end_of_a_connection_is_said_in_tls() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let config = Arc::new(stage.client(&[]));
    let mut client = stage.inside(&config);
    let fields = format!("Host: localhost:{}\r\nConnection: close\r\n", stage.origin.address.port());
    client.origin_form("GET", "/page", &fields, b"").unwrap();
    assert_eq!(client.response("GET").unwrap().text(), "page");
    assert_eq!(client.read_to_end().expect("an end in order is no error"), b"");
}

#[test]
fn cookies_are_for_whose_request_was_sent() {
    let stage = Stage::new();
    stage.origin.on("/cookie", |x| x.reply(200, &format!("{KEEP}Set-Cookie: id=1\r\n"), "page"));
    let config = Arc::new(stage.client(&[]));
    let mut client = stage.inside(&config);
    let first = stage.get(&mut client, "/cookie");
    assert_eq!((first.is_hit(), first.get("set-cookie").as_deref()), (false, Some("id=1")));
    let second = stage.get(&mut client, "/cookie");
    assert_eq!((second.is_hit(), second.get("set-cookie")), (true, None));
    let host = format!("Host: localhost:{}\r\nCookie: id=1\r\n", stage.origin.address.port());
    stage.origin.on("/known", |x| x.reply(200, KEEP, "page of somebody"));
    stage.origin.on("/public", |x| x.reply(200, "Cache-Control: public, max-age=60\r\n", "page of everybody"));
    for (path, asked) in [("/known", 2), ("/public", 1)] {
        for _ in 0..2 {
            client.origin_form("GET", path, &host, b"").unwrap();
            assert_eq!(client.response("GET").unwrap().status, 200);
        }
        assert_eq!(stage.origin.count(path), asked, "{path}");
    }
}

#[test]
fn a_hello_may_come_in_many_pieces() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let config = Arc::new(stage.client(&["http/1.1"]));
    let mut client = stage.tunnel().secure_in_pieces(&config, "localhost", 7).unwrap();
    assert_eq!(stage.get(&mut client, "/page").text(), "page");
}

/// With a share for a group that quantum computers do not break, for example.
#[test]
fn a_hello_may_be_long() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let names: Vec<String> = (0..60).map(|n| format!("protocol-{n}-{}", "x".repeat(200))).collect();
    let protocols: Vec<&str> = names.iter().map(String::as_str).chain(["http/1.1"]).collect();
    let config = Arc::new(stage.client(&protocols));
    for half in [6000, 1 << 14] {
        let mut client = stage.tunnel().secure_in_pieces(&config, "localhost", half).unwrap();
        assert_eq!(stage.get(&mut client, "/page").text(), "page");
    }
}

#[test]
fn half_a_hello_is_given_up_in_time() {
    let stage = Stage::with(|setup, _| setup.set("timeouts", "header", "300ms"));
    let mut tunnel = stage.tunnel();
    tunnel.send([22, 3, 1, 2, 0, 1, 0]).unwrap();
    assert!(tunnel.closes_within(PATIENCE));
}

#[test]
fn an_origin_that_does_not_prove_who_it_is_is_502_inside_and_then_shows_its_certificate_itself() {
    let stage = Stage::with(|setup, _| setup.set("https", "roots", Vec::<String>::new()));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let config = Arc::new(stage.client(&[]));
    let mut client = stage.inside(&config);
    let answer = stage.get(&mut client, "/page");
    assert_eq!(answer.status, 502);
    assert!(answer.has_error("tls_certificate_error") && answer.text().contains("[https] roots"), "{}", answer.text());
    assert_eq!(answer.get("connection").as_deref(), Some("close"), "who asks again gets a tunnel");
    assert_eq!(client.read_to_end().unwrap(), b"");
    // Whoever believes the origin can speak with it.
    let mut client = stage.inside(&Arc::new(stage.authority.client(&["http/1.1"])));
    assert_eq!(stage.get(&mut client, "/page").text(), "page");
    assert!(stage.passed("origin"));
    drop(client);
    stage.until_logged("tls=passed:origin");
    let said = stage.explained();
    assert!(said.contains("passes untouched (passed:origin): [https] hosts has "), "{said}");
    assert_eq!(stage.cluster.said().matches("tunnelled for 300s").count(), 1, "warned of once");
}

/// Whoever has no length to go by knows a whole body by the end of TLS that is said.
#[test]
fn a_body_that_its_node_dies_in_is_seen_to_be_broken_however_it_would_have_ended() {
    let stage = Stage::new();
    const SOME: usize = 100_000;
    stage.origin.on("/sized", |x| {
        x.begin_sized(KEEP, 10 * SOME as u64)?;
        x.noise(1, 2 * SOME as u64)?;
        x.until_closed()
    });
    stage.origin.on("/chunked", |x| {
        x.begin_chunked(KEEP)?;
        x.chunk(vec![1; 2 * SOME])?;
        x.until_closed()
    });
    let config = Arc::new(stage.client(&[]));
    for (path, version) in [("/sized", "1.1"), ("/chunked", "1.1"), ("/chunked", "1.0")] {
        let mut client = stage.inside(&config);
        let host = format!("localhost:{}", stage.origin.address.port());
        client.send(format!("GET {path} HTTP/{version}\r\nHost: {host}\r\n\r\n")).unwrap();
        assert_eq!(client.head().unwrap().word(1), "200", "{path} {version}");
        client.read_exact(SOME).unwrap();
        let node = stage.cluster.node("n1").pid;
        stage.cluster.signal_node("n1", Signal::KILL);
        let mut rest = vec![0; SOME];
        let end = loop {
            match client.read(&mut rest) {
                Ok(0) => panic!("{path} {version}: an end in order"),
                Ok(_) => {}
                Err(e) => break e,
            }
        };
        assert!(matches!(end.kind(), UnexpectedEof | ConnectionReset), "{path} {version}: {end}");
        stage.until_logged("node-broke");
        let is_new = || stage.cluster.nodes().iter().any(|n| n.pid != node);
        until_true("the node runs again", PATIENCE, || is_new() && stage.cluster.metric("ringhold_node_up") == 1);
    }
    let mut client = stage.inside(&config);
    stage.origin.on("/sized", |x| x.reply(200, KEEP, "whole"));
    assert_eq!(stage.get(&mut client, "/sized").text(), "whole", "nothing of it was stored");
}

#[test]
fn two_fronts_with_one_authority_and_one_ring_are_the_same_to_a_client() {
    let stage = Stage::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let socket = process::value_of(&stage.cluster.node("n1").arguments, "--listen").unwrap();
    let authority = stage.authority_of_ours().parent().unwrap().display().to_string();
    let listed = format!("localhost:{}", stage.origin.address.port());
    let other = Setup::default().unhurried().nodes(0).node_at("n1", &socket);
    let other = other.set("https", "hosts", vec![listed.clone()]).set("https", "ca", authority).start();
    until_true("both have the node", PATIENCE, || other.metric("ringhold_node_up") == 1);
    let config = Arc::new(stage.client(&[]));
    let mut certificates = Vec::new();
    for (front, hit) in [(&stage.cluster, false), (&other, true), (&stage.cluster, true), (&other, true)] {
        // A session of the one that the other does not know is none, and no error.
        let mut client = tunnel(front, &listed).secure(&config, "localhost").unwrap();
        let answer = stage.get(&mut client, "/page");
        assert_eq!((answer.text().as_str(), answer.is_hit()), ("page", hit));
        certificates.extend(client.wire().certificate());
    }
    assert_eq!(stage.origin.count("/page"), 1);
    certificates.sort();
    certificates.dedup();
    assert_eq!(certificates.len(), 2, "each has signed one of its own");
    assert_ne!(serial(&certificates[0]), serial(&certificates[1]));
}

/// The first field of a certificate after its version (RFC 5280 section 4.1).
fn serial(certificate: &[u8]) -> Vec<u8> {
    let version = [0xa0, 3, 2, 1, 2, 2];
    let at = certificate.windows(6).position(|field| field == version).unwrap() + version.len();
    certificate[at + 1..at + 1 + usize::from(certificate[at])].to_vec()
}

#[test]
fn curl_and_python_fetch_twice_with_one_request_to_the_origin() {
    if !tools::wanted("https by curl and Python", &["curl", "python3"]) {
        return;
    }
    let stage = Stage::new();
    for path in ["/curl", "/python"] {
        stage.origin.on(path, |x| x.reply(200, KEEP, "fetched"));
    }
    let (proxy, ca) = (format!("http://{}", stage.cluster.proxy), stage.authority_of_ours());
    let tool = |program: &str| {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("SSL_CERT_FILE", &ca);
        command
    };
    for _ in 0..2 {
        let curl = tools::succeed(
            tool("curl").args(["-sSf", "--noproxy", "", "-x", &proxy, "--cacert"]).arg(&ca).arg(stage.url("/curl")),
        );
        assert_eq!(curl, b"fetched");
        let script = "import ssl, sys, urllib.request as r\n\
                      c = ssl.create_default_context(cafile=sys.argv[2])\n\
                      o = r.build_opener(r.ProxyHandler({'https': sys.argv[1]}), r.HTTPSHandler(context=c))\n\
                      sys.stdout.write(o.open(sys.argv[3]).read().decode())";
        let python = tools::succeed(tool("python3").args(["-c", script, &proxy]).arg(&ca).arg(stage.url("/python")));
        assert_eq!(python, b"fetched");
    }
    assert_eq!((stage.origin.count("/curl"), stage.origin.count("/python")), (1, 1));
}

#[test]
fn a_name_with_a_dot_at_its_end_is_the_same_host_and_another_url() {
    let stage = Stage::with(|setup, listed| {
        let passed = listed.replace("localhost", "passed.localhost");
        setup.set("https", "hosts", vec![listed, passed.clone()]).set("https", "pass", vec![passed])
    });
    stage.origin.on("/page", |x| {
        let host = x.head.get("host").unwrap();
        x.reply(200, KEEP, host)
    });
    let (config, port) = (Arc::new(stage.client(&["http/1.1"])), stage.origin.address.port());
    let dotted = format!("localhost.:{port}");
    let mut client = tunnel(&stage.cluster, &dotted).secure(&config, "localhost").expect("it is answered for");
    for (host, hit) in [(format!("localhost:{port}"), false), (dotted.clone(), false), (dotted.clone(), true)] {
        client.origin_form("GET", "/page", &format!("Host: {host}\r\n"), b"").unwrap();
        let answer = client.response("GET").unwrap();
        assert_eq!((answer.status, answer.text(), answer.is_hit()), (200, host, hit));
    }
    assert!(stage.get(&mut stage.inside(&config), "/page").is_hit(), "that URL is stored");
    // The same line of `pass` has both.
    for name in ["passed.localhost", "passed.localhost."] {
        let mut passed = stage.cluster.connect();
        passed.send(format!("CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n\r\n")).unwrap();
        // Whether there is such a host is another question.
        passed.head().unwrap();
        drop(passed);
        stage.until_logged(&format!("CONNECT {name}:{port}"));
    }
    until_true("both passed", PATIENCE, || stage.cluster.said().matches("tls=passed:listed").count() == 2);
    // Nor is there another spelling of an entry.
    let (code, said) = Setup::default().set("https", "hosts", vec!["files.example."]).refuse();
    assert!(code == Some(2) && said.contains("leave out the dot at the end"), "{said}");
}
