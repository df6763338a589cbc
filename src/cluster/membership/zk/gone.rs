//! PURE. Who has gone from the ring, and whether that is a loss of nodes or of the network.

use crate::cluster::views::Millis;
use std::collections::BTreeMap;

/// What is cut off at one moment does not go at one moment: ZooKeeper ends sessions on its tick (2 s by default), and what
/// a client said last it said up to a third of its session ago. Who goes keeps its place for at least so long, so that
/// those who go together are seen to go together, and who changes its session is not missed.
pub const LINGER: Millis = 4000;

#[derive(Debug, Default)]
pub struct Gone {
    linger: Millis,
    /// Members of the ring that are not registered, and since when.
    lingering: BTreeMap<String, Millis>,
    /// Those who have lost their place, and when: for a while they still count as members of before.
    left: BTreeMap<String, Millis>,
    /// So many members the ring has.
    members: usize,
}

impl Gone {
    pub fn new(session: Millis) -> Gone {
        Gone { linger: session.max(LINGER), ..Gone::default() }
    }

    /// `members`: those of the ring that ought to be there. `is_away`: it ought to be there, and is not registered.
    pub fn note<'a>(
        &mut self,
        members: impl Iterator<Item = &'a String>,
        is_away: impl Fn(&String) -> bool,
        now: Millis,
    ) {
        let members: Vec<&String> = members.collect();
        let before = std::mem::take(&mut self.lingering);
        // A clock that was put back would make them linger for ever.
        let since = |id: &String| before.get(id).copied().filter(|since| *since <= now).unwrap_or(now);
        self.lingering = members.iter().filter(|id| is_away(id)).map(|id| ((*id).clone(), since(id))).collect();
        let lost = before.into_keys().filter(|id| !members.contains(&id));
        self.left.extend(lost.map(|id| (id, now)));
        let counts = |at: Millis| at <= now && now < at.saturating_add(self.linger);
        self.left.retain(|id, at| counts(*at) && is_away(id) && !members.contains(&id));
        self.members = members.len();
    }

    /// Whether a member of the ring that is gone keeps its place. When more than half of the members of before are gone,
    /// it is the network that is gone.
    pub fn keeps_place(&self, id: &str, now: Millis) -> bool {
        let too_many = 2 * (self.lingering.len() + self.left.len()) > self.members + self.left.len();
        self.lingering.get(id).is_some_and(|since| too_many || now < since.saturating_add(self.linger))
    }

    /// When time alone changes something.
    pub fn next(&self, now: Millis) -> Option<Millis> {
        let ends = self.lingering.values().chain(self.left.values()).map(|since| since.saturating_add(self.linger));
        ends.filter(|at| *at > now).min()
    }
}
