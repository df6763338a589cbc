//! PURE. HTTP caching for a shared cache (RFC 9111). `now` is an argument; every verdict carries its reason.
//!
//! In the order of a request's life: [`decide`] (and [`explain`]) what answers it; [`Stored::validation`] what the origin is
//! asked; [`storable`] and [`storable_fields`], [`freshen`], [`after_head`], [`invalidates`] what its answer means;
//! [`stale_if_error`] what stands in for it. Beside them: [`requests`], [`variants`], [`parts`] and [`ranges`], [`groups`].

mod freshness;
pub mod groups;
mod head;
mod invalidate;
mod language;
pub mod parts;
pub mod ranges;
mod reason;
mod refresh;
pub mod requests;
mod reuse;
mod storable;
mod structured;
mod targeted;
mod terms;
mod validate;
pub mod variants;
mod vary;

#[cfg(test)]
mod tests;

pub use groups::Groups;
pub use head::{HeadEffect, after_head};
pub use invalidate::invalidates;
pub use parts::Part;
pub use ranges::Ranged;
pub use reuse::{Failure, UNREACHABLE_GRACE, decide, explain, stale_if_error};
pub use storable::{forbidden, storable, storable_fields};
pub use terms::{Marks, Source};
pub use validate::{Freshened, freshen};

use crate::wire::date::Timestamp;
use crate::wire::status::Fwd;
use crate::wire::view::FieldView;
use http::StatusCode;
use http::header::HeaderName;

/// What the operator configured.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// RFC 9213 targeted fields, in order of preference; empty: none is obeyed.
    pub targeted: Vec<HeaderName>,
}

/// What is computed once, when a response is stored (or freshened), so that a fresh hit is decided from numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// When the response was generated, as far as known: received minus its corrected initial age (section 4.2.3).
    pub born: Timestamp,
    /// When it arrived here.
    pub received: Timestamp,
    /// Freshness lifetime in milliseconds (section 4.2.1).
    pub lifetime: u64,
    /// Until when a request that asks for nothing special is answered without further questions: the end
    /// of freshness, or zero where every reuse needs a validation first.
    pub fresh_until: Timestamp,
    /// Seconds (RFC 5861 section 3); 0: not allowed.
    pub stale_while_revalidate: u32,
    /// Seconds (RFC 5861 section 4); 0: not said.
    pub stale_if_error: u32,
    pub source: Source,
    pub marks: Marks,
}

/// A stored response, as the policy sees it.
pub struct Stored<'a, F: FieldView + ?Sized> {
    pub terms: &'a Terms,
    pub status: StatusCode,
    pub fields: &'a F,
}

/// Why a response may not be stored; each names the field that forbade it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    Method,
    /// A GET with a body.
    RequestContent,
    Status,
    RequestNoStore,
    NoStore,
    Private,
    Authorization,
    VaryStar,
    NoFreshness,
    /// Not fresh, and without a validator.
    Stale,
    /// Every reuse would need a validation, and it has no validator.
    NoCacheWithoutValidator,
    SetCookie,
    Partial,
    MustUnderstand,
}

/// What to do with a request for which something is stored (or not).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the store as it is (a 304 to the client's own condition is [`Stored::is_not_modified`]'s matter).
    Serve { ttl: i64 },
    /// Answer from the store although it is stale, and validate it once in the background (RFC 5861 section 3).
    ServeStale { ttl: i64 },
    /// Ask the origin whether what is stored is still good.
    Validate { fwd: Fwd, ttl: i64 },
    /// Pass it on.
    Forward { fwd: Fwd },
    /// `only-if-cached` and nothing usable: 504.
    OnlyIfCached,
}

const _: () = assert!(size_of::<Terms>() <= 48, "one is kept for every stored response");
