//! What a change of the ring moves, before it is made.

use super::Ring;
use super::shares::fraction;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The difference between two rings, in exact shares of the hash space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What changes its owner in total.
    pub moved: f64,
    /// By the two ids; nothing that stays, nothing that is empty.
    pub moves: Vec<Move>,
    /// Everyone who is in either ring, by id.
    pub members: Vec<ShareChange>,
}

/// A share that goes from one member to another; `None` is nobody, where one of the rings is empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    pub from: Option<String>,
    pub to: Option<String>,
    pub share: f64,
}

/// A member's share before and after; `None` where it is not in the ring.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareChange {
    pub id: String,
    pub before: Option<f64>,
    pub after: Option<f64>,
}

/// Rings of the same hash are compared position by position. Between two hashes a key's positions have nothing to do
/// with each other: then a share moves from each to each in proportion.
pub fn between(before: &Ring, after: &Ring) -> Plan {
    let pairs = if before.hash() == after.hash() { overlap(before, after) } else { mix(before, after) };
    let moves: Vec<Move> = pairs
        .into_iter()
        .filter(|((from, to), share)| from != to && *share > 0.0)
        .map(|((from, to), share)| Move { from: from.map(str::to_owned), to: to.map(str::to_owned), share })
        .collect();
    Plan { moved: moves.iter().map(|one| one.share).sum(), moves, members: changes(before, after) }
}

/// Shares by who owns them before and after.
type Pairs<'a> = BTreeMap<(Option<&'a str>, Option<&'a str>), f64>;

fn overlap<'a>(before: &'a Ring, after: &'a Ring) -> Pairs<'a> {
    let mut ends: Vec<u64> = before.points.iter().chain(after.points.iter()).map(|(position, _)| position).collect();
    // Behind the last point begins the arc that goes round: the end of the space divides it in two.
    ends.push(u64::MAX);
    ends.sort_unstable();
    ends.dedup();
    let mut counts: BTreeMap<_, u128> = BTreeMap::new();
    let mut begin = 0u128;
    for end in ends {
        // No point lies between `begin` and `end`: both rings have one owner for all of it.
        let count = u128::from(end) + 1 - begin;
        *counts.entry((before.owner(end), after.owner(end))).or_default() += count;
        begin += count;
    }
    let named = |((from, to), count)| ((id(before, from), id(after, to)), fraction(count));
    counts.into_iter().map(named).collect()
}

fn mix<'a>(before: &'a Ring, after: &'a Ring) -> Pairs<'a> {
    let mut pairs = Pairs::new();
    for (from, had) in owners(before) {
        for (to, has) in owners(after) {
            pairs.insert((from, to), had * has);
        }
    }
    pairs
}

/// Who owns what; nobody owns all of an empty ring.
fn owners(ring: &Ring) -> Vec<(Option<&str>, f64)> {
    if ring.members().is_empty() {
        return vec![(None, 1.0)];
    }
    ring.members().iter().map(|member| Some(member.id.as_str())).zip(ring.shares()).collect()
}

fn id(ring: &Ring, member: Option<usize>) -> Option<&str> {
    member.map(|index| ring.members()[index].id.as_str())
}

fn changes(before: &Ring, after: &Ring) -> Vec<ShareChange> {
    let mut changes: BTreeMap<&str, (Option<f64>, Option<f64>)> = BTreeMap::new();
    for (member, share) in before.members().iter().zip(before.shares()) {
        changes.entry(&member.id).or_default().0 = Some(share);
    }
    for (member, share) in after.members().iter().zip(after.shares()) {
        changes.entry(&member.id).or_default().1 = Some(share);
    }
    changes.into_iter().map(|(id, (before, after))| ShareChange { id: id.to_owned(), before, after }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{members, ring_at, ring_of};
    use super::super::{Hash, Ring};
    use super::*;

    const EIGHTH: u64 = 1 << 61;

    fn a_move(from: Option<&str>, to: Option<&str>, share: f64) -> Move {
        Move { from: from.map(str::to_owned), to: to.map(str::to_owned), share }
    }

    fn a_change(id: &str, before: Option<f64>, after: Option<f64>) -> ShareChange {
        ShareChange { id: id.to_owned(), before, after }
    }

    #[test]
    fn a_plan_says_who_gives_what_to_whom() {
        let before = ring_at(&members(&[("a", 1), ("b", 1)]), &[("a#0", 2 * EIGHTH), ("b#0", 6 * EIGHTH)]);
        let places = [("b#0", 6 * EIGHTH), ("c#0", EIGHTH), ("c#1", 5 * EIGHTH)];
        let after = ring_at(&members(&[("b", 1), ("c", 2)]), &places);
        let plan = between(&before, &after);
        // a had (6/8, 2/8]: c#0 takes (6/8, 1/8], c#1 takes (1/8, 2/8]; b had (2/8, 6/8]: c#1 takes (2/8, 5/8].
        let moves = [a_move(Some("a"), Some("c"), 0.5), a_move(Some("b"), Some("c"), 0.375)];
        assert_eq!(plan.moves, moves);
        assert_eq!(plan.moved, 0.875);
        let shares =
            [a_change("a", Some(0.5), None), a_change("b", Some(0.5), Some(0.125)), a_change("c", None, Some(0.875))];
        assert_eq!(plan.members, shares);
    }

    #[test]
    fn the_same_ring_moves_nothing() {
        let plan = between(&ring_of(&["a", "b"]), &ring_of(&["b", "a"]));
        assert_eq!((plan.moved, plan.moves.len(), plan.members.len()), (0.0, 0, 2));
    }

    #[test]
    fn from_and_to_an_empty_ring_everything_moves() {
        let (empty, one) = (Ring::new(Hash::Xxh3, 512, []), ring_of(&["a"]));
        assert_eq!(between(&empty, &one).moves, [a_move(None, Some("a"), 1.0)]);
        assert_eq!(between(&one, &empty).moves, [a_move(Some("a"), None, 1.0)]);
        assert_eq!(between(&empty, &empty).moved, 0.0);
    }

    #[test]
    fn another_hash_moves_what_chance_does_not_leave_in_place() {
        let four = members(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        let plan = between(&Ring::new(Hash::Xxh3, 512, four.clone()), &Ring::new(Hash::Murmur3, 512, four));
        assert_eq!(plan.moves.len(), 12);
        assert!((plan.moved - 0.75).abs() < 0.01, "{}", plan.moved);
    }
}
