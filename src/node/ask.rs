//! A request as the node understands it: target, cleaned fields, and who asks.

use crate::net::listen::Peer;
use crate::net::serve::ClientBody;
use crate::wire::fault::Fault;
use crate::wire::hop::{self, Hop};
use crate::wire::link;
use crate::wire::target::{Key, Target, classify};
use http::{Request, header, request};
use http_body::Body;
use hyper::upgrade::OnUpgrade;

/// Who the answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A front, for a client of its own.
    Front,
    /// A client that talks to the node itself.
    Client,
}

/// A proxy request.
pub struct Ask {
    pub key: Key,
    /// Method and fields, without hop-by-hop and link fields.
    pub head: request::Parts,
    pub hop: Hop,
    pub asker: Asker,
    /// The client (not only the peer) is on this machine.
    pub same_machine: bool,
}

impl Ask {
    /// Whether it is for all of a representation, not for a range.
    pub fn wants_the_whole(&self) -> bool {
        !self.head.headers.contains_key(header::RANGE)
    }
}

/// What came in, sorted.
pub enum Incoming {
    Proxy { ask: Ask, body: Option<ClientBody>, upgrade: Option<OnUpgrade> },
    Control(Request<ClientBody>),
}

impl Incoming {
    /// Reads a request's head. Errors are the client's (400).
    pub fn read(mut request: Request<ClientBody>, peer: Peer) -> Result<Incoming, Fault> {
        let key = match classify(request.method(), request.uri())? {
            Target::Absolute(key) => key,
            Target::Origin => return Ok(Incoming::Control(request)),
            Target::Asterisk | Target::Authority { .. } => {
                return Err(Fault::bad_request("a cache node answers http:// URLs only; ask a front for CONNECT"));
            }
        };
        let upgrade = request.extensions_mut().remove::<OnUpgrade>();
        let (mut head, body) = request.into_parts();
        let (asker, same_machine) = who(&head, peer);
        let hop = hop::strip(&mut head.headers);
        hop::strip_prefixed(&mut head.headers, link::PREFIX);
        let body = (!body.is_end_stream()).then_some(body);
        let upgrade = upgrade.filter(|_| hop.upgrade.is_some());
        Ok(Incoming::Proxy { ask: Ask { key, head, hop, asker, same_machine }, body, upgrade })
    }
}

/// `Ringhold-Client` is believed from trusted peers only (docs/link.md).
fn who(head: &request::Parts, peer: Peer) -> (Asker, bool) {
    match head.headers.get(link::CLIENT) {
        Some(said) if peer.same_machine => (Asker::Front, said == link::LOCAL),
        _ => (Asker::Client, peer.same_machine),
    }
}
