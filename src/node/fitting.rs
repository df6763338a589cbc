//! Whether what a fill brings may answer a request beside the one that it was begun for.

use super::ask::Ask;
use super::fill::{Fate, Fill, FillHead, Presumed};
use crate::clock;
use crate::policy::variants::Selection;
use crate::policy::{self, Decision, Stored};

/// Whether the answer to a fill that is still asking can be expected to fit: yes, unless the known `Vary` says otherwise.
pub fn may_fit(fill: &Fill, wanted: &Selection<'_>) -> bool {
    let Some(Presumed { vary, selecting }) = &fill.presumed else { return true };
    wanted.under(vary).is_some_and(|own| *own == **selecting)
}

/// Whether what it brings is stored, for whoever it is for; only who is on the same machine reads along what is for that alone, and
/// whoever is not shows an origin another face of this machine.
pub fn is_shared(fill: &Fill, ask: &Ask) -> bool {
    fill.same_machine == ask.same_machine && fill.fate() == Fate::Store
}

pub fn fits(head: &FillHead, wanted: &Selection<'_>) -> bool {
    wanted.under(&vary_of(head)).is_some_and(|own| *own == *head.selecting)
}

/// Whether a response that is still arriving may answer a request that came after its head.
pub fn is_fresh(head: &FillHead, ask: &Ask) -> bool {
    let stored = Stored { terms: &head.terms, status: head.status, fields: &head.headers };
    matches!(policy::decide(&ask.head, Some(stored), clock::now()), Decision::Serve { .. })
}

pub fn vary_of(head: &FillHead) -> Vec<u8> {
    let lines = head.headers.get_all(http::header::VARY).iter();
    lines.map(|v| v.as_bytes()).collect::<Vec<_>>().join(&b','.to_owned())
}
