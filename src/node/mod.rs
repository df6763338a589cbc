//! The cache node: a process of its own, one thread, so that a fill needs no lock.
//!
//! Follow a request: [`service`] (the spine), `caller` (may this peer ask?), `incoming` (what it asks), then `collapse`
//! (who fetches), `exchange` (the question to the origin; `answered`: may its answer be stored? `confirm`: what a 304 means),
//! `pump` (the body, into the store), `answer`. `refresh` renews what was served stale; `hit` answers at once what is fresh;
//! `pass` passes on what is never stored. `peer_ask` asks another node before the origin; `asked` answers one; `adopt` takes
//! over from one that ends. `disk` keeps what is stored over a restart (`disk_threads` wait for it, `disk_trouble` gives up), `from_disk` brings it back;
//! `large`: bodies that lie in files of their own (`spill`: on their way there, written by `disk_bodies`; `far`: read from there; `filed`: copied from memory; `midway`:
//! a part of one that still comes). `allowed`: who may read along what a content-addressed store sends. `outdone`: of several answers, which stands. What they share stands in leaves: `ask`, `fill`, `fitting`, `settled`, `body`, `peer`.

mod adopt;
mod allowed;
mod answer;
mod answered;
mod ask;
mod asked;
mod barred;
mod begun;
mod body;
mod caller;
mod collapse;
mod complete;
mod concurrent;
mod confirm;
mod control;
mod counters;
mod disk;
mod disk_bodies;
mod disk_threads;
mod disk_trouble;
mod door;
mod exchange;
mod explain;
mod far;
mod filed;
mod fill;
mod fills;
mod fitting;
mod flow;
mod forgotten;
mod forward;
mod from_disk;
mod hit;
mod incoming;
mod large;
mod line;
mod midway;
mod origin;
mod outdone;
mod outgoing;
mod pass;
mod peer;
mod peer_ask;
mod peers;
mod pump;
mod random;
mod ranged;
mod refresh;
mod refreshes;
mod room;
pub mod run;
mod service;
mod settled;
mod source;
mod spill;
mod strangers;
mod upgrade;
mod withdrawn;

use crate::clock;
use crate::config::Config;
use crate::net::drain::Shutdown;
use crate::policy::{self, Decision, Groups, Marks, Part, Rules, Stored, Terms};
use crate::recent::Recent;
use crate::store::disk::{ForgottenUrl, stays};
use crate::store::{Entry, Shelf, Store, Uncacheable};
use crate::wire::date::Timestamp;
use crate::wire::status::Fwd;
use crate::wire::target::Key;
use fill::Fate;
use forgotten::FetchMoment;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);

/// What the requests of a node share. One thread.
struct CacheNode {
    id: String,
    /// A random number, new at every start.
    boot: u64,
    /// See [`crate::wire::status::hit_line`].
    hit: Box<[u8]>,
    /// In the `Via` of requests that did not come through a front.
    pseudonym: String,
    config: Config,
    shutdown: Shutdown,
    rules: Rules,
    store: Store,
    /// Behind the store.
    disk: Option<Rc<disk::Tier>>,
    uncacheable: Uncacheable<settled::Unstored>,
    /// What other nodes have asked for.
    lent: Recent,
    fills: fills::Fills,
    concurrent: concurrent::Concurrent,
    refreshes: refreshes::Refreshes,
    origins: origin::Origins,
    peers: peers::Peers,
    forgotten: RefCell<forgotten::Forgotten>,
    counters: Rc<counters::NodeCounters>,
    /// See [`answer::through`]; as many as there are reasons.
    not_stored: RefCell<Vec<(Fwd, settled::Unstored, http::HeaderValue)>>,
    /// What was received before is not reused without validation: this node was away and may have missed an invalidation.
    /// Both times are of [`clock::now`], which a step of the system's clock does not move while the process runs.
    doubted_before: Cell<Timestamp>,
    /// Groups that became invalid (RFC 9875).
    groups: RefCell<Groups>,
}

impl CacheNode {
    /// The stored response that the request selects.
    fn lookup(&self, ask: &ask::Ask) -> Option<Arc<Entry>> {
        self.selected(ask, &self.store.get(&ask.key)?)
    }

    /// The same of what is stored under its URL.
    fn selected(&self, ask: &ask::Ask, shelf: &Shelf) -> Option<Arc<Entry>> {
        let answers = |entry: &Entry, part: &Part| {
            policy::parts::wanted(&ask.head, &settled::stored(entry), part, clock::now()).is_some()
        };
        let whole = shelf.select(&ask.head.headers, ask.same_machine);
        if ask.key.is_addressed() {
            // What was stored by other rules was not checked.
            return whole.filter(|entry| entry.terms.marks.has(Marks::ADDRESSED)).cloned();
        }
        whole.or_else(|| shelf.part(&ask.head.headers, ask.same_machine, answers)).cloned()
    }

    /// A stored part of what a request wants whole, where only the rest need be fetched.
    fn begun(&self, ask: &ask::Ask, shelf: Option<&Shelf>, now: Timestamp) -> Option<Arc<Entry>> {
        let shelf = shelf?;
        if !ask.wants_the_whole() || !policy::requests::may_lead(&ask.head) || ask.key.is_addressed() {
            return None;
        }
        let is_usable = |entry: &Entry, part: &Part| {
            policy::parts::rest(&settled::stored(entry), part).is_some()
                && matches!(self.decide(ask, Some(entry), None, now), Decision::Serve { .. })
        };
        shelf.part(&ask.head.headers, ask.same_machine, is_usable).cloned()
    }

    /// `shelf`: what is stored under the URL, whether it was selected or not.
    fn decide(&self, ask: &ask::Ask, entry: Option<&Entry>, shelf: Option<&Shelf>, now: Timestamp) -> Decision {
        let terms = entry.map(|entry| self.terms(ask, entry));
        let stored = entry.zip(terms.as_ref()).map(|(entry, terms)| Stored { terms, ..settled::stored(entry) });
        match policy::decide(&ask.head, stored, now) {
            Decision::Forward { fwd: Fwd::UriMiss } => Decision::Forward { fwd: CacheNode::missed(ask, shelf) },
            decision => decision,
        }
    }

    /// Why nothing of what is stored under the URL was selected (RFC 9211 section 2.2): it is a part that does not suffice,
    /// or other variants. What is for others only is as if it were not there.
    fn missed(ask: &ask::Ask, shelf: Option<&Shelf>) -> Fwd {
        let Some(shelf) = shelf else { return Fwd::UriMiss };
        match shelf.matching(&ask.head.headers, ask.same_machine).next() {
            Some(_) => Fwd::Partial,
            None if shelf.has_any_for(ask.same_machine) => Fwd::VaryMiss,
            None => Fwd::UriMiss,
        }
    }

    /// An entry's terms, in the light of what became invalid since it was received, and of who has answered in this node's place.
    fn terms(&self, ask: &ask::Ask, entry: &Entry) -> Terms {
        match (self.is_in_doubt(&ask.key, entry), ask.is_outlived(&entry.terms)) {
            (true, _) => entry.terms.invalidated(),
            (false, true) => entry.terms.outlived(),
            (false, false) => entry.terms,
        }
    }

    /// As if it had come now, where whoever has answered in this node's place has nothing of it. `None`: it has to be validated all
    /// the same.
    fn as_of_now(&self, ask: &ask::Ask, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        let now = clock::now();
        let is_valid = !self.is_in_doubt(&ask.key, entry);
        (is_valid && ask.is_outlived(&entry.terms) && entry.terms.is_reusable(now))
            .then(|| Arc::new(entry.received_at(now)))
    }

    /// Something that has come since it was received may concern it.
    fn is_in_doubt(&self, key: &Key, entry: &Entry) -> bool {
        self.may_have_missed(entry) || self.is_outdated(key, entry)
    }

    /// The same without a look at which groups it is in.
    fn may_be_in_doubt(&self, entry: &Entry) -> bool {
        self.may_have_missed(entry) || entry.terms.marks.has(Marks::GROUPED)
    }

    fn may_have_missed(&self, entry: &Entry) -> bool {
        entry.terms.received < self.doubted_before.get()
    }

    /// One of its groups became invalid.
    fn is_outdated(&self, key: &Key, entry: &Entry) -> bool {
        let Entry { terms, .. } = entry;
        terms.marks.has(Marks::GROUPED) && self.groups.borrow().outdate(key, entry, terms.received)
    }

    /// To be noted before something is fetched that is stored later.
    fn begins(&self) -> FetchMoment {
        self.forgotten.borrow().now()
    }

    /// What became of the URL since: what was fetched before it was purged or made invalid is not stored.
    fn fate(&self, since: FetchMoment, key: &Key) -> Fate {
        let forgotten = self.forgotten.borrow();
        let outdated = forgotten.now() != since && forgotten.has_any(since, [key.hash(), barred::origin(key)]);
        if outdated { Fate::Forget } else { Fate::Store }
    }

    /// Forgets a URL with all variants, and what is on its way there; whether something was stored.
    fn invalidate(&self, key: &Key) -> bool {
        self.forgotten.borrow_mut().note(key.hash());
        self.peers.bar(key);
        self.fills.forget(key);
        let removed = self.drop_stored(key);
        counters::add(&self.counters.invalidated, u64::from(removed));
        removed
    }

    /// The owner has a newer answer than what is stored here or on its way, and may be asked for it at once.
    fn has_older(&self, key: &Key) -> bool {
        self.forgotten.borrow_mut().note(key.hash());
        self.fills.forget(key);
        self.drop_stored(key)
    }

    /// Whether something was stored, in memory or on disk. To be followed by [`CacheNode::until_kept`] before anybody is answered.
    fn drop_stored(&self, key: &Key) -> bool {
        let on_disk = self.on_disk(key);
        if let Some(disk) = &self.disk {
            disk.forget(key);
        }
        self.store.remove(key) || on_disk
    }

    fn on_disk(&self, key: &Key) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.has(key))
    }

    /// What is on disk of a URL is outdated by what begins to come, and stays so if this process is killed. `selecting`: as
    /// `Disk::outdates` takes it.
    async fn supersede(&self, key: &Key, selecting: Option<&[u8]>) -> Option<ForgottenUrl> {
        let disk = self.disk.as_ref().filter(|disk| disk.outdates(key, selecting))?;
        let before = disk.forget(key)?;
        disk.settled(false).await;
        Some(before)
    }

    /// Stores it, in place of what was superseded.
    fn keep(&self, key: &Key, entry: &Arc<Entry>, before: Option<ForgottenUrl>) {
        self.keep_in_memory(key, entry);
        if let Some(disk) = &self.disk {
            let before = self.replaced(key, entry, before);
            match filed::is_to_be_copied(disk, entry) {
                true => filed::copy(disk, key, entry, before),
                false if self.store.holds(key) => disk.put(key, entry, before),
                false => disk.put_only(key, entry, before),
            }
        }
    }

    /// It is answered with.
    fn touch(&self, entry: &Arc<Entry>, now: Timestamp) {
        entry.touch(now.seconds());
        if entry.waited_to_come_again()
            && let Some(disk) = &self.disk
        {
            filed::put_again(disk, entry);
        }
    }

    /// What is larger than it may be in memory is on disk alone.
    fn keep_in_memory(&self, key: &Key, entry: &Arc<Entry>) {
        match entry.body().is_far() || entry.body().len() <= self.config.cache.max_object {
            true => self.store.put(key, entry.clone()),
            false => _ = self.store.remove(key),
        }
    }

    /// What is on disk is forgotten for it, where it has not been.
    fn replaced(&self, key: &Key, entry: &Entry, before: Option<ForgottenUrl>) -> Option<ForgottenUrl> {
        let selecting = (!entry.vary().is_empty() && entry.part().is_none()).then(|| entry.selecting());
        match &self.disk {
            Some(disk) if before.is_none() => disk.replace(key, selecting),
            _ => before,
        }
    }

    /// The same where only fields and terms are new. To be followed by [`CacheNode::until_kept`].
    fn renew(&self, key: &Key, old: &Entry, new: &Arc<Entry>) {
        if self.disk.is_some() && stays(&old.terms, &new.terms, clock::now()) {
            self.store.put(key, new.clone());
            // Where memory does not take it, it is on the disk or nowhere.
            if self.store.holds(key) {
                return;
            }
        }
        self.keep(key, new, None);
    }

    /// Waits until what became invalid stays so if this process is killed; whether it does.
    async fn until_kept(&self) -> bool {
        match &self.disk {
            Some(disk) => disk.settled(false).await,
            None => true,
        }
    }

    /// Groups of `of`'s origin became invalid, and so does what is on its way and may be in one of them.
    fn invalidate_groups(&self, of: &Key, names: &[String]) {
        self.forgotten.borrow_mut().note(barred::origin(of));
        self.peers.bar_origin(of);
        self.groups.borrow_mut().invalidate(of, names, clock::now());
        self.disk.iter().for_each(|disk| disk.invalidate_groups());
        self.fills.forget_groups(of, names);
        counters::add(&self.counters.invalidated, 1);
    }

    /// Waits until what comes counts as received after a group became invalid: the two are compared in milliseconds, and
    /// whoever is answered after this may ask again at once.
    async fn later(&self) {
        let now = clock::now();
        // A clock that does not move on holds up nobody.
        for _ in 0..4 {
            tokio::time::sleep(MILLISECOND).await;
            if clock::now() > now {
                return;
            }
        }
    }

    /// Nothing received until now is reused without validation.
    fn doubt_all(&self) {
        self.forgotten.borrow_mut().note_all();
        self.fills.forget_all();
        self.disk.iter().for_each(|disk| disk.doubt_all());
        self.doubted_before.set(Timestamp(clock::now().0.saturating_add(1)));
    }
}
