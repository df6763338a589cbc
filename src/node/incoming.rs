//! What came in, sorted: a request of the proxy, or one of the node itself.

use super::ask::{Ask, Asker, who};
use super::caller::Caller;
use super::peer::RemotePeer;
use crate::net::http1::Pins;
use crate::net::serve::{ClientBody, Noted, Upgrade};
use crate::net::shares::ClientId;
use crate::wire::date::Timestamp;
use crate::wire::fault::Fault;
use crate::wire::field::FieldId;
use crate::wire::hop::{self};
use crate::wire::target::{Key, Target, classify};
use crate::wire::tenure::Tenure;
use crate::wire::view::FieldView;
use crate::wire::{connection_auth, link};
use http::{Request, request};
use http_body::Body;
use std::rc::Rc;

/// What came in, sorted.
#[allow(clippy::large_enum_variant)] // mostly the large one, and looked at at once
pub enum IncomingRequest {
    Proxy { ask: Ask, body: Option<ClientBody>, upgrade: Option<Upgrade> },
    Control(Request<ClientBody>),
}

impl IncomingRequest {
    /// Reads a request's head. Errors are the client's (400).
    pub fn read(request: Request<ClientBody>, caller: &Caller, now: Timestamp) -> Result<IncomingRequest, Fault> {
        let (standing, vouched) = (caller.standing(), caller.is_vouched());
        let key = match classify(request.method(), request.uri())? {
            Target::Absolute(key) => key,
            Target::Origin => return Ok(IncomingRequest::Control(request)),
            Target::Asterisk | Target::Authority { .. } => {
                return Err(Fault::bad_request(
                    "a cache node answers http:// and https:// URLs only; ask a front for CONNECT",
                ));
            }
        };
        let (mut head, mut body) = request.into_parts();
        let upgrade = body.take_upgrade();
        let said = head.headers.first(FieldId::LinkClient);
        let (asker, same_machine) = who(said, standing);
        let of = match (asker, said) {
            (Asker::Front, Some(said)) => ClientId::told(link::client_name(said)),
            _ => caller.client(),
        };
        if asker == Asker::Front && !caller.may_ask(key.scheme() == "https") {
            return Err(Fault::denied(
                "https URLs are asked for where nobody else hears it: by a Unix socket, or inside TLS by who has proved the \
                 `[cluster] secret`",
            ));
        }
        let from_node = asker == Asker::Front && head.headers.contains_key(link::ASKER);
        // One hop: who is asked by a node asks no other. Of a store that each client asks itself nothing is lent.
        let may_ask = asker == Asker::Front && vouched && !from_node && !key.is_addressed();
        let said = head.headers.first(FieldId::LinkOwner).filter(|_| asker == Asker::Front);
        let tenure = said.and_then(Tenure::read).unwrap_or(Tenure::ANY);
        let peer = if may_ask { RemotePeer::read(&head.headers, tenure, &key) } else { None };
        let pins = pinned(&head, asker, caller.pins(), &key);
        let noted = head.extensions.remove::<Noted>().unwrap_or_default();
        noted.refuse()?;
        let mut hop = hop::strip(&mut head.headers);
        hop.upgrade = hop.upgrade.as_ref().and_then(hop::known_protocol);
        hop::strip_link(&mut head.headers);
        let interim = Some(body.interim());
        let body = (!body.is_end_stream()).then_some(body);
        let upgrade = upgrade.filter(|_| hop.upgrade.is_some());
        let (has_content, pathless) = (body.is_some(), noted.pathless);
        let ask = Ask {
            hop,
            interim,
            of,
            peer,
            tenure,
            came: now,
            from_node,
            pins,
            has_content,
            pathless,
            ..Ask::new(key, head, asker, same_machine)
        };
        Ok(IncomingRequest::Proxy { ask, body, upgrade })
    }
}

/// The connections of who asks, where the request is to be asked on one of them.
fn pinned(head: &request::Parts, asker: Asker, own: &Rc<Pins>, key: &Key) -> Option<Rc<Pins>> {
    let logs_in = connection_auth::is_in_request(&head.headers);
    match asker {
        Asker::Client => (logs_in || own.has(key)).then(|| own.clone()),
        Asker::Front if head.headers.contains_key(link::PINNED) => Some(own.clone()),
        Asker::Front => {
            // The connection is for all clients of the front (again): nothing on it is one client's.
            own.clear();
            logs_in.then(Rc::default)
        }
    }
}
