//! Of two answers to questions that were under way at one time, which one stands: whoever has had one must not get the other
//! one after it where that is older, nor may what others still answer with be taken from them unasked.

use super::terms::Terms;
use crate::wire::date::Timestamp;
use http::StatusCode;

/// Whether what is stored stays, and answers in place of what has come for a question of `sent`, generated at `born`.
/// `answers`: the question has asked for nothing that the stored one would not answer now.
pub fn stands(stored: &Terms, answers: bool, sent: Timestamp, born: Timestamp) -> bool {
    // What is fresh may have been lent to other nodes. What is younger was asked for later, where it came meanwhile; else
    // a cache before us has other clocks, and the newest word counts.
    answers || (stored.received > sent && stored.born > born)
}

/// Whether an answer of this status to a GET shows that what was stored for such a request is not so any more (RFC 9111 section 4.3.3:
/// it is not suitable), though it may not be stored itself. An error of the server, a refusal and a part say nothing of that.
pub fn outdates(status: StatusCode) -> bool {
    match status {
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => false,
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => true,
        status => status.is_success() || status.is_redirection(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_page_outdates_and_what_is_said_of_who_asks_or_of_the_moment_does_not() {
        let said = |status: &u16| outdates(StatusCode::from_u16(*status).unwrap());
        assert!([200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410, 451].iter().all(said));
        let nothing = [100, 101, 206, 304, 400, 401, 403, 405, 407, 408, 412, 416, 421, 429, 500, 502, 503, 504];
        assert!(!nothing.iter().any(said));
    }
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
