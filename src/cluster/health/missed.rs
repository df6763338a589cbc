//! PURE. What a node has missed, one by one. Who takes the place of the process that missed it, and brings back from disk what
//! that one held, is told just this and need not validate all the rest.

use crate::cluster::views::Outdated;
use std::sync::Arc;

/// So much is remembered of a node, and so many bytes of it; where there is more it has to validate all that it holds.
const MOST: usize = 16_384;
const BYTES: usize = 4 * 1024 * 1024;
/// So much is told at a time: a node reads a body of 1 MiB.
const BATCH: (usize, usize) = (2048, 256 * 1024);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct MissedNews {
    items: Vec<Arc<[Outdated]>>,
    count: usize,
    bytes: usize,
    /// There was more, or nobody knows of what.
    overflown: bool,
}

impl MissedNews {
    /// `None`: nobody knows what it was. Whether all of it is still known.
    pub fn note(&mut self, what: Option<&[Arc<[Outdated]>]>) -> bool {
        match what {
            Some(what) => what.iter().for_each(|what| self.add(what)),
            None => self.overflow(),
        }
        !self.overflown
    }

    fn add(&mut self, what: &Arc<[Outdated]>) {
        let bytes = what.iter().map(Outdated::bytes).sum::<usize>();
        if self.overflown || self.count + what.len() > MOST || self.bytes + bytes > BYTES {
            return self.overflow();
        }
        self.count += what.len();
        self.bytes += bytes;
        self.items.push(what.clone());
    }

    fn overflow(&mut self) {
        *self = MissedNews { overflown: true, ..MissedNews::default() };
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// In the order in which it came, as much at a time as a node reads. `None`: it is not known any more.
    pub fn batches(&self) -> Option<Vec<Vec<&Outdated>>> {
        if self.overflown {
            return None;
        }
        let (mut all, mut bytes) = (Vec::<Vec<&Outdated>>::new(), 0);
        for what in self.items.iter().flat_map(|what| what.iter()) {
            match all.last_mut().filter(|batch| batch.len() < BATCH.0 && bytes < BATCH.1) {
                Some(batch) => batch.push(what),
                None => {
                    bytes = 0;
                    all.push(vec![what]);
                }
            }
            bytes += what.bytes();
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(text: &str) -> Arc<[Outdated]> {
        Arc::new([Outdated::Url(text.to_owned())])
    }

    #[test]
    fn what_was_missed_is_told_in_its_order_and_in_batches() {
        let mut missed = MissedNews::default();
        assert_eq!(missed.batches(), Some(Vec::new()));
        let all: Vec<_> = (0..5_000).map(|n| news(&n.to_string())).collect();
        assert!(all.chunks(3).all(|some| missed.note(Some(some))));
        let batches = missed.batches().unwrap();
        assert_eq!((batches.len(), missed.count()), (3, 5_000));
        assert!(batches.iter().flatten().zip(&all).all(|(told, noted)| **told == noted[0]));
        let mut long = MissedNews::default();
        (0..3).for_each(|_| _ = long.note(Some(&[news(&"x".repeat(BATCH.1))])));
        assert_eq!(long.batches().unwrap().len(), 3);
    }

    #[test]
    fn more_than_can_be_remembered_or_told_apart_is_everything() {
        let (mut many, mut long, mut unknown) = (MissedNews::default(), MissedNews::default(), MissedNews::default());
        assert!((0..MOST).all(|_| many.note(Some(&[news("x")]))) && !many.note(Some(&[news("x")])));
        assert!(long.note(Some(&[news(&"x".repeat(BYTES))])) && !long.note(Some(&[news("x")])));
        assert!(!unknown.note(None));
        for mut missed in [many, long, unknown] {
            assert!(!missed.note(Some(&[news("y")])), "from then on");
            assert_eq!((missed.batches(), missed.items.len(), missed.count()), (None, 0, 0));
        }
    }
}
