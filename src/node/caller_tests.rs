//! A node over real sockets, whose peers are taken for ones on another machine.

use super::super::{run, service};
use super::*;
use crate::config::{Address, ClusterConfig, Config, Secret};
use crate::net::drain::Shutdown;
use crate::net::http1::{self, brief};
use crate::net::listen::Listener;
use crate::net::prove;
use crate::net::serve::{Connections, ServerLimits, Sweeper};
use crate::wire::proof::{self, Hello, Hex, Party, Prove, Side, Tag};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

const SECRET: &str = "0123456789abcdef";

fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { timeout(Duration::from_secs(20), test).await.expect("the test came to its end") };
    LocalSet::new().block_on(&runtime, limited);
}

fn secrets(secret: &str, previous: &str) -> ClusterConfig {
    let some = |text: &str| Some(Secret(text.to_owned())).filter(|_| !text.is_empty());
    ClusterConfig { secret: some(secret), previous_secret: some(previous) }
}

/// Where a node listens. It lives as long as the test.
fn listen(cluster: ClusterConfig, same_machine: bool) -> String {
    let mut config = Config { cluster, ..Config::default() };
    config.timeouts.header = Duration::from_millis(200);
    let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).unwrap();
    let address = listener.address().to_string();
    let (trigger, shutdown) = Shutdown::channel();
    let connections = Connections::new(Sweeper::start(ServerLimits::of_link(&config), shutdown.clone()));
    let node = Rc::new(run::new_node("n1".into(), config, shutdown));
    spawn_local(async move {
        let _trigger = trigger;
        loop {
            let (stream, peer) = listener.accept().await;
            let has_secret = node.config.cluster.secret.is_some();
            let (node, caller) = (node.clone(), Rc::new(Caller::new(Peer { same_machine, ..peer }, has_secret)));
            let service = service::NodeService::new(node, caller.clone());
            connections.serve_once(async move { caller.meet(stream).await }, service);
        }
    });
    address
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn post(target: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

async fn ask(stream: &mut impl http1::ByteStream, request: &str) -> (u16, String, bool) {
    let answer = brief::ask(stream, request.as_bytes()).await.unwrap();
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap(), answer.keep)
}

async fn hello(stream: &mut TcpStream) -> Hello {
    let (status, body, keep) = ask(stream, &get("/hello")).await;
    assert!((status, keep) == (200, true), "{status}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn proof(hello: &Hello) -> String {
    let (own, node) = (Hex([7; 16]), Party { id: &hello.id, boot: hello.boot, tls: None });
    let prove = Prove { nonce: own, mac: proof::prove(SECRET, Side::Front, node, &hello.nonce, &own) };
    post("/prove", &serde_json::to_string(&prove).unwrap())
}

/// Everything that comes until the connection ends.
async fn last_words(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[test]
fn a_stranger_is_turned_away_with_one_sentence_and_the_connection_ends() {
    on_one_thread(async {
        let address = listen(secrets(SECRET, ""), false);
        for request in [
            get("http://a.example/"),
            get("http://a.example/hello"),
            get("/healthz"),
            get("/metrics"),
            get("/cache?url=http://a.example/"),
            get("/prove"),
            get("//hello"),
            post("/hello", ""),
            post("/invalidate", "[]"),
            post("/revalidate", ""),
            post("http://a.example/prove", "{}"),
            "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n".into(),
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            "GET http://a.example/ HTTP/1.1\r\nHost: x\r\nRinghold-Client: local\r\n\r\n".into(),
            "GET http://a.example/ HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n".into(),
        ] {
            let answer = last_words(&address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{request}{answer}");
            assert!(answer.contains("\r\nproxy-status: n1; error=http_request_denied"), "{request}{answer}");
            assert!(answer.contains("\r\nconnection: close\r\n"), "{request}{answer}");
            assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.lines().count(), 1, "{request}{answer}");
        }
    });
}

#[test]
fn a_front_that_has_proved_itself_is_served_on_that_connection_alone() {
    on_one_thread(async {
        let cluster = secrets(SECRET, "");
        let address = listen(cluster.clone(), false);
        let mut proved = prove::connect(&address, "n1", &cluster).await.unwrap();
        for _ in 0..2 {
            let (status, body, keep) = ask(&mut proved, &get("/healthz")).await;
            assert!(status == 200 && keep && body.contains("\"boot\""), "{status}: {body}");
        }
        assert_eq!(ask(&mut proved, &post("/revalidate", "")).await.0, 200);
        let mut another = TcpStream::connect(&address).await.unwrap();
        assert_eq!(ask(&mut another, &get("/healthz")).await.0, 403);
        assert_eq!(ask(&mut proved, &get("/healthz")).await.0, 200, "others change nothing");
    });
}

#[test]
fn a_front_elsewhere_cannot_reach_the_nodes_machine_for_its_local_clients() {
    on_one_thread(async {
        let cluster = secrets(SECRET, "");
        let address = listen(cluster.clone(), false);
        let mut proved = prove::connect(&address, "n1", &cluster).await.unwrap();
        for said in ["", "Ringhold-Client: local\r\n", "Ringhold-Client: remote\r\n"] {
            let request = format!("GET http://{address}/healthz HTTP/1.1\r\nHost: {address}\r\n{said}\r\n");
            let (status, body, _) = ask(&mut proved, &request).await;
            assert_eq!(status, 403, "{said}{body}");
        }
    });
}

#[test]
fn a_peer_on_this_machine_needs_no_proof_where_there_is_no_secret() {
    on_one_thread(async {
        let plainly = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
        for (secret, status) in [("", 200), (SECRET, 403)] {
            let cluster = secrets(secret, "");
            let address = listen(cluster.clone(), true);
            let mut plain = TcpStream::connect(&address).await.unwrap();
            assert_eq!(ask(&mut plain, plainly).await.0, status, "{secret}");
            let mut proved = prove::connect(&address, "n1", &cluster).await.unwrap();
            assert_eq!(ask(&mut proved, plainly).await.0, 200, "{secret}");
        }
    });
}

#[test]
fn what_came_through_a_proxy_controls_nothing_and_proves_nothing() {
    on_one_thread(async {
        let cluster = secrets(SECRET, "");
        let address = listen(cluster.clone(), true);
        let through = |request: String| request.replace("Host: x", "Host: x\r\nVia: 1.1 somebody");
        for request in [get("/healthz"), get("/hello"), post("/revalidate", ""), post("/prove", "{}")] {
            let mut proved = prove::connect(&address, "n1", &cluster).await.unwrap();
            let (status, body, keep) = ask(&mut proved, &through(request)).await;
            assert!((status, keep) == (403, false) && body.contains("through a proxy"), "{status}: {body}");
        }
    });
}

#[test]
fn either_side_may_have_the_new_secret_first() {
    on_one_thread(async {
        // What the node has, what the front has, and whether they trust each other.
        let rows = [
            (("a", ""), ("a", ""), true),
            (("a", ""), ("b", ""), false),
            (("a", ""), ("a0", ""), false),
            (("", ""), ("a", ""), false),
            (("b", "a"), ("a", ""), true),
            (("b", "a"), ("b", ""), true),
            (("b", "a"), ("b", "a"), true),
            (("b", "a"), ("c", ""), false),
            (("a", ""), ("b", "a"), true),
            (("b", ""), ("b", "a"), true),
            (("c", "b"), ("b", "a"), true),
            (("c", "b"), ("a", "0"), false),
        ];
        for (node, front, trusted) in rows {
            let address = listen(secrets(node.0, node.1), false);
            let connected = prove::connect(&address, "n1", &secrets(front.0, front.1)).await;
            assert_eq!(connected.is_ok(), trusted, "node {node:?}, front {front:?}: {connected:?}");
            if let Ok(mut stream) = connected {
                assert_eq!(ask(&mut stream, &get("/healthz")).await.0, 200);
            }
        }
    });
}

#[test]
fn a_proof_is_good_for_one_challenge_on_one_connection() {
    on_one_thread(async {
        let address = listen(secrets(SECRET, ""), false);
        let mut misled = TcpStream::connect(&address).await.unwrap();
        let of_another = Hello { id: "n2".into(), ..hello(&mut misled).await };
        assert_eq!(ask(&mut misled, &proof(&of_another)).await, refused(), "it was for another node");
        let mut misled = TcpStream::connect(&address).await.unwrap();
        let said = hello(&mut misled).await;
        let of_before = Hello { boot: said.boot ^ 1, ..said };
        assert_eq!(ask(&mut misled, &proof(&of_before)).await, refused(), "it was for the process before");
        let mut first = TcpStream::connect(&address).await.unwrap();
        let proof_of_first = proof(&hello(&mut first).await);
        let mut second = TcpStream::connect(&address).await.unwrap();
        hello(&mut second).await;
        assert_eq!(ask(&mut second, &proof_of_first).await, refused(), "replayed on another connection");
        assert_eq!(ask(&mut first, &proof_of_first).await.0, 200);
        assert_eq!(ask(&mut first, &proof_of_first).await, refused(), "replayed on the same one");

        let mut early = TcpStream::connect(&address).await.unwrap();
        let old = hello(&mut early).await;
        assert_ne!(hello(&mut early).await, old);
        assert_eq!(ask(&mut early, &proof(&old)).await, refused(), "the challenge is another one by now");
        let mut unasked = TcpStream::connect(&address).await.unwrap();
        assert_eq!(
            ask(&mut unasked, &proof(&Hello { nonce: Hex([0; 16]), ..old })).await,
            refused(),
            "nothing was asked"
        );
    });
}

fn refused() -> (u16, String, bool) {
    let said = "ringhold: this proves nothing: set the same `[cluster] secret` on the front and on this node\n";
    (403, said.into(), false)
}

#[test]
fn what_is_no_proof_is_refused_and_waited_for_no_longer_than_a_head() {
    on_one_thread(async {
        let address = listen(secrets(SECRET, ""), false);
        let zeros = serde_json::to_string(&Prove { nonce: Hex([0; 16]), mac: Tag::parse(&"0".repeat(64)).unwrap() });
        let cut = "POST /prove HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{".to_owned();
        let endless =
            "POST /prove HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n".to_owned() + &" ".repeat(4096);
        for request in
            [post("/prove", &zeros.unwrap()), post("/prove", ""), post("/prove", "\u{0}\u{ff}"), cut, endless]
        {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            hello(&mut stream).await;
            assert_eq!(ask(&mut stream, &request).await, refused(), "{request:.80}");
            let mut rest = Vec::new();
            // The end, or a reset where part of the request was never read.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty());
        }
    });
}

/// RFC 9111 section 4.2.3: the clock of [`crate::clock::now`] is an hour ahead in unit tests, as if it had been when the
/// node started; the origin's is right.
#[test]
fn what_an_origin_has_dated_is_fresh_though_the_clock_was_ahead_when_the_node_started() {
    on_one_thread(async {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", origin.local_addr().unwrap());
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        spawn_local(async move {
            while let Ok((mut stream, _)) = origin.accept().await {
                count.set(count.get() + 1);
                let date = crate::wire::date::format(crate::clock::wall());
                let head = format!("HTTP/1.1 200 OK\r\nDate: {}\r\n", String::from_utf8_lossy(&date));
                let rest = "Cache-Control: max-age=600\r\nConnection: close\r\nContent-Length: 4\r\n\r\npage";
                _ = stream.read(&mut [0; 4096]).await;
                _ = stream.write_all((head + rest).as_bytes()).await;
            }
        });
        let mut client = TcpStream::connect(listen(secrets("", ""), true)).await.unwrap();
        for _ in 0..3 {
            assert_eq!(ask(&mut client, &get(&url)).await, (200, "page".into(), true));
        }
        assert_eq!(asked.get(), 1, "two hits");
    });
}
