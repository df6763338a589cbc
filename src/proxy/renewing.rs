//! URLs whose answer is being changed, in one table for all workers of a front: until all know of it, their owner alone is asked.
//! Else who is answered by the second owner could get the old answer after the owner has given somebody the new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// By the hash of a URL, how many requests are changing what is answered; URLs that share a place are only spared a second owner.
pub struct Renewing(Box<[AtomicU32]>);

impl Renewing {
    /// So many places: a power of two.
    pub fn new(places: usize) -> Renewing {
        debug_assert!(places.is_power_of_two());
        Renewing((0..places).map(|_| AtomicU32::new(0)).collect())
    }

    pub fn has(&self, hash: u64) -> bool {
        self.place(hash).load(Relaxed) > 0
    }

    fn place(&self, hash: u64) -> &AtomicU32 {
        &self.0[hash as usize & (self.0.len() - 1)]
    }
}

/// For as long as this is there its URL is in the table.
pub struct Renewal {
    table: Arc<Renewing>,
    hash: u64,
}

impl Renewal {
    /// To be had before the request is sent that may change something.
    pub fn of(table: &Arc<Renewing>, hash: u64) -> Renewal {
        table.place(hash).fetch_add(1, Relaxed);
        Renewal { table: table.clone(), hash }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.table.place(self.hash).fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_there_until_the_last_of_those_who_change_it_has_gone() {
        let table = Arc::new(Renewing::new(16));
        let has = |hash| table.has(hash);
        let (first, second) = (Renewal::of(&table, 7), Renewal::of(&table, 7));
        assert!(has(7) && !has(8));
        drop(first);
        assert!(has(7));
        drop(second);
        assert!(!has(7));
    }
}
