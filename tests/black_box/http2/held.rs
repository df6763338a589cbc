//! What is held for clients that take nothing, whatever else is open on their connections: it is told as what it is, and bounded.

use super::bounds::{ENHANCE_YOUR_CALM, get, goaway, is_served};
use crate::support::http2::*;
use crate::support::*;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const KEEP: &str = "Cache-Control: max-age=60\r\n";

/// What may be held of answers that no client takes, and what a process may take for it.
const ANSWERS: u64 = 64 * MIB;
const TAKEN: u64 = ANSWERS * 7 / 4;

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// Streams without a window for what is answered.
fn no_window() -> Vec<u8> {
    setting(4, 0)
}

/// And with one that has no end.
fn endless_window() -> Vec<u8> {
    let widest = (1u32 << 31) - 1;
    [setting(4, widest), frame(WINDOW_UPDATE, 0, 0, &(widest - 65_535).to_be_bytes())].concat()
}

/// `ringhold_held_bytes` of the front.
fn told(stage: &Intercepted, kind: &str) -> u64 {
    stage.cluster.metric(&format!("ringhold_held_bytes{{process=\"front\",kind=\"{kind}\"}}"))
}

fn front(stage: &Intercepted) -> u64 {
    process::private(stage.cluster.pid())
}

/// A client that asks for 100 of these, each path with a number where it ends so, after it has sent this.
fn asks(stage: &Intercepted, first: &[u8], path: &str) -> Frames {
    let mut frames = stage.frames();
    let path = |n| if path.ends_with('/') { format!("{path}{n}") } else { path.to_owned() };
    let all = (0..100).flat_map(|n| get(stage, 2 * n + 1, &path(n)));
    frames.send([first, &all.collect::<Vec<u8>>()].concat());
    frames
}

#[test]
fn fields_that_do_not_end_are_told_and_given_up_whatever_else_is_open() {
    let stage = Intercepted::with(|setup, _| setup.set("timeouts", "header", "2s"));
    let gate = Gate::default();
    let held = gate.clone();
    stage.origin.on("/late*", move |x| held.wait().and_then(|()| x.reply(200, KEEP, "late")));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "x".repeat(30_000)));
    let host = stage.host();
    let post = [(":method", "POST"), (":scheme", "https"), (":authority", &*host), (":path", "/late")];
    let opened = [
        get(&stage, 1, "/late"),
        [no_window(), get(&stage, 1, "/page")].concat(),
        frame(HEADERS, END_HEADERS, 1, &literals(&post)),
    ];
    for (n, opened) in opened.iter().enumerate() {
        let mut frames = stage.frames();
        frames.send(opened);
        if n == 1 {
            assert!(frames.until(|frame| frame.kind == HEADERS).is_some(), "the answer has begun");
        } else {
            stage.origin.until_asked("/late", 1 + n / 2);
        }
        frames.send(frame(HEADERS, END_STREAM, 3, &literals(&[(":method", "GET")])));
        frames.send(frame(CONTINUATION, 0, 3, &literals(&[("x", &"y".repeat(16_000))])));
        until_true("what has come of it is told", PATIENCE, || told(&stage, "heads") > 16_000);
        assert_eq!(goaway(&mut frames), Some(ENHANCE_YOUR_CALM), "{n}");
        until_true("nothing of it is held", PATIENCE, || told(&stage, "heads") == 0);
    }
    gate.open();
}

#[test]
fn fields_that_end_in_time_are_a_request_whatever_else_is_open() {
    let stage = Intercepted::with(|setup, _| setup.set("timeouts", "header", "1s"));
    let gate = Gate::default();
    let held = gate.clone();
    stage.origin.on("/late", move |x| held.wait().and_then(|()| x.reply(200, KEEP, "late")));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let mut frames = stage.frames();
    frames.send(get(&stage, 1, "/late"));
    for n in 1..4 {
        let (whole, id) = (get(&stage, 2 * n + 1, "/page"), 2 * n + 1);
        frames.send(&whole[..20]);
        std::thread::sleep(Duration::from_millis(600));
        frames.send(&whole[20..]);
        assert!(frames.until(|frame| frame.kind == DATA && frame.stream == id).is_some(), "{n}");
    }
    gate.open();
    assert!(frames.until(|frame| frame.kind == DATA && frame.stream == 1).is_some());
}

#[test]
fn interim_responses_that_a_client_does_not_take_are_as_few_as_by_http_1() {
    let stage = Intercepted::with(|setup, _| setup.nodes(1));
    let gate = Gate::default();
    let held = gate.clone();
    let early = format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", format!("Link: <{}>\r\n", "y".repeat(950)).repeat(4));
    stage.origin.on("/early/*", move |x| {
        for _ in 0..100 {
            x.raw(early.as_bytes())?;
            std::thread::sleep(Duration::from_millis(10));
        }
        held.wait()?;
        x.reply(200, KEEP, "at last")
    });
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let before = front(&stage);
    let mut frames = asks(&stage, &endless_window(), "/early/");
    stage.origin.until_asked("/early/*", 100);
    let mut most = 0;
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(150));
        most = most.max(front(&stage).saturating_sub(before));
    }
    eprintln!("{} KiB for 100 streams that are not read", most >> 10);
    assert!(most < 10 * MIB, "{} KiB of 40 MB that came", most >> 10);
    // It waits for the answers alone, and has them.
    gate.open();
    let mut ended = 0;
    while ended < 100 {
        let frame = frames.next().expect("the connection goes on");
        ended += usize::from(frame.flags & END_STREAM > 0 && matches!(frame.kind, DATA | HEADERS));
    }
}

#[test]
fn answers_without_a_window_are_told_and_bounded() {
    let stage = Intercepted::new();
    stage.origin.on("/answer/*", |x| x.reply(200, "Cache-Control: no-store\r\n", "x".repeat(16_000)));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let before = front(&stage);
    let mut clients = Vec::new();
    let grown = || front(&stage).saturating_sub(before);
    for n in 0..10 {
        clients.push(asks(&stage, &no_window(), &format!("/answer/{n}/")));
        stage.origin.until_asked(&format!("/answer/{n}/*"), 100);
    }
    until_true("they are told as what they are", PATIENCE, || {
        let (answers, others) = (told(&stage, "answers"), told(&stage, "connections"));
        // Code that is not optimised takes more for each task.
        answers > 16 * MIB && others < 4 * MIB && (answers + others).abs_diff(grown()) < grown() / 8 + 16 * MIB
    });
    assert_eq!(stage.cluster.metric("ringhold_front_readers_cut_total"), 0, "there is room for that");
    let mut most = 0;
    for n in 10..70 {
        clients.push(asks(&stage, &no_window(), &format!("/answer/{n}/")));
        stage.origin.until_asked(&format!("/answer/{n}/*"), 100);
        most = most.max(grown());
    }
    for _ in 0..10 {
        most = most.max(grown());
        assert!(told(&stage, "answers") <= ANSWERS);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(stage.cluster.metric("ringhold_front_readers_cut_total") > 1000);
    assert!(most < TAKEN, "{} MiB", most / MIB);
    // Who has waited for longest was cut, and who waits for less has not.
    let is_cut = |frame: &RawFrame| frame.kind == RST_STREAM && frame.code() == 8;
    assert!(clients[0].until(is_cut).is_some());
    // With all that was cut its connection ends, since that keeps some of each.
    assert!(goaway(&mut clients[0]).is_none_or(|code| code == ENHANCE_YOUR_CALM));
    is_served(&stage);
}

#[test]
fn large_heads_and_content_that_nobody_reads_are_told_and_bounded() {
    let stage = Intercepted::new();
    let fields = format!("X: {}\r\n", "y".repeat(950)).repeat(55);
    stage.origin.on("/heads", move |x| x.reply(200, &format!("{KEEP}{fields}"), ""));
    stage.origin.on("/large", |x| x.reply(200, KEEP, "x".repeat(300_000)));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let before = front(&stage);
    for (path, clients) in [("/heads", 30), ("/large", 12)] {
        stage.http2().get(&stage.url(path));
        let mut most = 0;
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let client = asks(&stage, &endless_window(), path);
                most = most.max(front(&stage).saturating_sub(before));
                client
            })
            .collect();
        until_true("they are told", PATIENCE, || {
            most = most.max(front(&stage).saturating_sub(before));
            told(&stage, "answers") > ANSWERS / 2
        });
        for _ in 0..20 {
            most = most.max(front(&stage).saturating_sub(before));
            assert!(told(&stage, "answers") <= ANSWERS);
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{path}: {} MiB, told {} KiB", most / MIB, told(&stage, "answers") >> 10);
        assert!(most < TAKEN, "{path}: {} MiB", most / MIB);
        is_served(&stage);
        drop(clients);
        until_true("nothing is held", PATIENCE, || told(&stage, "answers") == 0);
    }
}

#[test]
fn what_connections_keep_of_the_streams_that_they_had_is_told() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let many = |clients: usize| -> Vec<Frames> {
        let ask = |_| {
            let mut client = asks(&stage, &endless_window(), "/page");
            let mut left = 100;
            while left > 0 {
                let frame = client.next().expect("an answer");
                left -= usize::from(frame.flags & END_STREAM > 0 && frame.kind == DATA);
            }
            client
        };
        (0..clients).map(ask).collect()
    };
    let warm = many(5);
    let before = front(&stage);
    let clients = many(60);
    until_true("it is told", PATIENCE, || {
        let (taken, told) = (front(&stage).saturating_sub(before), told(&stage, "connections"));
        told > 60 * 100 * 1024 && told < taken + 4 * MIB
    });
    drop((warm, clients));
    until_true("it is told no more", PATIENCE, || told(&stage, "connections") < 64 * 1024);
}
