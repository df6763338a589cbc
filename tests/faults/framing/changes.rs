//! What a request changes is forgotten also where its client does not wait for the answer.

use crate::support::standalone::Standalone;
use crate::support::{Connection, Gate, Origin, PATIENCE, Setup, until_true};
use std::time::Duration;

/// `connect` goes to a front, or to a node itself.
fn check(connect: impl Fn() -> Connection, is_front: bool) {
    for (n, (method, version, rest)) in [
        ("POST", "1.1", "Content-Length: 5\r\n\r\nhello"),
        ("POST", "1.1", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        ("PUT", "1.1", "Content-Length: 0\r\n\r\n"),
        ("DELETE", "1.1", "\r\n"),
        ("POST", "1.0", "Content-Length: 5\r\n\r\nhello"),
    ]
    .into_iter()
    .enumerate()
    .filter(|(_, (_, version, _))| is_front || *version == "1.1")
    {
        let (origin, gate, case) = (Origin::start(), Gate::default(), format!("{method} in {version}: {rest}"));
        let (path, held) = (format!("/{n}"), gate.clone());
        origin.on("/*", move |x| {
            if x.method() == "GET" {
                return x.reply(200, "Cache-Control: max-age=600\r\n", "page");
            }
            x.whole_body()?;
            held.wait()?;
            x.reply_empty(204, "")
        });
        let url = origin.url(&path);
        assert_eq!(connect().get(&url).status, 200);
        until_true("the page is stored", PATIENCE, || connect().get(&url).is_hit());
        let fetched = origin.count(&path);
        let mut client = connect();
        client.send(format!("{method} {url} HTTP/{version}\r\nHost: x\r\n{rest}")).unwrap();
        origin.until_asked(&path, fetched + 1);
        socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        std::thread::sleep(Duration::from_millis(50));
        assert!(connect().get(&url).is_hit(), "{case}: nothing is known to have changed");
        gate.open();
        let limit = Duration::from_secs(5);
        until_true(&format!("{case}: the page is asked for again"), limit, || !connect().get(&url).is_hit());
    }
}

#[test]
fn what_a_client_has_changed_that_left_before_the_answer_is_forgotten() {
    let cluster = Setup::default().set("hot", "memory", "16MiB").start();
    check(|| cluster.connect(), true);
}

#[test]
fn what_a_client_of_a_node_itself_has_changed_that_left_is_forgotten_too() {
    let node = Standalone::start("n1", &Setup::default());
    check(|| Connection::to(node.address), false);
}
