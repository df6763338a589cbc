//! Plain requests by their bytes: a GET of a URL that has a hot copy is answered as it is read, and another is relayed
//! ([`super::shortly`]).
//!
//! Whatever is not as plain as can be goes the long way ([`super::service`]), which knows everything: the answers are
//! the same.

use super::hot::{Copy, Since};
use super::reply::Reply;
use super::shortly::Shortly;
use super::worker::Client;
use crate::net::serve::{Asking, Interim, Known, Payload, Plain};
use crate::store::Mark;
use crate::wire::connection_auth;
use crate::wire::date::Timestamp;
use crate::wire::field::{FieldId, Traits};
use http::header::{AUTHORIZATION, HOST, VIA};
use std::rc::Rc;
use std::sync::Arc;

/// What answers the plain requests of a client.
pub struct Quick(pub Rc<Client>);

impl Known for Quick {
    type Body = Reply;

    fn answer(&self, request: &Plain<'_>, head: &mut Vec<u8>) -> Option<Payload> {
        let hot = self.0.worker.hot.as_ref().filter(|_| self.0.worker.only_counts())?;
        // Only a target that is its own key: any other spelling goes the long way.
        let hash = xxhash_rust::xxh3::xxh3_64(request.target);
        if !self.0.ties.is_empty()
            || self.0.worker.unlikely.has(hash)
            || !has_one_host(request)
            || bears_on_fresh(request)
        {
            return None;
        }
        let since = hot.since();
        let copy = hot.standing(hash, request.target, since.at)?;
        let body = self.write(&copy, since.asked, head)?;
        if copy.is_due(since.at) {
            self.ask_ahead(request, since, &copy);
        }
        Some(body)
    }

    fn ask(&self, request: &Plain<'_>, interim: Interim) -> Option<Asking<Reply>> {
        let logs_in = |field: &httparse::Header<'_>| {
            field.name.eq_ignore_ascii_case(AUTHORIZATION.as_str()) && connection_auth::authorizes(field.value)
        };
        let goes_on = |field: &httparse::Header<'_>| !field.name.eq_ignore_ascii_case(VIA.as_str()) && !logs_in(field);
        if !self.0.ties.is_empty() || !has_one_host(request) || !request.fields.iter().all(goes_on) {
            return None;
        }
        let shortly = Shortly::of(self.0.clone(), request, bears_on_fresh(request), interim)?;
        Some(Box::pin(shortly.relay()))
    }
}

fn has_one_host(request: &Plain<'_>) -> bool {
    request.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(HOST.as_str())).count() == 1
}

/// Whether something in it could change the answer.
fn bears_on_fresh(request: &Plain<'_>) -> bool {
    request.fields.iter().any(|field| FieldId::has(field.name.as_bytes(), Traits::BEARS))
}

impl Quick {
    /// Asks the node on the request's behalf, which has its answer already, unless somebody does.
    fn ask_ahead(&self, request: &Plain<'_>, since: Since, copy: &Arc<Copy>) {
        if let Some(shortly) = Shortly::ahead(self.0.clone(), request, since, copy)
            && copy.takes_turn(since.at)
        {
            self.0.worker.connections.spawn(shortly.alone());
        }
    }

    fn write(&self, copy: &Copy, now: Timestamp, head: &mut Vec<u8>) -> Option<Payload> {
        let entry = copy.entry();
        if entry.mark == Mark::SameMachine && !self.0.peer.same_machine {
            return None;
        }
        let body = copy.write(now, head)?;
        let counters = &self.0.worker.shared.counters;
        counters.answers[usize::from(entry.status.as_u16() / 100)].add(1);
        counters.hits.add(1);
        counters.hot_hits.add(1);
        counters.body_bytes.add(entry.body().len());
        Some(body)
    }
}
