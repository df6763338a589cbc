//! One byte in place of a well-known field name: what makes a stored head small. In memory only, so the order is free.

use http::header::{self, HeaderName};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");
const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");
const X_SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Code `i` stands for `KNOWN[i - 1]`; 0 says that the name itself follows. The first [`REPEATING`] have the same value in
/// many responses.
pub static KNOWN: [HeaderName; 41] = [
    header::ACCEPT_RANGES,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ALLOW,
    header::ALT_SVC,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_SECURITY_POLICY,
    header::CONTENT_TYPE,
    header::PRAGMA,
    header::REFERRER_POLICY,
    header::SERVER,
    header::STRICT_TRANSPORT_SECURITY,
    header::VARY,
    header::VIA,
    header::X_CONTENT_TYPE_OPTIONS,
    X_POWERED_BY,
    TIMING_ALLOW_ORIGIN,
    CROSS_ORIGIN_RESOURCE_POLICY,
    header::AGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::SET_COOKIE,
    header::WARNING,
    CACHE_STATUS,
    X_REQUEST_ID,
    X_CACHE,
    X_SERVED_BY,
    SURROGATE_KEY,
];

const REPEATING: u8 = 23;

/// The code of a name, or 0.
pub fn code(name: &HeaderName) -> u8 {
    KNOWN.iter().position(|known| known == name).map_or(0, |i| i as u8 + 1)
}

/// The name of a code that is not 0.
pub fn name(code: u8) -> Option<&'static HeaderName> {
    KNOWN.get(usize::from(code).checked_sub(1)?)
}

/// Whether many responses have the same value in it.
pub fn repeats(code: u8) -> bool {
    (1..=REPEATING).contains(&code)
}
