//! The question to the origin, and the interim responses that come before its answer.

use super::CacheNode;
use super::ask::{Ask, Asker};
use crate::net::http1::Upload;
use crate::net::serve::{ClientBody, Interim};
use crate::wire::{hop, via};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::Body;

/// The fields of a request to the origin, and its body.
pub fn outgoing(node: &CacheNode, ask: &Ask, body: Option<ClientBody>) -> (HeaderMap, Option<Box<Upload>>) {
    let upload = body.map(|body| {
        let (chunked, expects) = (body.size_hint().exact().is_none(), body.expects());
        let mut upload = Box::new(Upload::new(Box::pin(body), chunked));
        if expects {
            upload.hold_back(node.config.timeouts.expect_continue);
        }
        upload
    });
    (outgoing_fields(node, ask), upload)
}

/// Whether `Alt-Svc` in the answer of this URL's origin would lead around us, and so does not go on: an alternative service of an
/// https origin is one that its clients speak TLS with themselves (RFC 7838).
pub fn leads_around(url: &[u8]) -> bool {
    url.starts_with(b"https:")
}

/// Nothing in it leads around us, whichever the URL.
pub fn pass_on(interim: &Interim, status: StatusCode, mut headers: HeaderMap) {
    headers.remove(header::ALT_SVC);
    hop::strip(&mut headers);
    hop::strip_link(&mut headers);
    interim.send(status, &headers);
}

fn outgoing_fields(node: &CacheNode, ask: &Ask) -> HeaderMap {
    let mut headers = ask.head.headers.clone();
    let authority = ask.key.authority();
    if headers.get(header::HOST).is_none_or(|host| host.as_bytes() != authority.as_bytes())
        && let Ok(host) = HeaderValue::from_str(authority)
    {
        headers.insert(header::HOST, host);
    }
    if ask.asker == Asker::Client {
        via::append(&mut headers, ask.head.version, &node.pseudonym);
    }
    if ask.hop.te_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.append(header::CONNECTION, HeaderValue::from_static("TE"));
    }
    if let Some(upgrade) = &ask.hop.upgrade {
        headers.insert(header::UPGRADE, upgrade.clone());
        headers.append(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    headers
}
