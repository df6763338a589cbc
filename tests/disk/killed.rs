//! A node that is killed in the middle of all that.

use super::*;
use std::thread;
use std::time::Duration;

/// Several, each by itself: who is killed again and again is started again after longer and longer pauses.
#[test]
fn a_node_that_is_killed_again_and_again_answers_with_nothing_wrong_old_or_purged() {
    let (clusters, kills) = drill((4, 5), (10, 50));
    std::thread::scope(|scope| (0..clusters).for_each(|_| _ = scope.spawn(|| killed_again_and_again(kills))));
}

/// Of every tenth URL it is so long that it lies in a file of its own.
fn body(n: usize, version: usize) -> String {
    let times = if n % 10 == 7 { 120_000 } else { 1 + 37 * (n % 5) * 40 };
    format!("{n} {version} ").repeat(times)
}

/// Under load that stores, replaces and purges, in the middle of all that. What an answer says of itself is compared with what was
/// known before it was asked for.
fn killed_again_and_again(kills: usize) {
    const URLS: usize = 40;
    const THREADS: usize = 4;
    // A device that is busy is not taken for one that hangs.
    let (origin, cluster) = (Origin::start(), with_disk(1).set("timeouts", "disk", "3s").start());
    until_on(&cluster);
    let versions: Arc<Vec<AtomicUsize>> = Arc::new((0..URLS).map(|_| AtomicUsize::new(0)).collect());
    let of_origin = versions.clone();
    origin.on("*", move |x| {
        let n: usize = x.target()[1..].parse().unwrap();
        // A node that missed a purge while it was dead validates all that it has.
        let latest = format!("\"{}\"", of_origin[n].load(Ordering::SeqCst));
        if x.head.get("if-none-match").is_some_and(|tag| tag == latest) {
            return x.reply_empty(304, &format!("{KEEP}ETag: {latest}\r\n"));
        }
        let version = of_origin[n].fetch_add(1, Ordering::SeqCst) + 1;
        let body = body(n, version);
        x.reply(200, &format!("{KEEP}ETag: \"{version}\"\r\n"), body)
    });
    // Nobody purges or replaces these.
    origin.on("/kept/*", |x| {
        let body = x.target().repeat(100);
        x.reply(200, "Cache-Control: max-age=86400\r\nETag: \"kept\"\r\n", body)
    });
    let kept: Vec<String> = (0..8).map(|n| format!("/kept/{n}")).collect();
    let get_kept = |path: &String| {
        let answer = cluster.get(&origin.url(path));
        assert_eq!((answer.status, answer.text()), (200, path.repeat(100)), "{}", answer.cache_status());
        answer
    };
    let check = |n: usize, least: usize, answer: &Response| {
        let text = answer.text();
        let version = text.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
        assert!(text == body(n, version), "/{n}: every byte of it");
        assert!(version >= least, "/{n}: version {version} is back, after {least}: {}", answer.cache_status());
    };
    let (over, seen) = (AtomicUsize::new(0), (0..URLS).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
    let (answers, rest, resting) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // Each URL is one thread's, so what that one has seen is all that was answered.
        for thread in 0..THREADS {
            let (over, seen, answers, cluster, origin) = (&over, &seen, &answers, &cluster, &origin);
            let (rest, resting) = (&rest, &resting);
            scope.spawn(move || {
                let mut last = [0; URLS];
                for round in 0.. {
                    if over.load(Ordering::SeqCst) > 0 {
                        return;
                    }
                    if rest.load(Ordering::SeqCst) > 0 {
                        resting.fetch_add(1, Ordering::SeqCst);
                        while rest.load(Ordering::SeqCst) > 0 && over.load(Ordering::SeqCst) == 0 {
                            thread::sleep(Duration::from_millis(2));
                        }
                        resting.fetch_sub(1, Ordering::SeqCst);
                    }
                    let n = (round * 7 + thread) % URLS / THREADS * THREADS + thread;
                    let (url, least) = (origin.url(&format!("/{n}")), seen[n].load(Ordering::SeqCst));
                    if round % 11 == 0 && cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status == 200 {
                        // What was purged may be of a later version than was seen, but of no earlier one.
                        seen[n].store(last[n] + 1, Ordering::SeqCst);
                        continue;
                    }
                    let fields = if round % 13 == 0 { "Cache-Control: no-cache\r\n" } else { "" };
                    // While nobody is there it is an error of ours.
                    let asked = cluster.connect().try_ask("GET", &url, fields, b"");
                    let Ok(answer) = asked else { continue };
                    if answer.status == 200 {
                        check(n, least, &answer);
                        answers.fetch_add(1, Ordering::SeqCst);
                        last[n] = answer.text().split(' ').nth(1).unwrap().parse().unwrap();
                        seen[n].fetch_max(last[n], Ordering::SeqCst);
                    }
                }
            });
        }
        // Also where this one gives up.
        let _over = Over(&over);
        for start in 0..kills {
            let before = answers.load(Ordering::SeqCst);
            until_true("all are asked for", 6 * PATIENCE, || answers.load(Ordering::SeqCst) > before + 2 * URLS);
            if start % 2 == 0 {
                kill(&cluster, "n1");
                continue;
            }
            // A purge that finds nobody has all validated. So every other time nobody purges while it is killed, and what is
            // written by then is a hit, however slow the device is.
            rest.store(1, Ordering::SeqCst);
            until_true("nobody asks for anything", PATIENCE, || resting.load(Ordering::SeqCst) == THREADS);
            for path in &kept {
                until_true("it is a hit, and written", PATIENCE, || {
                    get_kept(path).is_hit() && is_written(&cluster, &origin.url(path))
                });
            }
            kill(&cluster, "n1");
            let asked = origin.count("/kept/*");
            for path in &kept {
                // Its memory is new: a hit is from disk, also where the front has asked twice, so that it is in memory by then.
                let again = get_kept(path);
                assert!(again.is_hit(), "start {start}: {path} was written: {}", again.cache_status());
            }
            assert_eq!(origin.count("/kept/*"), asked);
            assert!(cluster.metric("ringhold_node_disk_reads_total") as usize >= kept.len());
            rest.store(0, Ordering::SeqCst);
        }
    });
    assert_eq!(cluster.metric("ringhold_node_disk_state"), 2);
}
