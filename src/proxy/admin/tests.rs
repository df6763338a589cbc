use super::*;
use crate::cluster::fake_node::{FakeNode, Listening, config, on_control_thread, until};
use crate::config::{Address, NodeConfig, NodePlace, Secret};
use crate::proxy::https::ca::{CertificateAuthority, make};
use crate::proxy::https::leaf::Leaves;
use crate::wire::date::Timestamp;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

struct Bench {
    address: String,
    cluster: Arc<ControlPlane>,
    fakes: Vec<(Arc<FakeNode>, Listening)>,
    folder: tempfile::TempDir,
    _trigger: crate::net::drain::Trigger,
}

/// An admin API over the nodes `a` and `b`.
async fn bench(token: Option<&str>) -> Bench {
    bench_with(token, None).await
}

async fn bench_with(token: Option<&str>, leaves: Option<Arc<Leaves>>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.admin.token = token.map(|t| Secret(t.to_owned()));
    let mut fakes = Vec::new();
    for (boot, id) in [(1, "a"), (2, "b")] {
        let fake = FakeNode::new(boot);
        let listening = fake.listen(&folder.path().join(id));
        config.nodes.push(NodeConfig { id: id.into(), place: NodePlace::At(listening.address.clone()), weight: 1 });
        fakes.push((fake, listening));
    }
    let cluster = ControlPlane::start(&config, false).await.unwrap();
    until("all up", || cluster.readiness().up == 2).await;
    let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).unwrap();
    let address = listener.address().to_string();
    let (trigger, shutdown) = Shutdown::channel();
    let counters = vec![Arc::new(FrontCounters::default())];
    let serving = cluster.clone();
    let https = leaves.map(|leaves| Arc::new(Interception::new(&config, leaves).unwrap()));
    tokio::task::spawn_local(async move { serve(listener, serving, counters, None, https, &config, shutdown).await });
    Bench { address, cluster, fakes, folder, _trigger: trigger }
}

impl Bench {
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, _, text) = self.raw(method, path, &[("content-type", "application/json")], body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn raw(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> (u16, http::HeaderMap, String) {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn run(test: impl Future<Output = ()>) {
    let local = LocalSet::new();
    on_control_thread(local.run_until(test));
}

#[test]
fn readiness_says_that_a_certificate_authority_has_ended() {
    run(async {
        let of = |years: u64| {
            let made = Timestamp::from_seconds(clock::wall().seconds() - years * 365 * 86_400);
            let authority = CertificateAuthority::open(make(&[], made).unwrap(), "test").unwrap();
            Some(Arc::new(Leaves::new(vec![authority]).unwrap()))
        };
        let (status, ready) = bench_with(None, of(6)).await.ask("GET", "/readyz", "").await;
        assert_eq!(status, 200, "http is cached, and https passes");
        let note = ready["notes"][0].as_str().unwrap();
        assert!(note.contains("has ended") && note.contains("ca init --next"), "{note}");
        let (_, ready) = bench_with(None, of(0)).await.ask("GET", "/readyz", "").await;
        assert!(ready.get("notes").is_none(), "{ready}");
    });
}

#[test]
fn nodes_are_listed_added_changed_and_removed() {
    run(async {
        let bench = bench(None).await;
        let (status, listed) = bench.ask("GET", "/v1/nodes", "").await;
        assert_eq!((status, listed["nodes"].as_array().unwrap().len()), (200, 2));
        assert_eq!(listed["nodes"][0]["id"], "a");
        assert_eq!(listed["nodes"][0]["up"], true);

        let fake = FakeNode::new(3);
        let listening = fake.listen(&bench.folder.path().join("c"));
        let body = format!(r#"{{"id":"c","address":"{}","weight":2}}"#, listening.address);
        let (status, headers, text) =
            bench.raw("POST", "/v1/nodes", &[("content-type", "application/json")], &body).await;
        assert_eq!(status, 201, "{text}");
        assert_eq!(headers["location"], "/v1/nodes/c");

        let (status, node) = bench.ask("PATCH", "/v1/nodes/c", r#"{"weight":1,"state":"draining"}"#).await;
        assert_eq!(
            (status, &node["weight"], &node["state"], &node["share"]),
            (200, &json!(1), &json!("draining"), &json!(0.0))
        );
        let (_, node) = bench.ask("PATCH", "/v1/nodes/c", r#"{"state":"active"}"#).await;
        assert_eq!(node["state"], "active");

        let (status, node) = bench.ask("DELETE", "/v1/nodes/c?drain=10s", "").await;
        assert_eq!((status, &node["state"]), (202, &json!("draining")));
        until("gone", || bench.cluster.find("c").is_err()).await;
        assert_eq!(bench.ask("GET", "/v1/nodes/c", "").await.0, 404);
    });
}

#[test]
fn what_is_wrong_is_a_problem_that_names_the_cure() {
    run(async {
        let bench = bench(None).await;
        let cases = [
            ("POST", "/v1/nodes", r#"{"id":"a","address":"h:1"}"#, 422, "[cluster] secret"),
            ("POST", "/v1/nodes", r#"{"id":"a","address":"127.0.0.1:1"}"#, 409, "choose another id"),
            ("POST", "/v1/nodes", r#"{"id":"c","spawn":true}"#, 409, "ringhold serve"),
            ("POST", "/v1/nodes", r#"{"id":"c"}"#, 422, "neither spawn nor address"),
            ("POST", "/v1/nodes", r#"{"idd":"c"}"#, 400, "unknown field `idd`"),
            ("POST", "/v1/nodes", "{", 400, "EOF"),
            ("PATCH", "/v1/nodes/a", r#"{"weight":0}"#, 422, "write 1 to"),
            ("PATCH", "/v1/nodes/a", r#"{"state":"gone"}"#, 400, "unknown variant"),
            ("PATCH", "/v1/nodes/a", "{}", 400, "say what to change"),
            ("PATCH", "/v1/nodes/x", r#"{"weight":1}"#, 404, "there is no node `x`"),
            ("DELETE", "/v1/nodes/x", "", 404, "there is no node `x`"),
            ("DELETE", "/v1/nodes/a?drain=soon", "", 400, "for example 30s"),
            ("DELETE", "/v1/nodes/a?force=yes", "", 400, "no parameter"),
            ("GET", "/v1/ring/owner", "", 400, "say which URL"),
            ("GET", "/v1/ring/owner?url=ftp://h/", "", 400, ""),
            ("GET", "/nothing", "", 404, "/ lists"),
            ("PUT", "/v1/nodes", "{}", 405, "GET, HEAD, POST"),
        ];
        for (method, path, body, expected, part) in cases {
            let (status, problem) = bench.ask(method, path, body).await;
            assert_eq!((status, &problem["status"]), (expected, &json!(expected)), "{method} {path} {body}: {problem}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(!detail.is_empty() && detail.contains(part), "{method} {path} {body}: {detail}");
        }
        let (_, headers, _) = bench.raw("PUT", "/v1/nodes", &[], "").await;
        assert_eq!(headers["allow"], "GET, HEAD, POST");
        assert_eq!(headers["content-type"], "application/problem+json");
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_BODY));
        assert_eq!(bench.ask("POST", "/v1/nodes", &long).await.0, 413);
    });
}

#[test]
fn a_web_page_cannot_steer_the_proxy() {
    run(async {
        let bench = bench(None).await;
        let json = ("content-type", "application/json");
        let add = r#"{"id":"c","address":"127.0.0.1:1"}"#;
        let foreign = ("origin", "http://evil.example");
        assert_eq!(bench.raw("POST", "/v1/nodes", &[json, foreign], add).await.0, 403);
        assert_eq!(bench.raw("DELETE", "/v1/nodes/a", &[foreign], "").await.0, 403);
        assert_eq!(bench.raw("POST", "/v1/nodes", &[("content-type", "text/plain")], add).await.0, 415);
        assert_eq!(bench.raw("GET", "/v1/nodes", &[("host", "evil.example")], "").await.0, 400, "two Hosts");
        let own = format!("http://{}", bench.address);
        assert_eq!(bench.raw("POST", "/v1/nodes", &[json, ("origin", &own)], add).await.0, 201);
    });
}

#[test]
fn with_a_token_only_health_is_open() {
    run(async {
        let bench = bench(Some("secret")).await;
        for path in ["/v1/nodes", "/metrics", "/", "/nothing"] {
            let (status, headers, _) = bench.raw("GET", path, &[], "").await;
            assert_eq!(status, 401, "{path}");
            assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"), "{path}");
        }
        for path in ["/healthz", "/readyz", "/proxy.pac"] {
            assert_eq!(bench.raw("GET", path, &[], "").await.0, 200, "{path}");
        }
        assert_eq!(bench.raw("GET", "/v1/nodes", &[("authorization", "Bearer secret")], "").await.0, 200);
    });
}

#[test]
fn the_ring_and_the_owner_of_a_url_are_told() {
    run(async {
        let bench = bench(None).await;
        let (_, ring) = bench.ask("GET", "/v1/ring", "").await;
        assert_eq!(ring["members"], json!([{"id": "a", "weight": 1}, {"id": "b", "weight": 1}]));
        assert_eq!((&ring["hash"], &ring["points"], &ring["epoch"]), (&json!("xxh3"), &json!(512), &json!(1)));
        let (status, owner) = bench.ask("GET", "/v1/ring/owner?url=http%3A%2F%2FH%3A80%2Fx", "").await;
        assert_eq!((status, &owner["key"]), (200, &json!("http://h/x")));
        assert_eq!(owner["successors"].as_array().unwrap().len(), 2);
        assert_eq!(owner["owner"], owner["successors"][0]);
        let (status, explained) = bench.ask("GET", "/v1/explain?url=http%3A%2F%2Fh%2Fx&header=a%3Ab", "").await;
        assert_eq!((status, &explained["serving"], &explained["hits"]), (200, &owner["owner"], &json!(3)));
        let (_, cluster) = bench.ask("GET", "/v1/cluster", "").await;
        assert_eq!((&cluster["digest"], &cluster["up"]), (&ring["digest"], &json!(2)));
    });
}

#[test]
fn a_purge_is_done_or_names_who_missed_it() {
    run(async {
        let bench = bench(None).await;
        let (status, purged) = bench.ask("DELETE", "/v1/cache?url=http%3A%2F%2Fh%2Fx", "").await;
        assert_eq!((status, &purged["done"]), (200, &json!(["a", "b"])));
        bench.fakes[1].0.status.store(500, Ordering::Relaxed);
        let (status, purged) = bench.ask("DELETE", "/v1/cache?url=http%3A%2F%2Fh%2Fx", "").await;
        assert_eq!((status, &purged["done"], &purged["missed"][0]["id"]), (202, &json!(["a"]), &json!("b")));
    });
}

#[test]
fn readiness_ends_when_no_node_is_up() {
    run(async {
        let mut bench = bench(None).await;
        assert_eq!(bench.ask("GET", "/readyz", "").await.0, 200);
        bench.fakes.clear();
        until("all down", || bench.cluster.readiness().up == 0).await;
        assert_eq!(bench.ask("GET", "/readyz", "").await.0, 503);
        assert_eq!(bench.ask("GET", "/healthz", "").await.0, 200);
    });
}

#[test]
fn metrics_are_of_front_ring_and_nodes() {
    run(async {
        let bench = bench(None).await;
        let (status, headers, text) = bench.raw("GET", "/metrics", &[], "").await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (200, "text/plain; version=0.0.4; charset=utf-8")
        );
        let lines = [
            "ringhold_node_up{node=\"a\"} 1",
            "ringhold_node_hits_total{node=\"b\"} 3",
            "ringhold_ring_epoch 1",
            "ringhold_front_failovers_total 0",
        ];
        for line in lines {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let heads: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let mut once = heads.clone();
        once.dedup();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), heads.len(), "every name has one head");
    });
}
