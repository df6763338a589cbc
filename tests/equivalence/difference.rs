//! Where columns differ on purpose, and why. An entry that has nothing to do any more fails the test.

use super::case::Case;
use super::column::{Column, Version, Way};
use super::seen::Line;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes what was seen in a column, and a copy of what was seen in the first, comparable.
type Make = fn(&mut Vec<Line>, &mut Vec<Line>);

pub struct Difference {
    pub why: &'static str,
    on: fn(&Column, &Case) -> bool,
    make: Make,
    pub used: AtomicUsize,
}

impl Difference {
    const fn new(why: &'static str, on: fn(&Column, &Case) -> bool, make: Make) -> Difference {
        Difference { why, on, make, used: AtomicUsize::new(0) }
    }
}

/// Takes away what is meant to differ.
pub fn level(column: &Column, case: &Case, seen: &mut Vec<Line>, reference: &mut Vec<Line>) {
    for difference in DIFFERENCES.iter().filter(|difference| (difference.on)(column, case)) {
        let before = (seen.clone(), reference.clone());
        (difference.make)(seen, reference);
        if (&before.0, &before.1) != (seen, reference) {
            difference.used.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub static DIFFERENCES: [Difference; 29] = [
    Difference::new(
        "the access log names the front's own copy where that has answered",
        |column, _| column.place.hot && column.place.log,
        |seen, _| replace(seen, "\"source\":\"hot\"", "\"source\":\"node\""),
    ),
    Difference::new(
        "the access log has the URL, and that it came inside TLS",
        |column, _| column.is_inside(),
        |seen, _| {
            replace(seen, "\"https://ORIGIN", "\"http://ORIGIN");
            replace(seen, "\"tls\":\"hit\",", "");
        },
    ),
    Difference::new(
        "docs/https.md: of https no cookie is stored",
        |column, case| column.is_inside() && case.name.starts_with("Set-Cookie") && !case.name.ends_with("not stored"),
        |_, reference| {
            let is_hit = |n: usize| format!("{n} field cache-status: n1; hit;");
            each_round(&reference.clone(), |n| {
                if reference.iter().any(|line| line.starts_with(&is_hit(n))) {
                    drop_where(reference, |line| line.starts_with(&format!("{n} field set-cookie")));
                }
            });
        },
    ),
    Difference::new(
        "docs/https.md: of https no other service is named, which would lead around the proxy",
        |column, case| column.is_inside() && case.name == "another service for the same",
        |_, reference| drop_where(reference, |line| line[1..].starts_with(" field alt-svc")),
    ),
    Difference::new(
        "KNOWN, RFC 9110 section 9.3.8: inside TLS TRACE shows the URL that the target stands for, not the path that was received",
        |column, case| column.is_inside() && case.name.starts_with("TRACE"),
        |seen, reference| {
            let (http, https) = (" body \"TRACE http://ORIGIN/@", " body \"TRACE https://ORIGIN/@");
            let longer = seen.iter().filter(|line| line[1..].starts_with(https)).count() as i64;
            each_round(&reference.clone(), |n| add(reference, &format!("{n} field content-length: "), 1));
            add(reference, "count front body_bytes: ", longer);
            replace(seen, https, http);
            replace(seen, "{\"bytes\":99,", "{\"bytes\":98,");
        },
    ),
    Difference::new(
        "docs/disk.md: what is answered from disk says so",
        |column, _| column.place.disk,
        |seen, _| replace(seen, "; detail=\"disk\"", ""),
    ),
    Difference::new(
        "a front that is not asked counts nothing",
        |column, _| column.way != Way::Front,
        |_, reference| drop_where(reference, |line| line.starts_with("count front ")),
    ),
    Difference::new(
        "RFC 9209 section 2: a head that can be read and is refused names who refuses it: the front as ringhold, a node by its id",
        |column, _| column.way != Way::Front,
        |_, reference| {
            each_round(&reference.clone(), |n| {
                let (front, node) =
                    (format!("{n} field proxy-status: ringhold; "), format!("{n} field proxy-status: n1; "));
                if reference.iter().any(|line| {
                    line.starts_with(&front)
                        && line.contains("; error=http_request_error;")
                        && !line.contains("malformed")
                }) {
                    replace(reference, &front, &node);
                    let (body, length) = (format!("{n} body \""), format!("{n} field content-length: "));
                    replace(reference, &body, &format!("{body}ringhold: "));
                    add(reference, &length, "ringhold: ".len() as i64);
                }
            });
        },
    ),
    Difference::new(
        "what the front's own copy answers, no node is asked",
        |column, _| column.place.hot,
        |seen, _| {
            let hot = taken(seen, "count front hot_hits: ");
            if hot > 0 {
                add(seen, "count node hits: ", hot);
                add(seen, "count node requests: ", hot);
            }
        },
    ),
    Difference::new(
        "RFC 9110 section 7.6.3: Via tells the version of the message as it was received",
        |column, _| column.version == Version::Old,
        |seen, _| {
            for line in seen.iter_mut().filter(|line| line.starts_with("question ") && line.contains(" field via")) {
                *line = line.replace(": 1.0 ringhold", ": 1.1 ringhold");
            }
        },
    ),
    Difference::new(
        "RFC 9112 section 9.3: a connection of HTTP/1.0 ends after the answer, unless the client has said keep-alive",
        |column, _| column.version == Version::Old,
        |seen, reference| {
            replace(seen, " line HTTP/1.0 ", " line HTTP/1.1 ");
            each_round(&reference.clone(), |n| {
                let close = format!("{n} field connection: close");
                if !has(reference, &close) && takes(seen, &close) {
                    replace(seen, &format!("{n} end Closed"), &format!("{n} end Kept"));
                }
            });
        },
    ),
    Difference::new(
        "RFC 9112 section 9.3: who has said keep-alive in HTTP/1.0 is told that it is heeded",
        |column, _| column.version == Version::Old,
        |seen, reference| each_round(reference, |n| _ = takes(seen, &format!("{n} field connection: keep-alive"))),
    ),
    Difference::new(
        "RFC 9112 sections 6.1 and 7.1.2: HTTP/1.0 knows neither chunks nor trailers; what has no length ends with the connection",
        |column, _| column.version == Version::Old,
        |seen, reference| {
            each_round(&seen.clone(), |n| {
                let chunked = format!("{n} field transfer-encoding: chunked");
                if !has(seen, &chunked) {
                    takes(reference, &chunked);
                }
                drop_where(reference, |line| line.starts_with(&format!("{n} trailer ")));
            });
        },
    ),
    Difference::new(
        "RFC 9110 section 7.6.3, for HTTP/2: Via tells the version of the message as it was received",
        |column, _| column.version == Version::Two,
        |seen, _| {
            for line in seen.iter_mut().filter(|line| line.starts_with("question ") && line.contains(" field via")) {
                *line = line.replace(": 2.0 ringhold", ": 1.1 ringhold");
            }
        },
    ),
    Difference::new(
        "RFC 9113 section 8.3.2: an answer has a status, and neither a version nor a reason",
        |column, _| column.version == Version::Two,
        |_, reference| {
            for line in
                reference.iter_mut().filter(|line| line.contains(" line HTTP/1.1 ") && !line.starts_with("question "))
            {
                let (before, after) = line.split_once("HTTP/1.1 ").expect("it is there");
                *line = format!("{before}HTTP/2 {}", after.split(' ').next().unwrap_or(""));
            }
        },
    ),
    Difference::new(
        "RFC 9113 section 8.2.2: nothing is said of the connection, which goes on; an answer ends with its stream",
        |column, _| column.version == Version::Two,
        |_, reference| {
            each_round(&reference.clone(), |n| {
                takes(reference, &format!("{n} field connection: close"));
                takes(reference, &format!("{n} field transfer-encoding: chunked"));
                replace(reference, &format!("{n} end Closed"), &format!("{n} end Kept"));
            });
        },
    ),
    Difference::new(
        "RFC 9113 section 8.2.3: several lines of cookies are one",
        |column, case| column.version == Version::Two && case.name.starts_with("cookies"),
        |_, reference| join_cookies(reference),
    ),
    Difference::new(
        "RFC 9110 section 15.2: HTTP/1.0 knows no interim answers",
        |column, _| column.version == Version::Old,
        |_, reference| drop_where(reference, |line| line[1..].starts_with(" interim ")),
    ),
    Difference::new(
        "docs/link.md: a node tells its front who may see the answer, and how long it is while it may break off",
        |column, _| column.way == Way::Link,
        |seen, reference| {
            each_round(&reference.clone(), |n| {
                takes(seen, &format!("{n} field ringhold-reach: local"));
                let told = format!("{n} field ringhold-length: ");
                if let Some(length) = seen.iter().find_map(|line| line.strip_prefix(&told).map(str::to_owned)) {
                    takes(seen, &format!("{told}{length}"));
                    takes(seen, &format!("{n} field transfer-encoding: chunked"));
                    seen.push(format!("{n} field content-length: {length}"));
                }
            });
        },
    ),
    Difference::new(
        "docs/link.md: a node tells its front whose fault an error is",
        |column, _| column.way == Way::Link,
        |seen, _| drop_where(seen, |line| line[1..].starts_with(" field ringhold-fault: ")),
    ),
    Difference::new(
        "docs/link.md: Via is added by the front, to questions and answers",
        |column, _| column.way == Way::Link,
        |_, reference| drop_where(reference, is_our_via),
    ),
    Difference::new(
        "a node that is asked by clients themselves has a pseudonym of its own",
        |column, _| column.way == Way::Node,
        |seen, _| {
            for line in seen.iter_mut().filter(|line| line.starts_with("question ")) {
                if let Some(at) = line.find(" ringhold-n1-") {
                    line.truncate(at + " ringhold".len());
                }
            }
        },
    ),
    Difference::new(
        "KNOWN, RFC 9110 section 7.6.3: a node that is asked by clients themselves adds no Via to its answers",
        |column, _| column.way == Way::Node,
        |_, reference| drop_where(reference, is_our_via),
    ),
    Difference::new(
        "docs/link.md, What is held: it is asked for with only-if-cached, and in the ordinary way where it is not there or large",
        |column, _| column.held,
        |seen, reference| {
            for start in ["count node requests: ", "count node hits: "] {
                let (more, all) = (taken(&mut seen.clone(), start), taken(&mut reference.clone(), start));
                if more > all {
                    taken(seen, start);
                    add(seen, start, all);
                }
            }
        },
    ),
    Difference::new(
        "docs/link.md: how much of an answer without a length is there when its head goes out, is a matter of time",
        |_, case| case.open_ended,
        |seen, reference| {
            let of_time = |line: &str| {
                let told = ["content-length: ", "transfer-encoding: ", "proxy-status: "];
                told.iter().any(|name| line[1..].starts_with(&format!(" field {name}")))
            };
            drop_where(seen, of_time);
            drop_where(reference, of_time);
        },
    ),
    Difference::new(
        "RFC 9110 section 10.1.1: what a client of HTTP/1.0 expects is not heeded",
        |column, _| column.version == Version::Old && column.way == Way::Front,
        |_, reference| {
            drop_where(reference, |line| line.starts_with("question ") && line.ends_with(" field expect: 100-continue"))
        },
    ),
    Difference::new(
        "RFC 9110 section 9.3.8: TRACE shows the message as it was received",
        |column, case| column.version != Version::New && case.name.starts_with("TRACE"),
        |seen, _| {
            let received = [" HTTP/1.0\\r\\n", " HTTP/2.0\\r\\n"];
            received.iter().for_each(|version| replace(seen, version, " HTTP/1.1\\r\\n"));
        },
    ),
    Difference::new(
        "KNOWN, RFC 9110 section 7.6.2: a node that is asked by clients themselves counts no Max-Forwards",
        |column, case| column.way != Way::Front && case.name == "OPTIONS",
        |seen, _| replace(seen, " field max-forwards: 5", " field max-forwards: 4"),
    ),
    Difference::new(
        "KNOWN, RFC 9110 section 10.1.1: a front drops an expectation that it does not know, and a node passes it on",
        |column, case| column.way != Way::Front && case.name.starts_with("Expect"),
        |seen, _| {
            drop_where(seen, |line| line.ends_with(" field expect: a-miracle") || line[1..].starts_with(" interim "));
        },
    ),
];

/// Of each question.
fn join_cookies(lines: &mut Vec<Line>) {
    let more: Vec<Line> = lines.iter().filter(|line| line.contains(" field cookie (line 2): ")).cloned().collect();
    for line in more {
        let (question, value) = line.split_once(" field cookie (line 2): ").expect("it is there");
        let first = format!("{question} field cookie: ");
        takes(lines, &line);
        lines.iter_mut().filter(|line| line.starts_with(&first)).for_each(|line| *line += &format!("; {value}"));
    }
}

/// Of an answer.
fn is_our_via(line: &str) -> bool {
    line[1..].starts_with(" field via") && line.ends_with(" ringhold")
}

/// Does something for each round, by its number.
fn each_round(lines: &[Line], of: impl FnMut(usize)) {
    (1..=9).filter(|n| lines.iter().any(|line| line.starts_with(&format!("{n} ")))).for_each(of);
}

fn has(lines: &[Line], line: &str) -> bool {
    lines.iter().any(|l| l == line)
}

/// Removes a line, if it is there.
fn takes(lines: &mut Vec<Line>, line: &str) -> bool {
    let before = lines.len();
    lines.retain(|l| l != line);
    lines.len() < before
}

fn drop_where(lines: &mut Vec<Line>, of: impl Fn(&str) -> bool) {
    lines.retain(|line| !of(line));
}

fn replace(lines: &mut [Line], what: &str, by: &str) {
    lines.iter_mut().filter(|line| line.contains(what)).for_each(|line| *line = line.replace(what, by));
}

/// The number after this, and no line any more.
fn taken(lines: &mut Vec<Line>, start: &str) -> i64 {
    let number = lines.iter().find_map(|line| line.strip_prefix(start)?.parse().ok()).unwrap_or(0);
    drop_where(lines, |line| line.starts_with(start));
    number
}

fn add(lines: &mut Vec<Line>, start: &str, more: i64) {
    let sum = taken(lines, start) + more;
    if sum != 0 {
        lines.push(format!("{start}{sum}"));
    }
}
