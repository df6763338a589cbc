//! PURE. Of those that have proved nothing yet: who is served next, who gives way to it, and who is sent away where too many
//! wait. It does not matter how much one talks: time counts from when it got its place.

use crate::net::shares::ClientId;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

/// A front speaks at once; who has said nothing for so long gives way to the next of those that have as much.
const SILENT: Duration = Duration::from_millis(100);
/// The same of who has said something: a proof takes a front that is far away so long.
const SPOKEN: Duration = Duration::from_secs(2);

/// One of them, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newcomer {
    pub of: ClientId,
    /// For how long it has had a place; `None`: it waits.
    pub served: Option<Duration>,
    pub has_spoken: bool,
}

impl Newcomer {
    /// For so long that it can be no front.
    fn is_late(&self) -> bool {
        self.served.is_some_and(|served| served >= if self.has_spoken { SPOKEN } else { SILENT })
    }
}

/// All of them, and how many places there are.
pub struct Crowd {
    all: Vec<Newcomer>,
    limit: usize,
    /// By number: who has gone is not taken off, so that the others keep theirs.
    gone: Vec<bool>,
    served: CountByClient,
    waiting: CountByClient,
}

/// How many of each address, and of all.
#[derive(Default)]
struct CountByClient {
    of: HashMap<ClientId, usize>,
    all: usize,
}

impl CountByClient {
    fn has(&self, of: ClientId) -> usize {
        self.of.get(&of).copied().unwrap_or(0)
    }

    fn most(&self) -> usize {
        self.of.values().copied().max().unwrap_or(0)
    }

    fn add(&mut self, of: ClientId) {
        *self.of.entry(of).or_default() += 1;
        self.all += 1;
    }

    fn take(&mut self, of: ClientId) {
        if let Some(has) = self.of.get_mut(&of) {
            *has -= 1;
            self.all -= 1;
        }
    }
}

impl Crowd {
    pub fn new(all: Vec<Newcomer>, limit: usize) -> Crowd {
        let (mut served, mut waiting) = (CountByClient::default(), CountByClient::default());
        all.iter().for_each(|one| if one.served.is_some() { &mut served } else { &mut waiting }.add(one.of));
        Crowd { limit, gone: vec![false; all.len()], all, served, waiting }
    }

    pub fn waiting(&self) -> usize {
        self.waiting.all
    }

    /// Those that have gone since, in order.
    pub fn gone(&self) -> impl DoubleEndedIterator<Item = usize> {
        self.gone.iter().enumerate().filter_map(|(at, gone)| gone.then_some(at))
    }

    fn here(&self) -> impl DoubleEndedIterator<Item = (usize, &Newcomer)> {
        self.all.iter().enumerate().filter(|(at, _)| !self.gone[*at])
    }

    fn send_away(&mut self, at: usize) {
        let one = self.all[at];
        if one.served.is_some() { &mut self.served } else { &mut self.waiting }.take(one.of);
        self.gone[at] = true;
    }

    /// Gives the next its place: one that is free, or of an address that has more than its own then has.
    pub fn let_in(&mut self) -> Option<usize> {
        let next = self.next()?;
        let of = self.all[next].of;
        if self.served.all >= self.limit {
            if self.served.most() <= self.served.has(of) + 1 {
                return None;
            }
            let gives_way = self.latest().or_else(|| self.first())?;
            self.send_away(gives_way);
        }
        self.all[next].served = Some(Duration::ZERO);
        self.waiting.take(of);
        self.served.add(of);
        Some(next)
    }

    /// Where somebody waits for a place although it has no fewer than others: who can be no front gives way.
    pub fn turn(&mut self) {
        if self.next().is_some()
            && let Some(late) = self.latest()
        {
            self.send_away(late);
        }
    }

    /// Who waits beyond so many: of the address that has most waiting, who has waited for longest.
    pub fn cut(&mut self, waiting: usize) {
        while self.waiting.all > waiting {
            let most = self.waiting.most();
            let longest = self.here().find(|(_, one)| one.served.is_none() && self.waiting.has(one.of) == most);
            let Some((longest, _)) = longest else { return };
            self.send_away(longest);
        }
    }

    /// Of an address that has fewest places, who came last: those that came before it may be there to wait.
    fn next(&self) -> Option<usize> {
        let waiting = self.here().filter(|(_, one)| one.served.is_none());
        waiting.min_by_key(|(at, one)| (self.served.has(one.of), Reverse(*at))).map(|(at, _)| at)
    }

    fn of_most(&self) -> impl Iterator<Item = (usize, &Newcomer)> {
        let most = self.served.most();
        self.here().filter(move |(_, one)| one.served.is_some() && self.served.has(one.of) == most)
    }

    /// Of the addresses that have most places, who is late for longest.
    fn latest(&self) -> Option<usize> {
        self.of_most()
            .filter(|(_, one)| one.is_late())
            .max_by_key(|(at, one)| (one.served, Reverse(*at)))
            .map(|(at, _)| at)
    }

    fn first(&self) -> Option<usize> {
        self.of_most().max_by_key(|(at, one)| (one.served, Reverse(*at))).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: u8) -> ClientId {
        ClientId::at([10, 0, 0, name].into())
    }

    fn waits(name: u8) -> Newcomer {
        Newcomer { of: address(name), served: None, has_spoken: false }
    }

    fn served(name: u8, ms: u64) -> Newcomer {
        Newcomer { of: address(name), served: Some(Duration::from_millis(ms)), has_spoken: true }
    }

    fn silent(name: u8, ms: u64) -> Newcomer {
        Newcomer { has_spoken: false, ..served(name, ms) }
    }

    /// Who is let in, and who has gone then, of four places; first without and then with a turn.
    fn played(all: &[Newcomer]) -> [(Vec<usize>, Vec<usize>); 2] {
        let mut crowd = Crowd::new(all.to_vec(), 4);
        let mut before = Vec::new();
        [false, true].map(|is_turn| {
            if is_turn {
                crowd.turn();
            }
            before.extend(std::iter::from_fn(|| crowd.let_in()));
            (before.clone(), crowd.gone().collect())
        })
    }

    #[test]
    fn an_address_that_has_most_gives_way_to_one_that_has_fewer_however_much_it_talks() {
        type Row<'a> = (&'a [Newcomer], (&'a [usize], &'a [usize]), (&'a [usize], &'a [usize]));
        let rows: &[Row] = &[
            (&[waits(1), waits(1)], (&[1, 0], &[]), (&[1, 0], &[])),
            // Free places go to who has fewest, and then to who came last.
            (&[served(1, 9), served(1, 9), waits(1), waits(2), waits(1)], (&[3, 4], &[]), (&[3, 4], &[])),
            // The first of the address that has most, and one that is late before that.
            (&[served(2, 9), served(1, 8), served(1, 7), served(1, 6), waits(3)], (&[4], &[1]), (&[4], &[1])),
            (&[served(2, 9), served(1, 99), served(1, 7), silent(1, 100), waits(3)], (&[4], &[3]), (&[4], &[3])),
            (&[served(1, 9), served(1, 8), served(1, 7), served(1, 6), waits(1)], (&[], &[]), (&[], &[])),
            // Two halves: neither takes of the other.
            (&[served(1, 9), served(1, 8), served(2, 7), served(2, 6), waits(2), waits(1)], (&[], &[]), (&[], &[])),
            // With as many as others it waits until one is late.
            (&[served(1, 1999), served(1, 8), served(2, 7), served(2, 6), waits(2)], (&[], &[]), (&[], &[])),
            (&[served(1, 2000), served(1, 8), served(2, 7), served(2, 6), waits(2)], (&[], &[]), (&[4], &[0])),
            (&[served(1, 9), served(2, 2001), served(3, 2002), served(4, 9), waits(5)], (&[], &[]), (&[4], &[2])),
            // One at a turn.
            (
                &[silent(1, 100), silent(1, 100), silent(1, 99), silent(1, 9), waits(1), waits(1)],
                (&[], &[]),
                (&[5], &[0]),
            ),
            (&[silent(1, 5000), served(1, 5000)], (&[], &[]), (&[], &[])),
        ];
        for (all, first, then) in rows {
            let expected = [first, then].map(|(let_in, gone)| (let_in.to_vec(), gone.to_vec()));
            assert_eq!(played(all), expected, "{all:?}");
        }
    }

    #[test]
    fn where_too_many_wait_those_of_the_address_that_has_most_go_that_have_waited_for_longest() {
        let mut crowd = Crowd::new(vec![served(1, 9), waits(2), waits(1), waits(1), waits(1)], 1);
        crowd.cut(2);
        assert_eq!((crowd.gone().collect::<Vec<_>>(), crowd.waiting()), (vec![2, 3], 2));
        crowd.cut(1);
        assert_eq!(crowd.gone().collect::<Vec<_>>(), [1, 2, 3], "the first of two that have as much");
    }

    #[test]
    fn a_front_has_half_of_all_places_where_another_address_wants_all() {
        let mut all: Vec<Newcomer> = (0..256).map(|_| served(1, 500)).collect();
        all.extend((0..700).map(|_| waits(1)).chain((0..300).map(|_| waits(2))));
        let mut crowd = Crowd::new(all.clone(), 256);
        let let_in: Vec<_> = std::iter::from_fn(|| crowd.let_in()).collect();
        assert!(let_in.iter().all(|at| all[*at].of == address(2)));
        assert_eq!((let_in.len(), crowd.gone().count()), (128, 128));
    }
}
