//! The link's client against fake nodes, over real sockets.

mod pieces;

use super::exchange::SMALL;
use super::*;
use crate::cluster::views::Node;
use crate::config::{Address, Config, Secret};
use crate::net::http1;
use crate::net::http1::Upload;
use crate::proxy::fake::{self, Act, FakeNode, config, pool};
use crate::wire::length::BodyLength;
use crate::wire::target::Key;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// A request's parts, owned.
struct Asked {
    key: Key,
    method: Method,
    headers: HeaderMap,
    framing: BodyLength,
    expect: bool,
    upgrade: Option<HeaderValue>,
}

impl Asked {
    fn get() -> Asked {
        let key = Key::parse("http://a.example/x").unwrap();
        let (headers, framing) = (HeaderMap::new(), BodyLength::None);
        Asked { key, method: Method::GET, headers, framing, expect: false, upgrade: None }
    }
    fn post(framing: BodyLength) -> Asked {
        Asked { method: Method::POST, framing, ..Asked::get() }
    }
    fn request(&self) -> Request<'_> {
        let (said, client) = (Said::Map(&self.headers), b"ringhold-client: local\r\n");
        let ours = crate::net::shares::ClientId::OURS;
        Request {
            te_trailers: true,
            upgrade: self.upgrade.as_ref(),
            framing: self.framing,
            expect: self.expect,
            ..Request::new(&self.method, &self.key, said, Version::HTTP_11, ours, client)
        }
    }
}

/// An answer read to its end.
#[derive(Debug, PartialEq)]
struct Whole {
    status: StatusCode,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn ask(pool: &Rc<NodePool>, asked: &Asked) -> Result<Whole, LinkError> {
    let answer = exchange(pool, &asked.request(), &mut None, Want::Any).await?;
    read(answer).await
}

async fn read(answer: NodeAnswer) -> Result<Whole, LinkError> {
    let mut whole = Whole { status: answer.head.status, body: Vec::new(), trailers: None };
    match answer.content {
        NodeContent::Full(bytes) => whole.body.extend_from_slice(&bytes),
        NodeContent::Stream(mut body) => {
            while let Some(frame) = poll_fn(|cx| body.poll(cx)).await {
                match frame?.into_data() {
                    Ok(data) => whole.body.extend_from_slice(&data),
                    Err(frame) => whole.trailers = frame.into_trailers().ok(),
                }
            }
        }
        NodeContent::Switched(..) => panic!("not asked for"),
    }
    Ok(whole)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { timeout(Duration::from_secs(20), test).await.expect("the test came to its end") };
    LocalSet::new().block_on(&runtime, limited);
}

fn sized(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                         5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n";

#[test]
fn an_answer_is_the_same_however_it_is_cut() {
    run(async {
        let closed = b"HTTP/1.1 200 OK\r\n\r\nhello world".to_vec();
        let interim = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".as_slice(), &sized("hello world")].concat();
        for (bytes, keeps) in [(sized("hello world"), true), (CHUNKED.to_vec(), true), (closed, false), (interim, true)]
        {
            let ways = [vec![Act::Head, Act::Drip(bytes.clone())], vec![Act::Head, Act::Write(bytes.clone())]];
            for mut script in ways {
                script.extend(if keeps { vec![Act::Silence] } else { vec![] });
                let node = FakeNode::new("n1", [script]);
                let pool = pool(&node, &config());
                let whole = ask(&pool, &Asked::get()).await.unwrap();
                assert_eq!((whole.status, &*whole.body), (StatusCode::OK, b"hello world".as_slice()));
                let trailer = whole.trailers.map(|t| t["x-sum"].clone());
                assert_eq!(trailer.is_some(), bytes == CHUNKED, "trailers are kept");
                assert_eq!(pool.pop_idle().is_some(), keeps, "the connection goes back to the pool");
            }
        }
    });
}

#[test]
fn an_answer_that_ends_early_is_never_taken_for_whole() {
    run(async {
        for bytes in [sized("hello world"), CHUNKED.to_vec()] {
            for cut in 0..bytes.len() {
                let node = FakeNode::new("n1", [vec![Act::Head, Act::Write(bytes[..cut].to_vec())]]);
                let pool = pool(&node, &config());
                let result = ask(&pool, &Asked::get()).await;
                assert!(result.is_err(), "cut at {cut}: {result:?}");
                assert!(pool.pop_idle().is_none());
                assert!(pool.is_empty(), "its place is free again");
            }
        }
    });
}

#[test]
fn nothing_that_a_node_sends_is_a_panic_and_noise_is_not_relayed() {
    run(async {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1000));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(200_000));
        for noise in ["\0\0\0\0", "SSH-2.0-OpenSSH\r\n", &many, &long, "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
            let node = FakeNode::new("n1", [vec![Act::Head, Act::Write(noise.into()), Act::Silence]]);
            let result = ask(&pool(&node, &config()), &Asked::get()).await;
            assert!(matches!(result, Err(LinkError::Protocol(_))), "{:.40}: {result:?}", noise);
        }
    });
}

#[test]
fn a_connection_with_something_left_over_on_it_is_not_used_again() {
    run(async {
        let answer = [sized("hello").as_slice(), b"HTTP/1.1 200 smuggled\r\nContent-Length: 0\r\n\r\n"].concat();
        let node = FakeNode::new("n1", [vec![Act::Head, Act::Write(answer), Act::Silence]]);
        let pool = pool(&node, &config());
        assert_eq!(ask(&pool, &Asked::get()).await.unwrap().body, b"hello");
        assert!(pool.pop_idle().is_none());
    });
}

#[test]
fn a_connection_is_used_again_and_its_end_before_an_answer_says_so() {
    run(async {
        let node = FakeNode::new(
            "n1",
            [vec![Act::Head, Act::Write(sized("1")), Act::Head, Act::Write(sized("2")), Act::Head]],
        );
        let pool = pool(&node, &config());
        assert_eq!(ask(&pool, &Asked::get()).await.unwrap().body, b"1");
        assert_eq!(ask(&pool, &Asked::get()).await.unwrap().body, b"2");
        let third = ask(&pool, &Asked::get()).await;
        assert!(matches!(third, Err(LinkError::Died { silent: true, .. })), "{third:?}");
        assert_eq!(node.heard.borrow().len(), 1, "one connection for all");
        let fourth = ask(&pool, &Asked::get()).await;
        assert!(matches!(fourth, Err(LinkError::Unreachable(_))), "{fourth:?}");
    });
}

#[test]
fn a_request_that_must_not_be_sent_twice_gets_a_connection_that_lives() {
    run(async {
        let node =
            FakeNode::new("n1", [vec![Act::Head, Act::Write(sized("1"))], vec![Act::Head, Act::Write(sized("2"))]]);
        let pool = pool(&node, &config());
        ask(&pool, &Asked::get()).await.unwrap();
        // Let the node close.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let post = Asked::post(BodyLength::Sized(0));
        let answer = exchange(&pool, &post.request(), &mut None, Want::Alive).await.unwrap();
        assert_eq!(read(answer).await.unwrap().body, b"2");
    });
}

#[test]
fn a_small_body_that_does_not_come_is_an_error_before_the_head_goes_out() {
    run(async {
        let node = FakeNode::new("n1", [vec![Act::Head, Act::Write(sized("hello")[..40].to_vec())]]);
        let answer = exchange(&pool(&node, &config()), &Asked::get().request(), &mut None, Want::Any).await;
        assert!(matches!(answer.map(|_| ()), Err(LinkError::Cut)));
    });
}

#[test]
fn a_silent_node_is_left_when_it_is_given_up() {
    run(async {
        let node = FakeNode::new("n1", [vec![Act::Head, Act::Silence]]);
        let pool = pool(&node, &config());
        let give_up = async {
            while node.heard.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
            pool.abandon();
        };
        let asked = Asked::get();
        let (result, ()) = tokio::join!(ask(&pool, &asked), give_up);
        assert!(matches!(result, Err(LinkError::Abandoned)), "{result:?}");
    });
}

#[test]
fn a_request_waits_for_a_connection_and_not_for_ever() {
    run(async {
        let mut config: Config = config();
        config.limits.node_connections = 1;
        let node = FakeNode::new(
            "n1",
            [vec![Act::Head, Act::Drip(sized("1")), Act::Head, Act::Write(sized("2")), Act::Silence]],
        );
        let pool = pool(&node, &config);
        let asked = Asked::get();
        // Who waits for a connection is part of its load, by which nodes are chosen.
        let both_are_counted = async {
            while pool.node.load.load(Relaxed) < 2 {
                tokio::task::yield_now().await;
            }
        };
        let (one, two, ()) = tokio::join!(ask(&pool, &asked), ask(&pool, &asked), both_are_counted);
        assert_eq!((one.unwrap().body, two.unwrap().body), (b"1".to_vec(), b"2".to_vec()));

        let node = FakeNode::new("n1", [vec![Act::Head, Act::Silence]]);
        let pool = self::pool(&node, &config);
        let both = async {
            tokio::select! { r = ask(&pool, &asked) => r, r = ask(&pool, &asked) => r }
        };
        assert!(matches!(both.await, Err(LinkError::Full)), "the second has waited for long enough");
    });
}

#[test]
fn the_time_of_a_connection_that_is_tied_to_a_client_is_kept_after_its_node_has_left() {
    run(async {
        let node = FakeNode::new("n1", [vec![Act::Head, Act::Write(sized("1")), Act::Head, Act::Silence]]);
        let (pool, ties, asked) = (pool(&node, &config()), Ties::default(), Asked::get());
        let tie = ties.make(&asked.key);
        let request = Request { tie: Some(&tie), ..asked.request() };
        let first = exchange(&pool, &request, &mut None, Want::Any).await.unwrap();
        assert_eq!(read(first).await.unwrap().body, b"1");
        pool.retire();
        assert!(!pool.is_empty(), "its connection is there still");
        node.node.set_up(false, crate::clock::tick().0);
        let sweep = async {
            while !node.heard(0).ends_with("\r\n\r\n") || node.heard(0).matches("GET ").count() < 2 {
                tokio::task::yield_now().await;
            }
            pool.sweep();
        };
        let mut none = None;
        let (second, ()) = tokio::join!(exchange_tied(&request, &mut none), sweep);
        assert!(matches!(second.map(|_| ()), Err((LinkError::Abandoned, Some(_)))));
        assert!(ties.have_ended() && pool.is_empty());
    });
}

/// A body in one piece, and its trailers.
fn source(data: &'static str, trailers: Option<HeaderMap>) -> http1::UploadSource {
    let trailers = async move { trailers.map(Ok) };
    Box::pin(Full::new(Bytes::from_static(data.as_bytes())).with_trailers(trailers).map_err(|never| match never {}))
}

#[test]
fn a_body_goes_up_sized_or_chunked_with_its_trailers() {
    run(async {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("5"))]);
        let chunked = "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n";
        for (framing, sent) in [(BodyLength::Sized(5), "hello"), (BodyLength::Chunked, chunked)] {
            let script = vec![Act::Head, Act::Read(sent.len()), Act::Write(sized("done")), Act::Silence];
            let node = FakeNode::new("n1", [script]);
            let pool = pool(&node, &config());
            let asked = Asked::post(framing);
            let source = source("hello", (framing == BodyLength::Chunked).then(|| trailers.clone()));
            let mut upload = Some(Box::new(Upload::new(source, framing == BodyLength::Chunked)));
            let answer = exchange(&pool, &asked.request(), &mut upload, Want::Alive).await.unwrap();
            assert_eq!(read(answer).await.unwrap().body, b"done");
            assert!(node.heard(0).ends_with(&format!("\r\n\r\n{sent}")), "{}", node.heard(0));
            assert!(pool.pop_idle().is_some());
        }
    });
}

#[test]
fn a_body_waits_for_100_continue_or_a_while() {
    run(async {
        let go_on = Act::Write(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
        for first in [vec![Act::Head, go_on], vec![Act::Head]] {
            let rest = vec![Act::Read(5), Act::Write(sized("done")), Act::Silence];
            let node = FakeNode::new("n1", [[first, rest].concat()]);
            let asked = Asked { expect: true, ..Asked::post(BodyLength::Sized(5)) };
            let mut upload = Some(Box::new(Upload::new(source("hello", None), false)));
            let answer = exchange(&pool(&node, &config()), &asked.request(), &mut upload, Want::Alive).await.unwrap();
            assert_eq!(read(answer).await.unwrap().body, b"done");
            assert!(node.heard(0).contains("expect: 100-continue"));
        }
    });
}

#[test]
fn a_final_answer_instead_of_100_continue_leaves_the_body_unread() {
    run(async {
        let refusal = b"HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno".to_vec();
        let node = FakeNode::new("n1", [vec![Act::Head, Act::Write(refusal), Act::Silence]]);
        let pool = pool(&node, &config());
        let asked = Asked { expect: true, ..Asked::post(BodyLength::Sized(5)) };
        let mut upload = Some(Box::new(Upload::new(source("hello", None), false)));
        let answer = exchange(&pool, &asked.request(), &mut upload, Want::Alive).await.unwrap();
        assert_eq!(read(answer).await.unwrap().status, StatusCode::EXPECTATION_FAILED);
        assert!(!node.heard(0).contains("hello"));
        assert!(pool.pop_idle().is_none(), "who knows whether the node still waits for the body");
    });
}

#[test]
fn an_answer_to_half_an_upload_counts() {
    run(async {
        let refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig".to_vec();
        let node = FakeNode::new("n1", [vec![Act::Head, Act::Read(3), Act::Write(refusal)]]);
        let pool = pool(&node, &config());
        let size = 8 << 20;
        let body = Full::new(Bytes::from(vec![b'x'; size])).map_err(|never| match never {});
        let mut upload = Some(Box::new(Upload::new(Box::pin(body), false)));
        let asked = Asked::post(BodyLength::Sized(size as u64));
        let answer = exchange(&pool, &asked.request(), &mut upload, Want::Alive).await.unwrap();
        assert_eq!(answer.head.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(pool.pop_idle().is_none());
    });
}

#[test]
fn after_101_the_connection_is_handed_over_with_what_came_along() {
    run(async {
        let answer = b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst words".to_vec();
        let node = FakeNode::new(
            "n1",
            [vec![Act::Head, Act::Write(answer.clone()), Act::Silence], vec![Act::Head, Act::Write(answer)]],
        );
        let pool = pool(&node, &config());
        let asked = Asked { upgrade: Some(HeaderValue::from_static("echo")), ..Asked::get() };
        let answer = exchange(&pool, &asked.request(), &mut None, Want::Any).await.unwrap();
        let NodeContent::Switched(_conn, early) = answer.content else { panic!("switched") };
        assert_eq!(early, "first words");
        assert!(node.heard(0).contains("upgrade: echo\r\n"));
        let unasked = ask(&pool, &Asked::get()).await;
        assert!(matches!(unasked, Err(LinkError::Protocol(_))), "{unasked:?}");
    });
}

#[test]
fn a_node_that_goes_silent_before_it_has_proved_itself_is_left_and_was_sent_nothing() {
    run(async {
        // Accepts, by its queue of connections, and says nothing.
        let stopped = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(stopped.local_addr().unwrap().to_string());
        let mut config = config();
        config.cluster.secret = Some(Secret("0123456789abcdef".into()));
        let pool = NodePool::new(Arc::new(Node::new("n1".into(), address, 1, true)), fake::shared(&config));
        let give_up = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            pool.abandon();
        };
        let asked = Asked::get();
        let (result, ()) = tokio::join!(ask(&pool, &asked), give_up);
        assert!(matches!(result, Err(LinkError::Unreachable(_))), "so that any request may go elsewhere: {result:?}");
        assert!(pool.is_empty(), "its place is free again");
    });
}

/// An answer to a request for what is held: a hit with this body.
fn hit(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nCache-Status: n1; hit; ttl=9\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

fn not_held() -> Vec<u8> {
    b"HTTP/1.1 504 No\r\nCache-Status: n1; fwd=uri-miss; detail=only-if-cached\r\nContent-Length: 0\r\n\r\n".to_vec()
}

/// Asks for so many URLs at once, and says what came.
async fn ask_held(pool: &Rc<NodePool>, count: usize) -> Vec<Option<Vec<u8>>> {
    let asked = Asked::get();
    let waiting: Vec<_> = (0..count)
        .map(|_| super::held(pool, &Request { held: true, ..asked.request() }).expect("there is room"))
        .collect();
    let mut came = Vec::new();
    for held in waiting {
        came.push(match held.await {
            Some(NodeAnswer { content: NodeContent::Full(body), .. }) => Some(body.to_vec()),
            Some(_) => panic!("a body that is not there"),
            None => None,
        });
    }
    came
}

#[test]
fn what_is_held_is_asked_for_on_one_connection_and_comes_in_order() {
    run(async {
        let answers = [hit("a"), not_held(), hit(&"b".repeat(9000)), hit("")].concat();
        for bytes in [Act::Write(answers.clone()), Act::Drip(answers.clone())] {
            let heads = [Act::Head, Act::Head, Act::Head, Act::Head];
            let node = FakeNode::new("n1", [heads.into_iter().chain([bytes, Act::Silence]).collect()]);
            let pool = pool(&node, &config());
            let came = ask_held(&pool, 4).await;
            assert_eq!(came, [Some(b"a".to_vec()), None, Some(vec![b'b'; 9000]), Some(Vec::new())]);
            assert_eq!(node.heard(0).matches("cache-control: only-if-cached\r\n").count(), 4);
            // Its task has to come to its end first.
            while pool.pipeline.is_driven() {
                tokio::task::yield_now().await;
            }
            assert!(pool.pop_idle().is_some(), "the connection goes back to the pool");
            assert_eq!(pool.node.load.load(std::sync::atomic::Ordering::Relaxed), 0);
        }
    });
}

#[test]
fn whoever_waits_behind_what_keeps_others_waiting_asks_elsewhere_at_once() {
    run(async {
        let large = format!("HTTP/1.1 200 OK\r\nCache-Status: n1; hit\r\nContent-Length: {}\r\n\r\n", SMALL + 1);
        let chunked = "HTTP/1.1 200 OK\r\nCache-Status: n1; hit\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        let interim = "HTTP/1.1 103 Early Hints\r\n\r\n".to_owned();
        let noise = "what?\r\n\r\n".to_owned();
        let closing = "HTTP/1.1 200 OK\r\nCache-Status: n1; fwd=miss\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            .to_owned();
        for second in [large, chunked, interim, noise, closing] {
            let script =
                vec![Act::Head, Act::Head, Act::Head, Act::Write([hit("a"), second.into()].concat()), Act::Silence];
            let node = FakeNode::new("n1", [script]);
            let pool = pool(&node, &config());
            assert_eq!(ask_held(&pool, 3).await, [Some(b"a".to_vec()), None, None]);
            assert!(pool.pop_idle().is_none(), "what was on its way there is for nobody else");
        }
    });
}

#[test]
fn a_node_that_dies_or_goes_silent_loses_no_request_for_what_it_holds() {
    run(async {
        let dies = FakeNode::new("n1", [vec![Act::Head, Act::Write(hit("a"))]]);
        let of_dead = pool(&dies, &config());
        assert_eq!(ask_held(&of_dead, 2).await, [Some(b"a".to_vec()), None]);
        let silent = FakeNode::new("n1", [vec![Act::Silence]]);
        let of_silent = pool(&silent, &config());
        let giving_up = async {
            while silent.heard.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
            silent.node.set_up(false, crate::clock::tick().0);
            of_silent.abandon();
        };
        assert_eq!(tokio::join!(ask_held(&of_silent, 2), giving_up).0, [None, None]);
        assert_eq!(ask_held(&of_silent, 1).await, [None], "nor when it is asked after that");
    });
}

#[test]
fn more_than_there_are_places_for_ask_in_the_ordinary_way() {
    run(async {
        let node = FakeNode::new("n1", [vec![Act::Silence]]);
        let pool = pool(&node, &config());
        let asked = Asked::get();
        let ask = || super::held(&pool, &Request { held: true, ..asked.request() });
        let waiting: Vec<_> = std::iter::from_fn(ask).take(10_000).collect();
        assert!((2..=256).contains(&waiting.len()), "{} waited", waiting.len());
    });
}
