//! A hyper server with a moka lookup by the full URI and nothing else: the limit of a hot hit.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Uri};
use limits::answer::{self, Answer};
use limits::serve::{argument, on_one_thread, serve};
use moka::sync::Cache;
use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

type Entry = Arc<(HeaderMap, Bytes)>;

struct Server {
    cache: Cache<Box<str>, Entry>,
    key: RefCell<String>,
}

fn main() -> io::Result<()> {
    let address = argument("--listen", "bare-server --listen HOST:PORT | unix:/path");
    let server = Rc::new(Server { cache: Cache::new(1_000_000), key: RefCell::default() });
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = server.answer(request.uri());
        async move { Ok::<_, Infallible>(answer) }
    });
    on_one_thread(serve(&address, service))
}

impl Server {
    fn answer(&self, uri: &Uri) -> Answer {
        let mut key = self.key.borrow_mut();
        key.clear();
        _ = write!(key, "{uri}");
        let found = self.cache.get(key.as_str()).or_else(|| self.make(&key, uri.path()));
        found.map_or_else(answer::not_found, |entry| answer::answer(entry.0.clone(), entry.1.clone()))
    }

    /// Every URL has a body of its own, so that they compete for the processor's caches as a proxy's do.
    fn make(&self, key: &str, path: &str) -> Option<Entry> {
        let kind = answer::kind(path)?;
        let entry = Arc::new((answer::hit_fields(kind), answer::body(kind.size)));
        self.cache.insert(key.into(), entry.clone());
        Some(entry)
    }
}
