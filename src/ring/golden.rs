//! The placements that are pinned: whoever changes them moves keys in every cluster that is running.

use super::tests::members;
use super::*;
use std::fmt::Write;
use std::path::Path;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/placements.txt");
const RECORD: &str = "RINGHOLD_RECORD_PLACEMENTS";
const HEADER: &str = "\
# Where URLs fall, pinned: a change here moves keys in every cluster that is running.
#
# Recorded by `RINGHOLD_RECORD_PLACEMENTS=1 cargo test --lib ring::golden`, from the URLs of src/ring/golden.rs.
# Checked by `cargo test`, and against other implementations of the hashes by `tests/golden/placements.py`.
# A line is: URL, owner and next successor by xxh3, owner and next successor by murmur3.
#
# points 512
# members n1=1 n2=1 n3=2 rack2=3 10.0.0.7-n1=1
";

fn rings() -> [Ring; 2] {
    let five = members(&[("n1", 1), ("n2", 1), ("n3", 2), ("rack2", 3), ("10.0.0.7-n1", 1)]);
    [Hash::Xxh3, Hash::Murmur3].map(|hash| Ring::new(hash, 512, five.clone()))
}

/// Short and long ones: the hashes treat up to 16, 128 and 240 bytes and more in different ways.
fn urls() -> impl Iterator<Item = String> {
    (0..200).map(|n| match n % 5 {
        0 => format!("http://h{n}/"),
        1 => format!("http://example.com/item/{n}"),
        2 => format!("http://[2001:db8::{n:x}]:8080/?q={n}"),
        3 => format!("http://cdn.example.net/assets/{}/app.js?v={n}", "0123456789".repeat(n / 13)),
        _ => format!("http://example.org/{}?id={n}", "caf%C3%A9/".repeat(n / 6)),
    })
}

fn line(rings: &[Ring; 2], url: &str) -> String {
    let mut line = url.to_owned();
    for ring in rings {
        for index in ring.successors(ring.position(url)).take(2) {
            write!(line, " {}", ring.members()[index].id).unwrap();
        }
    }
    line
}

fn record(rings: &[Ring; 2]) {
    let lines: Vec<String> = urls().map(|url| line(rings, &url)).collect();
    std::fs::create_dir_all(Path::new(FILE).parent().unwrap()).unwrap();
    std::fs::write(FILE, format!("{HEADER}{}\n", lines.join("\n"))).unwrap();
    panic!("{FILE} was recorded anew: look at what changed, then run the test without {RECORD}");
}

#[test]
fn every_url_falls_where_it_always_fell() {
    let rings = rings();
    if std::env::var_os(RECORD).is_some() {
        record(&rings);
    }
    let text = std::fs::read_to_string(FILE).unwrap_or_else(|e| panic!("{FILE} cannot be read: {e}"));
    let pinned: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(pinned.len(), 200, "{FILE} is not complete");
    let moved: Vec<String> = pinned
        .iter()
        .map(|pinned| (pinned, line(&rings, pinned.split(' ').next().unwrap())))
        .filter(|(pinned, now)| **pinned != now.as_str())
        .map(|(pinned, now)| format!("  was {pinned}\n  now {now}"))
        .collect();
    assert!(
        moved.is_empty(),
        "{} of {} URLs no longer fall on the nodes that own them in clusters that are running: an upgrade would lose their \
         caches, and fronts of two versions would disagree. If that is meant, raise the number in Ring::digest and record \
         {FILE} anew with {RECORD}=1. The first that moved:\n{}",
        moved.len(),
        pinned.len(),
        moved[0]
    );
}
