//! A load that runs across a change, looked at window by window.

use super::client::Connection;
use super::{PATIENCE, until_true};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The length of a window.
const WINDOW: Duration = Duration::from_millis(250);
/// A window with fewer requests is no measure: the next one is joined to it.
const ENOUGH: usize = 400;
const CLIENTS: usize = 4;

/// Requests and questions to the origin in a window, and when it ended.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub end: Instant,
    pub requests: usize,
    pub misses: usize,
}

/// What was seen of a change.
pub struct Across {
    pub begun: Instant,
    pub ended: Instant,
    pub windows: Vec<Window>,
}

impl Across {
    /// The lowest hit ratio of a window. One in which the machine has stood still for a while, and in which fewer were asked for than
    /// usual (the median), counts as long as that: what a node does not answer at once is asked of the origin, be it by 50 requests.
    pub fn lowest(&self) -> f64 {
        let mut requests: Vec<_> = self.windows.iter().map(|window| window.requests).collect();
        requests.sort_unstable();
        let usual = requests.get(requests.len() / 2).copied().unwrap_or(0);
        let ratio = |window: &Window| 1.0 - window.misses as f64 / window.requests.max(usual) as f64;
        self.windows.iter().map(ratio).fold(1.0, f64::min)
    }

    /// So many requests were answered before, during and after the change.
    pub fn requests(&self) -> [usize; 3] {
        let sum = |is: &dyn Fn(&&Window) -> bool| self.windows.iter().filter(is).map(|w| w.requests).sum();
        let before = |w: &&Window| w.end <= self.begun;
        let after = |w: &&Window| w.end > self.ended + WINDOW;
        [sum(&before), sum(&|w| !before(w) && !after(w)), sum(&after)]
    }
}

/// Asks for the URLs in a mixed order again and again, at these fronts in turn, while the change is made: some of them
/// before it, and all of them once more after it. `asked`: how often the origin was. Every request must be answered.
pub fn across(
    fronts: &[SocketAddr],
    urls: &[String],
    asked: impl Fn() -> usize + Sync,
    change: impl FnOnce(),
) -> Across {
    let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let next = AtomicUsize::new(0);
    let windows = Mutex::new(Vec::new());
    let ask = |client: usize| {
        let mut connection = Connection::to(fronts[client % fronts.len()]);
        while !over.load(Ordering::Relaxed) {
            let url = &urls[mixed(next.fetch_add(1, Ordering::Relaxed), urls.len())];
            let answer = connection.get(url);
            assert_eq!(answer.status, 200, "{url}: {}", answer.text());
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    let watch = || {
        let (mut before, mut end) = ((done.load(Ordering::Relaxed), asked()), Instant::now() + WINDOW);
        while !over.load(Ordering::Relaxed) {
            thread::sleep(end.saturating_duration_since(Instant::now()));
            let now = (done.load(Ordering::Relaxed), asked());
            if now.0 - before.0 >= ENOUGH {
                let (requests, misses) = (now.0 - before.0, now.1 - before.1);
                windows.lock().unwrap().push(Window { end: Instant::now(), requests, misses });
                before = now;
            }
            end += WINDOW;
        }
    };
    // A client that panics must not leave the others running for ever.
    let stop = Stop(&over);
    let (begun, ended) = thread::scope(|scope| {
        let stop = stop;
        (0..CLIENTS).for_each(|client| drop(scope.spawn(move || ask(client))));
        scope.spawn(watch);
        let reached = |requests: usize| {
            until_true("the load has come so far", 6 * PATIENCE, || done.load(Ordering::Relaxed) >= requests);
        };
        until_true("there are windows before the change", PATIENCE, || windows.lock().unwrap().len() >= 2);
        let begun = Instant::now();
        change();
        let ended = Instant::now();
        // Once around: each URL has been asked for since.
        reached(done.load(Ordering::Relaxed) + urls.len() + CLIENTS);
        drop(stop);
        (begun, ended)
    });
    Across { begun, ended, windows: windows.into_inner().unwrap() }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A walk through all of them without an order that one could see.
fn mixed(i: usize, len: usize) -> usize {
    const STRIDE: usize = 7919;
    debug_assert!(!len.is_multiple_of(STRIDE));
    i.wrapping_mul(STRIDE) % len
}
