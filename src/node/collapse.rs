//! Many requests, one fetch: who leads, who waits, who reads along (RFC 9111 section 4: collapsed requests).

use super::CacheNode;
use super::ask::Ask;
use super::exchange;
use super::fill::Sharing;
use super::fill::{self, Fate, Fill, FillHead, FillStage, Presumed, Reader, Ticket};
use super::fitting::{fits, is_fresh, is_shared, may_fit, vary_of};
use super::forgotten::FetchMoment;
use super::large;
use super::origin::OriginBody;
use super::outdone;
use super::peer_ask::{self, PeerSaid};
use super::pump::{FillGuard, pump};
use super::settled::Confirmed;
use super::settled::{Settled, Unstored};
use super::source::FillSource;
use crate::clock::{now, tick};
use crate::net::rules::Reach;
use crate::policy;
use crate::policy::variants::Selection;
use crate::store::{Entry, Shelf, Then};
use crate::wire::fault::Fault;
use http::{HeaderMap, Method, Response, StatusCode};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What a request got of the origin.
pub enum Got {
    /// A response that is being stored: read along. The flag says whether another request had asked for it.
    Filling(Rc<FillHead>, Reader, Collapsed),
    /// What was stored, confirmed by the origin.
    Validated(Confirmed, Collapsed),
    /// A response for this request alone.
    Through(Response<OriginBody>, Reach, Unstored),
    /// Somebody else's fetch ended without an answer that fits: look into the store again.
    Again,
    /// It ended with one that is for somebody else alone: the next will be too, so ask without waiting for others.
    Released,
    /// It ended with this error, in whose place what is stored may be answered.
    Erring(StatusCode),
    /// The owner has to be asked, by the front.
    Owners,
}

/// Whether the fetch was this request's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collapsed {
    Own,
    Collapsed,
}

/// What came of asking another node for what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It is here now.
    Stored,
    /// That one has nothing of it.
    Lacking,
    /// It was not asked, or said nothing of use.
    Unknown,
}

/// So many requests for one URL are sent at most while others are asked that have not waited for long, however many wait.
const IMPATIENT: u32 = 4;

/// Gets a response for a GET that may share: joins a fetch that is under way, or leads one. Who waits for another's fetch for
/// longer than `timeouts.collapse` asks as well: what holds up one request need not hold up the next. Of those who wait at
/// one time only one does at first, then two, then four: for all others it is as if they had joined that one, and whichever
/// is answered first answers all.
pub async fn join_or_lead(node: &Rc<CacheNode>, ask: &Rc<Ask>, stale: Option<Arc<Entry>>) -> Result<Got, Fault> {
    let (limit, came) = (node.config.timeouts.collapse, tick());
    // Who asks the owner waits for it as long as that says that it is at work: a second question would bring the same.
    let slow = if ask.is_instead() { node.config.timeouts.first_byte } else { limit };
    // What is to be validated was looked up just now, not when others have been waited for.
    let began = node.begins();
    let mut rounds = 0;
    let wanted = Selection::of(&ask.head.headers);
    let (mut held, mut looked) = (Vec::<Ticket>::new(), false);
    loop {
        let (mut asking, mut vary, mut is_quiet) = (Vec::new(), None, false);
        for fill in node.fills.of(&ask.key) {
            let is_ours = fill.lent == ask.is_instead() && !ask.outlives(fill.age(), now());
            if !is_ours || !is_shared(&fill, ask) {
                continue;
            }
            match fill.stage() {
                FillStage::Asking if may_fit(&fill, &wanted) => asking.push(fill),
                FillStage::Streaming(head) if fits(&head, &wanted) && !fill.is_quiet(limit) => {
                    if is_fresh(&head, ask)
                        && let Some(reader) = fill.reader(&head)
                    {
                        return Ok(Got::Filling(head, reader, Collapsed::Collapsed));
                    }
                }
                FillStage::Streaming(head) => {
                    is_quiet |= fill.is_quiet(limit);
                    vary = Some(presume(&vary_of(&head), ask));
                }
                _ => {}
            }
        }
        let young = asking.iter().filter(|fill| fill.age() < slow).count();
        let may_ask = 1_u32.checked_shl(rounds).map_or(IMPATIENT, |n| (n / 2).min(IMPATIENT)) as usize;
        if young == 0 || young < may_ask {
            // What has come from the origin meanwhile is looked at first: it may be we who were late.
            if (is_quiet || !asking.is_empty()) && !std::mem::replace(&mut looked, true) {
                tokio::task::yield_now().await;
                continue;
            }
            let presumed = vary.unwrap_or_else(|| presumed_by_store(node, ask));
            return lead(node, ask, (stale, began), presumed, asking).await;
        }
        (rounds, looked) = (rounds + 1, false);
        // Taken before those of the last round are given back: a fill that nobody waits for ends.
        let tickets = asking.iter().map(Fill::ticket).collect();
        drop(std::mem::replace(&mut held, tickets));
        let until = (slow * rounds).saturating_sub(tick().since(came));
        match timeout(until, any(&asking)).await {
            Ok((fill, stage)) => return joined(&fill, stage, ask),
            Err(_) => continue,
        }
    }
}

/// The first of these fills that is settled, unless it is good for nothing and another is not.
async fn any(fills: &[Rc<Fill>]) -> (Rc<Fill>, FillStage) {
    let mut waiting: Vec<_> = fills.iter().map(|fill| (fill, Box::pin(fill.outcome()))).collect();
    poll_fn(|cx| {
        let mut at = 0;
        while at < waiting.len() {
            match waiting[at].1.as_mut().poll(cx) {
                Poll::Ready(FillStage::Failed(_) | FillStage::Gone) if waiting.len() > 1 => {
                    drop(waiting.swap_remove(at))
                }
                Poll::Ready(stage) => return Poll::Ready((waiting[at].0.clone(), stage)),
                Poll::Pending => at += 1,
            }
        }
        Poll::Pending
    })
    .await
}

/// Gets a response for a request that may not share its fetch.
pub async fn alone(node: &Rc<CacheNode>, ask: &Rc<Ask>, stale: Option<Arc<Entry>>) -> Result<Got, Fault> {
    let began = node.begins();
    let settled = exchange::exchange(node, ask, None, stale.as_ref(), began).await?;
    own(node, ask, if ask.is_instead() { passed(node, ask, settled) } else { settled }, began)
}

/// The same where what is stored cannot be read: it answers nobody, and stands all the same.
pub async fn past_stored(node: &Rc<CacheNode>, ask: &Rc<Ask>) -> Result<Got, Fault> {
    let began = node.begins();
    let settled = exchange::exchange(node, ask, None, None, began).await?;
    match if ask.is_instead() { passed(node, ask, settled) } else { settled } {
        Settled::Store(head, body) if outdone::by_stored(node, ask, None, (head.sent, head.terms.born)).is_some() => {
            let (head, reader) = keep(node, ask, head, body, Fate::Forget)?;
            Ok(Got::Filling(head, reader, Collapsed::Own))
        }
        settled => own(node, ask, settled, began),
    }
}

/// [`alone`] in a way that others may hear of while it comes. Nothing is stored that could be validated.
pub async fn lead_alone(node: &Rc<CacheNode>, ask: &Rc<Ask>) -> Result<Got, Fault> {
    lead(node, ask, (None, node.begins()), presumed_by_store(node, ask), Vec::new()).await
}

/// In the owner's place an answer of the origin is passed on, and none that may be stored: of that the owner has another.
pub fn passed(node: &CacheNode, ask: &Ask, settled: Settled) -> Settled {
    match settled {
        Settled::Through(..) => settled,
        Settled::Validated(_) | Settled::Store(..) | Settled::Owners | Settled::Stands => {
            node.uncacheable.forget(&ask.key);
            Settled::Owners
        }
    }
}

/// What came of an exchange of one request's own, which began then.
pub fn own(node: &Rc<CacheNode>, ask: &Ask, settled: Settled, began: FetchMoment) -> Result<Got, Fault> {
    match settled {
        Settled::Validated(confirmed) => Ok(Got::Validated(confirmed, Collapsed::Own)),
        Settled::Through(response, reach, why) => {
            if ask.head.method == Method::GET && !matches!(why, Unstored::NotForUs | Unstored::Failed) {
                node.uncacheable.note(&ask.key, why, Then::AsBefore);
            }
            Ok(Got::Through(response, reach, why))
        }
        Settled::Store(head, body) => {
            let fate = match outdone::by_stored(node, ask, None, (head.sent, head.terms.born)) {
                Some(entry) if policy::requests::may_ask_peer(&ask.head) => {
                    return Ok(Got::Validated(standing(entry), Collapsed::Collapsed));
                }
                // It is for its requester alone: others have the one that is stored.
                Some(_) => Fate::Forget,
                None => node.fate(began, &ask.key),
            };
            let (head, reader) = keep(node, ask, head, body, fate)?;
            Ok(Got::Filling(head, reader, Collapsed::Own))
        }
        Settled::Owners => Ok(Got::Owners),
        Settled::Stands => Ok(Got::Again),
    }
}

/// What stands although something else has come.
fn standing(entry: Arc<Entry>) -> Confirmed {
    Confirmed { entry, withheld: HeaderMap::new(), kept: Sharing::Stored, fwd_status: None }
}

/// Stores a response that was fetched for one request, while that request reads it; only what is still wanted.
pub fn keep(
    node: &Rc<CacheNode>,
    ask: &Ask,
    head: FillHead,
    body: FillSource,
    fate: Fate,
) -> Result<(Rc<FillHead>, Reader), Fault> {
    node.uncacheable.forget(&ask.key);
    let (head, fill) = (Rc::new(head), Fill::new(ask.key.as_str(), ask.same_machine, false, None));
    fill.set_fate(if head.outdone { Fate::Forget } else { fate });
    large::begin(node, &fill, &head);
    fill.settle(FillStage::Streaming(head.clone()));
    let ending = FillGuard::new(node, &fill, &ask.key);
    fill.set_apart(!policy::requests::may_lead(&ask.head));
    node.fills.insert(ask.key.hash(), fill.clone());
    let Some(reader) = fill.reader(&head) else { return Err(fill::vanished()) };
    let task = tokio::task::spawn_local(pump(ending, head.clone(), body));
    fill.run_by(task.abort_handle());
    Ok((head, reader))
}

/// What somebody else's fetch is good for.
fn joined(fill: &Rc<Fill>, stage: FillStage, ask: &Ask) -> Result<Got, Fault> {
    match stage {
        // RFC 9111 section 4: what may be reused for nobody is its requester's alone, whom the origin may know by a cookie.
        FillStage::Streaming(head) if head.terms.is_for_each() => Ok(Got::Released),
        FillStage::Validated(entry, _) if entry.terms.is_for_each() => Ok(Got::Released),
        // The owner may have said so before this request came, and may have answered others with a newer one since.
        FillStage::Streaming(head) if fill.lent && !is_fresh(&head, ask) => Ok(Got::Again),
        // Asked for while this request waited, so it answers it, even where it is stale by now.
        FillStage::Streaming(head) if fits(&head, &Selection::of(&ask.head.headers)) && fill.fate() == Fate::Store => {
            match fill.reader(&head) {
                Some(reader) => Ok(Got::Filling(head, reader, Collapsed::Collapsed)),
                None => Ok(Got::Again),
            }
        }
        FillStage::Validated(entry, kept)
            if Shelf::One(entry.clone()).select(&ask.head.headers, ask.same_machine).is_some() =>
        {
            let confirmed = Confirmed { entry, withheld: HeaderMap::new(), kept, fwd_status: Some(304) };
            Ok(Got::Validated(confirmed, Collapsed::Collapsed))
        }
        FillStage::Released => Ok(Got::Released),
        FillStage::Owners => Ok(Got::Owners),
        FillStage::Erring(status) => Ok(Got::Erring(status)),
        FillStage::Failed(fault) => Err(fill::same(&fault)),
        _ => Ok(Got::Again),
    }
}

/// What a leader's task hands to the leader.
type Handed = Result<Got, Fault>;

/// Fetches in a task of its own, so that the leader may leave and the others still get their answer.
async fn lead(
    node: &Rc<CacheNode>,
    ask: &Rc<Ask>,
    (stale, began): (Option<Arc<Entry>>, FetchMoment),
    presumed: Option<Presumed>,
    others: Vec<Rc<Fill>>,
) -> Result<Got, Fault> {
    let fill = Fill::new(ask.key.as_str(), ask.same_machine, ask.is_instead(), presumed);
    let ticket: Ticket = fill.ticket();
    let (tx, rx) = oneshot::channel();
    let ending = FillGuard::new(node, &fill, &ask.key);
    node.fills.insert(ask.key.hash(), fill.clone());
    // Another node may wait for the same answer.
    let of_peer = others.is_empty();
    let task = tokio::task::spawn_local(fetch(ending, ask.clone(), stale, (began, of_peer), tx));
    fill.run_by(task.abort_handle());
    let handed: Handed = tokio::select! {
        biased;
        handed = rx => handed.unwrap_or_else(|_| Err(fill::vanished())),
        // It was only slow.
        got = in_its_place(&others, ask), if !others.is_empty() => return Ok(got),
    };
    drop(ticket);
    handed
}

/// An answer to one of those that were asked before. For ever where none of them is of use.
async fn in_its_place(others: &[Rc<Fill>], ask: &Ask) -> Got {
    let (fill, stage) = any(others).await;
    match joined(&fill, stage, ask) {
        Ok(got @ (Got::Filling(..) | Got::Validated(..))) => got,
        _ => std::future::pending().await,
    }
}

async fn fetch(
    ending: FillGuard,
    ask: Rc<Ask>,
    stale: Option<Arc<Entry>>,
    (began, of_peer): (FetchMoment, bool),
    leader: oneshot::Sender<Handed>,
) {
    let (node, fill) = (ending.node.clone(), ending.fill.clone());
    let settled = question(&node, &ask, stale.as_ref(), &fill, (began, of_peer)).await;
    match settled {
        Ok(Settled::Validated(confirmed)) => {
            fill.settle(match confirmed.kept {
                Sharing::Alone(_) => FillStage::Released,
                // Who came after what is newer is not to be answered with it.
                Sharing::Outdated => FillStage::Gone,
                kept => FillStage::Validated(confirmed.entry.clone(), kept),
            });
            let _ = leader.send(Ok(Got::Validated(confirmed, Collapsed::Own)));
        }
        // It was asked late, and this node has answered for the URL by itself meanwhile.
        Ok(Settled::Store(head, _)) if fill.lent && outdone::by_own(&node, &ask, head.sent) => {
            fill.settle(FillStage::Owners);
            let _ = leader.send(Ok(Got::Owners));
        }
        Ok(Settled::Store(head, _)) if !fill.lent && outdone::by_what_comes(&node, &ask, &fill) => {
            tracing::debug!(status = %head.status, "another answer was first for {}", ask.key.as_str());
            fill.settle(FillStage::Gone);
            let _ = leader.send(Ok(Got::Again));
        }
        Ok(Settled::Store(head, body)) => {
            let times = (head.sent, head.terms.born);
            let first = if fill.lent { None } else { outdone::by_stored(&node, &ask, stale.as_deref(), times) };
            if let Some(entry) = first {
                fill.settle(FillStage::Validated(entry.clone(), Sharing::Stored));
                return drop(leader.send(Ok(Got::Validated(standing(entry), Collapsed::Collapsed))));
            }
            node.uncacheable.forget(&ask.key);
            if head.outdone || (head.seed.is_some() && node.fate(began, &ask.key) == Fate::Forget) {
                fill.set_fate(Fate::Forget);
            }
            let head = Rc::new(head);
            large::begin(&node, &fill, &head);
            fill.settle(FillStage::Streaming(head.clone()));
            // Made before the body moves: what is not to be stored any more is let go as soon as nobody reads it.
            let reader = fill.reader(&head);
            let got = reader.map_or(Got::Again, |reader| Got::Filling(head.clone(), reader, Collapsed::Own));
            let _ = leader.send(Ok(got));
            pump(ending, head, body).await;
        }
        Ok(Settled::Through(response, reach, why)) => {
            fill.settle(through(&node, &ask, response.status(), why));
            let _ = leader.send(Ok(Got::Through(response, reach, why)));
        }
        Ok(Settled::Stands) => {
            fill.settle(FillStage::Gone);
            let _ = leader.send(Ok(Got::Again));
        }
        Ok(Settled::Owners) => {
            fill.settle(FillStage::Owners);
            let _ = leader.send(Ok(Got::Owners));
        }
        Err(fault) => {
            fill.settle(FillStage::Failed(Rc::new(fill::same(&fault))));
            let _ = leader.send(Err(fault));
        }
    }
}

/// Has what another node holds stored here too, without asking an origin. Whoever wants it meanwhile waits.
pub async fn adopt(node: &Rc<CacheNode>, ask: &Ask) -> Adoption {
    let fill = Fill::new(ask.key.as_str(), ask.same_machine, false, presumed_by_store(node, ask));
    let ending = FillGuard::new(node, &fill, &ask.key);
    node.fills.insert(ask.key.hash(), fill.clone());
    let (head, body) = match peer_ask::ask(node, ask, None, &fill).await {
        PeerSaid::Has(head, body) => (head, body),
        said => {
            // Nobody's question was given up.
            fill.settle(FillStage::Gone);
            return if matches!(said, PeerSaid::Lacks) { Adoption::Lacking } else { Adoption::Unknown };
        }
    };
    node.uncacheable.forget(&ask.key);
    if head.outdone {
        fill.set_fate(Fate::Forget);
    }
    let head = Rc::new(head);
    large::begin(node, &fill, &head);
    fill.settle(FillStage::Streaming(head.clone()));
    pump(ending, head, FillSource::Peer(body)).await;
    if fill.is_whole() { Adoption::Stored } else { Adoption::Unknown }
}

/// What an answer for its requester alone says to those who waited for it.
fn through(node: &CacheNode, ask: &Ask, status: StatusCode, why: Unstored) -> FillStage {
    if why == Unstored::Failed {
        return FillStage::Erring(status);
    }
    // Remembered first: those who are released must not queue up behind a new leader. An error of the origin says
    // nothing of the answers that come after it.
    let then = if status.is_server_error() { Then::AsBefore } else { Then::Alone };
    node.uncacheable.note(&ask.key, why, then);
    FillStage::Released
}

/// In the owner's place the owner is asked, and nobody else, unless it passes on what the origin answers as well: whatever came
/// from elsewhere would be older than what the owner answers with, or newer. Else the node is asked that has it, perhaps, when
/// nothing is stored here, or what is stored may have been made invalid while this node was away: whoever stood in for it knows.
/// Then the origin.
async fn question(
    node: &CacheNode,
    ask: &Ask,
    stale: Option<&Arc<Entry>>,
    fill: &Fill,
    (began, of_peer): (FetchMoment, bool),
) -> Result<Settled, Fault> {
    let told = match ask.is_instead()
        || (of_peer && stale.is_none_or(|entry| node.may_have_missed(entry) || ask.is_outlived(&entry.terms)))
    {
        true => peer_ask::ask(node, ask, stale, fill).await,
        false => PeerSaid::Nothing,
    };
    match told {
        PeerSaid::Has(head, body) => Ok(Settled::Store(head, FillSource::Peer(body))),
        PeerSaid::Nothing | PeerSaid::Lacks if ask.is_instead() => Ok(Settled::Owners),
        PeerSaid::Passes if ask.is_instead() => {
            Ok(passed(node, ask, exchange::exchange(node, ask, None, None, began).await?))
        }
        PeerSaid::Lacks if let Some(entry) = stale.and_then(|entry| node.as_of_now(ask, entry)) => {
            node.store.put(&ask.key, entry);
            Ok(Settled::Stands)
        }
        PeerSaid::Nothing | PeerSaid::Lacks | PeerSaid::Passes => {
            exchange::exchange(node, ask, None, stale, began).await
        }
    }
}

fn presume(vary: &[u8], ask: &Ask) -> Option<Presumed> {
    if vary.is_empty() {
        return None;
    }
    policy::variants::selecting_by(vary, &ask.head.headers).map(|selecting| Presumed { vary: vary.into(), selecting })
}

fn presumed_by_store(node: &CacheNode, ask: &Ask) -> Option<Presumed> {
    let shelf = node.store.get(&ask.key)?;
    presume(shelf.entries().first()?.vary(), ask)
}
