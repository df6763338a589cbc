//! Who is asked first: the owner, or on purpose somebody else, who then asks the owner before the origin.

use super::{Choice, Ring};

impl Ring {
    /// Chooses among those who serve (whose load is not `None`). With bounded loads (`factor` not 0), the first who is
    /// below its bound; where that is the owner and the key is hot (`heat`: how often it was asked for), the less loaded
    /// of the owner and the next. Both are asked in turn where their loads are the same.
    pub fn choose(
        &self,
        position: u64,
        heat: Option<u32>,
        factor: f64,
        load: impl Fn(usize) -> Option<u32>,
    ) -> Option<Choice> {
        let mut serving = self.successors(position).filter_map(|member| Some((member, load(member)?)));
        let (owner, own) = serving.next()?;
        let bounded = self.owner_serving(position, factor, &load).unwrap_or(owner);
        let second = heat.zip(serving.next()).filter(|_| bounded == owner);
        let member = match second {
            Some((heat, (next, load))) if load < own || (load == own && heat % 2 == 1) => next,
            _ => bounded,
        };
        Some(Choice { member, owner })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{members, ring_at};

    #[test]
    fn the_owner_is_asked_unless_the_key_is_hot_or_the_owner_has_too_much() {
        let ring = ring_at(&members(&[("a", 1), ("b", 1), ("c", 1)]), &[("a#0", 10), ("b#0", 20), ("c#0", 30)]);
        let table: &[(Option<u32>, f64, [Option<u32>; 3], Option<(usize, usize)>, &str)] = &[
            (None, 0.0, [Some(9), Some(0), Some(0)], Some((0, 0)), "the owner"),
            (None, 0.0, [None, Some(0), Some(0)], Some((1, 1)), "the owner is away: the next one owns"),
            (Some(99), 0.0, [Some(1), Some(0), Some(0)], Some((1, 0)), "hot: the second owner has less"),
            (
                Some(99),
                0.0,
                [Some(1), Some(2), Some(0)],
                Some((0, 0)),
                "hot: the owner has less; the third is not asked",
            ),
            (Some(98), 0.0, [Some(1), Some(1), Some(0)], Some((0, 0)), "hot, the same load: in turn"),
            (Some(99), 0.0, [Some(1), Some(1), Some(0)], Some((1, 0)), "hot, the same load: in turn"),
            (Some(99), 0.0, [Some(1), None, Some(0)], Some((2, 0)), "hot: the second is the next that serves"),
            (Some(99), 0.0, [Some(9), None, None], Some((0, 0)), "hot: there is one only"),
            (Some(99), 0.0, [None; 3], None, "nobody serves"),
            (None, 1.5, [Some(0), Some(9), Some(9)], Some((0, 0)), "bounded: the owner has room"),
            (None, 1.5, [Some(9), Some(1), Some(0)], Some((1, 0)), "bounded: spilled"),
            (None, 1.25, [Some(9), Some(9), Some(0)], Some((2, 0)), "bounded: spilled twice"),
            (None, 1.5, [None, Some(9), Some(0)], Some((2, 1)), "bounded: spilled from whom it fell to"),
            (Some(99), 1.25, [Some(9), Some(9), Some(0)], Some((2, 0)), "hot and bounded: the bound holds"),
            (Some(99), 1.5, [Some(1), Some(0), Some(9)], Some((1, 0)), "hot and bounded: the second has less"),
        ];
        for (heat, factor, loads, expected, why) in table {
            let choice = ring.choose(5, *heat, *factor, |member| loads[member]);
            assert_eq!(choice.map(|c| (c.member, c.owner)), *expected, "{why}");
        }
    }
}
