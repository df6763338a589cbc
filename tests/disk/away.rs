//! A node that restarts under a front that goes on: what it missed meanwhile is all that this costs the origin.

use super::*;
use std::process::Child;
use tempfile::TempDir;

#[test]
fn a_killed_node_that_comes_back_gives_up_what_was_purged_meanwhile_and_nothing_else() {
    restarted_while_its_front_goes_on(Signal::KILL);
}

#[test]
fn a_node_that_was_restarted_in_order_gives_up_what_was_purged_meanwhile_and_nothing_else() {
    restarted_while_its_front_goes_on(Signal::TERM);
}

/// A node of a front that does not start it.
struct NodeByHand {
    child: Child,
    folder: TempDir,
}

impl NodeByHand {
    fn start() -> NodeByHand {
        let folder = TempDir::with_prefix("rh").unwrap();
        with_disk(0).set("timeouts", "disk", "5s").write_into(folder.path());
        NodeByHand { child: NodeByHand::begin(folder.path()), folder }
    }

    fn begin(folder: &Path) -> Child {
        let words = ["node", "--id", "r1", "--listen", &NodeByHand::address(folder), "--config", "cluster.toml"];
        cluster::command_after(&[], folder, &words).spawn().unwrap()
    }

    fn address(folder: &Path) -> String {
        format!("unix:{}", folder.join("r1.sock").display())
    }

    fn end(&mut self, signal: Signal) {
        process::signal(self.child.id(), signal);
        self.child.wait().unwrap();
    }
}

impl Drop for NodeByHand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whatever a request says of how it wants its answer: the one that stood in is asked first for what is only on disk here.
#[test]
fn what_was_got_by_who_stood_in_is_what_every_request_gets_from_the_one_that_is_back() {
    const KINDS: [&str; 8] = [
        "",
        "Cache-Control: max-age=1000\r\n",
        "Cache-Control: min-fresh=1\r\n",
        "Cache-Control: an-extension\r\n",
        "Range: bytes=0-1\r\n",
        "If-None-Match: \"1\"\r\n",
        "If-Range: \"1\"\r\nRange: bytes=0-1\r\n",
        "Authorization: Basic YTpi\r\n",
    ];
    let mut node = NodeByHand::start();
    let address = NodeByHand::address(node.folder.path());
    let setup = with_disk(2).set("timeouts", "disk", "5s").set("timeouts", "peer", "5s").node_at("r1", &address);
    let (origin, cluster) = (Origin::start(), setup.set("hot", "memory", "0").start());
    let is_up = || cluster.manage("GET", "/v1/nodes/r1", "").json()["up"] == true;
    let until_all_are_on = || {
        until_true("all are up, and their disks on", PATIENCE, || {
            is_up() && cluster.metric("ringhold_node_disk_state") == 6
        })
    };
    let version = Arc::new(AtomicUsize::new(1));
    let now = version.clone();
    origin.on("*", move |x| {
        let version = now.load(Ordering::SeqCst);
        x.reply(200, &format!("{KEEP}ETag: \"{version}\"\r\n"), format!("{version:03}"))
    });
    until_all_are_on();
    let urls = (0..200).map(|n| origin.url(&format!("/{n}")));
    let urls: Vec<_> = urls.filter(|url| cluster.get(url).node() == "r1").take(KINDS.len()).collect();
    urls.iter().for_each(|url| until_written(&cluster, url));
    node.end(Signal::KILL);
    version.store(2, Ordering::SeqCst);
    urls.iter().for_each(|url| assert_eq!(cluster.get(url).text(), "002"));
    node.child = NodeByHand::begin(node.folder.path());
    until_all_are_on();
    for (url, fields) in urls.iter().zip(KINDS) {
        let answer = cluster.ask("GET", url, fields, b"");
        assert_eq!(answer.get("etag").as_deref(), Some("\"2\""), "{fields}{}", answer.cache_status());
    }
}

fn restarted_while_its_front_goes_on(end: Signal) {
    let mut node = NodeByHand::start();
    let address = NodeByHand::address(node.folder.path());
    let setup = with_disk(2).set("timeouts", "disk", "5s").node_at("r1", &address);
    let (origin, cluster) = (counting("Cache-Control: max-age=600\r\nETag: \"1\"\r\n"), setup.start());
    let is_up = || cluster.manage("GET", "/v1/nodes/r1", "").json()["up"] == true;
    let until_all_are_on = || {
        until_true("all are up, and their disks on", PATIENCE, || {
            is_up() && cluster.metric("ringhold_node_disk_state") == 6
        })
    };
    until_all_are_on();
    let urls: Vec<String> = (0..60).map(|n| origin.url(&format!("/{n}"))).collect();
    let first: Vec<Response> = urls.iter().map(|url| cluster.get(url)).collect();
    let of_it: Vec<(&String, String)> =
        urls.iter().zip(&first).filter(|(_, got)| got.node() == "r1").map(|(url, got)| (url, got.text())).collect();
    assert!(of_it.len() > 6, "{} of 60", of_it.len());
    of_it.iter().for_each(|(url, _)| until_written(&cluster, url));
    let (outdated, kept) = of_it.split_at(4);
    node.end(end);
    until_true("it is passed over", PATIENCE, || !is_up());
    for (url, _) in &outdated[1..] {
        let purged = cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "");
        assert_eq!(purged.status, 202, "{}", purged.text());
    }
    assert_eq!(cluster.ask("POST", outdated[0].0, "Content-Length: 1\r\n", b"x").status, 200);
    node.child = NodeByHand::begin(node.folder.path());
    until_all_are_on();
    let asked = origin.count("/*");
    for (url, text) in kept {
        let again = cluster.get(url);
        assert!(is_from_disk(&again) && again.node() == "r1", "{url}: {}", again.cache_status());
        assert_eq!(&again.text(), text);
    }
    assert_eq!(origin.count("/*"), asked, "not even a 304");
    for (url, text) in outdated {
        let again = cluster.get(url);
        assert!(!again.is_hit() && &again.text() != text, "{url}: {}", again.cache_status());
    }
    assert!(cluster.said().contains("was told what it missed while it was away"), "{}", cluster.said());
}
