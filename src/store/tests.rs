use super::{Entry, EntryContent, Mark, Shelf, ShelfLimits, Store, Then, Uncacheable, Weigh};
use crate::account::{self, AccountKind, Hold};
use crate::config::{CacheConfig, Eviction};
use crate::policy::{self, Terms};
use crate::wire::date::Timestamp;
use crate::wire::field::{FieldId, Traits};
use crate::wire::head_limits::HeadLimits;
use crate::wire::target::Key;
use crate::wire::view::FieldView;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use std::sync::Arc;
use std::time::Duration;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn terms(received: u64) -> Terms {
    let request = Request::get("http://h/").body(()).unwrap().into_parts().0;
    let response = Response::builder().header("cache-control", "max-age=60").body(()).unwrap().into_parts().0;
    let at = Timestamp::from_seconds(received);
    policy::storable(&policy::Rules::default(), &request, &response, at, at).unwrap()
}

fn entry(
    url: &str,
    lines: &[(&'static str, &'static str)],
    request: &HeaderMap,
    body: impl Into<EntryContent<'static>>,
    at: u64,
) -> Entry {
    let fields = headers(lines);
    let selecting = policy::variants::selecting(&fields, request).unwrap();
    Entry::new(&Key::parse(url).unwrap(), StatusCode::OK, &fields, &selecting, terms(at), Mark::Anyone, body)
}

const LIMITS: ShelfLimits = ShelfLimits { variants: 32, head: HeadLimits { bytes: 200, fields: 5 } };

fn store(memory: u64) -> Store {
    let config = CacheConfig {
        memory,
        max_object: memory,
        in_flight: memory,
        eviction: Eviction::TinyLfu,
        targeted: Vec::new(),
    };
    Store::new(&config, ShelfLimits { variants: 3, ..LIMITS })
}

#[test]
fn an_entry_gives_back_the_fields_it_was_made_of_in_order_and_repeated() {
    let lines =
        [("content-type", "text/html"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-own", "q"), ("x-own", "")];
    let entry = entry("http://h/a", &lines, &HeaderMap::new(), vec![Bytes::from_static(b"body")], 1);
    assert_eq!(entry.headers(0), headers(&lines));
    assert_eq!(entry.key(), b"http://h/a");
    assert_eq!(entry.first(FieldId::ContentType), Some(&b"text/html"[..]));
    assert_eq!(entry.named(&HeaderName::from_static("x-own")).next(), Some(&b"q"[..]));
    assert_eq!(entry.first(FieldId::Etag), None);
}

#[test]
fn what_many_entries_say_alike_is_kept_once_and_given_back_whole() {
    let lines = [("server", "a server that only this test knows"), ("content-type", "text/html"), ("age", "1")];
    let new = || entry("http://h/a", &lines, &HeaderMap::new(), vec![Bytes::from_static(b"body")], 1);
    let first = new();
    let later = (0..9).map(|_| new()).find(|later| later.weight() < first.weight() - 30).expect("it is kept once");
    for entry in [first, later] {
        assert_eq!(entry.headers(0), headers(&lines));
        assert_eq!(entry.first(FieldId::Server), Some(lines[0].1.as_bytes()));
        let mut written = Vec::new();
        entry.write_fields(Traits::ANEW, &mut written);
        assert_eq!(written, b"server: a server that only this test knows\r\ncontent-type: text/html\r\n");
        assert_eq!(entry.body().whole().unwrap(), "body");
    }
}

/// Who waits with one of them is found by what counts the body, since they are not followed one by one.
#[test]
fn a_body_that_came_in_small_pieces_is_counted_with_them() {
    for (size, counted_with_them) in [(700, true), (100_000, false)] {
        for pieces in [100, 2000] {
            let hold = Hold::new(AccountKind::Fills);
            let body = (0..pieces * 700 / size).map(|n| hold.piece(Bytes::from(vec![n as u8; size]))).collect();
            let entry = entry("http://h/s", &[], &HeaderMap::new(), EntryContent::held(body, hold.clone()), 1);
            let is_its = entry.hold().is_some_and(|own| Arc::ptr_eq(own, &hold));
            // What is large stays in the pieces in which it came.
            let stays = size * (pieces * 700 / size) > 1024 * 1024;
            assert_eq!(is_its, counted_with_them || stays, "{pieces} of {size}");
        }
    }
}

#[test]
fn a_small_body_lies_behind_its_head_and_a_large_one_keeps_its_pieces() {
    let small =
        entry("http://h/s", &[], &HeaderMap::new(), vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cd")], 1);
    assert_eq!(small.body().whole().unwrap(), "abcd");
    assert_eq!(small.body().piece(3), "d");
    assert!(small.body().piece(4).is_empty() && small.body().piece(99).is_empty());
    let hold = Hold::new(AccountKind::Fills);
    let pieces = [7, 8].map(|byte| hold.piece(Bytes::from(vec![byte; 700_000])));
    let large = entry("http://h/l", &[], &HeaderMap::new(), EntryContent::held(pieces.to_vec(), hold), 1);
    assert_eq!(large.body().len(), 1_400_000);
    assert!(large.body().whole().is_none());
    assert_eq!(large.body().piece(699_999).len(), 1);
    assert_eq!(large.body().piece(700_000).len(), 700_000);
    assert!(large.body().piece(1_400_000).is_empty());
    let crumbs = vec![Bytes::from_static(b"abcdefg"); 200_000];
    let large = entry("http://h/c", &[], &HeaderMap::new(), crumbs, 1);
    assert_eq!((large.body().len(), large.body().pieces().len()), (1_400_000, 6));
    assert!(large.body().pieces().concat() == b"abcdefg".repeat(200_000));
}

#[test]
fn what_readers_have_of_an_entry_counts_as_theirs_as_soon_as_it_is_stored_no_more() {
    let (store, key) = (store(1 << 20), Key::parse("http://h/e").unwrap());
    let page = || Arc::new(entry("http://h/e", &[], &HeaderMap::new(), vec![Bytes::from(vec![1; 100_000])], 1));
    let (first, second) = (page(), page());
    let body = |of: &Arc<Entry>| of.body().whole().unwrap();
    let (of_first, of_second) = (body(&first), body(&second));
    let is_readers = |body: &Bytes| account::is_for_readers(body.as_ptr() as usize);
    store.put(&key, first.clone());
    assert!(!is_readers(&of_first) && is_readers(&of_second), "the second is not stored yet");
    store.put(&key, second);
    assert!(is_readers(&of_first) && !is_readers(&of_second), "replaced");
    // A 304 makes another entry of the same bytes, or of a copy.
    let renewed = Arc::new(first.renewed(&HeaderMap::new(), terms(2), Mark::Anyone, &key, &[]));
    store.put(&key, renewed);
    assert!(is_readers(&of_second));
    store.remove(&key);
    store.tidy();
    let slice = of_first.slice(50_000..);
    drop((first, of_first));
    assert!(is_readers(&slice));
}

#[test]
fn an_entry_weighs_its_key_its_head_and_its_body() {
    let none = entry("http://h/", &[], &HeaderMap::new(), vec![], 1).weight();
    let some =
        entry("http://h/12345", &[("etag", "\"x\"")], &HeaderMap::new(), vec![Bytes::from(vec![0; 1000])], 1).weight();
    assert_eq!(some - none, 5 + 2 + 3 + 1000);
}

#[test]
fn variants_live_side_by_side_and_the_least_recently_used_gives_way() {
    let store = store(1 << 20);
    let key = Key::parse("http://h/v").unwrap();
    for (at, language) in [(1, "de"), (2, "en"), (3, "fr"), (4, "it")] {
        let request = headers(&[("accept-language", language)]);
        let entry =
            Arc::new(entry("http://h/v", &[("vary", "accept-language")], &request, vec![Bytes::from(language)], at));
        entry.touch(at);
        store.put(&key, entry);
    }
    let shelf = store.get(&key).unwrap();
    let body = |language| {
        let request = headers(&[("accept-language", language)]);
        shelf.select(&request, true).map(|e| e.body().whole().unwrap())
    };
    assert_eq!(body("de"), None, "three variants at most, and this was the oldest");
    assert_eq!(body("it").unwrap(), "it");
    assert_eq!(body("en").unwrap(), "en");
}

/// What is selected of several that match; each row: (`Vary`, `Date`, received, body).
fn selected_of(stored: &[(&'static str, &'static str, u64, &'static str)]) -> Bytes {
    let (store, key, request) = (store(1 << 20), Key::parse("http://h/v").unwrap(), headers(&[("a", "1"), ("b", "1")]));
    for (vary, date, received, body) in stored {
        let lines = [("date", *date), ("vary", *vary)];
        let lines = if vary.is_empty() { &lines[..1] } else { &lines[..] };
        store.put(&key, Arc::new(entry("http://h/v", lines, &request, vec![Bytes::from(*body)], *received)));
    }
    store.get(&key).unwrap().select(&request, true).unwrap().body().whole().unwrap()
}

#[test]
fn of_several_that_match_the_latest_by_its_date_is_selected() {
    const EARLY: &str = "Thu, 01 Jan 1970 00:00:10 GMT";
    const LATE: &str = "Thu, 01 Jan 1970 00:00:20 GMT";
    assert_eq!(selected_of(&[("a", LATE, 20, "late"), ("b", EARLY, 25, "early")]), "late", "section 4");
    assert_eq!(selected_of(&[("a", EARLY, 25, "early"), ("b", LATE, 20, "late")]), "late", "section 4");
    assert_eq!(selected_of(&[("a", LATE, 20, "before"), ("b", LATE, 21, "after")]), "after", "the same second");
    assert_eq!(selected_of(&[("a", "x", 20, "before"), ("b", EARLY, 25, "early")]), "before", "arrival stands in");
}

#[test]
fn one_without_vary_does_not_hide_those_with_it() {
    const EARLY: &str = "Thu, 01 Jan 1970 00:00:10 GMT";
    const LATE: &str = "Thu, 01 Jan 1970 00:00:20 GMT";
    const OVER: &str = "Thu, 01 Jan 1970 00:02:00 GMT";
    assert_eq!(selected_of(&[("a", EARLY, 10, "negotiated"), ("", LATE, 20, "default")]), "negotiated", "section 4.1");
    assert_eq!(selected_of(&[("", EARLY, 10, "default"), ("a", LATE, 20, "negotiated")]), "negotiated", "section 4.1");
    assert_eq!(
        selected_of(&[("a", EARLY, 10, "stale"), ("", OVER, 120, "anew")]),
        "anew",
        "it took the stale one's place"
    );
}

#[test]
fn what_only_this_machine_may_reach_is_there_for_nobody_else() {
    let fields = HeaderMap::new();
    let key = Key::parse("http://localhost/").unwrap();
    let entry = Entry::new(&key, StatusCode::OK, &fields, &[], terms(1), Mark::SameMachine, vec![]);
    let shelf = Shelf::One(Arc::new(entry));
    assert!(shelf.select(&fields, true).is_some());
    assert!(shelf.select(&fields, false).is_none());
}

#[test]
fn the_store_stays_within_its_bytes() {
    let store = store(100_000);
    for i in 0..1000 {
        let url = format!("http://h/{i}");
        let key = Key::parse(&url).unwrap();
        store.put(&key, Arc::new(entry(&url, &[], &HeaderMap::new(), vec![Bytes::from(vec![0; 1000])], 1)));
    }
    let (entries, bytes) = store.size();
    assert!(bytes <= 100_000 && entries > 30, "{entries} entries, {bytes} bytes");
}

/// As a node does: two looks before the origin is asked, one for what may have been there before, and then it is stored.
fn is_hit(store: &Store, url: &str) -> bool {
    let key = Key::parse(url).unwrap();
    if store.at(key.hash(), url.as_bytes()).is_some() {
        return true;
    }
    assert!(store.get(&key).is_none() && store.get(&key).is_none());
    store.put(&key, Arc::new(entry(url, &[], &HeaderMap::new(), vec![Bytes::from(vec![0; 1000])], 1)));
    false
}

#[test]
fn what_passes_once_does_not_push_out_what_is_asked_for_now_and_then() {
    let store = store(400 << 10);
    let often: Vec<String> = (0..100).map(|n| format!("http://h/often/{n}")).collect();
    for _ in 0..4 {
        often.iter().for_each(|url| _ = is_hit(&store, url));
    }
    let mut hits = 0;
    for n in 0..40_000 {
        is_hit(&store, &format!("http://h/once/{n}"));
        // Each of the hundred once while more passes than the store could hold.
        hits += usize::from(n % 3 == 0 && is_hit(&store, &often[n / 3 % 100]));
    }
    assert!(hits > 12_000, "{hits} of 13,333");
}

#[test]
fn a_large_one_that_is_asked_for_often_finds_room_among_small_ones() {
    let store = store(4 << 20);
    for n in (0..3000).chain(0..3000) {
        is_hit(&store, &format!("http://h/small/{n}"));
    }
    let (url, body) = ("http://h/large", Bytes::from(vec![0; 512 << 10]));
    let key = Key::parse(url).unwrap();
    let asked = (0..15).filter(|_| {
        let there = store.get(&key).is_some();
        if !there {
            store.put(&key, Arc::new(entry(url, &[], &HeaderMap::new(), vec![body.clone()], 1)));
            // Only now it is decided who stays.
            store.size();
        }
        // Others come in between.
        (0..9).for_each(|n| _ = is_hit(&store, &format!("http://h/small/{n}")));
        there
    });
    assert!(asked.count() > 0, "it is never there");
    assert!(store.size().1 <= 4 << 20, "nor is there more than there is room for");
}

#[test]
fn what_is_removed_as_soon_as_it_was_let_in_or_grew_leaves_the_count_exact() {
    let store = store(4 << 20);
    let put = |url: &str, size: usize| {
        store.put(
            &Key::parse(url).unwrap(),
            Arc::new(entry(url, &[], &HeaderMap::new(), vec![Bytes::from(vec![0; size])], 1)),
        );
    };
    let smalls: Vec<String> = (0..3000).map(|n| format!("http://h/small/{n}")).collect();
    let fill = || smalls.iter().for_each(|url| put(url, 1000));
    let large = Key::parse("http://h/large").unwrap();
    for _ in 0..8 {
        fill();
        for _ in 0..40 {
            store.get(&large);
            put("http://h/large", 512 << 10);
            store.remove(&large);
        }
    }
    put("http://h/grows", 10);
    store.size();
    put("http://h/grows", 100_000);
    store.remove(&Key::parse("http://h/grows").unwrap());
    let left = smalls.iter().filter_map(|url| store.get(&Key::parse(url).unwrap()));
    let weight: u64 = left.map(|shelf| u64::from(shelf.weight())).sum();
    assert_eq!(store.size().1, weight);
}

#[test]
fn a_purged_url_is_gone_with_all_its_variants() {
    let store = store(1 << 20);
    let key = Key::parse("http://h/p").unwrap();
    assert!(!store.remove(&key));
    store.put(&key, Arc::new(entry("http://h/p", &[], &HeaderMap::new(), vec![], 1)));
    assert!(store.remove(&key));
    assert!(store.get(&key).is_none());
}

#[test]
fn a_url_that_can_not_be_stored_is_remembered_until_it_can() {
    let uncacheable = Uncacheable::new(10, Duration::from_secs(60));
    let key = Key::parse("http://h/u").unwrap();
    uncacheable.note(&key, "a request's own doing", Then::AsBefore);
    assert!(!uncacheable.holds(&key));
    uncacheable.note(&key, "private", Then::Alone);
    assert!(uncacheable.holds(&key));
    uncacheable.note(&key, "a request's own doing", Then::AsBefore);
    assert!(uncacheable.holds(&key), "one request does not undo what is known of all");
    assert_eq!(uncacheable.why(&key), Some("a request's own doing"));
    uncacheable.forget(&key);
    assert!(!uncacheable.holds(&key));
    assert_eq!(uncacheable.why(&key), None);
}

/// A part of ten bytes whose entity tag is `tag`.
fn part(at: std::ops::Range<u64>, tag: &'static str, received: u64) -> Arc<Entry> {
    let body: Vec<u8> = (at.start..at.end).map(|n| b'0' + n as u8).collect();
    let mut entry = entry("http://h/p", &[("etag", tag)], &HeaderMap::new(), vec![body.into()], received);
    entry.status = StatusCode::PARTIAL_CONTENT;
    Arc::new(entry.part_of_whole(policy::Part { at, whole: 10 }))
}

fn kept(parts: &[Arc<Entry>]) -> Vec<(Option<policy::Part>, Bytes)> {
    let shelf = parts[1..].iter().fold(Shelf::One(parts[0].clone()), |shelf, part| shelf.with(part.clone(), LIMITS));
    shelf.entries().iter().map(|e| (e.part().cloned(), e.body().whole().unwrap())).collect()
}

#[test]
fn parts_whose_fields_together_are_too_many_or_too_long_stay_apart() {
    let with = |at: std::ops::Range<u64>, names: &[&'static str], value: &'static str| {
        let fields: Vec<_> = names.iter().map(|name| (*name, value)).chain([("etag", "\"a\"")]).collect();
        let body: Vec<u8> = (at.start..at.end).map(|n| b'0' + n as u8).collect();
        let mut entry = entry("http://h/p", &fields, &HeaderMap::new(), vec![body.into()], at.start + 1);
        entry.status = StatusCode::PARTIAL_CONTENT;
        Arc::new(entry.part_of_whole(policy::Part { at, whole: 10 }))
    };
    const LONG: &str =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    for (names, value, parts) in [(["a", "b"], "1", 1), (["a", "b"], LONG, 2), (["a", "a"], "1", 1)] {
        let both = kept(&[with(0..5, &names[..1], value), with(5..9, &names[1..], value)]);
        assert_eq!(both.len(), parts, "{names:?} {}", value.len());
    }
    assert_eq!(kept(&[with(0..5, &["a", "b", "c"], "1"), with(5..9, &["d", "e"], "1")]).len(), 2, "six fields");
}

#[test]
fn parts_that_touch_become_one_and_all_together_the_whole() {
    let part_of = |at, whole| Some(policy::Part { at, whole });
    assert_eq!(kept(&[part(0..3, "\"a\"", 1), part(3..6, "\"a\"", 2)]), [(part_of(0..6, 10), "012345".into())]);
    assert_eq!(kept(&[part(2..6, "\"a\"", 1), part(0..4, "\"a\"", 2)]), [(part_of(0..6, 10), "012345".into())]);
    assert_eq!(kept(&[part(0..6, "\"a\"", 1), part(2..4, "\"a\"", 2)]), [(part_of(0..6, 10), "012345".into())]);
    let both_sides = [part(0..3, "\"a\"", 1), part(6..10, "\"a\"", 2), part(2..7, "\"a\"", 3)];
    assert_eq!(kept(&both_sides), [(None, "0123456789".into())]);
    let whole =
        Shelf::One(both_sides[0].clone()).with(both_sides[1].clone(), LIMITS).with(both_sides[2].clone(), LIMITS);
    let whole = whole.select(&HeaderMap::new(), true).unwrap();
    assert_eq!((whole.status, whole.terms.received), (StatusCode::OK, Timestamp::from_seconds(3)));
}

#[test]
fn what_is_joined_keeps_the_stored_fields_that_the_new_part_does_not_say_anew() {
    let piece = |at: std::ops::Range<u64>, lines: &[(&'static str, &'static str)], body: &'static str, received| {
        let entry = entry("http://h/p", lines, &HeaderMap::new(), vec![Bytes::from(body)], received);
        Arc::new(entry.part_of_whole(policy::Part { at, whole: 4 }))
    };
    const NEW: &str = "Thu, 01 Jan 1970 00:00:09 GMT";
    let first =
        [("etag", "\"a\""), ("date", "Thu, 01 Jan 1970 00:00:01 GMT"), ("content-type", "text/css"), ("x", "1")];
    let second = [("etag", "\"a\""), ("date", NEW), ("x", "2"), ("y", "3")];
    let joined = [("etag", "\"a\""), ("content-type", "text/css"), ("date", NEW), ("x", "2"), ("y", "3")];
    let shelf = Shelf::One(piece(0..2, &first, "01", 1)).with(piece(2..4, &second, "23", 9), LIMITS);
    let whole = shelf.select(&HeaderMap::new(), true).unwrap();
    assert_eq!((whole.headers(0), whole.body().whole().unwrap()), (headers(&joined), "0123".into()), "section 3.4");
}

#[test]
fn parts_of_another_representation_give_way() {
    for tag in ["\"b\"", "W/\"a\"", ""] {
        let left = kept(&[part(0..3, "\"a\"", 1), part(3..6, tag, 2)]);
        assert_eq!(left.len(), 1, "RFC 9111 section 3.4: {tag}");
        assert_eq!(left[0].1, "345");
    }
}

#[test]
fn at_most_eight_parts_stay_apart() {
    let whole = 100;
    let apart = |n: u64| {
        let entry = entry("http://h/p", &[("etag", "\"a\"")], &HeaderMap::new(), vec![Bytes::from_static(b"x")], n);
        Arc::new(entry.part_of_whole(policy::Part { at: 2 * n..2 * n + 1, whole }))
    };
    let left = kept(&(1..=20).map(apart).collect::<Vec<_>>());
    let starts: Vec<u64> = left.iter().map(|(part, _)| part.as_ref().unwrap().at.start / 2).collect();
    assert_eq!(starts.len(), 8);
    assert!(starts.iter().all(|n| *n > 12), "the least recently used went: {starts:?}");
}

#[test]
fn fields_of_any_length_are_kept_whole() {
    for length in [0, 1, 127, 128, 16_383, 16_384, 65_535, 65_536, 1_000_000] {
        let (value, name): (&str, &str) = ("y".repeat(length).leak(), "x".repeat(length.clamp(1, 30_000)).leak());
        let kept = entry("http://h/", &[(name, value), ("etag", "1")], &HeaderMap::new(), vec![], 1);
        let headers = kept.headers(0);
        assert_eq!((headers[name].len(), headers["etag"].as_bytes()), (length, &b"1"[..]), "section 3.1");
        let mut written = Vec::new();
        kept.write_fields(Traits::NONE, &mut written);
        assert_eq!(written.len(), name.len() + length + 4 + "etag: 1\r\n".len());
    }
}

#[test]
fn what_came_from_two_places_is_for_those_who_may_reach_both() {
    use Mark::{Anyone, SameMachine};
    for (one, other, both) in
        [(Anyone, Anyone, Anyone), (Anyone, SameMachine, SameMachine), (SameMachine, Anyone, SameMachine)]
    {
        assert_eq!(one.and(other), both);
    }
}
