//! Several fetches of one URL may run at one time (`collapse`): the answer that came first stands while it is fresh, since other
//! nodes and clients have it, and an older one never takes the place of a younger one.

use super::CacheNode;
use super::ask::Ask;
use super::fill::{Fate, Fill, FillHead, FillStage};
use super::fitting::{fits, is_fresh};
use super::settled::Unstored;
use crate::clock;
use crate::policy::variants::Selection;
use crate::policy::{self, Decision, Marks};
use crate::store::{Entry, Then};
use crate::wire::date::Timestamp;
use crate::wire::target::Key;
use std::rc::Rc;
use std::sync::Arc;

/// What is stored now and answers in place of what has come for a question of `sent`, generated at `born`. Not what that
/// question was to validate.
pub fn by_stored(
    node: &CacheNode,
    ask: &Ask,
    validated: Option<&Entry>,
    (sent, born): (Timestamp, Timestamp),
) -> Option<Arc<Entry>> {
    // What its store lets this client have is this client's, whatever it let others have.
    if ask.key.is_addressed() {
        return None;
    }
    let is_other = |entry: &Arc<Entry>| !validated.is_some_and(|validated| std::ptr::eq(validated, &**entry));
    let entry = node.lookup(ask).filter(|entry| entry.part().is_none() && is_other(entry))?;
    let is_served = || matches!(node.decide(ask, Some(&entry), None, clock::now()), Decision::Serve { .. });
    let answers = policy::requests::may_ask_peer(&ask.head) && is_served();
    policy::stands(&entry.terms, answers, sent, born).then_some(entry)
}

/// Whether this node has something by its own right that it received since then: what the owner lends by an answer to a question of
/// before takes no place of that.
pub fn by_own(node: &CacheNode, ask: &Ask, sent: Timestamp) -> bool {
    node.lookup(ask).is_some_and(|entry| is_own_since(&entry, sent) && entry.terms.is_fresh(clock::now()))
}

fn is_own_since(entry: &Entry, sent: Timestamp) -> bool {
    !entry.terms.marks.has(Marks::LENT) && entry.terms.received > sent
}

/// Whether another answer is on its way that may be read along.
pub fn by_what_comes(node: &CacheNode, ask: &Ask, own: &Rc<Fill>) -> bool {
    let (wanted, limit) = (Selection::of(&ask.head.headers), node.config.timeouts.collapse);
    let is_like = |fill: &Rc<Fill>| {
        !Rc::ptr_eq(fill, own)
            && (fill.same_machine, fill.lent) == (own.same_machine, own.lent)
            && fill.fate() == Fate::Store
            && !fill.is_quiet(limit)
    };
    let is_of_use = |fill: &Rc<Fill>| match fill.stage() {
        FillStage::Streaming(head) => fits(&head, &wanted) && is_fresh(&head, ask),
        _ => false,
    };
    policy::requests::may_ask_peer(&ask.head)
        && node.fills.of(&ask.key).iter().any(|fill| is_like(fill) && is_of_use(fill))
}

/// What comes will not be stored after all, for its size or for lack of room: what is stored of that variant is not so any more all the
/// same (RFC 9111 section 4.3.3).
pub fn unkept(node: &CacheNode, fill: &Fill, why: Unstored, then: Then) {
    let Ok(key) = Key::parse(&fill.key) else { return };
    node.uncacheable.note(&key, why, then);
    let FillStage::Streaming(head) = fill.stage() else { return };
    if fill.lent || head.seed.is_some() || key.is_addressed() || !why.outdates(head.status, false) {
        return;
    }
    // Another node may have that still.
    node.peers.bar(&key);
    let shelf = node.store.get(&key);
    let entries = shelf.iter().flat_map(|shelf| shelf.entries());
    let older = entries.filter(|entry| *entry.selecting() == *head.selecting && entry.terms.asked() <= head.sent);
    older.for_each(|entry| node.store.take_out(&key, entry));
}

/// Whether what is whole now is older than what was stored while it came.
pub fn at_its_end(node: &CacheNode, key: &Key, head: &FillHead, lent: bool) -> bool {
    let Some(shelf) = node.store.get(key) else { return false };
    let same = |entry: &&Arc<Entry>| entry.part().is_none() && *entry.selecting() == *head.selecting;
    let is_older = |entry: &Arc<Entry>| match lent {
        true => is_own_since(entry, head.sent),
        false => policy::stands(&entry.terms, false, head.sent, head.terms.born),
    };
    shelf.entries().iter().filter(same).any(is_older)
}
