//! Whole exchanges: the fields of a stored request and its response, then of a later request. No panic, no overflow; what
//! was forbidden is not stored; a stored response is never younger than the time that it was kept.
#![no_main]

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, request, response};
use libfuzzer_sys::fuzz_target;
use ringhold::lab::policy::{self, Decision, Failure, Rules, Stored};
use ringhold::lab::wire::{CacheControl, Set};
use ringhold::lab::wire::Timestamp;

/// `name:value` lines; what is none is left out.
fn fields(text: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n').take(32) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

fn has_body(request: &request::Parts) -> bool {
    ["transfer-encoding", "content-length"].iter().any(|name| request.headers.contains_key(*name))
}

fn asked(text: &[u8]) -> request::Parts {
    let (mut parts, ()) = Request::get("http://example.com/a").body(()).expect("a request").into_parts();
    parts.headers = fields(text);
    parts
}

fn answered(status: u16, text: &[u8]) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(status).unwrap_or_default();
    parts.headers = fields(text);
    parts
}

fuzz_target!(|input: (u16, u64, u64, &[u8], &[u8], &[u8])| {
    let (status, sent, kept, first, answer, second) = input;
    let (first, mut answer, second) = (asked(first), answered(status % 600, answer), asked(second));
    let (received, later) = (Timestamp(sent.saturating_add(9)), Timestamp(sent.saturating_add(9).saturating_add(kept)));
    let rules = Rules { targeted: vec![HeaderName::from_static("cdn-cache-control")], ..Rules::default() };
    let plain = Rules::default();
    if let Ok(terms) = policy::storable(&plain, &first, &answer, Timestamp(sent), received) {
        let cc = CacheControl::read(&answer.headers);
        assert!(!cc.has(Set::PRIVATE) && (!cc.has(Set::NO_STORE) || cc.has(Set::MUST_UNDERSTAND)));
        assert!(!CacheControl::read(&first.headers).has(Set::NO_STORE));
        assert!(terms.age(later) >= later.seconds().saturating_sub(received.seconds()).saturating_sub(1));
        let selecting = policy::variants::selecting(&answer.headers, &first.headers);
        policy::storable_fields(&mut answer.headers, received);
        let stored = || Stored { terms: &terms, status: answer.status, fields: &answer.headers };
        match policy::decide(&second, Some(stored()), later) {
            Decision::Serve { ttl } if !terms.is_fresh(later) => {
                assert!(ttl <= 0 && !terms.never_stale() && CacheControl::read(&second.headers).max_stale.is_some());
            }
            Decision::Serve { .. } => assert!(!terms.always_validate()),
            Decision::ServeStale { .. } => assert!(!terms.never_stale() && terms.stale_while_revalidate > 0),
            _ => {}
        }
        policy::explain(&second, Some(stored()), later);
        policy::stale_if_error(&second, &terms, Failure::Unreachable, later);
        stored().is_not_modified(&second.headers, later);
        policy::ranges::of(&second, &stored(), kept % 4096, later);
        assert!(selecting.is_some(), "what selects nothing is not stored (RFC 9111 section 4.1)");
        let (mut renewed, mut condition) = (answer.headers.clone(), second.headers.clone());
        stored().validation(&mut condition);
        let all = policy::freshen(&plain, &first, answer.status, &mut renewed, &second.headers, received, later);
        assert!(all.terms.is_err() || !CacheControl::read(&renewed).has(Set::PRIVATE));
        let refreshed = policy::requests::for_everyone(&second, &terms);
        assert!(policy::requests::may_lead(&refreshed) || has_body(&second) || refreshed.headers.contains_key("authorization"));
    }
    _ = policy::storable(&rules, &first, &answer, Timestamp(sent), received);
});
