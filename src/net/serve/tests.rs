//! Over real sockets on ports of the system's choice.

mod ends;

use super::conn::connection;
use super::end::ConnEnd;
use super::*;
use crate::clock::tick;
use crate::config::Address;
use crate::net::drain::{Shutdown, Trigger};
use crate::net::listen::Listener;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

type Reply = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

impl AnswerBody for Reply {}
impl AnswerBody for Pieces {}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(60);

/// A server whose service is below: what it does is asked for by the path.
struct Server {
    address: String,
    trigger: Trigger,
    connections: Connections,
    /// How its connections have ended.
    ends: Rc<RefCell<Vec<ConnEnd>>>,
    ended: Rc<Notify>,
    /// Lets `/wait` answer.
    go: Rc<Notify>,
    /// Tells that `/wait` waits.
    waiting: Rc<Notify>,
}

fn limits() -> ServerLimits {
    ServerLimits {
        idle: LONG,
        header: LONG,
        stall: Some(LONG),
        head: 16 * 1024,
        fields: 20,
        streams: 100,
        half_close: false,
        copies: 1,
        farewell: Duration::ZERO,
        date: false,
    }
}

impl Server {
    fn start(limits: ServerLimits) -> Server {
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).unwrap();
        let (trigger, shutdown) = Shutdown::channel();
        let sweeper = Sweeper::start(limits, shutdown);
        let server = Server {
            address: listener.address().to_string(),
            trigger,
            connections: Connections::new(sweeper.clone()),
            ends: Rc::default(),
            ended: Rc::default(),
            go: Rc::default(),
            waiting: Rc::default(),
        };
        let (connections, ends, ended) = (server.connections.clone(), server.ends.clone(), server.ended.clone());
        let (go, waiting) = (server.go.clone(), server.waiting.clone());
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await;
                let (sweeper, ends, ended) = (sweeper.clone(), ends.clone(), ended.clone());
                let (go, waiting, tunnels) = (go.clone(), waiting.clone(), connections.clone());
                connections.spawn(async move {
                    let end = connection(stream, &Numbers { go, waiting, tunnels }, &sweeper).await;
                    ends.borrow_mut().push(end);
                    ended.notify_one();
                });
            }
        });
        server
    }
    async fn dial(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }
    async fn end(&self) -> ConnEnd {
        loop {
            if let Some(end) = self.ends.borrow_mut().pop() {
                return end;
            }
            self.ended.notified().await;
        }
    }
    /// Sends `bytes`, and gives all that comes back until the server closes.
    async fn talk(&self, bytes: &[u8]) -> String {
        let mut client = self.dial().await;
        client.write_all(bytes).await.unwrap();
        rest(&mut client).await
    }
}

/// Knows `/known/N`: N bytes.
struct Numbers {
    go: Rc<Notify>,
    waiting: Rc<Notify>,
    tunnels: Connections,
}

impl Service for Numbers {
    type Body = Reply;

    fn begin(&self, request: &ServiceRequest<'_>, out: &mut Vec<u8>) -> ServiceStep<Reply> {
        if let Some(body) = number(request.target()) {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            out.extend_from_slice(head.as_bytes());
            return ServiceStep::Answer(head.len(), body.into());
        }
        match request.request() {
            Ok(request) => {
                let answer = serve(request, self.go.clone(), self.waiting.clone(), self.tunnels.clone());
                ServiceStep::Finish(Box::pin(async move { Finished::Response(answer.await) }))
            }
            Err(why) => ServiceStep::Refuse(why),
        }
    }
}

fn number(target: &[u8]) -> Option<Bytes> {
    let length: usize = std::str::from_utf8(target.strip_prefix(b"/known/")?).ok()?.parse().ok()?;
    Some(vec![b'0' + (length % 10) as u8; length].into())
}

async fn serve(
    request: Request<ClientBody>,
    go: Rc<Notify>,
    waiting: Rc<Notify>,
    tunnels: Connections,
) -> Response<Reply> {
    match request.uri().path() {
        "/wait" => {
            waiting.notify_one();
            go.notified().await;
        }
        "/panic" => panic!("on purpose"),
        "/read" => drop(request.into_body().collect().await),
        "/endless" => return Response::new(endless()),
        "/upgrade" => {
            tunnels.spawn(echo(request));
            let answer = Response::builder().status(101).header("upgrade", "echo").header("connection", "upgrade");
            return answer.body(text("")).unwrap();
        }
        _ => {}
    }
    Response::new(text("hello"))
}

fn text(text: &'static str) -> Reply {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
}

fn endless() -> Reply {
    struct Zeros;
    impl Body for Zeros {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            static ZEROS: [u8; 16384] = [0; 16384];
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&ZEROS)))))
        }
    }
    Zeros.boxed_unsync()
}

async fn echo(mut request: Request<ClientBody>) {
    let (mut stream, early) = request.body_mut().take_upgrade().unwrap().taken().await.unwrap();
    stream.write_all(&early).await.unwrap();
    let mut buf = [0; 64];
    while let Ok(n @ 1..) = stream.read(&mut buf).await {
        stream.write_all(&buf[..n]).await.unwrap();
    }
}

/// Runs a test on one thread, as a worker does; none may hang.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs") };
    runtime.block_on(LocalSet::new().run_until(test));
}

async fn rest(client: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset after the answer ends it as well.
    let _ = client.read_to_end(&mut all).await;
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads one answer whose body is "hello".
async fn hello(client: &mut TcpStream) -> String {
    let mut all = Vec::new();
    while !all.ends_with(b"hello") {
        let read = client.read_buf(&mut all).await.unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&all));
    }
    String::from_utf8(all).unwrap()
}

fn assert_refused(answer: &str, status: &str, why: &str) {
    let head = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&head), "{status} expected, got {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count() - answer.matches("speaks HTTP/1.1").count(), 1, "{answer:?}");
    assert!(answer.contains("\r\nProxy-Status: ringhold; error=http_request_error; details=\""), "{answer:?}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer:?}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{answer:?}");
    assert!(body.contains(why), "{why:?} expected in {body:?}");
}

#[test]
fn requests_are_answered_one_after_the_other_on_one_connection() {
    run(async {
        let server = Server::start(limits());
        let mut client = server.dial().await;
        for _ in 0..3 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            assert!(hello(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        drop(client);
        assert!(matches!(server.end().await, ConnEnd::Closed));
        assert_eq!(server.connections.count(), 0);
    });
}

#[test]
fn pipelined_requests_are_all_answered() {
    run(async {
        let server = Server::start(limits());
        let one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = server.talk(format!("{}{last}", one.repeat(40)).as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 41);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_whoever_knows_the_answers() {
    run(async {
        let server = Server::start(limits());
        // Small and large ones, none at all, one that only the service knows, and more than is read at once.
        let lengths = [1, 0, 5000, 20_003, 12, 200_004, 7, usize::MAX, 3, 70_002, 8];
        let lengths: Vec<usize> = lengths.into_iter().chain((0..2000).map(|n| n % 50)).collect();
        let get = |path: String, more: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
        let paths = lengths.iter().map(|n| if *n == usize::MAX { "/".to_owned() } else { format!("/known/{n}") });
        let mut requests: String = paths.map(|path| get(path, "")).collect();
        requests.push_str(&get("/".to_owned(), "Connection: close\r\n"));
        let answers = server.talk(requests.as_bytes()).await;
        let mut left = &answers[..];
        for (n, length) in lengths.iter().enumerate() {
            let (head, rest) = left.split_once("\r\n\r\n").unwrap_or_else(|| panic!("answer {n} is missing"));
            let body = match *length {
                usize::MAX => "hello".to_owned(),
                length => ((b'0' + (length % 10) as u8) as char).to_string().repeat(length),
            };
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "answer {n}: {head}");
            left = rest.strip_prefix(&body).unwrap_or_else(|| panic!("answer {n} has another body"));
        }
        assert!(left.starts_with("HTTP/1.1 200 OK") && left.ends_with("hello"));
    });
}

#[test]
fn a_parked_connection_serves_the_next_request() {
    run(async {
        let server = Server::start(ServerLimits { idle: Duration::from_secs(2), header: SHORT, ..limits() });
        let mut client = server.dial().await;
        for _ in 0..3 {
            // Longer than a head may take.
            tokio::time::sleep(SHORT).await;
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            hello(&mut client).await;
        }
    });
}

#[test]
fn every_malformed_request_is_told_why() {
    let long = "a".repeat(20_000);
    let rows: Vec<(Vec<u8>, &str, &str)> = vec![
        // RFC 9112 section 3: the request line.
        (b"GET\r\n\r\n".to_vec(), "400", "malformed"),
        (b"G@T / HTTP/1.1\r\n\r\n".to_vec(), "400", "malformed"),
        (b"GET / FOO/1.1\r\n\r\n".to_vec(), "400", "malformed"),
        (b"GET http://a b/ HTTP/1.1\r\n\r\n".to_vec(), "400", "malformed"),
        // RFC 9112 section 5: field lines.
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_vec(), "400", "malformed"),
        (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n".to_vec(), "400", "malformed"),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n".to_vec(), "400", "malformed"),
        (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n".to_vec(), "400", "malformed"),
        // RFC 9112 section 6.3: lengths that disagree or are none.
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_vec(), "400", "malformed"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(), "400", "malformed"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n".to_vec(), "400", "malformed"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(), "400", "malformed"),
        // RFC 9110 sections 15.5.15 and RFC 6585 section 5: too long, too large, too many.
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(), "414", "longer than 16384 bytes"),
        (format!("GET / HTTP/1.1\r\nA: {long}\r\n\r\n").into_bytes(), "431", "more than 16384 bytes or 20 fields"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(21)).into_bytes(), "431", "or 20 fields"),
        // RFC 9110 section 15.6.6: versions. RFC 9113 section 3.4: the preface of HTTP/2.
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_vec(), "505", "speaks HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), "505", "speaks HTTP/1.1"),
        // Other protocols.
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), "400", "TLS handshake"),
        (b"\x05\x01\0".to_vec(), "400", "SOCKS"),
    ];
    run(async {
        let server = Server::start(limits());
        for (bytes, status, why) in rows {
            let answer = server.talk(&bytes).await;
            assert_refused(&answer, status, why);
            assert!(matches!(server.end().await, ConnEnd::Refused(f) if f.status.as_str() == status));
        }
    });
}

#[test]
fn a_malformed_request_after_a_good_one_is_told_why_too() {
    run(async {
        let server = Server::start(limits());
        let answer = server.talk(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nG@T / HTTP/1.1\r\n\r\n").await;
        let (good, bad) = answer.split_once("hello").unwrap();
        assert!(good.starts_with("HTTP/1.1 200 OK"));
        assert_refused(bad, "400", "malformed");
    });
}

#[test]
fn a_head_within_the_limits_is_served() {
    run(async {
        let server = Server::start(limits());
        let mut client = server.dial().await;
        let fields = format!("A: {}\r\n", "b".repeat(790)).repeat(19);
        client.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes()).await.unwrap();
        hello(&mut client).await;
    });
}

#[test]
fn a_panic_ends_one_connection_only() {
    run(async {
        let server = Server::start(limits());
        let mut other = server.dial().await;
        assert_eq!(server.talk(b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await, "");
        other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        hello(&mut other).await;
        assert_eq!(server.connections.count(), 1);
    });
}

#[test]
fn an_upgrade_hands_over_the_socket_and_what_was_read_early() {
    run(async {
        let server = Server::start(ServerLimits { idle: SHORT, header: SHORT, ..limits() });
        let mut client = server.dial().await;
        let head = b"GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly";
        client.write_all(head).await.unwrap();
        let mut all = Vec::new();
        while !all.ends_with(b"early") {
            assert!(client.read_buf(&mut all).await.unwrap() > 0);
        }
        assert!(all.starts_with(b"HTTP/1.1 101 "));
        assert!(matches!(server.end().await, ConnEnd::Upgraded));
        tokio::time::sleep(SHORT * 4).await;
        client.write_all(b"late").await.unwrap();
        let mut got = [0; 4];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"late", "a tunnel is not timed by the sweeper");
    });
}

#[test]
fn a_client_that_leaves_ends_the_service() {
    run(async {
        let server = Server::start(limits());
        let mut client = server.dial().await;
        client.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        server.waiting.notified().await;
        drop(client);
        assert!(matches!(server.end().await, ConnEnd::Broken(_)));
    });
}

/// A client whose first request is answered with `head` and the pieces that are sent to it.
async fn streamed(
    limits: ServerLimits,
    head: http::response::Builder,
) -> (TcpStream, mpsc::UnboundedSender<&'static str>, Trigger) {
    let (pieces, rx) = mpsc::unbounded_channel();
    let answer = RefCell::new(Some(head.body(Pieces(rx)).unwrap()));
    let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).unwrap();
    let client = TcpStream::connect(listener.address().to_string()).await.unwrap();
    let (stream, _) = listener.accept().await;
    let (trigger, shutdown) = Shutdown::channel();
    let sweeper = Sweeper::start(limits, shutdown);
    let service = move |_| {
        let answer = answer.borrow_mut().take();
        async move { answer.unwrap() }
    };
    tokio::task::spawn_local(async move { connection(stream, &ByRequest(service), &sweeper).await });
    (client, pieces, trigger)
}

#[test]
fn a_streamed_answer_goes_out_piece_by_piece() {
    run(async {
        let (mut client, pieces, _trigger) =
            streamed(ServerLimits { idle: SHORT, ..limits() }, Response::builder()).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        pieces.send("first").unwrap();
        let mut all = Vec::new();
        while !all.windows(5).any(|w| w == b"first") {
            assert!(client.read_buf(&mut all).await.unwrap() > 0);
        }
        pieces.send("last").unwrap();
        drop(pieces);
        assert!(rest(&mut client).await.contains("last"));
    });
}

#[test]
fn no_part_of_an_answer_waits_for_the_next() {
    run(async {
        let (mut client, pieces, _trigger) =
            streamed(limits(), Response::builder().header("content-length", 10 * "piece".len())).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let begun = tick();
        let mut all = Vec::new();
        for n in 1..=10 {
            pieces.send("piece").unwrap();
            while String::from_utf8_lossy(&all).matches("piece").count() < n {
                assert!(client.read_buf(&mut all).await.unwrap() > 0);
            }
        }
        // The kernel lets each wait for 200 ms, where it is told that more follows and not told otherwise.
        assert!(tick().since(begun) < Duration::from_secs(1), "{:?}", tick().since(begun));
    });
}

struct Pieces(mpsc::UnboundedReceiver<&'static str>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

#[test]
fn empty_lines_before_a_request_are_none_of_it_and_start_no_head() {
    run(async {
        let server = Server::start(ServerLimits { header: SHORT, ..limits() });
        let mut client = server.dial().await;
        client.write_all(b"\r\n\n\r\n").await.unwrap();
        tokio::time::sleep(SHORT * 4).await;
        client.write_all(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(hello(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    });
}

#[test]
fn what_was_sent_whole_before_a_half_close_is_answered_to_the_last() {
    run(async {
        let server = Server::start(ServerLimits { half_close: true, ..limits() });
        let mut client = server.dial().await;
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let requests = [get("/wait"), get("/known/1"), get("/known/2"), get("/"), get("/known/3")].concat();
        client.write_all(requests.as_bytes()).await.unwrap();
        server.waiting.notified().await;
        client.shutdown().await.unwrap();
        // Only then does it know that no more comes.
        tokio::task::yield_now().await;
        server.go.notify_one();
        let answers = rest(&mut client).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 5, "{answers}");
        assert!(answers.ends_with("333"), "{answers}");
    });
}

#[test]
fn an_answer_that_is_on_its_way_gives_no_place_to_others() {
    run(async {
        let server = Server::start(limits());
        let mut client = server.dial().await;
        let length = 16 << 20;
        client.write_all(format!("GET /known/{length} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut all = vec![0; 1];
        client.read_exact(&mut all).await.unwrap();
        assert!(!server.connections.close_longest_idle(None), "nobody is idle");
        while all.len() < length {
            assert!(client.read_buf(&mut all).await.unwrap() > 0, "it ends after {}", all.len());
        }
    });
}
