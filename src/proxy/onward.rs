//! A request on its way to a node, with all that belongs to it, and what its answer does to other copies.

use super::effects::{Unfinished, invalidate, renewed};
use super::link::{self, NodeAnswer, NodePool, Said, Tie};
use super::relay;
use super::renewing::Renewal;
use super::worker::Client;
use crate::net::http1::Upload;
use crate::net::serve::{Interim, outlive};
use crate::policy;
use crate::wire::fault::{Fault, Kind};
use crate::wire::hop::{self, Hop};
use crate::wire::length::BodyLength;
use crate::wire::target::Key;
use http::request::Parts;
use http::{StatusCode, Version};
use std::rc::Rc;

/// See the module.
pub struct Onward {
    pub key: Key,
    pub request: Parts,
    pub hop: Hop,
    pub framing: BodyLength,
    pub expect: bool,
    pub pathless: bool,
    pub interim: Interim,
    pub tie: Option<Rc<Tie>>,
    pub upload: Option<Box<Upload>>,
}

/// A request, and what came of it.
pub struct OnwardRequest {
    pub key: Key,
    pub request: Parts,
    pub answer: NodeAnswer,
    pub pool: Rc<NodePool>,
    /// To be dropped at the answer's end.
    pub unfinished: Option<Unfinished>,
}

impl Onward {
    /// Asks; when this is done, whoever may hold what the answer has changed knows that.
    pub async fn ask(self, client: &Client) -> Result<OnwardRequest, Fault> {
        let Onward { key, request, hop, framing, expect, pathless, interim, tie, mut upload } = self;
        // RFC 9110 section 7.8: HTTP/1.0 does not know it.
        let may_upgrade = upload.is_none() && request.version > Version::HTTP_10;
        let protocol = hop.upgrade.as_ref().filter(|_| may_upgrade).and_then(hop::known_protocol);
        let (said, from) = (Said::Map(&request.headers), client.source);
        let asked = link::Request {
            interim: Some(&interim),
            te_trailers: hop.te_trailers,
            upgrade: protocol.as_ref(),
            framing,
            expect,
            forwarded_for: client.forwarded_for(),
            tie: tie.as_ref(),
            pathless,
            ..link::Request::new(&request.method, &key, said, request.version, from, &client.said)
        };
        let plain = policy::requests::may_ask_peer(&request);
        let renewal = (!plain).then(|| Renewal::of(&client.worker.front.renewing, key.hash()));
        let place = relay::asked(client, &asked, plain);
        let (answer, pool) = relay::relay(client, &asked, &mut upload, place).await?;
        let unfinished = match renewal {
            Some(renewal) if request.method.is_safe() => renewed(client, &key, &answer, &pool, renewal).await,
            renewal => {
                if !request.method.is_safe() {
                    Box::pin(invalidate(client, &request.method, &key, &answer, &pool, renewal)).await;
                }
                None
            }
        };
        Ok(OnwardRequest { key, request, answer, pool, unfinished })
    }

    /// The same also where the client leaves before its answer: what it has changed is forgotten by all.
    pub async fn ask_to_its_end(self, client: &Rc<Client>) -> Result<OnwardRequest, Fault> {
        let (interim, asker) = (self.interim.clone(), client.clone());
        let asking = async move { self.ask(&asker).await };
        let spawn = |work| drop(client.worker.connections.spawn(work));
        outlive(interim, asking, spawn).await.unwrap_or_else(|| Err(vanished()))
    }
}

fn vanished() -> Fault {
    let detail = "The request ended without an answer. This is a bug: please report it.";
    Fault::us(StatusCode::INTERNAL_SERVER_ERROR, Kind::ProxyInternalError, detail)
}
