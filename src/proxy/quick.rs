//! Plain requests by their bytes: a GET of a URL that has a hot copy is answered as it is read, and another is relayed
//! ([`super::shortly`]).
//!
//! Whatever is not as plain as can be goes the long way ([`super::service`]), which knows everything: the answers are
//! the same.

use super::hot::Copy;
use super::reply::Reply;
use super::shortly::Shortly;
use super::worker::Client;
use crate::clock::{self, Tick};
use crate::net::serve::{Asking, Interim, Known, Payload, Plain};
use crate::policy;
use crate::store::Mark;
use http::header::{HOST, VIA};
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
        if self.0.worker.unlikely.has(hash) || !has_one_host(request) || bears_on_fresh(request) {
            return None;
        }
        let now = clock::tick();
        let copy = hot.standing(hash, request.target, now)?;
        let body = self.write(&copy, head)?;
        if copy.is_due(now) {
            self.ask_ahead(request, hash, copy, now);
        }
        Some(body)
    }

    fn ask(&self, request: &Plain<'_>, interim: Interim) -> Option<Asking<Reply>> {
        if !has_one_host(request) || has_via(request) {
            return None;
        }
        let shortly = Shortly::of(self.0.clone(), request, bears_on_fresh(request), interim)?;
        Some(Box::pin(shortly.relay()))
    }
}

fn has_one_host(request: &Plain<'_>) -> bool {
    request.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(HOST.as_str())).count() == 1
}

fn has_via(request: &Plain<'_>) -> bool {
    request.fields.iter().any(|field| field.name.eq_ignore_ascii_case(VIA.as_str()))
}

/// Whether something in it could change the answer.
fn bears_on_fresh(request: &Plain<'_>) -> bool {
    request.fields.iter().any(|field| policy::requests::bears_on_fresh(field.name))
}

impl Quick {
    /// Asks the node on the request's behalf, which has its answer already, unless somebody does.
    fn ask_ahead(&self, request: &Plain<'_>, hash: u64, copy: Arc<Copy>, now: Tick) {
        let worker = &self.0.worker;
        // Another thread may have forgotten it since: what is asked from now on must not renew what was there before.
        let is_there = || {
            let found = worker.hot.as_ref().and_then(|hot| hot.standing(hash, request.target, now));
            found.is_some_and(|found| Arc::ptr_eq(&found, &copy))
        };
        if !has_via(request)
            && let Some(shortly) = Shortly::ahead(self.0.clone(), request, &copy)
            && is_there()
            && copy.takes_turn(now)
        {
            worker.connections.spawn(shortly.alone());
        }
    }

    fn write(&self, copy: &Copy, head: &mut Vec<u8>) -> Option<Payload> {
        let entry = copy.entry();
        if entry.mark == Mark::SameMachine && !self.0.peer.same_machine {
            return None;
        }
        let body = copy.write(clock::now(), head)?;
        let counters = &self.0.worker.shared.counters;
        counters.answers[usize::from(entry.status.as_u16() / 100)].add(1);
        counters.hits.add(1);
        counters.hot_hits.add(1);
        counters.body_bytes.add(entry.body().len());
        Some(body)
    }
}
