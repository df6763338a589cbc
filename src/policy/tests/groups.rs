use super::{at, fields, response};
use crate::policy::Groups;
use crate::policy::groups::{Named, invalidated};
use crate::wire::target::Key;
use http::Method;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn key(url: &str) -> Key {
    Key::parse(url).unwrap()
}

#[test]
fn an_answer_to_an_unsafe_method_names_the_groups_that_become_invalid() {
    let long = format!("Cache-Group-Invalidation: \"{}\"", "x".repeat(200));
    // (method, status, fields, groups, section of RFC 9875)
    let table = [
        ("POST", 200, vec!["Cache-Group-Invalidation: \"a\", \"b\""], vec!["a", "b"], "3"),
        ("POST", 303, vec!["Cache-Group-Invalidation: \"a\"", "cache-group-invalidation: \"b\""], vec!["a", "b"], "3"),
        ("DELETE", 204, vec!["Cache-Group-Invalidation: \"a\";x=1;y"], vec!["a"], "2: parameters are ignored"),
        ("POST", 200, vec!["Cache-Group-Invalidation: \"a\\\"b, c\""], vec!["a\"b, c"], "2: a string"),
        ("POST", 200, vec![long.as_str()], vec![&long[27..227]], "2: more than 32 characters"),
        ("GET", 200, vec!["Cache-Group-Invalidation: \"a\""], vec![], "3: a safe method"),
        ("POST", 500, vec!["Cache-Group-Invalidation: \"a\""], vec![], "3: as RFC 9111 section 4.4"),
        ("POST", 200, vec!["Cache-Group-Invalidation: a"], vec![], "3: not a string"),
        ("POST", 200, vec!["Cache-Group-Invalidation: \"a\", 1"], vec![], "3: not a list of strings"),
        ("POST", 200, vec!["Cache-Group-Invalidation: (\"a\")"], vec![], "3: not a list of strings"),
        ("POST", 200, vec!["Cache-Group-Invalidation: \"a\","], vec![], "RFC 9651 section 4.2.1"),
        ("POST", 200, vec!["Cache-Group-Invalidation: \"a"], vec![], "RFC 9651 section 4.2.5"),
        ("POST", 200, vec!["Cache-Group-Invalidation:"], vec![], "RFC 9651 section 4.2"),
        ("POST", 200, vec!["Cache-Groups: \"a\""], vec![], "3: another field"),
    ];
    for (method, status, lines, expected, section) in table {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(invalidated(&method, &response(status, &lines)), expected, "{lines:?} (section {section})");
    }
}

#[test]
fn at_least_32_groups_are_read_and_not_countless_ones() {
    let many = |n: usize| {
        let line = format!("Cache-Group-Invalidation: {}", vec!["\"g\""; n].join(", "));
        invalidated(&Method::POST, &response(200, &[&line])).len()
    };
    assert_eq!((many(32), many(10_000)), (32, 128), "RFC 9875 section 2");
}

#[test]
fn what_names_the_group_and_came_before_is_outdated() {
    let mut groups = Groups::new(10);
    groups.invalidate(&key("http://h/x"), &["a".to_owned()], at(10));
    // (URL, fields, received, outdated, section of RFC 9875)
    let table: &[(&str, &str, i64, bool, &str)] = &[
        ("http://h/y", "Cache-Groups: \"b\", \"a\"", 9, true, "2.1"),
        ("http://h/y", "Cache-Groups: \"a\"", 10, true, "2.1: in doubt"),
        ("http://h/y", "Cache-Groups: \"a\"", 11, false, "3: it came later"),
        ("http://h/y", "Cache-Groups: \"A\"", 9, false, "2.1: character by character"),
        ("http://h/y", "Cache-Groups: a", 9, false, "2: not a list of strings"),
        ("http://h/y", "x: \"a\"", 9, false, "2"),
        ("http://h:81/y", "Cache-Groups: \"a\"", 9, false, "2.1: another origin"),
        ("https://h/y", "Cache-Groups: \"a\"", 9, false, "2.1: another origin"),
    ];
    for (url, line, received, expected, section) in table {
        let outdated = groups.outdate(&key(url), &fields(&[line]), at(*received));
        assert_eq!(outdated, *expected, "{url} {line} {received} (section {section})");
    }
}

#[test]
fn what_no_longer_fits_makes_every_grouped_response_doubtful_but_no_later_one() {
    let mut groups = Groups::new(2);
    let names = |name: &str| [name.to_owned()];
    for (n, name) in ["a", "b", "b", "c"].into_iter().enumerate() {
        groups.invalidate(&key("http://h/"), &names(name), at(n as i64));
    }
    let outdated = |received| groups.outdate(&key("http://h/"), &fields(&["Cache-Groups: \"z\""]), at(received));
    assert!(outdated(3) && !outdated(4));
}

#[test]
fn two_sets_of_groups_meet_where_origin_and_name_are_the_same() {
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    // (URL of the response, its groups, URL of what was changed, groups that became invalid, whether they meet)
    for (url, line, of, invalid, meet) in [
        ("http://h/y", "\"a\", \"b\"", "http://h/x", &["b"][..], true),
        ("http://h/y", "\"c\", \"a\", \"b\"", "http://h/x", &["z", "c", "y"], true),
        ("http://h/y", "\"a\", \"b\"", "http://h/x", &["c", "d"], false),
        ("http://h/y", "\"a\"", "http://h/x", &[], false),
        ("http://h/y", "", "http://h/x", &["a"], false),
        ("http://h/y", "\"a\"", "http://h/x", &["A"], false),
        ("http://h/y", "a", "http://h/x", &["a"], false),
        ("http://h/y", "\"a\"", "http://h:81/x", &["a"], false),
        ("http://h/y", "\"a\"", "https://h/x", &["a"], false),
    ] {
        let response = Named::of(&key(url), &fields(&[&format!("Cache-Groups: {line}")]));
        let changed = Named::new(&key(of), &names(invalid));
        assert_eq!((response.meets(&changed), changed.meets(&response)), (meet, meet), "{url} {line} {of} {invalid:?}");
    }
}

/// The least of some tries: other work on the machine only adds to it.
#[allow(clippy::disallowed_methods)] // finer than the program's clock
fn time(work: impl Fn()) -> Duration {
    let once = || {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap()
}

#[test]
fn many_answers_on_their_way_are_compared_with_what_became_invalid_without_reading_their_fields() {
    let name = |n: usize| format!("{n:03}-{}", "x".repeat(200));
    let line = |first: usize| {
        let names: Vec<String> = (first..first + 128).map(|n| format!("\"{}\"", name(n))).collect();
        format!("Cache-Groups: {}", names.join(", "))
    };
    let heads: Vec<_> = (0..100).map(|n| fields(&[&line(n)])).collect();
    let (of, invalid) = (key("http://h/x"), (500..628).map(name).collect::<Vec<_>>());
    let read = time(|| heads.iter().for_each(|head| drop(black_box(Named::of(&of, head)))));
    let known: Vec<Named> = heads.iter().map(|head| Named::of(&of, head)).collect();
    let compare = time(|| {
        let invalid = Named::new(&of, &invalid);
        assert!(!known.iter().any(|known| black_box(known).meets(&invalid)));
    });
    assert!(compare * 4 < read, "to compare takes {compare:?}, to read {read:?}");
    println!("100 answers of 128 groups: read in {read:?}, compared in {compare:?}");
}
