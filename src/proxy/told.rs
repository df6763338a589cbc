//! What another front tells this one: its own copies of what was purged or made invalid are dropped (docs/link.md, From
//! front to front).

use super::pages;
use super::reply::ReplyContent;
use super::worker::Client;
use crate::clock;
use crate::cluster::invalidation::broadcast::{self, Acknowledgement, Announcement, PATH, Sealed, Who};
use crate::cluster::views::Outdated;
use crate::net::serve::ClientBody;
use crate::net::web;
use crate::wire::fault::Fault;
use crate::wire::target::Key;
use http::header::{CONTENT_TYPE, VIA};
use http::request::Parts;
use http::{Method, Response};
use http_body::Body;
use http_body_util::BodyExt;

/// A batch of invalidations is at most this large.
const MOST: u64 = 2 * 1024 * 1024;

/// Whether that is what a request is about. Web pages cannot send one of this type unasked, and no proxy sends one.
pub fn is_telling(client: &Client, request: &Parts) -> bool {
    let json = request.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/json");
    let is_told = request.method == Method::POST && request.uri == PATH && json && client.worker.front.id.is_some();
    is_told && !request.headers.contains_key(VIA)
}

/// The answer says that it is done. Nobody is listened to before its head has proved that it may be.
pub async fn hear(client: &Client, request: &Parts, body: ClientBody) -> Result<Response<ReplyContent>, Fault> {
    let denied = || Fault::denied("Only another front of the cluster may say so.");
    let length = body.size_hint().exact().filter(|length| *length <= MOST).ok_or_else(denied)?;
    if !may_tell(client, request, length) {
        return Err(denied());
    }
    let body = body.collect().await.map_err(|_| Fault::bad_request("The list broke off."))?;
    heard(client, &body.to_bytes()).ok_or_else(denied)
}

/// By the secret; without one all of the cluster is on one machine.
fn may_tell(client: &Client, request: &Parts, length: u64) -> bool {
    let (front, secrets) = (&client.worker.front, &client.worker.config.cluster);
    match secrets.secret.is_some() {
        true => front.id.as_ref().is_some_and(|id| broadcast::is_announced(secrets, &request.headers, id, length)),
        false => client.peer.same_machine && web::is_from_no_page(&request.headers, true).is_ok(),
    }
}

fn heard(client: &Client, body: &[u8]) -> Option<Response<ReplyContent>> {
    let worker = &client.worker;
    let sealed: Sealed = serde_json::from_slice(body).ok()?;
    let secret = sealed.opens(Who::Teller, &worker.config.cluster)?;
    let told: Announcement = serde_json::from_str(&sealed.text).ok()?;
    let front = worker.front.id.clone().filter(|id| *id == told.to)?;
    told.what.iter().for_each(|what| forget(client, what));
    let heard = serde_json::to_string(&Acknowledgement { front, nonce: told.nonce }).ok()?;
    let sealed = Sealed::by(Who::Listener, secret, heard);
    Some(pages::json(serde_json::to_vec(&sealed).ok()?))
}

fn forget(client: &Client, what: &Outdated) {
    let Some(hot) = &client.worker.hot else { return };
    match what {
        Outdated::Url(url) | Outdated::Renewed { renewed: url } => drop(Key::parse(url).map(|key| hot.forget(&key))),
        Outdated::Groups { origin, groups } => {
            drop(Key::parse(origin).map(|of| hot.forget_groups(&of, groups, clock::now())));
        }
    }
}
