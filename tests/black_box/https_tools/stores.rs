//! Content-addressed stores: what is stored is for whoever the store itself lets have it, by that client's own signed URL.

use super::stage::Stage;
use crate::support::noise::Digester;
use crate::support::tls::client_of;
use crate::support::tools::wanted;
use crate::support::*;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

const HOST: &str = "production.cloudflare.docker.com";
/// Whoever says so may have all of it for long, and be answered with it when the store is gone.
const KEEP: &str = "Cache-Control: public, max-age=600, stale-if-error=600, stale-while-revalidate=600\r\n";
const REFUSED: &str = "<Error><Code>AccessDenied</Code></Error>";

/// A store of blobs, which gives each to whose signature begins with `good`.
struct Blobs {
    stage: Stage,
    does: Arc<Mutex<Does>>,
    ca: PathBuf,
}

/// What it does.
struct Does {
    body: Vec<u8>,
    tag: &'static str,
    fields: String,
    /// How often it has sent a body.
    sent: usize,
    /// Sends half of it, and the rest when this opens.
    gate: Option<Gate>,
    /// What it does to everybody in place of all that.
    fails: Option<Fails>,
}

#[derive(Clone, Copy)]
enum Fails {
    Resets,
    Says503,
}

impl Blobs {
    fn new(test: &str, ip: &str) -> Option<Blobs> {
        Blobs::changed(test, ip, |setup| setup)
    }

    /// `None` (and a line that says so) where it cannot be had.
    fn changed(test: &str, ip: &str, change: impl FnOnce(Setup) -> Setup) -> Option<Blobs> {
        if !wanted(test, &["unshare"]) {
            return None;
        }
        let stage = Stage::changed(test, "preset:docker", &[HOST], ip, change)?;
        let (body, tag, fields) = (noise::Noise::bytes(7, 300_000), "\"one\"", KEEP.to_owned());
        let does = Arc::new(Mutex::new(Does { body, tag, fields, sent: 0, gate: None, fails: None }));
        let of_store = does.clone();
        stage.origin.on("/registry-v2/*", move |x| answer(x, &of_store));
        let ca = stage.cluster.folder().join("state/ca/ca.pem");
        Some(Blobs { stage, does, ca })
    }

    fn does(&self) -> std::sync::MutexGuard<'_, Does> {
        self.does.lock().unwrap()
    }

    /// Where a blob lies whose digest is that of what the store has now.
    fn path(&self) -> String {
        path(&self.does().body)
    }

    /// A connection inside a tunnel of its own.
    fn client_of(&self, front: &Cluster) -> Connection {
        self.client_that_speaks(front, "http/1.1")
    }

    fn client_that_speaks(&self, front: &Cluster, protocol: &str) -> Connection {
        let certificates = CertificateDer::pem_file_iter(&self.ca).unwrap();
        let config: Arc<ClientConfig> = Arc::new(client_of(certificates.map(Result::unwrap), &[protocol]));
        let mut tunnel = front.connect();
        tunnel.send(format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n")).unwrap();
        let head = tunnel.head().unwrap();
        assert_eq!(head.word(1), "200", "{head:?}");
        tunnel.secure(&config, HOST).unwrap_or_else(|e| panic!("no TLS: {e}\n{}", front.said()))
    }

    fn ask_by(&self, front: &Cluster, method: &str, target: &str, fields: &str) -> Response {
        let mut client = self.client_of(front);
        client.origin_form(method, target, &format!("Host: {HOST}\r\n{fields}"), b"").unwrap();
        client.response(method).unwrap_or_else(|e| panic!("{target}: {e}\n{}", front.said()))
    }

    fn ask(&self, method: &str, target: &str, fields: &str) -> Response {
        self.ask_by(&self.stage.cluster, method, target, fields)
    }

    fn get(&self, signature: &str) -> Response {
        self.ask("GET", &format!("{}{signature}", self.path()), "")
    }

    /// Gets it whole, from the store or because the store says so.
    fn gets(&self, signature: &str) -> Response {
        let answer = self.get(signature);
        assert_eq!(answer.status, 200, "{signature}: {}", answer.text());
        assert!(answer.body == self.does().body, "{signature}: bit by bit");
        answer
    }

    fn is_refused(&self, signature: &str) {
        let answer = self.get(signature);
        assert_eq!((answer.status, answer.text().as_str()), (403, REFUSED), "{signature}");
        assert_eq!(answer.get("etag"), None, "{signature}");
    }

    fn sent(&self) -> usize {
        self.does().sent
    }

    /// What `ringhold COMMAND URL` says of it.
    fn said(&self, command: &[&str], signature: &str) -> String {
        let (url, admin) = (format!("https://{HOST}{}{signature}", self.path()), self.stage.cluster.admin.to_string());
        let words = [command, &[&*url, "--admin", &*admin]].concat();
        cluster::run(tempfile::TempDir::new().unwrap().path(), &words).1
    }
}

fn path(body: &[u8]) -> String {
    let mut digest = Digester::default();
    digest.take(body);
    let hex = digest.hex();
    format!("/registry-v2/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn answer(x: &mut exchange::Exchange, does: &Mutex<Does>) -> std::io::Result<()> {
    let is_signed = x.target().split_once("?verify=").is_some_and(|(_, signature)| signature.starts_with("good"));
    match x.target().split_once("?verify=").map(|(_, signature)| signature) {
        Some("no404") => return x.reply(404, "", "not for you"),
        Some("no302") => return x.reply(302, "Location: /login\r\nCache-Control: no-store\r\n", ""),
        Some("no200") => return x.reply(200, "Cache-Control: no-store\r\n", "log in"),
        _ => {}
    }
    let (body, gate, fields) = {
        let mut does = does.lock().unwrap();
        match does.fails {
            Some(Fails::Resets) => return x.reset(),
            Some(Fails::Says503) => return x.reply(503, KEEP, "busy"),
            None if !is_signed => return x.reply(403, KEEP, REFUSED),
            None => {}
        }
        let fields = format!("{}ETag: {}\r\n", does.fields, does.tag);
        if x.head.get("if-none-match").is_some_and(|tags| tags.contains(does.tag)) {
            drop(does);
            return x.reply_empty(304, &fields);
        }
        if x.method() == "GET" {
            does.sent += 1;
        }
        (does.body.clone(), does.gate.clone(), fields)
    };
    if let Some(range) = x.head.get("range") {
        assert_eq!(range, "bytes=2-4");
        return x.reply(206, &format!("{fields}Content-Range: bytes 2-4/{}\r\n", body.len()), &body[2..5]);
    }
    let Some(gate) = gate else { return x.reply(200, &fields, body) };
    x.begin_sized(&fields, body.len() as u64)?;
    let (first, rest) = body.split_at(body.len() / 2);
    x.raw(first)?;
    gate.wait()?;
    x.raw(rest)
}

#[test]
fn a_second_client_has_what_is_stored_when_the_store_says_so_to_its_own_url() {
    let Some(blobs) = Blobs::new("signed URLs", "127.83.0.30") else { return };
    let first = blobs.gets("?verify=good-a");
    assert!(first.cache_status().contains("fwd=uri-miss") && first.cache_status().contains("stored"));
    let second = blobs.gets("?verify=good-b");
    let said = second.cache_status();
    assert!(said.contains("fwd=stale; fwd-status=304") && said.contains("let this client have it"), "{said}");
    assert_eq!(blobs.sent(), 1);
    let asked = blobs.stage.origin.heads(&format!("{}*", blobs.path()));
    assert_eq!(asked.iter().map(|head| head.word(1).rsplit('-').next().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(asked.iter().map(|head| head.get("if-none-match")).collect::<Vec<_>>(), [None, Some("\"one\"".into())]);
    // A part, a client's own condition, and HEAD, each by a signature of its own.
    let part = blobs.ask("GET", &format!("{}?verify=good-c", blobs.path()), "Range: bytes=2-4\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &blobs.does().body[2..5]));
    let known = blobs.ask("GET", &format!("{}?verify=good-d", blobs.path()), "If-None-Match: \"one\"\r\n");
    assert_eq!(known.status, 304);
    let head = blobs.ask("HEAD", &format!("{}?verify=good-e", blobs.path()), "");
    assert_eq!((head.status, head.get("content-length").as_deref()), (200, Some("300000")));
    assert_eq!((blobs.sent(), blobs.stage.origin.count(&format!("{}*", blobs.path()))), (1, 5));
    // And so it is for whoever asks by HTTP/2, or by the absolute form.
    let url = format!("https://{HOST}{}?verify=", blobs.path());
    let client = http2::Http2::over(blobs.client_that_speaks(&blobs.stage.cluster, "h2"));
    assert_eq!(client.get(&format!("{url}good-h2")).body, blobs.does().body);
    assert_eq!(client.get(&format!("{url}bad")).status, 403);
    assert_eq!(blobs.stage.cluster.get(&format!("{url}good-f")).body, blobs.does().body);
    assert_eq!(blobs.stage.cluster.get(&format!("{url}bad")).status, 403);
    assert_eq!(blobs.sent(), 1);
}

#[test]
fn whom_the_store_refuses_has_that_and_nothing_else() {
    let with_log = |setup: Setup| setup.set("log", "access", "text").set("hot", "memory", "64MiB");
    let Some(blobs) = Blobs::changed("signed URLs, refused", "127.83.0.31", with_log) else { return };
    let wrong = ["?verify=bad", "", "?", "?verify=bad&verify=good-a"];
    wrong.iter().for_each(|signature| blobs.is_refused(signature));
    // While it comes.
    let gate = Gate::default();
    blobs.does().gate = Some(gate.clone());
    let mut client = blobs.client_of(&blobs.stage.cluster);
    client.origin_form("GET", &format!("{}?verify=good-a", blobs.path()), &format!("Host: {HOST}\r\n"), b"").unwrap();
    let head = client.head().unwrap();
    assert_eq!(head.word(1), "200");
    wrong.iter().for_each(|signature| blobs.is_refused(signature));
    gate.open();
    let mut body = Vec::new();
    client.body("GET", &head, |piece| body.extend_from_slice(piece)).unwrap();
    assert!(body == blobs.does().body);
    blobs.does().gate = None;
    // While it is there, and everybody asks for it.
    for round in 0..20 {
        blobs.gets(&format!("?verify=good-{round}"));
        wrong.iter().for_each(|signature| blobs.is_refused(signature));
    }
    assert_eq!(blobs.sent(), 1, "who was refused took it from nobody");
    let only = blobs.ask("GET", &format!("{}?verify=good-a", blobs.path()), "Cache-Control: only-if-cached\r\n");
    assert_eq!(only.status, 504);
    let said = blobs.stage.cluster.said();
    assert!(said.contains(&blobs.path()) && !said.contains("verify="), "whose signature it was is in no log: {said}");
}

#[test]
fn whom_the_store_sends_elsewhere_takes_what_is_stored_from_nobody() {
    let Some(blobs) = Blobs::new("signed URLs, sent elsewhere", "127.83.0.44") else { return };
    blobs.gets("?verify=good-a");
    for (signature, status) in [("no404", 404), ("no302", 302), ("no200", 200)] {
        let answer = blobs.get(&format!("?verify={signature}"));
        assert!(answer.status == status && answer.body != blobs.does().body, "{signature}");
        blobs.gets("?verify=good-b");
    }
    assert_eq!(blobs.sent(), 1);
}

#[test]
fn who_asks_while_it_comes_reads_along_when_the_store_says_so_to_its_own_url() {
    let Some(blobs) = Blobs::new("signed URLs at one time", "127.83.0.32") else { return };
    let gate = Gate::default();
    blobs.does().gate = Some(gate.clone());
    let asks = |signature: &str| {
        let mut client = blobs.client_of(&blobs.stage.cluster);
        let target = format!("{}?verify={signature}", blobs.path());
        client.origin_form("GET", &target, &format!("Host: {HOST}\r\n"), b"").unwrap();
        client
    };
    let all = blobs.does().body.clone();
    let half = all.len() / 2;
    // All at one time: those who are not the first wait for its head, and ask then.
    let mut clients: Vec<Connection> = (0..4).map(|number| asks(&format!("good-{number}"))).collect();
    blobs.is_refused("?verify=bad");
    let mut shared = 0;
    for client in &mut clients {
        let head = client.head().unwrap();
        assert_eq!(head.word(1), "200", "{head:?}");
        let said = head.get("cache-status").unwrap_or_default();
        shared += usize::from(said.contains("; collapsed") && said.contains("let this client have it"));
        assert!(client.read_exact(half).unwrap() == all[..half], "before the rest is there");
    }
    assert_eq!((blobs.sent(), shared), (1, 3));
    let asked = blobs.stage.origin.heads(&format!("{}?verify=good*", blobs.path()));
    assert_eq!(asked.iter().filter(|head| head.get("if-none-match").as_deref() == Some("\"one\"")).count(), 3);
    gate.open();
    for client in &mut clients {
        assert!(client.read_exact(all.len() - half).unwrap() == all[half..]);
    }
    blobs.does().gate = None;
    blobs.gets("?verify=good-later");
    assert_eq!(blobs.sent(), 1);
}

#[test]
fn whom_the_store_sends_another_copy_while_one_comes_gets_that_and_a_purge_is_heeded() {
    let Some(blobs) = Blobs::new("signed URLs, copies at one time", "127.83.0.42") else { return };
    let gate = Gate::default();
    blobs.does().gate = Some(gate.clone());
    let mut first = blobs.client_of(&blobs.stage.cluster);
    let target = format!("{}?verify=good-a", blobs.path());
    first.origin_form("GET", &target, &format!("Host: {HOST}\r\n"), b"").unwrap();
    let head = first.head().unwrap();
    {
        let mut does = blobs.does();
        (does.gate, does.tag) = (None, "\"two\"");
    }
    blobs.gets("?verify=good-b");
    assert_eq!(blobs.sent(), 2);
    blobs.said(&["purge"], "");
    // What was on its way before is for who had asked for it.
    blobs.does().tag = "\"one\"";
    blobs.gets("?verify=good-c");
    assert_eq!(blobs.sent(), 3);
    gate.open();
    let mut body = Vec::new();
    first.body("GET", &head, |piece| body.extend_from_slice(piece)).unwrap();
    assert!(body == blobs.does().body);
}

#[test]
fn what_is_not_what_its_url_names_is_its_own_clients_alone() {
    let Some(blobs) = Blobs::new("signed URLs, other content", "127.83.0.33") else { return };
    let path = blobs.path();
    let right = std::mem::replace(&mut blobs.does().body, b"something else".to_vec());
    let get = |signature: &str| blobs.ask("GET", &format!("{path}{signature}"), "");
    for round in 1..=3 {
        assert_eq!(get(&format!("?verify=good-{round}")).text(), "something else");
        assert_eq!(blobs.sent(), round);
    }
    blobs.does().body = right;
    let said = blobs.said(&["explain"], "");
    assert!(said.contains("its SHA-256 is not the one that its URL names"), "{said}");
    for _ in 0..2 {
        assert!(get("?verify=good").body == blobs.does().body);
    }
    assert_eq!(blobs.sent(), 4);
    // What the store says is an error, a part or no answer at all is not kept either.
    blobs.does().fails = Some(Fails::Says503);
    assert_eq!((get("?verify=good").status, get("?verify=good").text().as_str()), (503, "busy"));
}

#[test]
fn a_store_that_does_not_answer_is_an_error_and_nothing_stale() {
    let Some(blobs) = Blobs::new("signed URLs of a store that is down", "127.83.0.34") else { return };
    blobs.gets("?verify=good-a");
    for (fails, status) in [(Fails::Resets, 502), (Fails::Says503, 503)] {
        blobs.does().fails = Some(fails);
        for fields in ["", "Cache-Control: max-stale, stale-if-error=600\r\n", "Range: bytes=2-4\r\n"] {
            let answer = blobs.ask("GET", &format!("{}?verify=good-b", blobs.path()), fields);
            assert_eq!(answer.status, status, "{fields}: {}", answer.text());
        }
        assert_eq!(blobs.ask("HEAD", &format!("{}?verify=good-b", blobs.path()), "").status, status);
    }
    blobs.does().fails = None;
    blobs.gets("?verify=good-c");
    assert_eq!(blobs.sent(), 1, "it is there still");
}

#[test]
fn a_store_with_another_tag_for_each_copy_sends_what_is_asked_for_and_no_more() {
    let Some(blobs) = Blobs::new("signed URLs, other tags", "127.83.0.35") else { return };
    blobs.gets("?verify=good-a");
    blobs.does().tag = "\"two\"";
    let part = blobs.ask("GET", &format!("{}?verify=good-b", blobs.path()), "Range: bytes=2-4\r\n");
    assert_eq!((part.status, &part.body[..]), (206, &blobs.does().body[2..5]));
    let head = blobs.ask("HEAD", &format!("{}?verify=good-b", blobs.path()), "");
    assert_eq!((head.status, head.get("etag").as_deref()), (200, Some("\"two\"")));
    let asked = blobs.stage.origin.heads(&format!("{}*", blobs.path()));
    assert!(asked[1..].iter().all(|head| head.get("if-none-match").as_deref() == Some("\"one\"")), "{asked:?}");
    // What was stored is stored still.
    blobs.does().tag = "\"one\"";
    blobs.gets("?verify=good-c");
    assert_eq!(blobs.sent(), 2, "the part, and what was there");
    blobs.does().tag = "\"two\"";
    blobs.gets("?verify=good-d");
    blobs.gets("?verify=good-e");
    assert_eq!(blobs.sent(), 3);
    // Without any it is passed on, each time.
    blobs.said(&["purge"], "");
    let tagged = std::mem::take(&mut blobs.does().tag);
    blobs.gets("?verify=good-f");
    blobs.does().tag = tagged;
    blobs.gets("?verify=good-g");
    assert_eq!(blobs.sent(), 5);
}

#[test]
fn it_is_purged_and_explained_whatever_the_signature() {
    let Some(blobs) = Blobs::new("signed URLs, purged", "127.83.0.36") else { return };
    for (number, signature) in ["", "?verify=another", "?verify=good-a"].into_iter().enumerate() {
        blobs.gets("?verify=good-a");
        assert_eq!(blobs.sent(), number + 1);
        let said = blobs.said(&["explain"], signature);
        assert!(said.contains("names the content by its SHA-256") && !said.contains("verify="), "{said}");
        let owner = blobs.said(&["ring", "owner"], signature);
        assert!(!owner.contains("verify="), "{owner}");
        let purged = blobs.said(&["purge"], signature);
        assert!(!purged.contains("verify="), "{purged}");
        let said = blobs.said(&["explain"], signature);
        assert!(!said.contains("names the content by its SHA-256"), "{said}");
    }
    blobs.gets("?verify=good-b");
    assert_eq!(blobs.sent(), 4);
}

#[test]
fn what_says_how_the_answer_is_to_look_is_part_of_the_url() {
    let Some(blobs) = Blobs::new("signed URLs that shape the answer", "127.83.0.37") else { return };
    for name in ["a", "b"] {
        blobs.does().fields = format!("{KEEP}Content-Disposition: attachment; filename={name}\r\n");
        for round in ["1", "2"] {
            let answer = blobs.gets(&format!("?verify=good-{round}&response-content-disposition={name}"));
            assert!(answer.get("content-disposition").unwrap().ends_with(name));
        }
    }
    assert_eq!(blobs.sent(), 2);
}

#[test]
fn two_fronts_and_their_nodes_ask_the_store_for_one_body() {
    let Some(blobs) = Blobs::new("signed URLs by two fronts", "127.83.0.38") else { return };
    let cluster = &blobs.stage.cluster;
    let socket = |id: &str| process::value_of(&cluster.node(id).arguments, "--listen").unwrap();
    let ca = blobs.ca.parent().unwrap().display().to_string();
    let other = Setup::default().unhurried().nodes(0).node_at("n1", &socket("n1")).node_at("n2", &socket("n2"));
    let other = other.set("https", "hosts", vec!["preset:docker"]).set("https", "ca", ca).start();
    until_true("both have the nodes", PATIENCE, || other.metric("ringhold_node_up") == 2);
    let target = |signature: &str| format!("{}?verify={signature}", blobs.path());
    for (front, signature) in [(cluster, "good-a"), (&other, "good-b"), (cluster, "good-c"), (&other, "good-d")] {
        let answer = blobs.ask_by(front, "GET", &target(signature), "");
        assert!(answer.body == blobs.does().body, "{signature}");
        assert_eq!(blobs.ask_by(front, "GET", &target("bad"), "").status, 403);
    }
    assert_eq!(blobs.sent(), 1);
    // A purge at one is a purge at both.
    let purged = other.manage("DELETE", &format!("/v1/cache?url=https://{HOST}{}", blobs.path()), "");
    assert_eq!(purged.status, 200, "{}", purged.text());
    blobs.gets("?verify=good-e");
    assert_eq!(blobs.sent(), 2);
}

#[test]
fn a_node_that_takes_over_asks_the_store_and_no_other_node() {
    let Some(blobs) = Blobs::new("signed URLs and another owner", "127.83.0.41") else { return };
    blobs.does().body = b"small".to_vec();
    let (cluster, owner) = (&blobs.stage.cluster, blobs.gets("?verify=good-a").node());
    // However much of all is asked for there, the other node is not asked in its place.
    let mut client = blobs.client_of(cluster);
    for round in 0..500 {
        let target = format!("{}?verify=good-{round}", blobs.path());
        client.origin_form("GET", &target, &format!("Host: {HOST}\r\n"), b"").unwrap();
        assert_eq!(client.response("GET").unwrap().node(), owner);
    }
    assert_eq!(blobs.sent(), 1);
    let drained = cluster.manage("PATCH", &format!("/v1/nodes/{owner}"), r#"{"state":"draining"}"#);
    assert!((200..300).contains(&drained.status), "{}", drained.text());
    assert_eq!(blobs.get("?verify=bad").status, 403);
    assert_ne!(blobs.gets("?verify=good-b").node(), owner);
    blobs.gets("?verify=good-c");
    assert_eq!((blobs.sent(), cluster.node_total("peer_asks")), (2, 0));
}

#[test]
fn a_disk_keeps_it_and_the_store_is_asked_all_the_same_after_a_restart() {
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let on_disk = |setup: Setup| {
        let setup = setup.nodes(1).set("disk", "path", folder.path().display().to_string());
        // What comes from this machine's own addresses lies on no disk otherwise.
        let setup = setup.set("access", "open", vec!["127.83.0.39/32"]);
        setup.set("disk", "size", "256MiB").set("cache", "memory", "4MiB").set("cache", "max_object", "1MiB")
    };
    let Some(blobs) = Blobs::changed("signed URLs on disk", "127.83.0.39", on_disk) else { return };
    until_true("the disk is on", PATIENCE, || blobs.stage.cluster.metric("ringhold_node_disk_state") >= 2);
    for (length, files) in [(300_000, 0), (9_000_000, 1)] {
        blobs.does().sent = 0;
        blobs.does().body = noise::Noise::bytes(length as u64, length as u64);
        blobs.gets("?verify=good-a");
        let url = format!("https://{HOST}{}", blobs.path());
        until_true("it is on disk", PATIENCE, || {
            let said = blobs.stage.cluster.manage("GET", &format!("/v1/explain?url={url}"), "").json();
            said["disk"]["written"] == true && blobs.stage.cluster.metric("ringhold_node_disk_bodies") == files
        });
        let node = blobs.stage.cluster.node("n1").pid;
        blobs.stage.cluster.signal_node("n1", rustix::process::Signal::KILL);
        let is_new = || blobs.stage.cluster.nodes().iter().any(|n| n.pid != node);
        until_true("the node runs again", PATIENCE, || is_new() && blobs.stage.cluster.metric("ringhold_node_up") == 1);
        blobs.is_refused("?verify=bad");
        blobs.gets("?verify=good-b");
        blobs.is_refused("?verify=bad");
        assert_eq!(blobs.sent(), 1, "{length}");
    }
    // What is something else is not on disk either, however long it is.
    let path = path(b"what it is not");
    for round in 1..=2 {
        let answer = blobs.ask("GET", &format!("{path}?verify=good-{round}"), "");
        assert!(answer.status == 200 && answer.body == blobs.does().body);
        assert_eq!(blobs.sent(), 1 + round);
    }
    assert_eq!(blobs.stage.cluster.metric("ringhold_node_disk_bodies"), 1);
}
