use super::{at, fields, response};
use crate::policy::Groups;
use crate::policy::groups::invalidated;
use crate::wire::target::Key;
use http::Method;

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
