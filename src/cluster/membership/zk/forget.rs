//! PURE. Which members' records nobody needs any more. What was said of nodes that have long been gone would add up.

use super::record::{MemberRecord, MemberWish, Records};
use crate::cluster::views::Millis;
use std::collections::BTreeMap;

/// A removed node that starts again within so long of a leader's time stays off the ring; later it is a new one.
const FORGET: Millis = 3_600_000;

/// Nodes of which something was said and that are neither registered nor on the ring, since when, and until when that
/// is kept.
#[derive(Debug, Default)]
pub struct Absent(BTreeMap<String, (Millis, Millis)>);

impl Absent {
    pub fn note(&mut self, members: &Records<MemberRecord>, is_here: impl Fn(&String) -> bool, now: Millis) {
        let before = std::mem::take(&mut self.0);
        let since = |id: &String| before.get(id).map(|(since, _)| *since).filter(|since| *since <= now).unwrap_or(now);
        let absent = members.iter().filter(|(id, _)| !is_here(id));
        self.0 = absent.filter_map(|(id, said)| Some((id.clone(), (since(id), since(id) + kept_for(said)?)))).collect();
    }

    pub fn forgettable(&self, now: Millis) -> Vec<String> {
        self.0.iter().filter(|(_, (_, until))| *until <= now).map(|(id, _)| id.clone()).collect()
    }

    /// When time alone changes something.
    pub fn next(&self, now: Millis) -> Option<Millis> {
        self.0.values().map(|(_, until)| *until).filter(|until| *until > now).min()
    }
}

/// For how long it is kept when its node is gone; `None`: it is somebody's word, and stays.
fn kept_for(said: &MemberRecord) -> Option<Millis> {
    match said {
        said if *said == MemberRecord::default() => Some(0),
        MemberRecord { state: MemberWish::Removed, .. } => Some(FORGET),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_nodes_that_are_gone_is_forgotten_when_it_says_nothing_or_that_they_were_removed() {
        let said = |state, weight| MemberRecord { state, weight, ..MemberRecord::default() };
        let members = Records::from([
            ("active".to_owned(), said(MemberWish::Active, None)),
            ("draining".to_owned(), said(MemberWish::Draining, None)),
            ("heavy".to_owned(), said(MemberWish::Active, Some(3))),
            ("removed".to_owned(), said(MemberWish::Removed, Some(3))),
        ]);
        let mut absent = Absent::default();
        absent.note(&members, |_| true, 1000);
        assert_eq!((absent.forgettable(1 << 40), absent.next(0)), (vec![], None));
        absent.note(&members, |_| false, 2000);
        assert_eq!((absent.forgettable(2000), absent.next(2000)), (vec!["active".to_owned()], Some(2000 + FORGET)));
        absent.note(&members, |id| id == "active", 3000);
        assert!(absent.forgettable(1999 + FORGET).is_empty());
        assert_eq!(absent.forgettable(2000 + FORGET), ["removed"]);
        // It was there in between.
        absent.note(&members, |id| id == "removed", 4000);
        absent.note(&members, |id| id == "active", 5000);
        assert_eq!(absent.next(5000), Some(5000 + FORGET));
        // The clock was put back.
        absent.note(&members, |id| id == "active", 100);
        assert_eq!(absent.next(100), Some(100 + FORGET));
    }
}
