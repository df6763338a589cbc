//! Many clients, one cold URL: one request to the origin, and each gets the bytes as they arrive.

use crate::support::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const KEEP: &str = "Cache-Control: max-age=600\r\n";
const MIB: usize = 1024 * 1024;

/// Three nodes of which none is taken for silent, and no fetch for hung, because the machine is busy.
fn start() -> Cluster {
    Setup::default().unhurried().set("timeouts", "collapse", "30s").start()
}

/// Asks on a new connection and reads the head of the answer.
fn begin(cluster: &Cluster, url: &str, fields: &str) -> (Connection, Head) {
    let mut client = cluster.connect();
    client.request("GET", url, fields, b"").unwrap();
    let head = client.head().unwrap();
    (client, head)
}

/// An origin page that sends `head`, waits at the gate, and sends `tail`.
fn in_two_halves(origin: &Origin, path: &str, head: &'static str, tail: &'static str) -> Gate {
    let gate = Gate::default();
    let held = gate.clone();
    origin.on(path, move |x| {
        x.begin_sized(KEEP, (head.len() + tail.len()) as u64)?;
        x.raw(head)?;
        held.wait()?;
        x.raw(tail)
    });
    gate
}

/// When a client of a crowd had its last body byte, and how many there were.
#[derive(Debug)]
struct Seen {
    last: Instant,
    status: u16,
    bytes: usize,
}

/// So many clients that ask for one URL at once, connected before; with the moment they were let loose. `begun` counts those
/// who have the first of a body.
fn crowd(cluster: &Cluster, url: &str, clients: usize, begun: &Arc<AtomicUsize>) -> (Instant, Vec<Seen>) {
    let barrier = Arc::new(std::sync::Barrier::new(clients + 1));
    let join = |mut client: Connection| {
        let (barrier, url, begun) = (barrier.clone(), url.to_owned(), begun.clone());
        let small = thread::Builder::new().stack_size(256 * 1024);
        small.spawn(move || watch(&mut client, &url, &barrier, &begun)).unwrap()
    };
    let threads: Vec<_> = (0..clients).map(|_| join(cluster.connect())).collect();
    barrier.wait();
    let begun = Instant::now();
    (begun, threads.into_iter().map(|t| t.join().expect("every client is answered")).collect())
}

/// Fails when some client of a crowd did not get so many bytes.
fn assert_all_got(seen: &[Seen], bytes: usize) {
    let mut ends: BTreeMap<(u16, usize), usize> = BTreeMap::new();
    seen.iter().for_each(|s| *ends.entry((s.status, s.bytes)).or_default() += 1);
    assert_eq!(ends, BTreeMap::from([((200, bytes), seen.len())]), "how many had which status and length");
}

fn watch(client: &mut Connection, url: &str, barrier: &std::sync::Barrier, begun: &AtomicUsize) -> Seen {
    client.patience(6 * PATIENCE);
    barrier.wait();
    client.request("GET", url, "", b"").unwrap();
    let (head, _) = client.final_head().unwrap();
    let mut bytes = 0;
    let whole = client.body("GET", &head, |piece| {
        begun.fetch_add(usize::from(bytes == 0 && !piece.is_empty()), Ordering::SeqCst);
        bytes += piece.len();
    });
    whole.unwrap_or_else(|e| panic!("after {bytes} bytes: {e}"));
    Seen { last: Instant::now(), status: client::status_of(&head), bytes }
}

#[test]
fn a_thousand_clients_of_one_cold_url_cost_one_request_and_read_as_it_comes() {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), start());
    let begun: Arc<AtomicUsize> = Arc::default();
    let reading = begun.clone();
    origin.on("/cold", move |x| {
        let body = noise::Noise::bytes(7, MIB as u64);
        let (most, rest) = body.split_at(MIB - 1024);
        x.begin_sized(KEEP, MIB as u64)?;
        x.drip(most, 100, Duration::from_secs(2))?;
        until_true("all read before the end is sent", 3 * PATIENCE, || reading.load(Ordering::SeqCst) == 1000);
        x.raw(rest)
    });
    let (_, seen) = crowd(&cluster, &origin.url("/cold"), 1000, &begun);
    assert_all_got(&seen, MIB);
    assert_eq!(origin.count("/cold"), 1);
}

#[test]
fn a_thousand_clients_of_what_may_not_be_stored_do_not_queue() {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), start());
    origin.on("/never", |x| {
        let body = vec![b'x'; 64 * 1024];
        x.begin_sized("Cache-Control: no-store\r\n", body.len() as u64)?;
        x.drip(&body, 8, Duration::from_secs(1))
    });
    let (begun, seen) = crowd(&cluster, &origin.url("/never"), 1000, &Arc::default());
    assert_all_got(&seen, 64 * 1024);
    assert_eq!(origin.count("/never"), 1000);
    // One after the other they would take a thousand seconds.
    let took = seen.iter().map(|s| s.last - begun).max().unwrap();
    assert!(took < PATIENCE, "the last of them was done after {took:?}");
}

#[test]
fn a_late_reader_gets_the_answer_from_its_first_byte_while_it_is_still_coming() {
    let (origin, cluster) = (Origin::start(), start());
    let gate = in_two_halves(&origin, "/two", "first ", "second");
    let url = origin.url("/two");
    let mut readers: Vec<_> = (0..3).map(|_| begin(&cluster, &url, "").0).collect();
    for reader in &mut readers {
        assert_eq!(reader.read_exact(6).unwrap(), b"first ");
    }
    gate.open();
    for reader in &mut readers {
        assert_eq!(reader.read_exact(6).unwrap(), b"second");
    }
    assert_eq!(origin.count("/two"), 1);
}

#[test]
fn those_who_attach_are_said_to_be_collapsed() {
    let (origin, cluster) = (Origin::start(), start());
    let gate = in_two_halves(&origin, "/two", "first ", "second");
    let (_leader, first) = begin(&cluster, &origin.url("/two"), "");
    let (_follower, second) = begin(&cluster, &origin.url("/two"), "");
    assert!(!first.get("cache-status").unwrap().contains("collapsed"), "{first:?}");
    assert!(second.get("cache-status").unwrap().contains("collapsed"), "{second:?}");
    gate.open();
}

#[test]
fn a_leader_that_disconnects_takes_nobody_with_it() {
    let (origin, cluster) = (Origin::start(), start());
    let gate = in_two_halves(&origin, "/two", "first ", "second");
    let url = origin.url("/two");
    let (mut leader, _) = begin(&cluster, &url, "");
    assert_eq!(leader.read_exact(6).unwrap(), b"first ");
    let (mut follower, _) = begin(&cluster, &url, "");
    assert_eq!(follower.read_exact(6).unwrap(), b"first ");
    drop(leader);
    gate.open();
    assert_eq!(follower.read_exact(6).unwrap(), b"second");
    until_true("the whole is stored", PATIENCE, || cluster.get(&url).is_hit());
    assert_eq!(cluster.get(&url).text(), "first second");
    assert_eq!(origin.count("/two"), 1);
}

#[test]
fn a_leader_that_disconnects_before_the_head_comes_leaves_a_heir() {
    let (origin, cluster) = (Origin::start(), start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/slow", move |x| {
        held.wait()?;
        x.reply(200, KEEP, "at last")
    });
    let url = origin.url("/slow");
    let mut leader = cluster.connect();
    leader.request("GET", &url, "", b"").unwrap();
    origin.until_asked("/slow", 1);
    let mut follower = cluster.connect();
    follower.request("GET", &url, "", b"").unwrap();
    drop(leader);
    gate.open();
    assert_eq!(follower.response("GET").unwrap().text(), "at last");
}

/// Both readers of an answer that breaks off after `sent`, and what a third gets afterwards.
fn breaks_off(
    name: &str,
    begins: fn(&mut Exchange) -> std::io::Result<()>,
    end: fn(&mut Exchange) -> std::io::Result<()>,
) {
    let (origin, cluster) = (Origin::start(), start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/dies", move |x| {
        begins(x)?;
        held.wait()?;
        end(x)
    });
    let url = origin.url("/dies");
    let mut readers = [0, 1].map(|_| begin(&cluster, &url, ""));
    gate.open();
    for (reader, head) in &mut readers {
        let mut body = Vec::new();
        let end = reader.body("GET", head, |piece| body.extend_from_slice(piece));
        assert!(end.is_err(), "{name}: a truncated answer looked whole: {body:?}");
    }
    origin.on("/dies", |x| x.reply(200, KEEP, "whole"));
    let after = cluster.get(&url);
    assert_eq!((after.text().as_str(), after.is_hit()), ("whole", false), "{name}");
}

#[test]
fn an_origin_that_dies_midway_is_a_broken_transfer_and_nothing_is_stored() {
    breaks_off("sized", |x| x.begin_sized(KEEP, 100).and_then(|()| x.raw("half")), |x| x.reset());
    breaks_off("chunked", |x| x.begin_chunked(KEEP).and_then(|()| x.chunk("half")), |x| x.reset());
    let hang_up = |x: &mut Exchange| {
        x.hang_up();
        Ok(())
    };
    breaks_off("sized, closed", |x| x.begin_sized(KEEP, 100).and_then(|()| x.raw("half")), hang_up);
    breaks_off("chunked, closed", |x| x.begin_chunked(KEEP).and_then(|()| x.chunk("half")), hang_up);
}

#[test]
fn what_is_known_to_have_broken_off_is_not_said_to_be_stored() {
    let (origin, cluster) = (Origin::start(), start());
    origin.on("/short", |x| {
        x.begin_sized(KEEP, 10)?;
        x.hang_up();
        x.raw("half")
    });
    let (_, head) = begin(&cluster, &origin.url("/short"), "");
    let told = head.get("proxy-status").expect("it has broken off before the head went on");
    assert!(told.contains("error=http_response_incomplete"), "{told}");
    let said = head.get("cache-status").unwrap();
    assert!(said.contains("fwd=uri-miss") && !said.contains("stored"), "RFC 9211 section 2.5: {said}");
}

#[test]
fn an_origin_that_dies_before_its_head_is_502_for_all() {
    let (origin, cluster) = (Origin::start(), start());
    origin.on("/dies", |x| x.reset());
    let answer = cluster.get(&origin.url("/dies"));
    assert_eq!(answer.status, 502);
    assert!(answer.head.has("proxy-status"));
}

#[test]
fn requests_that_may_not_share_do_not_lead() {
    let cases = [
        ("HEAD", ""),
        ("GET", "Range: bytes=0-1\r\n"),
        ("GET", "If-None-Match: \"a\"\r\n"),
        ("GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        ("GET", "Authorization: Basic eDp5\r\n"),
        ("GET", "Cache-Control: no-store\r\n"),
    ];
    let (origin, cluster) = (Origin::start(), start());
    for (i, (method, fields)) in cases.into_iter().enumerate() {
        let path = format!("/lead/{i}");
        let (gate, asked) = (Gate::default(), AtomicUsize::new(0));
        let held = gate.clone();
        origin.on(&path, move |x| {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                held.wait()?;
            }
            x.reply(200, KEEP, "body")
        });
        let mut first = cluster.connect();
        first.request(method, &origin.url(&path), fields, b"").unwrap();
        origin.until_asked(&path, 1);
        let plain = cluster.get(&origin.url(&path));
        assert_eq!(plain.text(), "body", "{method} {fields}: a plain GET waited for it");
        gate.open();
        assert_eq!(first.response(method).unwrap().status, 200, "{method} {fields}");
    }
}

#[test]
fn each_variant_elects_one_leader_of_its_own() {
    let (origin, cluster) = (Origin::start(), start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/vary", move |x| {
        held.wait()?;
        let language = x.head.get("accept-language").unwrap_or_default();
        x.reply(200, &format!("{KEEP}Vary: Accept-Language\r\n"), language)
    });
    let languages = ["en", "fr", "de"];
    let mut clients: Vec<_> = (0..60).map(|i| (languages[i % 3], cluster.connect())).collect();
    for (language, client) in &mut clients {
        client.request("GET", &origin.url("/vary"), &format!("Accept-Language: {language}\r\n"), b"").unwrap();
    }
    origin.until_asked("/vary", 1);
    gate.open();
    for (language, client) in &mut clients {
        assert_eq!(client.response("GET").unwrap().text(), *language);
    }
    assert_eq!(origin.count("/vary"), 3);
}

#[test]
fn an_uncacheable_answer_releases_those_who_wait_and_is_remembered() {
    let (origin, cluster) = (Origin::start(), start());
    let (head, body) = (Gate::default(), Gate::default());
    let (held_head, held_body) = (head.clone(), body.clone());
    origin.on("/never", move |x| {
        held_head.wait()?;
        x.begin_sized("Cache-Control: no-store\r\n", 4)?;
        held_body.wait()?;
        x.raw("body")
    });
    let url = origin.url("/never");
    let mut clients: Vec<_> = (0..10).map(|_| cluster.connect()).collect();
    for client in &mut clients {
        client.request("GET", &url, "", b"").unwrap();
    }
    head.open();
    // The leader's body is still held: the others ask for themselves as soon as its head is known.
    origin.until_asked("/never", 10);
    body.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().text(), "body");
    }
    let again = Gate::default();
    let held = again.clone();
    origin.on("/never", move |x| {
        held.wait()?;
        x.reply(200, "Cache-Control: no-store\r\n", "body")
    });
    for client in &mut clients {
        client.request("GET", &url, "", b"").unwrap();
    }
    // Not even the head has come: nobody waits for anybody any more.
    origin.until_asked("/never", 20);
    again.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").unwrap().text(), "body");
    }
}

#[test]
fn a_reader_at_one_kib_a_second_harms_nobody() {
    let (origin, cluster) = (Origin::start(), start());
    let length = 16 * MIB;
    origin.on("/large", move |x| {
        x.begin_sized(KEEP, length as u64)?;
        x.noise(5, length as u64)
    });
    let url = origin.url("/large");
    let (mut slow, head) = begin(&cluster, &url, "");
    let gate = Gate::default();
    let held = gate.clone();
    let dawdling = thread::spawn(move || {
        // Its pace is the test: a KiB a second, until the other is served.
        let mut digest = noise::Digester::default();
        for _ in 0..2 {
            digest.take(&slow.read_exact(1024).unwrap());
            thread::sleep(Duration::from_secs(1));
        }
        held.wait().expect("the fast reader does not wait for the slow one");
        let rest = length as u64 - digest.length;
        let tail = Head { line: head.line, fields: vec![("Content-Length".into(), rest.to_string().into())] };
        slow.body("GET", &tail, |piece| digest.take(piece)).unwrap();
        digest.hex()
    });
    let fast = cluster.get(&url);
    assert_eq!(fast.body.len(), length);
    until_true("it is stored", PATIENCE, || cluster.get(&url).is_hit());
    gate.open();
    let digest = dawdling.join().unwrap();
    assert_eq!(digest, noise::sha256_of(5, length as u64));
    assert_eq!(origin.count("/large"), 1);
}

#[test]
fn a_fill_that_all_readers_left_stops() {
    let (origin, cluster) = (Origin::start(), start());
    let stopped = Gate::default();
    let told = stopped.clone();
    origin.on("/long", move |x| {
        x.begin_sized(KEEP, 32 * MIB as u64)?;
        let dripped = (0..).try_for_each(|_| x.drip(&[b'x'; 1024], 2, Duration::from_millis(5)));
        told.open();
        dripped
    });
    let (mut reader, _) = begin(&cluster, &origin.url("/long"), "");
    reader.read_exact(1).unwrap();
    drop(reader);
    stopped.wait().expect("the origin is told to stop");
}

#[test]
fn a_fill_that_all_readers_left_goes_on_when_it_is_nearly_done() {
    let (origin, cluster) = (Origin::start(), start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/nearly", move |x| {
        x.begin_sized(KEEP, MIB as u64)?;
        x.raw(vec![b'x'; MIB - 100])?;
        held.wait()?;
        x.raw([b'y'; 100])
    });
    let url = origin.url("/nearly");
    let (mut reader, _) = begin(&cluster, &url, "");
    reader.read_exact(MIB - 100).unwrap();
    drop(reader);
    // Nothing tells a client when the proxy has noticed that it left: a request that is answered after it does.
    assert_eq!(cluster.get(&origin.url("/else")).status, 404);
    gate.open();
    until_true("it is stored", PATIENCE, || {
        cluster.ask("GET", &url, "Cache-Control: only-if-cached\r\n", b"").is_hit()
    });
    assert_eq!(origin.count("/nearly"), 1);
}
