//! TLS with clients: what it takes, and what those take who begin it and go no further.

use crate::support::tls as certificates;
use crate::support::*;
use process::private;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
use std::sync::Arc;
use tempfile::TempDir;

const KEEP: &str = "Cache-Control: max-age=60\r\n";

/// An origin that is answered for, and a client's trust.
struct Stage {
    origin: Origin,
    cluster: Cluster,
    config: Arc<ClientConfig>,
    authority: String,
    _folder: TempDir,
}

impl Stage {
    fn new(change: impl FnOnce(Setup) -> Setup) -> Stage {
        let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
        let origin = Origin::secure(authority.issue(&["localhost"]).server());
        origin.on("/*", |x| x.reply(200, KEEP, "page"));
        let file = authority.write(&folder.path().join("roots.pem")).display().to_string();
        let listed = format!("localhost:{}", origin.address.port());
        let setup = Setup::default().unhurried().nodes(1).set("https", "roots", vec![file]);
        let cluster = change(setup.set("https", "hosts", vec![listed.clone()])).start();
        let ours = CertificateDer::pem_file_iter(cluster.folder().join("state/ca/ca.pem")).unwrap();
        let config = Arc::new(certificates::client_of(ours.map(Result::unwrap), &["http/1.1"]));
        Stage { origin, cluster, config, authority: listed, _folder: folder }
    }

    fn tunnel(&self) -> Connection {
        self.agreed(self.cluster.connect())
    }

    fn agreed(&self, mut tunnel: Connection) -> Connection {
        tunnel.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", self.authority)).unwrap();
        assert_eq!(tunnel.head().unwrap().word(1), "200");
        tunnel
    }

    fn inside(&self) -> Connection {
        self.tunnel().secure(&self.config, "localhost").unwrap_or_else(|e| panic!("{e}: {}", self.cluster.said()))
    }

    fn get(&self, client: &mut Connection, path: &str) -> Response {
        client.origin_form("GET", path, &format!("Host: {}\r\n", self.authority), b"").unwrap();
        client.response("GET").unwrap()
    }

    /// The hello of a client that will say no more.
    fn hello(&self) -> Vec<u8> {
        let mut tls = rustls::ClientConnection::new(self.config.clone(), "localhost".try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        hello
    }
}

/// `ringhold_held_bytes` of the front, of this kind.
fn told(stage: &Stage, kind: &str) -> u64 {
    let metrics = stage.cluster.manage("GET", "/metrics", "").text();
    let line = format!("ringhold_held_bytes{{process=\"front\",kind=\"{kind}\"}} ");
    metrics.lines().find_map(|told| told.strip_prefix(&line)?.parse::<f64>().ok()).unwrap() as u64
}

#[test]
fn an_idle_client_inside_a_tunnel_takes_less_than_32_kib_and_is_in_the_account() {
    const MANY: u64 = 400;
    let stage = Stage::new(|setup| setup);
    let open = |many: u64| -> Vec<Connection> {
        let mut all: Vec<_> = (0..many).map(|_| stage.inside()).collect();
        all.iter_mut().for_each(|client| assert_eq!(stage.get(client, "/page").text(), "page"));
        all
    };
    let warm = open(100);
    let before = private(stage.cluster.pid());
    let idle = open(MANY);
    let each = private(stage.cluster.pid()).saturating_sub(before) / MANY;
    eprintln!("{each} bytes each");
    assert!(each < 32 * 1024, "{each} bytes each");
    assert_eq!(told(&stage, "tls"), (MANY + 100) * 8 * 1024);
    until_true("no handshake is under way", PATIENCE, || told(&stage, "handshakes") == 0);
    drop((warm, idle));
    until_true("they are gone", PATIENCE, || told(&stage, "tls") == 0);
}

#[test]
fn handshakes_that_come_to_no_end_are_bounded_and_others_are_served_meanwhile() {
    let stage = Stage::new(|setup| setup.set("timeouts", "header", "20s"));
    let hello = stage.hello();
    let before = private(stage.cluster.pid());
    let mut most = 0;
    let half: Vec<_> = (0..1700)
        .map(|n| {
            let mut tunnel = stage.tunnel();
            // All of a hello, or the beginning of one.
            tunnel.send(if n % 2 == 0 { &hello } else { &hello[..100] }).unwrap();
            if n % 50 == 0 {
                most = most.max(told(&stage, "handshakes"));
            }
            tunnel
        })
        .collect();
    most = most.max(told(&stage, "handshakes"));
    let taken = private(stage.cluster.pid()).saturating_sub(before);
    eprintln!("{} KiB told, {} KiB taken", most >> 10, taken >> 10);
    assert!(most > 12 << 20 && most <= 16 << 20, "{} KiB told", most >> 10);
    assert!(taken < 48 << 20, "{} KiB taken", taken >> 10);
    let metrics = stage.cluster.manage("GET", "/metrics", "").text();
    assert!(metrics.contains("ringhold_front_tls_passed_total{reason=\"busy\"}"), "the rest is passed on: {metrics}");
    let other = Connection::from([127, 0, 0, 2].into(), stage.cluster.proxy);
    let mut other = stage.agreed(other).secure(&stage.config, "localhost").unwrap();
    assert_eq!(stage.get(&mut other, "/page").text(), "page");
    drop(half);
    until_true("they are gone", PATIENCE, || told(&stage, "handshakes") == 0);
    assert_eq!(stage.get(&mut stage.inside(), "/page").text(), "page");
    assert!(stage.origin.count("/page") == 1);
}

/// A port on which nobody listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_host_that_cannot_be_reached_is_said_inside_and_ends_a_tunnel_that_was_agreed_to() {
    let gone = format!("localhost:{}", closed_port());
    let listed = vec![gone.clone(), "nowhere.invalid".to_owned()];
    let mut stage = Stage::new(|setup| setup.set("https", "hosts", listed).set("log", "access", "text"));
    for (authority, host, error) in
        [(gone.as_str(), "localhost", "connection_refused"), ("nowhere.invalid:443", "nowhere.invalid", "dns_error")]
    {
        stage.authority = authority.to_owned();
        let mut inside = stage.tunnel().secure(&stage.config, host).unwrap();
        for _ in 0..2 {
            let answer = stage.get(&mut inside, "/page");
            assert_eq!(answer.status, 502, "{}", answer.text());
            assert!(answer.has_error(error), "{:?}", answer.head);
        }
        // The 200 is out, so that an end is all that can be said.
        let mut tunnel = stage.tunnel();
        tunnel.send("this is no TLS").unwrap();
        assert_eq!(tunnel.read_to_end().unwrap_or_default(), b"");
    }
    until_true("the log says why", PATIENCE, || {
        let said = stage.cluster.said();
        let ends = |error: &str| said.lines().any(|line| line.contains(error) && line.ends_with("tls=passed:not_tls"));
        ends("origin-broke - \"connection_refused") && ends("origin-broke - \"dns_error")
    });
}

#[test]
fn a_hello_longer_than_any_is_given_up_at_once_and_counted() {
    let stage = Stage::new(|setup| setup);
    let mut tunnel = stage.tunnel();
    tunnel.send([22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff]).unwrap();
    assert!(tunnel.closes_within(PATIENCE));
    let metrics = stage.cluster.manage("GET", "/metrics", "").text();
    assert!(metrics.contains("ringhold_front_tls_handshakes_total{result=\"failed\"} 1"), "{metrics}");
}

#[test]
fn what_an_origin_cuts_off_is_cut_off_inside_and_not_stored() {
    let stage = Stage::new(|setup| setup);
    stage.origin.on("/cut", |x| {
        x.cut();
        x.raw(format!("HTTP/1.1 200 OK\r\n{KEEP}\r\nhalf of it"))
    });
    for asked in 1..3 {
        let mut client = stage.inside();
        client.origin_form("GET", "/cut", &format!("Host: {}\r\n", stage.authority), b"").unwrap();
        let broken = client.response("GET").map(|answer| answer.text()).unwrap_err();
        assert!(matches!(broken.kind(), UnexpectedEof | ConnectionReset), "{broken}");
        assert_eq!(stage.origin.count("/cut"), asked);
    }
}
