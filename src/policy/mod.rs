//! PURE. HTTP caching for a shared cache (RFC 9111). `now` is an argument; every verdict carries its reason.
//!
//! In the order of a request's life: [`decide`] (and [`explain`]) what answers it; [`Stored::validation`] what the origin is
//! asked; [`storable`] and [`storable_fields`], [`freshen`], [`after_head`], [`invalidates`] what its answer means;
//! [`stale_if_error`] what stands in for it, and [`outlasts`] it; [`stands`] which of two answers stays, and [`Shown`] which of them is current. Beside them: [`cookies`], [`requests`], [`variants`], [`parts`] and [`ranges`], [`groups`].

pub mod cookies;
mod freshness;
pub mod groups;
mod head;
mod invalidate;
mod language;
mod order;
pub mod parts;
pub mod ranges;
mod reason;
mod refresh;
pub mod requests;
mod reuse;
mod shown;
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
pub use order::{outdates, stands};
pub use parts::Part;
pub use ranges::Ranged;
pub use reason::{Decision, NotStored};
pub use reuse::{Failure, decide, explain, outlasts, stale_if_error};
pub use shown::Shown;
pub use storable::{forbidden, storable, storable_fields};
pub use targeted::Rules;
pub use terms::{LifetimeSource, Marks, Stored, Terms, VERSION};
pub use validate::{Freshened, freshen};
