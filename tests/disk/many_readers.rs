//! An object that is many times as large as memory: read by many at once, and completed where it broke off.

use super::*;
use std::io;
use std::thread;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 64 * 1024;
const TAGGED: &str = "Cache-Control: max-age=6000\r\nETag: \"one\"\r\n";
/// Readers of all of it, and of a part each.
const WHOLE: u64 = 5;
const PARTS: u64 = 45;
/// What a node may take more than when it has nothing to do.
const ALLOWED: u64 = 24 * MIB;

/// What stands there says where it stands, so that nobody need keep it.
fn block(number: u64) -> Vec<u8> {
    let word = |n: u64| (number * (BLOCK / 8) + n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    (0..BLOCK / 8).flat_map(|n| word(n).to_le_bytes()).collect()
}

/// The bytes from one place to another, a few at a time.
fn each(from: u64, to: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let within = at % BLOCK;
        let length = (BLOCK - within).min(to - at);
        take(&block(at / BLOCK)[within as usize..(within + length) as usize])?;
        at += length;
    }
    Ok(())
}

/// Compares what comes with what stands at its place.
struct Checked {
    at: u64,
    known: (u64, Vec<u8>),
}

impl Checked {
    fn from(at: u64) -> Checked {
        Checked { at, known: (at / BLOCK, block(at / BLOCK)) }
    }

    fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let number = self.at / BLOCK;
            if self.known.0 != number {
                self.known = (number, block(number));
            }
            let within = (self.at % BLOCK) as usize;
            let length = piece.len().min(BLOCK as usize - within);
            assert!(piece[..length] == self.known.1[within..within + length], "from {} on it is another", self.at);
            self.at += length as u64;
            piece = &piece[length..];
        }
    }
}

/// Answers with all of it, or the part that is asked for. No faster than the disk, however busy the machine is; `until`: where
/// the whole breaks off, by what is done then.
fn serve(x: &mut Exchange, cluster: &Weak<Cluster>, length: u64, until: u64) -> io::Result<bool> {
    let range = x.head.get("range").filter(|_| x.head.get("if-range").is_none_or(|tag| tag == "\"one\""));
    let (from, to) = match range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
        Some((from, to)) => (from.parse().unwrap(), to.parse::<u64>().map_or(length, |last| last + 1)),
        None => (0, length),
    };
    let is_part = (from, to) != (0, length);
    match is_part {
        true => x.raw(format!(
            "HTTP/1.1 206 Partial Content\r\n{TAGGED}Content-Length: {}\r\nContent-Range: bytes {from}-{}/{length}\r\n\r\n",
            to - from,
            to - 1
        ))?,
        false => x.begin_sized(TAGGED, length)?,
    }
    let end = if is_part { to } else { to.min(until) };
    let mut sent = 0;
    each(from, end, |piece| {
        x.raw(piece)?;
        sent += piece.len() as u64;
        if sent % (4 * MIB) == 0 {
            let keeps_up = |cluster: Arc<Cluster>| cluster.metric("ringhold_node_disk_behind_bytes") < MIB;
            until_true("the disk keeps up", PATIENCE, || cluster.upgrade().is_none_or(keeps_up));
        }
        Ok(())
    })?;
    Ok(end == to)
}

fn with_memory_for_little(length: u64) -> Setup {
    let size = format!("{}MiB", (3 * length).max(512 * MIB) / MIB);
    with_disk(1).set("disk", "size", size).set("cache", "memory", "64MiB").set("timeouts", "disk", "10s")
}

fn begin(cluster: &Cluster, url: &str, fields: &str) -> (Connection, Head) {
    let mut client = cluster.connect();
    client.request("GET", url, fields, b"").unwrap();
    let (head, _) = client.final_head().unwrap();
    (client, head)
}

#[test]
fn fifty_readers_of_what_is_larger_than_memory_get_each_byte_and_cost_little_of_it() {
    let (length, part) = drill((128 * MIB, 2 * MIB), (4096 * MIB, 64 * MIB));
    let _alone = alone();
    // A part is more than memory keeps: of what the origin is asked for meanwhile nothing is stored.
    let setup = with_memory_for_little(length).set("cache", "max_object", drill("1MiB", "16MiB"));
    let cluster = Arc::new(setup.start());
    until_on(&cluster);
    let (origin, of_origin) = (Origin::start(), Arc::downgrade(&cluster));
    origin.on("/large", move |x| serve(x, &of_origin, length, length).map(drop));
    origin.on("/small", |x| x.reply(200, KEEP, "small"));
    assert!((0..50).all(|_| cluster.get(&origin.url("/small")).status == 200));
    let (url, node) = (origin.url("/large"), cluster.node("n1").pid);
    let idle = process::private(node);
    let (read, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let most = thread::scope(|scope| {
        let (cluster, read, over, url) = (&cluster, &read, &over, &url);
        let watch = scope.spawn(move || {
            let mut most = 0;
            while over.load(Ordering::SeqCst) == 0 {
                most = most.max(process::private(node));
                thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let _over = Over(over);
        thread::scope(|scope| {
            for n in 0..WHOLE {
                scope.spawn(move || {
                    let (mut client, head) = begin(cluster, url, "");
                    assert_eq!(client::status_of(&head), 200);
                    let mut checked = Checked::from(0);
                    client
                        .body("GET", &head, |piece| {
                            checked.take(piece);
                            read.fetch_max(checked.at as usize, Ordering::SeqCst);
                            thread::sleep(Duration::from_micros(n * 150));
                        })
                        .unwrap();
                    assert_eq!(checked.at, length);
                });
            }
            for n in 0..PARTS {
                scope.spawn(move || {
                    // Some when it has come that far, others before.
                    let from = (length - part) / PARTS * n + 4711 * (n % 3);
                    let due = if n % 3 == 0 { MIB } else { from + part };
                    until_true("it has come so far", 30 * PATIENCE, || {
                        read.load(Ordering::SeqCst) as u64 >= due.min(length - MIB)
                    });
                    let (mut client, head) =
                        begin(cluster, url, &format!("Range: bytes={from}-{}\r\n", from + part - 1));
                    assert_eq!(client::status_of(&head), 206);
                    let mut checked = Checked::from(from);
                    client
                        .body("GET", &head, |piece| {
                            checked.take(piece);
                            thread::sleep(Duration::from_micros(n * 20));
                        })
                        .unwrap();
                    assert_eq!(checked.at, from + part);
                });
            }
        });
        over.store(1, Ordering::SeqCst);
        watch.join().unwrap()
    });
    eprintln!("{} MiB over idle for {} MiB", most.saturating_sub(idle) / MIB, length / MIB);
    assert!(most <= idle + ALLOWED, "{} MiB over idle", (most - idle) / MIB);
    let whole = origin.heads("/large").iter().filter(|head| !head.has("range")).count();
    assert_eq!(whole, 1, "all five read one fetch");
    large::until_a_file(&cluster, 1);
    let (mut client, head) = begin(&cluster, &url, "");
    assert!(head.get("cache-status").is_some_and(|said| said.contains("detail=\"disk\"")));
    let mut checked = Checked::from(0);
    client.body("GET", &head, |piece| checked.take(piece)).unwrap();
    assert_eq!(checked.at, length);
}

#[test]
fn what_broke_off_or_was_left_is_kept_as_a_part_also_over_a_kill_and_only_the_rest_is_asked_for() {
    let length = drill(64 * MIB, 4096 * MIB) + 4711;
    let cluster = Arc::new(with_memory_for_little(length).set("cache", "max_object", "4MiB").start());
    until_on(&cluster);
    let (origin, of_origin, gate) = (Origin::start(), Arc::downgrade(&cluster), Gate::default());
    let (held, until) = (gate.clone(), length / 10 * 9);
    origin.on("/*", move |x| match serve(x, &of_origin, length, until)? {
        true => Ok(()),
        // The origin breaks off, or the reader leaves while it says nothing.
        false if x.target() == "/broken" => x.reset(),
        false => held.wait(),
    });
    for (n, path) in ["/broken", "/left"].into_iter().enumerate() {
        let url = origin.url(path);
        let (mut client, head) = begin(&cluster, &url, "");
        let mut checked = Checked::from(0);
        match path {
            "/broken" => {
                assert!(client.body("GET", &head, |piece| checked.take(piece)).is_err(), "it is not taken for whole")
            }
            _ => {
                while checked.at < until - 2 * MIB {
                    checked.take(&client.read_exact(BLOCK as usize).unwrap());
                }
            }
        }
        assert!(checked.at > until - 4 * MIB);
        drop(client);
        large::until_a_file(&cluster, n as u64 + 1);
        until_true("its part is written", PATIENCE, || is_written(&cluster, &url));
        kill(&cluster, "n1");
        let asked = origin.count(path);
        let part = cluster.ask("GET", &url, "Range: bytes=1000000-1999999\r\n", b"");
        assert!(part.status == 206 && is_from_disk(&part), "{path}: {}", part.cache_status());
        Checked::from(1_000_000).take(&part.body);
        assert_eq!((part.body.len(), origin.count(path)), (1_000_000, asked));
        let (mut client, head) = begin(&cluster, &url, "");
        let mut checked = Checked::from(0);
        client.body("GET", &head, |piece| checked.take(piece)).unwrap();
        assert_eq!((client::status_of(&head), checked.at), (200, length));
        let rest = origin.heads(path).pop().unwrap();
        let from = rest.get("range").unwrap();
        let from: u64 = from.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
        assert!((until - 4 * MIB..=until).contains(&from), "{path}: from {from}, {until} had come");
        assert_eq!((rest.get("if-range").as_deref(), origin.count(path)), (Some("\"one\""), asked + 1));
        until_true("it is whole", PATIENCE, || is_written(&cluster, &url));
        kill(&cluster, "n1");
        let (mut client, head) = begin(&cluster, &url, "");
        let mut checked = Checked::from(0);
        client.body("GET", &head, |piece| checked.take(piece)).unwrap();
        assert_eq!((checked.at, origin.count(path)), (length, asked + 1), "it is a hit");
    }
    gate.open();
}
