//! Of two answers to questions that were under way at one time, which one stands: whoever has had one must not get the other
//! one after it where that is older, nor may what others still answer with be taken from them unasked.

use super::reason::NotStored;
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

/// Whether an answer to a GET shows that what is stored of its URL is not so any more (RFC 9111 section 4.3.3: it is not suitable),
/// though it may not be stored itself, for `why` where that is the policy's. An error of the server, a refusal and a part say nothing of
/// that; nor does what the request forbade to store. What is said to one client who has shown credentials may be that one's alone.
pub fn outdates(status: StatusCode, why: Option<NotStored>, has_credentials: bool) -> bool {
    let of_page = match status {
        StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED => false,
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => true,
        status => status.is_success() || status.is_redirection(),
    };
    let to_its_login = matches!(status, StatusCode::FOUND | StatusCode::SEE_OTHER | StatusCode::TEMPORARY_REDIRECT);
    let is_its_own = to_its_login || matches!(why, Some(NotStored::Private | NotStored::NoStore));
    of_page && !why.is_some_and(|why| why.is_the_requests()) && !(has_credentials && is_its_own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{LifetimeSource, Marks};

    #[test]
    fn what_is_said_of_the_page_outdates_and_what_is_said_of_who_asks_or_of_the_moment_does_not() {
        let said = |why, credentials| move |n: &u16| outdates(StatusCode::from_u16(*n).unwrap(), why, credentials);
        let of_page = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410, 451];
        let nothing = [100, 101, 206, 304, 400, 401, 403, 405, 407, 408, 412, 416, 421, 429, 500, 502, 503, 504];
        for why in [None, Some(NotStored::NoStore), Some(NotStored::Private), Some(NotStored::NoFreshness)] {
            assert!(of_page.iter().all(said(why, false)), "{why:?}");
            assert!(!nothing.iter().any(said(why, false)), "{why:?}");
        }
        let of_request =
            [NotStored::RequestNoStore, NotStored::Authorization, NotStored::Cookie, NotStored::RequestContent];
        of_request.into_iter().for_each(|why| assert!(!of_page.iter().any(said(Some(why), false)), "{why:?}"));
        assert!([200, 301, 404, 410].iter().all(said(Some(NotStored::NoFreshness), true)));
        assert!(![302, 303, 307].iter().any(said(Some(NotStored::NoFreshness), true)), "to where one logs in");
        assert!(![200, 404].iter().any(said(Some(NotStored::Private), true)));
        assert!(![200, 404].iter().any(said(Some(NotStored::NoStore), true)));
    }

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
