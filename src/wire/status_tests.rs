use super::{
    CacheStatus, Fwd, drop_last_line, drop_stored, is_from_cache, is_from_disk, is_new, last_member, proxy_status, ttl,
};
use crate::wire::fault::{Fault, Kind};
use http::header::{CACHE_STATUS, HeaderMap, HeaderValue};
use proptest::prelude::*;

#[test]
fn a_cache_says_what_it_did() {
    let base = CacheStatus::default;
    let table = [
        (base(), "n1", "RFC 9211 2: the name alone"),
        (CacheStatus { hit: true, ttl: Some(30), ..base() }, "n1; hit; ttl=30", "RFC 9211 2.1"),
        (CacheStatus { hit: true, ttl: Some(-412), ..base() }, "n1; hit; ttl=-412", "RFC 9211 2.4"),
        (CacheStatus { hit: true, fwd: Some(Fwd::Miss), ..base() }, "n1; hit", "RFC 9211 2.1: never both"),
        (CacheStatus { fwd: Some(Fwd::UriMiss), stored: true, ..base() }, "n1; fwd=uri-miss; stored", "RFC 9211 2.5"),
        (
            CacheStatus {
                fwd: Some(Fwd::Stale),
                fwd_status: Some(304),
                ttl: Some(60),
                stored: true,
                collapsed: true,
                detail: Some("why \"not\"".into()),
                ..base()
            },
            r#"n1; fwd=stale; fwd-status=304; ttl=60; stored; collapsed; detail="why \"not\"""#,
            "RFC 9211 2.2 to 2.8",
        ),
    ];
    for (status, expected, why) in table {
        assert_eq!(status.to_value("n1"), expected, "{why}");
    }
}

#[test]
fn every_reason_to_forward_has_its_token() {
    // RFC 9211 section 2.2
    use Fwd::*;
    let tokens = [Bypass, Method, UriMiss, VaryMiss, Miss, Request, Stale, Partial].map(Fwd::token);
    assert_eq!(tokens, ["bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"]);
}

#[test]
fn a_name_that_is_no_token_is_quoted() {
    // RFC 9211 section 2
    let hit = CacheStatus { hit: true, ..CacheStatus::default() };
    assert_eq!(hit.to_value("rack 2"), r#""rack 2"; hit"#);
}

#[test]
fn an_error_names_its_kind_and_not_its_cause() {
    // RFC 9209 sections 2.1.1 and 2.3
    let fault = Fault::origin(Kind::ConnectionTimeout, "example.com did not answer").because("10.0.0.7");
    let expected = r#"ringhold; error=connection_timeout; details="example.com did not answer""#;
    assert_eq!(proxy_status("ringhold", &fault), expected);
}

#[test]
fn long_details_are_cut() {
    let fault = Fault::bad_request("ü\"".repeat(10_000));
    assert!(proxy_status("ringhold", &fault).len() < 500);
}

#[test]
fn the_last_member_loses_its_name() {
    let table: &[(&[&'static str], Option<&str>)] = &[
        (&[], None),
        (&[""], None),
        (&["n1"], Some("")),
        (&["n1; hit; ttl=30"], Some("hit; ttl=30")),
        (&["origin; fwd=miss", "a; hit, n1;fwd=stale"], Some("fwd=stale")),
        (&[r#""a;\"b, c"; hit; detail="x, y;z""#], Some(r#"hit; detail="x, y;z""#)),
        (&["\"a; hit"], Some("")),
        (&["\""], Some("")),
    ];
    for (lines, expected) in table {
        let map: HeaderMap = lines.iter().map(|line| (CACHE_STATUS, HeaderValue::from_static(line))).collect();
        assert_eq!(last_member(&map), expected.map(str::as_bytes), "{lines:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_value_fail(name in any::<String>(), detail in any::<String>(), ttl in any::<i64>()) {
        let status = CacheStatus { ttl: Some(ttl), detail: Some(detail.clone().into()), ..CacheStatus::default() };
        let value = status.to_value(&name);
        prop_assert!(value.to_str().unwrap().contains("; detail="));
        let value = proxy_status(&name, &Fault::bad_request(detail));
        prop_assert!(value.to_str().unwrap().contains("; details="));
    }

    #[test]
    fn no_field_makes_the_last_member_panic(line in "[ab\"\\\\;, ]{0,20}") {
        let map = HeaderMap::from_iter([(CACHE_STATUS, HeaderValue::from_str(&line).unwrap())]);
        let _ = last_member(&map);
    }
}

#[test]
fn what_a_cache_had_can_be_told_from_what_it_fetched() {
    for (member, expected) in [
        ("hit; ttl=3", true),
        ("fwd=uri-miss; stored; collapsed", true),
        ("fwd=miss;collapsed", true),
        ("fwd=uri-miss; stored", false),
        ("fwd=request", false),
        ("fwd=miss; detail=\"hit\"", false),
        ("", false),
    ] {
        assert_eq!(is_from_cache(member.as_bytes()), expected, "{member}");
    }
}

#[test]
fn the_last_line_goes_and_the_others_stay() {
    let mut headers = HeaderMap::new();
    drop_last_line(&mut headers);
    assert!(headers.is_empty());
    for line in ["cdn; hit, edge; fwd=miss", "n1; hit"] {
        headers.append(CACHE_STATUS, HeaderValue::from_static(line));
    }
    drop_last_line(&mut headers);
    assert_eq!(headers.get_all(CACHE_STATUS).iter().collect::<Vec<_>>(), ["cdn; hit, edge; fwd=miss"]);
}

#[test]
fn that_it_is_stored_can_be_taken_back_and_nothing_else_with_it() {
    let mut headers = HeaderMap::new();
    drop_stored(&mut headers);
    assert!(headers.is_empty());
    let status = CacheStatus { fwd: Some(Fwd::UriMiss), ..CacheStatus::default() };
    let detail = Some("so; stored".into());
    for (id, status) in [
        ("n1", CacheStatus { stored: true, ..status.clone() }),
        ("1; stored", CacheStatus { stored: true, ..status.clone() }),
        ("n1", CacheStatus { stored: true, collapsed: true, detail: detail.clone(), ..status.clone() }),
        ("n1", CacheStatus { detail, ..status }),
    ] {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_STATUS, HeaderValue::from_static("cdn; fwd=miss; stored"));
        headers.append(CACHE_STATUS, status.to_value(id));
        drop_stored(&mut headers);
        let expected =
            [HeaderValue::from_static("cdn; fwd=miss; stored"), CacheStatus { stored: false, ..status }.to_value(id)];
        assert!(headers.get_all(CACHE_STATUS).iter().eq(&expected), "{headers:?}");
    }
}

#[test]
fn the_remaining_freshness_is_a_number_of_seconds() {
    for (member, expected) in [
        ("hit; ttl=30", Some(30)),
        ("hit;ttl=0", Some(0)),
        ("hit; ttl=-3", None),
        ("hit", None),
        ("fwd=miss; detail=\"ttl=3\"", None),
    ] {
        assert_eq!(ttl(member.as_bytes()), expected, "{member}");
    }
}

#[test]
fn what_came_from_disk_says_so_as_a_node_writes_it() {
    let status = |detail: Option<&'static str>| {
        let value = CacheStatus { hit: true, ttl: Some(9), detail: detail.map(Into::into), ..CacheStatus::default() }
            .to_value("n1");
        is_from_disk(
            last_member(&http::HeaderMap::from_iter([(http::HeaderName::from_static("cache-status"), value)])).unwrap(),
        )
    };
    assert_eq!([Some("disk"), Some("PEER-n2"), None].map(status), [true, false, false]);
}

#[test]
fn what_the_origin_was_asked_for_is_new_and_what_stands_in_for_it_is_not() {
    for (member, expected) in [
        ("fwd=uri-miss; stored", true),
        ("fwd=stale; fwd-status=304; stored", true),
        ("fwd=request; detail=\"why\"", true),
        ("hit; ttl=30", false),
        ("fwd=uri-miss; stored; collapsed", true),
        ("fwd=stale; ttl=30", false),
        ("fwd=stale; ttl=-3", false),
    ] {
        assert_eq!(is_new(member.as_bytes()), expected, "{member}");
    }
}
