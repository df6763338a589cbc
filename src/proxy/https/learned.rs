//! What was learned not long ago and gets tunnels for it: which clients have refused our certificate for a host, and which origins
//! have not proved who they are. The time is an argument.

use crate::clock::Tick;
use crate::net::shares::ClientId;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// So much of a kind is remembered; what ends first makes room, of the client that it has most of.
const MOST: usize = 4096;

/// Who refuses, and where. Another program at the same address is another client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// `None`: it came by a Unix socket.
    pub address: Option<IpAddr>,
    /// [`crate::wire::client_hello::ClientHello::program`].
    pub program: u64,
    /// A hash of host and port.
    pub host: u64,
}

impl Refusal {
    pub fn of(&self) -> ClientId {
        self.address.map_or(ClientId::OURS, ClientId::at)
    }
}

/// What of a kind still counts.
#[derive(Debug)]
pub struct Learned<K>(HashMap<K, Lesson>);

#[derive(Clone, Copy, Debug)]
struct Lesson {
    until: Tick,
    /// By whose doing it was learned.
    by: ClientId,
}

impl<K> Default for Learned<K> {
    fn default() -> Learned<K> {
        Learned(HashMap::new())
    }
}

impl<K: Copy + Eq + Hash> Learned<K> {
    /// From now on, until then; whether it is news.
    pub fn note(&mut self, what: K, by: ClientId, now: Tick, until: Tick) -> bool {
        if until <= now {
            return false;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&what) {
            self.make_room(now);
        }
        self.0.insert(what, Lesson { until, by }).is_none_or(|before| before.until <= now)
    }

    fn make_room(&mut self, now: Tick) {
        self.0.retain(|_, lesson| lesson.until > now);
        if self.0.len() < MOST {
            return;
        }
        let most = has_most(self.0.values().map(|lesson| lesson.by));
        let its = self.0.iter().filter(|(_, lesson)| Some(lesson.by) == most);
        if let Some(first) = its.min_by_key(|(_, lesson)| lesson.until).map(|(what, _)| *what) {
            self.0.remove(&first);
        }
    }

    pub fn has(&self, what: &K, now: Tick) -> bool {
        self.left(what, now).is_some()
    }

    /// For so long.
    pub fn left(&self, what: &K, now: Tick) -> Option<Duration> {
        self.0.get(what).and_then(|lesson| lesson.left(now))
    }

    /// What still counts, and for how long.
    pub fn all(&self, now: Tick) -> impl Iterator<Item = (&K, Duration)> {
        self.0.iter().filter_map(move |(what, lesson)| Some((what, lesson.left(now)?)))
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.len()
    }
}

impl Lesson {
    fn left(&self, now: Tick) -> Option<Duration> {
        (self.until > now).then(|| self.until.since(now))
    }
}

/// Who occurs most often.
fn has_most(all: impl Iterator<Item = ClientId>) -> Option<ClientId> {
    let mut counts: HashMap<ClientId, usize> = HashMap::new();
    all.for_each(|of| *counts.entry(of).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(of, _)| of)
}

/// After so many handshakes in a row behind which nothing was asked, nothing ever will be: who compares our certificate with one
/// that he knows may do so when TLS is content with it.
const IN_VAIN: u32 = 3;

/// Who has left behind a handshake without a request, and how often since the last one.
#[derive(Debug, Default)]
pub struct InVain(HashMap<Refusal, u32>);

impl InVain {
    /// Once more; whether this is as good as a refusal.
    pub fn note(&mut self, who: Refusal) -> bool {
        if self.0.len() >= MOST && !self.0.contains_key(&who) {
            let most = has_most(self.0.keys().map(Refusal::of));
            self.0.retain(|refusal, _| Some(refusal.of()) != most);
        }
        let times = self.0.entry(who).or_default();
        *times += 1;
        let is_enough = *times >= IN_VAIN;
        if is_enough {
            self.0.remove(&who);
        }
        is_enough
    }

    /// It has asked something.
    pub fn forget(&mut self, who: &Refusal) {
        if !self.0.is_empty() {
            self.0.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_three_times_without_a_request_refuses_and_a_request_is_forgiveness() {
        let mut in_vain = InVain::default();
        assert_eq!([1, 2, 1, 1].map(|program| in_vain.note(refusal(program))), [false, false, false, true]);
        assert!(!in_vain.note(refusal(1)), "it begins anew");
        assert!(!in_vain.note(refusal(2)));
        in_vain.forget(&refusal(2));
        assert_eq!([2, 2, 2].map(|program| in_vain.note(refusal(program))), [false, false, true]);
        (10..10 + 3 * MOST as u64).for_each(|program| _ = in_vain.note(refusal(program)));
        assert!(in_vain.0.len() <= MOST);
    }

    fn refusal(program: u64) -> Refusal {
        Refusal { address: Some([10, 0, 0, 1].into()), program, host: 1 }
    }

    fn of_another(program: u64) -> Refusal {
        Refusal { address: Some([10, 0, 0, 2].into()), ..refusal(program) }
    }

    fn note(learned: &mut Learned<Refusal>, refusal: Refusal, now: Tick, until: Tick) -> bool {
        learned.note(refusal, refusal.of(), now, until)
    }

    #[test]
    fn one_client_pushes_out_nothing_of_another() {
        let (mut learned, mut in_vain) = (Learned::default(), InVain::default());
        note(&mut learned, of_another(1), Tick(0), Tick(50));
        assert_eq!([1, 1].map(|program| in_vain.note(of_another(program))), [false, false]);
        for n in 0..3 * MOST as u64 {
            note(&mut learned, refusal(n), Tick(0), Tick(100 + n));
            in_vain.note(refusal(n));
        }
        assert!(learned.has(&of_another(1), Tick(1)), "though it ends first");
        assert!(in_vain.note(of_another(1)), "the third time");
        assert!(learned.count() <= MOST && in_vain.0.len() <= MOST);
    }

    #[test]
    fn a_refusal_is_of_one_program_at_one_address_and_one_host_and_ends() {
        let mut learned = Learned::default();
        assert!(note(&mut learned, refusal(1), Tick(5), Tick(10)));
        assert!(!note(&mut learned, refusal(1), Tick(6), Tick(11)), "no news");
        for (other, known) in [
            (refusal(1), true),
            (refusal(2), false),
            (Refusal { address: Some([10, 0, 0, 2].into()), ..refusal(1) }, false),
            (Refusal { address: None, ..refusal(1) }, false),
            (Refusal { host: 2, ..refusal(1) }, false),
        ] {
            assert_eq!(learned.has(&other, Tick(10)), known, "{other:?}");
            assert!(!learned.has(&other, Tick(11)));
        }
        assert!(note(&mut learned, refusal(1), Tick(11), Tick(20)), "news again");
        assert!(
            !note(&mut learned, refusal(3), Tick(5), Tick(5)) && !learned.has(&refusal(3), Tick(5)),
            "none is learned"
        );
    }

    #[test]
    fn so_many_are_remembered_and_the_first_to_end_goes() {
        let mut learned = Learned::default();
        for n in 0..MOST as u64 + 10 {
            note(&mut learned, refusal(n), Tick(0), Tick(100 + n));
        }
        assert_eq!(learned.count(), MOST);
        assert!(!learned.has(&refusal(9), Tick(1)) && learned.has(&refusal(10), Tick(1)));
        note(&mut learned, refusal(1 << 40), Tick(100_000), Tick(100_001));
        assert_eq!(learned.count(), 1, "what has ended makes room");
    }
}
