//! Lookups under way. The system's resolver takes a thread for each, for as long as the servers of a name let it wait, and
//! cannot be told to stop: so that names whose servers are silent hold up no other, there is a bound for all, one for each
//! domain, and a turn for who comes new.
//!
//! A lookup is *young* for a second, and counts among few; later it counts among the *old*, of which there are many. So
//! another gets its turn within a second, unless more than 40 names of other silent servers come in each. Who waits is taken
//! from the domain that has the fewest under way, the last to come first: the one before has waited in vain for longer, and
//! may be gone.

use super::hosts::Hosts;
use crate::clock::{Tick, tick};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Why a name has no address.
#[derive(Clone, Debug)]
pub(super) struct Unresolved(pub(super) Arc<str>);

pub(super) type LookupResult = Result<Arc<[IpAddr]>, Unresolved>;

#[derive(Clone)]
pub(super) struct LookupAnswer {
    pub(super) at: Tick,
    pub(super) found: LookupResult,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Young ones at one time.
const YOUNG: usize = 40;
/// All that are under way; the runtime has 512 threads, and those of the hosts file need one.
const MOST: usize = 440;
/// Of one domain.
const OF_DOMAIN: usize = 16;
/// Who waits for a turn.
const WAITING: usize = 8192;
const YOUTH: Duration = Duration::from_secs(1);

/// Of one thread.
#[derive(Default)]
pub(super) struct Lookups(Mutex<LookupState>);

#[derive(Default)]
struct LookupState {
    young: usize,
    running: usize,
    domains: HashMap<Box<str>, usize>,
    waiting: Vec<Lookup>,
    hosts: Hosts,
}

/// One name to look up.
pub(super) struct Lookup {
    host: Box<str>,
    domain: Box<str>,
    tell: watch::Sender<Option<LookupAnswer>>,
}

/// What a lookup takes of the bounds, for as long as its thread is busy.
struct RunningLookup {
    lookups: Arc<Lookups>,
    domain: Box<str>,
    is_young: bool,
}

impl Lookup {
    pub(super) fn new(host: &str, tell: watch::Sender<Option<LookupAnswer>>) -> Lookup {
        Lookup { host: host.into(), domain: domain(host).into(), tell }
    }

    /// Nobody waits for it but the cache that it would be kept in.
    fn is_abandoned(&self) -> bool {
        self.tell.receiver_count() <= 1
    }
}

impl Lookups {
    /// Now, or when there is room. On a task of its own, so that an asker who leaves takes nothing from the others.
    pub(super) fn begin(this: &Arc<Lookups>, lookup: Lookup) {
        let mut state = this.state();
        if state.hosts.has(&lookup.host) {
            // Needs no server.
            tokio::spawn(look_up(lookup.host, lookup.tell));
            return;
        }
        if state.waiting.len() >= WAITING {
            state.waiting.retain(|lookup| !lookup.is_abandoned());
        }
        if state.waiting.len() >= WAITING {
            state.waiting.remove(0);
        }
        state.waiting.push(lookup);
        drop(state);
        this.go_on();
    }

    /// Gives those their turn that there is room for.
    fn go_on(self: &Arc<Lookups>) {
        while let Some((running, next)) = self.next() {
            tokio::spawn(follow(running, next));
        }
    }

    fn next(self: &Arc<Lookups>) -> Option<(RunningLookup, Lookup)> {
        let mut state = self.state();
        let next = state.next()?;
        state.young += 1;
        state.running += 1;
        *state.domains.entry(next.domain.clone()).or_default() += 1;
        Some((RunningLookup { lookups: self.clone(), domain: next.domain.clone(), is_young: true }, next))
    }

    fn state(&self) -> MutexGuard<'_, LookupState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LookupState {
    fn next(&mut self) -> Option<Lookup> {
        if self.young >= YOUNG || self.running >= MOST || self.waiting.is_empty() {
            return None;
        }
        self.waiting.retain(|lookup| !lookup.is_abandoned());
        let under_way = |lookup: &Lookup| self.domains.get(&lookup.domain).copied().unwrap_or(0);
        let last_first = self.waiting.iter().enumerate().rev().map(|(at, lookup)| (under_way(lookup), at));
        let (_, at) = last_first.filter(|(n, _)| *n < OF_DOMAIN).min_by_key(|(n, _)| *n)?;
        Some(self.waiting.remove(at))
    }
}

async fn follow(mut running: RunningLookup, lookup: Lookup) {
    let mut looking = tokio::spawn(look_up(lookup.host, lookup.tell));
    if timeout(YOUTH, &mut looking).await.is_err() {
        running.grows_old();
        _ = looking.await;
    }
}

async fn look_up(host: Box<str>, tell: watch::Sender<Option<LookupAnswer>>) {
    let found = match tokio::net::lookup_host((&*host, 0)).await {
        Ok(addresses) => gather(addresses.map(|a| a.ip())),
        Err(e) => Err(Unresolved(reason(&e).into())),
    };
    tell.send_replace(Some(LookupAnswer { at: tick(), found }));
}

impl RunningLookup {
    fn grows_old(&mut self) {
        if std::mem::take(&mut self.is_young) {
            self.lookups.state().young -= 1;
            self.lookups.go_on();
        }
    }
}

impl Drop for RunningLookup {
    fn drop(&mut self) {
        let mut state = self.lookups.state();
        state.young -= usize::from(self.is_young);
        state.running -= 1;
        if let Some(n) = state.domains.get_mut(&self.domain) {
            *n -= 1;
            if *n == 0 {
                state.domains.remove(&self.domain);
            }
        }
        let others_wait = !state.waiting.is_empty();
        drop(state);
        // No task can be made any more where the runtime is about to end.
        if others_wait && tokio::runtime::Handle::try_current().is_ok() {
            self.lookups.go_on();
        }
    }
}

/// The part of a name that one owner has, as far as its form tells: two labels, three below a country's `co`, `com` and so on.
fn domain(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut labels = host.rsplit('.');
    let (top, second) = (labels.next().unwrap_or(""), labels.next().unwrap_or(""));
    let depth = if top.len() == 2 && second.len() <= 3 { 3 } else { 2 };
    let dots = host.bytes().enumerate().rev().filter(|(_, b)| *b == b'.');
    dots.map(|(at, _)| at).nth(depth - 1).map_or(host, |at| &host[at + 1..])
}

fn gather(addresses: impl Iterator<Item = IpAddr>) -> LookupResult {
    let mut distinct = Vec::new();
    for ip in addresses.take(MOST_ADDRESSES) {
        if !distinct.contains(&ip) {
            distinct.push(ip);
        }
    }
    if distinct.is_empty() { Err(Unresolved("it has no address".into())) } else { Ok(distinct.into()) }
}

/// Of one name that are tried.
const MOST_ADDRESSES: usize = 128;

/// What the system says, without the preface that the standard library puts before it.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_one_owner_has() {
        for (host, expected) in [
            ("a.b.example.com", "example.com"),
            ("example.com.", "example.com"),
            ("www.example.co.uk", "example.co.uk"),
            ("www.example.de", "example.de"),
            ("host", "host"),
            ("", ""),
        ] {
            assert_eq!(domain(host), expected, "{host}");
        }
    }

    #[test]
    fn the_next_is_of_the_domain_with_the_fewest_under_way_the_last_to_come_first() {
        let mut state = LookupState::default();
        state.domains.insert("a.test".into(), 3);
        state.domains.insert("full.test".into(), OF_DOMAIN);
        let mut askers = Vec::new();
        for host in ["1.a.test", "1.b.test", "2.b.test", "1.full.test", "gone.c.test"] {
            let (tx, rx) = watch::channel(None);
            state.waiting.push(Lookup::new(host, tx));
            askers.extend((host != "gone.c.test").then(|| rx.clone()));
            askers.push(rx);
        }
        let order: Vec<_> = std::iter::from_fn(|| state.next()).map(|next| next.host.to_string()).collect();
        assert_eq!(order, ["2.b.test", "1.b.test", "1.a.test"]);
        assert_eq!(state.waiting.len(), 1, "that of the domain which has its share");
    }
}
