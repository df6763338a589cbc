use super::{NOW, at, fields, request, selected, stored};
use crate::policy::{NotStored, Rules, freshen};
use http::{HeaderMap, StatusCode};

#[test]
fn the_clients_condition_is_answered_from_the_store() {
    const TAG: &[&str] = &["ETag: \"a\"", "Last-Modified: @-100"];
    const WEAK: &[&str] = &["ETag: W/\"a\""];
    const LM: &[&str] = &["Last-Modified: @-100"];
    // (condition, stored fields, 304, section of RFC 9110)
    let table: &[(&[&str], &[&str], bool, &str)] = &[
        (&[], TAG, false, "13.1.2"),
        (&["If-None-Match: \"a\""], TAG, true, "13.1.2"),
        (&["If-None-Match: W/\"a\""], TAG, true, "8.8.3.2: weak comparison"),
        (&["If-None-Match: \"a\""], WEAK, true, "8.8.3.2"),
        (&["If-None-Match: \"b\", \"a\", \"c\""], TAG, true, "13.1.2"),
        (&["If-None-Match: \"b\"", "If-None-Match: \"a\""], TAG, true, "13.1.2, any line"),
        (&["If-None-Match: \"b,\\\", \"a\""], TAG, true, "8.8.3: no escapes"),
        (&["If-None-Match: \"A\""], TAG, false, "8.8.3.2: letter case counts"),
        (&["If-None-Match: \"b\""], TAG, false, "13.1.2"),
        (&["If-None-Match: *"], TAG, true, "13.1.2"),
        (&["If-None-Match: *"], LM, true, "13.1.2"),
        (&["If-None-Match: \"*\""], TAG, false, "13.1.2: a tag, not the star"),
        (&["If-None-Match: \"a\""], LM, false, "13.1.2"),
        (&["If-None-Match: a"], TAG, true, "as some write it"),
        (&["If-None-Match: \"b\"", "If-Modified-Since: @0"], TAG, false, "13.2.2: the tag decides"),
        (&["If-None-Match: \"a\"", "If-Modified-Since: @-200"], TAG, true, "13.2.2: the tag decides"),
        (&["If-Modified-Since: @-100"], LM, true, "13.1.3"),
        (&["If-Modified-Since: @-50"], LM, true, "13.1.3"),
        (&["If-Modified-Since: @-101"], LM, false, "13.1.3"),
        (&["If-Modified-Since: x"], LM, false, "13.1.3: no date"),
        (&["If-Modified-Since: @0", "If-Modified-Since: @0"], LM, false, "13.1.3: not one date"),
        (&["If-Modified-Since: @-10"], &["Date: @-10"], true, "RFC 9111 4.3.2: Date stands in"),
        (&["If-Modified-Since: @-11"], &["Date: @-10"], false, "RFC 9111 4.3.2"),
        (&["If-Modified-Since: @0"], &[], true, "RFC 9111 4.3.2: the time of arrival stands in"),
        (&["If-Modified-Since: @-1"], &[], false, "RFC 9111 4.3.2"),
        (&["If-Modified-Since: @0"], &["Last-Modified: x"], false, "13.1.3"),
    ];
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    for (req, kept, expected, section) in table {
        let kept = fields(kept);
        let answer = selected(&terms, 200, &kept).is_not_modified(&fields(req), NOW);
        assert_eq!(answer, *expected, "{req:?} of {kept:?} (section {section})");
        let error = selected(&terms, 404, &kept).is_not_modified(&fields(req), NOW);
        assert!(!error, "{req:?} of a 404 (section 13.2.1)");
    }
}

#[test]
fn our_conditions_take_the_place_of_the_clients() {
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    let client = ["If-None-Match: \"x\"", "If-Modified-Since: @0", "If-Range: \"x\"", "Range: bytes=1-", "a: b"];
    // (stored fields, request fields, section of RFC 9111)
    let table: &[(&[&str], &[&str], &str)] = &[
        (&["ETag: \"a\"", "Last-Modified: @-9"], &["a: b", "If-None-Match: \"a\"", "If-Modified-Since: @-9"], "4.3.1"),
        (&["ETag: W/\"a\""], &["a: b", "If-None-Match: W/\"a\""], "4.3.1"),
        (&["Last-Modified: @-9"], &["a: b", "If-Modified-Since: @-9"], "4.3.1"),
        (&[], &["a: b"], "4.3.1"),
    ];
    for (kept, expected, section) in table {
        let (kept, mut req) = (fields(kept), fields(&client));
        assert_eq!(selected(&terms, 200, &kept).validation(&mut req), expected.len() > 1, "section {section}");
        assert_eq!(req, fields(expected), "section {section}");
    }
}

const STORED: &[&str] = &[
    "Cache-Control: max-age=60",
    "ETag: \"a\"",
    "Date: @-100",
    "Content-Length: 5",
    "Content-Encoding: gzip",
    "Content-Type: text/plain",
    "x: 1",
    "x: 2",
    "y: 1",
];

fn freshened(req: &[&str], with: &[&str]) -> (HeaderMap, Result<crate::policy::Terms, NotStored>) {
    let mut headers = fields(STORED);
    let all = freshen(&Rules::default(), &request(req), StatusCode::OK, &mut headers, &fields(with), NOW, NOW);
    (headers, all.terms)
}

#[test]
fn a_304_updates_all_fields_but_those_of_the_stored_bytes() {
    let (headers, terms) = freshened(
        &[],
        &[
            "Date: @0",
            "x: 3",
            "new: 1",
            "new: 2",
            "Content-Type: text/html",
            "Content-Length: 0",
            "Content-Encoding: br",
            "Content-Range: bytes 0-1/2",
            "Content-MD5: x",
            "ETag: \"b\"",
            "Age: 10",
            "Connection: z",
            "z: 1",
        ],
    );
    let expected = [
        "Cache-Control: max-age=60",
        "ETag: \"a\"",
        "Date: @0",
        "Content-Length: 5",
        "Content-Encoding: gzip",
        "Content-Type: text/html",
        "x: 3",
        "y: 1",
        "new: 1",
        "new: 2",
    ];
    assert_eq!(headers, fields(&expected), "section 3.2");
    assert_eq!(terms.unwrap().ttl(NOW), 50, "section 4.3.4: its own Age");
}

#[test]
fn a_304_without_a_date_is_as_old_as_its_arrival() {
    let (headers, terms) = freshened(&[], &[]);
    assert_eq!(headers["date"], fields(&["Date: @0"])["date"], "RFC 9110 section 6.6.1");
    assert_eq!(terms.unwrap().ttl(NOW), 60);
    let mut old = fields(&["Expires: @-50", "Date: @-100", "ETag: \"a\""]);
    let all = freshen(&Rules::default(), &request(&[]), StatusCode::OK, &mut old, &HeaderMap::new(), NOW, at(1));
    assert!(!all.terms.unwrap().is_fresh(at(1)), "an Expires that is over stays over");
}

#[test]
fn a_304_may_forbid_what_was_allowed() {
    // (request, 304, verdict, is it the request's doing, section of RFC 9111)
    #[allow(clippy::type_complexity)] // one row a case, read as a table
    let table: &[(&[&str], &[&str], NotStored, bool, &str)] = &[
        (&[], &["Cache-Control: no-store"], NotStored::NoStore, false, "5.2.2.5"),
        (&[], &["Cache-Control: private"], NotStored::Private, false, "5.2.2.7"),
        (&[], &["Vary: *"], NotStored::VaryStar, false, "4.1"),
        (&["Cache-Control: no-store"], &[], NotStored::RequestNoStore, true, "5.2.1.5"),
        (&["Authorization: x"], &[], NotStored::Authorization, true, "3.5"),
        (&["Cache-Control: no-store"], &["Cache-Control: private"], NotStored::Private, false, "5.2.2.7: whoever asks"),
        (&["Authorization: x"], &["Cache-Control: no-store"], NotStored::NoStore, false, "5.2.2.5: whoever asks"),
        (&["Authorization: x"], &["Vary: *"], NotStored::VaryStar, false, "4.1: whoever asks"),
    ];
    for (req, with, expected, requests, section) in table {
        let (_, terms) = freshened(req, with);
        assert_eq!(terms, Err(*expected), "{req:?} {with:?} (section {section})");
        assert_eq!(expected.is_the_requests(), *requests);
    }
}

#[test]
fn what_a_304_gives_to_its_requester_alone_is_not_stored() {
    const ALONE: &[&str] = &["Set-Cookie: new"];
    // (304, Set-Cookie in the store afterwards, what its requester gets besides, section of RFC 9111)
    #[allow(clippy::type_complexity)] // one row a case, read as a table
    let table: &[(&[&str], &[&str], &[&str], &str)] = &[
        (&["Set-Cookie: new"], &["Set-Cookie: old"], ALONE, "7.3: nothing in this 304 allows it"),
        (&["Set-Cookie: new", "Last-Modified: @-1000"], &["Set-Cookie: old"], ALONE, "7.3: a guess"),
        (&["Set-Cookie: new", "Cache-Control: max-age=9"], &["Set-Cookie: new"], &[], "7.3: explicit freshness"),
        (&["Set-Cookie: new", "Expires: @9", "Date: @0"], &["Set-Cookie: new"], &[], "7.3: explicit freshness"),
        (&["Set-Cookie: new", "Cache-Control: public"], &["Set-Cookie: new"], &[], "7.3: public"),
        (&["Set-Cookie: new", "Cache-Control: max-age=9, no-cache=\"set-cookie\""], &[], ALONE, "5.2.2.4"),
        (&["Cache-Control: max-age=9, private=\"y\"", "y: 2"], &["Set-Cookie: old"], &["y: 2"], "5.2.2.7"),
        (&["Age: 3"], &["Set-Cookie: old"], &[], "5.1: the age is ours to tell"),
    ];
    for (with, kept, alone, section) in table {
        let lines = ["Cache-Control: public", "ETag: \"a\"", "Date: @-9", "Set-Cookie: old", "y: 1"];
        let mut headers = fields(&lines);
        let all = freshen(&Rules::default(), &request(&[]), StatusCode::OK, &mut headers, &fields(with), NOW, NOW);
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, fields(kept).get_all("set-cookie").iter().collect::<Vec<_>>(), "{with:?} ({section})");
        assert_eq!(all.withheld, fields(alone), "{with:?} (section {section})");
        assert_eq!(all.terms.map(|_| ()), Ok(()), "{with:?} (section {section})");
    }
}
