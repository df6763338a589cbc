//! What is cached survives the process: killed, ended, upgraded; and what became invalid, or was never to lie on a disk, does not.
#![allow(clippy::disallowed_methods)]

#[path = "disk/away.rs"]
mod away;
#[path = "disk/explained.rs"]
mod explained;
#[path = "disk/faults.rs"]
mod faults;
#[path = "disk/killed.rs"]
mod killed;
#[path = "disk/large.rs"]
mod large;
#[path = "disk/many_readers.rs"]
mod many_readers;
#[path = "disk/renewed.rs"]
mod renewed;
#[path = "disk/slow.rs"]
mod slow;
mod support;
use rustix::process::Signal;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use support::*;

const KEEP: &str = "Cache-Control: max-age=600\r\n";

/// With a disk; the origin's address is opened for everyone, so that what comes from there may lie on it.
fn with_disk(nodes: usize) -> Setup {
    let setup = Setup::default().nodes(nodes).unhurried().set("disk", "size", "64MiB").set("disk", "path", "disk");
    setup.set("access", "open", vec!["127.0.0.1/32"])
}

/// An origin whose pages say how often they were asked for.
fn counting(fields: &'static str) -> Origin {
    let (origin, count) = (Origin::start(), Arc::new(AtomicUsize::new(0)));
    origin.on("*", move |x| {
        let n = count.fetch_add(1, Ordering::Relaxed) + 1;
        let body = format!("{} {n}", x.target());
        x.reply(200, fields, body)
    });
    origin
}

fn until_on(cluster: &Cluster) {
    let nodes = cluster.nodes().len() as u64;
    until_true("the disks are on", PATIENCE, || cluster.metric("ringhold_node_disk_state") >= 2 * nodes);
}

/// Whether a kill of its node leaves a page on the disk.
fn is_written(cluster: &Cluster, url: &str) -> bool {
    let explained = cluster.manage("GET", &format!("/v1/explain?url={url}"), "").json();
    explained["on_disk"] == true && explained["disk"]["written"] == true
}

/// Waits until the disk has a page, and all that waited to be written.
fn until_written(cluster: &Cluster, url: &str) {
    until_true("all is written", PATIENCE, || {
        is_written(cluster, url) && cluster.metric("ringhold_node_disk_behind_bytes") == 0
    });
}

fn kill(cluster: &Cluster, id: &str) {
    let before = cluster.node(id).pid;
    cluster.signal_node(id, Signal::KILL);
    until_back(cluster, id, before);
}

fn until_back(cluster: &Cluster, id: &str, before: u32) {
    until_true("another process has taken its place", PATIENCE, || {
        let is_new = cluster.nodes().iter().any(|node| node.id == id && node.pid != before);
        is_new && cluster.manage("GET", &format!("/v1/nodes/{id}"), "").json()["up"] == true
    });
    until_on(cluster);
}

fn is_from_disk(answer: &Response) -> bool {
    answer.is_hit() && answer.cache_status().contains("detail=\"disk\"")
}

#[test]
fn what_a_killed_node_had_is_a_hit_again() {
    let (origin, cluster) = (counting(KEEP), with_disk(1).start());
    until_on(&cluster);
    let url = origin.url("/page");
    let first = cluster.get(&url);
    assert!(cluster.get(&url).is_hit());
    until_written(&cluster, &url);
    kill(&cluster, "n1");
    let again = cluster.get(&url);
    assert!(is_from_disk(&again), "{}", again.cache_status());
    assert_eq!((again.text(), origin.count("/page")), (first.text(), 1));
    let third = cluster.get(&url);
    assert!(third.is_hit() && !is_from_disk(&third), "it is in memory again: {}", third.cache_status());
    assert_eq!(cluster.node_total("disk_hits"), 1);
}

#[test]
fn what_is_asked_for_again_is_written_also_where_memory_answers_it() {
    let (origin, cluster) = (counting(KEEP), with_disk(1).set("disk", "admit", "second").start());
    until_on(&cluster);
    let [once, twice] = ["/once", "/twice"].map(|page| origin.url(page));
    cluster.get(&once);
    cluster.get(&twice);
    assert!(cluster.get(&twice).is_hit());
    until_written(&cluster, &twice);
    assert_eq!(cluster.metric("ringhold_node_disk_objects"), 1);
    kill(&cluster, "n1");
    assert!(is_from_disk(&cluster.get(&twice)) && !cluster.get(&once).is_hit());
    assert_eq!((origin.count("/twice"), origin.count("/once")), (1, 2));
}

#[test]
fn a_restart_of_the_service_costs_the_origin_nothing() {
    let (origin, cluster) = (counting(KEEP), with_disk(3).start());
    until_on(&cluster);
    let urls: Vec<String> = (0..40).map(|n| origin.url(&format!("/{n}"))).collect();
    let first: Vec<String> = urls.iter().map(|url| cluster.get(url).text()).collect();
    // Nothing is waited for: what memory alone has is written at the end.
    let cluster = cluster.restart();
    until_on(&cluster);
    for (url, first) in urls.iter().zip(first) {
        let again = cluster.get(url);
        assert!(is_from_disk(&again), "{url}: {}", again.cache_status());
        assert_eq!(again.text(), first);
        assert!(again.get("age").is_some());
    }
    assert_eq!(origin.count("/*"), 40);
}

#[test]
fn a_large_page_and_each_variant_come_back_whole() {
    let (origin, cluster) = (Origin::start(), with_disk(1).start());
    until_on(&cluster);
    origin.on("/large", |x| {
        x.begin_sized(KEEP, 3_000_000)?;
        x.noise(7, 3_000_000)
    });
    origin.on("/text", |x| {
        let language = x.head.get("accept-language").unwrap_or_default();
        x.reply(200, "Cache-Control: max-age=600\r\nVary: Accept-Language\r\n", format!("in {language}"))
    });
    let large = cluster.get(&origin.url("/large"));
    let text = |cluster: &Cluster, language: &str| {
        cluster.ask("GET", &origin.url("/text"), &format!("Accept-Language: {language}\r\n"), b"")
    };
    let languages = ["de", "en", "fr"];
    languages.iter().for_each(|language| _ = text(&cluster, language));
    until_true("all variants are stored", PATIENCE, || {
        let explained = cluster.manage("GET", &format!("/v1/explain?url={}", origin.url("/text")), "").json();
        explained["stored"].as_array().is_some_and(|stored| stored.len() == languages.len())
    });
    until_written(&cluster, &origin.url("/text"));
    kill(&cluster, "n1");
    let again = cluster.get(&origin.url("/large"));
    assert!(is_from_disk(&again) && again.body == large.body, "{}", again.cache_status());
    for (n, language) in languages.iter().enumerate() {
        let again = text(&cluster, language);
        assert!(again.is_hit(), "{language}: {}", again.cache_status());
        assert_eq!((again.text(), n == 0 || !is_from_disk(&again)), (format!("in {language}"), true));
    }
    assert_eq!(origin.count("/*"), 4);
}

#[test]
fn what_was_purged_made_invalid_or_replaced_does_not_come_back() {
    let (origin, cluster) = (counting(KEEP), with_disk(1).start());
    until_on(&cluster);
    let url = |path: &str| origin.url(path);
    let paths = ["/purged", "/posted", "/reloaded", "/kept"];
    let first: Vec<String> = paths.iter().map(|path| cluster.get(&url(path)).text()).collect();
    paths.iter().for_each(|path| until_written(&cluster, &url(path)));
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={}", url("/purged")), "");
    assert_eq!((purged.status, purged.json()["held"].clone()), (200, serde_json::json!(["n1"])));
    assert_eq!(cluster.ask("POST", &url("/posted"), "Content-Length: 1\r\n", b"x").status, 200);
    let reloaded = cluster.ask("GET", &url("/reloaded"), "Cache-Control: no-cache\r\n", b"").text();
    kill(&cluster, "n1");
    let again: Vec<Response> = paths.iter().map(|path| cluster.get(&url(path))).collect();
    for at in [0, 1] {
        assert!(!again[at].is_hit() && again[at].text() != first[at], "{}: {}", paths[at], again[at].cache_status());
    }
    assert!(reloaded != first[2] && again[2].text() != first[2], "{}", again[2].text());
    assert!(is_from_disk(&again[3]) && again[3].text() == first[3], "{}", again[3].cache_status());
}

#[test]
fn what_was_purged_while_a_node_could_not_hear_it_is_asked_for_anew_after_its_death() {
    let setup = with_disk(2).set("timeouts", "probe", "300ms");
    let (origin, cluster) = (counting("Cache-Control: max-age=600\r\nETag: \"1\"\r\n"), setup.start());
    until_on(&cluster);
    let urls: Vec<String> = (0..20).map(|n| origin.url(&format!("/{n}"))).collect();
    let of_first: Vec<&String> = urls.iter().filter(|url| cluster.get(url).node() == "n1").collect();
    assert!(of_first.len() > 1);
    of_first.iter().for_each(|url| until_written(&cluster, url));
    let before = cluster.node("n1").pid;
    cluster.signal_node("n1", Signal::STOP);
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={}", of_first[0]), "");
    assert_eq!(purged.status, 202, "{}", purged.text());
    cluster.signal_node("n1", Signal::KILL);
    until_back(&cluster, "n1", before);
    let asked = origin.count(&of_first[0][origin.url("").len()..]);
    let again = cluster.get(of_first[0]);
    assert!(!again.is_hit() || again.node() == "n2", "{}", again.cache_status());
    assert!(origin.count(&of_first[0][origin.url("").len()..]) > asked || again.node() == "n2");
}

#[test]
fn what_was_purged_while_the_folder_could_not_be_had_does_not_come_back_with_it() {
    let (origin, mut cluster) = (counting(KEEP), with_disk(1).start());
    until_on(&cluster);
    let (url, other) = (origin.url("/page"), origin.url("/other"));
    let first = cluster.get(&url).text();
    until_written(&cluster, &url);
    cluster.terminate(Signal::TERM);
    let folder = cluster.folder().join("disk/n1");
    let allow = |mode| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    allow(0o755);
    let cluster = cluster.again();
    until_true("it says what to do", PATIENCE, || cluster.said().contains("chmod 700"));
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "");
    assert_eq!(purged.status, 202, "{}", purged.text());
    until_true("it has promised to validate, and is asked for what it has", PATIENCE, || cluster.get(&other).is_hit());
    allow(0o700);
    kill(&cluster, "n1");
    let again = cluster.get(&url);
    assert!(!again.is_hit() && again.text() != first, "{}", again.cache_status());
}

#[test]
fn the_folder_is_private_and_has_nothing_that_is_not_to_lie_on_a_disk() {
    let (origin, cluster) = (Origin::start(), with_disk(1).start());
    // The same machine at an address that nobody has opened: only clients on this machine may have what is there.
    let local = Origin::at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    until_on(&cluster);
    let page = |fields: &'static str, text: &'static str| move |x: &mut Exchange| x.reply(200, fields, text);
    origin.on("/public", page(KEEP, "MARK-PUBLIC"));
    origin.on("/no-store", page("Cache-Control: no-store\r\nX-Also: MARK-NO-STORE\r\n", "MARK-NO-STORE"));
    origin.on("/private", page("Cache-Control: private, max-age=600\r\nX-Also: MARK-PRIVATE\r\n", "MARK-PRIVATE"));
    local.on("/local", page(KEEP, "MARK-LOCAL"));
    for (from, path) in [(&origin, "/no-store"), (&origin, "/private"), (&local, "/local"), (&origin, "/public")] {
        assert_eq!(cluster.get(&from.url(path)).status, 200);
    }
    assert!(cluster.get(&local.url("/local")).is_hit(), "in memory it is");
    until_written(&cluster, &origin.url("/public"));
    let folder = cluster.folder().join("disk/n1");
    let cluster = cluster.restart();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cluster.folder().join("disk/n1")), 0o700, "{folder:?}");
    let mut all = Vec::new();
    for entry in fs::read_dir(cluster.folder().join("disk/n1")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
        all.extend(fs::read(path).unwrap());
    }
    let has = |mark: &str| all.windows(mark.len()).any(|bytes| bytes == mark.as_bytes());
    assert!(has("MARK-PUBLIC"), "what is there is found");
    for mark in ["MARK-NO-STORE", "MARK-PRIVATE", "MARK-LOCAL", "/no-store", "/private", "/local"] {
        assert!(!has(mark), "{mark} lies on the disk");
    }
}

struct Over<'a>(&'a AtomicUsize);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::SeqCst);
    }
}

#[test]
fn after_a_power_cut_all_is_validated_and_what_was_confirmed_is_good_again() {
    let (origin, mut cluster) = (Origin::start(), with_disk(1).start());
    until_on(&cluster);
    origin.on("/page", |x| match x.head.has("if-none-match") {
        true => x.reply_empty(304, "Cache-Control: max-age=6000\r\nETag: \"1\"\r\n"),
        false => x.reply(200, "Cache-Control: max-age=6000\r\nETag: \"1\"\r\n", "page"),
    });
    let url = origin.url("/page");
    cluster.get(&url);
    until_written(&cluster, &url);
    let nodes: Vec<u32> = cluster.nodes().iter().map(|node| node.pid).collect();
    cluster.terminate(Signal::KILL);
    cluster::until_gone(&nodes, PATIENCE);
    // As if the machine had been started since.
    fs::write(cluster.folder().join("disk/n1/mark"), [0; 24]).unwrap();
    let cluster = cluster.again();
    until_on(&cluster);
    let validated = cluster.get(&url);
    assert_eq!((validated.text().as_str(), origin.count("/page")), ("page", 2), "{}", validated.cache_status());
    assert!(validated.cache_status().contains("fwd=stale; fwd-status=304"), "{}", validated.cache_status());
    until_written(&cluster, &url);
    kill(&cluster, "n1");
    assert!(is_from_disk(&cluster.get(&url)));
    assert_eq!(origin.count("/page"), 2);
}

/// 25 bits at a time, of whatever lies there.
#[test]
fn a_folder_with_flipped_bits_brings_no_wrong_byte_and_no_node_down() {
    let (origin, mut cluster) = (Origin::start(), with_disk(1).start());
    until_on(&cluster);
    let body = |path: &str| format!("{path} is what this says. ").repeat(1 + 90 * path.len().pow(2));
    origin.on("*", move |x| x.reply(200, KEEP, body(x.target())));
    let paths: Vec<String> = (0..40).map(|n| format!("/{}", "p".repeat(n % 9) + &n.to_string())).collect();
    paths.iter().for_each(|path| _ = cluster.get(&origin.url(path)));
    paths.iter().for_each(|path| until_written(&cluster, &origin.url(path)));
    let kill_all = |cluster: &mut Cluster| {
        let nodes: Vec<u32> = cluster.nodes().iter().map(|node| node.pid).collect();
        cluster.terminate(Signal::KILL);
        cluster::until_gone(&nodes, PATIENCE);
    };
    kill_all(&mut cluster);
    let folder = cluster.folder().join("disk/n1");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let stored: Vec<_> = files.iter().filter(|(path, bytes)| !path.ends_with("id") && !bytes.is_empty()).collect();
    let (mut seed, mut from_disk) = (7_u64, 0);
    let mut any = |of: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % of
    };
    for round in 0..drill(4, 40) {
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        // Where the journal is damaged all is validated, so in every other round it is left as it was.
        let stored: Vec<_> = stored
            .iter()
            .filter(|(path, _)| round % 2 > 0 || path.extension().is_some_and(|kind| kind == "seg"))
            .collect();
        for _ in 0..25 {
            let (path, _) = stored[any(stored.len())];
            let mut bytes = fs::read(path).unwrap();
            let at = any(bytes.len());
            bytes[at] ^= 1 << any(8);
            fs::write(path, bytes).unwrap();
        }
        cluster = cluster.again();
        until_on(&cluster);
        for path in &paths {
            let answer = cluster.get(&origin.url(path));
            assert!(answer.status == 200 && answer.text() == body(path), "{path}: {}", answer.cache_status());
            from_disk += usize::from(is_from_disk(&answer));
        }
        kill_all(&mut cluster);
    }
    assert!(from_disk > 20, "{from_disk} answers were from disk");
}

#[test]
fn what_was_opened_for_everyone_and_is_no_longer_is_not_answered_as_it_was() {
    let (origin, mut cluster) = (counting(KEEP), with_disk(1).start());
    until_on(&cluster);
    let url = origin.url("/page");
    cluster.get(&url);
    until_written(&cluster, &url);
    cluster.terminate(Signal::TERM);
    let text = fs::read_to_string(cluster.file()).unwrap();
    fs::write(cluster.file(), text.replace("127.0.0.1/32", "10.1.2.3/32")).unwrap();
    let cluster = cluster.again();
    until_on(&cluster);
    let again = cluster.get(&url);
    assert!(!again.is_hit(), "{}", again.cache_status());
    assert_eq!(origin.count("/page"), 2);
}

#[test]
fn a_folder_is_one_nodes_and_a_second_one_goes_without() {
    let (origin, first) = (counting(KEEP), with_disk(1).start());
    until_on(&first);
    let folder = first.folder().join("disk").display().to_string();
    let second = with_disk(1).set("disk", "path", folder).start();
    until_true("it says why", PATIENCE, || second.said().contains("another process has it"));
    assert_eq!(second.get(&origin.url("/page")).status, 200);
    assert!(second.get(&origin.url("/page")).is_hit());
    drop(first);
    until_on(&second);
}

#[test]
fn what_is_on_disk_can_be_shown_verified_and_wiped() {
    let (origin, mut cluster) = (counting(KEEP), with_disk(2).start());
    until_on(&cluster);
    let urls: Vec<String> = (0..20).map(|n| origin.url(&format!("/{n}"))).collect();
    let of_first = urls.iter().filter(|url| cluster.get(url).node() == "n1").count();
    assert!((1..20).contains(&of_first), "{of_first} of 20");
    urls.iter().for_each(|url| until_written(&cluster, url));
    let (folder, file) = (cluster.folder().to_owned(), cluster.file().display().to_string());
    let disk =
        |words: &str| cluster::run(&folder, &[vec!["--config", &file, "disk"], words.split(' ').collect()].concat());
    let (code, said) = disk("show");
    assert!(
        code == Some(0) && said.contains(&format!("n1: {of_first} URLs")) && said.contains("a node has it"),
        "{said}"
    );
    for words in ["verify", "wipe n1"] {
        let (code, said) = disk(words);
        assert!(code == Some(1) && said.contains("a node has it: end that one first"), "{words}: {said}");
    }
    cluster.terminate(Signal::TERM);
    let (code, said) = disk("show n1");
    assert!(code == Some(0) && said.contains("(0 to be validated)") && said.contains("ended in order"), "{said}");
    assert_eq!(
        disk("verify"),
        (
            Some(0),
            format!(
                "n1: {of_first} URLs have a whole record, 0 have not\nn2: {} URLs have a whole record, 0 have not\n",
                20 - of_first
            )
        )
    );
    let mut files = fs::read_dir(folder.join("disk/n1")).unwrap().map(|entry| entry.unwrap().path());
    let segment = files.find(|path| path.extension().is_some_and(|kind| kind == "seg")).unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (code, said) = disk("verify n1");
    assert!(code == Some(1) && said.contains("1 have not") && said.contains("nobody is answered"), "{said}");
    let (code, said) = disk("wipe n3");
    assert!(code == Some(1) && said.contains("n3 has nothing on disk"), "{said}");
    assert_eq!(disk("wipe n1"), (Some(0), "n1: all that was stored is removed\n".to_owned()));
    let (code, said) = disk("show");
    assert!(
        code == Some(0) && said.contains("n1: 0 URLs") && said.contains(&format!("n2: {} URLs", 20 - of_first)),
        "{said}"
    );
    let cluster = cluster.again();
    until_on(&cluster);
    let hits = urls.iter().filter(|url| is_from_disk(&cluster.get(url))).count();
    assert_eq!((hits, origin.count("/*")), (20 - of_first, 20 + of_first));
    assert!(!cluster.said().contains("begins anew"), "{}", cluster.said());
}

#[test]
fn a_part_of_what_is_on_disk_is_answered_with_that_part() {
    let (origin, cluster) = (Origin::start(), with_disk(1).start());
    until_on(&cluster);
    origin.on("/large", |x| {
        x.begin_sized(KEEP, 3_000_000)?;
        x.noise(7, 3_000_000)
    });
    let url = origin.url("/large");
    let whole = cluster.get(&url).body;
    until_written(&cluster, &url);
    kill(&cluster, "n1");
    let part = cluster.ask("GET", &url, "Range: bytes=1000000-1999999\r\n", b"");
    assert!(part.status == 206 && is_from_disk(&part), "{} {}", part.status, part.cache_status());
    assert_eq!(part.get("content-range").as_deref(), Some("bytes 1000000-1999999/3000000"));
    assert!(part.body == whole[1_000_000..2_000_000]);
    assert_eq!(origin.count("/large"), 1);
}

#[test]
fn without_a_disk_nothing_is_written_and_check_says_what_one_takes() {
    let folder = tempfile::TempDir::new().unwrap();
    Setup::default().set("disk", "path", "disk").write_into(folder.path());
    let check =
        |arguments: &[&str]| cluster::run(folder.path(), &[&["check", "--config", "cluster.toml"], arguments].concat());
    let (code, said) = check(&[]);
    assert!(code == Some(0) && !said.contains("disk"), "{said}");
    let (code, said) = check(&["--disk", "20MiB"]);
    assert!(code == Some(0) && said.contains("3 x 20 MiB = 60 MiB") && said.contains("free"), "{said}");
    let (code, said) = check(&["--disk", "9999TiB"]);
    assert!(code == Some(0) && said.contains("warning: ") && said.contains("lower [disk] size"), "{said}");
    let (code, said) = check(&["--disk", "5"]);
    assert!(code == Some(2) && said.contains("at least \"1MiB\""), "{said}");
    assert!(!folder.path().join("disk").exists());
    fs::write(folder.path().join("disk"), "").unwrap();
    let (code, said) = check(&["--disk", "20MiB"]);
    assert!(code == Some(0) && said.contains("warning: ") && said.contains("set it to a folder"), "{said}");
    assert!(!said.contains("are free"), "{said}");
}
