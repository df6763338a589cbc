//! A node for tests: the control side of the link on a Unix socket, in this process.

use crate::config::Address;
use crate::wire::https::rules;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[derive(Default)]
pub struct FakeNode {
    pub boot: AtomicU64,
    /// 0: it has no disk.
    pub lineage: AtomicU64,
    /// It is of a version with other rules for https.
    pub other_rules: AtomicBool,
    /// Accepts and reads, but says nothing.
    pub silent: AtomicBool,
    /// The status of everything but probes; 0: 200.
    pub status: AtomicU16,
    pub probes: AtomicU64,
    /// `METHOD target body` of all but probes.
    said: Mutex<Vec<String>>,
}

impl FakeNode {
    pub fn new(boot: u64) -> Arc<FakeNode> {
        Arc::new(FakeNode { boot: AtomicU64::new(boot), ..FakeNode::default() })
    }

    /// Listens until the handle is dropped, which breaks off all connections.
    pub fn listen(self: &Arc<FakeNode>, path: &Path) -> Listening {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        let fake = self.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let fake = fake.clone();
                let service = service_fn(move |request| answer(fake.clone(), request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Listening { task, address: Address::Unix(path.to_owned()) }
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

pub struct Listening {
    task: tokio::task::JoinHandle<()>,
    pub address: Address,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(fake: Arc<FakeNode>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    while fake.silent.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(5)).await;
    }
    let (status, answer) = if head.uri.path() == "/healthz" {
        fake.probes.fetch_add(1, Ordering::Relaxed);
        let lineage = match fake.lineage.load(Ordering::Relaxed) {
            0 => String::new(),
            lineage => format!(r#","lineage":{lineage}"#),
        };
        let rules = if fake.other_rules.load(Ordering::Relaxed) { "0a" } else { rules::digest() };
        let boot = fake.boot.load(Ordering::Relaxed);
        (200, format!(r#"{{"id":"fake","boot":{boot},"version":"0","https_rules":"{rules}"{lineage}}}"#))
    } else {
        fake.said.lock().unwrap().push(format!("{} {} {body}", head.method, head.uri).trim_end().to_owned());
        (fake.status.load(Ordering::Relaxed), r#"{"hits":3}"#.to_owned())
    };
    let mut response = Response::new(Full::new(answer.into()));
    if status != 0 {
        *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
    }
    Ok(response)
}

/// Waits for something that happens elsewhere.
pub async fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let waiting = async {
        while !happened() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Runs a test on a current-thread runtime, as the control thread is.
pub fn on_control_thread(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// The shipped configuration without nodes, with short times and its state in `folder`.
pub fn config(folder: &Path) -> crate::config::Config {
    let mut config = crate::config::Config::parse("", "test").unwrap();
    config.state.path = folder.join("state");
    config.timeouts.probe_interval = Duration::from_millis(20);
    config.timeouts.probe = Duration::from_millis(150);
    config.nodes.clear();
    config
}
