//! Hot hits by their bytes: a plain GET of a URL that has a copy is answered before hyper sees it.
//!
//! Whatever is not as plain as can be goes the long way, which knows everything: the answers are the same.

use super::hot::{Copy, Hot};
use super::metrics::Counters;
use crate::clock;
use crate::net::serve::{Known, Plain};
use crate::policy;
use crate::store::Mark;
use bytes::Bytes;
use std::sync::Arc;

/// What a worker needs to answer so.
pub struct Quick {
    pub hot: Arc<Hot>,
    /// Of this worker.
    pub counters: Arc<Counters>,
}

impl Known for Quick {
    fn answer(&self, request: &Plain<'_>, same_machine: bool, head: &mut Vec<u8>) -> Option<Bytes> {
        if !is_plain(request.fields) {
            return None;
        }
        // Only a target that is its own key: any other spelling goes the long way.
        let copy = self.hot.standing(xxhash_rust::xxh3::xxh3_64(request.target), request.target)?;
        self.write(&copy, same_machine, head)
    }
}

impl Quick {
    fn write(&self, copy: &Copy, same_machine: bool, head: &mut Vec<u8>) -> Option<Bytes> {
        let (entry, fixed) = (copy.entry(), copy.head.as_ref()?);
        let now = clock::now();
        if now >= entry.terms.fresh_until || (entry.mark == Mark::SameMachine && !same_machine) {
            return None;
        }
        let body = entry.body().whole()?;
        head.extend_from_slice(fixed);
        head.extend_from_slice(itoa::Buffer::new().format(entry.terms.ttl(now)).as_bytes());
        head.extend_from_slice(b"\r\nage: ");
        head.extend_from_slice(itoa::Buffer::new().format(policy::age(&entry.terms, now)).as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        self.counters.answers[usize::from(entry.status.as_u16() / 100)].add(1);
        self.counters.hits.add(1);
        self.counters.hot_hits.add(1);
        self.counters.body_bytes.add(body.len() as u64);
        Some(body)
    }
}

/// Whether there is exactly one `Host`, and nothing that could change the answer.
fn is_plain(fields: &[httparse::Header<'_>]) -> bool {
    let hosts = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("host")).count();
    hosts == 1 && !fields.iter().any(|field| policy::bears_on_fresh(field.name))
}
