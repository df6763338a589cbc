//! Targeted fields such as `CDN-Cache-Control` (RFC 9213): obeyed only where configured.

use super::structured::{Value, dictionary};
use crate::wire::cache_control::{Argument, CacheControl, Directive, MAX_SECONDS, Set};
use crate::wire::https::preset::{self, Keep};
use crate::wire::target::{Host, Key};
use crate::wire::view::FieldView;
use http::header::HeaderName;
use std::borrow::Cow;

/// What holds beside what responses say.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// RFC 9213 targeted fields, in order of preference; empty: none is obeyed.
    pub targeted: Vec<HeaderName>,
    /// How far a response is kept.
    pub keep: Keep,
}

impl Rules {
    /// Of these targeted fields, by name.
    pub fn new(targeted: &[String]) -> Rules {
        let targeted = targeted.iter().filter_map(|name| name.parse().ok()).collect();
        Rules { targeted, ..Rules::default() }
    }

    /// Those for one URL: with what is known of its host, where a preset names that.
    pub fn of(&self, key: &Key) -> Cow<'_, Rules> {
        let host = (key.scheme() == "https").then(|| key.host());
        let keep = match host {
            Some(Host::Name(host)) => preset::keep(host, key.port(), key.path_and_query()),
            Some(Host::Ip(_)) | None => Keep::AsSent,
        };
        match keep == self.keep {
            true => Cow::Borrowed(self),
            false => Cow::Owned(Rules { keep, ..self.clone() }),
        }
    }
}

/// What governs a response: the first configured field that is there, valid and not empty; else `Cache-Control`
/// (RFC 9213 section 2.2). The second value is whether it was a targeted one.
pub(super) fn governing(rules: &Rules, fields: &(impl FieldView + ?Sized)) -> (CacheControl, bool) {
    match rules.targeted.iter().find_map(|name| read(fields, name)) {
        Some(cc) => (cc, true),
        None => (CacheControl::read(fields), false),
    }
}

/// `None`: absent, empty or invalid; then it is as if it were not there (RFC 9213 section 2.1).
fn read(fields: &(impl FieldView + ?Sized), name: &HeaderName) -> Option<CacheControl> {
    let lines: Vec<&[u8]> = fields.named(name).collect();
    let joined = lines.join(&b", "[..]);
    let members = dictionary(&joined)?;
    if members.is_empty() {
        return None;
    }
    let mut cc = CacheControl { present: true, ..CacheControl::default() };
    for (key, value) in &members {
        member(&mut cc, key, value)?;
    }
    Some(cc)
}

/// `None` where a directive has a value of the wrong type.
fn member(cc: &mut CacheControl, key: &[u8], value: &Value) -> Option<()> {
    let seconds = |value: &Value| match value {
        // A negative number is no lifetime: stale (RFC 9111 section 4.2.1).
        Value::Integer(n) => Some(u32::try_from((*n).clamp(0, i64::from(MAX_SECONDS))).unwrap_or(MAX_SECONDS)),
        _ => None,
    };
    match key {
        b"max-age" => cc.max_age = Some(seconds(value)?),
        b"s-maxage" => cc.s_maxage = Some(seconds(value)?),
        b"stale-while-revalidate" => cc.stale_while_revalidate = Some(seconds(value)?),
        b"stale-if-error" => cc.stale_if_error = Some(seconds(value)?),
        _ if *value == Value::False => {}
        // With field names, `no-cache` and `private` count for the whole response here.
        b"no-cache" => cc.set.add(Set::NO_CACHE),
        b"private" => cc.set.add(Set::PRIVATE),
        _ => cc.take(Directive { name: key, value: Argument::None }),
    }
    Some(())
}
