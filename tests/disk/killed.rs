//! A node that is killed in the middle of all that.

use super::*;

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
    let (origin, cluster) = (Origin::start(), with_disk(1).start());
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
    let check = |n: usize, least: usize, answer: &Response| {
        let text = answer.text();
        let version = text.split(' ').nth(1).unwrap().parse::<usize>().unwrap();
        assert!(text == body(n, version), "/{n}: every byte of it");
        assert!(version >= least, "/{n}: version {version} is back, after {least}: {}", answer.cache_status());
    };
    let (over, seen) = (AtomicUsize::new(0), (0..URLS).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
    let (answers, mut reads) = (AtomicUsize::new(0), 0);
    std::thread::scope(|scope| {
        // Each URL is one thread's, so what that one has seen is all that was answered.
        for thread in 0..4 {
            let (over, seen, answers, cluster, origin) = (&over, &seen, &answers, &cluster, &origin);
            scope.spawn(move || {
                let mut last = [0; URLS];
                for round in 0.. {
                    if over.load(Ordering::SeqCst) > 0 {
                        return;
                    }
                    let n = (round * 7 + thread) % URLS / 4 * 4 + thread;
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
        for _ in 0..kills {
            until_true("there is something", PATIENCE, || {
                cluster.metric("ringhold_node_disk_objects") as usize > URLS / 2
            });
            kill(&cluster, "n1");
            // How much of what was stored last has been written depends on the device, and on who else waits for it.
            let before = answers.load(Ordering::SeqCst);
            until_true("all are asked for", PATIENCE, || answers.load(Ordering::SeqCst) > before + 2 * URLS);
            reads += cluster.metric("ringhold_node_disk_reads_total") as usize;
        }
    });
    assert!(reads > kills, "{reads} reads from disk in {kills} starts");
    assert_eq!(cluster.metric("ringhold_node_disk_state"), 2);
}
