//! CONNECT and Upgrade: bytes both ways, each direction ending by itself.

use crate::support::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// A server that handles one connection in this way.
fn server(handler: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || handler(listener.accept().unwrap().0));
    address
}

fn connect(cluster: &Cluster, to: SocketAddr, early: &str) -> (Connection, Head) {
    let mut client = cluster.connect();
    client.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n{early}")).unwrap();
    let head = client.head().unwrap();
    (client, head)
}

#[test]
fn a_tunnel_carries_bytes_both_ways() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/inside", |x| x.reply(200, "", "through the tunnel"));
    let (mut client, head) = connect(&cluster, origin.address, "");
    assert_eq!(head.word(1), "200");
    assert!(!head.has("content-length") && !head.has("transfer-encoding"), "RFC 9110 section 9.3.6: {head:?}");
    client.send("GET /inside HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = client.response("GET").unwrap();
    assert_eq!(answer.text(), "through the tunnel");
    assert!(!answer.head.has("via"), "nobody looks inside");
}

/// RFC 1034 section 3.1: with a dot at its end it is the same name. To the origin it is said as it was written.
#[test]
fn a_name_may_have_a_dot_at_its_end() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/page", |x| {
        let host = x.head.get("host").unwrap_or_default();
        x.reply(200, "", host)
    });
    for name in ["localhost", "localhost.", "LocalHost."] {
        let to = format!("{name}:{}", origin.address.port());
        let mut client = cluster.connect();
        client.send(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n")).unwrap();
        assert_eq!(client.head().unwrap().word(1), "200", "{to}");
        client.send(format!("GET /page HTTP/1.1\r\nHost: {to}\r\n\r\n")).unwrap();
        assert_eq!(client.response("GET").unwrap().text(), to);
        let answer = cluster.get(&format!("http://{to}/page"));
        assert_eq!((answer.status, answer.text()), (200, to.to_ascii_lowercase()));
    }
}

#[test]
fn bytes_that_come_with_the_connect_are_not_lost() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/early", |x| x.reply(200, "", "early"));
    let (mut client, _) = connect(&cluster, origin.address, "GET /early HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response("GET").unwrap().text(), "early");
}

#[test]
fn the_client_may_finish_sending_and_still_be_answered() {
    let cluster = Setup::default().nodes(1).start();
    let to = server(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        write!(stream, "{} bytes", all.len()).unwrap();
    });
    let (mut client, _) = connect(&cluster, to, "");
    client.send("hello").unwrap();
    client.finish_sending();
    assert_eq!(client.read_to_end().unwrap(), b"5 bytes");
}

#[test]
fn the_server_may_finish_sending_and_still_be_told() {
    let cluster = Setup::default().nodes(1).start();
    let (told, hears) = std::sync::mpsc::channel();
    let to = server(move |mut stream| {
        stream.write_all(b"done").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        told.send(all).unwrap();
    });
    let (mut client, _) = connect(&cluster, to, "");
    assert_eq!(client.read_to_end().unwrap(), b"done");
    client.send("one more thing").unwrap();
    client.finish_sending();
    assert_eq!(hears.recv_timeout(PATIENCE).unwrap(), b"one more thing");
}

#[test]
fn a_tunnel_to_a_closed_port_is_refused_with_a_reason() {
    let cluster = Setup::default().nodes(1).start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut client = cluster.connect();
    client.send(format!("CONNECT {closed} HTTP/1.1\r\nHost: {closed}\r\n\r\n")).unwrap();
    let answer = client.response("CONNECT").unwrap();
    assert_eq!(answer.status, 502);
    assert!(answer.has_error("connection_refused"), "{:?}", answer.head);
}

#[test]
fn an_idle_tunnel_ends() {
    let cluster = Setup::default().nodes(1).set("timeouts", "tunnel_idle", "300ms").start();
    let to = server(|mut stream| drop(stream.read(&mut [0; 1])));
    let (mut client, head) = connect(&cluster, to, "");
    assert_eq!(head.word(1), "200");
    assert!(client.closes_within(PATIENCE));
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

#[test]
fn an_upgrade_becomes_a_tunnel_after_101() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/ws", |x| {
        assert!(x.head.lists("connection", "upgrade") && x.head.lists("upgrade", "websocket"), "{:?}", x.head);
        assert_eq!(x.head.get("sec-websocket-key").as_deref(), Some("abc="));
        x.raw(
            "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: d\r\n\r\nhi!",
        )?;
        x.echo()
    });
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/ws"), &format!("{UPGRADE}Sec-WebSocket-Key: abc=\r\n"), b"").unwrap();
    let head = client.head().unwrap();
    assert_eq!(head.word(1), "101");
    assert!(head.lists("upgrade", "websocket") && head.lists("connection", "upgrade"), "{head:?}");
    assert_eq!(head.get("sec-websocket-accept").as_deref(), Some("d"));
    assert_eq!(client.read_exact(3).unwrap(), b"hi!");
    for message in ["ping", "\x00\x01\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
        client.send(message).unwrap();
        assert_eq!(client.read_exact(message.len()).unwrap(), message.as_bytes());
    }
    client.finish_sending();
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn an_upgrade_that_the_origin_ignores_is_a_request_like_any_other() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/plain", |x| x.reply(200, "Cache-Control: no-store\r\n", "not today"));
    let mut client = cluster.connect();
    for _ in 0..2 {
        assert_eq!(client.ask("GET", &origin.url("/plain"), UPGRADE, b"").text(), "not today");
    }
}
