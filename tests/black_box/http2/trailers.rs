//! Trailers of requests, by their frames.

use crate::support::http2::*;
use crate::support::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PROTOCOL_ERROR: u32 = 1;
const NO_STORE: &str = "Cache-Control: no-store\r\n";

/// Whose origin answers uploads with their trailers, and counts those that it had as a whole.
fn stage() -> (Intercepted, Arc<AtomicUsize>) {
    let (stage, whole) = (Intercepted::new(), Arc::new(AtomicUsize::new(0)));
    let counted = whole.clone();
    stage.origin.on("/upload", move |x| {
        let trailers = x.body(|_| {})?;
        counted.fetch_add(1, Relaxed);
        x.reply(200, NO_STORE, format!("{:?}", trailers.iter().map(|(name, _)| name).collect::<Vec<_>>()))
    });
    (stage, whole)
}

/// A request whose content is to come.
fn upload(stage: &Intercepted, id: u32) -> Vec<u8> {
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", &stage.host()), (":path", "/upload")];
    [frame(HEADERS, END_HEADERS, id, &literals(&fields)), frame(DATA, 0, id, b"content")].concat()
}

/// The content of the answer to it.
fn answer(frames: &mut Frames, id: u32) -> String {
    let content = frames.until(|frame| frame.kind == DATA && frame.stream == id).expect("an answer");
    String::from_utf8(content.content).unwrap()
}

#[test]
fn a_request_with_pseudo_fields_in_its_trailers_is_reset_alone_and_has_no_end_at_the_origin() {
    let (stage, whole) = stage();
    let x_y = literals(&[("x", "y")]);
    // A field that the table has from here on, in front of one that is refused.
    let kept = b"\x40\x01k\x01v";
    for (trailers, refused) in [
        (&literals(&[(":path", "/")])[..], true),
        (&[0x84], true),
        (&[kept, &[0x84][..]].concat(), true),
        (&[&x_y[..], &[0x84]].concat(), true),
        (&[kept, &x_y[..]].concat(), false),
    ] {
        let (mut frames, before) = (stage.frames(), whole.load(Relaxed));
        frames.send(upload(&stage, 1));
        stage.origin.until_asked("/upload", 1);
        frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, trailers));
        if refused {
            let reset = frames.until(|frame| frame.kind == RST_STREAM).expect("a reset");
            assert_eq!((reset.stream, reset.code()), (1, PROTOCOL_ERROR), "{trailers:?}");
        } else {
            assert_eq!(answer(&mut frames, 1), r#"["k", "x"]"#);
        }
        // The others go on, and what the table has is as the client has it.
        let (own, expected) =
            if trailers.starts_with(kept) { (&[0x80 | 62][..], r#"["k"]"#) } else { (&x_y[..], r#"["x"]"#) };
        frames.send(upload(&stage, 3));
        frames.send(frame(HEADERS, END_STREAM | END_HEADERS, 3, own));
        assert_eq!(answer(&mut frames, 3), expected, "{trailers:?}");
        assert_eq!(whole.load(Relaxed) - before, 2 - usize::from(refused), "{trailers:?}");
    }
}

#[test]
fn trailers_arrive_as_they_were_sent_however_they_are_cut() {
    let (stage, _) = stage();
    let fields = [("x-a", "1"), ("x-b", "2"), ("set-cookie", "a=b")];
    let block = literals(&fields);
    for piece in [1, 10, 1000] {
        let mut frames = stage.frames();
        // All of it in records of so many bytes, of several requests at once.
        let mut sent = Vec::new();
        for id in [1, 3, 5] {
            sent.extend(upload(&stage, id));
        }
        for id in [3, 1, 5] {
            sent.extend(frame(HEADERS, END_STREAM, id, &block[..5]));
            sent.extend(frame(CONTINUATION, END_HEADERS, id, &block[5..]));
        }
        sent.chunks(piece).for_each(|bytes| frames.send(bytes));
        for _ in 0..3 {
            let content = frames.until(|frame| frame.kind == DATA).expect("an answer");
            assert_eq!(content.content, br#"["x-a", "x-b"]"#);
        }
    }
}

#[test]
fn trailers_that_are_longer_than_they_may_be_are_refused_and_none_of_them_is_left_out() {
    let (stage, whole) = stage();
    let value = "v".repeat(1000);
    // `limits.head` is 64 KiB. For much more the library ends the connection.
    for (count, fits) in [(5, true), (15, true), (20, true), (60, true), (64, false), (100, false), (200, false)] {
        let names: Vec<String> = (0..count).map(|n| format!("x-{n}")).collect();
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], &value[..])).collect();
        let (client, before) = (stage.http2(), whole.load(Relaxed));
        let mut stream = client.begin("POST", &stage.url("/upload"), &[], false).unwrap();
        stream.send(b"content", false).unwrap();
        stream.send_trailers(&fields);
        let answer = stream.answer().and_then(Http2Answer::whole).map(|answer| (answer.status, answer.text()));
        let had = whole.load(Relaxed) - before;
        match &answer {
            Ok((200, text)) => assert!(fits && had == 1 && *text == format!("{names:?}"), "{count}: {had} {text}"),
            Ok((400, text)) => {
                assert_eq!(text, "The request body broke off: its trailers are too long.\n");
                assert!(!fits && had == 0, "{count}: {had}");
            }
            _ => assert!(count == 200 && had == 0, "{count}: {had} {answer:?}"),
        }
    }
}
