//! What is stored under one URL: one entry, or several that `Vary` tells apart (RFC 9111 section 4.1).

use super::entry::Entry;
use super::parts::{self, is_same_variant};
use super::weigh::Weigh;
use crate::account::Hold;
use crate::policy::variants::Selection;
use crate::policy::{self, Part};
use crate::wire::date;
use crate::wire::field::FieldId;
use crate::wire::head_limits::HeadLimits;
use crate::wire::view::FieldView;
use std::sync::Arc;

/// The variants of a URL. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Shelf {
    One(Arc<Entry>),
    /// A pointer to a pointer: all of them are few, and each `One` would be eight bytes larger.
    Many(Arc<Box<[Arc<Entry>]>>),
}

/// Of what is kept of one URL.
#[derive(Clone, Copy, Debug)]
pub struct ShelfLimits {
    pub variants: usize,
    /// Of each, also where it was put together.
    pub head: HeadLimits,
}

impl Shelf {
    pub fn entries(&self) -> &[Arc<Entry>] {
        match self {
            Shelf::One(entry) => std::slice::from_ref(entry),
            Shelf::Many(entries) => entries,
        }
    }

    /// The entry that a request selects: of several that match, the one that ranks first. What only clients on the same
    /// machine may reach is there for nobody else.
    pub fn select<F: FieldView + ?Sized>(&self, request: &F, same_machine: bool) -> Option<&Arc<Entry>> {
        let wanted = Selection::of(request);
        let first = |fits: fn(&Entry, &Selection<'_, F>) -> bool| {
            let whole = |e: &&Arc<Entry>| e.part().is_none() && is_for(e, same_machine) && fits(e, &wanted);
            self.entries()
                .iter()
                .filter(whole)
                .reduce(|best, other| if ranks_before(other, best) { other } else { best })
        };
        first(matches).or_else(|| first(speaks))
    }

    /// All entries that could have been chosen for a request, parts too (RFC 9111 section 4.3.4).
    pub fn matching<'a>(
        &'a self,
        request: &'a (impl FieldView + ?Sized),
        same_machine: bool,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let wanted = Selection::of(request);
        self.entries().iter().filter(move |e| is_for(e, same_machine) && matches(e, &wanted))
    }

    /// Whether there is anything that this client may be answered with, whatever it asks for.
    pub fn has_any_for(&self, same_machine: bool) -> bool {
        self.entries().iter().any(|e| is_for(e, same_machine))
    }

    /// The stored part that a request selects, of those that will do.
    pub fn part(
        &self,
        request: &(impl FieldView + ?Sized),
        same_machine: bool,
        will_do: impl Fn(&Entry, &Part) -> bool,
    ) -> Option<&Arc<Entry>> {
        let wanted = Selection::of(request);
        let fits = |e: &&Arc<Entry>| is_for(e, same_machine) && matches(e, &wanted);
        let parts = self.entries().iter().filter(fits).filter(|e| e.part().is_some_and(|part| will_do(e, part)));
        parts.max_by_key(|e| e.terms.received)
    }

    /// Whether there is a whole of the same variant.
    pub fn has_variant(&self, entry: &Entry) -> bool {
        self.entries().iter().any(|e| e.part().is_none() && is_same_variant(e, entry))
    }

    /// What is left without this entry.
    pub fn without(&self, entry: &Arc<Entry>) -> Option<Shelf> {
        let mut kept = self.entries().iter().filter(|e| !Arc::ptr_eq(e, entry)).cloned().collect::<Vec<_>>();
        match kept.len() {
            0 => None,
            1 => Some(Shelf::One(kept.swap_remove(0))),
            _ => Some(Shelf::Many(Arc::new(kept.into()))),
        }
    }

    /// With `entry` in place of the variant that it replaces; of too many variants the least recently used gives way.
    pub fn with(&self, entry: Arc<Entry>, limits: ShelfLimits) -> Shelf {
        let entry = parts::joined(entry, self.entries(), limits.head);
        let mut kept: Vec<Arc<Entry>> = self.entries().iter().filter(|old| !replaces(&entry, old)).cloned().collect();
        parts::thin(&entry, &mut kept);
        while kept.len() >= limits.variants.max(1) {
            let Some(oldest) = (0..kept.len()).min_by_key(|&i| kept[i].used()) else { break };
            kept.swap_remove(oldest);
        }
        if kept.is_empty() {
            return Shelf::One(entry);
        }
        kept.push(entry);
        Shelf::Many(Arc::new(kept.into()))
    }
}

impl Weigh for Shelf {
    fn weight(&self) -> u32 {
        self.entries().iter().fold(0u32, |sum, e| sum.saturating_add(e.weight()))
    }
    fn holds(&self) -> impl Iterator<Item = &Arc<Hold>> {
        self.entries().iter().filter_map(|entry| entry.hold())
    }
}

/// The most recent of several that match, by their dates (RFC 9111 section 4); but one without `Vary`, as the answer to a
/// request without preferences may be by mistake, does not hide those that have it (section 4.1), unless it came when they
/// were stale: then it took their place.
fn ranks_before(one: &Entry, other: &Entry) -> bool {
    let took_its_place = |new: &Entry, old: &Entry| is_later(new, old) && new.terms.received >= old.terms.fresh_until;
    match (one.vary().is_empty(), other.vary().is_empty()) {
        (true, false) => took_its_place(one, other),
        (false, true) => !took_its_place(other, one),
        _ => is_later(one, other),
    }
}

fn is_later(one: &Entry, other: &Entry) -> bool {
    let received = |e: &Entry| e.terms.received;
    let dated =
        |e: &Entry| e.first(FieldId::Date).and_then(|date| date::parse(date, received(e))).unwrap_or(received(e));
    (dated(one), received(one)) > (dated(other), received(other))
}

fn matches<F: FieldView + ?Sized>(entry: &Entry, wanted: &Selection<'_, F>) -> bool {
    let vary = entry.vary();
    vary.is_empty() || wanted.selects(vary, entry.selecting())
}

/// Whether it is in the language that the request likes best, and differs in nothing else.
fn speaks<F: FieldView + ?Sized>(entry: &Entry, wanted: &Selection<'_, F>) -> bool {
    let language = entry.first(FieldId::ContentLanguage).filter(|_| !entry.vary().is_empty());
    language.is_some_and(|language| policy::variants::speaks(entry.vary(), entry.selecting(), language, wanted))
}

/// A new response replaces the variant with the same selecting fields. One without `Vary` replaces the others like it; those with
/// `Vary` stay, for the requests that select them.
fn replaces(new: &Entry, old: &Entry) -> bool {
    is_same_variant(new, old) && parts::replaces(new, old)
}

/// What only clients on the same machine may reach is there for nobody else.
fn is_for(entry: &Entry, same_machine: bool) -> bool {
    entry.mark.allows(same_machine)
}
