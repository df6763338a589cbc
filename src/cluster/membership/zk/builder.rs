//! PURE. From what was seen in ZooKeeper to the view that workers route by and, on the front that leads, to the ring that
//! is to be written. Synchronous: events and the time go in, immutable views come out.

use super::forget::Absent;
use super::gone::Gone;
use super::record::{
    EARLIER, FrontRecord, MAX_EPOCH, MOST_TOLD, MemberRecord, MemberWish, Placed, Records, Registration, RingDoc,
};
use super::room::{fitting, room};
use crate::cluster::membership::members::{MemberSeat, MemberState};
use crate::cluster::views::handover::Handover;
use crate::cluster::views::{AbleNodes, Millis, Node, View};
use crate::config::{self, Address, MAX_WEIGHT, NodePlace};
use crate::ring::{Member, Ring};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::views::handover::UNKNOWN;

/// A change of the ring waits until nothing has changed for so long, so that nodes that start together join together.
const SETTLE: Millis = 250;
/// One that has been written and is to be written again waits twice as long each time, but for so many times.
const DOUBLINGS: u32 = 7;
/// A ring that was written so long ago is written again as if for the first time.
const LONG_AGO: Millis = 60_000;

/// What was seen.
#[derive(Clone, Debug)]
pub enum WorldEvent {
    /// Whether ZooKeeper can be asked.
    Connected(bool),
    /// Whether this front holds the lock.
    Leads(bool),
    Nodes(Records<Registration>),
    Members(Records<MemberRecord>),
    Fronts(Records<FrontRecord>),
    /// `None`: there is none yet, or none that can be read.
    Ring(Option<RingDoc>),
    /// A node that this front runs itself listens there.
    Local(config::NodeConfig, Address),
    LocalEnded(String),
    /// Time has passed.
    Later,
}

#[derive(Debug)]
pub struct Builder {
    ring: config::RingConfig,
    host: String,
    connected: bool,
    leads: bool,
    nodes: Records<Registration>,
    members: Records<MemberRecord>,
    fronts: Records<FrontRecord>,
    local: BTreeMap<String, (config::NodeConfig, Address)>,
    /// What ZooKeeper holds.
    found: Option<RingDoc>,
    /// What this front routes by.
    held: Option<RingDoc>,
    gone: Gone,
    absent: Absent,
    /// What the ring should be, and since when.
    wanted: Option<(Vec<Member>, Millis)>,
    tried: Option<Tried>,
    /// Members for whom, or for whose weight, there is no room.
    left_out: Vec<String>,
    seats: BTreeMap<String, MemberSeat>,
    able: AbleNodes,
    view: Arc<View>,
    /// The epoch of the newest ring that ZooKeeper has shown since the start.
    heard: Option<u64>,
}

/// What was last to be written, when, and how often in a row.
#[derive(Debug)]
struct Tried {
    members: Vec<Member>,
    at: Millis,
    times: u32,
}

impl Tried {
    /// Whether it is still to be thought of.
    fn counts(&self, members: &[Member], now: Millis) -> bool {
        self.members == members && self.at <= now && now < self.at.saturating_add(LONG_AGO)
    }

    fn again_at(&self) -> Millis {
        self.at.saturating_add(SETTLE << self.times.min(DOUBLINGS))
    }
}

impl Builder {
    /// `saved`: the ring that this front had before. `host`: nodes there run on this machine. `session`: its time.
    pub fn new(ring: &config::RingConfig, host: &str, session: Duration, saved: Option<RingDoc>) -> Builder {
        let mut builder = Builder {
            ring: ring.clone(),
            host: host.to_owned(),
            connected: false,
            leads: false,
            nodes: Records::new(),
            members: Records::new(),
            fronts: Records::new(),
            local: BTreeMap::new(),
            found: None,
            held: saved,
            gone: Gone::new(millis(session)),
            absent: Absent::default(),
            wanted: None,
            tried: None,
            left_out: Vec::new(),
            seats: BTreeMap::new(),
            able: AbleNodes::default(),
            view: Arc::new(View::new(0, Ring::new(ring.hash, ring.points, []), Vec::new())),
            heard: None,
        };
        // Nobody is asked for anything yet, so what time it is makes no difference.
        builder.rebuild(0);
        builder
    }

    /// Which of those that come later are known to speak TLS.
    pub fn knowing(self, able: AbleNodes) -> Builder {
        Builder { able, ..self }
    }

    pub fn on(&mut self, event: WorldEvent, now: Millis) {
        match event {
            WorldEvent::Connected(connected) => self.connected = connected,
            WorldEvent::Leads(leads) => self.leads = leads,
            WorldEvent::Nodes(nodes) => self.nodes = nodes,
            WorldEvent::Members(members) => self.members = members,
            WorldEvent::Fronts(fronts) => self.fronts = fronts,
            WorldEvent::Ring(found) => self.found(found),
            WorldEvent::Local(node, address) => drop(self.local.insert(node.id.clone(), (node, address))),
            WorldEvent::LocalEnded(id) => drop(self.local.remove(&id)),
            WorldEvent::Later => {}
        }
        self.rebuild(now);
        self.notice(now);
    }

    /// An older ring is no news: some server lags behind, or ZooKeeper was put back to an earlier state. Then whoever
    /// leads learns by [`FrontRecord::epoch`] that there were later ones, and writes one that follows them.
    fn found(&mut self, found: Option<RingDoc>) {
        if let Some(doc) = &found
            && self.held.as_ref().is_none_or(|held| doc.epoch >= held.epoch)
        {
            self.held = Some(doc.clone());
        }
        self.found = found;
    }

    pub fn view(&self) -> Arc<View> {
        self.view.clone()
    }
    pub fn seats(&self) -> impl Iterator<Item = &MemberSeat> {
        self.seats.values()
    }
    pub fn fronts(&self) -> &Records<FrontRecord> {
        &self.fronts
    }
    pub fn members(&self) -> &Records<MemberRecord> {
        &self.members
    }
    pub fn registered(&self) -> &Records<Registration> {
        &self.nodes
    }
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }
    pub fn is_registered(&self, id: &str) -> bool {
        self.nodes.contains_key(id)
    }
    pub fn leads(&self) -> bool {
        self.leads && self.connected
    }

    /// Members' records that this front, which leads, is to delete.
    pub fn forgettable(&self, now: Millis) -> Vec<String> {
        if self.leads() { self.absent.forgettable(now) } else { Vec::new() }
    }

    /// The ring to be kept for a start without ZooKeeper, with the addresses as they are now.
    pub fn to_save(&self) -> Option<RingDoc> {
        let mut doc = self.held.clone()?;
        for member in &mut doc.members {
            member.address = self.address(&member.id).unwrap_or_else(|| member.address.clone());
        }
        Some(doc)
    }

    /// The ring that this front is to write now, over the one that was found, or when to ask again.
    pub fn due(&mut self, now: Millis) -> Due {
        if !self.leads() {
            return Due::Nothing;
        }
        // Time alone makes those that linger go.
        self.notice(now);
        let ready = self.wanted.as_ref().map(|(wanted, since)| self.ready_at(wanted, *since, now));
        if let Some((wanted, _)) = self.wanted.as_ref().filter(|_| ready.is_some_and(|at| at <= now)) {
            let Some(doc) = self.doc(wanted) else { return Due::Nothing };
            self.tried = Some(self.next_try(wanted, now));
            return Due::Now(doc);
        }
        ready
            .into_iter()
            .chain(self.gone.next(now))
            .chain(self.absent.next(now))
            .min()
            .map_or(Due::Nothing, |at| Due::In(at - now))
    }

    /// Whether there is a ring that this front would have written, had it not lost the lock with its session.
    pub fn is_owed(&self) -> bool {
        self.leads && self.wanted.is_some()
    }

    /// A write that did not help (somebody else's stands there again, or nobody can read it) is not repeated at once.
    fn ready_at(&self, wanted: &[Member], since: Millis, now: Millis) -> Millis {
        let again = self.tried.as_ref().filter(|tried| tried.counts(wanted, now)).map(Tried::again_at);
        since.saturating_add(SETTLE).max(again.unwrap_or(0))
    }

    fn next_try(&self, wanted: &[Member], now: Millis) -> Tried {
        let before = self.tried.as_ref().filter(|tried| tried.counts(wanted, now)).map_or(0, |tried| tried.times);
        Tried { members: wanted.to_vec(), at: now, times: before.saturating_add(1) }
    }

    /// `None`: no epoch follows.
    fn doc(&self, wanted: &[Member]) -> Option<RingDoc> {
        let held = self.held.as_ref();
        let place = |m: &Member| {
            let address = self.address(&m.id)?;
            Some(Placed { id: m.id.clone(), weight: m.weight, address })
        };
        Some(RingDoc {
            epoch: self.newest_epoch().checked_add(1).filter(|epoch| *epoch <= MAX_EPOCH)?,
            // A front whose file says otherwise does not move every key when it comes to lead.
            hash: held.map_or(self.ring.hash, |h| h.hash),
            seed: 0,
            points: self.points(),
            members: wanted.iter().filter_map(place).collect(),
            previous: held.map(RingDoc::weights).unwrap_or_default(),
            earlier: self.earlier(),
        })
    }

    /// Who was there before the ring that another follows now, where that is not long ago.
    fn earlier(&self) -> Vec<Vec<Member>> {
        let rings = self.view.handover.iter().flat_map(Handover::rings);
        rings.map(Ring::members).filter(|members| members.len() <= MOST_TOLD).take(EARLIER).map(<[_]>::to_vec).collect()
    }

    fn points(&self) -> u32 {
        self.held.as_ref().map_or(self.ring.points, |h| h.points)
    }

    /// A front that says more than half of all that there is is not believed: one bad record would leave no epoch to go
    /// on with.
    fn newest_epoch(&self) -> u64 {
        let rings = [&self.held, &self.found].into_iter().flatten().map(|r| r.epoch);
        let fronts = self.fronts.values().map(|f| f.epoch).filter(|epoch| *epoch <= MAX_EPOCH / 2);
        rings.chain(fronts).max().unwrap_or(0)
    }

    /// Takes note of who has gone, of what the ring should be, and since when.
    fn notice(&mut self, now: Millis) {
        let mut gone = std::mem::take(&mut self.gone);
        let members = self.held.iter().flat_map(|held| &held.members).map(|m| &m.id);
        let is_away = |id: &String| self.is_active(id) && !self.nodes.contains_key(id);
        gone.note(members.filter(|id| self.is_active(id)), is_away, now);
        self.gone = gone;
        let placed = |id: &String| self.held.iter().flat_map(|held| &held.members).any(|m| m.id == *id);
        let mut absent = std::mem::take(&mut self.absent);
        absent.note(&self.members, |id| self.nodes.contains_key(id) || placed(id), now);
        self.absent = absent;
        let (should, left_out) = self.should_be(now);
        self.left_out = left_out;
        let is = self.found.as_ref().map(RingDoc::weights);
        let behind = self.found.as_ref().is_none_or(|f| f.epoch < self.newest_epoch());
        let right = !behind && is.as_ref() == Some(&should);
        if right || (is.is_none() && should.is_empty()) {
            self.wanted = None;
        } else if self.wanted.as_ref().is_none_or(|(wanted, since)| *wanted != should || *since > now) {
            self.wanted = Some((should, now));
        }
    }

    /// The members that the ring should have: who is there and active, and who has gone just now or with too many others;
    /// and for whom of these there is no room.
    fn should_be(&self, now: Millis) -> (Vec<Member>, Vec<String>) {
        let held: Vec<Member> = self.held.as_ref().map(RingDoc::weights).unwrap_or_default();
        let there = self.nodes.keys().filter(|id| self.serves(id)).map(|id| (id.clone(), self.weight(id, 1)));
        let mut members: BTreeMap<String, u32> = there.collect();
        let stay = held.iter().filter(|m| self.gone.keeps_place(&m.id, now));
        members.extend(stay.map(|m| (m.id.clone(), self.weight(&m.id, m.weight))));
        let (fit, left_out) = fitting(members, &held, room(self.points()));
        (fit.into_iter().map(|(id, weight)| Member { id, weight }).collect(), left_out)
    }

    /// Whether it belongs on the ring now. Who is about to leave does as long as nobody else is there.
    fn serves(&self, id: &str) -> bool {
        let stays = |id: &str| self.is_active(id) && self.nodes.get(id).is_some_and(|node| !node.leaving);
        stays(id) || (self.is_active(id) && !self.nodes.keys().any(|other| stays(other)))
    }

    /// Whether somebody could take over what the nodes of this front hold.
    pub fn has_heirs(&self) -> bool {
        let stays = |(id, node): (&String, &Registration)| !self.local.contains_key(id) && !node.leaving;
        self.connected && self.nodes.iter().any(|(id, node)| self.is_active(id) && stays((id, node)))
    }

    fn is_active(&self, id: &str) -> bool {
        self.members.get(id).is_none_or(|said| said.state == MemberWish::Active)
    }

    fn weight(&self, id: &str, unknown: u32) -> u32 {
        let said = self.members.get(id).and_then(|said| said.weight);
        let own = || self.nodes.get(id).map(|n| n.weight);
        said.or_else(own).unwrap_or(unknown).clamp(1, MAX_WEIGHT)
    }

    /// What this front knows itself comes first, then what the node says, then what the ring said of it.
    fn address(&self, id: &str) -> Option<Address> {
        let local = self.local.get(id).map(|(_, address)| address);
        let placed = || self.held.iter().flat_map(|h| &h.members).find(|m| m.id == id).map(|m| &m.address);
        local.or_else(|| self.nodes.get(id).map(|n| &n.address)).or_else(placed).cloned()
    }

    fn rebuild(&mut self, now: Millis) {
        self.seats = self.seated();
        let time = millis(self.ring.handover);
        let (epoch, members) = match &self.held {
            Some(held) => (held.epoch, held.weights()),
            // Nothing is known of any cluster: what runs here is one.
            None => (0, self.local.values().map(|(n, _)| Member { id: n.id.clone(), weight: n.weight }).collect()),
        };
        let same_ring = self.view.epoch == epoch && self.view.ring.members() == members;
        let seat = |m: &Member| self.seats.get(&m.id);
        let same_node = |(m, node): (&Member, &Arc<Node>)| seat(m).is_some_and(|s| Arc::ptr_eq(&s.node, node));
        let unheard = self.unheard();
        let stays = |node: &Arc<Node>| self.seats.values().any(|seat| Arc::ptr_eq(&seat.node, node));
        let nobody_has_gone = self.view.beside.iter().all(stays);
        if same_ring && nobody_has_gone && unheard.is_empty() && members.iter().zip(&self.view.nodes).all(same_node) {
            if let Some(view) = self.view.renewed(now, time) {
                self.view = Arc::new(view);
            }
            return;
        }
        let (hash, points) = self.held.as_ref().map_or((self.ring.hash, self.ring.points), |h| (h.hash, h.points));
        let ring = Ring::new(hash, points, members);
        let nodes = ring.members().iter().filter_map(|m| Some(seat(m)?.node.clone())).collect();
        let known = |id: &str| self.seats.get(id).map(|seat| seat.node.clone());
        let all = self.seats.values().map(|seat| seat.node.clone());
        let mut view = View::new(epoch, ring, nodes).beside(all).after(&self.view, now, time);
        if !unheard.is_empty() {
            let mut handover = view.handover.take().unwrap_or_default();
            for members in unheard {
                handover.begin(Arc::new(Ring::new(hash, points, members)), known, UNKNOWN, now.saturating_add(time));
            }
            view.handover = handover.at(now, time);
        }
        view.handover = view.handover.map(|handover| handover.seated(known));
        self.view = Arc::new(view);
        self.heard = self.news().map(|found| found.epoch).or(self.heard);
    }

    /// The ring that ZooKeeper shows, where this front has only now begun to route by it.
    fn news(&self) -> Option<&RingDoc> {
        let found = self.found.as_ref().filter(|found| self.held.as_ref() == Some(found))?;
        self.heard.is_none_or(|heard| heard < found.epoch).then_some(found)
    }

    /// The members before that ring, the newest last, where this front has not routed by them itself: it has just started, or
    /// has slept through an epoch.
    fn unheard(&self) -> Vec<Vec<Member>> {
        let is_unheard = |news: &&RingDoc| self.heard.is_none_or(|heard| heard.saturating_add(1) < news.epoch);
        let Some(news) = self.news().filter(is_unheard) else { return Vec::new() };
        let most = if self.heard.is_none() { usize::MAX } else { 1 };
        let before: Vec<_> = news.before().take(most).cloned().collect();
        before.into_iter().rev().collect()
    }

    fn seated(&self) -> BTreeMap<String, MemberSeat> {
        let placed = self.held.iter().flat_map(|h| h.members.iter().map(|m| &m.id));
        let ids = placed.chain(self.nodes.keys()).chain(self.local.keys());
        ids.filter_map(|id| Some((id.clone(), self.seat(id)?))).collect()
    }

    fn seat(&self, id: &String) -> Option<MemberSeat> {
        let address = self.address(id)?;
        let said = self.members.get(id);
        let leaving = self.nodes.get(id).is_some_and(|node| node.leaving);
        let state = match said.map_or(MemberWish::Active, |s| s.state) {
            MemberWish::Active if leaving => MemberState::Draining,
            MemberWish::Active => MemberState::Active,
            MemberWish::Draining => MemberState::Draining,
            MemberWish::Removed => MemberState::Leaving,
        };
        let own = self.local.get(id).map_or(1, |(node, _)| node.weight);
        let placed = self.held.iter().flat_map(|h| &h.members).find(|m| m.id == *id).map_or(own, |m| m.weight);
        let place = if self.local.contains_key(id) { NodePlace::Spawn } else { NodePlace::At(address.clone()) };
        let spec = config::NodeConfig { id: id.clone(), place, weight: self.weight(id, placed) };
        let kept = self.seats.get(id).filter(|seat| seat.node.address == address);
        let node = kept.map_or_else(|| Arc::new(self.node(id, address, spec.weight)), |seat| seat.node.clone());
        Some(MemberSeat { spec, state, node })
    }

    fn node(&self, id: &str, address: Address, weight: u32) -> Node {
        let here = address.is_local() || address.host().is_some_and(|host| host == self.host);
        Node::new(id.to_owned(), address, weight, here).known(&self.able)
    }
}

fn millis(time: Duration) -> Millis {
    time.as_millis().try_into().unwrap_or(Millis::MAX)
}

/// Whether there is a ring to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    Nothing,
    In(Millis),
    Now(RingDoc),
}

#[cfg(test)]
#[path = "builder_tests.rs"]
pub(crate) mod tests;
