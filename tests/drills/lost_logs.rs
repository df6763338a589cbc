//! Standard error closed, full and unread while nodes are killed.

use crate::support::load::Load;
use crate::support::objects::{is_whole, objects};
use crate::support::unread::READERS;
use crate::support::*;
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn nodes_come_back_and_hits_are_served_whatever_becomes_of_the_log() {
    let _alone = alone();
    let (_origin, urls) = objects(200);
    for reader in READERS {
        let mut kept = None;
        let cluster = Setup::default().start_as(None, |command| kept = reader.stderr(command));
        let load = Load { proxy: cluster.proxy, connections: 8, urls: urls.clone(), check: is_whole }.start();
        for round in 0..drill(2, 20) {
            let id = format!("n{}", round % 3 + 1);
            let old = cluster.node(&id).pid;
            cluster.signal_node(&id, Signal::KILL);
            until_true(&format!("{reader:?}: {id} is back"), 2 * PATIENCE, || {
                cluster.nodes().iter().any(|node| node.id == id && node.pid != old)
                    && cluster.manage("GET", "/v1/cluster", "").status == 200
            });
        }
        load.until(1000, Instant::now() + Duration::from_secs(drill(1, 10)));
        let report = load.finish();
        report.assert_none_failed(1000);
        let (_, hit) = (cluster.get(&urls[0]), cluster.get(&urls[0]));
        assert!(hit.is_hit(), "{reader:?}: {}", hit.head.line);
    }
}
