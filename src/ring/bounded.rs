//! Consistent hashing with bounded loads: nobody takes more than `factor` times its fair share; what would be more goes
//! to the next one on the ring that is below.

use super::Ring;

impl Ring {
    /// The first successor whose load is below `factor` times its fair share (by weight) of all loads plus one;
    /// the owner when `factor` is 0.
    pub fn owner_bounded(&self, position: u64, factor: f64, load: impl Fn(usize) -> u32) -> Option<usize> {
        self.owner_serving(position, factor, |member| Some(load(member)))
    }

    /// The same among those who serve: a member whose load is `None` is passed over, and the loads are the others' to
    /// share. `None` when nobody serves.
    pub fn owner_serving(&self, position: u64, factor: f64, load: impl Fn(usize) -> Option<u32>) -> Option<usize> {
        let mut serving = self.successors(position).filter(|member| load(*member).is_some());
        if factor <= 0.0 || factor.is_nan() {
            return serving.next();
        }
        let per_weight = factor * self.fair_share(&load);
        let below = |member: &usize| {
            load(*member).is_some_and(|load| f64::from(load) < per_weight * f64::from(self.members()[*member].weight))
        };
        // Nobody is below when the factor is less than 1, or when loads grew since they were summed up.
        serving.find(below).or_else(|| self.successors(position).find(|member| load(*member).is_some()))
    }

    /// What is fair per unit of weight, the request that asks included.
    fn fair_share(&self, load: impl Fn(usize) -> Option<u32>) -> f64 {
        let (mut loads, mut weights) = (1u64, 0u64);
        for (index, member) in self.members().iter().enumerate() {
            if let Some(load) = load(index) {
                loads += u64::from(load);
                weights += u64::from(member.weight);
            }
        }
        loads as f64 / weights as f64
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{members, ring_at};
    use super::super::{Hash, Ring};

    fn abc() -> Ring {
        ring_at(&members(&[("a", 1), ("b", 2), ("c", 1)]), &[("a#0", 10), ("b#0", 20), ("b#1", 25), ("c#0", 30)])
    }

    #[test]
    fn the_first_successor_below_its_bound_owns() {
        // Positions below 10 are a's, then b, then c. Bound: factor * weight / 4 * (sum + 1).
        let table: &[(f64, [u32; 3], usize, &str)] = &[
            (1.0, [0, 0, 0], 0, "0 < 0.25"),
            (1.0, [1, 0, 0], 1, "a: 1 >= 0.5; b: 0 < 1"),
            (1.0, [1, 1, 0], 1, "a: 1 >= 0.75; b: 1 < 1.5"),
            (1.0, [1, 2, 0], 2, "a: 1 >= 1; b: 2 >= 2; c: 0 < 1"),
            (1.0, [1, 2, 1], 0, "a: 1 < 1.25"),
            (2.0, [1, 2, 0], 0, "a: 1 < 2"),
            (2.0, [3, 2, 0], 1, "a: 3 >= 3; b: 2 < 6"),
            (0.0, [9, 0, 0], 0, "no bound"),
            (-1.0, [9, 0, 0], 0, "no bound"),
            (f64::NAN, [9, 0, 0], 0, "no bound"),
            (f64::INFINITY, [9, 0, 0], 0, "no bound"),
            (0.1, [9, 9, 9], 0, "nobody is below: the owner"),
            (1.5, [u32::MAX; 3], 0, "the sum does not overflow"),
        ];
        for (factor, loads, expected, why) in table {
            assert_eq!(abc().owner_bounded(5, *factor, |n| loads[n]), Some(*expected), "{factor} {loads:?}: {why}");
        }
    }

    #[test]
    fn who_does_not_serve_is_passed_over_and_bears_no_load() {
        let table = [
            (0.0, [None, Some(7), Some(0)], Some(1), "no bound: the next one"),
            (1.0, [None, Some(7), Some(3)], Some(1), "b: 7 < 22/3"),
            (1.0, [None, Some(7), Some(2)], Some(2), "b: 7 >= 20/3; c: 2 < 10/3"),
            (0.1, [None, Some(9), Some(9)], Some(1), "nobody is below: the first that serves"),
            (1.5, [None; 3], None, "nobody serves"),
            (0.0, [None; 3], None, "nobody serves"),
        ];
        for (factor, loads, expected, why) in table {
            assert_eq!(abc().owner_serving(5, factor, |n| loads[n]), expected, "{factor} {loads:?}: {why}");
        }
    }

    #[test]
    fn an_empty_ring_has_no_bounded_owner() {
        assert_eq!(Ring::new(Hash::Xxh3, 512, []).owner_bounded(5, 1.5, |_| 0), None);
    }
}
