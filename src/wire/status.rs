//! `Cache-Status` (RFC 9211) and `Proxy-Status` (RFC 9209) members.

use super::fault::Fault;
use super::field::FieldId;
use super::list;
use super::structured::{self, Out, Write};
use super::view::FieldView;
use http::header::CACHE_STATUS;
use http::{HeaderMap, HeaderValue};

/// Text for people is cut after this many characters: it may quote what a client sent.
const DETAIL_LENGTH: usize = 256;

/// Why a request was forwarded (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fwd {
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Miss,
    Request,
    Stale,
    Partial,
}

impl Fwd {
    /// The value of the `fwd` parameter.
    pub fn token(self) -> &'static str {
        match self {
            Fwd::Bypass => "bypass",
            Fwd::Method => "method",
            Fwd::UriMiss => "uri-miss",
            Fwd::VaryMiss => "vary-miss",
            Fwd::Miss => "miss",
            Fwd::Request => "request",
            Fwd::Stale => "stale",
            Fwd::Partial => "partial",
        }
    }
}

/// One member of `Cache-Status`, ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Excludes `fwd` (RFC 9211 section 2.1), which is then not written.
    pub hit: bool,
    pub fwd: Option<Fwd>,
    pub fwd_status: Option<u16>,
    pub stored: bool,
    pub collapsed: bool,
    /// Remaining freshness in seconds; negative when stale.
    pub ttl: Option<i64>,
    /// Free text for people, for example why it was not stored.
    pub detail: Option<std::borrow::Cow<'static, str>>,
}

impl CacheStatus {
    /// `n1; hit; ttl=30` as a field value; `cache` is the node's id (written as a token where it can be, else a string).
    pub fn to_value(&self, cache: &str) -> HeaderValue {
        structured::value(&CacheMember { cache, status: self })
    }
}

/// What a member says of a hit, up to its number of seconds.
pub const HIT: &str = "hit; ttl=";

/// The beginning of the `Cache-Status` line of a hit, up to its number of seconds.
pub fn hit_line(cache: &str) -> Box<[u8]> {
    // Of any number, all but its one digit.
    let member = CacheStatus { hit: true, ttl: Some(0), ..CacheStatus::default() }.to_value(cache);
    let member = member.as_bytes().strip_suffix(b"0").unwrap_or_default();
    [CACHE_STATUS.as_str().as_bytes(), b": ", member].concat().into()
}

/// `ringhold; error=connection_timeout; details="…"` for an error answer that we make.
pub fn proxy_status(proxy: &str, fault: &Fault) -> HeaderValue {
    structured::value(&ProxyMember { proxy, fault })
}

/// What the last `Cache-Status` member says, without the name of its cache: `hit; ttl=30`.
pub fn last_member(fields: &(impl FieldView + ?Sized)) -> Option<&[u8]> {
    list::members(fields, FieldId::CacheStatus).last().map(parameters)
}

/// The same of one line of the field.
pub fn last_member_of(line: &[u8]) -> Option<&[u8]> {
    // Nearly always the only one.
    let only = (!line.contains(&b',')).then_some(list::trim(line)).filter(|line| !line.is_empty());
    only.or_else(|| list::split(line).last()).map(parameters)
}

fn parameters(member: &[u8]) -> &[u8] {
    let name = match member.strip_prefix(b"\"") {
        Some(rest) => closing_quote(rest).map_or(member.len(), |close| close + 2),
        None => 0,
    };
    let parameters = member[name..].iter().position(|byte| *byte == b';').map_or(member.len(), |at| name + at + 1);
    list::trim(&member[parameters..])
}

/// Whether such a member says that the answer came from what the cache had or was getting already.
pub fn is_from_cache(member: &[u8]) -> bool {
    member.split(|byte| *byte == b';').map(list::trim).any(|parameter| matches!(parameter, b"hit" | b"collapsed"))
}

/// Whether such a member, of a node of ours, says that the answer was read from disk.
pub fn is_from_disk(member: &[u8]) -> bool {
    member.ends_with(b"detail=\"disk\"")
}

/// Whether such a member says that the answer is being stored, in place of what was.
pub fn is_stored(member: &[u8]) -> bool {
    member.split(|byte| *byte == b';').map(list::trim).any(|parameter| parameter == b"stored")
}

/// The remaining freshness in seconds that such a member tells; none when it is stale.
pub fn ttl(member: &[u8]) -> Option<u64> {
    let mut parameters = member.split(|byte| *byte == b';').map(list::trim);
    let digits = parameters.find_map(|parameter| parameter.strip_prefix(b"ttl="))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether such a member says that the origin was asked for the answer, by this request or by one that it has joined, and that
/// nothing stands in for what could not be had.
pub fn is_new(member: &[u8]) -> bool {
    let mut parameters = member.split(|byte| *byte == b';').map(list::trim);
    !parameters.any(|parameter| parameter == b"hit" || parameter.starts_with(b"ttl="))
}

/// Takes away the last `Cache-Status` line, which has the member of the cache that we asked.
pub fn drop_last_line(headers: &mut HeaderMap) {
    let mut lines: Vec<HeaderValue> = headers.get_all(CACHE_STATUS).iter().cloned().collect();
    lines.pop();
    headers.remove(CACHE_STATUS);
    for line in lines {
        headers.append(CACHE_STATUS, line);
    }
}

/// Takes `stored` out of the last `Cache-Status` line, which is ours ([`CacheStatus::to_value`]): it will not be.
pub fn drop_stored(headers: &mut HeaderMap) {
    const STORED: &[u8] = b"; stored";
    let Some(line) = headers.get_all(CACHE_STATUS).iter().next_back() else { return };
    let line = line.as_bytes();
    // Free text comes behind it.
    let begin = line.len() - parameters(line).len();
    let end = line[begin..].iter().position(|byte| *byte == b'"').map_or(line.len(), |quote| begin + quote);
    let Some(at) = line[begin..end].windows(STORED.len()).position(|part| part == STORED) else { return };
    let rest = [&line[..begin + at], &line[begin + at + STORED.len()..]].concat();
    if let Ok(rest) = HeaderValue::from_bytes(&rest) {
        drop_last_line(headers);
        headers.append(CACHE_STATUS, rest);
    }
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    })
}

struct CacheMember<'a> {
    cache: &'a str,
    status: &'a CacheStatus,
}

impl Write for CacheMember<'_> {
    fn write(&self, out: &mut impl Out) {
        let status = self.status;
        structured::token_or_string(out, self.cache);
        match status.fwd {
            _ if status.hit => out.put("; hit"),
            Some(fwd) => {
                out.put("; fwd=");
                out.put(fwd.token());
            }
            None => {}
        }
        integer_parameter(out, "; fwd-status=", status.fwd_status.map(i64::from));
        integer_parameter(out, "; ttl=", status.ttl);
        if status.stored {
            out.put("; stored");
        }
        if status.collapsed {
            out.put("; collapsed");
        }
        if let Some(detail) = &status.detail {
            out.put("; detail=");
            structured::string(out, shortened(detail));
        }
    }
}

struct ProxyMember<'a> {
    proxy: &'a str,
    fault: &'a Fault,
}

impl Write for ProxyMember<'_> {
    /// Not what caused the fault: that may tell more of the network behind us than the client should know.
    fn write(&self, out: &mut impl Out) {
        structured::token_or_string(out, self.proxy);
        out.put("; error=");
        out.put(self.fault.kind.token());
        out.put("; details=");
        structured::string(out, shortened(&self.fault.detail));
    }
}

fn integer_parameter(out: &mut impl Out, name: &str, value: Option<i64>) {
    if let Some(value) = value {
        out.put(name);
        structured::integer(out, value);
    }
}

fn shortened(text: &str) -> &str {
    text.char_indices().nth(DETAIL_LENGTH).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
