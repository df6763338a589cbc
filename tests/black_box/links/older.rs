//! Nodes that speak no TLS, or have other rules for https: what is asked of them, and what is tunnelled past them.

use super::{SECRET, World, has, until_up};
use crate::support::relay::Relay;
use crate::support::standalone::Standalone;
use crate::support::*;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// A node of before: it knows the secret, and nothing of TLS. What it is asked, head by head, and what it holds is the same for
/// whatever is asked.
pub struct OldNode {
    pub address: SocketAddr,
    pub heard: Arc<Mutex<Vec<String>>>,
}

impl OldNode {
    pub fn start(id: &'static str) -> OldNode {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let all = heard.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = all.clone();
                thread::spawn(move || drop(serve_as_of_old(stream, id, &heard)));
            }
        });
        OldNode { address, heard }
    }

    pub fn has_heard(&self, text: &str) -> bool {
        self.heard.lock().unwrap().iter().any(|head| head.contains(text))
    }
}

fn serve_as_of_old(mut stream: TcpStream, id: &str, heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    const BOOT: u64 = 77;
    let (mut reader, nonce) = (BufReader::new(stream.try_clone()?), [5; 16]);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        // What is no HTTP may have no lines.
        if reader.fill_buf()?.first().is_some_and(|first| !first.is_ascii_uppercase()) {
            heard.lock().unwrap().push("what is no HTTP".to_owned());
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        loop {
            let mut line = Vec::new();
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
            head += &line;
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        heard.lock().unwrap().push(head.clone());
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (fields, said) = match target {
            "/hello" => ("", format!(r#"{{"nonce":"{}","id":"{id}","boot":{BOOT}}}"#, hex(&nonce))),
            "/prove" => {
                let prove: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let theirs = unhex(prove["nonce"].as_str().unwrap());
                assert_eq!(prove["mac"], hex(&mac("ringhold front", &nonce, &theirs, BOOT, id)), "an old proof");
                ("", format!(r#"{{"mac":"{}"}}"#, hex(&mac("ringhold node", &theirs, &nonce, BOOT, id))))
            }
            "/healthz" => ("", format!(r#"{{"id":"{id}","boot":{BOOT},"version":"0.0.9"}}"#)),
            _ => ("Cache-Status: r1; hit; ttl=60\r\nCache-Control: max-age=60\r\n", "old-answer".to_owned()),
        };
        let date = "Date: Sun, 29 Nov 2026 00:00:00 GMT";
        write!(stream, "HTTP/1.1 200 OK\r\n{date}\r\n{fields}Content-Length: {}\r\n\r\n{said}", said.len())?;
    }
}

fn mac(label: &str, challenge: &[u8], own: &[u8], boot: u64, id: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    [label.as_bytes(), challenge, own, &boot.to_be_bytes(), id.as_bytes()].iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn a_node_of_before_is_asked_for_http_in_clear_and_https_is_tunnelled_until_all_can() {
    let world = World::new();
    world.on("/marked-path", "marked-answer");
    let (old, node) = (OldNode::start("r1"), Standalone::start("r2", &world.setup));
    let relay = Relay::recording(&old.address.to_string());
    let cluster =
        world.listed().node_at("r1", &relay.address.to_string()).node_at("r2", &node.address.to_string()).start();
    until_up(&cluster, "r1");
    until_up(&cluster, "r2");
    let url = (0..99).map(|n| world.plain.url(&format!("/marked-path?{n}")));
    let owned = url.into_iter().find(|url| cluster.get(url).node() == "r1").expect("r1 owns something");
    assert_eq!(cluster.get(&owned).text(), "old-answer");
    assert!(has(&relay.tape(), "/marked-path"), "in clear, as ever");
    let refused = cluster.get(&world.secure.url("/marked-path"));
    assert!(refused.status == 403 && refused.text().contains("[cluster] secret"), "{}", refused.text());
    let host = format!("localhost:{}", world.secure.address.port());
    let mut tunnel = cluster.connect();
    tunnel.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
    assert_eq!(client::status_of(&tunnel.head().unwrap()), 200);
    drop(tunnel);
    until_true("it is a tunnel", PATIENCE, || cluster.said().contains("tls=passed:nodes"));
    assert!(!old.has_heard("https://"), "{:?}", old.heard.lock());
    // With it gone, all can.
    let gone = cluster.manage("DELETE", "/v1/nodes/r1", "");
    assert!((200..300).contains(&gone.status), "{}", gone.text());
    until_true("https is asked of the other", PATIENCE, || {
        cluster.get(&world.secure.url("/marked-path")).text() == "marked-answer"
    });
}

/// On a Unix socket, so that nothing of it is in clear: a node that says of its rules for https what it is told to.
fn node_of_rules(folder: &Path, rules: &'static str) -> String {
    let path = folder.join("r1.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let (mut lines, mut stream) = (BufReader::new(stream.try_clone().unwrap()).lines(), stream);
                while let Some(Ok(line)) = lines.next() {
                    let said = format!(r#"{{"id":"r1","boot":77,"version":"9.0.0"{rules}}}"#);
                    if line.is_empty()
                        && write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len()).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    format!("unix:{}", path.display())
}

#[test]
fn https_is_tunnelled_while_a_node_has_other_rules_for_it() {
    for rules in ["", r#","https_rules":"of another version""#] {
        let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
        world.on("/path", "answer");
        let node = Standalone::start("r2", &world.setup);
        let setup = world.listed().node_at("r1", &node_of_rules(folder.path(), rules));
        let cluster = setup.node_at("r2", &node.address.to_string()).start();
        until_up(&cluster, "r1");
        until_up(&cluster, "r2");
        until_true("the log says which", PATIENCE, || cluster.said().contains("other rules for https URLs"));
        let host = format!("localhost:{}", world.secure.address.port());
        let mut tunnel = cluster.connect();
        tunnel.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
        assert_eq!(client::status_of(&tunnel.head().unwrap()), 200);
        drop(tunnel);
        until_true("it is a tunnel", PATIENCE, || cluster.said().contains("tls=passed:nodes"));
        let gone = cluster.manage("DELETE", "/v1/nodes/r1", "");
        assert!((200..300).contains(&gone.status), "{}", gone.text());
        until_true("it is answered for again", PATIENCE, || {
            let explained = cluster.manage("GET", &format!("/v1/explain?url=https://{host}/path"), "");
            explained.text().contains(r#""intercepted":true"#)
        });
    }
}
