//! Who may hold what has been purged or made invalid, because it was not told: kept over a restart in `[state]`
//! path/missed.json, and with ZooKeeper shared with the other fronts (`/doubts/<id>`, see [`crate::cluster::membership::zk`]), until somebody
//! has had it promise to validate.

use crate::cluster::membership::zk::record::Records;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// So many are told apart; where there are more, everybody who is met for the first time is doubted.
const MOST: usize = 1024;

/// What one process missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Of what the process holds: its boot id or, with a disk, that one's lineage. 0: whichever answers first.
    pub boot: u64,
    /// Another one whenever something more is missed: what was promised before does not count for it.
    pub token: u64,
}

/// What is kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StaleRecord {
    everyone: bool,
    alone: bool,
    nodes: BTreeMap<String, u64>,
}

impl StaleRecord {
    pub fn of_everyone() -> StaleRecord {
        StaleRecord { everyone: true, ..StaleRecord::default() }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Doubts {
    book: Mutex<Book>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    doubts: BTreeMap<String, Owed>,
    everyone: bool,
    /// Something was told while nobody could say who there is.
    alone: bool,
    /// How often that has been so.
    times_alone: u64,
    /// What is still in ZooKeeper and has been paid.
    paid: BTreeMap<String, u64>,
    tokens: (RandomState, u64),
    /// What was last written to disk.
    kept: StaleRecord,
    /// What came after that could not be.
    is_unwritten: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owed {
    doubt: Doubt,
    /// Noted here, and not in ZooKeeper yet.
    own: bool,
}

impl Doubts {
    pub fn new(kept: StaleRecord) -> Doubts {
        let mut book = Book { everyone: kept.everyone, alone: kept.alone, ..Book::default() };
        kept.nodes.iter().for_each(|(id, boot)| _ = book.note(id, *boot));
        book.kept = kept;
        Doubts { book: Mutex::new(book), changes: watch::Sender::new(0) }
    }

    /// The process missed something.
    pub fn note(&self, id: &str, boot: u64) -> u64 {
        let token = self.book().note(id, boot);
        self.changed();
        token
    }

    /// Whether the process owes a promise, by the newest thing that it missed.
    pub fn owed(&self, id: &str, boot: u64) -> Option<u64> {
        self.book()
            .doubts
            .get(id)
            .map(|owed| owed.doubt)
            .filter(|d| [0, d.boot].contains(&boot) || d.boot == 0)
            .map(|d| d.token)
    }

    /// Whether a process that was never met may have missed something.
    pub fn doubts_everyone(&self) -> bool {
        self.book().everyone
    }

    /// It has promised to validate, after it missed what the token stands for.
    pub fn settle(&self, id: &str, token: u64) {
        if self.book().settle(id, |doubt| doubt.token == token) {
            self.changed();
        }
    }

    /// The process under this id is this one: what an earlier one missed is gone with it.
    pub fn met(&self, id: &str, boot: u64) {
        if self.book().settle(id, |doubt| doubt.boot != 0 && doubt.boot != boot) {
            self.changed();
        }
    }

    /// Something is told while nobody can say to whom; ends when ZooKeeper is back and the newcomers are doubted.
    pub fn tells_alone(&self) {
        let mut book = self.book();
        book.times_alone += 1;
        let was = std::mem::replace(&mut book.alone, true);
        drop(book);
        if !was {
            self.changed();
        }
    }

    /// How often that has been so: to be asked before all records are read.
    pub fn times_alone(&self) -> u64 {
        self.book().times_alone
    }

    /// All newcomers are doubted, as they were read after it had been so often. What was told since then is not done with.
    pub fn met_all(&self, times_alone: u64) {
        let mut book = self.book();
        let ends = book.alone && book.times_alone == times_alone;
        book.alone &= !ends;
        drop(book);
        if ends {
            self.changed();
        }
    }

    pub fn is_alone(&self) -> bool {
        self.book().alone
    }

    /// What ZooKeeper holds now.
    pub fn learn(&self, found: &Records<Doubt>) {
        if self.book().learn(found) {
            self.changed();
        }
    }

    /// What ZooKeeper does not hold yet, of those that are registered. The others promise it themselves when they come
    /// back ([`crate::cluster::membership::zk::register`]).
    pub fn to_share(&self, registered: impl Fn(&str) -> Option<u64>) -> Vec<(String, Doubt)> {
        let book = self.book();
        let own = book.doubts.iter().filter(|(_, owed)| owed.own);
        let there = own.filter_map(|(id, Owed { doubt, .. })| {
            let boot = registered(id).filter(|boot| doubt.boot == 0 || doubt.boot == *boot)?;
            Some((id.clone(), Doubt { boot, ..*doubt }))
        });
        there.collect()
    }

    pub fn shared(&self, id: &str, token: u64) {
        let mut book = self.book();
        if let Some(owed) = book.doubts.get_mut(id).filter(|owed| owed.doubt.token == token) {
            owed.own = false;
        }
        drop(book);
        self.changed();
    }

    /// What may be taken out of ZooKeeper, if it is still there by this token.
    pub fn to_unshare(&self) -> Vec<(String, u64)> {
        self.book().paid.iter().map(|(id, token)| (id.clone(), *token)).collect()
    }

    /// It is there no more, or by another token.
    pub fn unshared(&self, id: &str) {
        self.book().paid.remove(id);
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What is to be written to disk.
    pub fn to_keep(&self) -> Option<StaleRecord> {
        let book = self.book();
        let kept = book.to_keep();
        (kept != book.kept).then_some(kept)
    }

    pub fn kept(&self, kept: StaleRecord) {
        let mut book = self.book();
        (book.kept, book.is_unwritten) = (kept, false);
        drop(book);
        self.changed();
    }

    /// It could not be written.
    pub fn not_kept(&self) {
        self.book().is_unwritten = true;
    }

    /// Whether what is to be written could not be the last time.
    pub fn is_unwritten(&self) -> bool {
        self.book().is_unwritten
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn note(&mut self, id: &str, boot: u64) -> u64 {
        self.tokens.1 += 1;
        let token = self.tokens.0.hash_one(self.tokens.1);
        if self.doubts.len() >= MOST && !self.doubts.contains_key(id) {
            self.doubts.clear();
            self.everyone = true;
        }
        self.doubts.insert(id.to_owned(), Owed { doubt: Doubt { boot, token }, own: true });
        token
    }

    fn settle(&mut self, id: &str, is_settled: impl Fn(&Doubt) -> bool) -> bool {
        let Some(owed) = self.doubts.get(id).copied().filter(|owed| is_settled(&owed.doubt)) else { return false };
        self.doubts.remove(id);
        // Also of one that nobody has seen written: it may be on its way to ZooKeeper, and nobody else takes it out there.
        if self.paid.len() < MOST {
            self.paid.insert(id.to_owned(), owed.doubt.token);
        }
        true
    }

    fn learn(&mut self, found: &Records<Doubt>) -> bool {
        let before = self.doubts.clone();
        self.paid.retain(|id, token| found.get(id).is_some_and(|doubt| doubt.token == *token));
        // Somebody else had it promise, after all that it had missed.
        self.doubts.retain(|id, owed| owed.own || found.contains_key(id));
        for (id, doubt) in found.iter().filter(|(id, _)| !self.paid.contains_key(*id)).take(MOST) {
            let owed = self.doubts.entry(id.clone()).or_insert(Owed { doubt: *doubt, own: false });
            // What was noted here meanwhile is newer, and will be written over it.
            if !owed.own || owed.doubt.token == doubt.token {
                *owed = Owed { doubt: *doubt, own: false };
            }
        }
        self.doubts != before
    }

    fn to_keep(&self) -> StaleRecord {
        let nodes = self.doubts.iter().map(|(id, owed)| (id.clone(), owed.doubt.boot)).collect();
        StaleRecord { everyone: self.everyone, alone: self.alone, nodes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(doubts: &Doubts, id: &str, boot: u64) -> Records<Doubt> {
        let shared = doubts.to_share(|of| (of == id).then_some(boot));
        shared.iter().for_each(|(id, doubt)| doubts.shared(id, doubt.token));
        shared.into_iter().collect()
    }

    #[test]
    fn what_was_missed_is_owed_by_that_process_until_it_promises_and_over_a_restart() {
        let doubts = Doubts::default();
        let first = doubts.note("a", 7);
        assert_eq!((doubts.owed("a", 7), doubts.owed("a", 8), doubts.owed("b", 7)), (Some(first), None, None));
        let second = doubts.note("a", 7);
        doubts.settle("a", first);
        assert_eq!(doubts.owed("a", 7), Some(second), "it missed more since");
        let text = serde_json::to_string(&doubts.to_keep().unwrap()).unwrap();
        let again = Doubts::new(serde_json::from_str(&text).unwrap());
        assert!(again.owed("a", 7).is_some() && again.to_keep().is_none());
        doubts.settle("a", second);
        assert_eq!(doubts.to_keep(), None, "as it was before the first");
        again.met("a", 8);
        assert_eq!(again.to_keep(), Some(StaleRecord::default()), "another process missed nothing");
    }

    #[test]
    fn what_is_settled_while_it_is_written_is_taken_out_again() {
        let doubts = Doubts::default();
        let token = doubts.note("n", 7);
        let written: Records<Doubt> = doubts.to_share(|_| Some(7)).into_iter().collect();
        doubts.settle("n", token);
        doubts.shared("n", token);
        assert_eq!(doubts.to_unshare(), [("n".to_owned(), token)]);
        doubts.learn(&written);
        assert_eq!(doubts.owed("n", 7), None, "nor is it owed again when it is read");
        assert_eq!(doubts.to_unshare(), [("n".to_owned(), token)]);
        doubts.unshared("n");
        doubts.learn(&Records::new());
        assert_eq!((doubts.owed("n", 7), doubts.to_unshare().len()), (None, 0));
    }

    #[test]
    fn what_is_told_alone_while_the_newcomers_are_read_is_not_forgotten() {
        let doubts = Doubts::default();
        doubts.tells_alone();
        let before = doubts.times_alone();
        doubts.tells_alone();
        doubts.met_all(before);
        assert!(doubts.is_alone(), "somebody may have come who was read before that");
        doubts.met_all(doubts.times_alone());
        assert!(!doubts.is_alone());
    }

    #[test]
    fn who_was_never_met_owes_whoever_it_is() {
        let doubts = Doubts::default();
        doubts.note("a", 0);
        doubts.met("a", 7);
        assert!(doubts.owed("a", 7).is_some());
    }

    #[test]
    fn more_than_can_be_told_apart_is_everyone() {
        let doubts = Doubts::default();
        (0..=MOST).for_each(|n| _ = doubts.note(&n.to_string(), 1));
        assert!(doubts.doubts_everyone() && doubts.book().doubts.len() <= MOST);
    }

    #[test]
    fn a_doubt_of_one_front_is_everyones_until_one_of_them_has_it_settled() {
        let (a, b) = (Doubts::default(), Doubts::default());
        a.note("n", 7);
        assert!(a.to_share(|_| None).is_empty(), "who has left promises by itself when it comes back");
        let first = found(&a, "n", 7);
        a.learn(&first);
        b.learn(&first);
        assert_eq!(a.owed("n", 7), b.owed("n", 7));
        // It misses more at A while B has it promise.
        let token = b.owed("n", 7).unwrap();
        a.note("n", 7);
        b.settle("n", token);
        assert_eq!(b.to_unshare(), [("n".to_owned(), token)]);
        b.learn(&first);
        assert_eq!(b.owed("n", 7), None, "its own deletion is on its way");
        let second = found(&a, "n", 7);
        b.learn(&second);
        assert!(b.owed("n", 7).is_some() && b.to_unshare().is_empty(), "a newer one stands in its place");
        b.settle("n", second["n"].token);
        a.learn(&Records::new());
        b.learn(&Records::new());
        assert_eq!((a.owed("n", 7), b.owed("n", 7), b.to_unshare().len()), (None, None, 0));
    }
}
