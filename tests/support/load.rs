//! A load: many kept-alive connections that ask, one request after the other, until they are told to stop.

use super::client::{Connection, Response};
use super::until_true;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is to be asked, by whom.
pub struct Load {
    pub proxy: SocketAddr,
    pub connections: usize,
    pub urls: Arc<Vec<String>>,
    /// Says what is wrong with an answer to this URL.
    pub check: Check,
}

pub type Check = fn(&str, &Response) -> Result<(), String>;

/// A load under way.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<Instant>>>,
}

#[derive(Default)]
struct Shared {
    done: AtomicUsize,
    stop: AtomicBool,
    failures: Mutex<Vec<String>>,
}

/// When each request was answered, and what failed.
pub struct Report {
    pub answered: Vec<Instant>,
    pub failures: Vec<String>,
}

impl Load {
    pub fn start(self) -> Running {
        let shared = Arc::new(Shared::default());
        let load = Arc::new(self);
        let worker = |n: usize| {
            let (load, shared) = (load.clone(), shared.clone());
            thread::spawn(move || work(&load, &shared, n))
        };
        Running { threads: (0..load.connections).map(worker).collect(), shared }
    }
}

impl Running {
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until so many requests are done and at least this moment has come.
    pub fn until(&self, requests: usize, moment: Instant) {
        let limit = Duration::from_secs(60);
        until_true("the load has done its share", limit, || self.done() >= requests && Instant::now() >= moment);
    }

    pub fn finish(self) -> Report {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut answered: Vec<Instant> = Vec::new();
        for thread in self.threads {
            answered.extend(thread.join().expect("a client does not panic"));
        }
        answered.sort();
        let failures = std::mem::take(&mut *self.shared.failures.lock().unwrap());
        Report { answered, failures }
    }
}

impl Report {
    /// Requests a second from one moment to another.
    pub fn rate(&self, from: Instant, to: Instant) -> f64 {
        let n = self.answered.iter().filter(|t| **t >= from && **t < to).count();
        n as f64 / (to - from).as_secs_f64()
    }

    pub fn assert_none_failed(&self, at_least: usize) {
        let (n, failed) = (self.answered.len(), self.failures.len());
        let shown = &self.failures[..failed.min(5)];
        assert!(failed == 0, "{failed} of {} requests failed, for example {shown:#?}", n + failed);
        assert!(n >= at_least, "only {n} requests were made");
    }
}

fn work(load: &Load, shared: &Shared, n: usize) -> Vec<Instant> {
    let mut answered = Vec::new();
    let mut connection = None;
    for i in 0.. {
        if shared.stop.load(Ordering::Relaxed) {
            break;
        }
        // A large odd stride, so that the connections do not walk in step.
        let url = &load.urls[(n * 7919 + i * 31) % load.urls.len()];
        match once(&mut connection, load, url) {
            Ok(()) => answered.push(Instant::now()),
            Err(what) => shared.failures.lock().unwrap().push(format!("{url}: {what}")),
        }
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
    answered
}

fn once(connection: &mut Option<Connection>, load: &Load, url: &str) -> Result<(), String> {
    let mut open = match connection.take() {
        Some(open) => open,
        None => Connection::try_to(load.proxy).map_err(|e| format!("connect: {e}"))?,
    };
    let answer = open.try_ask("GET", url, "", b"").map_err(|e| e.to_string())?;
    if answer.status != 200 {
        let status = answer.head.all("proxy-status");
        return Err(format!("{} {status:?} {}", answer.status, answer.text()));
    }
    (load.check)(url, &answer)?;
    if !answer.head.lists("connection", "close") {
        *connection = Some(open);
    }
    Ok(())
}
