//! What RFC 9113 demands of a server, frame by frame: what is sent, and what has to come of it.

use crate::support::http2::*;
use crate::support::*;

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

/// As the static table has it (RFC 7541, appendix A).
const STATUS_400: u8 = 0x80 | 12;

enum Comes {
    /// The connection ends, for one of these reasons.
    End(&'static [u32]),
    /// The stream is reset for one of these, or the connection ends for it.
    Reset(&'static [u32]),
    /// Nothing, and the connection goes on.
    Nothing,
    /// The request is answered.
    Answer,
    /// By 400.
    Refused,
}

use Comes::{Answer, End, Nothing, Refused, Reset};

const PROTOCOL: &[u32] = &[PROTOCOL_ERROR];
/// For these the library has the general reason now and then; the end is the same.
const SIZE: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
const CLOSED: &[u32] = &[STREAM_CLOSED, PROTOCOL_ERROR];
const FLOW: &[u32] = &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR];
const COMPRESSION: &[u32] = &[COMPRESSION_ERROR, PROTOCOL_ERROR];

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

#[test]
fn what_a_client_sends_has_the_effect_that_the_rfc_says() {
    let stage = Intercepted::new();
    let gate = Gate::default();
    let held = gate.clone();
    stage.origin.on("/page", |x| {
        x.body(|_| {})?;
        x.reply(200, "Cache-Control: max-age=60\r\n", "page")
    });
    stage.origin.on("/held", move |_| held.wait());
    let host = stage.host();
    let pseudo = |method: &'static str, path: &'static str| {
        [(":method", method), (":scheme", "https"), (":authority", &*host), (":path", path)]
            .map(|(n, v)| (n, v.to_owned()))
    };
    let block = |fields: &[(&str, String)], more: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).chain(more.iter().copied()).collect();
        literals(&all)
    };
    let page = block(&pseudo("GET", "/page"), &[]);
    let post = block(&pseudo("POST", "/page"), &[]);
    let slow = block(&pseudo("GET", "/held"), &[]);
    let get = |id| frame(HEADERS, END_STREAM | END_HEADERS, id, &page);
    let wait = |id| frame(HEADERS, END_STREAM | END_HEADERS, id, &slow);
    // Its content is to come, or it waits.
    let open = |id| frame(HEADERS, END_HEADERS, id, &post);
    let asked = |method, path, more: &[(&str, &str)]| {
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&pseudo(method, path), more))
    };
    let bare = |fields: &[(&str, &str)]| frame(HEADERS, END_STREAM | END_HEADERS, 1, &literals(fields));
    let increment = |id, by: u32| frame(WINDOW_UPDATE, 0, id, &by.to_be_bytes());
    let reset = |id| frame(RST_STREAM, 0, id, &8u32.to_be_bytes());
    let ping = |id, flags| frame(PING, flags, id, b"whatever");
    let (a, b) = page.split_at(page.len() / 2);
    let priority = [0, 0, 0, 0, 15];
    let x_y = literals(&[("x", "y")]);
    let long = literals(&[("x", &"y".repeat(10_000))]);
    // These pieces behind a request whose content is to come.
    let trailers = |pieces: &[&[u8]]| {
        let mut sent = vec![open(99)];
        for (n, piece) in pieces.iter().enumerate() {
            let (kind, first) = if n == 0 { (HEADERS, END_STREAM) } else { (CONTINUATION, 0) };
            let last = if n + 1 == pieces.len() { END_HEADERS } else { 0 };
            sent.push(frame(kind, first | last, 99, piece));
        }
        sent
    };
    // Its method is in the table from here on.
    let kept = |id| {
        let rest = block(&pseudo("GET", "/held")[1..], &[]);
        frame(HEADERS, END_STREAM | END_HEADERS, id, &[b"\x42\x04LOOK", &rest[..]].concat())
    };
    let cases: Vec<(&str, Vec<Vec<u8>>, Comes)> = vec![
        ("3.4: a request in one frame", vec![get(1)], Answer),
        ("4.1: a frame of a kind that nobody knows", vec![frame(0xbe, 0xff, 0, b"x"), get(1)], Answer),
        ("4.1: flags that nobody knows, and the reserved bit", vec![frame(PING, 0xfe, 1 << 31, b"whatever")], Nothing),
        ("4.2: fields in a frame that is too large", vec![frame(HEADERS, 5, 1, &[0; 16_385])], End(SIZE)),
        ("4.2: content in a frame that is too large", vec![open(1), frame(DATA, 1, 1, &[0; 16_385])], Reset(SIZE)),
        ("4.2: content in the largest frame", vec![open(1), frame(DATA, 1, 1, &[0; 16_384])], Answer),
        ("4.3: fields that cannot be read", vec![frame(HEADERS, 5, 1, &[0x80])], End(COMPRESSION)),
        (
            "4.3: fields cut by a frame of another kind",
            vec![frame(HEADERS, END_STREAM, 1, a), ping(0, 0), frame(CONTINUATION, END_HEADERS, 1, b)],
            End(PROTOCOL),
        ),
        (
            "4.3: fields cut by those of another stream",
            vec![frame(HEADERS, END_STREAM, 1, a), get(3), frame(CONTINUATION, END_HEADERS, 1, b)],
            End(PROTOCOL),
        ),
        (
            "4.3: cut by what nobody knows",
            vec![frame(HEADERS, END_STREAM, 1, a), frame(0xbe, 0, 0, b"")],
            End(PROTOCOL),
        ),
        (
            "6.10: fields in many frames",
            vec![
                frame(HEADERS, END_STREAM, 1, &a[..10]),
                frame(CONTINUATION, 0, 1, &a[10..]),
                frame(CONTINUATION, END_HEADERS, 1, b),
            ],
            Answer,
        ),
        ("5.1: content on an idle stream", vec![frame(DATA, END_STREAM, 1, b"x")], End(PROTOCOL)),
        ("5.1: a reset of an idle stream", vec![reset(1)], End(PROTOCOL)),
        ("5.1: room on an idle stream", vec![increment(1, 100)], End(PROTOCOL)),
        ("5.1: more fields on an idle stream", vec![frame(CONTINUATION, END_HEADERS, 1, &page)], End(PROTOCOL)),
        ("5.1: content behind the end", vec![wait(1), frame(DATA, END_STREAM, 1, b"x")], Reset(CLOSED)),
        ("5.1: fields behind the end", vec![wait(1), wait(1)], Reset(CLOSED)),
        ("5.1: more fields behind the end", vec![wait(1), frame(CONTINUATION, 4, 1, &page)], End(PROTOCOL)),
        ("5.1: a priority behind the end", vec![wait(1), frame(PRIORITY, 0, 1, &priority), get(3)], Answer),
        ("5.1: room behind the end", vec![wait(1), increment(1, 100), get(3)], Answer),
        ("5.1: content behind a reset", vec![open(1), reset(1), frame(DATA, END_STREAM, 1, b"x")], Reset(CLOSED)),
        ("5.1: fields behind a reset", vec![open(1), reset(1), open(1)], Reset(CLOSED)),
        ("5.1.1: a stream of the server's", vec![get(2)], End(PROTOCOL)),
        ("5.1.1: an earlier number", vec![wait(5), wait(3)], End(&[PROTOCOL_ERROR, STREAM_CLOSED])),
        (
            "5.1.2: more at once than are allowed",
            vec![(0..101).flat_map(|n| wait(2 * n + 1)).collect()],
            Reset(&[PROTOCOL_ERROR, REFUSED_STREAM]),
        ),
        ("5.3: a priority of five bytes", vec![frame(PRIORITY, 0, 1, &priority), get(3)], Answer),
        (
            "5.3.1: a stream that depends on itself",
            vec![frame(HEADERS, WITH_PRIORITY | 5, 1, &[&[0, 0, 0, 1, 15][..], &page].concat())],
            Reset(PROTOCOL),
        ),
        ("6.1: content on no stream", vec![frame(DATA, 0, 0, b"x")], End(PROTOCOL)),
        ("6.1: padding longer than its frame", vec![open(1), frame(DATA, PADDED, 1, b"\x09abc")], End(PROTOCOL)),
        ("6.1: padded content", vec![open(1), frame(DATA, PADDED | END_STREAM, 1, b"\x02abc\0\0")], Answer),
        ("6.2: fields on no stream", vec![frame(HEADERS, 5, 0, &page)], End(PROTOCOL)),
        ("6.2: padding longer than its frame", vec![frame(HEADERS, PADDED | 5, 1, b"\xff\x82")], End(PROTOCOL)),
        (
            "6.2: fields with padding and a priority",
            vec![frame(HEADERS, PADDED | WITH_PRIORITY | 5, 1, &[&[3][..], &priority, &page, &[0; 3]].concat())],
            Answer,
        ),
        ("6.3: a priority on no stream", vec![frame(PRIORITY, 0, 0, &priority)], End(PROTOCOL)),
        ("6.3: a priority of four bytes", vec![frame(PRIORITY, 0, 1, &priority[..4])], Reset(SIZE)),
        ("6.4: a reset on no stream", vec![reset(0)], End(PROTOCOL)),
        ("6.4: a reset of three bytes", vec![wait(1), frame(RST_STREAM, 0, 1, &[0; 3])], End(SIZE)),
        ("6.5: an acknowledgement that says something", vec![frame(SETTINGS, ACK, 0, &[0; 6])], End(SIZE)),
        ("6.5: settings on a stream", vec![frame(SETTINGS, 0, 1, &[])], End(PROTOCOL)),
        ("6.5: settings of five bytes", vec![frame(SETTINGS, 0, 0, &[0; 5])], End(SIZE)),
        ("6.5.2: a push that is neither on nor off", vec![setting(2, 2)], End(PROTOCOL)),
        ("6.5.2: a window that is too large", vec![setting(4, 1 << 31)], End(FLOW)),
        ("6.5.2: frames that are too small", vec![setting(5, 16_383)], End(PROTOCOL)),
        ("6.5.2: frames that are too large", vec![setting(5, 1 << 24)], End(PROTOCOL)),
        ("6.5.2: a setting that nobody knows", vec![setting(0xbeef, 1), get(1)], Answer),
        ("6.5.3: a table of no fields", vec![setting(1, 0), get(1)], Answer),
        ("6.6: a push by the client", vec![frame(PUSH_PROMISE, END_HEADERS, 1, &page)], End(PROTOCOL)),
        ("6.7: a ping", vec![ping(0, 0)], Nothing),
        ("6.7: an answer to no ping", vec![ping(0, ACK)], Nothing),
        ("6.7: a ping on a stream", vec![ping(1, 0)], End(PROTOCOL)),
        ("6.7: a ping of seven bytes", vec![frame(PING, 0, 0, &[0; 7])], End(SIZE)),
        ("6.8: a goodbye on a stream", vec![frame(GOAWAY, 0, 1, &[0; 8])], End(PROTOCOL)),
        ("6.9: no room at all, for all", vec![increment(0, 0)], End(PROTOCOL)),
        ("6.9: no room at all, for one", vec![wait(1), increment(1, 0)], Reset(PROTOCOL)),
        ("6.9: room in three bytes", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])], End(SIZE)),
        ("6.9.1: too much room, for all", vec![increment(0, (1 << 31) - 1)], End(FLOW)),
        ("6.9.1: too much room, for one", vec![wait(1), increment(1, (1 << 31) - 1)], Reset(FLOW)),
        (
            "6.9.1: more content than there is room for",
            vec![open(1), vec![frame(DATA, 0, 1, &[0; 16_384]); 70].concat()],
            Reset(FLOW),
        ),
        ("6.10: more fields on no stream", vec![frame(HEADERS, 1, 1, a), frame(CONTINUATION, 4, 0, b)], End(PROTOCOL)),
        ("6.10: more fields behind the last", vec![wait(1), frame(CONTINUATION, 4, 3, b)], End(PROTOCOL)),
        (
            "8.1: trailers that do not end it",
            vec![open(1), frame(HEADERS, END_HEADERS, 1, &literals(&[("x", "y")]))],
            Reset(PROTOCOL),
        ),
        (
            "8.1.1: less content than was said",
            vec![
                frame(HEADERS, END_HEADERS, 1, &block(&pseudo("POST", "/page"), &[("content-length", "5")])),
                frame(DATA, END_STREAM, 1, b"four"),
            ],
            Reset(PROTOCOL),
        ),
        (
            "8.1.1: more content than was said",
            vec![
                frame(HEADERS, END_HEADERS, 1, &block(&pseudo("POST", "/page"), &[("content-length", "3")])),
                frame(DATA, 0, 1, b"four"),
            ],
            Reset(PROTOCOL),
        ),
        ("8.1.1: none at all", vec![asked("POST", "/page", &[("content-length", "5")])], Reset(PROTOCOL)),
        (
            "8.1.1: two lengths",
            vec![frame(
                HEADERS,
                END_HEADERS,
                1,
                &block(&pseudo("POST", "/page"), &[("content-length", "3"), ("content-length", "4")]),
            )],
            Reset(PROTOCOL),
        ),
        ("8.2.1: a name in upper case", vec![asked("GET", "/page", &[("X-Upper", "y")])], Reset(PROTOCOL)),
        ("8.2.1: a value with an end of line", vec![asked("GET", "/page", &[("x", "a\r\nb: c")])], Reset(PROTOCOL)),
        ("8.2.1: a name with a space", vec![asked("GET", "/page", &[("x y", "z")])], Reset(PROTOCOL)),
        ("8.2.2: connection", vec![asked("GET", "/page", &[("connection", "keep-alive")])], Reset(PROTOCOL)),
        ("8.2.2: keep-alive", vec![asked("GET", "/page", &[("keep-alive", "5")])], Reset(PROTOCOL)),
        ("8.2.2: proxy-connection", vec![asked("GET", "/page", &[("proxy-connection", "close")])], Reset(PROTOCOL)),
        ("8.2.2: transfer-encoding", vec![asked("GET", "/page", &[("transfer-encoding", "chunked")])], Reset(PROTOCOL)),
        ("8.2.2: upgrade", vec![asked("GET", "/page", &[("upgrade", "websocket")])], Reset(PROTOCOL)),
        ("8.2.2: te for something else", vec![asked("GET", "/page", &[("te", "trailers, gzip")])], Reset(PROTOCOL)),
        ("8.2.2: te for trailers", vec![asked("GET", "/page", &[("te", "trailers")])], Answer),
        ("8.3: a pseudo field that nobody knows", vec![asked("GET", "/page", &[(":x", "y")])], Reset(PROTOCOL)),
        ("8.3: one of answers", vec![asked("GET", "/page", &[(":status", "200")])], Reset(PROTOCOL)),
        (
            "8.3: one behind others",
            vec![bare(&[(":method", "GET"), (":scheme", "https"), ("x", "y"), (":path", "/page")])],
            Reset(PROTOCOL),
        ),
        ("4.3: trailers that end within a field", trailers(&[&x_y[..x_y.len() - 1]]), End(COMPRESSION)),
        ("8.3: one in trailers", trailers(&[&literals(&[(":method", "GET")])]), Reset(PROTOCOL)),
        ("8.3: one of answers in trailers", trailers(&[&[0x80 | 8]]), Reset(PROTOCOL)),
        ("8.3: one by its number, in trailers", trailers(&[&[0x80 | 2]]), Reset(PROTOCOL)),
        ("8.3: its name by its number, in trailers", trailers(&[b"\x04\x01/"]), Reset(PROTOCOL)),
        ("8.3: its name in fewer bits, in trailers", trailers(&[b"\x00\x84\xb9\x58\xd3\x3f\x01/"]), Reset(PROTOCOL)),
        ("8.3: one that nobody knows, in trailers", trailers(&[&literals(&[(":x", "y")])]), Reset(PROTOCOL)),
        (
            "8.3: one of an earlier request, in trailers",
            [vec![kept(1)], trailers(&[&[0x80 | 62]])].concat(),
            Reset(PROTOCOL),
        ),
        (
            "8.3: its name of an earlier request, in trailers",
            [vec![kept(1)], trailers(&[b"\x0f\x2f\x01/"])].concat(),
            Reset(PROTOCOL),
        ),
        ("8.3: one behind others, in trailers", trailers(&[&x_y, &[0x80 | 4]]), Reset(PROTOCOL)),
        ("8.3: one behind a new size, in trailers", trailers(&[&[0x20, 0x3f, 0x01, 0x80 | 4]]), Reset(PROTOCOL)),
        ("8.3: one in the second piece of trailers", trailers(&[&x_y, b"\x04", b"\x01/"]), Reset(PROTOCOL)),
        ("8.3: one in front of a cut, in trailers", trailers(&[&[0x80 | 2, 0], &x_y[1..]]), Reset(PROTOCOL)),
        (
            "8.3: one in trailers with padding and a priority",
            vec![
                open(1),
                frame(HEADERS, PADDED | WITH_PRIORITY | 5, 1, &[&[3][..], &priority, &[0x84], &[0; 3]].concat()),
            ],
            Reset(PROTOCOL),
        ),
        (
            "8.3: trailers with padding and a priority",
            vec![
                open(1),
                frame(HEADERS, PADDED | WITH_PRIORITY | 5, 1, &[&[3][..], &priority, &x_y, &[0; 3]].concat()),
            ],
            Answer,
        ),
        ("8.3: trailers behind a new size", trailers(&[&[0x20, 0x3f, 0x01], &x_y]), Answer),
        ("8.3: trailers in many pieces", trailers(&x_y.chunks(1).collect::<Vec<_>>()), Answer),
        ("8.3: trailers that say nothing", trailers(&[&[]]), Answer),
        ("8.3: trailers in the largest frame", trailers(&[&literals(&[("x", &"y".repeat(16_384 - 7))])]), Answer),
        ("8.3: trailers in more than one", trailers(&[&long, &long]), Answer),
        (
            "6.2: trailers with padding longer than they are",
            vec![open(1), frame(HEADERS, PADDED | 5, 1, b"\xff\x82")],
            End(PROTOCOL),
        ),
        (
            "6.10: trailers cut by a frame of another kind",
            vec![open(1), frame(HEADERS, 1, 1, &x_y), ping(0, 0)],
            End(PROTOCOL),
        ),
        (
            "6.10: trailers cut by those of another stream",
            vec![open(1), frame(HEADERS, 1, 1, &x_y), frame(CONTINUATION, 4, 3, &x_y)],
            End(PROTOCOL),
        ),
        ("8.3.1: one twice", vec![asked("GET", "/page", &[(":method", "GET")])], Reset(PROTOCOL)),
        ("8.3.1: no method", vec![bare(&[(":scheme", "https"), (":path", "/page"), ("host", &host)])], Reset(PROTOCOL)),
        ("8.3.1: no scheme", vec![bare(&[(":method", "GET"), (":path", "/page"), ("host", &host)])], Reset(PROTOCOL)),
        ("8.3.1: no path", vec![bare(&[(":method", "GET"), (":scheme", "https"), ("host", &host)])], Refused),
        ("8.3.1: an empty path", vec![asked("GET", "", &[])], Reset(PROTOCOL)),
        (
            "8.3.1: a host field and no authority",
            vec![bare(&[(":method", "GET"), (":scheme", "https"), (":path", "/page"), ("host", &host)])],
            Answer,
        ),
        (
            "8.5: CONNECT with a protocol",
            vec![bare(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "https"),
                (":authority", &host),
                (":path", "/page"),
            ])],
            Reset(PROTOCOL),
        ),
    ];
    assert!(cases.len() >= 40);
    let config = stage.client(&["h2"]);
    let mut wrong = Vec::new();
    for (case, sent, comes) in cases {
        let mut frames = Frames::over(stage.inside(&config));
        frames.connection.patience(PATIENCE / 2);
        sent.iter().for_each(|bytes| frames.send(bytes));
        // What comes before the answer to this is of what was sent before, but for an answer that takes its time.
        let last = b"the last";
        frames.send(frame(PING, 0, 0, last));
        let (mut seen, mut ponged) = (Vec::new(), false);
        let is_over = |frame: &RawFrame, comes: &Comes, ponged: bool| match comes {
            Answer | Refused => frame.kind == HEADERS && frame.stream > 0,
            Nothing => ponged,
            Reset(_) => frame.kind == RST_STREAM || frame.kind == GOAWAY,
            End(_) => frame.kind == GOAWAY,
        };
        while let Some(frame) = frames.next() {
            ponged |= frame.kind == PING && frame.flags == ACK && frame.content == last;
            seen.push(frame);
            if is_over(seen.last().unwrap(), &comes, ponged) {
                break;
            }
        }
        let end = seen.last().filter(|frame| frame.kind == GOAWAY).map(RawFrame::code);
        let stream = seen.last().filter(|frame| frame.kind == RST_STREAM).map(RawFrame::code);
        let is_right = match comes {
            End(codes) => end.is_none_or(|code| codes.contains(&code)) && stream.is_none(),
            Reset(codes) => end.or(stream).is_none_or(|code| codes.contains(&code)),
            Nothing => ponged && end.is_none(),
            Refused => {
                seen.last().is_some_and(|frame| frame.kind == HEADERS && frame.content.first() == Some(&STATUS_400))
            }
            Answer => end.is_none() && seen.last().is_some_and(|frame| frame.kind == HEADERS),
        };
        if !is_right || end == Some(NO_ERROR) || frames.is_silent {
            let seen: Vec<_> =
                seen.iter().map(|f| (f.kind, f.flags, f.stream, &f.content[..f.content.len().min(12)])).collect();
            wrong.push(format!("{case}: {seen:?}"));
        }
    }
    gate.open();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
