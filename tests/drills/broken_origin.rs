//! One client in a loop against an origin that breaks off, and nobody else notices.

use crate::support::load::Load;
use crate::support::{Cluster, Connection, Exchange, Origin, Setup, drill};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Each way to break off, before the head, within it, between head and body and in the body.
const WAYS: &[fn(&mut Exchange) -> io::Result<()>] = &[
    |_| Ok(()),
    |x| x.reset(),
    |x| x.raw("HTTP/1.1 200 OK\r\nContent-"),
    |x| x.raw("nonsense\r\n\r\n"),
    |x| x.raw("\x15\x03\x03\0\x02\x02\x46"),
    |x| x.raw("HTTP/1.1 100 Continue\r\n\r\n"),
    |x| x.raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    |x| x.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    |x| x.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nX\r\n"),
    |x| x.raw("HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"),
    |x| x.raw("HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n").and_then(|()| x.reset()),
    |x| x.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000\r\n\r\nhalf"),
    |x| x.raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n-1\r\n"),
    |x| x.raw("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
];

#[test]
fn an_origin_that_breaks_off_in_every_way_harms_nobody_else() {
    let cluster = Setup::default().unhurried().start();
    let (good, bad) = (Origin::start(), Origin::start());
    good.on("/held/*", |x| x.reply(200, "Cache-Control: max-age=3600\r\n", "held"));
    good.on("/new/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "new"));
    let next = AtomicUsize::new(0);
    bad.on("/*", move |x| {
        x.whole_body()?;
        x.hang_up();
        WAYS[next.fetch_add(1, Ordering::Relaxed) % WAYS.len()](x)
    });
    let held: Vec<String> = (0..200).map(|i| good.url(&format!("/held/{i}"))).collect();
    held.iter().for_each(|url| assert_eq!(cluster.get(url).status, 200));
    let new = (0..50).map(|i| good.url(&format!("/new/{i}")));
    let urls = Arc::new(held.iter().cloned().chain(new).collect::<Vec<_>>());
    let over = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        let breaking = scope.spawn(|| break_off(&cluster, &bad, &over));
        let load = Load { proxy: cluster.proxy, connections: 4, urls, check: |_, _| Ok(()) }.start();
        load.until(drill(1_000, 10_000), Instant::now());
        let report = load.finish();
        over.store(true, Ordering::Relaxed);
        assert!(breaking.join().unwrap() >= WAYS.len(), "each way was met");
        report
    });
    report.assert_none_failed(drill(1_000, 10_000));
    unharmed(&cluster, &good, &held);
}

/// How often it was met.
fn break_off(cluster: &Cluster, bad: &Origin, over: &AtomicBool) -> usize {
    let mut times = 0;
    while times < 2 * WAYS.len() || !over.load(Ordering::Relaxed) {
        let method = ["GET", "GET", "GET", "HEAD", "POST"][times % 5];
        let mut connection = cluster.connect();
        let answer = connection.request(method, &bad.url(&format!("/{times}")), "", b"");
        answer.expect("the front is there");
        let status = met(&mut connection, method);
        assert!(matches!(status, 200 | 502), "{method}: {status}");
        times += 1;
    }
    times
}

fn met(connection: &mut Connection, method: &str) -> u16 {
    let (head, _) = connection.final_head().expect("a head comes, whatever the origin does");
    let _ = connection.body(method, &head, |_| {});
    head.word(1).parse().unwrap()
}

fn unharmed(cluster: &Cluster, good: &Origin, held: &[String]) {
    assert_eq!(cluster.metric("ringhold_node_up"), 3);
    assert_eq!(cluster.metric("ringhold_front_failovers_total"), 0);
    let said = cluster.said();
    assert!(!said.contains("next owner") && !said.contains("reachable"), "no node was suspected:\n{said}");
    assert!(held.iter().all(|url| cluster.get(url).is_hit()));
    assert_eq!(good.count("/held/*"), held.len(), "nothing that is held was validated");
}
