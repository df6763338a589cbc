//! The question to the origin, and the interim responses that come before its answer.

use super::Node;
use super::ask::{Ask, Asker};
use super::upload::{Gate, Opener, Progress, Upload};
use crate::net::serve::{ClientBody, Interim};
use crate::wire::field::FieldId;
use crate::wire::{hop, list, via};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body::Body;

pub fn outgoing(node: &Node, ask: &Ask, body: Option<ClientBody>) -> (Request<Upload>, Progress) {
    let expects = list::has_token(&ask.head.headers, FieldId::Expect, "100-continue");
    let (opener, gate) = match (&body, expects) {
        (Some(_), true) => {
            let (opener, gate) = Gate::new(node.config.timeouts.expect_continue);
            (Some(opener), Some(gate))
        }
        _ => (None, None),
    };
    let (upload, progress) = Upload::new(body, gate);
    let chunked = matches!(upload, Upload::Body { .. }) && upload.size_hint().exact().is_none();
    let mut request = Request::new(upload);
    *request.method_mut() = ask.head.method.clone();
    *request.uri_mut() = origin_form(ask);
    *request.headers_mut() = outgoing_fields(node, ask);
    if chunked {
        // hyper would leave out the content of a GET whose length it does not know.
        request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    hear_interim(&mut request, opener, ask.interim.clone(), progress.clone());
    (request, progress)
}

/// Interim responses say that the origin is at work, and go on to the client (RFC 9110 section 15.2), except for the
/// `100 Continue` that it waits for: that is sent when its body is asked for, once this one has opened the gate.
fn hear_interim(request: &mut Request<Upload>, opener: Option<Opener>, interim: Option<Interim>, progress: Progress) {
    hyper::ext::on_informational(request, move |response| {
        progress.moved();
        match (&opener, &interim) {
            (Some(opener), _) if response.status() == StatusCode::CONTINUE => opener.open(),
            (_, Some(interim)) => {
                pass_on(interim, response.status(), response.headers().clone());
            }
            _ => {}
        }
    });
}

pub fn pass_on(interim: &Interim, status: StatusCode, mut headers: HeaderMap) {
    hop::strip(&mut headers);
    hop::strip_link(&mut headers);
    interim.send(status, &headers);
}

/// Shares the memory of the request where that has the same text, as it nearly always does.
fn origin_form(ask: &Ask) -> Uri {
    if ask.pathless {
        return Uri::from_static("*"); // RFC 9112 section 3.2.4
    }
    let wanted = ask.key.path_and_query();
    let sent = ask.head.uri.path_and_query().filter(|sent| sent.as_str() == wanted);
    sent.map_or_else(|| Uri::try_from(wanted).unwrap_or_default(), |sent| Uri::from(sent.clone()))
}

fn outgoing_fields(node: &Node, ask: &Ask) -> HeaderMap {
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
