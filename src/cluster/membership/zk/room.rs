//! PURE. A ring has no more points than can be built in time: who finds no room on it stays off.

use crate::cluster::membership::members::MAX_POINTS;
use crate::ring::Member;
use std::collections::BTreeMap;

/// By id.
pub type Weights = BTreeMap<String, u32>;

/// What all weights together may be.
pub fn room(points: u32) -> u64 {
    MAX_POINTS / u64::from(points.max(1))
}

/// The members that have room, and with what weight: first those that are on the ring, as heavy as they are; then who is
/// to become heavier or to join, by id. The others are named.
pub fn fitting(wanted: Weights, held: &[Member], room: u64) -> (Weights, Vec<String>) {
    if sum(&wanted) <= room {
        return (wanted, Vec::new());
    }
    let kept = held.iter().filter_map(|m| Some((m.id.clone(), m.weight.min(*wanted.get(&m.id)?))));
    let mut fit: Weights = kept.collect();
    let (mut taken, mut left_out) = (sum(&fit), Vec::new());
    for (id, weight) in wanted {
        let has = fit.get(&id).copied().unwrap_or(0);
        let with = taken - u64::from(has) + u64::from(weight);
        if with <= room {
            taken = with;
            fit.insert(id, weight);
        } else {
            left_out.push(id);
        }
    }
    (fit, left_out)
}

fn sum(weights: &Weights) -> u64 {
    weights.values().map(|w| u64::from(*w)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(of: &[(&str, u32)]) -> Weights {
        of.iter().map(|(id, weight)| ((*id).to_owned(), *weight)).collect()
    }

    /// What is wanted, what is on the ring, what comes of it with room for 10, who is left out.
    type Row<'a> = (&'a [(&'a str, u32)], &'a [(&'a str, u32)], &'a [(&'a str, u32)], &'a [&'a str]);

    #[test]
    fn those_that_are_there_stay_and_others_come_while_there_is_room() {
        let rows: &[Row] = &[
            (&[("a", 5), ("b", 5)], &[], &[("a", 5), ("b", 5)], &[]),
            (&[("a", 5), ("b", 6), ("c", 5)], &[], &[("a", 5), ("c", 5)], &["b"]),
            // Sorted before those that are there.
            (&[("a", 6), ("b", 1), ("n", 8)], &[("n", 8)], &[("b", 1), ("n", 8)], &["a"]),
            (&[("m", 9), ("n", 8)], &[("m", 2), ("n", 8)], &[("m", 2), ("n", 8)], &["m"]),
            // Who grows lighter or leaves makes room.
            (&[("m", 9), ("n", 1)], &[("m", 2), ("n", 8)], &[("m", 9), ("n", 1)], &[]),
            (&[("m", 9), ("n", 2)], &[("m", 2), ("n", 8)], &[("m", 2), ("n", 2)], &["m"]),
            (&[("a", 7), ("m", 9)], &[("m", 2), ("n", 8)], &[("a", 7), ("m", 2)], &["m"]),
        ];
        for (wanted, held, expected, out) in rows {
            let held: Vec<Member> = held.iter().map(|(id, w)| Member { id: (*id).to_owned(), weight: *w }).collect();
            let (fit, left_out) = fitting(weights(wanted), &held, 10);
            assert_eq!((fit, left_out), (weights(expected), out.iter().map(|id| (*id).to_owned()).collect()));
        }
    }

    #[test]
    fn a_ring_has_room_by_its_points() {
        assert_eq!((room(512), room(1), room(0)), (8192, 1 << 22, 1 << 22));
    }
}
