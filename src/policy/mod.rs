//! PURE. HTTP caching for a shared cache (RFC 9111). `now` is an argument; every verdict carries its reason.
//!
//! In the order of a request's life: [`may_lead`], [`decide`], [`validation`], [`storable`], [`freshen`], [`invalidates`].

use crate::wire::date::Timestamp;
use crate::wire::status::Fwd;
use crate::wire::target::Key;
use http::header::HeaderName;
use http::{HeaderMap, Method, StatusCode, request, response};

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
    // the implementer adds: flags (no-cache, must-revalidate, proxy-revalidate/s-maxage, stale-while-revalidate, stale-if-error, heuristic, …)
}

/// A stored response, as the policy sees it. `HeaderMap` and the store's compact entry implement [`Fields`].
pub struct Stored<'a, F: Fields + ?Sized> {
    pub terms: &'a Terms,
    pub status: StatusCode,
    pub fields: &'a F,
}

/// Read access to the fields of a stored response.
pub trait Fields {
    /// The first line of a field.
    fn first(&self, name: &HeaderName) -> Option<&[u8]>;
}

/// Why a response may not be stored; each names the field that forbade it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    Method,
    Status,
    RequestNoStore,
    NoStore,
    Private,
    Authorization,
    VaryStar,
    NoFreshness,
    SetCookie,
    Partial,
    MustUnderstand,
    // the implementer completes
}

/// What to do with a request for which something is stored (or not).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the store as it is (a 304 to the client's own condition is [`not_modified`]'s matter).
    Serve { ttl: i64 },
    /// Ask the origin whether what is stored is still good.
    Validate { fwd: Fwd, ttl: i64 },
    /// Pass it on.
    Forward { fwd: Fwd },
    /// `only-if-cached` and nothing usable: 504.
    OnlyIfCached,
}

/// Whether this request may share its fetch with others: a GET without Range, conditions, `Authorization` or `no-store`.
pub fn may_lead(req: &request::Parts) -> bool {
    let _ = req;
    todo!()
}

/// What to do with `req`, given the selected stored response.
pub fn decide<F: Fields + ?Sized>(req: &request::Parts, stored: Option<Stored<'_, F>>, now: Timestamp) -> Decision {
    let _ = (req, stored, now);
    todo!()
}

/// Whether the client's own condition (`If-None-Match`, else `If-Modified-Since`; RFC 9110 section 13.2.2) makes the
/// answer from the store a 304.
pub fn not_modified<F: Fields + ?Sized>(req: &HeaderMap, stored: &Stored<'_, F>, now: Timestamp) -> bool {
    let _ = (req, stored, now);
    todo!()
}

/// Puts the validators of a stored response on a request as conditions (section 4.3.1), in place of the client's own.
/// False when it has none: then the request goes out without condition.
pub fn validation<F: Fields + ?Sized>(stored: &Stored<'_, F>, req: &mut HeaderMap) -> bool {
    let _ = (stored, req);
    todo!()
}

/// Whether a response may be stored, and on what terms; or why not. `sent` and `received` are the times of the exchange.
pub fn storable(rules: &Rules, req: &request::Parts, res: &response::Parts, sent: Timestamp, received: Timestamp) -> Result<Terms, NotStored> {
    let _ = (rules, req, res, sent, received);
    todo!()
}

/// The fields to store of a response: without hop-by-hop fields, `Age`… (section 3.1). Changes `headers` in place.
pub fn storable_fields(headers: &mut HeaderMap) {
    let _ = headers;
    todo!()
}

/// The selecting fields of a request under a response's `Vary`, normalised (section 4.1): two requests with the same
/// value select the same variant. Empty: no `Vary`. `None`: `Vary: *`.
pub fn selecting(vary: &HeaderMap, req: &HeaderMap) -> Option<Box<[u8]>> {
    let _ = (vary, req);
    todo!()
}

/// The same, from the stored value of `Vary` (all lines joined by commas).
pub fn selecting_by(vary: &[u8], req: &HeaderMap) -> Option<Box<[u8]>> {
    let _ = (vary, req);
    todo!()
}

/// What a 304 makes of a stored response (section 3.2): its fields, updated in place, and its new terms.
pub fn freshen(rules: &Rules, req: &request::Parts, status: StatusCode, stored: &mut HeaderMap, not_modified: &HeaderMap, sent: Timestamp, received: Timestamp) -> Result<Terms, NotStored> {
    let _ = (rules, req, status, stored, not_modified, sent, received);
    todo!()
}

/// Age in whole seconds to be sent with a response from the store (section 4.2.3).
pub fn age(terms: &Terms, now: Timestamp) -> u64 {
    let _ = (terms, now);
    todo!()
}

/// The URLs that an answer to an unsafe method makes invalid (section 4.4): none on an error answer; the target;
/// `Location` and `Content-Location` of the same origin.
pub fn invalidates(method: &Method, target: &Key, res: &response::Parts) -> Vec<Key> {
    let _ = (method, target, res);
    todo!()
}
