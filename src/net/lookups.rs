//! Lookups under way. The system's resolver takes a thread for each, for as long as the servers of a name let it wait, and
//! cannot be told to stop: so that names whose servers are silent hold up no other, there is a bound for all and one for each
//! domain, of both a share for each client, and a turn for who comes new.
//!
//! A lookup is *young* for a second, and counts among few; later it counts among the *old*, of which there are many. So
//! another gets its turn within a second. Who waits is taken of the client that has the fewest under way, so that one who asks for
//! names of ever new silent servers waits for himself alone; then from the domain that has the fewest, the last to come first: the one
//! before has waited in vain for longer, and may be gone.

use super::descriptors::{Lack, are_left, lack_of};
use super::hosts::Hosts;
use super::shares::{ClientId, gives_way, may_have_more};
use crate::aside::aside;
use crate::clock::{Tick, tick};
use crate::wire::authority::without_root;
use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Why a name has no address.
#[derive(Clone, Debug)]
pub(super) enum Unresolved {
    /// As the system's resolver says.
    Told(Arc<str>),
    /// More names are waited for than [`WAITING`].
    Crowded,
    /// What we have none left of, so that nobody was asked.
    Lacking(Lack),
}

pub(super) type LookupResult = Result<Arc<[IpAddr]>, Unresolved>;

#[derive(Clone)]
pub(super) struct LookupAnswer {
    pub(super) at: Tick,
    pub(super) found: LookupResult,
}

/// Young ones at one time.
const YOUNG: usize = 40;
/// All that are under way, each on a thread.
const MOST: usize = 440;
/// Of one domain.
const OF_DOMAIN: usize = 16;
/// Who waits for a turn.
const WAITING: usize = 8192;
/// Files that a lookup may have open at one time.
const FILES: usize = 4;
/// Of those who wait for one name, whose shares it may take from.
const ASKERS: usize = 8;
const YOUTH: Duration = Duration::from_secs(1);

/// Of one thread.
#[derive(Default)]
pub(super) struct Lookups(Mutex<LookupState>);

#[derive(Default)]
struct LookupState {
    young: usize,
    running: usize,
    clients: HashMap<ClientId, ClientLookups>,
    /// For whom those are that each domain has.
    domains: HashMap<Box<str>, Vec<ClientId>>,
    waiting: Vec<Lookup>,
    hosts: Hosts,
}

/// What one client has under way.
#[derive(Clone, Copy, Default)]
struct ClientLookups {
    young: usize,
    running: usize,
}

/// One name to look up.
pub(super) struct Lookup {
    host: Box<str>,
    domain: Box<str>,
    /// Who asks for it, the first one first.
    askers: Vec<ClientId>,
    tell: watch::Sender<Option<LookupAnswer>>,
}

/// What a lookup takes of the bounds, for as long as its thread is busy.
struct RunningLookup {
    lookups: Arc<Lookups>,
    domain: Box<str>,
    of: ClientId,
    is_young: bool,
}

impl Lookup {
    pub(super) fn new(host: &str, of: ClientId, tell: watch::Sender<Option<LookupAnswer>>) -> Lookup {
        Lookup { host: host.into(), domain: domain(host).into(), askers: vec![of], tell }
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
            // Needs no server. The system's resolver does not find a name there that ends with a dot.
            tokio::spawn(look_up(without_root(&lookup.host).into(), lookup.tell));
            return;
        }
        // Those who wait had to when the last lookup began or ended, so none of them is before it.
        if let Some((_, of)) = state.turn(&lookup) {
            let running = this.run(&mut state, &lookup, of);
            drop(state);
            tokio::spawn(follow(running, lookup));
            return;
        }
        if state.waiting.len() >= WAITING {
            state.waiting.retain(|lookup| !lookup.is_abandoned());
        }
        if state.waiting.len() >= WAITING {
            let held: Vec<ClientId> =
                state.waiting.iter().filter_map(|lookup| lookup.askers.first().copied()).collect();
            let of = lookup.askers.first().copied().unwrap_or(ClientId::NOBODY);
            state.waiting.remove(gives_way(&held, WAITING, of).unwrap_or(0));
        }
        state.waiting.push(lookup);
    }

    /// One more asks for a name that is being looked up: where that waits for its turn, it may take this one's.
    pub(super) fn join(this: &Arc<Lookups>, host: &str, of: ClientId) {
        let mut state = this.state();
        let Some(lookup) = state.waiting.iter_mut().find(|lookup| *lookup.host == *host) else { return };
        if lookup.askers.len() < ASKERS && !lookup.askers.contains(&of) {
            lookup.askers.push(of);
            drop(state);
            this.go_on();
        }
    }

    /// Gives those their turn that there is room for.
    fn go_on(self: &Arc<Lookups>) {
        while let Some((running, next)) = self.next() {
            tokio::spawn(follow(running, next));
        }
    }

    fn next(self: &Arc<Lookups>) -> Option<(RunningLookup, Lookup)> {
        let mut state = self.state();
        let (next, of) = state.next()?;
        Some((self.run(&mut state, &next, of), next))
    }

    fn run(self: &Arc<Lookups>, state: &mut LookupState, next: &Lookup, of: ClientId) -> RunningLookup {
        state.young += 1;
        state.running += 1;
        let own = state.clients.entry(of).or_default();
        (own.young, own.running) = (own.young + 1, own.running + 1);
        state.domains.entry(next.domain.clone()).or_default().push(of);
        RunningLookup { lookups: self.clone(), domain: next.domain.clone(), of, is_young: true }
    }

    fn state(&self) -> MutexGuard<'_, LookupState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LookupState {
    /// With whose share it takes from.
    fn next(&mut self) -> Option<(Lookup, ClientId)> {
        if self.young >= YOUNG || self.running >= MOST || self.waiting.is_empty() {
            return None;
        }
        self.waiting.retain(|lookup| !lookup.is_abandoned());
        let last_first = self.waiting.iter().enumerate().rev();
        let may = last_first.filter_map(|(at, lookup)| self.turn(lookup).map(|(turn, of)| (turn, at, of)));
        let (_, at, of) = may.min_by_key(|(turn, ..)| *turn)?;
        Some((self.waiting.remove(at), of))
    }

    /// The least is the first to have its turn: what its client has under way, and its domain. `None`: one of them has its share.
    fn turn(&self, lookup: &Lookup) -> Option<((usize, usize), ClientId)> {
        let of_domain = self.domains.get(&lookup.domain).map_or(&[][..], |of| of);
        let may = |of: &ClientId| {
            let own = self.clients.get(of).copied().unwrap_or_default();
            let here = of_domain.iter().filter(|other| *other == of).count();
            let may = may_have_more(*of, own.young, YOUNG - self.young)
                && may_have_more(*of, own.running, MOST - self.running)
                && may_have_more(*of, here, OF_DOMAIN.saturating_sub(of_domain.len()));
            may.then_some(((own.running, of_domain.len()), *of))
        };
        lookup.askers.iter().filter_map(may).min_by_key(|(turn, _)| *turn)
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
    let found = match aside("lookup", move || (&*host, 0).to_socket_addrs()).await {
        Ok(Ok(addresses)) => gather(addresses.map(|a| a.ip())),
        // Without a file the resolver finds nothing, and may say that it does not know why.
        Ok(Err(e)) => Err(match lack_of(&e) {
            Some(lack) => Unresolved::Lacking(lack),
            None if !are_left(FILES) => Unresolved::Lacking(Lack::Files),
            None => Unresolved::Told(reason(&e).into()),
        }),
        Err(_) => Err(Unresolved::Lacking(Lack::Threads)),
    };
    tell.send_replace(Some(LookupAnswer { at: tick(), found }));
}

impl RunningLookup {
    fn grows_old(&mut self) {
        if std::mem::take(&mut self.is_young) {
            let mut state = self.lookups.state();
            state.young -= 1;
            if let Some(own) = state.clients.get_mut(&self.of) {
                own.young -= 1;
            }
            drop(state);
            self.lookups.go_on();
        }
    }
}

impl Drop for RunningLookup {
    fn drop(&mut self) {
        let mut state = self.lookups.state();
        state.young -= usize::from(self.is_young);
        state.running -= 1;
        if let Some(own) = state.clients.get_mut(&self.of) {
            own.young -= usize::from(self.is_young);
            own.running -= 1;
            if own.running == 0 {
                state.clients.remove(&self.of);
            }
        }
        if let Some(of_domain) = state.domains.get_mut(&self.domain) {
            if let Some(at) = of_domain.iter().position(|of| *of == self.of) {
                of_domain.swap_remove(at);
            }
            if of_domain.is_empty() {
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
    let host = without_root(host);
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
    if distinct.is_empty() { Err(Unresolved::Told("it has no address".into())) } else { Ok(distinct.into()) }
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
        state.domains.insert("a.test".into(), vec![ClientId::OURS; 3]);
        state.domains.insert("full.test".into(), vec![ClientId::OURS; OF_DOMAIN]);
        let mut askers = Vec::new();
        for host in ["1.a.test", "1.b.test", "2.b.test", "1.full.test", "gone.c.test"] {
            let (tx, rx) = watch::channel(None);
            state.waiting.push(Lookup::new(host, ClientId::OURS, tx));
            askers.extend((host != "gone.c.test").then(|| rx.clone()));
            askers.push(rx);
        }
        let order: Vec<_> = std::iter::from_fn(|| state.next()).map(|(next, _)| next.host.to_string()).collect();
        assert_eq!(order, ["2.b.test", "1.b.test", "1.a.test"]);
        assert_eq!(state.waiting.len(), 1, "that of the domain which has its share");
    }

    #[test]
    fn the_next_is_of_the_client_with_the_fewest_under_way_and_none_takes_all() {
        let (greedy, other) = (ClientId::told(1), ClientId::told(2));
        let (lookups, mut askers, mut running) = (Arc::new(Lookups::default()), Vec::new(), Vec::new());
        let mut wait = |host: String, of| {
            let (tx, rx) = watch::channel(None);
            lookups.state().waiting.push(Lookup::new(&host, of, tx));
            askers.extend([rx.clone(), rx]);
        };
        wait("first.other.test".into(), other);
        (0..100).for_each(|n| wait(format!("a.silent{n}.test"), greedy));
        wait("shared.test".into(), greedy);
        running.extend(std::iter::from_fn(|| lookups.next()));
        let of_other = running.iter().filter(|(running, _)| running.of == other).count();
        assert_eq!((running.len() - of_other, of_other), (YOUNG - 5, 1), "the share of one of two");
        let mut later = |of| {
            let (tx, rx) = watch::channel(None);
            lookups.state().waiting.push(Lookup::new("later.other.test", of, tx));
            askers.extend([rx.clone(), rx]);
            lookups.next()
        };
        assert!(later(greedy).is_none());
        assert!(later(other).is_some_and(|(running, _)| running.of == other), "though it came last of all");
        drop(running);
        let state = lookups.state();
        assert!(state.clients.is_empty() && state.domains.is_empty(), "all is given back");
    }
}
