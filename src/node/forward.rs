//! Requests that the cache does not answer: every method but GET and HEAD, and those with a body.

use super::Node;
use super::answer;
use super::ask::Ask;
use super::body::NodeBody;
use super::counters::add;
use super::exchange::{Settled, Why, exchange};
use crate::net::serve::ClientBody;
use crate::policy;
use crate::wire::fault::Fault;
use crate::wire::status::Fwd;
use http::{Response, response};
use std::rc::Rc;

/// Passes the request on, streaming both ways; what its answer makes invalid is forgotten before the answer is seen
/// (RFC 9111 section 4.4).
pub async fn serve(node: &Rc<Node>, ask: Ask, body: Option<ClientBody>) -> Result<Response<NodeBody>, Fault> {
    let settled = exchange(node, &ask, body, None).await?;
    add(&node.counters.forwarded, 1);
    match settled {
        Settled::Through(response, reach, why) => {
            let (head, body) = response.into_parts();
            invalidate(node, &ask, &head);
            Ok(answer::through(node, &ask, Response::from_parts(head, body), reach, Fwd::Method, why))
        }
        // The policy stores answers to GET only, and nothing was to be validated.
        Settled::Store(head, body) => {
            let mut response = Response::new(body);
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            let (parts, body) = response.into_parts();
            invalidate(node, &ask, &parts);
            let reach = match head.mark {
                crate::store::Mark::Anyone => crate::net::rules::Reach::Anyone,
                crate::store::Mark::SameMachine => crate::net::rules::Reach::SameMachine,
            };
            Ok(answer::through(node, &ask, Response::from_parts(parts, body), reach, Fwd::Method, Why::NotForUs))
        }
        Settled::Validated(_) => Err(super::fill::vanished()),
    }
}

fn invalidate(node: &Node, ask: &Ask, response: &response::Parts) {
    for key in policy::invalidates(&ask.head.method, &ask.key, response) {
        node.invalidate(&key);
    }
}
