use super::{NOW, fields, request, request_of, selected, stored};
use crate::policy::Ranged::{self, Part, Parts, Refused, Whole};
use crate::policy::ranges::{self, content_range, multipart};
use http::Method;

const KEPT: &[&str] = &["ETag: \"a\"", "Last-Modified: @-100", "Date: @-10"];

fn asked(req: &[&str], kept: &[&str], length: u64) -> Ranged {
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    ranges::of(&request(req), &selected(&terms, 200, &fields(kept)), length, NOW)
}

#[test]
fn which_parts_of_ten_bytes_answer_a_range() {
    // (Range, parts, section of RFC 9110)
    let table: &[(&str, Ranged, &str)] = &[
        ("bytes=0-1", Part(0..2), "14.1.2"),
        ("bytes=1-", Part(1..10), "14.1.2"),
        ("bytes=-1", Part(9..10), "14.1.2"),
        ("bytes=-50", Part(0..10), "14.1.2: longer than the whole"),
        ("bytes=5-50", Part(5..10), "14.1.2: beyond the end"),
        ("bytes=9-9", Part(9..10), "14.1.2"),
        ("Bytes=0-1", Part(0..2), "14.1: letter case"),
        ("bytes=0-99999999999999999999999", Part(0..10), "14.1.2"),
        ("bytes=10-", Refused, "14.1.2: none satisfiable"),
        ("bytes=-0", Refused, "14.1.2"),
        ("bytes=99999999999999999999999-", Refused, "14.1.2"),
        ("bytes=10-11, 0-0", Part(0..1), "14.1.2: one satisfiable"),
        ("bytes=0-0, 2-3", Parts(vec![0..1, 2..4]), "14.2"),
        ("bytes=5-6,0-1", Parts(vec![5..7, 0..2]), "15.3.7.2: in the order asked for"),
        ("bytes=0-1,2-3", Parts(vec![0..2, 2..4]), "14.2: side by side"),
        ("bytes= 0-0 , ,2-3", Parts(vec![0..1, 2..4]), "5.6.1.2"),
        ("bytes=0-5,5-6", Part(0..7), "15.3.7.2: overlapping"),
        ("bytes=0-,0-", Part(0..10), "15.3.7.2: overlapping"),
        ("bytes=8-8,0-1,5-6,1-5", Parts(vec![8..9, 0..7]), "15.3.7.2: one that joins two"),
        ("bytes=5-6,0-1,8-9,1-5", Parts(vec![0..7, 8..10]), "15.3.7.2: in the place of the first"),
        ("bytes=20-30,5-6,4-5", Part(4..7), "15.3.7.2"),
        ("bytes=5-4", Whole, "14.1.2: not valid"),
        ("bytes=a-b", Whole, "14.2: not valid"),
        ("bytes=-", Whole, "14.2"),
        ("bytes=", Whole, "14.1.1: at least one"),
        ("bytes=, ,", Whole, "14.1.1: at least one"),
        ("bytes=+1-2", Whole, "14.2"),
        ("bytes=1 - 2", Whole, "14.2"),
        ("bytes 0-1", Whole, "14.2"),
        ("bytes=0-1,x", Whole, "14.2"),
        ("lines=0-1", Whole, "14.1: unknown unit"),
    ];
    for (range, expected, section) in table {
        assert_eq!(asked(&[&format!("Range: {range}")], KEPT, 10), *expected, "{range} (section {section})");
    }
    let many = |count: u64| {
        let set: Vec<String> = (0..count).map(|n| format!("{}-{}", 10 * n, 10 * n + 4)).collect();
        asked(&[&format!("Range: bytes={}", set.join(","))], KEPT, 1_000_000)
    };
    assert_eq!(many(512), Parts((0..512).map(|n| 10 * n..10 * n + 5).collect()));
    assert_eq!(many(513), Whole, "14.2: too many are ignored");
    assert_eq!(asked(&["Range: bytes=0-1", "Range: bytes=2-3"], KEPT, 10), Whole, "two lines are not one range set");
    assert_eq!(asked(&["Range: bytes=0-"], KEPT, 0), Refused, "nothing of nothing");
    assert_eq!(asked(&[], KEPT, 10), Whole);
}

#[test]
fn a_range_counts_only_while_if_range_is_strongly_the_same() {
    // (If-Range, stored fields, counts, section of RFC 9110)
    let table: &[(&str, &[&str], bool, &str)] = &[
        ("\"a\"", KEPT, true, "13.1.5"),
        ("\"b\"", KEPT, false, "13.1.5"),
        ("W/\"a\"", KEPT, false, "13.1.5: weak"),
        ("W/\"a\"", &["ETag: W/\"a\""], false, "13.1.5: weak"),
        ("\"a\"", &["ETag: W/\"a\""], false, "13.1.5: weak"),
        ("@-100", KEPT, true, "13.1.5"),
        ("@-99", KEPT, false, "13.1.5: the very date"),
        ("@-100", &["Last-Modified: @-100", "Date: @-100"], false, "8.8.2.2: written in that second"),
        ("@-100", &["Last-Modified: @-100"], false, "8.8.2.2"),
        ("x", KEPT, false, "13.1.5"),
    ];
    for (value, kept, counts, section) in table {
        let answer = asked(&["Range: bytes=0-1", &format!("If-Range: {value}")], kept, 10);
        assert_eq!(answer == Part(0..2), *counts, "{value} of {kept:?} (section {section})");
        assert!(*counts || answer == Whole);
    }
}

#[test]
fn a_range_is_for_get_and_for_a_whole_200() {
    let terms = stored(&[], 200, &["Cache-Control: max-age=600"]).unwrap();
    let kept = fields(KEPT);
    let head = request_of(Method::HEAD, &["Range: bytes=0-1"]);
    assert_eq!(ranges::of(&head, &selected(&terms, 200, &kept), 10, NOW), Whole, "RFC 9110 section 14.2");
    let get = request(&["Range: bytes=0-1"]);
    assert_eq!(ranges::of(&get, &selected(&terms, 404, &kept), 10, NOW), Whole, "RFC 9110 section 14.2");
}

#[test]
fn the_frame_of_several_parts_has_the_length_it_says() {
    let parts = [0..2, 5..8];
    let content = b"0123456789";
    let frame = multipart(&parts, 10, Some("text/plain"), "B");
    let mut body = Vec::new();
    for (head, part) in frame.heads.iter().zip(&parts) {
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&content[part.start as usize..part.end as usize]);
    }
    body.extend_from_slice(frame.tail.as_bytes());
    let expected = "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
                    --B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-7/10\r\n\r\n567\r\n--B--\r\n";
    assert_eq!(std::str::from_utf8(&body).unwrap(), expected, "RFC 9110 section 14.6");
    assert_eq!(frame.content_length, body.len() as u64);
    assert_eq!(content_range(None, 10), "bytes */10", "RFC 9110 section 14.4");
}
