use super::{NOW, at, request, request_of, selected, stored};
use crate::policy::requests::may_lead;
use crate::policy::reuse::UNREACHABLE_GRACE;
use crate::policy::{Decision, Failure, decide, outlasts, stale_if_error};
use crate::wire::status::Fwd;
use http::{HeaderMap, Method, StatusCode};

struct Case {
    req: &'static [&'static str],
    cc: &'static str,
    /// Seconds since it arrived.
    later: i64,
    expected: Decision,
    section: &'static str,
}

const fn case(
    req: &'static [&'static str],
    cc: &'static str,
    later: i64,
    expected: Decision,
    section: &'static str,
) -> Case {
    Case { req, cc, later, expected, section }
}

const fn serve(ttl: i64) -> Decision {
    Decision::Serve { ttl }
}
const fn stale(ttl: i64) -> Decision {
    Decision::ServeStale { ttl }
}
const fn ask(fwd: Fwd, ttl: i64) -> Decision {
    Decision::Validate { fwd, ttl }
}
use Fwd::{Request, Stale};

const TABLE: &[Case] = &[
    case(&[], "max-age=60", 59, serve(1), "4.2"),
    case(&[], "max-age=60", 60, ask(Stale, 0), "4.2"),
    case(&["Range: bytes=0-1", "If-None-Match: \"x\"", "Cookie: a"], "max-age=60", 1, serve(59), "4.3.2"),
    // The response.
    case(&[], "max-age=60, no-cache", 1, ask(Stale, 59), "5.2.2.4"),
    case(&[], "max-age=60, no-cache=\"x\"", 1, serve(59), "5.2.2.4"),
    case(&[], "max-age=60, must-revalidate", 1, serve(59), "5.2.2.2"),
    case(&[], "max-age=60, must-revalidate", 61, ask(Stale, -1), "5.2.2.2"),
    // The request.
    case(&["Cache-Control: no-cache"], "max-age=60", 1, ask(Request, 59), "5.2.1.4"),
    case(&["Cache-Control: no-cache"], "max-age=60", 61, ask(Stale, -1), "5.2.1.4"),
    case(&["Cache-Control: no-cache"], "max-age=60, immutable", 1, ask(Request, 59), "RFC 8246 2"),
    case(&["Cache-Control: max-age=0"], "max-age=60, immutable", 1, serve(59), "RFC 8246 2"),
    case(&["Cache-Control: max-age=0"], "max-age=60, immutable", 60, ask(Stale, 0), "RFC 8246 2"),
    case(&["Cache-Control: max-age=0"], "max-age=60", 1, ask(Request, 59), "5.2.1.1"),
    case(&["Cache-Control: max-age=10"], "max-age=60", 10, serve(50), "5.2.1.1"),
    case(&["Cache-Control: max-age=10"], "max-age=60", 11, ask(Request, 49), "5.2.1.1"),
    case(&["Cache-Control: max-age=x"], "max-age=60", 11, ask(Request, 49), "5.2.1.1: invalid asks for new"),
    case(&["Cache-Control: min-fresh=50"], "max-age=60", 10, serve(50), "5.2.1.3"),
    case(&["Cache-Control: min-fresh=51"], "max-age=60", 10, ask(Request, 50), "5.2.1.3"),
    case(&["Cache-Control: max-stale=5"], "max-age=60", 65, serve(-5), "5.2.1.2"),
    case(&["Cache-Control: max-stale=5"], "max-age=60", 66, ask(Stale, -6), "5.2.1.2"),
    case(&["Cache-Control: max-stale"], "max-age=60", 6000, serve(-5940), "5.2.1.2"),
    case(&["Cache-Control: max-stale, max-age=10"], "max-age=60", 65, ask(Stale, -5), "5.2.1.1"),
    case(&["Cache-Control: max-stale"], "max-age=60, must-revalidate", 61, ask(Stale, -1), "4.2.4"),
    case(&["Cache-Control: max-stale"], "max-age=60, proxy-revalidate", 61, ask(Stale, -1), "4.2.4"),
    case(&["Cache-Control: max-stale"], "s-maxage=60", 61, ask(Stale, -1), "4.2.4"),
    case(&["Cache-Control: max-stale"], "max-age=60, no-cache", 61, ask(Stale, -1), "4.2.4"),
    case(&["Cache-Control: no-store"], "max-age=60", 1, serve(59), "5.2.1.5: what is stored already may answer"),
    case(&["Cache-Control: only-if-cached"], "max-age=60", 1, serve(59), "5.2.1.7"),
    case(&["Cache-Control: only-if-cached"], "max-age=60", 61, Decision::OnlyIfCached, "5.2.1.7"),
    case(&["Cache-Control: only-if-cached, max-stale"], "max-age=60", 61, serve(-1), "5.2.1.7"),
    case(&["Cache-Control: only-if-cached, no-cache"], "max-age=60", 1, Decision::OnlyIfCached, "5.2.1.7"),
    case(&["Pragma: no-cache"], "max-age=60", 1, ask(Request, 59), "5.4"),
    case(&["Pragma: no-cache", "Cache-Control: max-age=9"], "max-age=60", 1, serve(59), "5.4"),
    case(&["Pragma: x"], "max-age=60", 1, serve(59), "5.4"),
    case(&["If-Match: \"a\""], "max-age=60", 1, Decision::Forward { fwd: Request }, "RFC 9110 13.2.2"),
    case(&["If-Unmodified-Since: x"], "max-age=60", 1, Decision::Forward { fwd: Request }, "RFC 9110 13.2.2"),
    case(&["Content-Length: 5"], "max-age=60", 1, Decision::Forward { fwd: Request }, "RFC 9110 9.3.1"),
    // Stale while it is validated.
    case(&[], "max-age=60, stale-while-revalidate=10", 65, stale(-5), "RFC 5861 3"),
    case(&[], "max-age=60, stale-while-revalidate=10", 71, ask(Stale, -11), "RFC 5861 3"),
    case(&[], "max-age=60, stale-while-revalidate=9, must-revalidate", 61, ask(Stale, -1), "4.2.4"),
    case(&[], "max-age=60, stale-while-revalidate=9, proxy-revalidate", 61, ask(Stale, -1), "4.2.4"),
    case(&[], "s-maxage=60, stale-while-revalidate=9", 61, ask(Stale, -1), "5.2.2.10"),
    case(&["Cache-Control: max-age=9"], "max-age=60, stale-while-revalidate=9", 61, ask(Stale, -1), "5.2.1.1"),
    case(
        &["Cache-Control: max-age=90"],
        "max-age=60, stale-while-revalidate=9",
        61,
        ask(Stale, -1),
        "5.2.1.1: not stale",
    ),
    case(&["Cache-Control: max-age=90, max-stale=9"], "max-age=60, stale-while-revalidate=9", 61, serve(-1), "5.2.1.1"),
];

#[test]
fn what_answers_a_request() {
    for Case { req, cc, later, expected, section } in TABLE {
        let terms = stored(&[], 200, &[&format!("Cache-Control: {cc}"), "ETag: \"a\""]).unwrap();
        let fields = HeaderMap::new();
        let decision = decide(&request(req), Some(selected(&terms, 200, &fields)), at(*later));
        assert_eq!(decision, *expected, "{req:?} of {cc}, {later} s later (section {section})");
    }
}

#[test]
fn what_is_stored_answers_only_get_and_head() {
    let terms = stored(&[], 200, &["Cache-Control: max-age=60"]).unwrap();
    let fields = HeaderMap::new();
    for (method, expected) in [
        (Method::GET, serve(60)),
        (Method::HEAD, serve(60)),
        (Method::POST, Decision::Forward { fwd: Fwd::Method }),
        (Method::OPTIONS, Decision::Forward { fwd: Fwd::Method }),
    ] {
        let decision = decide(&request_of(method.clone(), &[]), Some(selected(&terms, 200, &fields)), NOW);
        assert_eq!(decision, expected, "{method} (section 4)");
    }
}

#[test]
fn a_miss_is_forwarded_unless_the_client_wants_only_what_is_cached() {
    let nothing = |req| decide::<HeaderMap>(&req, None, NOW);
    assert_eq!(nothing(request(&[])), Decision::Forward { fwd: Fwd::UriMiss });
    assert_eq!(nothing(request_of(Method::POST, &[])), Decision::Forward { fwd: Fwd::Method });
    assert_eq!(nothing(request(&["Cache-Control: only-if-cached"])), Decision::OnlyIfCached, "section 5.2.1.7");
}

#[test]
fn what_was_invalidated_is_validated_first() {
    let terms = stored(&[], 200, &["Cache-Control: max-age=60, stale-while-revalidate=9"]).unwrap().invalidated();
    let fields = HeaderMap::new();
    for req in [request(&[]), request(&["Cache-Control: max-stale"])] {
        let decision = decide(&req, Some(selected(&terms, 200, &fields)), NOW);
        assert_eq!(decision, ask(Stale, 60), "section 4.4");
    }
    assert_eq!(stale_if_error(&request(&[]), &terms, Failure::Unreachable, NOW), None, "section 4.4");
}

#[test]
fn a_request_that_is_only_its_own_leads_nobody() {
    assert!(may_lead(&request(&["Cookie: a", "Cache-Control: max-age=0", "Content-Length: 0"])));
    assert!(!may_lead(&request_of(Method::HEAD, &[])));
    for line in [
        "Range: bytes=0-",
        "If-None-Match: \"a\"",
        "If-Modified-Since: x",
        "If-Match: \"a\"",
        "If-Unmodified-Since: x",
        "If-Range: \"a\"",
        "Authorization: x",
        "Cache-Control: no-store",
        "Content-Length: 1",
        "Transfer-Encoding: chunked",
    ] {
        assert!(!may_lead(&request(&[line])), "{line}");
    }
}

#[test]
fn an_error_is_answered_from_the_store_where_that_is_allowed() {
    const GONE: Failure = Failure::Unreachable;
    const E503: Failure = Failure::Status(StatusCode::SERVICE_UNAVAILABLE);
    const E404: Failure = Failure::Status(StatusCode::NOT_FOUND);
    let hour = i64::try_from(UNREACHABLE_GRACE / 1000).unwrap();
    // (request, response, seconds later, failure, answer, section)
    type Row<'a> = (&'a [&'a str], &'a str, i64, Failure, Option<i64>, &'a str);
    let table: &[Row<'_>] = &[
        (&[], "max-age=60, stale-if-error=30", 80, E503, Some(-20), "RFC 5861 4"),
        (&[], "max-age=60, stale-if-error=30", 91, E503, None, "RFC 5861 4"),
        (&[], "max-age=60, stale-if-error=30", 80, E404, None, "RFC 5861 4"),
        (&["Cache-Control: stale-if-error=30"], "max-age=60", 80, E503, Some(-20), "RFC 5861 4"),
        (&[], "max-age=60", 80, E503, None, "4.2.4: not disconnected"),
        (&[], "max-age=60", 80, GONE, Some(-20), "4.2.4: disconnected"),
        (&[], "max-age=60", 60 + hour, GONE, Some(-hour), "4.2.4: bounded"),
        (&[], "max-age=60", 61 + hour, GONE, None, "4.2.4: bounded"),
        (&[], "max-age=60, must-revalidate, stale-if-error=30", 61, E503, None, "5.2.2.2"),
        (&[], "max-age=60, must-revalidate", 61, GONE, None, "5.2.2.2"),
        (&[], "max-age=60, proxy-revalidate", 61, GONE, None, "5.2.2.8"),
        (&[], "s-maxage=60", 61, GONE, None, "5.2.2.10"),
        (&[], "max-age=60, no-cache", 1, GONE, None, "5.2.2.4"),
        (&["Cache-Control: no-cache"], "max-age=60", 1, GONE, None, "5.2.1.4"),
        (&["Pragma: no-cache"], "max-age=60", 1, GONE, None, "5.4"),
        (&["Cache-Control: no-cache"], "max-age=60, stale-if-error=30", 80, E503, None, "5.2.1.4"),
        (&["Cache-Control: max-age=0"], "max-age=60", 1, GONE, Some(59), "5.2.1.1: a preference"),
    ];
    for (req, cc, later, failure, expected, section) in table {
        let terms = stored(&[], 200, &[&format!("Cache-Control: {cc}"), "ETag: \"a\""]).unwrap();
        let answer = stale_if_error(&request(req), &terms, *failure, at(*later));
        assert_eq!(answer, *expected, "{req:?} of {cc}, {later} s later, {failure:?} (section {section})");
    }
}

#[test]
fn an_error_does_not_take_the_place_of_what_may_be_answered_instead() {
    // (response, seconds later, status of the error, whether it stays, section)
    for (cc, later, status, expected, section) in [
        ("max-age=60, stale-if-error=30", 80, 503, true, "RFC 5861 4"),
        ("max-age=60, stale-if-error=30", 90, 500, true, "RFC 5861 4"),
        ("max-age=60, stale-if-error=30", 91, 503, false, "RFC 5861 4"),
        ("max-age=60, stale-if-error=30", 1, 502, true, "RFC 5861 4: all the more while it is fresh"),
        ("max-age=60, stale-if-error=30", 80, 504, true, "RFC 5861 4"),
        ("max-age=60, stale-if-error=30", 80, 501, false, "RFC 5861 4"),
        ("max-age=60, stale-if-error=30", 80, 404, false, "RFC 5861 4"),
        ("max-age=60", 1, 503, false, "4.3.3: nothing says so"),
        ("max-age=60", 80, 503, false, "4.3.3: nothing says so"),
        ("max-age=60, must-revalidate, stale-if-error=30", 61, 503, false, "5.2.2.2"),
        ("s-maxage=60, stale-if-error=30", 61, 503, false, "5.2.2.10"),
        ("max-age=60, no-cache, stale-if-error=30", 1, 503, false, "5.2.2.4"),
    ] {
        let terms = stored(&[], 200, &[&format!("Cache-Control: {cc}"), "ETag: \"a\""]).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(
            outlasts(&terms, status, at(later)),
            expected,
            "{cc}, {later} s later, {status} (section {section})"
        );
        assert!(!outlasts(&terms.invalidated(), status, at(later)), "section 4.4");
    }
}
