//! What a node believes of another that it asks before the origin, and whom it asks at all.

use crate::support::*;
use crate::support::{client, cluster, process};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Nodes that wait longer for each other than they do by default: whatever else this machine does meanwhile, what is well
/// has answered by then.
fn patient() -> Setup {
    Setup::default().set("timeouts", "peer", "5s")
}

/// The socket of a node.
fn socket(cluster: &Cluster, id: &str) -> PathBuf {
    let listen = process::value_of(&cluster.node(id).arguments, "--listen").expect("a node listens somewhere");
    listen.strip_prefix("unix:").expect("on a Unix socket").into()
}

/// Asks a node as a front would that names this peer.
fn ask_naming(node: &Path, url: &str, peer: &str, fields: &str) -> String {
    let mut stream = UnixStream::connect(node).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = client::host_of(url);
    let fields = format!("Ringhold-Client: local\r\nRinghold-Peer: {peer}\r\n{fields}");
    write!(stream, "GET {url} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.to_ascii_lowercase()
}

/// Something that answers every question alike, one connection after the other; how often it was asked, and what last.
fn impostor(path: &Path, answer: &'static str) -> Arc<std::sync::Mutex<Vec<String>>> {
    let (listener, heard) = (UnixListener::bind(path).unwrap(), Arc::new(std::sync::Mutex::default()));
    let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4096];
            let n = stream.read(&mut head).unwrap_or(0);
            asked.lock().unwrap().push(String::from_utf8_lossy(&head[..n]).to_ascii_lowercase());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    heard
}

#[test]
fn only_a_useful_answer_of_a_peer_is_believed() {
    let (origin, cluster) = (Origin::start(), patient().start());
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=600\r\nContent-Type: text/plain\r\n", "origin"));
    let (node, folder) = (socket(&cluster, "n1"), tempfile::tempdir().unwrap());
    let hit = "HTTP/1.1 200 OK\r\nCache-Status: n9; hit; ttl=60\r\nCache-Control: max-age=600\r\n\
               Content-Length: 4\r\n";
    let rows: &[(&str, String, bool)] = &[
        ("hit", format!("{hit}\r\npeer"), true),
        ("read along", format!("{}\r\npeer", hit.replace("hit; ttl=60", "fwd=miss; collapsed; stored")), true),
        ("quoted name", format!("{}\r\npeer", hit.replace("n9;", "\"a; hit\";")), true),
        ("stale", format!("{hit}Age: 700\r\n\r\npeer"), false),
        ("not from its cache", format!("{}\r\npeer", hit.replace("hit; ttl=60", "fwd=miss; stored")), false),
        ("no verdict", hit.replace("Cache-Status: n9; hit; ttl=60\r\n", "") + "\r\npeer", false),
        ("not to be stored", format!("{}\r\npeer", hit.replace("max-age=600", "no-store")), false),
        ("varies by everything", format!("{hit}Vary: *\r\n\r\npeer"), false),
        ("ends with its connection", format!("{}\r\npeer", hit.replace("Content-Length: 4\r\n", "")), false),
        ("nothing there", "HTTP/1.1 504 T\r\nCache-Status: n9; fwd=request\r\nContent-Length: 0\r\n\r\n".into(), false),
        ("no node", "SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), false),
    ];
    for (i, (name, answer, believed)) in rows.iter().enumerate() {
        let (path, url) = (folder.path().join(format!("{i}")), origin.url(&format!("/{i}")));
        let heard = impostor(&path, answer.clone().leak());
        let got = ask_naming(&node, &url, &format!("n9 unix:{}", path.display()), "Accept: x/y\r\n");
        let expected = if *believed { "peer" } else { "origin" };
        assert!(got.starts_with("http/1.1 200") && got.ends_with(expected), "{name}: {got}");
        assert_eq!((origin.count(&format!("/{i}")) == 0, heard.lock().unwrap().len()), (*believed, 1), "{name}");
        let question = heard.lock().unwrap()[0].clone();
        for line in ["cache-control: only-if-cached", "ringhold-asker: n1", "ringhold-client: local", "accept: x/y"] {
            assert!(question.contains(&format!("\r\n{line}\r\n")), "{line} in {question}");
        }
        assert!(!question.contains("ringhold-peer"), "one hop: {question}");
        // And what was answered is what is stored.
        let again = ask_naming(&node, &url, &format!("n9 unix:{}", path.display()), "");
        assert!(again.ends_with(expected) && again.contains("n1; hit"), "{name}: {again}");
        assert!(!again.contains("n9"), "{name}: {again}");
    }
}

#[test]
fn what_only_this_machine_may_see_keeps_its_mark() {
    let (origin, cluster) = (Origin::start(), patient().start());
    let (node, folder) = (socket(&cluster, "n1"), tempfile::tempdir().unwrap());
    let path = folder.path().join("peer");
    impostor(
        &path,
        "HTTP/1.1 200 OK\r\nCache-Status: n9; hit\r\nRinghold-Reach: local\r\nCache-Control: max-age=60\r\n\
         Content-Length: 4\r\n\r\npeer",
    );
    let (url, peer) = (origin.url("/"), format!("n9 unix:{}", path.display()));
    for _ in 0..2 {
        let got = ask_naming(&node, &url, &peer, "");
        assert!(got.ends_with("peer") && got.contains("ringhold-reach: local"), "{got}");
    }
    let mut remote = UnixStream::connect(&node).unwrap();
    write!(remote, "GET {url} HTTP/1.1\r\nHost: x\r\nRinghold-Client: remote\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    remote.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "neither what is stored, nor this machine's loopback: {answer}");
}

#[test]
fn a_caller_on_loopback_who_has_proved_nothing_names_no_peer() {
    let folder = tempfile::tempdir().unwrap();
    Setup::default().nodes(0).write_into(folder.path());
    let words = ["node", "--id", "n1", "--listen", "127.0.0.1:0", "--config", "cluster.toml"];
    let mut child = cluster::command(folder.path(), &words).spawn().unwrap();
    let address = until("the node listens", PATIENCE, || {
        let said = std::fs::read_to_string(folder.path().join("stdout")).unwrap_or_default();
        said.lines().find_map(|line| line.strip_prefix("ringhold node n1 listening on ")?.parse().ok())
    });
    let origin = Origin::start();
    origin.on("/", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "origin"));
    let path = folder.path().join("peer");
    let answer =
        "HTTP/1.1 200 OK\r\nCache-Status: n9; hit\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\npeer";
    let heard = impostor(&path, answer);
    let fields = format!("Ringhold-Client: local\r\nRinghold-Peer: n9 unix:{}\r\n", path.display());
    let got = Connection::to(address).ask("GET", &origin.url("/"), &fields, b"");
    let (text, asked) = (got.text(), heard.lock().unwrap().len());
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!((text.as_str(), asked), ("origin", 0));
}

#[test]
fn two_nodes_that_ask_each_other_do_not_wait_for_each_other() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "origin"));
    let nodes = ["n1", "n2"].map(|id| (format!("{id} unix:{}", socket(&cluster, id).display()), socket(&cluster, id)));
    let begun = Instant::now();
    for i in 0..20 {
        let url = origin.url(&format!("/{i}"));
        thread::scope(|scope| {
            let ask = |one: usize| ask_naming(&nodes[one].1, &url, &nodes[1 - one].0, "");
            let (first, second) = (scope.spawn(move || ask(0)), scope.spawn(move || ask(1)));
            for answer in [first, second] {
                assert!(answer.join().unwrap().ends_with("origin"));
            }
        });
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// One control call to a node on its socket.
fn tell(node: &Path, method: &str, path: &str, body: &str) {
    let mut stream = UnixStream::connect(node).unwrap();
    let size = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{body}")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The other node may not have been told yet: this is the race that is lost otherwise, without any luck.
#[test]
fn who_was_told_that_something_is_invalid_does_not_ask_another_node_for_it() {
    let (origin, cluster) = (Origin::start(), patient().start());
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "origin"));
    let elsewhere = Origin::start();
    elsewhere.on("/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "origin"));
    let (node, folder) = (socket(&cluster, "n1"), tempfile::tempdir().unwrap());
    let path = folder.path().join("peer");
    let heard = impostor(
        &path,
        "HTTP/1.1 200 OK\r\nCache-Status: n9; hit\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\npeer",
    );
    let peer = format!("n9 unix:{}", path.display());
    let urls = ["/purged", "/invalid", "/of-group", "/else"].map(|path| origin.url(path));
    tell(&node, "DELETE", &format!("/cache?url={}", urls[0]), "");
    tell(&node, "POST", "/invalidate", &format!("[\"{}\"]", urls[1]));
    for (url, asked) in [(&urls[0], 0), (&urls[1], 0), (&urls[3], 1)] {
        let got = ask_naming(&node, url, &peer, "");
        assert!(got.ends_with(if asked == 0 { "origin" } else { "peer" }), "{url}: {got}");
        assert_eq!(heard.lock().unwrap().len(), asked, "{url}");
    }
    tell(&node, "POST", "/invalidate", &format!(r#"[{{"origin":"{}","groups":["g"]}}]"#, origin.url("")));
    for (url, asked) in [(&urls[2], 1), (&elsewhere.url("/"), 2)] {
        ask_naming(&node, url, &peer, "");
        assert_eq!(heard.lock().unwrap().len(), asked, "{url}");
    }
}

#[test]
fn what_breaks_off_is_not_stored() {
    let (origin, cluster) = (Origin::start(), patient().start());
    origin.on("/", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "origin"));
    let (node, folder) = (socket(&cluster, "n1"), tempfile::tempdir().unwrap());
    let path = folder.path().join("peer");
    let head = "HTTP/1.1 200 OK\r\nCache-Status: n9; hit\r\nCache-Control: max-age=60\r\nContent-Length: 90000";
    let heard = impostor(&path, Box::leak(format!("{head}\r\n\r\n{}", "peer".repeat(10_000)).into_boxed_str()));
    let peer = format!("n9 unix:{}", path.display());
    let got = ask_naming(&node, &origin.url("/"), &peer, "");
    let broken = "peer\r\n!peer http_response_incomplete\r\n";
    assert!(
        got.ends_with(broken) && got.contains("ringhold-length: 90000"),
        "a transfer that is told to be broken: {got}"
    );
    let again = ask_naming(&node, &origin.url("/"), "n9 unix:/nobody", "");
    assert!(again.ends_with("origin") && !again.contains("; hit"), "{again}");
    assert_eq!(heard.lock().unwrap().len(), 1);
}

#[test]
fn where_nothing_of_what_breaks_off_was_passed_on_the_origin_is_asked() {
    let (origin, cluster) = (Origin::start(), patient().start());
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "origin"));
    let (node, folder) = (socket(&cluster, "n1"), tempfile::tempdir().unwrap());
    let head = "HTTP/1.1 200 OK\r\nCache-Status: n9; hit\r\nCache-Control: max-age=60\r\nContent-Length:";
    for (n, body) in ["9\r\n\r\npeer", "9\r\n\r\n", "90000\r\n\r\n"].into_iter().enumerate() {
        let (path, url) = (folder.path().join(n.to_string()), origin.url(&format!("/{n}")));
        let heard = impostor(&path, Box::leak(format!("{head} {body}").into_boxed_str()));
        let got = ask_naming(&node, &url, &format!("n9 unix:{}", path.display()), "");
        assert!(got.starts_with("http/1.1 200") && got.ends_with("origin"), "{got}");
        assert_eq!((heard.lock().unwrap().len(), origin.count(&format!("/{n}"))), (1, 1));
    }
}

#[test]
fn who_is_asked_in_the_owners_place_answers_with_what_the_owner_lends_and_with_nothing_else() {
    let (origin, cluster) = (Origin::start(), patient().start());
    origin.on("/*", |x| x.reply(200, "Cache-Control: max-age=600, stale-while-revalidate=600\r\n", "origin"));
    let (node, folder) = (socket(&cluster, "n1"), tempfile::tempdir().unwrap());
    let owner = "Ringhold-Owner: only\r\n";
    let lends = |fields: &'static str| {
        let path = folder.path().join(fields.len().to_string());
        (format!("n9 unix:{}", path.display()), impostor(&path, fields))
    };
    let sent_on = |got: &str| got.starts_with("http/1.1 504") && got.contains("ringhold-owner: ask\r\n");
    // Stored here, but not lent; then nothing is, and the owner is down, or has nothing.
    let url = origin.url("/own");
    assert!(ask_naming(&node, &url, "", "").ends_with("origin"));
    let (has_nothing, _) = lends("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n");
    for (url, peer) in [
        (&url, "n9 127.0.0.1:1"),
        (&origin.url("/down"), "n9 127.0.0.1:1"),
        (&origin.url("/nothing"), has_nothing.as_str()),
    ] {
        let got = ask_naming(&node, url, peer, owner);
        assert!(sent_on(&got), "{url}: {got}");
    }
    assert_eq!(origin.count("/*"), 1, "who is asked in the owner's place asks no origin");
    // What it lends is answered while it is fresh, asked for once, and then not stale.
    let lent = "HTTP/1.1 200 OK\r\nCache-Status: n9; hit\r\nRinghold-Age: 9500\r\nContent-Length: 4\r\n\
                Cache-Control: max-age=10, stale-while-revalidate=600\r\nAge: 9\r\n\r\nlent";
    let ((peer, heard), url) = (lends(lent), origin.url("/lent"));
    let begun = Instant::now();
    assert!(ask_naming(&node, &url, &peer, owner).ends_with("lent"));
    if ask_naming(&node, &url, "n9 127.0.0.1:1", owner).ends_with("lent") {
        assert!(begun.elapsed() < Duration::from_millis(600), "it is fresh for half a second");
    }
    assert_eq!(heard.lock().unwrap().len(), 1);
    until_true("it is stale", PATIENCE, || sent_on(&ask_naming(&node, &url, "n9 127.0.0.1:1", owner)));
    assert!(begun.elapsed() >= Duration::from_millis(400));
    // Asked by itself, it does not serve what was lent while it is renewed: the owner may have answered with a newer one.
    assert!(ask_naming(&node, &url, "", "").ends_with("origin"));
    // Of what the owner does not store the origin is asked, and nothing is kept but what it says of that.
    let (passes, _) = lends("HTTP/1.1 504 Gateway Timeout\r\nRinghold-Owner: passes\r\nContent-Length: 0\r\n\r\n");
    origin.on("/passed", |x| x.reply(200, "Cache-Control: no-store\r\n", "passed"));
    assert!(ask_naming(&node, &origin.url("/passed"), &passes, owner).ends_with("passed"));
    assert!(sent_on(&ask_naming(&node, &origin.url("/stored"), &passes, owner)));
    origin.on("/passed", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "stored"));
    for _ in 0..2 {
        let got = ask_naming(&node, &origin.url("/passed"), "n9 127.0.0.1:1", owner);
        assert!(sent_on(&got), "{got}");
    }
}
