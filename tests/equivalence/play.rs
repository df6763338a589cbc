//! Plays one cell: asks what the case says in the way of the column, and writes down what was seen.

use super::asking::Client;
use super::case::{Ask, Case, End, get};
use super::column::{Column, Version, Way};
use super::place::{Counts, Running};
use super::seen::{self, Line};
use super::stage::Stage;
use super::text;
use crate::support::head::all;
use serde_json::Value;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// By then all is counted, or it is not at all.
const LATEST: Duration = Duration::from_secs(2);
/// What the origin answers before a cell begins.
const PRIMED: &str = "primed";

/// One cell, or rather what was seen of it.
#[derive(Default)]
pub struct Cell {
    pub lines: Vec<Line>,
    pub rounds: Vec<Round>,
    /// The access lines.
    pub logged: Vec<Line>,
}

#[derive(Default)]
pub struct Round {
    pub status: u16,
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub interim: Vec<u16>,
    pub asked: usize,
    pub end: Option<End>,
}

pub fn play(
    running: &mut Running,
    stage: &Stage,
    case: (usize, &Case),
    column: (usize, Column),
    alike: Option<&dyn Fn(&[Line]) -> bool>,
) -> Cell {
    let ((number, case), (place, column)) = (case, column);
    let cell = format!("{place:02}-{number:03}");
    let play = stage.play(&cell);
    let host = stage.host(place, number);
    let url = format!("{}://{host}/{cell}/x", scheme(column));
    let mut primed = None;
    if column.held {
        play.priming.store(true, Ordering::SeqCst);
        let new = Column { version: Version::New, ..column };
        let mut client = running.connect(new, &host);
        let counts = running.counts();
        primed = Some((answers(&counts) + 2, bytes(&counts) + 2 * PRIMED.len() as i64));
        let ask = text::encoded(&get(""), &url, new).concat();
        for _ in 0..2 {
            client.send(&ask).expect("it takes requests");
            assert_eq!(client.response("GET").expect("an answer").text(), PRIMED, "{}", case.name);
        }
        running.purge(&url);
        play.priming.store(false, Ordering::SeqCst);
    }
    let counted = case.asks.len() - case.uncounted;
    if column.held {
        running.log(&cell, 2);
    }
    let before = match running.last.take() {
        Some(last) if !column.held => last,
        _ => counted_so_far(running, primed.unwrap_or_default()),
    };
    let mut seen = Cell::default();
    let mut client = case.pipelined.then(|| Client::pipelining(running, &case.asks, (&host, &url), column));
    for (i, ask) in case.asks.iter().enumerate() {
        if column.place.disk && i > 0 && !case.pipelined {
            running.leave_to_disk(stage);
        }
        let mut asking = client.take().unwrap_or_else(|| Client::new(running, &host, column));
        let (mut round, lines) = asking.converse(ask, &url, column);
        round.asked = play.begun();
        seen.lines.extend(lines.into_iter().map(|line| format!("{} {line}", i + 1)));
        if case.background == 0 && !case.pipelined {
            seen.lines.push(format!("{} asked {}", i + 1, round.asked));
        }
        if round.end == Some(End::Kept) {
            client = Some(asking);
        }
        seen.rounds.push(round);
    }
    seen.lines.extend(play.lines(case.background));
    let counts = settled(running, &before, column, counted, alike);
    drop(client);
    if column.place.log {
        for (i, line) in running.log(&cell, counted).into_iter().enumerate() {
            let line: Value = serde_json::from_str(&line).expect("a line of JSON");
            if case.uncounted == 0 {
                seen.lines.extend(
                    untrue(&line, &case.asks[i], &seen.rounds[i]).map(|what| format!("untrue {} {what}", i + 1)),
                );
            }
            seen.logged.push(format!("log {} {}", i + 1, log_line(line)));
        }
    }
    seen.lines.extend(counts);
    let proxy = running.address(column.way).to_string();
    let own = [(cell.as_str(), "@"), (host.as_str(), "ORIGIN"), (proxy.as_str(), "PROXY"), (running.admin(), "ADMIN")];
    for (what, by) in own.into_iter().filter(|(what, _)| !what.is_empty()) {
        seen.lines.iter_mut().chain(&mut seen.logged).for_each(|line| *line = line.replace(what, by));
    }
    seen.lines.iter_mut().for_each(|line| *line = seen::without_boundary(line));
    seen
}

fn answers(counts: &Counts) -> i64 {
    counts.iter().filter(|(name, _)| name.starts_with("front answers")).map(|(_, n)| n).sum()
}

fn bytes(counts: &Counts) -> i64 {
    counts.get("front body_bytes").copied().unwrap_or_default()
}

/// The counts once there are so many answers, and so many bytes of them: a CONNECT is an answer too, and has none.
fn counted_so_far(running: &mut Running, least: (i64, i64)) -> Counts {
    let deadline = Instant::now() + LATEST;
    loop {
        let counts = running.counts();
        if (answers(&counts) >= least.0 && bytes(&counts) >= least.1) || Instant::now() > deadline {
            return counts;
        }
    }
}

/// What was counted for a cell. Counts come when the last byte has gone, which the client may see a little earlier.
fn settled(
    running: &mut Running,
    before: &Counts,
    column: Column,
    answers: usize,
    alike: Option<&dyn Fn(&[Line]) -> bool>,
) -> Vec<Line> {
    let deadline = Instant::now() + LATEST;
    let mut last = Vec::new();
    loop {
        let now = running.counts();
        let mut counts = now.clone();
        counts.iter_mut().for_each(|(name, value)| *value -= before.get(name).copied().unwrap_or_default());
        counts.retain(|_, value| *value != 0);
        let enough = column.way != Way::Front || self::answers(&counts) >= answers as i64;
        let lines: Vec<Line> = counts.iter().map(|(name, value)| format!("count {name}: {value}")).collect();
        let settled = alike.map_or(last == lines, |alike| alike(&lines));
        if enough && settled || Instant::now() > deadline {
            running.last = Some(now);
            return lines;
        }
        std::thread::sleep(if alike.is_some() { Duration::from_millis(1) } else { Duration::from_millis(20) });
        last = lines;
    }
}

fn scheme(column: Column) -> &'static str {
    if column.is_inside() { "https" } else { "http" }
}

/// What the access log says otherwise than the client has seen it.
fn untrue(line: &Value, ask: &Ask, round: &Round) -> impl Iterator<Item = String> {
    let verdict = all(&round.fields, "cache-status").pop();
    let verdict =
        verdict.as_deref().and_then(|all| all.split(", n1; ").last()).map(|last| last.trim_start_matches("n1; "));
    let whole = matches!(round.end, Some(End::Kept | End::Closed));
    let told = [
        ("method", line["method"] == ask.method),
        ("status", line["status"] == round.status),
        ("bytes", !whole || line["bytes"] == round.body.len()),
        ("end", (line["end"] == "complete") == whole),
        ("cache", line["cache"].as_str() == verdict),
        ("node", line["node"].is_string() || verdict.is_none()),
    ];
    let line = log_line(line.clone());
    told.into_iter().filter(|(_, is)| !is).map(move |(name, _)| format!("{name} in {line}"))
}

/// Without what differs by the clock.
fn log_line(mut line: Value) -> Line {
    let fields = line.as_object_mut().expect("an object");
    for name in ["time", "ms"] {
        fields.remove(name).unwrap_or_else(|| panic!("{name} is told"));
    }
    if let Some(cache) = fields.get("cache").and_then(Value::as_str) {
        let cache = seen::ttl(&format!("; {cache}"));
        fields.insert("cache".into(), cache.into());
    }
    line.to_string()
}
