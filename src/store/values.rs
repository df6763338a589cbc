//! Field values that many entries have, each kept once: servers say the same `Server`, `Content-Type` and `Cache-Control`
//! again and again.
//!
//! What has come twice is kept for as long as the process runs, so an entry needs no more than its number. There is room
//! for a thousand or so; when that is taken, values stand in their entries.

use bytes::Bytes;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use xxhash_rust::xxh3::xxh3_64;

/// Shorter ones are not worth a number of two bytes.
const LEAST: usize = 4;
/// With [`SLOTS`], 4 MiB at most.
const MOST: usize = 4096;
const SLOTS: usize = 1024;
/// Slots in which a value may lie, from that of its hash on.
const PLACES: usize = 4;

static VALUES: Values = Values::new();

struct Values {
    kept: [OnceLock<Bytes>; SLOTS],
    /// Of what came lately and is not kept: half of its hash.
    came: [AtomicU32; SLOTS],
}

/// The number of a value that is kept. `None`: it is not, at least this time.
pub fn number(value: &[u8]) -> Option<u16> {
    VALUES.number(value)
}

/// The value of a number that [`number`] gave.
pub fn value(number: u16) -> &'static Bytes {
    VALUES.value(number)
}

impl Values {
    const fn new() -> Values {
        Values { kept: [const { OnceLock::new() }; SLOTS], came: [const { AtomicU32::new(0) }; SLOTS] }
    }

    fn number(&self, value: &[u8]) -> Option<u16> {
        if !(LEAST..=MOST).contains(&value.len()) {
            return None;
        }
        let hash = xxh3_64(value);
        let (home, mark) = (hash as usize % SLOTS, (hash >> 32) as u32);
        for place in (home..home + PLACES).map(|place| place % SLOTS) {
            let kept = match self.kept[place].get() {
                Some(kept) => kept,
                None if self.came[home].swap(mark, Relaxed) != mark => return None,
                None => self.kept[place].get_or_init(|| Bytes::copy_from_slice(value)),
            };
            if *kept == value {
                return Some(place as u16);
            }
        }
        None
    }

    fn value(&self, number: u16) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.kept[usize::from(number) % SLOTS].get().unwrap_or(&NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_has_a_number_and_always_the_same() {
        let values = Values::new();
        assert_eq!(values.number(b"nginx"), None);
        let kept = values.number(b"nginx").expect("it came twice");
        assert_eq!((values.value(kept), values.number(b"nginx")), (&Bytes::from_static(b"nginx"), Some(kept)));
    }

    #[test]
    fn short_and_long_ones_have_none() {
        let values = Values::new();
        for text in [&b"abc"[..], &[7; MOST + 1]] {
            assert_eq!([values.number(text), values.number(text)], [None, None]);
        }
    }

    #[test]
    fn when_all_places_are_taken_no_more_is_kept_and_none_is_lost() {
        let values = Values::new();
        let text = |n: usize| format!("one of many: {n}").into_bytes();
        let numbered: Vec<_> = (0..4 * SLOTS).map(|n| [values.number(&text(n)), values.number(&text(n))][1]).collect();
        assert!(numbered.contains(&None));
        let kept = numbered.iter().enumerate().filter_map(|(n, number)| Some((n, (*number)?)));
        assert!(kept.inspect(|(n, number)| assert_eq!(values.value(*number), &text(*n))).count() > SLOTS / 2);
    }
}
