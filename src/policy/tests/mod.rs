//! Tables: a struct per case and one runner; each row cites its section (of RFC 9111, where no other is named).

mod cookies;
mod effects;
mod freshness;
mod groups;
mod parts;
mod presets;
mod props;
mod ranges;
mod reuse;
mod storing;
mod targeted;
mod validation;
mod vary;

use super::{NotStored, Rules, Stored, Terms, storable};
use crate::wire::date::{self, Timestamp};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, request, response};

/// A Thursday in 2026, on a whole second.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

fn at(seconds: i64) -> Timestamp {
    Timestamp(NOW.0.saturating_add_signed(seconds * 1000))
}

/// Lines such as `Cache-Control: no-store`; `@-60` as a value is the date of a minute ago.
fn fields(lines: &[&str]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let value = match value.trim().strip_prefix('@') {
            Some(offset) => HeaderValue::from_bytes(&date::format(at(offset.parse().unwrap()))).unwrap(),
            None => HeaderValue::from_bytes(value.trim().as_bytes()).unwrap(),
        };
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    map
}

fn request(lines: &[&str]) -> request::Parts {
    request_of(Method::GET, lines)
}

fn request_of(method: Method, lines: &[&str]) -> request::Parts {
    let (mut parts, ()) = Request::builder().method(method).uri("http://example.com/a").body(()).unwrap().into_parts();
    parts.headers = fields(lines);
    parts
}

fn response(status: u16, lines: &[&str]) -> response::Parts {
    let (mut parts, ()) = Response::builder().status(status).body(()).unwrap().into_parts();
    parts.headers = fields(lines);
    parts
}

/// Whether an answer that arrived now, at once, may be stored.
fn stored(req: &[&str], status: u16, res: &[&str]) -> Result<Terms, NotStored> {
    storable(&Rules::default(), &request(req), &response(status, res), NOW, NOW)
}

fn selected<'a>(terms: &'a Terms, status: u16, fields: &'a HeaderMap) -> Stored<'a, HeaderMap> {
    Stored { terms, status: StatusCode::from_u16(status).unwrap(), fields }
}
