//! Rows of the front, which dies.

use super::setup;
use super::table::{Got, Seen, Walk, body, path};
use crate::support::standalone::Standalone;
use crate::support::{Exchange, Origin, PATIENCE, until_true};
use rustix::process::Signal;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn the_rows_of_the_front() {
    let walk = Walk::of("front");
    let node = Standalone::start("r1", &setup());
    let front = setup().nodes(0).node_at("r1", &node.address.to_string()).set("timeouts", "first_byte", "60s");
    let acts: [(&str, fn(&mut Exchange) -> io::Result<()>); 2] = [
        ("dies before the answer", |x| x.until_closed()),
        ("dies within the answer", |x| {
            x.begin_sized("Cache-Control: max-age=60\r\n", 10_000_000)?;
            x.raw(vec![b'x'; 50_000])?;
            x.until_closed()
        }),
    ];
    for (when, act) in acts {
        walk.each(when, |_, method| {
            let (cluster, origin, path, let_go) =
                (front.start(), Origin::start(), path(), Arc::new(AtomicUsize::new(0)));
            let gone = let_go.clone();
            origin.on(&path, move |x| {
                let ended = x.whole_body().and_then(|_| act(x));
                gone.fetch_add(1, Ordering::Relaxed);
                ended
            });
            until_true("the node is up", PATIENCE, || cluster.metric("ringhold_node_up") == 1);
            let mut client = cluster.connect();
            client.request(method, &origin.url(&path), "", body(method)).unwrap();
            origin.until_asked(&path, 1);
            let got = match when {
                "dies before the answer" => {
                    cluster.signal(Signal::KILL);
                    Got::next(&mut client, method)
                }
                _ => {
                    let (head, _) = client.final_head().unwrap();
                    cluster.signal(Signal::KILL);
                    Got::of(&head, client.body(method, &head, |_| {}).is_ok())
                }
            };
            until_true("its node lets the fetch go", PATIENCE, || let_go.load(Ordering::Relaxed) == 1);
            Seen::dead(&got, origin.count(&path))
        });
    }
    walk.done();
}
