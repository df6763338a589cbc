//! What was seen of a cell, as lines of text that can be compared: names in lower case, lines of one name in their order and
//! those of different names in alphabetical order, since neither spelling nor order means anything (RFC 9110 sections 5.1 and
//! 5.3). What the clock has written is rounded.

use crate::support::head::latin1;
use ringhold::lab::wire::{Timestamp, parse_date};
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

pub type Line = String;

/// Longer bodies are told by length and hash.
const SHOWN: usize = 400;
/// No cell takes so many seconds. All lifetimes in the table are multiples of it.
const ROUNDED: i64 = 100;

pub fn fields(at: &str, fields: &[(String, Vec<u8>)]) -> Vec<Line> {
    let mut lines: Vec<(String, String)> =
        fields.iter().map(|(name, value)| (name.to_lowercase(), latin1(value))).collect();
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    let mut before = 0;
    let mut numbered = Vec::new();
    for (i, (name, value)) in lines.iter().enumerate() {
        before = if i > 0 && lines[i - 1].0 == *name { before + 1 } else { 0 };
        let nth = if before > 0 { format!(" (line {})", before + 1) } else { String::new() };
        numbered.push(format!("{at} {name}{nth}: {}", rounded(name, value.clone())));
    }
    numbered
}

pub fn body(body: &[u8]) -> String {
    match body.len() {
        0..=SHOWN => format!("{:?}", latin1(body)),
        length => {
            let mut hasher = DefaultHasher::new();
            body.hash(&mut hasher);
            format!("{length} bytes, hash {:x}", hasher.finish())
        }
    }
}

fn rounded(name: &str, value: String) -> String {
    match name {
        "date" if is_now(&value) => "now".into(),
        "age" => value.parse::<i64>().map_or(value, |age| (age / ROUNDED * ROUNDED).to_string()),
        "cache-status" => ttl(&value),
        _ => value,
    }
}

fn is_now(value: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as i64;
    parse_date(value.as_bytes(), Timestamp(now as u64)).is_some_and(|then| (then.0 as i64 - now).abs() < 100_000)
}

/// `; ttl=993` as `; ttl=1000`.
pub fn ttl(text: &str) -> String {
    let mut parts = text.split("; ttl=");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(part.len());
        let rounded = part[..end].parse::<i64>().map_or(0, |ttl| (ttl + ROUNDED - 1).div_euclid(ROUNDED) * ROUNDED);
        out += &format!("; ttl={rounded}{}", &part[end..]);
    }
    out
}

/// The lines of one that are not in the other, with how often.
pub fn apart(reference: &[Line], seen: &[Line]) -> Vec<String> {
    let mut apart = Vec::new();
    let (mut i, mut j) = (0, 0);
    let (mut a, mut b) = (reference.to_vec(), seen.to_vec());
    a.sort();
    b.sort();
    while i < a.len() || j < b.len() {
        let order = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => x.cmp(y),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        if order == Ordering::Less {
            apart.push(format!("- {}", a[i]));
        } else if order == Ordering::Greater {
            apart.push(format!("+ {}", b[j]));
        }
        i += usize::from(order != Ordering::Greater);
        j += usize::from(order != Ordering::Less);
    }
    apart
}

/// The separator of several parts is random (RFC 9110 section 14.6).
pub fn without_boundary(line: &str) -> Line {
    let mut out = line.to_owned();
    for mark in ["boundary=", "--"] {
        let mut from = 0;
        while let Some(at) = out[from..].find(mark).map(|at| from + at + mark.len()) {
            let length = out[at..].bytes().take_while(u8::is_ascii_hexdigit).count();
            if length == 32 {
                out.replace_range(at..at + length, "BOUNDARY");
            }
            from = at;
        }
    }
    out
}
