//! PURE. The consistent-hash ring (Karger et al. 1997) with virtual nodes, weights and bounded loads (Mirrokni et al. 2018).
//!
//! `points.rs` says where points lie and who owns what is between them. A change of it moves keys in every cluster that is
//! running, so `tests/golden/placements.txt` pins it.

mod bounded;
mod choice;
mod hash;
mod hot;
mod member;
pub mod plan;
mod points;
mod shares;
mod successors;

#[cfg(test)]
mod crowd;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use hash::Hash;
pub use hot::HotKeys;
pub use member::Member;
pub use successors::Successors;

use member::in_order;
use points::Points;
use xxhash_rust::xxh3::xxh3_64;

/// Who is asked first, and who owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub member: usize,
    /// The first that serves.
    pub owner: usize,
}

/// Largest number of points per unit of weight; more is taken as this.
pub const MAX_POINTS: u32 = 65_536;

/// An immutable ring. Members are kept sorted by id; everything below speaks of them by their index there.
#[derive(Debug)]
pub struct Ring {
    hash: Hash,
    per_weight: u32,
    members: Vec<Member>,
    points: Points,
}

impl Ring {
    /// `points` virtual nodes per unit of weight. The same members in any order give the same ring. Of two members with
    /// one id the heavier counts; a weight or number of points of 0 is taken as 1.
    pub fn new(hash: Hash, points: u32, members: impl IntoIterator<Item = Member>) -> Ring {
        Ring::placed(hash, points, members, |bytes| hash.of(bytes))
    }

    fn placed(
        hash: Hash,
        points: u32,
        members: impl IntoIterator<Item = Member>,
        place: impl Fn(&[u8]) -> u64,
    ) -> Ring {
        let per_weight = points.clamp(1, MAX_POINTS);
        let members = in_order(members);
        let points = Points::new(&members, per_weight, place);
        Ring { hash, per_weight, members, points }
    }

    pub fn hash(&self) -> Hash {
        self.hash
    }
    /// Points per unit of weight.
    pub fn points(&self) -> u32 {
        self.per_weight
    }
    pub fn members(&self) -> &[Member] {
        &self.members
    }
    pub fn index_of(&self, id: &str) -> Option<usize> {
        self.members.binary_search_by(|member| member.id.as_str().cmp(id)).ok()
    }
    /// Where a key (its text) falls.
    pub fn position(&self, key: &str) -> u64 {
        self.hash.of(key.as_bytes())
    }
    /// The owner of a position; `None` on an empty ring.
    pub fn owner(&self, position: u64) -> Option<usize> {
        self.points.find(position).map(|point| self.points.member(point))
    }
    /// Every member once, in the order in which they succeed each other as owners of this position; the owner first.
    pub fn successors(&self, position: u64) -> Successors<'_> {
        Successors::new(&self.points, position, self.members.len())
    }
    /// A digest of hash, points and members: two fronts with the same digest place every key alike.
    pub fn digest(&self) -> u64 {
        // Lengths go first, so that no two rings are spelled alike. The 1 changes whenever the placement rule does.
        let mut text = format!("ringhold ring 1 {} {}", self.hash.name(), self.per_weight);
        for member in &self.members {
            text += &format!(" {} {} {}", member.id.len(), member.id, member.weight);
        }
        xxh3_64(text.as_bytes())
    }
}
