//! What another front tells this one: its own copies of what was purged or made invalid are dropped (docs/link.md, From
//! front to front).

use super::pages;
use super::reply::Content;
use super::worker::Client;
use crate::clock;
use crate::cluster::tell::{Heard, PATH, Sealed, Told, Who};
use crate::cluster::view::Outdated;
use crate::net::serve::ClientBody;
use crate::wire::fault::Fault;
use crate::wire::target::Key;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Response};
use http_body_util::{BodyExt, Limited};

/// A batch of invalidations is at most this large.
const MOST: usize = 2 * 1024 * 1024;

/// Whether that is what a request is about. Web pages cannot send one of this type unasked.
pub fn is_telling(client: &Client, request: &Parts) -> bool {
    let json = request.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/json");
    request.method == Method::POST && request.uri == PATH && json && client.worker.front.id.is_some()
}

/// The answer says that it is done.
pub async fn hear(client: &Client, body: ClientBody) -> Result<Response<Content>, Fault> {
    let body = Limited::new(body, MOST).collect().await.map_err(|_| Fault::bad_request("The list broke off."))?;
    heard(client, &body.to_bytes()).ok_or_else(|| Fault::denied("Only another front of the cluster may say so."))
}

fn heard(client: &Client, body: &[u8]) -> Option<Response<Content>> {
    let worker = &client.worker;
    let sealed: Sealed = serde_json::from_slice(body).ok()?;
    let secret = sealed.opens(Who::Teller, &worker.config.cluster)?;
    // Without a secret all of the cluster is on one machine.
    if secret.is_none() && !client.peer.same_machine {
        return None;
    }
    let told: Told = serde_json::from_str(&sealed.text).ok()?;
    let front = worker.front.id.clone().filter(|id| *id == told.to)?;
    told.what.iter().for_each(|what| forget(client, what));
    let heard = serde_json::to_string(&Heard { front, nonce: told.nonce }).ok()?;
    let sealed = Sealed::by(Who::Listener, secret, heard);
    Some(pages::json(serde_json::to_vec(&sealed).ok()?))
}

fn forget(client: &Client, what: &Outdated) {
    let Some(hot) = &client.worker.hot else { return };
    match what {
        Outdated::Url(url) => drop(Key::parse(url).map(|key| hot.forget(&key))),
        Outdated::Groups { origin, groups } => {
            drop(Key::parse(origin).map(|of| hot.forget_groups(&of, groups, clock::now())));
        }
    }
}
