//! What clients may do at once, for how long, and what is held for them.

use crate::support::http2::*;
use crate::support::*;
use h2::Reason;
use rustix::process::Signal;
use std::time::Instant;

const KEEP: &str = "Cache-Control: max-age=60\r\n";
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A front may keep so much more after an attack: what it has learned, and pools that have grown.
const FLAT: u64 = 24 << 20;

pub fn get(stage: &Intercepted, id: u32, path: &str) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", &stage.host()), (":path", path)];
    frame(HEADERS, END_STREAM | END_HEADERS, id, &literals(&fields))
}

pub fn is_served(stage: &Intercepted) {
    let answer = stage.http2().get(&stage.url("/page"));
    assert_eq!(answer.text(), "page", "others are served");
}

/// GOAWAY and its reason, or else the end; `None`: the end alone.
pub fn goaway(frames: &mut Frames) -> Option<u32> {
    let told = frames.until(|frame| frame.kind == GOAWAY && frame.code() != 0).map(|frame| frame.code());
    assert!(!frames.is_silent, "the connection ends");
    told
}

/// It was told, and had nothing left to say, or said it to nobody.
fn is_in_order(end: &str) -> bool {
    ["in order", "broken pipe"].contains(&end)
}

#[test]
fn a_hundred_requests_run_at_once_on_one_connection() {
    let stage = Intercepted::new();
    let gate = Gate::default();
    let held = gate.clone();
    stage.origin.on("/held*", move |x| {
        held.wait()?;
        let target = x.target().to_owned();
        x.reply(200, KEEP, target)
    });
    let client = stage.http2();
    let paths: Vec<String> = (0..100).map(|n| format!("/held/{n}")).collect();
    let streams: Vec<_> = paths.iter().map(|path| client.begin("GET", &stage.url(path), &[], true).unwrap()).collect();
    stage.origin.until_asked("/held*", 100);
    gate.open();
    for (stream, path) in streams.into_iter().zip(&paths) {
        let answer = stream.answer().unwrap().whole().unwrap();
        assert_eq!((answer.status, &answer.text()), (200, path));
    }
    assert_eq!(stage.cluster.metric("ringhold_front_tls_handshakes_total"), 1);
}

#[test]
fn who_reads_one_answer_slowly_has_the_others_quickly() {
    let stage = Intercepted::new();
    const LONG: u64 = 3_000_000;
    stage.origin.on("/long", |x| {
        x.begin_sized(KEEP, LONG)?;
        x.noise(1, LONG)
    });
    stage.origin.on("/quick*", |x| x.reply(200, KEEP, "x".repeat(20_000)));
    let client = Http2::over(stage.inside(&stage.client(&["h2"])));
    let mut slow = client.begin("GET", &stage.url("/long"), &[], true).unwrap().answer().unwrap();
    let mut read = slow.piece().unwrap().unwrap().len();
    for n in 0..50 {
        assert_eq!(client.get(&stage.url(&format!("/quick/{n}"))).body.len(), 20_000);
    }
    while let Some(piece) = slow.piece().unwrap() {
        read += piece.len();
    }
    assert_eq!(read as u64, LONG);
}

#[test]
fn requests_that_are_reset_at_once_end_their_connection() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let before = process::resident(stage.cluster.pid());
    let mut frames = stage.frames();
    let mut sent = 0;
    while sent < 10_000 {
        let mut pairs = Vec::new();
        for n in sent..sent + 500 {
            pairs.extend_from_slice(&get(&stage, 2 * n + 1, "/other"));
            pairs.extend_from_slice(&frame(RST_STREAM, 0, 2 * n + 1, &8u32.to_be_bytes()));
        }
        sent += 500;
        if frames.try_send(&pairs).is_err() {
            break;
        }
    }
    if let Some(code) = goaway(&mut frames) {
        assert_eq!(code, ENHANCE_YOUR_CALM);
    }
    assert!(stage.origin.count("/other") < 1000, "{}", stage.origin.count("/other"));
    is_served(&stage);
    let after = process::resident(stage.cluster.pid());
    assert!(after < before + FLAT, "{before} {after}");
}

#[test]
fn endless_fields_end_their_connection() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let before = process::resident(stage.cluster.pid());
    let host = stage.host();
    let first = literals(&[(":method", "GET"), (":scheme", "https"), (":authority", &*host), (":path", "/page")]);
    let pieces = [Vec::new(), literals(&[("x", "y")]), literals(&[("x", &"y".repeat(16_000))])];
    for (piece, are_trailers) in pieces.iter().flat_map(|piece| [(piece, false), (piece, true)]) {
        let mut frames = stage.frames();
        if are_trailers {
            frames.send(frame(HEADERS, END_HEADERS, 1, &first));
        }
        frames.send(frame(HEADERS, END_STREAM, 1, if are_trailers { &[] } else { &first }));
        let flood = frame(CONTINUATION, 0, 1, piece).repeat(if piece.len() > 100 { 4 } else { 500 });
        let mut sent = 0;
        while sent < 100 << 20 && frames.try_send(&flood).is_ok() {
            sent += flood.len();
        }
        assert!(sent < 100 << 20, "it ends");
    }
    is_served(&stage);
    let after = process::resident(stage.cluster.pid());
    assert!(after < before + FLAT, "{before} {after}");
}

#[test]
fn fields_that_do_not_end_in_time_are_given_up() {
    let stage = Intercepted::with(|setup, _| setup.set("timeouts", "header", "500ms"));
    for begun in
        [frame(HEADERS, END_STREAM, 1, &literals(&[(":method", "GET")])), frame(HEADERS, 5, 1, &[0; 40])[..20].to_vec()]
    {
        let mut frames = stage.frames();
        frames.send(begun);
        let began = Instant::now();
        let code = goaway(&mut frames);
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
        assert!(began.elapsed() < PATIENCE);
    }
    // Nor does the preface.
    let mut frames = Frames::silent(stage.inside(&stage.client(&["h2"])));
    frames.send(&PREFACE[..10]);
    assert_eq!(goaway(&mut frames), None);
}

#[test]
fn a_head_that_is_too_long_is_431_and_its_connection_goes_on() {
    let stage = Intercepted::with(|setup, _| setup.set("limits", "head", "8KiB").set("limits", "fields", 20));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    let (url, long) = (stage.url("/page"), "x".repeat(3000));
    let many: Vec<(String, &str)> = (0..30).map(|n| (format!("x-{n}"), "y")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(client.ask("GET", &url, &many, b"").unwrap().status, 431);
    // The library that refuses it by the length tells it by the status alone, or resets.
    match client.ask("GET", &url, &[("a", &long), ("b", &long), ("c", &long)], b"") {
        Ok(answer) => assert_eq!(answer.status, 431),
        Err(reset) => assert!(reset.is_reset(), "{reset}"),
    }
    assert_eq!(client.get(&url).text(), "page");
    assert_eq!(stage.origin.count("/page"), 1);
}

#[test]
fn pings_and_settings_are_answered_and_keep_nobody_from_being_idle() {
    let stage = Intercepted::with(|setup, _| setup.set("timeouts", "idle", "1s"));
    let mut frames = stage.frames();
    for flood in [frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0, &[])] {
        frames.send(flood.repeat(5000));
        for _ in 0..5000 {
            let is_ack = |frame: &RawFrame| frame.kind == flood[3] && frame.flags == ACK;
            assert!(frames.until(is_ack).is_some(), "each is answered");
        }
    }
    let began = Instant::now();
    while frames.try_send(frame(PING, 0, 0, b"12345678")).is_ok() && frames.next().is_some_and(|f| f.kind != GOAWAY) {
        assert!(began.elapsed() < PATIENCE, "who pings is idle");
    }
    assert!(frames.until(|_| false).is_none() && !frames.is_silent);
}

#[test]
fn who_leaves_no_room_for_answers_has_them_reset_in_time() {
    let stage = Intercepted::with(|setup, _| setup.set("timeouts", "client_silence", "1s"));
    stage.origin.on("/large*", |x| x.reply(200, KEEP, vec![7; 200_000]));
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let before = process::resident(stage.cluster.pid());
    let client = Http2::with(stage.inside(&stage.client(&["h2"])), |builder| _ = builder.initial_window_size(0));
    let urls: Vec<String> = (0..100).map(|n| stage.url(&format!("/large/{n}"))).collect();
    let streams: Vec<_> = urls.iter().map(|url| client.begin("GET", url, &[], true).unwrap()).collect();
    for stream in streams {
        let mut answer = stream.answer().unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.piece().unwrap_err().reason(), Some(Reason::CANCEL));
    }
    stage.until_logged("client-silent");
    let after = process::resident(stage.cluster.pid());
    assert!(after < before + FLAT, "{before} {after}");
    // It is not the connection's fault.
    let none = client.ask("HEAD", &stage.url("/page"), &[], b"").unwrap();
    assert_eq!(none.status, 200);
    is_served(&stage);
}

#[test]
fn an_upload_that_stands_still_is_reset_in_time() {
    let stage = Intercepted::with(|setup, _| setup.set("timeouts", "client_silence", "1s"));
    stage.origin.on("/digest", |x| x.digest());
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    let mut upload = client.begin("POST", &stage.url("/digest"), &[("content-length", "100")], false).unwrap();
    upload.send(b"some", false).unwrap();
    let end = upload.answer().map(|answer| answer.status);
    assert!(end.as_ref().is_err_and(|e| e.reason() == Some(Reason::CANCEL)) || end.is_ok_and(|status| status == 408));
    assert_eq!(client.get(&stage.url("/page")).text(), "page");
}

#[test]
fn what_begins_otherwise_is_not_http_2() {
    // Nor is it what those say who do not trust us: they say nothing.
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    for preface in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", &[0; 24]] {
        let mut frames = Frames::silent(stage.inside(&stage.client(&["h2"])));
        frames.send(preface);
        assert!(goaway(&mut frames).is_none_or(|code| code == 1));
    }
    is_served(&stage);
}

#[test]
fn a_node_that_dies_within_a_body_breaks_that_stream_alone() {
    let stage = Intercepted::new();
    stage.origin.on("/large", |x| {
        x.begin_sized(KEEP, 10_000_000)?;
        x.noise(1, 300_000)?;
        x.until_closed()
    });
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    let mut answer = client.begin("GET", &stage.url("/large"), &[], true).unwrap().answer().unwrap();
    assert!(answer.piece().unwrap().is_some());
    stage.cluster.signal_node("n1", Signal::KILL);
    let broken = loop {
        match answer.piece() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("an end in order"),
            Err(e) => break e,
        }
    };
    assert_eq!(broken.reason(), Some(Reason::INTERNAL_ERROR), "{broken}");
    stage.until_logged("node-broke");
    until_true("the node runs again", PATIENCE, || {
        client.ask("GET", &stage.url("/page"), &[], b"").is_ok_and(|answer| answer.status == 200)
    });
    assert_eq!(client.end(), None);
}

#[test]
fn when_the_proxy_stops_what_runs_is_answered_and_the_connection_ends_in_order() {
    let mut stage = Intercepted::new();
    let gate = Gate::default();
    let held = gate.clone();
    stage.origin.on("/held", move |x| {
        held.wait()?;
        x.reply(200, KEEP, "at last")
    });
    let (client, idle) = (stage.http2(), stage.http2());
    let stream = client.begin("GET", &stage.url("/held"), &[], true).unwrap();
    stage.origin.until_asked("/held", 1);
    stage.cluster.signal(Signal::TERM);
    assert!(is_in_order(&idle.until_ended()));
    until_true("no other request begins", PATIENCE, || client.begin("GET", &stage.url("/x"), &[], true).is_err());
    gate.open();
    let answer = stream.answer().unwrap().whole().unwrap();
    assert_eq!(answer.text(), "at last");
    assert!(is_in_order(&client.until_ended()));
    until_true("it ends", PATIENCE, || stage.cluster.exit_status().is_some_and(|status| status.success()));
}

#[test]
fn when_a_node_joins_that_is_asked_in_clear_the_connection_ends() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let client = stage.http2();
    assert_eq!(client.get(&stage.url("/page")).text(), "page");
    let added = stage.cluster.manage("POST", "/v1/nodes", r#"{"id":"r1","address":"127.0.0.1:1"}"#);
    assert_eq!(added.status, 201, "{}", added.text());
    assert!(is_in_order(&client.until_ended()));
}

#[test]
fn an_idle_client_takes_little() {
    let stage = Intercepted::new();
    stage.origin.on("/page", |x| x.reply(200, KEEP, "page"));
    is_served(&stage);
    let (config, many) = (stage.client(&["h2"]), 100);
    let open = |_| {
        let mut frames = Frames::over(stage.inside(&config));
        frames.send(get(&stage, 1, "/page"));
        assert!(frames.until(|frame| frame.kind == DATA).is_some());
        frames
    };
    let warm: Vec<_> = (0..20).map(open).collect();
    let before = process::resident(stage.cluster.pid());
    let idle: Vec<_> = (0..many).map(open).collect();
    let each = process::resident(stage.cluster.pid()).saturating_sub(before) / many;
    drop((warm, idle));
    // The library's own buffers are most of it: it keeps 16 KiB to write into, 8 KiB to read into and 4 KiB for fields, of which
    // what was never used is not resident.
    assert!(each <= 32 * 1024, "{each} bytes");
    println!("an idle client of HTTP/2 takes {each} bytes");
}
