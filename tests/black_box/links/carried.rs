//! What goes over an encrypted link besides questions and answers, and the link between two nodes.

use super::{World, has, inside, until_up};
use crate::support::relay::Relay;
use crate::support::standalone::Standalone;
use crate::support::*;
use std::sync::Arc;

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n";

fn assert_silent(tape: &[u8]) {
    for mark in ["marked", "Upgrade", "websocket", "localhost", "http://", "https://", "/chat", "Ringhold-Peer"] {
        assert!(!has(tape, mark), "{mark} was heard on the link");
    }
}

fn chat(client: &mut Connection) {
    assert_eq!(client.head().unwrap().word(1), "101");
    for word in ["marked-word", "marked-again"] {
        client.send(word).unwrap();
        assert_eq!(client.read_exact(word.len()).unwrap(), word.as_bytes());
    }
    client.finish_sending();
    assert_eq!(client.read_to_end().unwrap(), b"");
}

#[test]
fn interim_answers_and_switched_protocols_go_over_an_encrypted_link() {
    let world = World::new();
    for origin in [&world.plain, &world.secure] {
        origin.on("/hinted", |x| {
            x.raw("HTTP/1.1 103 Early Hints\r\nLink: </marked.css>; rel=preload\r\n\r\n")?;
            x.reply(200, "Cache-Control: no-store\r\n", "marked-answer")
        });
        origin.on("/chat", |x| {
            x.reply_empty(101, "Upgrade: websocket\r\nConnection: Upgrade\r\n")?;
            x.echo()
        });
    }
    let node = Standalone::start("r1", &world.setup);
    let relay = Relay::recording(&node.address.to_string());
    let cluster = world.listed().node_at("r1", &relay.address.to_string()).start();
    until_up(&cluster, "r1");
    for origin in [&world.plain, &world.secure] {
        let answer = cluster.get(&origin.url("/hinted"));
        assert_eq!((answer.interim.as_slice(), answer.text().as_str()), (&[103][..], "marked-answer"));
        let mut client = cluster.connect();
        client.request("GET", &origin.url("/chat"), UPGRADE, b"").unwrap();
        chat(&mut client);
    }
    let authority = format!("localhost:{}", world.secure.address.port());
    let (mut client, host) = (inside(&cluster, &authority), format!("Host: {authority}\r\n"));
    client.origin_form("GET", "/hinted", &host, b"").unwrap();
    let answer = client.response("GET").unwrap();
    assert_eq!((answer.interim.as_slice(), answer.text().as_str()), (&[103][..], "marked-answer"));
    client.origin_form("GET", "/chat", &format!("{host}{UPGRADE}"), b"").unwrap();
    assert_eq!(client.head().unwrap().word(1), "101");
    client.send("marked-word").unwrap();
    assert_eq!(client.read_exact(11).unwrap(), b"marked-word");
    let tape = relay.tape();
    assert!(has(&tape, "GET /hello"), "it is the link that was recorded");
    assert_silent(&tape);
}

#[test]
fn a_client_that_pins_is_tunnelled_by_a_front_with_encrypted_links_and_others_are_answered_over_them() {
    let world = World::new();
    world.on("/marked-path", "marked-answer");
    let node = Standalone::start("r1", &world.setup);
    let relay = Relay::recording(&node.address.to_string());
    let cluster = world.listed().node_at("r1", &relay.address.to_string()).start();
    until_up(&cluster, "r1");
    let authority = format!("localhost:{}", world.secure.address.port());
    let (pinned, host) = (Arc::new(world.authority.client(&[])), format!("Host: {authority}\r\n"));
    let try_it = || {
        let mut tunnel = cluster.connect();
        tunnel.send(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).unwrap();
        assert_eq!(tunnel.head().unwrap().word(1), "200");
        tunnel.secure(&pinned, "localhost")
    };
    assert!(try_it().is_err(), "it has its own error once");
    until_true("it is noted", PATIENCE, || cluster.said().contains("does not trust our certificate for localhost"));
    let mut other = inside(&cluster, &authority);
    for (client, is_cached) in [(&mut try_it().expect("the origin's own certificate"), false), (&mut other, true)] {
        client.origin_form("GET", "/marked-path", &host, b"").unwrap();
        let answer = client.response("GET").unwrap();
        assert_eq!((answer.text().as_str(), answer.node() == "r1"), ("marked-answer", is_cached), "{}", cluster.said());
    }
    assert_silent(&relay.tape());
}

#[test]
fn who_listens_between_two_nodes_hears_nothing_of_what_one_asks_the_other() {
    let world = World::new();
    world.on("/marked/*", "marked-answer");
    let nodes = ["r1", "r2"].map(|id| Standalone::start(id, &world.setup));
    let relays = nodes.each_ref().map(|node| Relay::recording(&node.address.to_string()));
    let cluster = world.listed().node_at("r1", &relays[0].address.to_string()).start();
    until_up(&cluster, "r1");
    let urls: Vec<String> = [&world.plain, &world.secure]
        .into_iter()
        .flat_map(|origin| (0..40).map(|n| origin.url(&format!("/marked/{n}"))).collect::<Vec<_>>())
        .collect();
    urls.iter().for_each(|url| assert_eq!(cluster.get(url).text(), "marked-answer"));
    let body = format!(r#"{{"id":"r2","address":"{}"}}"#, relays[1].address);
    let added = cluster.manage("POST", "/v1/nodes", &body);
    assert_eq!(added.status, 201, "{}", added.text());
    until_up(&cluster, "r2");
    // Whose place is now at the other, that one fetches from the first.
    urls.iter().for_each(|url| assert_eq!(cluster.get(url).text(), "marked-answer", "{}", cluster.said()));
    assert!(cluster.metric("ringhold_node_peer_answers_total") > 0, "one node has asked the other");
    let asked = world.plain.count("*") + world.secure.count("*");
    assert!(asked < 2 * urls.len(), "{asked}: what one node has, the other need not ask the origin for");
    relays.iter().for_each(|relay| assert_silent(&relay.tape()));
}
