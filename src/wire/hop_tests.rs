use super::{Hop, is_for_all_recipients, strip, strip_link};
use crate::wire::link;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    lines.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

fn names(map: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn only_what_is_for_this_hop_is_removed() {
    type Lines = &'static [(&'static str, &'static str)];
    let table: &[(Lines, &[&str], &str)] = &[
        (&[("accept", "*/*")], &["accept"], "nothing to remove"),
        (&[("connection", "close"), ("close", "1")], &["close"], "close names no field of ours"),
        (&[("connection", "X-A, x-b"), ("x-a", "1"), ("X-B", "2"), ("x-c", "3")], &["x-c"], "RFC 9110 7.6.1"),
        (&[("connection", "close"), ("connection", "x-a"), ("x-a", "1")], &[], "all lines, not the first"),
        (&[("connection", "x-a"), ("x-a", "1"), ("x-a", "2")], &[], "all lines of the named field"),
        (
            &[("keep-alive", "1"), ("proxy-connection", "keep-alive"), ("te", "x"), ("transfer-encoding", "chunked")],
            &[],
            "RFC 9110 7.6.1: also when not named",
        ),
        (
            &[("proxy-authorization", "x"), ("proxy-authenticate", "x"), ("proxy-authentication-info", "x")],
            &[],
            "RFC 9110 11.7: for the first proxy only",
        ),
        (&[("connection", "a b, \"x\", x@, (x)"), ("x", "1")], &["x"], "what is no name names nothing"),
        (
            &[
                ("connection", "content-length, host, trailer"),
                ("content-length", "3"),
                ("host", "a"),
                ("trailer", "t"),
            ],
            &["content-length", "host", "trailer"],
            "framing and routing",
        ),
        (
            &[
                ("connection", "Cache-Control, Vary, Age, CDN-Cache-Control"),
                ("cache-control", "no-store"),
                ("vary", "a"),
            ],
            &["cache-control", "vary"],
            "RFC 9110 7.6.1: never appropriate",
        ),
        (&[("connection", "via"), ("via", "1.1 a")], &["via"], "a loop cannot be hidden"),
        (&[("connection", "cookie"), ("cookie", "a=b")], &[], "the sender's own affair"),
    ];
    for (lines, expected, why) in table {
        let mut map = headers(lines);
        strip(&mut map);
        assert_eq!(names(&map), *expected, "{lines:?} ({why})");
    }
}

#[test]
fn an_upgrade_counts_only_with_its_connection_option() {
    // RFC 9110 section 7.8
    let mut map = headers(&[("upgrade", "websocket")]);
    assert_eq!(strip(&mut map), Hop::default());
    assert!(map.is_empty());
    let mut map = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")]);
    assert_eq!(strip(&mut map).upgrade.unwrap(), "websocket, h2c");
    assert!(map.is_empty());
}

#[test]
fn te_trailers_is_noticed_among_others() {
    // RFC 9110 section 10.1.4
    assert!(strip(&mut headers(&[("te", "gzip;q=0.5, Trailers")])).te_trailers);
    assert!(!strip(&mut headers(&[("te", "gzip")])).te_trailers);
}

#[test]
fn fields_of_the_link_go_by_their_prefix() {
    let mut map =
        headers(&[("Ringhold-Client", "local"), ("ringhold-new", "1"), ("Ringhold-", "1"), ("ringhold", "stays")]);
    map.append(link::CLIENT, HeaderValue::from_static("remote"));
    strip_link(&mut map);
    assert_eq!(names(&map), ["ringhold"]);
}

proptest! {
    #[test]
    fn no_nominated_field_is_left(
        options in proptest::collection::vec(proptest::collection::vec("[a-zA-Z-]{1,14}", 0..5), 0..4),
        others in proptest::collection::vec("[a-z-]{1,4}", 0..6),
    ) {
        let mut map = HeaderMap::new();
        for line in &options {
            map.append("connection", line.join(" ,, ").parse().unwrap());
        }
        for name in options.iter().flatten().chain(&others) {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("x"));
        }
        strip(&mut map);
        for name in options.iter().flatten().map(|name| name.to_ascii_lowercase()) {
            prop_assert!(!map.contains_key(&name) || is_for_all_recipients(&name) || name == "close", "{name}");
        }
        prop_assert!(!map.contains_key("connection"));
    }
}
