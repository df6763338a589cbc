//! A device or file system that fails, hangs, is full or read-only: the node goes on from memory, and says so.

use super::*;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

/// The library that has the system's calls fail, and what says how.
pub struct FaultyCalls(TempDir);

impl FaultyCalls {
    /// `None`: there is no rustc here, or this machine loads no such library.
    pub fn build() -> Option<FaultyCalls> {
        let folder = TempDir::with_prefix("rh").unwrap();
        let library = folder.path().join("faulty.so");
        let words = ["--edition", "2021", "--crate-type", "cdylib", "-o", library.to_str()?, "tests/disk/faulty.rs"];
        let built = Command::new("rustc").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        let faulty = FaultyCalls(folder);
        faulty.end();
        built.status.success().then_some(faulty)
    }

    pub fn begin(&self, what: &str) {
        fs::write(self.0.path().join("faults"), what).unwrap();
    }

    pub fn end(&self) {
        self.begin("");
    }

    pub fn prefix(&self) -> [String; 3] {
        let at = |name: &str| self.0.path().join(name).display().to_string();
        let (library, faults) = (at("faulty.so"), at("faults"));
        ["env".to_owned(), format!("LD_PRELOAD={library}"), format!("RINGHOLD_FAULTS={faults}")]
    }
}

fn state(cluster: &Cluster) -> u64 {
    cluster.metric("ringhold_node_disk_state")
}

#[test]
fn a_disk_that_cannot_be_written_costs_no_request_and_what_was_purged_does_not_come_back() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("a_disk_that_cannot_be_written", "there is no rustc that builds a library");
    };
    for (errno, said) in [(libc::EIO, "os error 5"), (libc::EROFS, "os error 30"), (libc::ENOSPC, "os error 28")] {
        let (origin, cluster) = (counting(KEEP), with_disk(1).start_by(&calls.prefix()));
        until_on(&cluster);
        let (purged, other) = (origin.url("/purged"), origin.url("/other"));
        let first = cluster.get(&purged).text();
        until_written(&cluster, &purged);
        calls.begin(&format!("write {errno}"));
        assert_eq!(cluster.get(&other).status, 200);
        assert!(cluster.get(&other).is_hit(), "from memory");
        let answer = cluster.manage("DELETE", &format!("/v1/cache?url={purged}"), "");
        assert_eq!(answer.status, 202, "{}", answer.text());
        until_true("it has been given up", PATIENCE, || state(&cluster) == 4);
        assert!(cluster.said().contains("is left alone for") && cluster.said().contains(said), "{}", cluster.said());
        until_true("it is asked for what it has", PATIENCE, || cluster.get(&origin.url("/more")).is_hit());
        calls.end();
        kill(&cluster, "n1");
        let again = cluster.get(&purged);
        assert!(!again.is_hit() && again.text() != first, "{}", again.cache_status());
    }
}

#[test]
fn a_disk_that_cannot_be_read_or_hangs_costs_hits_and_is_left_alone() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("a_disk_that_cannot_be_read", "there is no rustc that builds a library");
    };
    for (fault, why) in [("read 5", "os error 5"), ("read hang", "reads are not back in time")] {
        // Longer than what is read at once where the system has it, which no device can hold up.
        let (origin, cluster) = (Origin::start(), with_disk(1).start_by(&calls.prefix()));
        origin.on("*", |x| x.reply(200, KEEP, "long ".repeat(15_000)));
        until_on(&cluster);
        let urls: Vec<String> = (0..30).map(|n| origin.url(&format!("/{n}"))).collect();
        urls.iter().for_each(|url| _ = cluster.get(url));
        urls.iter().for_each(|url| until_written(&cluster, url));
        kill(&cluster, "n1");
        calls.begin(fault);
        for url in &urls {
            let answer = cluster.get(url);
            assert!(answer.status == 200 && !answer.is_hit(), "{} {}", answer.status, answer.cache_status());
        }
        until_true("it is left alone", PATIENCE, || state(&cluster) == 4);
        assert!(cluster.said().contains(why), "{}", cluster.said());
        assert!(cluster.metric("ringhold_node_disk_errors_total") > 0);
        assert!(urls.iter().all(|url| cluster.get(url).is_hit()), "from memory");
        assert_eq!(origin.count("/*"), 60);
        // Who hangs holds up nobody who ends.
        drop(cluster);
        calls.end();
    }
}

#[test]
fn many_purges_wait_for_few_syncs_and_stores_go_on_meanwhile() {
    const PURGES: usize = 500;
    const AT_ONCE: usize = 20;
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("many_purges_wait_for_few_syncs", "there is no rustc that builds a library");
    };
    let setup = with_disk(1).set("timeouts", "disk", "10s");
    let (origin, cluster) = (counting(KEEP), setup.start_by(&calls.prefix()));
    until_on(&cluster);
    let urls: Vec<String> = (0..PURGES).map(|n| origin.url(&format!("/{n}"))).collect();
    urls.iter().for_each(|url| _ = cluster.get(url));
    urls.iter().for_each(|url| until_written(&cluster, url));
    let syncs = cluster.metric("ringhold_node_disk_syncs_total");
    calls.begin("sync slow");
    let (over, stored) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let (over, stored, origin, cluster) = (&over, &stored, &origin, &cluster);
        scope.spawn(move || {
            while over.load(Ordering::SeqCst) == 0 {
                let n = stored.fetch_add(1, Ordering::SeqCst);
                assert_eq!(cluster.get(&origin.url(&format!("/new/{n}"))).status, 200);
            }
        });
        let _over = Over(over);
        std::thread::scope(|scope| {
            for urls in urls.chunks(PURGES / AT_ONCE) {
                scope.spawn(move || {
                    for url in urls {
                        let purged = cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "");
                        assert_eq!((purged.status, purged.json()["held"].clone()), (200, serde_json::json!(["n1"])));
                    }
                });
            }
        });
    });
    calls.end();
    let syncs = cluster.metric("ringhold_node_disk_syncs_total") - syncs;
    assert!((1..PURGES as u64 / 2).contains(&syncs), "{syncs} syncs for {PURGES} purges");
    let stored = stored.load(Ordering::SeqCst);
    assert!(stored > 10, "{stored} pages were stored meanwhile");
    until_written(&cluster, &origin.url(&format!("/new/{}", stored - 1)));
    kill(&cluster, "n1");
    let asked = origin.count("/*");
    let hits = (0..stored).filter(|n| cluster.get(&origin.url(&format!("/new/{n}"))).is_hit()).count();
    assert_eq!((hits, origin.count("/*")), (stored, asked));
    assert!(urls.iter().all(|url| !cluster.get(url).is_hit()), "what was purged is gone");
}

#[test]
fn where_the_journal_cannot_be_synced_a_purge_says_so_and_all_is_validated_by_the_next_process() {
    let Some(calls) = FaultyCalls::build() else {
        return tools::left_out("where_the_journal_cannot_be_synced", "there is no rustc that builds a library");
    };
    let (origin, cluster) = (counting(KEEP), with_disk(1).start_by(&calls.prefix()));
    until_on(&cluster);
    let url = origin.url("/page");
    let first = cluster.get(&url).text();
    until_written(&cluster, &url);
    calls.begin("sync 5");
    let answer = cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "");
    assert!(answer.status == 202 && answer.text().contains("the disk may bring back"), "{}", answer.text());
    until_true("it has been given up", PATIENCE, || state(&cluster) == 4);
    calls.end();
    kill(&cluster, "n1");
    let again = cluster.get(&url);
    assert!(!again.is_hit() && again.text() != first, "{}", again.cache_status());
}

#[test]
fn a_full_file_system_costs_hits_and_no_request() {
    let test = "a_full_file_system_costs_hits_and_no_request";
    let script = "mkdir disk && mount -t tmpfs -o size=2m,mode=700 none disk && exec \"$@\"";
    if !has_mounts() {
        return tools::left_out(test, "no mount namespace can be made here");
    }
    let prefix = ["unshare", "-m", "sh", "-c", script, "sh"].map(str::to_owned);
    let setup = with_disk(1)
        .set("disk", "size", "4MiB")
        .set("disk", "admit", "always")
        .set("cache", "memory", "1MiB")
        .set("cache", "max_object", "256KiB");
    let (origin, cluster) = (Origin::start(), setup.start_by(&prefix));
    until_on(&cluster);
    origin.on("*", |x| {
        x.begin_sized(KEEP, 100_000)?;
        x.noise(x.target().len() as u64, 100_000)
    });
    for n in 0..150 {
        assert_eq!(cluster.get(&origin.url(&format!("/{n}"))).status, 200);
    }
    until_written(&cluster, &origin.url("/149"));
    kill(&cluster, "n1");
    // The newest first: what has to be fetched is written, and takes the place of the oldest.
    let hits = (0..150).rev().filter(|n| is_from_disk(&cluster.get(&origin.url(&format!("/{n}"))))).count();
    assert!((2..150).contains(&hits), "{hits} of 150 in 2 MiB");
    assert!(cluster.said().contains("is full before 4 MiB are taken"), "{}", cluster.said());
}

#[test]
fn a_file_system_that_is_read_only_is_named_and_memory_has_to_do() {
    let test = "a_file_system_that_is_read_only_is_named_and_memory_has_to_do";
    let script = "mkdir disk && mount -t tmpfs -o ro,size=2m none disk && exec \"$@\"";
    if !has_mounts() {
        return tools::left_out(test, "no mount namespace can be made here");
    }
    let prefix = ["unshare", "-m", "sh", "-c", script, "sh"].map(str::to_owned);
    let (origin, cluster) = (counting(KEEP), with_disk(1).start_by(&prefix));
    until_true("it says why", PATIENCE, || cluster.said().contains("mount its file system for writing"));
    let url = origin.url("/page");
    assert_eq!(cluster.get(&url).status, 200);
    assert!(cluster.get(&url).is_hit());
    assert_eq!(cluster.metric("ringhold_node_disk_state"), 0);
    assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "").status, 202);
}

#[test]
fn a_purge_that_the_disk_cannot_keep_says_all_the_same_whether_something_was_stored() {
    // Where the folder is to be there is a file.
    let prefix = ["sh", "-c", "touch disk && exec \"$@\"", "sh"].map(str::to_owned);
    let (origin, cluster) = (counting(KEEP), with_disk(1).start_by(&prefix));
    until_true("it goes without a disk", PATIENCE, || cluster.said().contains("set [disk] path"));
    let url = origin.url("/page");
    cluster.get(&url);
    assert!(cluster.get(&url).is_hit());
    let (file, admin) = (cluster.file().display().to_string(), cluster.admin.to_string());
    let purge = || cluster::run(cluster.folder(), &["purge", &url, "--config", &file, "--admin", &admin]);
    for was in ["was stored on n1\n", "it is not known whether anything was stored\n"] {
        let (code, said) = purge();
        assert!(code == Some(3) && said.contains(was), "{was}: {said}");
        let why = "missed by n1: it answered with status 503: purged, but not from what the disk may bring back";
        assert!(said.contains(why) && !said.contains("purged on"), "{said}");
    }
}

#[test]
fn a_folder_that_may_only_be_read_is_shown_and_verified_and_check_warns_of_it() {
    let test = "a_folder_that_may_only_be_read_is_shown_and_verified_and_check_warns_of_it";
    if !has_mounts() {
        return tools::left_out(test, "no mount namespace can be made here");
    }
    let (origin, mut cluster) = (counting(KEEP), with_disk(1).start());
    until_on(&cluster);
    let url = origin.url("/page");
    cluster.get(&url);
    until_written(&cluster, &url);
    cluster.terminate(Signal::TERM);
    let (folder, file) = (cluster.folder().to_owned(), cluster.file().display().to_string());
    let script = "mount --bind disk disk && mount -o remount,bind,ro disk && exec \"$@\"";
    let run = |words: &str| {
        let words = [words.split(' ').collect(), vec!["--config", &file]].concat();
        cluster::run_after(&["unshare", "-m", "sh", "-c", script, "sh"], &folder, &words)
    };
    for (words, code, what) in [
        ("disk show", 0, "n1: 1 URLs (0 to be validated)"),
        ("disk verify", 0, "n1: 1 URLs have a whole record, 0 have not"),
        ("disk wipe n1", 1, "mount its file system for writing"),
        ("check", 0, "nothing can be written in "),
    ] {
        let (ended, said) = run(words);
        assert!(ended == Some(code) && said.contains(what) && !said.contains("are free"), "{words}: {said}");
    }
}

#[test]
fn a_folder_that_is_a_link_is_named_and_the_others_are_shown() {
    let (origin, mut cluster) = (counting(KEEP), with_disk(2).start());
    until_on(&cluster);
    cluster.get(&origin.url("/page"));
    cluster.terminate(Signal::TERM);
    let (folder, file) = (cluster.folder().to_owned(), cluster.file().display().to_string());
    let [n1, there] = ["disk/n1", "there"].map(|name| folder.join(name));
    fs::rename(&n1, &there).unwrap();
    std::os::unix::fs::symlink(&there, &n1).unwrap();
    let (code, said) = cluster::run(&folder, &["disk", "show", "--config", &file]);
    assert!(code == Some(1) && said.contains("n2: "), "{said}");
    assert!(said.contains(&format!("{}: it is a link, or no folder", n1.display())), "{said}");
    let cluster = cluster.again();
    until_true("the node says so", PATIENCE, || cluster.said().contains("n1 is a link, or no folder: remove it"));
}

/// None at all, and none but for those that it closes itself.
#[test]
fn a_node_without_a_free_descriptor_misses_what_it_cannot_open_and_its_disk_has_not_failed() {
    const LENGTH: usize = 2 << 20;
    for free in [0, 1] {
        let setup = with_disk(1).set("disk", "size", "256MiB").set("disk", "admit", "always");
        let cluster = setup.set("cache", "memory", "16MiB").set("cache", "max_object", "64KiB").start();
        until_on(&cluster);
        let origin = Origin::start();
        origin.on("*", |x| {
            x.begin_sized(KEEP, LENGTH as u64)?;
            x.noise(x.target().len() as u64, LENGTH as u64)
        });
        let pages: Vec<_> = (10..30).map(|n| origin.url(&format!("/{n}"))).collect();
        let mut client = cluster.connect();
        let whole = client.get(&pages[0]).body;
        pages.iter().for_each(|url| assert!(client.get(url).body == whole));
        large::until_a_file(&cluster, 20);
        let pid = cluster.node("n1").pid;
        let is_open = |n: &u64| fs::symlink_metadata(format!("/proc/{pid}/fd/{n}")).is_ok();
        let least = if free == 0 { 3 } else { (0..).find(|n| !is_open(n)).unwrap() };
        let limited = |limit| prlimit(Pid::from_raw(pid as i32), Resource::Nofile, limit).unwrap();
        let before = limited(Rlimit { current: Some(least), maximum: Some(20_000) });
        for url in &pages {
            let answer = client.get(url);
            assert!(
                answer.status == 200 && answer.body == whole,
                "{free}: {} {}",
                answer.status,
                answer.cache_status()
            );
        }
        let new: Vec<_> = (30..50).map(|n| origin.url(&format!("/{n}"))).collect();
        new.iter().for_each(|url| assert!(client.get(url).body == whole));
        limited(Rlimit { maximum: Some(20_000), ..before });
        assert_eq!(state(&cluster), 2, "{free}: {}", cluster.said());
        let lacking = cluster.metric("ringhold_node_disk_errors_total{node=\"n1\",what=\"lack\"}");
        assert!(lacking > 0 || free > 0);
        assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={}", pages[1]), "").status, 200);
        for url in [&pages[2], &new[0]] {
            until_true("it is a hit again", PATIENCE, || cluster.get(url).is_hit());
        }
    }
}

fn has_mounts() -> bool {
    let tried = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs -o size=64k none /tmp"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}
