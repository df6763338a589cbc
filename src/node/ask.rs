//! A request as the node understands it: target, cleaned fields, and who asks.

use super::peer::RemotePeer;
use crate::net::http1::Pins;
use crate::net::serve::{Interim, RequestHead};
use crate::net::shares::ClientId;
use crate::net::trust::Standing;
use crate::policy::{self, Terms};
use crate::wire::date::Timestamp;
use crate::wire::field::Traits;
use crate::wire::hop::Hop;
use crate::wire::target::Key;
use crate::wire::tenure::Tenure;
use crate::wire::view::FieldView;
use crate::wire::{connection_auth, link};
use http::{header, request};
use std::rc::Rc;
use std::time::Duration;

/// Who the answer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A front, for a client of its own.
    Front,
    /// A client that talks to the node itself.
    Client,
}

/// Who asks, and whether the client is on this machine. `said`: what `Ringhold-Client` says first, where it is there. It is
/// believed from trusted peers only (docs/link.md), and from another machine it never means this one.
pub fn who(said: Option<&[u8]>, standing: Standing) -> (Asker, bool) {
    match (said, standing) {
        (Some(said), Standing::SameMachine) => (Asker::Front, link::is_local(said)),
        (Some(_), Standing::Front) => (Asker::Front, false),
        (None, Standing::SameMachine) => (Asker::Client, true),
        (None, Standing::Front) | (_, Standing::Stranger) => (Asker::Client, false),
    }
}

/// Whether a front, where it is one that asks, is told what every client is told: another node is told more, what is pinned is one
/// client's, and so is who logs in by its connection. It has nothing but its lines.
pub fn is_for_anyone(request: &RequestHead<'_>) -> bool {
    let logs_in = || request.has_any(Traits::BEARS) && connection_auth::is_in_request(request);
    request.is_alone() && !request.has_any(Traits::ASIDE) && !logs_in()
}

/// A proxy request.
#[derive(Clone)]
pub struct Ask {
    pub key: Key,
    /// Method and fields, without hop-by-hop and link fields.
    pub head: request::Parts,
    pub hop: Hop,
    pub asker: Asker,
    /// Where interim responses go: whoever leads a fetch sees them.
    pub interim: Option<Interim>,
    /// The client (not only the peer) is on this machine.
    pub same_machine: bool,
    /// Whose share of what there is little it takes from.
    pub of: ClientId,
    /// The node to be asked before the origin.
    pub peer: Option<RemotePeer>,
    /// Since when this node, or the owner in whose place it is asked, answers for the URL; and when that was said.
    pub tenure: Tenure,
    pub came: Timestamp,
    /// Another node asks, for what is here.
    pub from_node: bool,
    /// Nobody waits for the answer: it is to renew what is stored.
    pub background: bool,
    /// It is asked on a connection of its client's own, and its answer is for that one alone (NTLM, Negotiate).
    pub pins: Option<Rc<Pins>>,
    /// It has a body.
    pub has_content: bool,
    /// `OPTIONS` for the server itself.
    pub pathless: bool,
}

impl Ask {
    /// Whether it goes to its origin by https.
    pub fn is_secure(&self) -> bool {
        self.key.scheme() == "https"
    }

    /// Whether it is for all of a representation, not for a range.
    pub fn wants_the_whole(&self) -> bool {
        !self.head.headers.contains_key(header::RANGE)
    }

    /// In place of the owner, which renews for both.
    pub fn is_instead(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.owns)
    }

    /// A request of nobody's own that renews what this one was answered with.
    pub fn for_everyone(&self, terms: &Terms) -> Ask {
        let (key, head) = (self.key.clone(), policy::requests::for_everyone(&self.head, terms));
        let (asker, same_machine) = (self.asker, self.same_machine);
        let (hop, interim, peer) = (Hop::default(), None, None);
        let (tenure, came) = (self.tenure, self.came);
        let new = Ask::new(key, head, asker, same_machine);
        Ask { hop, interim, peer, background: true, tenure, came, ..new }
    }

    /// Another node has answered since this was received, perhaps with something newer.
    pub fn is_outlived(&self, terms: &Terms) -> bool {
        !terms.is_within(self.tenure, self.came)
    }

    /// The same of what is fetched since so long ago.
    pub fn outlives(&self, age: Duration, now: Timestamp) -> bool {
        let began = now.0.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        !self.tenure.covers(self.is_instead(), self.came.millis_since(Timestamp(began)))
    }

    /// The same for the origin, after the other node has failed.
    pub fn without_peer(&self) -> Ask {
        Ask { peer: None, ..self.clone() }
    }

    /// Nothing but this.
    pub fn new(key: Key, head: request::Parts, asker: Asker, same_machine: bool) -> Ask {
        Ask {
            key,
            head,
            hop: Hop::default(),
            asker,
            interim: None,
            same_machine,
            of: ClientId::NOBODY,
            peer: None,
            tenure: Tenure::ANY,
            came: Timestamp(0),
            from_node: false,
            background: false,
            pins: None,
            has_content: false,
            pathless: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_peer_on_this_machine_can_speak_for_a_client_on_it() {
        use Standing::{Front, SameMachine, Stranger};
        let rows = [
            (SameMachine, Some("local"), Asker::Front, true),
            (SameMachine, Some("local 0123abcd"), Asker::Front, true),
            (SameMachine, Some("remote"), Asker::Front, false),
            (SameMachine, Some("anything"), Asker::Front, false),
            (SameMachine, None, Asker::Client, true),
            (Front, Some("local"), Asker::Front, false),
            (Front, Some("remote"), Asker::Front, false),
            (Front, None, Asker::Client, false),
            (Stranger, Some("local"), Asker::Client, false),
            (Stranger, None, Asker::Client, false),
        ];
        for (standing, said, asker, same_machine) in rows {
            assert_eq!(who(said.map(str::as_bytes), standing), (asker, same_machine), "{standing:?} {said:?}");
        }
    }
}
