//! Streams that are quiet for minutes, and clients that pause: an event every five minutes, and a pause of five minutes in
//! the middle of 32 MiB, with everything as shipped. In small the pauses and the limits are a second or two.

use crate::support::*;
use std::thread::{scope, sleep};
use std::time::Duration;

const EVENTS: usize = 2;

fn length() -> u64 {
    drill(6 << 20, 32 << 20)
}

fn pause() -> Duration {
    drill(Duration::from_millis(1500), Duration::from_secs(300))
}

fn start() -> Cluster {
    let small = Setup::default().set("timeouts", "origin_silence", "3s").set("timeouts", "client_silence", "3s");
    let small = small.set("timeouts", "first_byte", "1s").set("timeouts", "idle", "1s").set("timeouts", "header", "1s");
    // The ports and the state folder are the test's own; nothing else is said.
    drill(small, Setup::default().set("hot", "memory", "128MiB")).start()
}

/// A connection whose reads may take as long as the pause.
fn patient(cluster: &Cluster) -> Connection {
    let mut client = cluster.connect();
    client.patience(pause() + 2 * PATIENCE);
    socket2::SockRef::from(client.stream()).set_recv_buffer_size(64 * 1024).unwrap();
    client
}

fn listen(cluster: &Cluster, url: &str) {
    let mut client = patient(cluster);
    let answer = client.ask("GET", url, "Accept: text/event-stream\r\n", b"");
    let expected: String = (0..EVENTS).map(|n| format!("data: {n}\n\n")).collect();
    assert_eq!(answer.text(), expected, "{url}");
}

fn watch(cluster: &Cluster, url: &str, fields: &str) {
    let mut client = patient(cluster);
    client.request("GET", url, fields, b"").unwrap();
    let (head, _) = client.final_head().unwrap();
    let (mut digest, mut paused) = (noise::Digester::default(), false);
    let read = client.body("GET", &head, |piece| {
        digest.take(piece);
        if digest.length > length() / 2 && !std::mem::replace(&mut paused, true) {
            sleep(pause());
        }
    });
    read.unwrap_or_else(|e| panic!("{url} {fields:?} after {} bytes: {e}", digest.length));
    let mut expected = noise::Digester::default();
    expected.take(&noise::Noise::bytes(7, length()));
    assert!(paused && digest.hex() == expected.hex(), "{url} {fields:?}");
}

#[test]
fn quiet_streams_and_clients_that_pause_live() {
    let (origin, cluster) = (Origin::start(), start());
    for (path, fields) in [("/none", "no-store"), ("/miss/*", "max-age=3600"), ("/hit", "max-age=3600")] {
        let fields = format!("Cache-Control: {fields}\r\n");
        origin.on(path, move |x| {
            x.begin_sized(&fields, length())?;
            x.noise(7, length())
        });
    }
    for (path, fields) in [("/events", "no-store"), ("/log", "max-age=60")] {
        let fields = format!("Content-Type: text/event-stream\r\nCache-Control: {fields}\r\n");
        origin.on(path, move |x| {
            x.begin_chunked(&fields)?;
            for n in 0..EVENTS {
                sleep(pause());
                x.chunk(format!("data: {n}\n\n"))?;
            }
            x.end_chunked("")
        });
    }
    assert_eq!(cluster.get(&origin.url("/hit")).body.len() as u64, length());
    let (origin, cluster) = (&origin, &cluster);
    scope(|all| {
        for edge in ["", "Connection: close\r\n"] {
            for path in ["/none", "/hit", if edge.is_empty() { "/miss/1" } else { "/miss/2" }] {
                all.spawn(move || watch(cluster, &origin.url(path), edge));
            }
        }
        all.spawn(|| listen(cluster, &origin.url("/events")));
        all.spawn(|| listen(cluster, &origin.url("/log")));
    });
    assert_eq!((origin.count("/hit"), origin.count("/events")), (1, 1), "the hit was one, nothing was asked twice");
}
