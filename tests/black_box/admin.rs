//! The admin API and its clients.

use crate::support::cluster::run;
use crate::support::*;
use serde_json::Value;

/// Whether some object in there has this id.
fn mentions(json: &Value, id: &str) -> bool {
    member(json, id).is_some()
}

fn member<'a>(json: &'a Value, id: &str) -> Option<&'a Value> {
    match json {
        Value::Array(all) => all.iter().find_map(|one| member(one, id)),
        Value::Object(map) if map.get("id").is_some_and(|i| i == id) => Some(json),
        Value::Object(map) => map.values().find_map(|one| member(one, id)),
        _ => None,
    }
}

fn ok(answer: Response) -> Value {
    assert_eq!(answer.status, 200, "{} {}", answer.head.line, answer.text());
    assert!(answer.get("content-type").unwrap().starts_with("application/json"), "{:?}", answer.head);
    answer.json()
}

/// RFC 9457
fn is_problem(answer: &Response, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.get("content-type").as_deref(), Some("application/problem+json"), "{:?}", answer.head);
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string(), "{problem}");
}

fn percent(url: &str) -> String {
    url.bytes().map(|b| format!("%{b:02X}")).collect()
}

#[test]
fn nodes_are_listed_with_their_health() {
    let cluster = Cluster::start();
    let nodes = ok(cluster.manage("GET", "/v1/nodes", ""));
    for id in ["n1", "n2", "n3"] {
        let listed = member(&nodes, id).unwrap_or_else(|| panic!("{id} is missing in {nodes}"));
        let one = ok(cluster.manage("GET", &format!("/v1/nodes/{id}"), ""));
        assert_eq!(one["id"], listed["id"]);
        assert_eq!(one["weight"], 1);
    }
    is_problem(&cluster.manage("GET", "/v1/nodes/n9", ""), 404);
}

#[test]
fn the_ring_tells_its_epoch_digest_members_and_owners() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "page"));
    let ring = ok(cluster.manage("GET", "/v1/ring", ""));
    assert!(ring["epoch"].is_u64() && !ring["digest"].is_null() && ring["members"].is_array(), "{ring}");
    let url = origin.url("/page");
    let owner = ok(cluster.manage("GET", &format!("/v1/ring/owner?url={}", percent(&url)), ""));
    let node = cluster.get(&url).node();
    assert!(owner["owner"] == node.as_str() || owner["owner"]["id"] == node.as_str(), "{node}: {owner}");
    assert!(ok(cluster.manage("GET", "/v1/cluster", "")).is_object());
    let why = ok(cluster.manage("GET", &format!("/v1/explain?url={}", percent(&url)), ""));
    assert!(why.to_string().contains(&node), "{why}");
    is_problem(&cluster.manage("GET", "/v1/ring/owner?url=nonsense", ""), 400);
    is_problem(&cluster.manage("GET", "/v1/ring/owner", ""), 400);
}

#[test]
fn nodes_are_added_changed_and_removed() {
    let cluster = Cluster::start();
    let epoch = || cluster.manage("GET", "/v1/ring", "").json()["epoch"].as_u64().unwrap();
    let first = epoch();
    let added = cluster.manage("POST", "/v1/nodes", r#"{"id":"n4","spawn":true,"weight":2}"#);
    assert_eq!(added.status, 201, "{}", added.text());
    cluster.node("n4");
    let second = epoch();
    assert!(second > first);
    is_problem(&cluster.manage("POST", "/v1/nodes", r#"{"id":"n4","spawn":true}"#), 409);
    let changed = cluster.manage("PATCH", "/v1/nodes/n4", r#"{"weight":3}"#);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(ok(cluster.manage("GET", "/v1/nodes/n4", ""))["weight"], 3);
    let removed = cluster.manage("DELETE", "/v1/nodes/n4?drain=1s", "");
    assert!((200..300).contains(&removed.status), "{}", removed.text());
    until_true("n4 is gone", PATIENCE, || cluster.manage("GET", "/v1/nodes/n4", "").status == 404);
    until_true("its process too", PATIENCE, || cluster.nodes().len() == 3);
    assert!(epoch() > second);
    is_problem(&cluster.manage("DELETE", "/v1/nodes/n4", ""), 404);
}

#[test]
fn a_node_without_an_id_is_given_one() {
    let cluster = Cluster::start();
    let added = cluster.manage("POST", "/v1/nodes", r#"{"spawn":true}"#);
    assert_eq!(added.status, 201, "{}", added.text());
    cluster.node(added.json()["id"].as_str().expect("the id that was chosen"));
    assert_eq!(
        added.get("location").as_deref(),
        Some(format!("/v1/nodes/{}", added.json()["id"].as_str().unwrap()).as_str())
    );
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let cluster = Cluster::start();
    let bodies = [
        r#"{"id":"#,
        r#"{}"#,
        r#"{"id":"","spawn":true}"#,
        r#"{"id":"a/b","spawn":true}"#,
        r#"{"id":"x"}"#,
        r#"{"id":"x","spawn":true,"weight":0}"#,
        r#"{"id":"x","address":"nowhere"}"#,
        r#"{"id":"x","spawn":true,"wieght":2}"#,
    ];
    for body in bodies {
        let answer = cluster.manage("POST", "/v1/nodes", body);
        assert!([400, 422].contains(&answer.status), "{body}: {}", answer.head.line);
        is_problem(&answer, answer.status);
    }
    is_problem(&cluster.manage("GET", "/v1/nothing", ""), 404);
    let wrong = cluster.manage("PUT", "/v1/nodes", "{}");
    is_problem(&wrong, 405);
    assert!(wrong.head.lists("allow", "GET"), "RFC 9110 section 15.5.6: {:?}", wrong.head);
}

#[test]
fn changes_survive_a_restart_and_the_file_is_never_written() {
    let mut cluster = Cluster::start();
    let file = std::fs::read(cluster.file()).unwrap();
    assert_eq!(cluster.manage("POST", "/v1/nodes", r#"{"id":"n4","spawn":true}"#).status, 201);
    assert!((200..300).contains(&cluster.manage("DELETE", "/v1/nodes/n1", "").status));
    until_true("n1 is gone", PATIENCE, || cluster.nodes().iter().all(|n| n.id != "n1"));
    let before = cluster.manage("GET", "/v1/ring", "").json();
    cluster = cluster.restart();
    let after = cluster.manage("GET", "/v1/ring", "").json();
    assert_eq!(after["digest"], before["digest"]);
    assert!(after["epoch"].as_u64() >= before["epoch"].as_u64(), "epochs never go back");
    let ids: Vec<_> = cluster.nodes().into_iter().map(|n| n.id).collect();
    assert_eq!(ids, ["n2", "n3", "n4"]);
    assert_eq!(std::fs::read(cluster.file()).unwrap(), file);
}

#[test]
fn a_purged_page_is_asked_for_again() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "page"));
    let url = origin.url("/page");
    cluster.get(&url);
    assert!(cluster.get(&url).is_hit());
    let purged = cluster.manage("DELETE", &format!("/v1/cache?url={}", percent(&url)), "");
    assert_eq!(purged.status, 200, "{}", purged.text());
    assert!(!cluster.get(&url).is_hit());
    assert_eq!(origin.count("/page"), 2);
}

#[test]
fn a_fill_that_began_before_a_purge_is_not_stored() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let gate = Gate::default();
    let held = gate.clone();
    origin.on("/page", move |x| {
        x.begin_sized("Cache-Control: max-age=60\r\n", 6)?;
        x.raw("old")?;
        held.wait()?;
        x.raw("old")
    });
    let url = origin.url("/page");
    let mut reader = cluster.connect();
    reader.request("GET", &url, "", b"").unwrap();
    reader.head().unwrap();
    assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={}", percent(&url)), "").status, 200);
    gate.open();
    assert_eq!(reader.read_exact(6).unwrap(), b"oldold");
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "new"));
    assert_eq!(cluster.get(&url).text(), "new");
}

#[test]
fn health_readiness_metrics_and_pac_are_served() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "page"));
    for _ in 0..3 {
        cluster.get(&origin.url("/page"));
    }
    assert_eq!(cluster.manage("GET", "/healthz", "").status, 200);
    assert_eq!(cluster.manage("GET", "/readyz", "").status, 200);
    let metrics = cluster.manage("GET", "/metrics", "");
    assert!(metrics.get("content-type").unwrap().starts_with("text/plain"), "{:?}", metrics.head);
    let text = metrics.text();
    assert!(text.contains("# TYPE ringhold_") && text.contains("node=\"n1\""), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for sample in samples {
        let (name, value) = sample.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {sample}"));
        assert!(name.starts_with("ringhold_") && value.parse::<f64>().is_ok(), "{sample}");
    }
    let pac = cluster.manage("GET", "/proxy.pac", "");
    assert_eq!(pac.get("content-type").as_deref(), Some("application/x-ns-proxy-autoconfig"));
    let script = pac.text();
    assert!(script.contains("FindProxyForURL") && script.contains(&cluster.proxy.to_string()), "{script}");
}

#[test]
fn a_web_page_cannot_steer_the_proxy() {
    let cluster = Cluster::start();
    let node = r#"{"id":"evil","spawn":true}"#;
    let json = "Content-Type: application/json\r\n";
    let refused = [
        ("a host that is not loopback (DNS rebinding)", format!("Host: evil.example\r\n{json}")),
        ("a foreign origin", format!("{json}Origin: http://evil.example\r\n")),
        ("an opaque origin", format!("{json}Origin: null\r\n")),
        ("a form", "Content-Type: application/x-www-form-urlencoded\r\n".to_owned()),
        ("text, which needs no preflight", "Content-Type: text/plain\r\n".to_owned()),
        ("no type at all", String::new()),
    ];
    for (name, fields) in refused {
        let answer = cluster.manage_with("POST", "/v1/nodes", &fields, node);
        assert!([400, 403, 415, 421].contains(&answer.status), "{name}: {}", answer.head.line);
    }
    let foreign = cluster.manage_with("DELETE", "/v1/nodes/n1", "Origin: http://evil.example\r\n", "");
    assert_eq!(foreign.status, 403);
    assert!(!mentions(&cluster.manage("GET", "/v1/nodes", "").json(), "evil"));
    let localhost = format!("Host: localhost:{}\r\n", cluster.admin.port());
    assert_eq!(cluster.manage_with("GET", "/v1/nodes", &localhost, "").status, 200);
}

#[test]
fn with_a_token_only_who_knows_it_may_ask() {
    let cluster = Setup::default().set("admin", "token", "s3cret-s3cret-s3cret").start();
    let refused = cluster.manage("GET", "/v1/nodes", "");
    assert_eq!(refused.status, 401);
    assert!(refused.get("www-authenticate").is_some_and(|w| w.starts_with("Bearer")), "{:?}", refused.head);
    assert_eq!(cluster.manage_with("GET", "/v1/nodes", "Authorization: Bearer wrong\r\n", "").status, 401);
    let allowed = cluster.manage_with("GET", "/v1/nodes", "Authorization: Bearer s3cret-s3cret-s3cret\r\n", "");
    assert_eq!(allowed.status, 200);
    assert!(!cluster.said().contains("s3cret"), "a secret was logged");
}

#[test]
fn it_refuses_to_be_open_to_the_network_without_a_token() {
    let (code, said) = Setup::default().set("admin", "listen", "0.0.0.0:0").refuse();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.lines().count() == 1 && said.contains("token"), "{said}");
}

#[test]
fn the_command_line_does_what_the_api_does() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "the page itself"));
    let (url, admin) = (origin.url("/page"), cluster.admin.to_string());
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let file = cluster.file().display().to_string();
    let cli = |words: &[&str]| {
        let (code, said) = run(folder.path(), &[words, &["--config", &file, "--admin", &admin]].concat());
        assert_eq!(code, Some(0), "{words:?}: {said}");
        said
    };
    let node = cluster.get(&url).node();
    assert!(["n1", "n2", "n3"].iter().all(|id| cli(&["nodes", "list"]).contains(id)));
    assert!(cli(&["ring", "owner", &url]).contains(&node));
    assert!(cli(&["explain", &url]).contains(&node));
    cli(&["nodes", "add", "n4", "--spawn"]);
    cluster.node("n4");
    cli(&["nodes", "drain", "n4"]);
    cli(&["nodes", "remove", "n4"]);
    until_true("n4 is gone", PATIENCE, || cluster.nodes().len() == 3);
    let asked = origin.count("/page");
    cli(&["purge", &url]);
    cluster.get(&url);
    assert_eq!(origin.count("/page"), asked + 1);
    let (code, said) = run(folder.path(), &["check", "--config", &file]);
    assert_eq!(code, Some(0), "{said}");
    // `get` is a client of the proxy and finds it by the file, which here says port 0.
    let listen = format!("[proxy]\nlisten = [\"{}\"]\n", cluster.proxy);
    std::fs::write(folder.path().join("at.toml"), listen).unwrap();
    let (code, said) = run(folder.path(), &["get", "--config", "at.toml", &url]);
    assert!(code == Some(0) && said.contains("the page itself"), "{said}");
}
