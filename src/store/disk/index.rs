//! PURE. Which URLs the disk has, and where, and how often they were used since they were written: some 24 bytes of memory for
//! each, and never a URL. The record has that, and whoever reads it compares: of two URLs that agree in 42 bits of their
//! hashes one is forgotten.

use super::place::IndexSlot;
use crate::wire::target::Key;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Each grows by itself, so that growing never takes long.
const TABLES: usize = 1024;
const TABLE_BITS: u32 = TABLES.trailing_zeros();

/// What is kept of a URL's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(pub u64);

impl Id {
    pub fn of(hash: u64) -> Id {
        Id(hash & (!(u64::MAX >> TABLE_BITS) | u64::from(u32::MAX)))
    }
    pub fn of_key(key: &[u8]) -> Id {
        Id::of(Key::hash_of(key))
    }
    fn table(self) -> usize {
        (self.0 >> (u64::BITS - TABLE_BITS)) as usize
    }
    fn rest(self) -> IdRest {
        IdRest(((self.0 & u64::from(u32::MAX)) as u32).to_le_bytes())
    }
    fn from_parts(table: usize, IdRest(rest): IdRest) -> Id {
        Id((table as u64) << (u64::BITS - TABLE_BITS) | u64::from(u32::from_le_bytes(rest)))
    }
}

/// What a table knows of an id. In bytes, as is what stands beside it: so an entry takes 13 of them, not 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IdRest([u8; 4]);

impl Hash for IdRest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u32(u32::from_le_bytes(self.0));
    }
}

/// A slot, and how often it was used.
#[derive(Clone, Copy, Debug)]
struct KeptSlot([u8; 8], u8);

type Table = HashMap<IdRest, KeptSlot, BuildHasherDefault<Mix>>;

/// Slots by the hashes of URLs.
#[derive(Debug)]
pub struct Index {
    tables: Box<[Table]>,
    count: usize,
}

impl Default for Index {
    fn default() -> Index {
        Index { tables: (0..TABLES).map(|_| Table::default()).collect(), count: 0 }
    }
}

impl Index {
    /// What [`Index::part`] has.
    pub const PARTS: usize = TABLES;
    /// Uses beyond these are not counted: what was asked for often once has to go some time.
    pub const MOST_USES: u8 = 3;

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, id: Id) -> Option<IndexSlot> {
        self.tables[id.table()].get(&id.rest()).map(|kept| kept.slot())
    }

    /// How often it was used since it was written, up to [`Index::MOST_USES`].
    pub fn uses(&self, id: Id) -> u8 {
        self.tables[id.table()].get(&id.rest()).map_or(0, |kept| kept.1)
    }

    /// What is there was used.
    pub fn used(&mut self, id: Id) {
        if let Some(KeptSlot(_, uses)) = self.tables[id.table()].get_mut(&id.rest()) {
            *uses = Index::MOST_USES.min(*uses + 1);
        }
    }

    /// What was there before. It was used by nobody yet.
    pub fn set(&mut self, id: Id, slot: IndexSlot) -> Option<IndexSlot> {
        self.set_used(id, slot, 0)
    }

    /// The same of what was used so often.
    pub fn set_used(&mut self, id: Id, slot: IndexSlot, uses: u8) -> Option<IndexSlot> {
        let before = self.tables[id.table()].insert(id.rest(), KeptSlot(slot.0.to_le_bytes(), uses));
        self.count += usize::from(before.is_none());
        before.map(KeptSlot::slot)
    }

    pub fn remove(&mut self, id: Id) -> Option<IndexSlot> {
        let removed = self.tables[id.table()].remove(&id.rest()).map(KeptSlot::slot);
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// Changes or (`None`) removes each of them.
    pub fn update(&mut self, mut to: impl FnMut(Id, IndexSlot) -> Option<IndexSlot>) {
        for (number, table) in self.tables.iter_mut().enumerate() {
            table.retain(|rest, kept| match to(Id::from_parts(number, *rest), kept.slot()) {
                Some(slot) => {
                    kept.0 = slot.0.to_le_bytes();
                    true
                }
                None => false,
            });
        }
        self.count = self.tables.iter().map(HashMap::len).sum();
    }

    /// Those of one part of it; `None`: there are no more parts.
    pub fn part(&self, number: usize) -> Option<impl Iterator<Item = (Id, IndexSlot)>> {
        let table = self.tables.get(number)?;
        Some(table.iter().map(move |(rest, kept)| (Id::from_parts(number, *rest), kept.slot())))
    }

    /// Of memory. A table has a power of two of places, of which seven eighths may be taken.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let places: usize = self.tables.iter().map(|table| (table.capacity() * 8).div_ceil(7)).sum();
        places * (size_of::<(IdRest, KeptSlot)>() + 1)
    }

    pub fn all(&self) -> impl Iterator<Item = (Id, IndexSlot)> {
        (0..TABLES).filter_map(|number| self.part(number)).flatten()
    }
}

impl KeptSlot {
    fn slot(self) -> IndexSlot {
        IndexSlot(u64::from_le_bytes(self.0))
    }
}

/// The keys are bits of hashes already; the tables look at the highest and the lowest bits.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }
    fn write_u32(&mut self, n: u32) {
        self.0 = (self.0 ^ u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    const _: () = assert!(size_of::<(IdRest, KeptSlot)>() == 13, "14 bytes a place of a table, with its mark");

    #[test]
    fn what_was_set_last_is_found_until_it_is_removed() {
        let mut index = Index::default();
        let id = |n: u64| Id::of(xxh3_64(&n.to_le_bytes()));
        (0..10_000).for_each(|n| assert_eq!(index.set(id(n), IndexSlot(n)), None));
        assert_eq!((index.set(id(7), IndexSlot(8)), index.len()), (Some(IndexSlot(7)), 10_000));
        assert_eq!(
            (index.get(id(7)), index.get(id(9)), index.get(id(10_000))),
            (Some(IndexSlot(8)), Some(IndexSlot(9)), None)
        );
        assert_eq!((index.remove(id(7)), index.remove(id(7)), index.len()), (Some(IndexSlot(8)), None, 9_999));
        index.update(|_, slot| (slot.0 % 2 == 0).then(|| slot.with(IndexSlot::DOUBTFUL)));
        assert_eq!((index.len(), index.all().count()), (5_000, 5_000));
        assert!(index.all().all(|(id, slot)| slot.has(IndexSlot::DOUBTFUL) && index.get(id) == Some(slot)));
    }

    #[test]
    fn uses_are_counted_up_to_a_few_and_what_is_written_anew_has_none() {
        let (mut index, id) = (Index::default(), Id(7));
        index.used(id);
        assert_eq!((index.uses(id), index.len()), (0, 0), "nothing is there");
        index.set(id, IndexSlot(1));
        let uses: Vec<u8> = (0..5).map(|_| (index.used(id), index.uses(id)).1).collect();
        assert_eq!(uses, [1, 2, 3, 3, 3]);
        index.update(|_, slot| Some(slot.with(IndexSlot::DOUBTFUL)));
        assert_eq!((index.uses(id), index.get(id)), (3, Some(IndexSlot(1).with(IndexSlot::DOUBTFUL))));
        index.set_used(id, IndexSlot(2), 2);
        assert_eq!(index.uses(id), 2);
        index.set(id, IndexSlot(3));
        assert_eq!((index.uses(id), index.len()), (0, 1));
    }

    #[test]
    fn a_million_take_no_more_than_32_bytes_each() {
        let mut index = Index::default();
        (0..1_000_000_u64).for_each(|n| _ = index.set(Id::of(xxh3_64(&n.to_le_bytes())), IndexSlot(n)));
        let bytes = index.bytes();
        assert!(bytes <= 32 * index.len(), "{bytes} bytes for {}", index.len());
    }
}
