//! The network between a front and one of its nodes breaks, wholly or in one direction, and heals. Here it is a TCP relay
//! that is cut, which any machine can do; `netns.rs` parts whole machines where network namespaces can be made.

use crate::support::load::Load;
use crate::support::objects::{edition, is_whole, objects, renew};
use crate::support::relay::Relay;
use crate::support::standalone::Standalone;
use crate::support::*;
use std::time::{Duration, Instant};

const NODES: [&str; 3] = ["r1", "r2", "r3"];
const OBJECTS: usize = 500;

fn ring(cluster: &Cluster) -> (serde_json::Value, serde_json::Value) {
    let ring = cluster.manage("GET", "/v1/ring", "").json();
    (ring["epoch"].clone(), ring["digest"].clone())
}

fn is_up(cluster: &Cluster, id: &str) -> bool {
    cluster.manage("GET", &format!("/v1/nodes/{id}"), "").json()["up"] == true
}

/// Past the harness: these are the figures of a drill.
fn figure(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(format!("drill: {text}\n").as_bytes());
}

/// Three nodes with a secret, the second of them behind a cable that is cut under load (requests do not get there,
/// answers do not get back) and mended again.
fn drill(there: bool, back: bool) {
    let _alone = alone();
    let secret = Setup::default().set("cluster", "secret", "the-secret-of-this-drill");
    let nodes: Vec<Standalone> = NODES.iter().map(|id| Standalone::start(id, &secret)).collect();
    let cable = Relay::to(&nodes[1].address.to_string());
    let addresses = [nodes[0].address, cable.address, nodes[2].address];
    let at = |setup: Setup, (id, address): (&&str, &std::net::SocketAddr)| setup.node_at(id, &address.to_string());
    let cluster = NODES.iter().zip(&addresses).fold(secret.clone().nodes(0), at).start();
    until_true("all nodes are up", PATIENCE, || NODES.iter().all(|id| is_up(&cluster, id)));

    let (origin, urls) = objects(OBJECTS);
    let mut client = cluster.connect();
    let owned = urls.iter().find(|url| client.get(url).node() == "r2").expect("every node owns something");
    let before = ring(&cluster);
    let running = Load { proxy: cluster.proxy, connections: 16, urls: urls.clone(), check: is_whole }.start();
    running.until(500, Instant::now() + Duration::from_secs(1));

    let cut = Instant::now();
    cable.cut(there, back);
    // Nobody knows yet that it does not answer.
    renew(&origin, owned, 1);
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={owned}"), "");
    assert_eq!((purged.status, &purged.json()["missed"][0]["id"]), (202, &"r2".into()), "{}", purged.text());
    assert_eq!(edition(&client.get(owned)), 1, "purged");
    until_true("the node is passed over", PATIENCE, || !is_up(&cluster, "r2"));
    let noticed = cut.elapsed();
    figure(&format!("requests cut: {there}, answers cut: {back}; passed over after {noticed:?}"));
    assert!(noticed < Duration::from_millis(1500) || !RELEASE, "passed over after {noticed:?}");
    running.until(running.done() + 500, cut + Duration::from_secs(4));
    assert!(!is_up(&cluster, "r2"));
    assert_eq!(ring(&cluster), before, "a partition changes no ring");
    let answer = client.get(owned);
    assert!(answer.node() != "r2" && edition(&answer) == 1, "{:?}", answer.head);

    cable.mend();
    until_true("the node is back", PATIENCE, || is_up(&cluster, "r2"));
    until_true("it answers for what it owns", PATIENCE, || {
        let answer = client.get(owned);
        assert_eq!(edition(&answer), 1, "what was purged is never answered again: {}", answer.cache_status());
        answer.node() == "r2"
    });
    let healed = running.done();
    running.until(healed + 500, Instant::now() + Duration::from_secs(1));
    running.finish().assert_none_failed(1500);
    assert_eq!(ring(&cluster), before);
    assert_eq!(cluster.node_total("strangers"), 0, "every request was proved");
}

#[test]
fn a_node_that_is_cut_off_costs_nobody_a_request_and_is_used_again() {
    drill(true, true);
}

#[test]
fn requests_that_get_through_without_an_answer_cost_nobody_a_request() {
    drill(false, true);
}

#[test]
fn requests_that_do_not_get_through_cost_nobody_a_request() {
    drill(true, false);
}
