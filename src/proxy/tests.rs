//! A worker between a client and fake nodes, all over real sockets.

mod fellow;
mod hot;
mod https;

use super::fake::{Act, FakeNode, config};
use super::hot::Hot;
use super::https::interception::Interception;
use super::thread::{self, Handle};
use super::worker::Start;
use super::{Front, acceptor};
use crate::cluster::views::report::{self, Heard, Incoming};
use crate::cluster::views::{Membership, Report, View};
use crate::config::{Address, Config};
use crate::net::drain::{Shutdown, Trigger};
use crate::net::listen::Listener;
use crate::ring::{Hash, Member, Ring};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

/// A front with one worker over fake nodes, the owner of `URL` first.
struct Stage {
    address: SocketAddr,
    nodes: Vec<FakeNode>,
    trigger: Trigger,
    workers: Rc<Vec<Handle>>,
    health: watch::Sender<u64>,
    reports: Incoming,
    views: watch::Sender<Arc<View>>,
}

const URL: &str = "http://a.example/x";
const GET: &str = "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn ring(nodes: usize) -> Ring {
    Ring::new(Hash::Xxh3, 64, (0..nodes).map(|i| Member { id: format!("n{i}"), weight: 1 }))
}

impl Stage {
    /// The first script is of the node that owns [`URL`], the second of the next, and so on.
    fn new(scripts: Vec<Vec<Vec<Act>>>) -> Stage {
        Stage::with(config(), scripts)
    }

    fn with(config: Config, scripts: Vec<Vec<Vec<Act>>>) -> Stage {
        Stage::with_hot(config, None, scripts)
    }

    fn with_hot(config: Config, hot: Option<Arc<Hot>>, scripts: Vec<Vec<Vec<Act>>>) -> Stage {
        Stage::with_https(config, hot, None, scripts)
    }

    fn with_https(
        config: Config,
        hot: Option<Arc<Hot>>,
        https: Option<Arc<Interception>>,
        scripts: Vec<Vec<Vec<Act>>>,
    ) -> Stage {
        let ring = ring(scripts.len());
        let order: Vec<usize> = ring.successors(ring.position(URL)).collect();
        let nodes: Vec<_> =
            order.iter().zip(scripts).map(|(at, s)| (*at, FakeNode::new(&format!("n{at}"), s))).collect();
        let mut by_index: Vec<_> = nodes.iter().map(|(at, fake)| (*at, fake.node.clone())).collect();
        by_index.sort_by_key(|(at, _)| *at);
        let view = View::new(1, ring, by_index.into_iter().map(|(_, node)| node).collect());
        let (views_sender, views) = watch::channel(Arc::new(view));
        let (health_sender, health) = watch::channel(0);
        let (reports, reported) = report::channel(16);
        let (trigger, shutdown) = Shutdown::channel();
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).unwrap();
        let address: SocketAddr = listener.address().to_string().parse().unwrap();
        let front = Front::new("ringhold-test", vec![address], "127.0.0.1:9".parse().unwrap());
        let front = Front { id: config.cluster.secret.as_ref().map(|_| "front-1".to_owned()), ..front };
        let start = Start {
            hot,
            https,
            config: Arc::new(config),
            front: Arc::new(front),
            membership: Membership { views, health, reports },
            log: None,
            shutdown: shutdown.clone(),
        };
        let workers = Rc::new(vec![thread::spawn(0, start).unwrap()]);
        spawn_local(acceptor::run(listener, workers.clone(), crate::net::shares::Seats::new(100), shutdown));
        Stage {
            address,
            nodes: nodes.into_iter().map(|(_, fake)| fake).collect(),
            trigger,
            workers,
            health: health_sender,
            reports: reported,
            views: views_sender,
        }
    }

    /// Sends `request` on a connection of its own and reads until the other side closes or `end` has come.
    async fn talk(&self, request: &str, end: &str) -> String {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        read_until(&mut client, end).await
    }
}

async fn read_until(client: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) && client.read_buf(&mut text).await.unwrap() > 0 {}
    String::from_utf8(text).unwrap()
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { timeout(Duration::from_secs(20), test).await.expect("the test came to its end") };
    LocalSet::new().block_on(&runtime, limited);
}

fn answer(fields: &str, body: &str) -> Act {
    Act::Write(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

#[test]
fn a_request_goes_to_its_owner_and_the_answer_back() {
    run(async {
        let fields = "Cache-Status: n1; hit\r\nConnection: close, x-hop\r\nX-Hop: 1\r\nRinghold-Reach: local\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n";
        let stage = Stage::new(vec![vec![vec![Act::Head, answer(fields, "hello")]], vec![]]);
        let request = "GET http://A.example:80/x HTTP/1.1\r\nHost: other\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\
                       Ringhold-Client: local\r\nProxy-Connection: keep-alive\r\nAccept: */*\r\n\r\n";
        let text = stage.talk(request, "hello").await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        for (field, there) in [
            ("via: 1.1 ringhold-test\r\n", true),
            ("set-cookie: a\r\n", true),
            ("set-cookie: b\r\n", true),
            ("date: ", true),
            ("x-hop", false),
            ("ringhold-reach", false),
        ] {
            assert_eq!(text.contains(field), there, "{field} in {text}");
        }
        let heard = stage.nodes[0].heard(0);
        let (fields, tag) = heard.trim_end().rsplit_once(' ').unwrap();
        assert_eq!(
            fields,
            "GET http://a.example/x HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\nvia: 1.1 ringhold-test\r\n\
             ringhold-client: local"
        );
        let is_tag = tag.len() == 8 && tag.bytes().all(|digit| digit.is_ascii_hexdigit());
        assert!(is_tag, "the client's name is told as {tag}");
    });
}

#[test]
fn a_node_that_missed_a_purge_is_asked_only_where_nobody_else_is_and_for_nothing_that_it_holds() {
    run(async {
        let script = |body| vec![vec![Act::Head, answer("", body), Act::Head, answer("", body)]];
        let stage = Stage::new(vec![script("from the owner"), script("from the next")]);
        stage.nodes[0].node.set_doubtful(true, crate::clock::tick().0);
        assert!(stage.talk(GET, "from the next").await.ends_with("from the next"));
        stage.nodes[1].node.set_up(false, crate::clock::tick().0);
        assert!(stage.talk(GET, "from the owner").await.ends_with("from the owner"));
        let heard = stage.nodes[0].heard(0);
        assert!(heard.contains("cache-control: no-cache\r\n"), "{heard}");
        assert!(!stage.nodes[1].heard(0).contains("no-cache"));
    });
}

#[test]
fn when_the_owner_refuses_or_breaks_off_the_next_answers_and_the_client_sees_nothing() {
    run(async {
        let halves = [vec![Act::Head], vec![Act::Head, Act::Write(b"HTTP/1.1 200".to_vec())]];
        // Asked once more on a new connection: there nobody listens any more.
        for owner in [vec![], vec![halves[0].clone()], vec![halves[1].clone()]] {
            let mut stage = Stage::new(vec![owner, vec![vec![Act::Head, answer("", "hello"), Act::Silence]]]);
            let text = stage.talk(GET, "hello").await;
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            assert!(!stage.nodes[0].node.is_up(), "others do not go there now");
            let refused = loop {
                match stage.reports.next().await {
                    // Of the connection that was lost.
                    Some(Heard::Report(Report::Suspect(_))) => {}
                    Some(Heard::Report(Report::Refused(node))) => break node,
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!(refused.id, stage.nodes[0].node.id);
        }
    });
}

#[test]
fn what_breaks_off_is_fetched_again_from_the_same_node_then_elsewhere_and_nobody_is_suspected() {
    run(async {
        let small = Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe".to_vec());
        for half in [small, Act::Write(b"HTTP/1.1 2".to_vec()), Act::Write(b"nonsense\r\n\r\n".to_vec())] {
            let (broken, whole) = (vec![Act::Head, half], vec![Act::Head, answer("", "hello"), Act::Silence]);
            for times in [1, 2] {
                let owner = [vec![broken.clone(); times], vec![whole.clone(); 2 - times]].concat();
                let stage = Stage::new(vec![owner, vec![whole.clone(); times - 1]]);
                assert!(stage.talk(GET, "hello").await.ends_with("\r\n\r\nhello"));
                assert!(stage.nodes[0].node.is_up() && stage.nodes[1].node.is_up());
            }
        }
    });
}

#[test]
fn a_node_tells_whose_fault_it_is_that_a_body_breaks_off() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\nRinghold-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n";
        let told = format!("{head}5\r\nhello\r\n!origin http_response_incomplete\r\n");
        let short = format!("{head}5\r\nhello\r\n0\r\n\r\n");
        for text in [told, short] {
            let stage = Stage::new(vec![vec![vec![Act::Head, Act::Write(text.into())]], vec![]]);
            let got = stage.talk(GET, "never").await;
            assert!(got.contains("content-length: 9\r\n") && !got.contains("chunked"), "{got}");
            assert!(got.ends_with("\r\n\r\nhello"), "a broken transfer: {got}");
            assert!(!got.contains("ringhold-length"), "{got}");
            assert!(stage.nodes[0].node.is_up());
        }
        let whole = format!("{head}5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n");
        let stage = Stage::new(vec![vec![vec![Act::Head, Act::Write(whole.into()), Act::Silence]], vec![]]);
        let got = stage.talk(GET, "you").await;
        assert!(got.contains("content-length: 9\r\n") && got.ends_with("hello you"), "{got}");
    });
}

#[test]
fn a_large_body_cut_off_is_a_broken_transfer() {
    run(async {
        let half = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(10));
        let stage = Stage::new(vec![vec![vec![Act::Head, Act::Write(half.into())]], vec![]]);
        let text = stage.talk(GET, "never").await;
        assert!(text.contains("content-length: 1000000"), "{text}");
        assert!(text.ends_with("\r\n\r\nxxxxxxxxxx"), "it ends early, and nothing is made up");
    });
}

#[test]
fn a_kept_connection_that_died_is_replaced_without_blame() {
    run(async {
        let once = vec![Act::Head, answer("", "hello")];
        let stage = Stage::new(vec![vec![once.clone(), once.clone(), once], vec![]]);
        for _ in 0..3 {
            assert!(stage.talk(GET, "hello").await.ends_with("hello"));
        }
        assert!(stage.nodes[0].node.is_up());
    });
}

#[test]
fn a_request_waiting_for_a_silent_node_moves_when_the_probes_say_so() {
    run(async {
        // Also when it was sent just after everyone was told.
        for told in [true, false] {
            let mut stage = Stage::new(vec![
                vec![vec![Act::Head, Act::Silence]],
                vec![vec![Act::Head, answer("", "hello"), Act::Silence]],
            ]);
            let verdict = async {
                // The sweep has noticed that the request waits.
                let Some(Heard::Report(Report::Suspect(node))) = stage.reports.next().await else { panic!("suspect") };
                node.set_up(false, crate::clock::tick().0);
                if told {
                    stage.health.send_replace(1);
                }
            };
            let address = stage.address;
            let talk = async {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.write_all(GET.as_bytes()).await.unwrap();
                read_until(&mut client, "hello").await
            };
            let ((), text) = tokio::join!(verdict, talk);
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        }
    });
}

#[test]
fn without_a_node_it_is_503_and_says_so() {
    run(async {
        let stage = Stage::new(vec![vec![], vec![]]);
        let text = stage.talk(GET, ".\n").await;
        assert!(text.starts_with("HTTP/1.1 503"), "{text}");
        assert!(text.contains("proxy-status: ringhold-test; error=destination_unavailable"), "{text}");
    });
}

#[test]
fn an_upload_is_never_sent_twice() {
    run(async {
        let stage = Stage::new(vec![
            vec![vec![Act::Head, Act::Read(5)]],
            vec![vec![Act::Head, Act::Read(5), answer("", "again"), Act::Silence]],
        ]);
        let request = "POST http://a.example/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        let text = stage.talk(request, ".\n").await;
        assert!(text.starts_with("HTTP/1.1 502"), "{text}");
        assert!(text.contains("error=connection_terminated") && !text.contains("retry-after"), "{text}");
        assert!(stage.nodes[1].heard.borrow().is_empty());
    });
}

#[test]
fn what_is_not_for_the_cluster_is_answered_here() {
    run(async {
        let stage = Stage::new(vec![vec![]]);
        let proxy = stage.address;
        for (request, status, contains) in [
            ("GET / HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), 200, "This is ringhold"),
            (format!("GET http://{proxy}/ HTTP/1.1\r\nHost: p\r\n\r\n"), 502, "proxy_loop_detected"),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400, "http_request_error"),
            ("GET http://a/ HTTP/1.1\r\nAccept: */*\r\n\r\n".to_owned(), 400, "http_request_error"),
            ("GET http://127.0.0.1:9/v1/nodes HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), 421, "--noproxy"),
            ("GET ftp://a.example/ HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), 400, "http:// or https://"),
            ("OPTIONS * HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), 204, "allow: GET"),
            ("TRACE http://a.example/ HTTP/1.1\r\nHost: p\r\nMax-Forwards: 0\r\n\r\n".to_owned(), 200, "message/http"),
            (
                "GET http://a/ HTTP/1.1\r\nHost: p\r\nVia: 1.1 x, 1.1 ringhold-test\r\n\r\n".to_owned(),
                502,
                "proxy_loop_detected",
            ),
            ("GET http://u:p@a/ HTTP/1.1\r\nHost: p\r\n\r\n".to_owned(), 400, "proxy-status"),
        ] {
            let text = stage.talk(&request.replacen("\r\n", "\r\nConnection: close\r\n", 1), "never").await;
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {text}");
            assert!(text.contains(contains), "{request}: {text}");
        }
    });
}

#[test]
fn an_upgrade_becomes_a_tunnel_after_101() {
    run(async {
        let switch =
            Act::Write(b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nwelcome".to_vec());
        let script = vec![Act::Head, switch, Act::Read(4), Act::Write(b"pong".to_vec())];
        let stage = Stage::new(vec![vec![script]]);
        let mut client = TcpStream::connect(stage.address).await.unwrap();
        let request = "GET http://a.example/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        client.write_all(request.as_bytes()).await.unwrap();
        let head = read_until(&mut client, "welcome").await;
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("upgrade: websocket\r\n"), "{head}");
        client.write_all(b"ping").await.unwrap();
        assert_eq!(read_until(&mut client, "never").await, "pong");
    });
}

#[test]
fn connect_is_a_tunnel_with_half_close() {
    run(async {
        let stage = Stage::new(vec![vec![]]);
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = origin.local_addr().unwrap();
        let serve = async {
            let (mut stream, _) = origin.accept().await.unwrap();
            let mut question = Vec::new();
            stream.read_to_end(&mut question).await.unwrap();
            stream.write_all(&question).await.unwrap();
        };
        let talk = async {
            let mut client = TcpStream::connect(stage.address).await.unwrap();
            // The first bytes of the tunnel come along with the request.
            client.write_all(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\nearly ").as_bytes()).await.unwrap();
            let head = read_until(&mut client, "\r\n\r\n").await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            client.write_all(b"and late").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(read_until(&mut client, "never").await, "early and late");
        };
        tokio::join!(serve, talk);
    });
}

#[test]
fn draining_lets_a_request_finish_and_then_ends() {
    run(async {
        let script = vec![Act::Head, Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec())];
        let rest = vec![Act::Drip(vec![b'x'; 1000]), Act::Write(vec![b'x'; 99_000])];
        let stage = Stage::new(vec![vec![[script, rest].concat()]]);
        let mut client = TcpStream::connect(stage.address).await.unwrap();
        client.write_all(GET.as_bytes()).await.unwrap();
        let mut first = [0; 16];
        client.read_exact(&mut first).await.unwrap();
        stage.trigger.begin();
        let text = read_until(&mut client, "never").await;
        assert!(text.ends_with(&"x".repeat(99_000)));
        // The acceptor lets go of its workers when it has noticed.
        let mut workers = stage.workers;
        let handles = loop {
            match Rc::try_unwrap(workers) {
                Ok(handles) => break handles,
                Err(shared) => workers = shared,
            }
            tokio::task::yield_now().await;
        };
        for handle in handles {
            drop(handle.arrivals);
            handle.done.await.unwrap();
        }
    });
}

#[test]
fn an_answer_to_head_keeps_its_length_and_the_connection() {
    run(async {
        let head = Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec());
        let unchanged = Act::Write(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_vec());
        let stage = Stage::new(vec![vec![vec![Act::Head, head, Act::Head, unchanged, Act::Silence]]]);
        let (first, last) = (GET.replace("GET", "HEAD"), GET.replace("Host", "Connection: close\r\nHost"));
        let text = stage.talk(&format!("{first}{last}"), "never").await;
        assert!(text.contains("content-length: 1234\r\n"), "{text}");
        assert!(text.contains("HTTP/1.1 304"), "{text}");
        assert_eq!(stage.nodes[0].heard.borrow().len(), 1);
    });
}

#[test]
fn trailers_reach_a_client_that_wants_them() {
    run(async {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n";
        let stage = Stage::new(vec![vec![vec![Act::Head, Act::Write(chunked.to_vec()), Act::Silence]]]);
        let request = GET.replace("Host", "TE: trailers\r\nConnection: TE, close\r\nHost");
        let text = stage.talk(&request, "never").await;
        assert!(text.ends_with("5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n"), "{text}");
        assert!(stage.nodes[0].heard(0).contains("te: trailers\r\nconnection: te\r\n"));
    });
}

#[test]
fn a_body_that_stalls_in_the_middle_is_broken_off() {
    run(async {
        let mut config = config();
        config.timeouts.origin_silence = Duration::from_millis(100);
        let some = Act::Write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome".to_vec());
        let stage = Stage::with(config, vec![vec![vec![Act::Head, some, Act::Silence]]]);
        assert!(stage.talk(GET, "never").await.ends_with("some"));
        assert!(stage.nodes[0].node.is_up());
    });
}
