//! Three machines are restarted one after the other under load.

use crate::support::*;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};
use zookeeper::{Zookeeper, wanted};

const SIZE: usize = 10 * 1024;
/// Of Zipf's law.
const EXPONENT: f64 = 0.9;
const CLIENTS: usize = 16;

/// A machine with two nodes, whose ports stay when it is restarted.
fn machine(zookeeper: &str, number: u8) -> Cluster {
    let host = format!("127.0.0.{number}");
    let listen = TcpListener::bind((host.as_str(), 0)).unwrap().local_addr().unwrap();
    let setup = Setup::default().nodes(2).set("proxy", "listen", vec![listen.to_string()]);
    let setup = setup.set("admin", "listen", format!("{host}:0")).set("hot", "memory", "8MiB");
    let setup = setup.set("zookeeper", "connect", zookeeper).set("zookeeper", "advertise", host);
    let setup = setup.set("cluster", "secret", "the-secret-of-this-cluster");
    if RELEASE {
        return setup.start();
    }
    // A debug build on a busy machine gets more time than the default.
    let setup = setup.set("zookeeper", "session", "10s").set("timeouts", "slow_hit", "0s");
    setup.set("timeouts", "peer", "5s").set("timeouts", "probe", "5s").start()
}

fn until_ring(machines: &[Cluster], nodes: usize) {
    until_true(&format!("all fronts route by one ring of {nodes}"), 3 * PATIENCE, || {
        let rings: Vec<_> = machines.iter().map(|m| m.manage("GET", "/v1/ring", "").json()).collect();
        let up = machines.iter().all(|m| m.manage("GET", "/v1/cluster", "").json()["up"] == nodes);
        let same = |ring: &serde_json::Value| ring["epoch"] == rings[0]["epoch"];
        up && rings.iter().all(|ring| same(ring) && ring["members"].as_array().unwrap().len() == nodes)
    });
}

/// What the clients share.
struct Shared {
    proxies: Vec<SocketAddr>,
    /// Who is down on purpose.
    down: Vec<AtomicBool>,
    pages: Arc<Vec<String>>,
    /// Sums of the pages' probabilities.
    sums: Vec<f64>,
    /// From one request of a client to its next.
    pause: Duration,
    over: AtomicBool,
    done: AtomicUsize,
    refused: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Shared {
    fn client(&self, number: usize) {
        let mut kept: Vec<Option<Connection>> = self.proxies.iter().map(|_| None).collect();
        let (mut dice, begun) = (number as u64 + 1, Instant::now());
        for turn in 0.. {
            let due = begun + self.pause * turn + self.pause * number as u32 / CLIENTS as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let shot = (dice >> 11) as f64 / (1u64 << 53) as f64;
            let page = self.sums.partition_point(|sum| *sum < shot).min(self.pages.len() - 1);
            let first = (number + turn as usize) % self.proxies.len();
            if let Err(what) = self.ask(&mut kept, first, &self.pages[page]) {
                self.failures().push(format!("{}: {what}", self.pages[page]));
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// By the first of the proxies that is not refusing, as with `proxy.pac`.
    fn ask(&self, kept: &mut [Option<Connection>], first: usize, url: &str) -> Result<(), String> {
        for i in (0..self.proxies.len()).map(|i| (first + i) % self.proxies.len()) {
            let was_down = self.down[i].load(Ordering::SeqCst);
            // A kept connection may have been closed meanwhile: then once more, on a new one (RFC 9112 section 9.3.1).
            if let Some(Ok(answer)) =
                kept[i].take().map(|mut open| open.try_ask("GET", url, "", b"").map(|a| (a, open)))
            {
                return self.judge(answer, &mut kept[i], url);
            }
            match Connection::try_to(self.proxies[i]) {
                Ok(mut open) => match open.try_ask("GET", url, "", b"") {
                    Ok(answer) => return self.judge((answer, open), &mut kept[i], url),
                    // It was accepted by the kernel while nobody was going to.
                    Err(_) if was_down || self.down[i].load(Ordering::SeqCst) => {}
                    Err(e) => return Err(format!("machine {i}: {e}")),
                },
                Err(e) if was_down || self.down[i].load(Ordering::SeqCst) => _ = e,
                Err(e) => return Err(format!("machine {i} refuses: {e}")),
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        Err("nobody is there".to_owned())
    }

    fn judge(
        &self,
        (answer, open): (Response, Connection),
        kept: &mut Option<Connection>,
        url: &str,
    ) -> Result<(), String> {
        if answer.status != 200 || answer.body.len() != SIZE || !answer.body.starts_with(path(url).as_bytes()) {
            return Err(format!("{} {:?} {:.80}", answer.status, answer.head.all("proxy-status"), answer.text()));
        }
        *kept = (!answer.head.lists("connection", "close")).then_some(open);
        Ok(())
    }

    fn failures(&self) -> MutexGuard<'_, Vec<String>> {
        self.failures.lock().unwrap()
    }
}

fn path(url: &str) -> &str {
    &url[url.find("/page/").expect("a page")..]
}

/// Whose `k`-th sum is the probability that one of the first `k` pages is asked for.
fn zipf(pages: usize) -> Vec<f64> {
    let weights: Vec<f64> = (1..=pages).map(|k| (k as f64).powf(-EXPONENT)).collect();
    let all: f64 = weights.iter().sum();
    weights
        .iter()
        .scan(0.0, |sum, weight| {
            *sum += weight / all;
            Some(*sum)
        })
        .collect()
}

#[test]
fn a_rolling_restart_costs_no_request_and_hardly_a_fetch() {
    if !wanted("a rolling restart of three machines") {
        return;
    }
    let _alone = alone();
    let (count, rate) = drill((300, 100), (10_000, 1000));
    let zookeeper = Zookeeper::alone();
    let mut machines: Vec<Cluster> = (2..5).map(|number| machine(&zookeeper.connect(), number)).collect();
    until_ring(&machines, 6);
    let origin = Origin::start();
    let fetched: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let counted = fetched.clone();
    origin.on("/page/*", move |x| {
        *counted.lock().unwrap().entry(x.target().to_owned()).or_default() += 1;
        let mut body = x.target().to_owned().into_bytes();
        body.resize(SIZE, b' ');
        x.reply(200, "Cache-Control: max-age=3600\r\n", body)
    });
    let pages: Arc<Vec<String>> = Arc::new((0..count).map(|i| origin.url(&format!("/page/{i}/"))).collect());
    for (i, page) in pages.iter().enumerate() {
        assert_eq!(machines[i % 3].get(page).status, 200);
    }
    assert_eq!(fetched.lock().unwrap().len(), count);
    fetched.lock().unwrap().clear();

    let shared = Arc::new(Shared {
        proxies: machines.iter().map(|machine| machine.proxy).collect(),
        down: machines.iter().map(|_| AtomicBool::new(false)).collect(),
        pages: pages.clone(),
        sums: zipf(count),
        pause: Duration::from_secs(CLIENTS as u64) / rate,
        over: AtomicBool::new(false),
        done: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
        failures: Mutex::default(),
    });
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let shared = shared.clone();
            thread::spawn(move || shared.client(number))
        })
        .collect();
    let mut figures = Vec::new();
    for i in 0..3 {
        let had = shared.done.load(Ordering::Relaxed);
        until_true("the load goes on", PATIENCE, || shared.done.load(Ordering::Relaxed) > had + rate as usize);
        let (begun, machine) = (Instant::now(), machines.remove(i));
        shared.down[i].store(true, Ordering::SeqCst);
        let mut machine = machine;
        assert!(machine.terminate(Signal::TERM).success());
        let (ended, said) = (begun.elapsed(), machine.said());
        let handed: Vec<&str> =
            said.lines().filter_map(|line| line.split_once(" handed over ")).map(|(_, what)| what).collect();
        machines.insert(i, machine.again());
        assert_eq!(machines[i].proxy, shared.proxies[i]);
        shared.down[i].store(false, Ordering::SeqCst);
        figures.push(format!("ended after {ended:.1?}, ready after {:.1?}: {handed:?}", begun.elapsed()));
        until_ring(&machines, 6);
    }
    shared.over.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let under_load = fetched.lock().unwrap().len();
    // Also what hardly anybody asks for is still there.
    for (i, page) in pages.iter().enumerate() {
        assert_eq!(machines[i % 3].get(page).status, 200);
    }
    let again = fetched.lock().unwrap().len();
    let (done, refused) = (shared.done.load(Ordering::Relaxed), shared.refused.load(Ordering::Relaxed));
    let failures = shared.failures().clone();
    eprintln!(
        "drill: {count} pages, {done} requests, {refused} refused by who was down, {} failed; {under_load} pages fetched \
         again under load, {again} in all; {figures:?}",
        failures.len()
    );
    assert!(failures.is_empty(), "{} failed, for example {:#?}", failures.len(), &failures[..failures.len().min(5)]);
    assert!(again * 10 <= count, "{again} of {count} pages were fetched again");
}
