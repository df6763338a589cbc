//! Bodies that memory does not keep: written to a file of the disk while they come, and answered from there.

use super::*;
use std::io::Read;

const MIB: u64 = 1 << 20;
const TAGGED: &str = "Cache-Control: max-age=600\r\nETag: \"one\"\r\n";

/// Memory for what is small alone; a record is at most 1 MiB.
fn with_little_memory() -> Setup {
    with_disk(1).set("disk", "size", "256MiB").set("cache", "memory", "16MiB").set("cache", "max_object", "4MiB")
}

/// An origin with a page of so many bytes, in chunks where its path says so; it is no faster than the disk, however busy the
/// machine is.
fn with_page(length: u64, cluster: &Arc<Cluster>) -> Origin {
    let origin = Origin::start();
    let (of_sized, of_chunked) = (Arc::downgrade(cluster), Arc::downgrade(cluster));
    origin.on("/sized*", move |x| {
        x.begin_sized(TAGGED, length)?;
        paced(&of_sized, &noise::Noise::bytes(length, length), |piece| x.raw(piece))
    });
    origin.on("/chunked*", move |x| {
        x.begin_chunked(TAGGED)?;
        paced(&of_chunked, &noise::Noise::bytes(length, length), |piece| x.chunk(piece))?;
        x.end_chunked("")
    });
    origin
}

/// The origin outlives the test, and is not to keep its cluster running.
pub fn paced(
    cluster: &Weak<Cluster>,
    body: &[u8],
    mut send: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    for piece in body.chunks(4 * MIB as usize) {
        send(piece)?;
        let keeps_up = |cluster: Arc<Cluster>| cluster.metric("ringhold_node_disk_behind_bytes") < MIB;
        until_true("the disk keeps up", PATIENCE, || cluster.upgrade().is_none_or(keeps_up));
    }
    Ok(())
}

pub fn until_a_file(cluster: &Cluster, files: u64) {
    until_true("its file has a record", PATIENCE, || {
        let written = cluster.metric("ringhold_node_disk_behind_bytes") == 0;
        written && cluster.metric("ringhold_node_disk_bodies") == files
    });
}

pub fn bodies(cluster: &Cluster) -> usize {
    let files = fs::read_dir(cluster.folder().join("disk/n1")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "body")).count()
}

#[test]
fn what_memory_does_not_keep_is_a_hit_from_disk_whole_in_parts_and_after_a_kill() {
    const LENGTH: u64 = 20 * MIB + 4711;
    let cluster = Arc::new(with_little_memory().start());
    until_on(&cluster);
    let origin = with_page(LENGTH, &cluster);
    let whole = noise::Noise::bytes(LENGTH, LENGTH);
    let urls = ["/sized", "/chunked"].map(|path| origin.url(path));
    for (n, url) in urls.iter().enumerate() {
        let first = cluster.get(url);
        assert!(first.body == whole && first.cache_status().contains("stored"), "{}", first.cache_status());
        until_a_file(&cluster, n as u64 + 1);
    }
    let check = || {
        for url in &urls {
            let again = cluster.get(url);
            assert!(is_from_disk(&again), "{url}: {}", again.cache_status());
            assert!(again.body == whole && again.get("content-length") == Some(LENGTH.to_string()));
            let head = cluster.ask("HEAD", url, "", b"");
            assert_eq!((head.status, head.get("content-length")), (200, Some(LENGTH.to_string())));
            assert_eq!(cluster.ask("GET", url, "If-None-Match: \"one\"\r\n", b"").status, 304);
            for (from, to) in [(0, 0), (65_535, 65_536), (10_000_000, 19_999_999), (LENGTH - 1, LENGTH - 1)] {
                let part = cluster.ask("GET", url, &format!("Range: bytes={from}-{to}\r\nIf-Range: \"one\"\r\n"), b"");
                assert_eq!(
                    (part.status, part.get("content-range")),
                    (206, Some(format!("bytes {from}-{to}/{LENGTH}")))
                );
                assert!(part.body == whole[from as usize..=to as usize], "{url} {from}-{to}");
            }
            let several = cluster.ask("GET", url, "Range: bytes=5-6,100000-299999\r\n", b"");
            let has = |part: &[u8]| several.body.windows(part.len()).any(|bytes| bytes == part);
            assert!(several.status == 206 && has(&whole[5..7]) && has(&whole[100_000..300_000]));
            assert_eq!(cluster.ask("GET", url, &format!("Range: bytes={LENGTH}-\r\n"), b"").status, 416);
        }
    };
    check();
    kill(&cluster, "n1");
    check();
    assert_eq!((origin.count("/*"), bodies(&cluster)), (2, 2));
}

#[test]
fn a_slow_reader_and_one_from_the_middle_get_theirs_while_it_comes_and_hold_up_nobody() {
    const LENGTH: u64 = 40 * MIB;
    let cluster = Arc::new(with_little_memory().set("timeouts", "collapse", "30s").start());
    let origin = Origin::start();
    until_on(&cluster);
    let (gate, slow_gate) = (Gate::default(), Gate::default());
    let (held, begun) = (gate.clone(), slow_gate.clone());
    let whole = Arc::new(noise::Noise::bytes(7, LENGTH));
    let (body, of_origin) = (whole.clone(), Arc::downgrade(&cluster));
    origin.on("/large", move |x| {
        x.begin_sized(TAGGED, LENGTH)?;
        x.raw(&body[..MIB as usize])?;
        begun.wait()?;
        paced(&of_origin, &body[MIB as usize..30 * MIB as usize], |piece| x.raw(piece))?;
        held.wait()?;
        paced(&of_origin, &body[30 * MIB as usize..], |piece| x.raw(piece))
    });
    let url = origin.url("/large");
    let ask = |fields: &str| {
        let mut client = cluster.connect();
        client.request("GET", &url, fields, b"").unwrap();
        let (head, _) = client.final_head().unwrap();
        (client, head)
    };
    let (mut leader, _) = ask("");
    let (mut slow, _) = ask("");
    slow_gate.open();
    assert!(
        leader.read_exact(29 * MIB as usize).unwrap() == whole[..29 * MIB as usize],
        "a slow reader holds up nobody"
    );
    // What is long gone from memory, and what is still to come.
    let part = cluster.ask("GET", &url, "Range: bytes=2000000-9999999\r\n", b"");
    assert_eq!((part.status, part.get("content-range")), (206, Some(format!("bytes 2000000-9999999/{LENGTH}"))));
    assert!(part.body == whole[2_000_000..10_000_000]);
    let (mut middle, head) = ask("Range: bytes=20000000-41000000\r\n");
    assert_eq!(client::status_of(&head), 206);
    gate.open();
    let mut of_middle = Vec::new();
    middle.body("GET", &head, |piece| of_middle.extend_from_slice(piece)).unwrap();
    assert!(of_middle == whole[20_000_000..=41_000_000]);
    assert!(leader.read_exact(11 * MIB as usize).unwrap() == whole[29 * MIB as usize..]);
    until_a_file(&cluster, 1);
    assert!(slow.read_exact(LENGTH as usize).unwrap() == whole[..], "it is read from the file");
    assert_eq!(origin.count("/large"), 1);
    assert!(is_from_disk(&cluster.get(&url)));
}

#[test]
fn what_is_purged_while_it_comes_or_replaced_later_leaves_no_file() {
    const LENGTH: u64 = 12 * MIB;
    let (origin, cluster) = (Origin::start(), with_little_memory().start());
    until_on(&cluster);
    let (gate, count) = (Gate::default(), AtomicUsize::new(0));
    let held = gate.clone();
    origin.on("/large", move |x| {
        let seed = count.fetch_add(1, Ordering::SeqCst) as u64;
        let body = noise::Noise::bytes(seed, LENGTH);
        x.begin_sized(KEEP, LENGTH)?;
        x.raw(&body[..8 * MIB as usize])?;
        held.wait()?;
        x.raw(&body[8 * MIB as usize..])
    });
    let url = origin.url("/large");
    let mut client = cluster.connect();
    client.request("GET", &url, "", b"").unwrap();
    client.final_head().unwrap();
    client.read_exact(7 * MIB as usize).unwrap();
    assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 200);
    gate.open();
    let rest = client.read_exact(5 * MIB as usize).unwrap();
    assert!(rest == noise::Noise::bytes(0, LENGTH)[7 * MIB as usize..], "who reads it has it whole");
    until_true("nothing of it is left", PATIENCE, || bodies(&cluster) == 0);
    for seed in [1, 2] {
        let again = cluster.ask("GET", &url, "Cache-Control: no-cache\r\n", b"");
        assert!(!again.is_hit() && again.body == noise::Noise::bytes(seed, LENGTH), "{}", again.cache_status());
        until_a_file(&cluster, 1);
    }
    until_true("the old one goes", PATIENCE, || bodies(&cluster) == 1);
    let hit = cluster.get(&url);
    assert!(is_from_disk(&hit) && hit.body == noise::Noise::bytes(2, LENGTH), "{}", hit.cache_status());
}

#[test]
fn a_file_that_was_lost_or_damaged_is_asked_of_the_origin_and_breaks_no_answer_that_was_not_begun() {
    const LENGTH: u64 = 6 * MIB;
    let cluster = Arc::new(with_little_memory().start());
    until_on(&cluster);
    let origin = with_page(LENGTH, &cluster);
    let whole = noise::Noise::bytes(LENGTH, LENGTH);
    for (n, how) in ["lost", "first", "last"].into_iter().enumerate() {
        let url = origin.url(&format!("/sized/{how}"));
        assert!(cluster.get(&url).body == whole);
        until_a_file(&cluster, 1);
        let mut files = fs::read_dir(cluster.folder().join("disk/n1")).unwrap().map(|entry| entry.unwrap().path());
        let file = files.find(|path| path.extension().is_some_and(|kind| kind == "body")).unwrap();
        let flip = |at: usize| {
            let mut bytes = fs::read(&file).unwrap();
            bytes[at] ^= 4;
            fs::write(&file, bytes).unwrap();
        };
        match how {
            "lost" => fs::remove_file(&file).unwrap(),
            "first" => flip(1_000),
            _ => flip(5 * MIB as usize),
        }
        let again = cluster.connect().try_ask("GET", &url, "", b"");
        match again {
            Ok(again) => {
                assert!(how != "last" && !again.is_hit() && again.body == whole, "{how}: {}", again.cache_status())
            }
            Err(_) => assert_eq!(how, "last", "what was begun breaks off, and nobody takes it for whole"),
        }
        until_true("it is fetched anew", PATIENCE, || {
            cluster.connect().try_ask("GET", &url, "", b"").is_ok_and(|again| again.body == whole)
        });
        assert!(origin.count(&format!("/sized/{how}")) >= 2, "{n}");
        assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 200);
        until_true("its file goes", PATIENCE, || bodies(&cluster) == 0);
    }
    assert_eq!(cluster.metric("ringhold_node_disk_state"), 2);
}

#[test]
fn of_what_is_not_to_lie_on_a_disk_no_file_is_ever_made() {
    const LENGTH: u64 = 6 * MIB;
    let (origin, cluster) = (Origin::start(), with_little_memory().start());
    let local = Origin::at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    until_on(&cluster);
    let page = |fields: &'static str, gate: Gate| {
        move |x: &mut Exchange| {
            x.begin_sized(fields, LENGTH)?;
            x.raw(vec![b'x'; 5 * MIB as usize])?;
            gate.wait()?;
            x.raw(vec![b'x'; MIB as usize])
        }
    };
    let gate = Gate::default();
    origin.on("/no-store", page("Cache-Control: no-store\r\n", gate.clone()));
    origin.on("/private", page("Cache-Control: private, max-age=600\r\n", gate.clone()));
    local.on("/local", page(KEEP, gate.clone()));
    let mut clients: Vec<Connection> = Vec::new();
    for (from, path) in [(&origin, "/no-store"), (&origin, "/private"), (&local, "/local")] {
        let mut client = cluster.connect();
        client.request("GET", &from.url(path), "", b"").unwrap();
        client.final_head().unwrap();
        client.read_exact(4 * MIB as usize).unwrap();
        clients.push(client);
    }
    assert_eq!(bodies(&cluster), 0);
    gate.open();
    for client in &mut clients {
        client.stream().read_exact(&mut vec![0; 1000]).unwrap();
    }
    assert_eq!((bodies(&cluster), cluster.metric("ringhold_node_disk_body_bytes")), (0, 0));
}

#[test]
fn what_memory_keeps_too_is_on_disk_also_where_a_304_has_confirmed_it_or_the_service_ends() {
    const LENGTH: u64 = 3 * MIB;
    let (origin, cluster) = (Origin::start(), with_little_memory().start());
    until_on(&cluster);
    // By its 304 it is fresh for so long that it is worth writing down.
    origin.on("/large", |x| match x.head.has("if-none-match") {
        true => x.reply_empty(304, "Cache-Control: max-age=6000\r\nETag: \"one\"\r\n"),
        false => {
            x.begin_sized("Cache-Control: max-age=0\r\nETag: \"one\"\r\n", LENGTH)?;
            x.noise(7, LENGTH)
        }
    });
    let (url, whole) = (origin.url("/large"), noise::Noise::bytes(7, LENGTH));
    assert!(cluster.get(&url).body == whole);
    until_a_file(&cluster, 1);
    let confirmed = cluster.get(&url);
    assert!(
        confirmed.body == whole && confirmed.cache_status().contains("fwd-status=304"),
        "{}",
        confirmed.cache_status()
    );
    assert!(cluster.get(&url).is_hit());
    let cluster = cluster.restart();
    until_on(&cluster);
    let again = cluster.get(&url);
    assert!(is_from_disk(&again) && again.body == whole, "{}", again.cache_status());
    until_true("of two files one is left", PATIENCE, || bodies(&cluster) == 1);
    assert_eq!(origin.count("/large"), 2);
}

#[test]
fn what_memory_has_of_a_large_body_is_written_when_it_is_asked_for_again() {
    const LENGTH: u64 = 3 * MIB;
    let cluster = Arc::new(with_little_memory().set("disk", "admit", "second").start());
    until_on(&cluster);
    let origin = with_page(LENGTH, &cluster);
    let url = origin.url("/sized");
    assert_eq!((cluster.get(&url).status, bodies(&cluster)), (200, 0));
    let hit = cluster.get(&url);
    assert!(hit.is_hit() && !is_from_disk(&hit), "{}", hit.cache_status());
    until_a_file(&cluster, 1);
    kill(&cluster, "n1");
    let again = cluster.get(&url);
    assert!(is_from_disk(&again), "{}", again.cache_status());
    assert!(again.body == noise::Noise::bytes(LENGTH, LENGTH));
    assert_eq!(origin.count("/sized"), 1);
}
