//! What came of a question to the origin.

use super::fill::{FillHead, Sharing};
use super::origin::OriginBody;
use super::source::FillSource;
use crate::net::rules::Reach;
use crate::policy::{self, NotStored, Stored};
use crate::store::{Entry, Mark};
use http::{HeaderMap, Response, StatusCode};
use std::sync::Arc;

/// What an answer means.
#[allow(clippy::large_enum_variant)] // mostly the large one, and looked at at once
pub enum Settled {
    /// A 304 confirmed what was stored.
    Validated(Confirmed),
    /// It may be stored: read it through a fill.
    Store(FillHead, FillSource),
    /// It is for its requester alone.
    Through(Response<OriginBody>, Reach, Unstored),
    /// Nothing: it was asked for in the owner's place, and the owner lent nothing.
    Owners,
    /// What is stored is as good as before: who answered in this node's place has nothing of it.
    Stands,
}

/// Why an answer is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstored {
    Policy(NotStored),
    /// Longer than `cache.max_object`, or than there is room at all.
    TooLarge,
    /// `cache.in_flight` is used up.
    Busy,
    /// It is more than memory keeps, and the disk was too slow for it, had no room for all of it, or failed.
    LeftByDisk,
    /// Delimited by the end of the connection, and without a word of the origin that it may be reused.
    NoLength,
    /// A 304 to the client's own condition, or a 101.
    NotForUs,
    /// An error, in whose place what is stored may be answered, if not to this request (RFC 5861 section 4).
    Failed,
    /// It came on a connection that has logged in (NTLM, Negotiate).
    Pinned,
    /// Its URL names a content by its digest, and this is another one.
    OtherContent,
}

impl Unstored {
    pub fn reason(self) -> &'static str {
        match self {
            Unstored::Policy(not_stored) => not_stored.reason(),
            Unstored::TooLarge => "longer than cache.max_object, or than cache.memory or cache.in_flight allow",
            Unstored::Busy => "cache.in_flight is used up",
            Unstored::LeftByDisk => {
                "longer than cache.max_object, and the disk was slower than the origin, had no room for all of it, or failed"
            }
            Unstored::NoLength => {
                "ends with its connection, and does not say how long it is fresh (RFC 9112 section 8)"
            }
            Unstored::NotForUs => "answers the client's own condition",
            Unstored::Pinned => "the connection has logged in (NTLM, Negotiate): what comes on it is for one client",
            Unstored::OtherContent => "its SHA-256 is not the one that its URL names",
            Unstored::Failed => "an error, in whose place what is stored may be answered (RFC 5861 section 4)",
        }
    }

    /// Whether what is stored is outdated by an answer of this status as by one that is stored.
    pub fn outdates(self, status: StatusCode, has_credentials: bool) -> bool {
        match self {
            Unstored::Policy(why) => policy::outdates(status, Some(why), has_credentials),
            Unstored::TooLarge | Unstored::Busy | Unstored::LeftByDisk | Unstored::NoLength => {
                policy::outdates(status, None, has_credentials)
            }
            Unstored::NotForUs | Unstored::Failed | Unstored::Pinned | Unstored::OtherContent => false,
        }
    }

    /// What can be done to have it stored, if anything.
    pub fn remedy(self) -> Option<&'static str> {
        match self {
            Unstored::Policy(not_stored) => not_stored.remedy(),
            Unstored::TooLarge => Some(
                "raise cache.max_object, and cache.memory and cache.in_flight where they are less; or give the nodes a disk ([disk] size, max_object)",
            ),
            Unstored::Busy => Some("raise cache.in_flight"),
            Unstored::LeftByDisk => Some("ask again when the disk has less to do; the node's log says where it fails"),
            Unstored::NoLength => {
                Some("send a Content-Length, or the body in chunks; or max-age with a number of seconds")
            }
            Unstored::NotForUs | Unstored::Failed | Unstored::Pinned | Unstored::OtherContent => None,
        }
    }
}

/// An entry as the policy sees it.
pub fn stored(entry: &Entry) -> Stored<'_, Entry> {
    Stored { terms: &entry.terms, status: entry.status, fields: entry }
}

/// Who may be answered with what came from there.
pub fn mark(reach: Reach) -> Mark {
    Mark::of(reach != Reach::Anyone)
}

/// What was stored, as a 304 leaves it.
pub struct Confirmed {
    pub entry: Arc<Entry>,
    /// What only its requester is answered with, in place of fields of those names.
    pub withheld: HeaderMap,
    pub kept: Sharing,
    /// What the origin said, where it was that which confirmed it (RFC 9211 section 2.3).
    pub fwd_status: Option<u16>,
}
