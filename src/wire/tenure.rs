//! PURE. `Ringhold-Owner` to a node: since when it answers for a URL (docs/link.md, One owner).
//!
//! Before that another node did, and may have answered with something newer than what this one had by then.

use super::written::put;

/// Nothing will do but what the owner has lent and is still fresh.
const ONLY: &[u8] = b"only";
const SINCE: &[u8] = b"since";
/// In place of a number: however old it is.
const ANY: &[u8] = b"-";

/// What a node may answer with unasked: what it has received in the last so many milliseconds. Anything else it validates first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// It is asked in the owner's place: what it has not been lent is of no use. `own` is the owner's, then.
    pub only: bool,
    /// Of what it has asked for in its own right.
    pub own: u64,
    /// Of what the owner has lent it.
    pub lent: u64,
    /// Of what the node has, of whichever kind, that it asks in turn: the one that answered before.
    pub peer: u64,
}

impl Tenure {
    /// Whatever it has.
    pub const ANY: Tenure = Tenure { only: false, own: u64::MAX, lent: u64::MAX, peer: u64::MAX };
    /// Nothing but what it is asked for now.
    pub const NEW: Tenure = Tenure { own: 0, lent: 0, ..Tenure::ANY };

    /// Whether it may answer with what it received so many milliseconds ago.
    pub fn covers(self, is_lent: bool, millis: u64) -> bool {
        match is_lent {
            true => millis <= self.lent,
            false => !self.only && millis <= self.own,
        }
    }

    /// Appends the value of the field.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.only { ONLY } else { SINCE });
        for millis in [self.own, self.lent, self.peer] {
            match millis {
                u64::MAX => put(out, &[b" ", ANY]),
                some => put(out, &[b" ", itoa::Buffer::new().format(some).as_bytes()]),
            }
        }
    }

    /// `None`: it says something else.
    pub fn read(said: &[u8]) -> Option<Tenure> {
        let mut words = said.split(|byte| *byte == b' ');
        let only = match words.next()? {
            ONLY => true,
            SINCE => false,
            _ => return None,
        };
        let mut millis = || match words.next() {
            None | Some(ANY) => Some(u64::MAX),
            Some(digits) => number(digits),
        };
        Some(Tenure { only, own: millis()?, lent: millis()?, peer: millis()? })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        for (tenure, text) in [
            (Tenure { only: true, lent: 90_000, ..Tenure::ANY }, "only - 90000 -"),
            (Tenure { own: 0, peer: 3, ..Tenure::ANY }, "since 0 - 3"),
            (Tenure { own: 1_500, lent: 7, ..Tenure::ANY }, "since 1500 7 -"),
        ] {
            let mut out = Vec::new();
            tenure.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(Tenure::read(text.as_bytes()), Some(tenure), "{text}");
        }
        assert_eq!(Tenure::read(b"only"), Some(Tenure { only: true, ..Tenure::ANY }), "an older front says no more");
        let since = Tenure { own: 500, lent: 900, ..Tenure::ANY };
        let only = Tenure { only: true, ..since };
        for (tenure, lent, millis, expected) in [
            (only, true, 900, true),
            (only, true, 901, false),
            (only, false, 0, false),
            (since, true, 900, true),
            (since, true, 901, false),
            (since, false, 500, true),
            (since, false, 501, false),
            (Tenure::ANY, false, u64::MAX, true),
        ] {
            assert_eq!(tenure.covers(lent, millis), expected, "{tenure:?} {lent} {millis}");
        }
        for text in ["", "ask", "passes", "only x", "since -1 5", "since 1 99999999999999999999999", "since  1"] {
            assert_eq!(Tenure::read(text.as_bytes()), None, "{text}");
        }
    }
}
