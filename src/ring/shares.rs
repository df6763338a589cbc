//! Exact shares of the hash space, counted in positions, of which there are 2^64.

use super::Ring;
use super::points::Points;

const SPACE: u128 = 1 << 64;

impl Ring {
    /// The exact share of the hash space of each member (sums to 1), by index.
    pub fn shares(&self) -> Vec<f64> {
        let mut counts = vec![0; self.members().len()];
        for (count, member) in arcs(&self.points) {
            counts[member] += count;
        }
        counts.into_iter().map(fraction).collect()
    }
}

pub(super) fn fraction(count: u128) -> f64 {
    count as f64 / SPACE as f64
}

/// How many positions each point owns, and for whom. The first point's arc goes round through zero.
fn arcs(points: &Points) -> impl Iterator<Item = (u128, usize)> {
    let last = points.iter().last().map_or(0, |(position, _)| u128::from(position));
    let mut previous = last;
    points.iter().enumerate().map(move |(number, (position, member))| {
        let end = u128::from(position) + if number == 0 { SPACE } else { 0 };
        let count = end - previous;
        previous = u128::from(position);
        (count, member)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{members, ring_at};
    use super::super::{Hash, Ring};

    const QUARTER: u64 = 1 << 62;

    #[test]
    fn shares_are_the_arcs_before_the_points() {
        let table = [
            ([("a#0", QUARTER), ("b#0", 2 * QUARTER)], [0.75, 0.25]),
            ([("a#0", 0), ("b#0", 2 * QUARTER)], [0.5, 0.5]),
            ([("a#0", 3 * QUARTER), ("b#0", 0)], [0.75, 0.25]),
            ([("a#0", QUARTER), ("b#0", QUARTER)], [1.0, 0.0]),
            ([("a#0", 0), ("b#0", 0)], [1.0, 0.0]),
        ];
        for (places, expected) in table {
            assert_eq!(ring_at(&members(&[("a", 1), ("b", 1)]), &places).shares(), expected, "{places:?}");
        }
    }

    #[test]
    fn a_single_point_owns_everything_and_an_empty_ring_nothing() {
        assert_eq!(ring_at(&members(&[("a", 1)]), &[("a#0", 7)]).shares(), [1.0]);
        assert!(Ring::new(Hash::Xxh3, 512, []).shares().is_empty());
    }
}
