//! Of two answers to questions that were under way at one time, which one stands: whoever has had one must not get the other
//! one after it where that is older, nor may what others still answer with be taken from them unasked.

use super::terms::Terms;
use crate::wire::date::Timestamp;

/// Whether what is stored stays, and answers in place of what has come for a question of `sent`, generated at `born`.
/// `answers`: the question has asked for nothing that the stored one would not answer now.
pub fn stands(stored: &Terms, answers: bool, sent: Timestamp, born: Timestamp) -> bool {
    // What is fresh may have been lent to other nodes. What is younger was asked for later, where it came meanwhile; else
    // a cache before us has other clocks, and the newest word counts.
    answers || (stored.received > sent && stored.born > born)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{LifetimeSource, Marks};

    #[test]
    fn what_came_meanwhile_stands_where_it_is_fresh_or_younger() {
        // (stored: born, received), it answers now, (question: sent, its answer born), it stands
        for ((born, received), answers, (sent, came), stands) in [
            ((10, 11), true, (5, 5), true),
            ((10, 11), true, (20, 20), true),
            ((10, 11), false, (5, 5), true),
            ((5, 11), false, (5, 5), false),
            ((4, 11), false, (5, 5), false),
            ((10, 11), false, (11, 11), false),
            // Another cache says that its answer is older: it was asked for after the stored one had come.
            ((10, 11), false, (20, 8), false),
        ] {
            let terms = Terms {
                born: Timestamp(born),
                received: Timestamp(received),
                waited: 0,
                lifetime: 1,
                fresh_until: Timestamp(born + 1),
                stale_while_revalidate: 0,
                stale_if_error: 0,
                source: LifetimeSource::MaxAge,
                marks: Marks::NONE,
            };
            let got = super::stands(&terms, answers, Timestamp(sent), Timestamp(came));
            assert_eq!(got, stands, "{born} {received} {answers} {sent} {came}");
        }
    }
}
