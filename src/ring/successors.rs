//! Every member once, clockwise from a position.

use super::points::Points;

/// See [`super::Ring::successors`].
pub struct Successors<'a> {
    points: &'a Points,
    next: usize,
    remaining: usize,
    seen: MemberSet,
}

impl<'a> Successors<'a> {
    pub(super) fn new(points: &'a Points, position: u64, members: usize) -> Successors<'a> {
        match points.find(position) {
            Some(next) => Successors { points, next, remaining: members, seen: MemberSet::new(members) },
            None => Successors { points, next: 0, remaining: 0, seen: MemberSet::new(0) },
        }
    }
}

impl Iterator for Successors<'_> {
    type Item = usize;

    /// Ends, because every member has a point and `remaining` of them have not been seen.
    fn next(&mut self) -> Option<usize> {
        if self.remaining == 0 {
            return None;
        }
        loop {
            let member = self.points.member(self.next);
            self.next = if self.next + 1 == self.points.len() { 0 } else { self.next + 1 };
            if self.seen.insert(member) {
                self.remaining -= 1;
                return Some(member);
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Successors<'_> {}

/// A set of members. The first 64 need no memory on the heap: this runs in every request.
struct MemberSet {
    first: u64,
    more: Vec<u64>,
}

impl MemberSet {
    fn new(members: usize) -> MemberSet {
        MemberSet { first: 0, more: vec![0; members.div_ceil(64).saturating_sub(1)] }
    }
    /// Whether it was not there yet.
    fn insert(&mut self, member: usize) -> bool {
        let word = match member / 64 {
            0 => &mut self.first,
            more => &mut self.more[more - 1],
        };
        let bit = 1 << (member % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{members, ring_at};
    use super::super::{Hash, Member, Ring};

    #[test]
    fn members_follow_clockwise_each_once() {
        let ring =
            ring_at(&members(&[("a", 2), ("b", 1), ("c", 1)]), &[("a#0", 10), ("a#1", 30), ("b#0", 20), ("c#0", 40)]);
        for (position, expected) in [(0, [0, 1, 2]), (15, [1, 0, 2]), (25, [0, 2, 1]), (35, [2, 0, 1]), (41, [0, 1, 2])]
        {
            assert_eq!(ring.successors(position).collect::<Vec<_>>(), expected, "position {position}");
        }
    }

    #[test]
    fn an_empty_ring_has_no_successors() {
        assert_eq!(Ring::new(Hash::Xxh3, 512, []).successors(7).len(), 0);
    }

    #[test]
    fn more_than_64_members_succeed_each_other_too() {
        let many = (0..200).map(|n| Member { id: format!("n{n}"), weight: 1 });
        let ring = Ring::new(Hash::Xxh3, 8, many);
        let mut all: Vec<usize> = ring.successors(1 << 60).collect();
        all.sort_unstable();
        assert_eq!(all, (0..200).collect::<Vec<_>>());
    }
}
