//! The points of a ring, sorted, and the way from a position to the point that owns it.
//!
//! Point number `i` (from 0) of a member lies at the hash of the bytes `<id>#<i>`, `i` in decimal without leading
//! zeros: `n1#0`, `n1#1`, … A member of weight `w` has the numbers below `w * per_weight`. A point owns the positions
//! from behind its predecessor up to and including its own; the first point also owns what lies behind the last. Where
//! points of several members meet in one position, the one whose id sorts first (by bytes) owns it.

use super::member::Member;
use std::fmt;

/// Positions and members apart, so that a search touches only positions; `index` says where each of `2^bits` equal
/// parts of the hash space begins, so that a search steps over one point or two, however many there are.
pub(super) struct Points {
    positions: Vec<u64>,
    members: Vec<u16>,
    index: Vec<u32>,
    shift: u32,
}

impl Points {
    /// `members` sorted by id; `hash` is handed in so that a ring can be worked out by hand.
    pub(super) fn new(members: &[Member], per_weight: u32, hash: impl Fn(&[u8]) -> u64) -> Points {
        let mut placed = place(members, per_weight, hash);
        // The member's index is the order of the ids: it settles ties.
        placed.sort_unstable();
        let positions: Vec<u64> = placed.iter().map(|(position, _)| *position).collect();
        let members = placed.iter().map(|(_, member)| *member).collect();
        let bits = positions.len().next_power_of_two().trailing_zeros().max(1);
        let shift = u64::BITS - bits;
        Points { index: index(&positions, bits), positions, members, shift }
    }

    /// The number of the point that owns a position; `None` without points.
    pub(super) fn find(&self, position: u64) -> Option<usize> {
        let start = self.index[(position >> self.shift) as usize] as usize;
        let behind = self.positions[start..].iter().position(|point| *point >= position);
        match behind {
            Some(steps) => Some(start + steps),
            None if self.positions.is_empty() => None,
            None => Some(0),
        }
    }

    pub(super) fn member(&self, point: usize) -> usize {
        usize::from(self.members[point])
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Each point's position and member, in order of position.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, usize)> {
        self.positions.iter().copied().zip(self.members.iter().map(|member| usize::from(*member)))
    }
}

impl fmt::Debug for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Points({})", self.len())
    }
}

fn place(members: &[Member], per_weight: u32, hash: impl Fn(&[u8]) -> u64) -> Vec<(u64, u16)> {
    let mut placed = Vec::new();
    let mut digits = itoa::Buffer::new();
    for (index, member) in (0..=u16::MAX).zip(members) {
        let mut name = [member.id.as_bytes(), b"#"].concat();
        let stem = name.len();
        for number in 0..u64::from(per_weight) * u64::from(member.weight) {
            name.truncate(stem);
            name.extend_from_slice(digits.format(number).as_bytes());
            placed.push((hash(&name), index));
        }
    }
    placed
}

/// For each part of the hash space, the number of the first point that does not lie before it.
fn index(positions: &[u64], bits: u32) -> Vec<u32> {
    let mut next = 0;
    (0..1u64 << bits)
        .map(|part| {
            let begin = part << (u64::BITS - bits);
            next += positions[next..].iter().take_while(|position| **position < begin).count();
            next as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::members;
    use super::*;
    use proptest::prelude::*;

    /// A hash that reads the position of a point from a table.
    fn at<'a>(table: &'a [(&'a str, u64)]) -> impl Fn(&[u8]) -> u64 + 'a {
        |bytes| table.iter().find(|(name, _)| name.as_bytes() == bytes).expect("a point of the table").1
    }

    #[test]
    fn a_member_has_as_many_points_as_its_weight_asks_and_they_are_named_by_number() {
        let table = [("a#0", 5), ("a#1", 90), ("b#0", 10), ("b#1", 20), ("b#2", 30), ("b#3", 40)];
        let points = Points::new(&members(&[("a", 1), ("b", 2)]), 2, at(&table));
        let expected = [(5, 0), (10, 1), (20, 1), (30, 1), (40, 1), (90, 0)];
        assert_eq!(points.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_point_owns_what_lies_behind_its_predecessor_up_to_itself() {
        const HALF: u64 = 1 << 63;
        let table = [("a#0", 10), ("b#0", HALF), ("c#0", u64::MAX - 10)];
        let points = Points::new(&members(&[("a", 1), ("b", 1), ("c", 1)]), 1, at(&table));
        let rows =
            [(0, 0), (10, 0), (11, 1), (HALF, 1), (HALF + 1, 2), (u64::MAX - 10, 2), (u64::MAX - 9, 0), (u64::MAX, 0)];
        for (position, member) in rows {
            assert_eq!(points.find(position).map(|point| points.member(point)), Some(member), "position {position}");
        }
    }

    #[test]
    fn where_points_meet_the_first_id_owns() {
        let points =
            Points::new(&members(&[("a", 1), ("b", 1), ("c", 1)]), 1, at(&[("a#0", 9), ("b#0", 7), ("c#0", 7)]));
        assert_eq!(points.iter().collect::<Vec<_>>(), [(7, 1), (7, 2), (9, 0)]);
        assert_eq!(points.find(7), Some(0));
    }

    #[test]
    fn without_points_nobody_owns() {
        let points = Points::new(&[], 512, |_| 0);
        for position in [0, 1 << 63, u64::MAX] {
            assert_eq!(points.find(position), None);
        }
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_from_the_start_finds(
            places in prop::collection::vec(prop_oneof![any::<u64>(), 0..4u64, u64::MAX - 3..=u64::MAX], 1..200),
            positions in prop::collection::vec(prop_oneof![any::<u64>(), 0..4u64, u64::MAX - 3..=u64::MAX], 50),
        ) {
            let number = |bytes: &[u8]| std::str::from_utf8(&bytes[2..]).unwrap().parse::<usize>().unwrap();
            let points = Points::new(&members(&[("a", 1)]), places.len() as u32, |bytes| places[number(bytes)]);
            for position in positions.iter().chain(&places) {
                let expected = points.iter().position(|(point, _)| point >= *position).unwrap_or(0);
                prop_assert_eq!(points.find(*position), Some(expected));
            }
        }
    }
}
