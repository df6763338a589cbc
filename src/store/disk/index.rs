//! PURE. Which URLs the disk has, and where: some 24 bytes of memory for each, and never a URL. The record has that, and
//! whoever reads it compares: of two URLs that agree in 42 bits of their hashes one is forgotten.

use super::place::IndexSlot;
use crate::wire::target::Key;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

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
    fn rest(self) -> u32 {
        (self.0 & u64::from(u32::MAX)) as u32
    }
    fn from_parts(table: usize, rest: u32) -> Id {
        Id((table as u64) << (u64::BITS - TABLE_BITS) | u64::from(rest))
    }
}

type Table = HashMap<u32, [u32; 2], BuildHasherDefault<Mix>>;

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

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn get(&self, id: Id) -> Option<IndexSlot> {
        self.tables[id.table()].get(&id.rest()).map(|parts| joined(*parts))
    }

    /// What was there before.
    pub fn set(&mut self, id: Id, slot: IndexSlot) -> Option<IndexSlot> {
        let before = self.tables[id.table()].insert(id.rest(), parts(slot)).map(joined);
        self.count += usize::from(before.is_none());
        before
    }

    pub fn remove(&mut self, id: Id) -> Option<IndexSlot> {
        let removed = self.tables[id.table()].remove(&id.rest()).map(joined);
        self.count -= usize::from(removed.is_some());
        removed
    }

    /// Changes or (`None`) removes each of them.
    pub fn update(&mut self, mut to: impl FnMut(Id, IndexSlot) -> Option<IndexSlot>) {
        for (number, table) in self.tables.iter_mut().enumerate() {
            table.retain(|rest, place| match to(Id::from_parts(number, *rest), joined(*place)) {
                Some(slot) => {
                    *place = parts(slot);
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
        Some(table.iter().map(move |(rest, place)| (Id::from_parts(number, *rest), joined(*place))))
    }

    /// Of memory. A table has a power of two of places, of which seven eighths may be taken.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let places: usize = self.tables.iter().map(|table| (table.capacity() * 8).div_ceil(7)).sum();
        places * (size_of::<(u32, [u32; 2])>() + 1)
    }

    pub fn all(&self) -> impl Iterator<Item = (Id, IndexSlot)> {
        (0..TABLES).filter_map(|number| self.part(number)).flatten()
    }
}

/// In halves, so that an entry of a table takes 12 bytes, not 16.
fn parts(slot: IndexSlot) -> [u32; 2] {
    [(slot.0 >> 32) as u32, (slot.0 & u64::from(u32::MAX)) as u32]
}

fn joined([high, low]: [u32; 2]) -> IndexSlot {
    IndexSlot(u64::from(high) << 32 | u64::from(low))
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

    const _: () = assert!(size_of::<(u32, [u32; 2])>() == 12, "13 bytes a place of a table, with its mark");

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
    fn a_million_take_no_more_than_32_bytes_each() {
        let mut index = Index::default();
        (0..1_000_000_u64).for_each(|n| _ = index.set(Id::of(xxh3_64(&n.to_le_bytes())), IndexSlot(n)));
        let bytes = index.bytes();
        assert!(bytes <= 32 * index.len(), "{bytes} bytes for {}", index.len());
    }
}
