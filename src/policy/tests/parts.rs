use super::{NOW, fields, request, response, selected, stored};
use crate::policy::parts::{completes, completion, rest, wanted};
use crate::policy::{NotStored, Rules};
use crate::policy::{Part, storable};
use http::HeaderMap;
use std::ops::Range;

const FOUR_TO_NINE: Range<u64> = 4..9;

fn part(at: Range<u64>, whole: u64) -> Part {
    Part { at, whole }
}

#[test]
fn a_206_holds_what_its_content_range_says() {
    // (Content-Range, length of the content, what it holds, section)
    let table: &[(&str, u64, Option<Part>, &str)] = &[
        ("bytes 4-8/10", 5, Some(part(4..9, 10)), "RFC 9110 14.4"),
        ("Bytes 0-9/10", 10, Some(part(0..10, 10)), "RFC 9110 14.1: letter case of the unit"),
        ("bytes 4-9/10", 5, Some(part(4..9, 9)), "shorter than it says, and to the end: there the end is"),
        ("bytes 4-8/10", 4, None, "shorter than it says, in the middle"),
        ("bytes 4-8/10", 6, None, "longer than it says"),
        ("bytes 4-8/*", 5, None, "the length of the whole is not known"),
        ("bytes */10", 5, None, "RFC 9110 14.4: nothing satisfied"),
        ("bytes 8-4/10", 5, None, "RFC 9110 14.4: not valid"),
        ("bytes 4-8/8", 5, None, "RFC 9110 14.4: not valid"),
        ("bytes 0-0/0", 0, None, "RFC 9110 14.4: not valid"),
        ("bytes +4-8/10", 5, None, "RFC 9110 14.4: digits only"),
        ("bytes 4-99999999999999999999/999999999999999999999", 5, None, "more than can be counted"),
        ("lines 4-8/10", 5, None, "RFC 9110 14.1: another unit"),
        ("4-8/10", 5, None, "RFC 9110 14.4"),
    ];
    for (value, length, expected, section) in table {
        let found = Part::of(&fields(&[&format!("Content-Range: {value}")]), *length);
        assert_eq!(found, *expected, "{value} with {length} ({section})");
    }
    let twice = fields(&["Content-Range: bytes 0-0/2", "Content-Range: bytes 1-1/2"]);
    assert_eq!(Part::of(&twice, 1), None, "RFC 9110 5.3: two lines of a field that is no list");
}

#[test]
fn a_206_is_stored_only_as_the_answer_to_a_range() {
    // (request, response, stored, section)
    let part = &["Content-Range: bytes 0-4/10", "Cache-Control: max-age=60"];
    type Row = (&'static [&'static str], &'static [&'static str], Result<(), NotStored>, &'static str);
    let table: &[Row] = &[
        (&["Range: bytes=0-4"], part, Ok(()), "3.3"),
        (&[], part, Err(NotStored::Partial), "3.3: nobody asked for a part"),
        (&["Range: bytes=0-0,2-2"], &["Cache-Control: max-age=60"], Err(NotStored::Partial), "multipart"),
        (&["Range: bytes=0-4", "Cache-Control: no-store"], part, Err(NotStored::RequestNoStore), "5.2.1.5"),
    ];
    for (req, res, expected, section) in table {
        let found = storable(&Rules::default(), &request(req), &response(206, res), NOW, NOW).map(|_| ());
        assert_eq!(found, *expected, "{req:?} ({section})");
    }
}

#[test]
fn a_part_answers_the_ranges_that_it_holds() {
    // (Range, of the part 4..9 of 10, section of RFC 9110)
    let table: &[(&str, Option<Range<u64>>, &str)] = &[
        ("bytes=4-8", Some(FOUR_TO_NINE), "14.1.2"),
        ("bytes=6-7", Some(6..8), "14.1.2"),
        ("bytes=3-5", None, "a byte is missing before"),
        ("bytes=6-", None, "a byte is missing behind"),
        ("bytes=-2", None, "the last is missing"),
        ("bytes=4-4,6-6", None, "several are fetched"),
        ("bytes=20-", None, "whether it can be satisfied is the origin's to say"),
    ];
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    let kept = fields(&["ETag: \"a\""]);
    let asked = |lines: &[&str]| wanted(&request(lines), &selected(&terms, 206, &kept), &part(4..9, 10), NOW);
    for (range, expected, section) in table {
        assert_eq!(asked(&[&format!("Range: {range}")]), *expected, "{range} ({section})");
    }
    assert_eq!(asked(&["Range: bytes=4-5", "If-Range: \"a\""]), Some(4..6), "13.1.5");
    assert_eq!(asked(&["Range: bytes=4-5", "If-Range: \"b\""]), None, "13.1.5");
    assert_eq!(asked(&[]), None);
}

#[test]
fn what_is_missing_is_asked_for_on_condition_that_nothing_has_changed() {
    // (part, of 10, stored fields, Range, If-Range, section)
    type Row = (Range<u64>, &'static [&'static str], Option<&'static str>, Option<&'static str>, &'static str);
    let table: &[Row] = &[
        (0..5, &["ETag: \"a\""], Some("bytes=5-"), Some("\"a\""), "3.3"),
        (5..10, &["ETag: \"a\""], Some("bytes=0-4"), Some("\"a\""), "3.3"),
        (0..5, &["ETag: W/\"a\""], Some("bytes=5-"), None, "RFC 9110 13.1.5: strong only"),
        (0..5, &[], Some("bytes=5-"), None, "nothing to make it conditional with"),
        (4..9, &["ETag: \"a\""], None, None, "missing on both sides"),
    ];
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    for (at, kept, range, if_range, section) in table {
        let (part, kept, mut asked) = (part(at.clone(), 10), fields(kept), HeaderMap::new());
        if let Some(missing) = part.missing() {
            completion(&selected(&terms, 206, &kept), &missing, part.whole, &mut asked);
        }
        let said = |name: &str| asked.get(name).map(|v| v.to_str().unwrap());
        assert_eq!((said("range"), said("if-range")), (*range, *if_range), "{at:?} ({section})");
    }
}

#[test]
fn only_the_same_strong_validator_makes_a_whole_of_two_parts() {
    // (stored, status, answer, fits, section)
    let rest = "Content-Range: bytes 5-9/10";
    let table: &[(&str, u16, &[&str], bool, &str)] = &[
        ("ETag: \"a\"", 206, &[rest, "ETag: \"a\""], true, "3.4"),
        ("ETag: \"a\"", 206, &[rest, "ETag: \"b\""], false, "3.4"),
        ("ETag: \"a\"", 206, &[rest], false, "3.4"),
        ("ETag: W/\"a\"", 206, &[rest, "ETag: W/\"a\""], false, "3.4: weak"),
        ("X: y", 206, &[rest], false, "3.4: none"),
        ("ETag: \"a\"", 206, &["Content-Range: bytes 6-9/10", "ETag: \"a\""], false, "another range"),
        ("ETag: \"a\"", 206, &["Content-Range: bytes 5-9/11", "ETag: \"a\""], false, "another length"),
        ("ETag: \"a\"", 200, &[rest, "ETag: \"a\""], false, "not a part"),
    ];
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    for (kept, status, answer, expected, section) in table {
        let kept = fields(&[kept]);
        let found = completes(&selected(&terms, 206, &kept), &(5..10), 10, &response(*status, answer));
        assert_eq!(found, *expected, "{answer:?} ({section})");
    }
}

#[test]
fn only_what_a_strong_validator_vouches_for_is_completed() {
    // (part, of 10, stored fields, what is to be fetched, section)
    type Row = (Range<u64>, &'static [&'static str], Option<Range<u64>>, &'static str);
    let table: &[Row] = &[
        (0..5, &["ETag: \"a\""], Some(5..10), "3.4"),
        (5..10, &["ETag: \"a\""], Some(0..5), "3.4"),
        (0..5, &["ETag: W/\"a\""], None, "3.4: a weak one does not say that the bytes are the same"),
        (0..5, &["Last-Modified: @-100", "Date: @0"], None, "3.4"),
        (0..5, &[], Some(5..10), "an origin without validators may answer with the whole"),
        (4..9, &["ETag: \"a\""], None, "missing on both sides"),
    ];
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    for (at, kept, expected, section) in table {
        let kept = fields(kept);
        assert_eq!(
            rest(&selected(&terms, 206, &kept), &part(at.clone(), 10)),
            *expected,
            "{at:?} {kept:?} ({section})"
        );
    }
}
