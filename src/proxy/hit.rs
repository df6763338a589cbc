//! The front's own copy, answered as the request is read.

use super::hot::{Copy, Generation};
use super::outcome::{AnswerEnd, AnswerSource, CacheResult, Verdict};
use super::pass::Pass;
use super::worker::Client;
use crate::net::serve::{Payload, ServiceRequest};
use crate::policy;
use crate::wire::field::FieldId;
use crate::wire::target::Key;
use crate::wire::view::FieldView;
use http::Method;
use std::rc::Rc;
use std::sync::Arc;

/// Answers a request by its bytes, where there is a copy that answers it whatever else it says. Appends the head, of so many
/// bytes, and perhaps the body; gives one that is not there.
pub fn at_once(client: &Rc<Client>, request: &ServiceRequest<'_>, out: &mut Vec<u8>) -> Option<(usize, Payload)> {
    let worker = &client.worker;
    let hot = worker.hot.as_ref()?;
    // Only a target that is its own key is found so.
    let hash = Key::hash_of(request.target());
    let is_fit = client.ties.is_empty()
        && !worker.unlikely.has(hash)
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && request.is_alone()
        && !policy::requests::bears_on_fresh(&**request)
        && request.first(FieldId::Host).is_some();
    if !is_fit {
        return None;
    }
    let since = hot.since();
    let copy = hot.standing(hash, request.target(), since.at)?;
    let entry = copy.entry();
    if !copy.is_for(&**request, client.peer.same_machine) {
        return None;
    }
    let bodiless = *request.method() == Method::HEAD;
    let start = out.len();
    let (head, body) = copy.write(since.asked, bodiless, out)?;
    let mut record = client.record_of(request);
    record.decide(Verdict { status: entry.status, source: AnswerSource::Hot, cache: CacheResult::Hit, blame: None });
    record.note(&copy.node, || Some(copy.said(&out[start..start + head])));
    record.sent(if bodiless { 0 } else { usize::try_from(entry.body().len()).unwrap_or(usize::MAX) });
    record.end(AnswerEnd::Complete);
    if copy.is_due(since.at) {
        ask_ahead(client, request, since, &copy);
    }
    Some((head, body))
}

/// Asks the node on the request's behalf, which has its answer already, unless somebody does.
fn ask_ahead(client: &Rc<Client>, request: &ServiceRequest<'_>, since: Generation, copy: &Arc<Copy>) {
    if *request.method() == Method::GET
        && let Some(pass) = Pass::ahead(client.clone(), request, since, copy)
        && copy.takes_turn(since.at)
    {
        client.worker.connections.spawn(pass.alone());
    }
}
