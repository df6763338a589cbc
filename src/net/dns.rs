//! Names to addresses: the system's resolver behind a short, bounded cache. Lookups of one name at one time are one.

use super::lookups::{Lookup, LookupAnswer, LookupResult, Lookups, Unresolved};
use super::shares::ClientId;
use crate::clock::tick;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Names that are remembered at one time.
const NAMES: usize = 4096;
/// How long a failure is remembered.
const FAILURE: Duration = Duration::from_secs(1);

/// A resolver; one per thread.
pub(super) struct Dns {
    keep: Duration,
    room: usize,
    /// A lookup under way has no answer yet; whoever asks meanwhile waits for the same one.
    names: RefCell<HashMap<Box<str>, watch::Receiver<Option<LookupAnswer>>>>,
    lookups: Arc<Lookups>,
}

impl Dns {
    pub(super) fn new(keep: Duration) -> Dns {
        Dns { keep, room: NAMES, names: RefCell::default(), lookups: Arc::default() }
    }

    /// The addresses of `host`, in the order in which the system prefers them; never empty. A literal (IPv6 with or
    /// without brackets) costs no lookup. `of`: whose share of the lookups it takes from.
    pub(super) async fn resolve(&self, host: &str, of: ClientId) -> LookupResult {
        if let Some(ip) = literal(host) {
            return Ok(Arc::from([ip]));
        }
        let mut lookup = self.lookup(host, of);
        let answer = lookup.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        // It has given way to others.
        answer.map_or(Err(Unresolved::Crowded), |a| a.found)
    }

    /// The lookup that answers a question asked now: one that is kept, one under way, or a new one.
    fn lookup(&self, host: &str, of: ClientId) -> watch::Receiver<Option<LookupAnswer>> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(host).filter(|known| self.usable(known)) {
            let known = known.clone();
            if known.borrow().is_none() {
                Lookups::join(&self.lookups, host, of);
            }
            return known;
        }
        if names.len() >= self.room {
            names.retain(|_, known| self.usable(known));
        }
        if names.len() >= self.room {
            // What nobody may be waiting for first; a lookup that is forgotten here is still somebody's.
            let answered = names.iter().find(|(_, known)| known.borrow().is_some()).map(|(name, _)| name.clone());
            if let Some(victim) = answered.or_else(|| names.keys().next().cloned()) {
                names.remove(&victim);
            }
        }
        let (tx, rx) = watch::channel(None);
        names.insert(host.into(), rx.clone());
        drop(names);
        Lookups::begin(&self.lookups, Lookup::new(host, of, tx));
        rx
    }

    fn usable(&self, known: &watch::Receiver<Option<LookupAnswer>>) -> bool {
        match &*known.borrow() {
            Some(LookupAnswer { at, found: Ok(_) }) => tick().since(*at) < self.keep,
            Some(LookupAnswer { at, found: Err(Unresolved::Told(_)) }) => tick().since(*at) < FAILURE,
            Some(LookupAnswer { .. }) => false,
            // Under way, unless the task died or it was dropped because nobody waited.
            None => known.has_changed().is_ok(),
        }
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_literal_costs_no_lookup() {
        let dns = Dns::new(KEEP);
        for (host, ip) in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1")]
        {
            assert_eq!(dns.resolve(host, ClientId::OURS).await.unwrap()[..], [ip.parse::<IpAddr>().unwrap()]);
        }
        assert!(dns.names.borrow().is_empty());
    }

    #[tokio::test]
    async fn askers_at_one_time_and_later_share_one_lookup() {
        let dns = Dns::new(KEEP);
        let (a, b) = tokio::join!(dns.resolve("localhost", ClientId::OURS), dns.resolve("localhost", ClientId::OURS));
        let (a, b, c) = (a.unwrap(), b.unwrap(), dns.resolve("localhost", ClientId::OURS).await.unwrap());
        assert!(Arc::ptr_eq(&a, &b) && Arc::ptr_eq(&b, &c));
        assert!(!a.is_empty());
    }

    #[tokio::test]
    async fn a_name_with_a_dot_at_its_end_has_the_addresses_of_the_name() {
        let dns = Dns::new(KEEP);
        for name in ["localhost.", "LOCALHOST."] {
            let (dotted, plain) =
                (dns.resolve(name, ClientId::OURS).await, dns.resolve("localhost", ClientId::OURS).await);
            assert_eq!(dotted.unwrap(), plain.unwrap(), "{name}");
        }
    }

    #[tokio::test]
    async fn an_asker_who_leaves_takes_nothing_from_the_next() {
        let dns = Dns::new(KEEP);
        let mut left = Box::pin(dns.resolve("localhost", ClientId::OURS));
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(left.as_mut().poll(cx).is_pending())).await);
        drop(left);
        dns.resolve("localhost", ClientId::OURS).await.unwrap();
        assert_eq!(dns.names.borrow().len(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_is_too_old_is_asked_for_again() {
        let dns = Dns::new(Duration::ZERO);
        let (a, b) = (
            dns.resolve("localhost", ClientId::OURS).await.unwrap(),
            dns.resolve("localhost", ClientId::OURS).await.unwrap(),
        );
        assert!(!Arc::ptr_eq(&a, &b));
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_an_error_that_is_remembered() {
        let dns = Dns::new(KEEP);
        let (a, b) = (
            dns.resolve("a..invalid", ClientId::OURS).await.unwrap_err(),
            dns.resolve("a..invalid", ClientId::OURS).await.unwrap_err(),
        );
        assert!(matches!((&a, &b), (Unresolved::Told(a), Unresolved::Told(b)) if Arc::ptr_eq(a, b)), "{a:?} {b:?}");
    }

    #[tokio::test]
    async fn the_cache_does_not_grow_beyond_its_room() {
        let dns = Dns { room: 3, ..Dns::new(KEEP) };
        for i in 0..9 {
            let _ = dns.resolve(&format!("a..{i}"), ClientId::OURS).await;
            assert!(dns.names.borrow().len() <= 3);
        }
    }
}
