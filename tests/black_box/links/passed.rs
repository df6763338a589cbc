//! An owner that is well, whose connections are lost one after the other: another node answers in its place.

use super::{is_up, meddler, until_up};
use crate::support::standalone::Standalone;
use crate::support::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

/// Leads to a server, and cuts so many of the next connections when they bring what has this in it.
fn cutter(server: SocketAddr, word: &'static str, cuts: &Arc<AtomicU32>) -> SocketAddr {
    let cuts = cuts.clone();
    meddler(server, move |mut client, mut server| {
        let (there, back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || super::copy(there, back));
        let mut buf = [0; 1 << 16];
        while let Ok(n @ 1..) = client.read(&mut buf) {
            let is_cut = buf[..n].windows(word.len()).any(|part| part == word.as_bytes())
                && cuts.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if is_cut || server.write_all(&buf[..n]).is_err() {
                break;
            }
        }
        _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    })
}

/// A page says which of the origin's answers it is.
fn number(answer: &client::Response) -> usize {
    answer.get("x-number").unwrap().parse().unwrap()
}

#[test]
fn who_has_answered_for_an_owner_whose_connections_were_lost_has_answered_nothing_newer_than_what_comes_after_it() {
    let (setup, cuts, origin) = (Setup::default().unhurried().nodes(0), Arc::<AtomicU32>::default(), Origin::start());
    let count = AtomicU32::new(0);
    origin.on("/*", move |x| {
        let number = count.fetch_add(1, SeqCst);
        let fields = format!("Cache-Control: max-age=600\r\nX-Number: {number}\r\nETag: \"{number}\"\r\n");
        let size = if x.target().contains("long") { 1 << 20 } else { 10 };
        x.reply(200, &fields, vec![b'x'; size])
    });
    let (r1, r2) = (Standalone::start("r1", &setup), Standalone::start("r2", &setup));
    let address = cutter(r1.address, "/page", &cuts).to_string();
    let front = setup.clone().node_at("r1", &address).node_at("r2", &r2.address.to_string());
    let (front, other) = (front.clone().start(), front.start());
    for (cluster, id) in [(&front, "r1"), (&front, "r2"), (&other, "r1"), (&other, "r2")] {
        until_up(cluster, id);
    }
    let owner = |url: &str| front.manage("GET", &format!("/v1/ring/owner?url={url}"), "").json()["owner"] == "r1";
    let asks = [("GET", ""), ("HEAD", ""), ("GET", "Range: bytes=0-3\r\n"), ("GET", "Cache-Control: max-age=500\r\n")];
    for (size, (method, fields)) in ["short", "long"].into_iter().flat_map(|size| asks.map(|ask| (size, ask))) {
        let url =
            (0..).map(|n| origin.url(&format!("/page/{size}/{method}/{}/{n}", fields.len()))).find(|url| owner(url));
        let url = url.unwrap();
        let (mut newest, mut stood_in) = (0, 0);
        for round in 0..3 {
            // Both fronts, and their hot copies, have what the owner has.
            for cluster in [&front, &other, &front, &other] {
                let answer = cluster.get(&url);
                assert_eq!((answer.status, answer.node().as_str()), (200, "r1"), "{url}: {round}");
                assert!(
                    number(&answer) >= newest,
                    "{method} {fields} {url} {round}: {newest}, then {}",
                    number(&answer)
                );
                newest = number(&answer);
            }
            cuts.store(2, SeqCst);
            // The front's own copy would answer this.
            let bare = if fields.is_empty() { "Cache-Control: max-age=550\r\n" } else { fields };
            let answer = front.ask(method, &url, bare, b"");
            assert!([200, 206].contains(&answer.status), "{}", answer.status);
            // Unless one of them has hit a check of the front's copy.
            stood_in += usize::from(answer.node() == "r2");
            cuts.store(0, SeqCst);
            assert!(number(&answer) >= newest, "{method} {fields} {url} {round}: {newest}, then {}", number(&answer));
            newest = number(&answer);
        }
        assert!(stood_in > 0, "{method} {fields} {url}: another has answered");
    }
    assert!(is_up(&front, "r1"));
}

#[test]
fn an_error_in_an_owners_place_and_a_question_for_what_is_stored_cost_it_nothing_that_it_has() {
    let (setup, cuts, origin) = (Setup::default().unhurried().nodes(0), Arc::<AtomicU32>::default(), Origin::start());
    let fails = Arc::<AtomicU32>::default();
    let failing = fails.clone();
    origin.on("/*", move |x| match failing.load(SeqCst) {
        0 => x.reply(200, "Cache-Control: max-age=600\r\n", "page"),
        _ => x.reply(503, "", "later"),
    });
    let (r1, r2) = (Standalone::start("r1", &setup), Standalone::start("r2", &setup));
    let address = cutter(r1.address, "/page", &cuts).to_string();
    let front = setup.set("hot", "memory", "0").node_at("r1", &address).node_at("r2", &r2.address.to_string()).start();
    until_up(&front, "r1");
    until_up(&front, "r2");
    let owner = |url: &str| front.manage("GET", &format!("/v1/ring/owner?url={url}"), "").json()["owner"] == "r1";
    for (fields, status) in [("", 503), ("Cache-Control: only-if-cached\r\n", 504)] {
        let url = (0..).map(|n| origin.url(&format!("/page/{n}/{status}"))).find(|url| owner(url)).unwrap();
        fails.store(0, SeqCst);
        assert_eq!(front.get(&url).node(), "r1");
        fails.store(1, SeqCst);
        cuts.store(2, SeqCst);
        let answer = front.ask("GET", &url, fields, b"");
        assert_eq!((answer.status, answer.node().as_str(), cuts.load(SeqCst)), (status, "r2", 0));
        let answer = front.get(&url);
        assert!(answer.is_hit() && answer.node() == "r1", "{}: {}", answer.status, answer.cache_status());
    }
}
