//! What an answer shows of what its URL stands for now, whether it is stored or not: an older one that was asked for before it, and
//! is still on its way, is then not to be stored for everybody, or a client would see a page go back in time.

use super::parts;
use super::storable::{forbids, has_content};
use super::targeted::Rules;
use super::variants;
use crate::wire::length;
use crate::wire::view::RequestView;
use http::header::HeaderValue;
use http::{HeaderMap, Method, StatusCode, header, response};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `None`: it is of a representation whose status it does not say (206, 304).
    status: Option<StatusCode>,
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
    /// Of all of it, in bytes.
    length: Option<u64>,
    /// [`variants::selecting`]'s value.
    selecting: Box<[u8]>,
}

impl Shown {
    /// `None`: it shows nothing of what others may get, being an error, for its requester alone, or of the request's own content.
    pub fn of(rules: &Rules, req: &(impl RequestView + ?Sized), res: &response::Parts) -> Option<Shown> {
        let asks = matches!(*req.method(), Method::GET | Method::HEAD) && !has_content(req.fields());
        let status = match res.status.as_u16() {
            206 | 304 => None,
            200..=399 | 404 | 410 => Some(res.status),
            _ => return None,
        };
        if !asks || forbids(rules, &res.headers) {
            return None;
        }
        let selecting = variants::selecting(&res.headers, req.fields())?;
        let length = match status {
            Some(_) => length::said(&res.headers),
            None => parts::whole(&res.headers),
        };
        Some(Shown::stored(status, &res.headers, &selecting, length))
    }

    /// The same of what is being stored.
    pub fn stored(status: Option<StatusCode>, headers: &HeaderMap, selecting: &[u8], length: Option<u64>) -> Shown {
        let value = |name| headers.get(name).cloned();
        let (etag, last_modified) = (value(header::ETAG), value(header::LAST_MODIFIED));
        Shown { status, etag, last_modified, length, selecting: selecting.into() }
    }

    /// Whether both can be of one and the same representation, by their validators (weakly, RFC 9110 section 8.8.3.2); or are
    /// of different variants, which say nothing of each other. Where neither has any that the other has, they are different.
    pub fn agrees(&self, other: &Shown) -> bool {
        if self.selecting != other.selecting {
            return true;
        }
        let etags = both(&self.etag, &other.etag).map(|(a, b)| opaque(a) == opaque(b));
        let dates = both(&self.last_modified, &other.last_modified).map(|(a, b)| a == b);
        let differ = |what: Option<bool>| what == Some(false);
        let statuses = both(&self.status, &other.status).map(|(a, b)| a == b);
        let lengths = both(&self.length, &other.length).map(|(a, b)| a == b);
        let is_known = etags.is_some() || dates.is_some();
        is_known && ![etags, dates, statuses, lengths].into_iter().any(differ)
    }
}

fn both<'a, T>(a: &'a Option<T>, b: &'a Option<T>) -> Option<(&'a T, &'a T)> {
    a.as_ref().zip(b.as_ref())
}

fn opaque(tag: &HeaderValue) -> &[u8] {
    tag.as_bytes().strip_prefix(b"W/").unwrap_or(tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};

    fn shown(method: &str, asked: &str, status: u16, said: &str) -> Option<Shown> {
        let lines = |text: &str| -> Vec<(String, String)> {
            let lines = text.lines().map(|line| line.split_once(": ").unwrap());
            lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let mut request = Request::builder().method(method).uri("http://a/").body(()).unwrap().into_parts().0;
        let mut response = Response::builder().status(status).body(()).unwrap().into_parts().0;
        for (headers, text) in [(&mut request.headers, asked), (&mut response.headers, said)] {
            for (name, value) in lines(text) {
                let name = http::HeaderName::try_from(name).unwrap();
                headers.append(name, value.parse().unwrap());
            }
        }
        Shown::of(&Rules::default(), &request, &response)
    }

    #[test]
    fn what_is_for_its_requester_alone_or_says_nothing_of_the_page_shows_nothing() {
        for (method, asked, status, said, shows) in [
            ("GET", "", 200, "", true),
            ("GET", "authorization: a", 200, "etag: \"1\"", true),
            ("HEAD", "cache-control: no-store", 200, "", true),
            ("GET", "range: bytes=1-", 206, "content-range: bytes 1-2/3", true),
            ("GET", "if-none-match: \"1\"", 304, "etag: \"1\"", true),
            ("GET", "", 404, "", true),
            ("GET", "", 301, "", true),
            ("GET", "", 403, "", false),
            ("GET", "", 500, "", false),
            ("GET", "range: bytes=9-", 416, "", false),
            ("GET", "content-length: 3", 200, "", false),
            ("POST", "", 200, "", false),
            ("GET", "", 200, "cache-control: private", false),
            ("GET", "", 200, "cache-control: no-store", false),
            ("GET", "", 200, "vary: *", false),
        ] {
            assert_eq!(shown(method, asked, status, said).is_some(), shows, "{method} {asked} {status} {said}");
        }
    }

    #[test]
    fn two_answers_agree_by_their_validators() {
        let one = "etag: \"1\"\nlast-modified: a\ncontent-length: 3";
        for (status, said, agree) in [
            (200, one, true),
            (200, "etag: W/\"1\"", true),
            (200, "last-modified: a", true),
            (304, "etag: \"1\"", true),
            (206, "etag: \"1\"\ncontent-range: bytes 0-1/3", true),
            (206, "etag: \"1\"\ncontent-range: bytes 0-1/4", false),
            (200, "etag: \"2\"\nlast-modified: a", false),
            (200, "etag: \"1\"\nlast-modified: b", false),
            (200, "etag: \"1\"\ncontent-length: 4", false),
            (404, "etag: \"1\"", false),
            (200, "content-length: 3", false),
            (304, "", false),
            (200, "vary: accept\netag: \"9\"", true),
        ] {
            let (a, b) = (shown("GET", "", 200, one).unwrap(), shown("GET", "accept: b", status, said).unwrap());
            assert_eq!((a.agrees(&b), b.agrees(&a)), (agree, agree), "{status} {said}");
        }
    }
}
