//! A gibibyte of random bytes, up and down: every bit arrives, and no process grows by more than 4 MiB over idle. In a
//! debug build it is 32 MiB, which is still many times the bound.

use crate::support::*;

const LENGTH: u64 = if RELEASE { 1 << 30 } else { 32 << 20 };
const BOUND: u64 = 4 << 20;

/// Resident memory of each process, from now on counted anew.
fn idle(cluster: &Cluster, origin: &Origin) -> Vec<(u32, u64)> {
    // One small request of each kind, so that the code itself is in memory.
    origin.on("/warm", Exchange::digest);
    for i in 0..12 {
        assert_eq!(cluster.ask("POST", &origin.url("/warm"), "", b"x").status, 200);
        cluster.get(&origin.url(&format!("/warm?{i}")));
    }
    let pids = cluster.pids();
    assert_eq!(pids.len(), 4);
    pids.iter().for_each(|pid| process::forget_peak(*pid));
    pids.into_iter().map(|pid| (pid, process::resident(pid))).collect()
}

fn assert_little_grown(idle: &[(u32, u64)], what: &str) {
    for (pid, before) in idle {
        let grown = process::peak(*pid).saturating_sub(*before);
        let who = process::arguments(*pid).join(" ");
        assert!(grown <= BOUND, "{what}: {who} grew by {} KiB over {} KiB", grown / 1024, before / 1024);
    }
}

#[test]
fn a_large_download_arrives_whole_and_costs_no_memory() {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), Setup::default().set("cache", "max_object", "4MiB").start());
    origin.on("/down", |x| {
        x.begin_sized("Cache-Control: max-age=600\r\n", LENGTH)?;
        x.noise(11, LENGTH)
    });
    let idle = idle(&cluster, &origin);
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/down"), "", b"").unwrap();
    let (head, _) = client.final_head().unwrap();
    let mut digest = noise::Digester::default();
    client.body("GET", &head, |piece| digest.take(piece)).unwrap();
    assert_eq!((digest.length, digest.hex()), (LENGTH, noise::sha256_of(11, LENGTH)));
    assert_little_grown(&idle, "a download");
}

#[test]
fn a_large_upload_arrives_whole_and_costs_no_memory() {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/up", Exchange::digest);
    let idle = idle(&cluster, &origin);
    let mut client = cluster.connect();
    client.send(format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: {LENGTH}\r\n\r\n", origin.url("/up"))).unwrap();
    let mut noise = noise::Noise::new(13, LENGTH);
    while let Some(block) = noise.next_block() {
        client.send(block).unwrap();
    }
    let answer = client.response("PUT").unwrap();
    assert_eq!(answer.text(), format!("{LENGTH} {}", noise::sha256_of(13, LENGTH)));
    assert_little_grown(&idle, "an upload");
}

#[test]
fn a_slow_reader_of_a_large_download_does_not_fill_the_memory() {
    let _alone = alone();
    let (origin, cluster) = (Origin::start(), Setup::default().set("cache", "max_object", "4MiB").start());
    origin.on("/down", |x| {
        x.begin_sized("Cache-Control: max-age=600\r\n", LENGTH)?;
        x.noise(17, LENGTH)
    });
    let idle = idle(&cluster, &origin);
    let mut client = cluster.connect();
    client.request("GET", &origin.url("/down"), "", b"").unwrap();
    client.final_head().unwrap();
    client.read_exact(1 << 16).unwrap();
    // The origin has been throttled when nothing of its stream moves any more: ask around until then.
    for _ in 0..200 {
        assert_eq!(cluster.get(&origin.url("/else")).status, 404);
    }
    client.read_exact(8 << 20).unwrap();
    assert_little_grown(&idle, "a slow reader");
}
