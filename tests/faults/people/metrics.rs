//! The table of metrics names each one that there is, and no other.

use crate::support::*;
use std::collections::BTreeSet;

/// Told with ZooKeeper only.
const WITH_ZOOKEEPER: [&str; 4] =
    ["ringhold_zookeeper_connected", "ringhold_fronts", "ringhold_leader", "ringhold_ring_writes_refused_total"];

fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("ringhold_"))
}

/// The first column of the table.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../../docs/cluster.md");
    let section = text.split("## What each metric means").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let column = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    column.flat_map(names).map(str::to_owned).collect()
}

#[test]
fn the_table_of_metrics_names_each_one_and_no_other() {
    let listed = vec!["127.0.0.1:9".to_owned()];
    let setup = Setup::default().nodes(1).set("disk", "size", "64MiB").set("disk", "path", "disk");
    let cluster = setup.set("https", "hosts", listed.clone()).set("https", "pass", listed).start();
    // Faults are told once there was one: nothing listens on the port of discard. So are listed hosts that were passed.
    assert_eq!(cluster.get("http://127.0.0.1:9/").status, 502);
    let mut client = cluster.connect();
    client.send("CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n").unwrap();
    assert!(client.final_head().unwrap().0.line.contains(" 502 "));
    let told = cluster.manage("GET", "/metrics", "").text();
    let told: BTreeSet<String> =
        told.lines().filter(|line| line.starts_with("# TYPE")).flat_map(names).map(str::to_owned).collect();
    let mut documented = documented();
    let missing: Vec<_> = told.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/cluster.md does not have {missing:?}");
    for name in WITH_ZOOKEEPER {
        assert!(documented.remove(name), "docs/cluster.md has {name}");
    }
    let invented: Vec<_> = documented.difference(&told).collect();
    assert!(invented.is_empty(), "docs/cluster.md has {invented:?}, which nobody tells");
}
