//! Records that somebody has sealed who is not of this cluster, as far as this front knows.

use crate::cluster::membership::zk::record::RecordKind;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many that others have sealed are known by their places.
const MOST: usize = 256;

/// The places of records that somebody has sealed with a secret that is none of ours, as they were last read. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SealedByOthers(Arc<Mutex<BTreeSet<String>>>);

impl SealedByOthers {
    pub(super) fn note(&self, place: &str, is_so: bool) {
        let mut places = self.places();
        if !is_so {
            places.remove(place);
        } else if places.len() < MOST {
            places.insert(place.to_owned());
        }
    }

    /// Of this kind there is nothing else.
    pub(super) fn are_there(&self, kind: RecordKind, ids: &[String]) {
        let is_gone = |place: &String| {
            place
                .split_once('/')
                .is_some_and(|(folder, id)| folder == kind.name() && !ids.iter().any(|there| there == id))
        };
        self.places().retain(|place| !is_gone(place));
    }

    /// Those of these kinds.
    pub(super) fn of<const N: usize>(&self, kinds: [RecordKind; N]) -> Vec<String> {
        let folders = kinds.map(RecordKind::name);
        let is_one = |place: &&String| place.split_once('/').is_some_and(|(folder, _)| folders.contains(&folder));
        self.places().iter().filter(is_one).cloned().collect()
    }

    fn places(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
