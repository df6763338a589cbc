use super::{NOW, request, response, selected};
use crate::policy::requests::may_lead;
use crate::policy::variants::{Selection, selecting, speaks};
use crate::policy::*;
use crate::wire::date::Timestamp;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = HeaderName> {
    prop::sample::select(vec![
        "cache-control",
        "cache-control",
        "expires",
        "date",
        "age",
        "last-modified",
        "etag",
        "vary",
        "pragma",
        "range",
        "if-none-match",
        "if-modified-since",
        "if-range",
        "authorization",
        "set-cookie",
        "content-length",
        "foo",
        "content-range",
        "accept-language",
        "accept-encoding",
        "cdn-cache-control",
    ])
    .prop_map(HeaderName::from_static)
}

fn value() -> impl Strategy<Value = HeaderValue> {
    let known = prop::sample::select(vec![
        "no-store",
        "private",
        "PRIVATE",
        "no-cache=\"foo\"",
        "max-age=60",
        "s-maxage=9",
        "max-age=99999999999999",
        "stale-while-revalidate=60",
        "stale-if-error=60",
        "public",
        "must-revalidate",
        "Thu, 01 Jan 2026 00:00:00 GMT",
        "Thu Jan  1 00:00:00 1970",
        "99999999999999999999",
        "\"a\"",
        "W/\"a\"",
        "*",
        "foo",
        "max-stale",
        "min-fresh=1",
        "must-understand",
        "immutable",
        "bytes=0-1",
        "bytes=-5, 1-2",
        "only-if-cached",
        "en;q=0.5, de",
    ]);
    let bytes = prop::collection::vec(
        prop_oneof![Just(b','), Just(b'"'), Just(b'='), Just(b';'), Just(b' '), 32u8..=126, 128u8..],
        0..24,
    );
    prop_oneof![
        known.clone().prop_map(HeaderValue::from_static),
        (known.clone(), known).prop_map(|(a, b)| HeaderValue::from_str(&format!("{a}, {b}")).unwrap()),
        bytes.prop_map(|b| HeaderValue::from_bytes(&b).unwrap()),
    ]
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    prop::collection::vec((name(), value()), 0..8).prop_map(|lines| {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name, value);
        }
        map
    })
}

fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![(0u64..10_000_000).prop_map(|d| Timestamp(NOW.0 + d)), any::<u64>().prop_map(Timestamp)]
}

/// By text alone, on purpose unlike the parser: no quoted string, the directive between commas.
fn plainly_says(headers: &HeaderMap, directive: &str) -> bool {
    headers
        .get_all("cache-control")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .any(|line| !line.contains('"') && line.split(',').any(|member| member.trim().eq_ignore_ascii_case(directive)))
}

proptest! {
    #[test]
    fn no_field_value_panics_and_age_covers_the_time_stored(
        req in headers(), res in headers(), fresh in headers(), status in 100u16..1000,
        sent in instant(), received in instant(), now in instant(), head in any::<bool>(),
    ) {
        let mut ask = request(&[]);
        ask.headers = req;
        if head {
            ask.method = Method::HEAD;
        }
        let mut answer = response(status, &[]);
        answer.headers = res.clone();
        let rules = Rules { targeted: vec![HeaderName::from_static("cdn-cache-control")], ..Rules::default() };
        may_lead(&ask);
        selecting(&res, &ask.headers);
        for rules in [&rules, &Rules::default()] {
            let Ok(terms) = storable(rules, &ask, &answer, sent, received) else { continue };
            let stored = || selected(&terms, status, &res);
            decide(&ask, Some(stored()), now);
            stored().is_not_modified(&ask.headers, now);
            stored().validation(&mut ask.headers.clone());
            explain(&ask, Some(stored()), now);
            let length = received.0 % 64;
            match ranges::of(&ask, &stored(), length, now) {
                Ranged::Part(part) => prop_assert!(part.start < part.end && part.end <= length),
                Ranged::Parts(parts) => prop_assert!(parts.iter().all(|p| p.start < p.end && p.end <= length)),
                Ranged::Whole | Ranged::Refused => {}
            }
            let mut kept = res.clone();
            after_head(rules, &ask, (answer.status, length), &mut kept, &answer, sent, received);
            if let Some(selected) = selecting(&res, &ask.headers) {
                speaks(b"accept-language, foo", &selected, b"de", &Selection::of(&ask.headers));
            }
            stale_if_error(&ask, &terms, Failure::Unreachable, now);
            let mut kept = res.clone();
            freshen(rules, &ask, StatusCode::OK, &mut kept, &fresh, sent, received);
            prop_assert!(terms.age(now) >= now.millis_since(received) / 1000);
        }
    }

    #[test]
    fn what_no_store_or_private_forbids_is_never_stored(req in headers(), res in headers(), fresh in headers()) {
        let mut ask = request(&[]);
        ask.headers = req;
        let mut answer = response(200, &[]);
        answer.headers = res.clone();
        let forbidden = |headers: &HeaderMap| {
            plainly_says(headers, "private")
                || (plainly_says(headers, "no-store") && !plainly_says(headers, "must-understand"))
        };
        let verdict = storable(&Rules::default(), &ask, &answer, NOW, NOW);
        prop_assert!(!(verdict.is_ok() && forbidden(&res)));
        prop_assert!(!(verdict.is_ok() && plainly_says(&ask.headers, "no-store")));
        let mut kept = res;
        let freshened = freshen(&Rules::default(), &ask, StatusCode::OK, &mut kept, &fresh, NOW, NOW);
        prop_assert!(!(freshened.terms.is_ok() && forbidden(&kept)));
    }

    #[test]
    fn a_copy_of_a_hit_is_never_younger_nor_longer_fresh_than_what_it_is_a_copy_of(
        lifetime in 1u32..100, told in 0u64..100_000, late in 0u64..3_000, later in 0u64..100_000,
    ) {
        let mut answer = response(200, &[&format!("Cache-Control: max-age={lifetime}")]);
        let own = storable(&Rules::default(), &request(&[]), &answer, NOW, NOW).unwrap();
        let told = Timestamp(NOW.0 + told);
        answer.headers.insert("age", own.age(told).into());
        let asked = Timestamp(told.0 - late);
        let Ok(copied) = storable(&Rules::default(), &request(&[]), &answer, asked, asked) else { return Ok(()) };
        let copied = copied.as_told(asked, own.ttl(told).max(0).unsigned_abs());
        let later = Timestamp(told.0 + later);
        prop_assert!(copied.age(later) >= own.age(later));
        prop_assert!(!copied.is_fresh(later) || own.is_fresh(later));
        prop_assert!(copied.ttl(later) <= own.ttl(later));
    }

    #[test]
    fn what_is_not_fresh_is_not_served_to_a_request_that_asks_for_nothing(res in headers(), later in 0u64..200_000) {
        let mut answer = response(200, &[]);
        answer.headers = res.clone();
        let now = Timestamp(NOW.0 + later);
        if let Ok(terms) = storable(&Rules::default(), &request(&[]), &answer, NOW, NOW) {
            let decision = decide(&request(&[]), Some(selected(&terms, 200, &res)), now);
            let served = matches!(decision, Decision::Serve { .. });
            prop_assert_eq!(served, terms.is_fresh(now) && !terms.always_validate());
        }
    }
}
