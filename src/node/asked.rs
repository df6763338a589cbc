//! The answer to another node (docs/link.md, Peer ask): what is stored and fresh, or a fill that is under way, or 504. The
//! origin is not asked, and no other node is.

use super::answer;
use super::ask::Ask;
use super::body::NodeBody;
use super::collapse::{Shared, fits, is_fresh, may_fit};
use super::counters::add;
use super::fill::{Fate, Fill, Head, Reader, Stage};
use super::{Node, peer};
use crate::clock;
use crate::policy::Decision;
use crate::policy::variants::Selection;
use crate::wire::status::{CacheStatus, Fwd};
use http::{HeaderMap, Method, Response, StatusCode};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

pub async fn serve(node: &Node, ask: &Ask) -> Response<NodeBody> {
    let found = match stored(node, ask) {
        Some(response) => Some(response),
        None => match under_way(node, ask) {
            Some(fill) => joined(node, ask, &fill).await,
            None => None,
        },
    };
    add(&node.counters.peer_answers, u64::from(found.is_some()));
    found.unwrap_or_else(|| nothing(node))
}

fn stored(node: &Node, ask: &Ask) -> Option<Response<NodeBody>> {
    let (entry, now) = (node.lookup(ask)?, clock::now());
    let Decision::Serve { ttl } = node.decide(ask, Some(&entry), None, now) else { return None };
    entry.touch(now.seconds());
    let status = CacheStatus { hit: true, ttl: Some(ttl), ..CacheStatus::default() };
    Some(answer::stored(node, ask, &entry, &status, now))
}

/// A fill that the request may read along. Not one that asks another node itself: two that ask each other would wait in
/// vain.
fn under_way(node: &Node, ask: &Ask) -> Option<Rc<Fill>> {
    let wanted = Selection::of(&ask.head.headers);
    let limit = patience(node);
    let joinable = |fill: &Rc<Fill>| match fill.stage() {
        Stage::Asking => !fill.asks_peer() && fill.age() < limit && may_fit(fill, &wanted),
        Stage::Streaming(head) => !fill.is_quiet(limit) && fits(&head, &wanted) && is_fresh(&head, ask),
        _ => false,
    };
    if ask.head.method != Method::GET {
        return None;
    }
    let mine = |fill: &Rc<Fill>| fill.same_machine == ask.same_machine && fill.fate() == Fate::Store;
    node.fills.of(&ask.key).into_iter().find(|fill| mine(fill) && joinable(fill))
}

/// Waits for the head, and says so all the while: whoever asks waits only as long as it hears of us.
async fn joined(node: &Node, ask: &Ask, fill: &Rc<Fill>) -> Option<Response<NodeBody>> {
    let _ticket = fill.ticket();
    let signs = async {
        loop {
            if let Some(interim) = &ask.interim {
                interim.send(StatusCode::PROCESSING, &HeaderMap::new());
            }
            sleep(peer::SIGN).await;
        }
    };
    let stage = tokio::select! {
        biased;
        stage = fill.outcome() => stage,
        () = signs => return None,
        // The one who asks may ask the origin itself, as others here have done by now.
        () = sleep(patience(node)) => return None,
    };
    let (head, reader) = match stage {
        Stage::Streaming(head) => readable(fill, head, ask)?,
        Stage::Validated(..) => return stored(node, ask),
        _ => return None,
    };
    Some(answer::filling(node, ask, &head, reader, Fwd::Miss, Shared::Collapsed))
}

/// How old a fill may be that has no answer yet: older, the origin is not only slow.
fn patience(node: &Node) -> Duration {
    5 * node.config.timeouts.collapse
}

fn readable(fill: &Rc<Fill>, head: Rc<Head>, ask: &Ask) -> Option<(Rc<Head>, Reader)> {
    let is_wanted = fill.fate() == Fate::Store && fits(&head, &Selection::of(&ask.head.headers));
    let reader = fill.reader(&head).filter(|_| is_wanted)?;
    Some((head, reader))
}

/// Without a body, so that the connection is free again at once.
fn nothing(node: &Node) -> Response<NodeBody> {
    let mut response = answer::only_if_cached(node);
    *response.body_mut() = NodeBody::Empty;
    response
}
