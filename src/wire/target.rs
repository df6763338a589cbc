//! Request targets (RFC 9112 section 3.2) and the key that is hashed onto the ring and compared in the cache.

pub use super::authority::Host;
use super::authority::{self, Authority, HostText};
use super::fault::{Fault, Kind};
use super::https::content::{self, Digest};
use super::https::preset::{self, Keep};
use http::{Method, StatusCode, Uri};
use percent_encoding::{AsciiSet, percent_encode, percent_encode_byte};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::xxh3_64;

/// The cache key of a URL: scheme, authority (lower case, default port dropped, IPv6 canonical), path and query.
/// Percent-encoding and dots are untouched; the fragment is dropped; user information is refused.
/// It is what RFC 3986 allows: what is not, ASCII or not, is percent-encoded (RFC 3987 section 3.1). So it is hashed, compared
/// and sent on. Of a content-addressed store ([`Keep::Addressed`]) it is without the signature, with which that store is asked
/// all the same.
#[derive(Clone, Debug)]
pub struct Key {
    text: Box<str>,
    authority: std::ops::Range<u32>,
    hash: u64,
    /// In a box, since few have it.
    addressed: Option<Box<Addressed>>,
}

/// What the key of a content-addressed store's URL knows besides.
#[derive(Clone, Debug)]
struct Addressed {
    /// The whole of it, signature and all.
    url: Box<str>,
}

impl Key {
    /// From an absolute-form target. Errors are the client's fault (400) and name the cure.
    pub fn from_uri(uri: &Uri) -> Result<Key, Fault> {
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            Some(_) => return Err(Fault::bad_request("only URLs that begin with http:// or https:// can be fetched")),
            None => return Err(Fault::bad_request("the URL has no scheme: write it as http://host/path")),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let path_and_query = uri.path_and_query().map_or("", |path| path.as_str());
        build(scheme, default_port, &Authority::parse(authority)?, path_and_query)
    }
    /// From text, as a person or the admin API writes it.
    pub fn parse(url: &str) -> Result<Key, Fault> {
        match Uri::try_from(&*escaped(url.as_bytes())) {
            Ok(uri) => Key::from_uri(&uri),
            Err(error) => Err(Fault::bad_request("this is not a URL of the form http://host/path").because(error)),
        }
    }
    /// From the bytes of a target.
    pub fn read(target: &[u8]) -> Result<Key, Fault> {
        if let Some(spelt) = spelt(target)
            && let Ok(text) = std::str::from_utf8(target)
        {
            let end = spelt.root.len();
            return Ok(Key::of(text.into(), end - spelt.authority.len()..end));
        }
        match std::str::from_utf8(target) {
            Ok(url) => Key::parse(url),
            Err(error) => Err(Fault::bad_request("the URL is not UTF-8: percent-encode it").because(error)),
        }
    }
    /// Of a normalised URL.
    fn of(url: Box<str>, authority: std::ops::Range<usize>) -> Key {
        let (text, addressed) = match is_addressed(&url, &authority) {
            true => (unsigned(&url).into(), Some(Box::new(Addressed { url }))),
            false => (url, None),
        };
        let hash = Key::hash_of(text.as_bytes());
        Key { text, authority: authority.start as u32..authority.end as u32, hash, addressed }
    }
    /// The normalised URL, for example `http://example.com/a?b`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The same as it is asked for: with the signature of who asks, where that is no part of the key.
    pub fn url(&self) -> &str {
        self.addressed.as_ref().map_or(&self.text, |addressed| &addressed.url)
    }
    /// Path and query of [`Key::url`].
    pub fn target(&self) -> &str {
        &self.url()[self.authority.end as usize..]
    }
    /// Whether it is of a content-addressed store, which has to be asked by each client itself.
    pub fn is_addressed(&self) -> bool {
        self.addressed.is_some()
    }
    /// What its content has to come to, where it is.
    pub fn digest(&self) -> Option<Digest> {
        let path = self.path_and_query().split('?').next()?;
        self.is_addressed().then(|| Digest::named(path)).flatten()
    }
    /// Host and, where it is not the default, port: what `Host` carries.
    pub fn authority(&self) -> &str {
        &self.text[self.authority.start as usize..self.authority.end as usize]
    }
    /// Scheme and authority: what connections are kept by.
    pub fn root(&self) -> &str {
        &self.text[..self.authority.end as usize]
    }
    /// Path and query, never empty.
    pub fn path_and_query(&self) -> &str {
        &self.text[self.authority.end as usize..]
    }
    pub fn scheme(&self) -> &str {
        &self.text[..self.authority.start as usize - "://".len()]
    }
    pub fn host(&self) -> Host<'_> {
        authority::read_written(self.authority()).0
    }
    pub fn port(&self) -> u16 {
        let default = if self.scheme() == "https" { 443 } else { 80 };
        authority::port_of_written(self.authority()).unwrap_or(default)
    }
    /// 64-bit xxh3 of the text: the store's key (the ring hashes the text by itself, as configured).
    pub fn hash(&self) -> u64 {
        self.hash
    }
    /// The same of a text that may be a key's.
    #[inline]
    pub fn hash_of(text: &[u8]) -> u64 {
        xxh3_64(text)
    }
    /// The same of scheme, host and port, for tables of origins. No URL has it: each has a path.
    pub fn origin_hash(&self) -> u64 {
        xxh3_64(self.root().as_bytes())
    }
    /// Same scheme, host and port.
    pub fn same_origin(&self, other: &Key) -> bool {
        self.scheme() == other.scheme() && self.authority() == other.authority()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Most URLs are not, so what costs least is looked at first.
fn is_addressed(url: &str, authority: &std::ops::Range<usize>) -> bool {
    if authority.start != "https://".len() {
        return false;
    }
    let path = url[authority.end..].split('?').next().unwrap_or("");
    if Digest::named(path).is_none() {
        return false;
    }
    match authority::read_written(&url[authority.clone()]) {
        (Host::Name(host), port) => preset::keep(host, port.unwrap_or(443), path) == Keep::Addressed,
        (Host::Ip(_), _) => false,
    }
}

/// Without what is only a signature.
fn unsigned(url: &str) -> String {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    match content::shape(query) {
        shape if shape.is_empty() => rest.to_owned(),
        shape => format!("{rest}?{shape}"),
    }
}

/// As long as the `http` crate takes a URI, so that every key can be sent on.
const LONGEST: usize = u16::MAX as usize - 1;

/// What a target in absolute-form is made of.
pub struct Spelt<'a> {
    /// Scheme and authority.
    pub root: &'a [u8],
    pub authority: &'a [u8],
    /// Path and query.
    pub path: &'a [u8],
}

/// Takes apart a target that is the text of its own key, as nearly all are. `None`: it has to be parsed.
pub fn spelt(target: &[u8]) -> Option<Spelt<'_>> {
    let http = target.strip_prefix(b"http://").map(|rest| (rest, &b":80"[..]));
    let known = http.or_else(|| target.strip_prefix(b"https://").map(|rest| (rest, &b":443"[..])));
    let (rest, default_port) = known.filter(|_| target.len() <= LONGEST)?;
    let end = rest.iter().position(|byte| *byte == b'/')?;
    let (authority, path) = rest.split_at(end);
    let name_end = authority.iter().position(|byte| *byte == b':').unwrap_or(end);
    let (name, port) = authority.split_at(name_end);
    let is_name = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let is_normal = !name.is_empty()
        && name.iter().all(is_name)
        && is_normal_port(port, default_port)
        && path.iter().all(is_in_path);
    is_normal.then(|| Spelt { root: &target[..target.len() - path.len()], authority, path })
}

/// `:` and a number that is written as we write it, and not the default.
fn is_normal_port(port: &[u8], default_port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', b'1'..=b'9', rest @ ..] => {
            let is_number =
                rest.iter().all(u8::is_ascii_digit) && (rest.len() < 4 || rest.len() == 4 && port <= &b":65535"[..]);
            is_number && port != default_port
        }
        _ => false,
    }
}

/// What RFC 3986 allows in a path or a query.
fn is_in_path(byte: &u8) -> bool {
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let bytes = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@%/?";
        let mut i = 0;
        while i < bytes.len() {
            allowed[bytes[i] as usize] = true;
            i += 1;
        }
        allowed
    };
    ALLOWED[usize::from(*byte)]
}

fn build(scheme: &str, default_port: u16, authority: &Authority, path_and_query: &str) -> Result<Key, Fault> {
    let allowed = escaped(path_and_query.as_bytes());
    let path_and_query = visible_ascii(&allowed);
    // An empty path is a slash, with or without a query after it (RFC 9110 section 4.2.3).
    let slash = if path_and_query.starts_with('/') { "" } else { "/" };
    let fixed = scheme.len() + "://".len() + slash.len() + path_and_query.len();
    let mut text = String::with_capacity(fixed + written_length(authority, default_port));
    text.push_str(scheme);
    text.push_str("://");
    let start = text.len();
    authority.write(&mut text, default_port);
    let end = text.len();
    text.push_str(slash);
    text.push_str(&path_and_query);
    if text.len() > LONGEST {
        return Err(Fault::client(
            StatusCode::URI_TOO_LONG,
            Kind::HttpRequestError,
            "the URL is longer than 65534 bytes",
        ));
    }
    Ok(Key::of(text.into_boxed_str(), start..end))
}

/// Exact for names, so that the text of a key is allocated once; the most that it can be for IPv6.
fn written_length(authority: &Authority, default_port: u16) -> usize {
    let host = match authority.host {
        HostText::Plain(name) => name.len(),
        HostText::V6(_) => "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]".len(),
    };
    let digits = |port: u16| port.ilog10() as usize + 1;
    host + authority.port.filter(|port| *port != default_port).map_or(0, |port| 1 + digits(port))
}

/// What is not ASCII percent-encoded, byte by byte (RFC 3987 section 3.1).
pub fn visible_ascii(text: &[u8]) -> Cow<'_, str> {
    percent_encode(text, &AsciiSet::EMPTY).into()
}

/// A target whose bytes are percent-encoded where they are printable, and nothing that a URI may have (RFC 3987 section 3.1,
/// step 2).
pub fn escaped(target: &[u8]) -> Cow<'_, [u8]> {
    if !target.iter().copied().any(is_unwise) {
        return Cow::Borrowed(target);
    }
    let mut out = Vec::with_capacity(target.len() + 16);
    for byte in target {
        match is_unwise(*byte) {
            true => out.extend_from_slice(percent_encode_byte(*byte).as_bytes()),
            false => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// What people write in targets although no URI has it (RFC 3986 section 2): it is escaped.
pub const fn is_unwise(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// The four forms of a request target.
#[derive(Debug)]
pub enum Target {
    /// `GET http://host/path`: proxying.
    Absolute(Key),
    /// `CONNECT host:port`; the host as written, without brackets.
    Authority { host: Box<str>, port: u16 },
    /// `GET /path`: a request to ringhold itself.
    Origin,
    /// `OPTIONS *`
    Asterisk,
}

/// Reads a request target. Errors are the client's (400).
pub fn classify(method: &Method, uri: &Uri) -> Result<Target, Fault> {
    if method == Method::CONNECT {
        return classify_connect(uri);
    }
    match (uri.scheme_str(), uri.authority()) {
        (Some(_), _) => Key::from_uri(uri).map(Target::Absolute),
        (None, Some(_)) => Err(Fault::bad_request("host:port alone is for CONNECT: send http://host/path")),
        (None, None) if uri.path() != "*" => Ok(Target::Origin),
        (None, None) if method == Method::OPTIONS => Ok(Target::Asterisk),
        (None, None) => Err(Fault::bad_request("the target * is for OPTIONS alone: send http://host/path")),
    }
}

/// RFC 9110 section 9.3.6: only the authority, and there is no default port.
fn classify_connect(uri: &Uri) -> Result<Target, Fault> {
    const CURE: &str = "CONNECT needs host:port, for example example.com:443";
    let (None, Some(text), None) = (uri.scheme(), uri.authority(), uri.path_and_query()) else {
        return Err(Fault::bad_request(CURE));
    };
    let Authority { host, port: Some(port) } = Authority::parse(text.as_str())? else {
        return Err(Fault::bad_request(CURE));
    };
    let host = match host {
        HostText::Plain(name) => name.into(),
        HostText::V6(address) => address.to_string().into_boxed_str(),
    };
    Ok(Target::Authority { host, port })
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
