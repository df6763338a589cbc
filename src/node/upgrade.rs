//! `Upgrade` (WebSocket): a tunnel, but only after the origin's 101.

use super::CacheNode;
use super::answer;
use super::answered::SwitchesTo;
use super::ask::Ask;
use super::body::NodeBody;
use super::exchange::exchange;
use super::forward;
use super::settled::Settled;
use crate::net::listen::Stream;
use crate::net::serve::{ClientBody, Upgrade};
use crate::net::splice::{TunnelEnd, TunnelLimits, TunnelSide, splice};
use crate::wire::fault::{Fault, Kind};
use crate::wire::status::Fwd;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;

/// A front finds out first that nothing moves: a tunnel ends within twice its limit.
const LATER: Duration = Duration::from_secs(1);

/// Asks the origin to switch; whatever it answers is the answer.
pub async fn serve(
    node: &Rc<CacheNode>,
    ask: Ask,
    body: Option<ClientBody>,
    client: Upgrade,
) -> Result<Response<NodeBody>, Fault> {
    let began = node.begins();
    match exchange(node, &ask, body, None, began).await? {
        Settled::Through(mut response, reach, why) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let protocol = switched(&ask, &response)?;
            let origin = response.body_mut().take_stream();
            let origin = origin
                .ok_or_else(|| Fault::origin(Kind::HttpUpgradeFailed, "the origin's 101 came without a connection"))?;
            tunnel(node, client, origin);
            let mut answer = answer::through(node, &ask, response, reach, Fwd::Request, why);
            if let Some(protocol) = protocol {
                answer.headers_mut().insert(header::UPGRADE, protocol);
            }
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            Ok(answer.map(|_| NodeBody::Empty))
        }
        // An origin that goes on as it is has answered an ordinary request (RFC 9110 section 7.8).
        settled => forward::answered(node, &ask, settled, began, Fwd::Request).await,
    }
}

/// The protocol that was asked for. The origin may switch to no other (RFC 9110 section 7.8).
fn switched<B>(ask: &Ask, response: &Response<B>) -> Result<Option<HeaderValue>, Fault> {
    let asked = ask.hop.upgrade.clone();
    let named = response.extensions().get::<SwitchesTo>().map_or(&[][..], |named| &named.0);
    let is_asked = |name: &Vec<u8>| asked.as_ref().is_some_and(|asked| asked.as_bytes().eq_ignore_ascii_case(name));
    match named.len() <= 1 && named.iter().all(is_asked) {
        true => Ok(asked),
        false => Err(Fault::origin(
            Kind::HttpUpgradeFailed,
            "the origin switched to another protocol than the one that was asked for",
        )),
    }
}

fn tunnel(node: &CacheNode, client: Upgrade, (mut origin, said): (Stream, Bytes)) {
    let limits = TunnelLimits {
        idle: node.config.timeouts.tunnel_idle.saturating_mul(2) + LATER,
        shutdown: node.shutdown.clone(),
    };
    tokio::task::spawn_local(async move {
        if let Some((mut client, early)) = client.taken().await {
            let (_, end) = splice(&mut client, early, &mut origin, said, limits).await;
            if end == TunnelEnd::Broken(TunnelSide::Second) {
                // A front is told: by a reset, or on a Unix socket by that nobody listens any more.
                client.reset_on_drop();
            }
        }
    });
}
