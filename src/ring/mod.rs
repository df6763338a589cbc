//! PURE. The consistent-hash ring (Karger et al. 1997) with virtual nodes, weights and bounded loads (Mirrokni et al. 2018).

use serde::{Deserialize, Serialize};

/// The hash that places points and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    #[default]
    Xxh3,
    Murmur3,
}

/// One member of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: String,
    /// At least 1.
    pub weight: u32,
}

/// An immutable ring. Members are kept sorted by id; everything below speaks of them by their index there.
#[derive(Debug)]
pub struct Ring {
    members: Vec<Member>,
}

impl Ring {
    /// `points` virtual nodes per unit of weight. The same members in any order give the same ring.
    pub fn new(hash: Hash, points: u32, members: impl IntoIterator<Item = Member>) -> Ring {
        let _ = (hash, points, members.into_iter());
        todo!()
    }
    pub fn members(&self) -> &[Member] {
        &self.members
    }
    /// Where a key (its text) falls.
    pub fn position(&self, key: &str) -> u64 {
        let _ = key;
        todo!()
    }
    /// The owner of a position; `None` on an empty ring.
    pub fn owner(&self, position: u64) -> Option<usize> {
        let _ = position;
        todo!()
    }
    /// Every member once, in the order in which they succeed each other as owners of this position; the owner first.
    pub fn successors(&self, position: u64) -> Successors<'_> {
        let _ = position;
        todo!()
    }
    /// The first successor whose load is below `factor` times its fair share (by weight) of all loads plus one;
    /// the owner when `factor` is 0.
    pub fn owner_bounded(&self, position: u64, factor: f64, load: impl Fn(usize) -> u32) -> Option<usize> {
        let _ = (position, factor, load);
        todo!()
    }
    /// A digest of hash, points and members: two fronts with the same digest place every key alike.
    pub fn digest(&self) -> u64 {
        todo!()
    }
    /// The exact share of the hash space of each member (sums to 1), by index.
    pub fn shares(&self) -> Vec<f64> {
        todo!()
    }
}

/// See [`Ring::successors`].
pub struct Successors<'a> {
    _ring: &'a Ring,
}

impl Iterator for Successors<'_> {
    type Item = usize;
    fn next(&mut self) -> Option<usize> {
        todo!()
    }
}
