//! Whole exchanges over streams that can do nothing but read and write.

use super::*;
use crate::net::rules::Reach;
use crate::net::serve::BoxError;
use crate::net::shares::ClientId;
use crate::wire::answer::decode::Bounds;
use crate::wire::fault::{Blame, Fault, Kind, Whose};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const SOON: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(20);

/// What a server hears on one connection, and says then.
type Turns = &'static [(&'static str, &'static str)];

/// A server that plays one script a connection, and ends the connection at its end.
struct Server {
    scripts: RefCell<std::slice::Iter<'static, Turns>>,
    pool: Rc<Pool<DuplexStream>>,
}

fn server(scripts: &'static [Turns]) -> Server {
    with_limits(scripts, PATIENCE)
}

fn with_limits(scripts: &'static [Turns], limit: Duration) -> Server {
    let bounds = Bounds { bytes: 8192, fields: 100 };
    let limits =
        ClientLimits { bounds, answer: limit, take: limit, give: limit, silence: limit, interim: (256, 1 << 20) };
    let room = Room { connections: 2, queue: 1, queue_time: limit, idle: PATIENCE, age: Duration::MAX };
    let pool = Rc::new(Pool::new("http://a", room, Rc::new(limits)));
    Server { scripts: RefCell::new(scripts.iter()), pool }
}

async fn play(mut stream: DuplexStream, turns: Turns) {
    for (hears, says) in turns {
        let mut heard = Vec::new();
        while !hears.is_empty() && !heard.windows(hears.len()).any(|part| part == hears.as_bytes()) {
            let read = stream.read_buf(&mut heard).await.unwrap();
            assert!(read > 0, "{:?} of {hears:?}", String::from_utf8_lossy(&heard));
        }
        // In pieces, so that nothing comes as a whole.
        for piece in says.as_bytes().chunks(7) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
}

/// An answer: its status, what the interim ones before it were, its body, its trailers, and how that ended.
#[derive(Debug, Default, PartialEq)]
struct Got {
    interim: Vec<u16>,
    status: u16,
    body: String,
    trailers: Option<String>,
    blame: Option<Blame>,
}

impl Server {
    async fn dial(&self) -> Result<Conn<DuplexStream>, ExchangeError> {
        let script = self.scripts.borrow_mut().next();
        let Some(turns) = script else {
            return Err(ExchangeError::Unconnected(Fault::origin(Kind::ConnectionRefused, "no more scripts")));
        };
        let (near, far) = duplex(64);
        tokio::task::spawn_local(play(far, turns));
        Ok(Conn::new(near, Reach::Anyone))
    }

    async fn heard(&self, head: &str, upload: Option<Upload>, pins: Option<&Rc<Pins<DuplexStream>>>) -> Answered {
        let interim = RefCell::new(Vec::new());
        let question = Question {
            head: head.as_bytes(),
            bodiless: head.starts_with("HEAD"),
            idempotent: !head.starts_with("POST"),
            interim: &|head| interim.borrow_mut().push(head.status.as_u16()),
            message: None,
        };
        let want = ConnWant { pool: &self.pool, of: ClientId::OURS, pins, same_machine: true };
        let heard = ask(&want, &question, upload.map(Box::new), async |_| self.dial().await).await?;
        let Exchanged::Answer(answer) = heard else { panic!("nobody makes messages here") };
        let (response, _) = answer.into_response(Whose::Origin);
        let status = response.status().as_u16();
        Ok((Got { interim: interim.take(), status, ..Got::default() }, response.into_body()))
    }

    async fn ask(&self, head: &str, upload: Option<Upload>) -> Result<Got, ExchangeError> {
        let (mut got, mut body) = self.heard(head, upload, None).await?;
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => got.body.push_str(std::str::from_utf8(&data).unwrap()),
                Ok(Err(frame)) => got.trailers = Some(format!("{:?}", frame.into_trailers().unwrap())),
                Err(why) => got.blame = why.downcast_ref().copied(),
            }
        }
        Ok(got)
    }
}

type Answered = Result<(Got, Box<ResponseBody<DuplexStream>>), ExchangeError>;

fn pieces(pieces: Vec<Result<&'static str, &'static str>>) -> Upload {
    let mut trailers = HeaderMap::new();
    trailers.insert("a", "b".parse().unwrap());
    trailers.insert("content-length", "5".parse().unwrap());
    let frames = pieces.into_iter().map(|piece| piece.map(|piece| Frame::data(Bytes::from(piece))));
    let frames: VecDeque<_> = frames.map(|frame| frame.map_err(BoxError::from)).collect();
    Upload::new(Box::pin(Frames(frames, Some(trailers))), true)
}

/// A body that never waits, or never comes.
struct Frames(VecDeque<Result<Frame<Bytes>, BoxError>>, Option<HeaderMap>);
struct Never;

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        Poll::Ready(this.0.pop_front().or_else(|| this.1.take().map(|trailers| Ok(Frame::trailers(trailers)))))
    }
}

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Pending
    }
}

async fn within<T>(test: impl Future<Output = T>) -> T {
    let local = tokio::task::LocalSet::new();
    tokio::time::timeout(PATIENCE, local.run_until(test)).await.unwrap()
}

const GET: &str = "GET / HTTP/1.1\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\n\r\n";
const BODY: &str = "5\r\nhello\r\n0\r\na: b\r\n\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

fn fine() -> Got {
    Got { status: 200, body: "fine".into(), ..Got::default() }
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    const CHUNKED: &str =
        "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\nx: y\r\n\r\n";
    within(async {
        let server = server(&[&[
            (GET, FINE),
            (GET, CHUNKED),
            ("HEAD / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            (GET, "HTTP/1.0 200 OK\r\n\r\nfine"),
        ]]);
        assert_eq!(server.ask(GET, None).await.unwrap(), fine());
        let chunked = server.ask(GET, None).await.unwrap();
        assert_eq!(chunked, Got { interim: vec![103], trailers: Some(r#"{"x": "y"}"#.into()), ..fine() });
        let head = server.ask("HEAD / HTTP/1.1\r\n\r\n", None).await.unwrap();
        assert_eq!(head, Got { status: 200, ..Got::default() });
        assert_eq!(server.ask(GET, None).await.unwrap(), fine(), "to the end of the connection");
        assert!(matches!(server.ask(GET, None).await, Err(ExchangeError::Unconnected(_))), "which is no more");
    })
    .await;
}

#[tokio::test]
async fn a_body_is_sent_in_chunks_with_its_trailers_and_held_back_until_it_is_wanted() {
    within(async {
        let server = server(&[&[
            (BODY, FINE),
            (POST, "HTTP/1.1 100 Continue\r\n\r\n"),
            (BODY, FINE),
            (BODY, FINE),
            (POST, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
        ]]);
        assert_eq!(server.ask(POST, Some(pieces(vec![Ok("hello")]))).await.unwrap(), fine());
        let held_for = |wait| {
            let mut upload = pieces(vec![Ok("hello")]);
            upload.hold_back(wait);
            Some(upload)
        };
        assert_eq!(server.ask(POST, held_for(PATIENCE)).await.unwrap(), fine(), "the server says when");
        assert_eq!(server.ask(POST, held_for(SOON / 10)).await.unwrap(), fine(), "or says nothing");
        assert_eq!(server.ask(POST, held_for(PATIENCE)).await.unwrap().status, 417, "or does not want it");
        assert!(matches!(server.ask(GET, None).await, Err(ExchangeError::Unconnected(_))), "and may still wait for it");
    })
    .await;
}

#[tokio::test]
async fn what_a_server_says_before_it_takes_no_more_of_a_body_is_its_answer() {
    within(async {
        let server = server(&[&[(POST, "HTTP/1.1 413 Large\r\nContent-Length: 4\r\n\r\nmuch")]]);
        let much = pieces(vec![Ok("0123456789"); 1000]);
        let got = server.ask(POST, Some(much)).await.unwrap();
        assert_eq!(got, Got { status: 413, body: "much".into(), ..Got::default() });
        assert!(matches!(server.ask(GET, None).await, Err(ExchangeError::Unconnected(_))));
    })
    .await;
}

#[tokio::test]
async fn only_what_may_be_repeated_is_sent_once_more_where_a_kept_connection_is_dead() {
    within(async {
        let server = server(&[&[(GET, FINE), (GET, "")], &[(GET, FINE), (POST, "")], &[(GET, FINE), (GET, "HTTP")]]);
        assert_eq!(server.ask(GET, None).await.unwrap(), fine());
        assert_eq!(server.ask(GET, None).await.unwrap(), fine(), "on a new connection");
        let lost = server.ask(POST, None).await;
        assert!(matches!(lost, Err(ExchangeError::Ended { heard: false, .. })));
        assert_eq!(server.ask(GET, None).await.unwrap(), fine());
        let lost = server.ask(GET, None).await;
        assert!(matches!(lost, Err(ExchangeError::Ended { heard: true, .. })), "some of its answer had come");
    })
    .await;
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_named() {
    const BEGUN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine";
    within(async {
        let server = with_limits(
            &[&[("never", "")], &[("never", "")], &[("never", "")], &[(GET, BEGUN), ("never", "")], &[(GET, BEGUN)]],
            SOON,
        );
        assert!(matches!(server.ask(GET, None).await, Err(ExchangeError::Late(Owes::Answer))));
        let lasting = Upload::new(Box::pin(Never), true);
        assert!(matches!(server.ask(POST, Some(lasting)).await, Err(ExchangeError::Late(Owes::Giving))));
        let broken = server.ask(POST, Some(pieces(vec![Ok("hello"), Err("left")]))).await;
        assert!(matches!(broken, Err(ExchangeError::Upload(_))));
        let blame = Some(Blame::new(Whose::Origin, Kind::ConnectionReadTimeout));
        assert_eq!(server.ask(GET, None).await.unwrap(), Got { blame, ..fine() });
        let blame = Some(Blame::new(Whose::Origin, Kind::HttpResponseIncomplete));
        assert_eq!(server.ask(GET, None).await.unwrap(), Got { blame, ..fine() });
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_switches_protocols_is_its_takers_with_what_was_said_on_it() {
    within(async {
        let server = server(&[&[(GET, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nhello"), ("you", "there")]]);
        let (got, mut body) = server.heard(GET, None, None).await.unwrap();
        assert_eq!(got.status, 101);
        let (mut stream, said) = body.take_stream().unwrap();
        let mut heard = String::from_utf8(said.to_vec()).unwrap();
        stream.write_all(b"you").await.unwrap();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hellothere");
    })
    .await;
}

#[tokio::test]
async fn who_asks_for_more_connections_than_there_may_be_waits_in_a_queue() {
    within(async {
        let server = with_limits(&[&[("never", "")], &[("never", "")]], SOON);
        let one = || server.ask(GET, None);
        let all = tokio::join!(one(), one(), one(), one());
        assert!(
            matches!(all.0, Err(ExchangeError::Late(Owes::Answer)))
                && matches!(all.1, Err(ExchangeError::Late(Owes::Answer)))
        );
        assert!(matches!(all.3, Err(ExchangeError::Full)), "so many wait already");
        assert!(
            matches!(all.2, Err(ExchangeError::Full | ExchangeError::Unconnected(_))),
            "for so long, or until there is one"
        );
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_has_logged_in_is_for_who_did_and_for_nobody_else() {
    const ASKS: &str = "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
    within(async {
        let server = server(&[&[(GET, ASKS), ("never", "")], &[(GET, ASKS), (GET, FINE)]]);
        assert_eq!(server.ask(GET, None).await.unwrap().status, 401);
        let pins = Rc::default();
        let (got, body) = server.heard(GET, None, Some(&pins)).await.unwrap();
        assert_eq!(got.status, 401, "not on the connection before");
        drop(body);
        let (got, _) = server.heard(GET, None, Some(&pins)).await.unwrap();
        assert_eq!(got.status, 200, "on the same");
        assert!(matches!(server.ask(GET, None).await, Err(ExchangeError::Unconnected(_))));
    })
    .await;
}
