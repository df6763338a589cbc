use super::{NOW, fields, request_of, response, stored};
use crate::policy::{NotStored, Rules, forbidden, storable, storable_fields};
use http::header::HeaderName;
use http::{Method, StatusCode};

struct Case {
    req: &'static [&'static str],
    status: u16,
    res: &'static [&'static str],
    expected: Result<(), NotStored>,
    section: &'static str,
}

const fn case(
    req: &'static [&'static str],
    status: u16,
    res: &'static [&'static str],
    expected: Result<(), NotStored>,
    section: &'static str,
) -> Case {
    Case { req, status, res, expected, section }
}

use NotStored::*;

const TABLE: &[Case] = &[
    case(&[], 200, &["Cache-Control: max-age=60"], Ok(()), "3"),
    case(&[], 200, &["Expires: @60"], Ok(()), "3"),
    case(&[], 200, &["ETag: \"a\""], Ok(()), "3: heuristically cacheable, and can be validated"),
    case(&[], 200, &["Last-Modified: @-1000"], Ok(()), "4.2.2"),
    case(&[], 200, &[], Err(NoFreshness), "3"),
    case(&[], 200, &["Cache-Control: public"], Err(NoFreshness), "3: could only be fetched again"),
    case(&[], 200, &["Cache-Control: max-age=0"], Err(Stale), "3"),
    case(&[], 200, &["Cache-Control: max-age=0", "ETag: \"a\""], Ok(()), "4.3"),
    case(&[], 200, &["Cache-Control: max-age=0, stale-while-revalidate=9"], Ok(()), "RFC 5861 3"),
    case(&[], 200, &["Cache-Control: no-cache"], Err(NoCacheWithoutValidator), "5.2.2.4"),
    case(&[], 200, &["Cache-Control: no-cache, max-age=60"], Err(NoCacheWithoutValidator), "5.2.2.4"),
    case(&[], 200, &["Cache-Control: no-cache", "ETag: \"a\""], Ok(()), "5.2.2.4"),
    case(&[], 200, &["Cache-Control: max-age=60", "Age: 60"], Err(Stale), "4.2.3"),
    // Directives of the response.
    case(&[], 200, &["Cache-Control: max-age=60, nO-StOrE"], Err(NoStore), "5.2.2.5"),
    case(&[], 200, &["Cache-Control: max-age=60", "Cache-Control: no-store"], Err(NoStore), "5.2.2.5, any line"),
    case(&[], 200, &["Cache-Control: max-age=60, x=\", no-store\""], Ok(()), "5.2.3: inside a quoted string"),
    case(&[], 200, &["Cache-Control: max-age=60, x=\", no-store"], Err(NoStore), "an unclosed quote hides nothing"),
    case(&[], 200, &["Cache-Control: private, max-age=60"], Err(Private), "5.2.2.7"),
    case(&[], 200, &["Cache-Control: private=\"x\", max-age=60"], Ok(()), "5.2.2.7"),
    case(&[], 200, &["Cache-Control: private=\"x y\", max-age=60"], Err(Private), "5.2.2.7"),
    case(&[], 200, &["Cache-Control: public, private, max-age=60"], Err(Private), "4.2.1: the most restrictive"),
    // Must-understand.
    case(&[], 200, &["Cache-Control: must-understand, no-store, max-age=60"], Ok(()), "5.2.2.3"),
    case(&[], 599, &["Cache-Control: must-understand, max-age=60"], Err(MustUnderstand), "5.2.2.3"),
    case(&[], 599, &["Cache-Control: must-understand, no-store, max-age=60"], Err(MustUnderstand), "5.2.2.3"),
    // The request.
    case(&["Cache-Control: no-store"], 200, &["Cache-Control: max-age=60"], Err(RequestNoStore), "5.2.1.5"),
    case(&["Content-Length: 3"], 200, &["Cache-Control: max-age=60"], Err(RequestContent), "RFC 9110 9.3.1"),
    case(&["Content-Length: 0"], 200, &["Cache-Control: max-age=60"], Ok(()), "RFC 9110 9.3.1"),
    case(&["Cookie: a=b"], 200, &["Cache-Control: max-age=60"], Ok(()), "3"),
    // Authorization.
    case(&["Authorization: x"], 200, &["Cache-Control: max-age=60"], Err(Authorization), "3.5"),
    case(&["Authorization: x"], 200, &["Expires: @60"], Err(Authorization), "3.5"),
    case(&["Authorization: x"], 200, &["Cache-Control: proxy-revalidate, max-age=60"], Err(Authorization), "3.5"),
    case(&["Authorization: x"], 200, &["Cache-Control: public, max-age=60"], Ok(()), "3.5"),
    case(&["Authorization: x"], 200, &["Cache-Control: must-revalidate, max-age=60"], Ok(()), "3.5"),
    case(&["Authorization: x"], 200, &["Cache-Control: s-maxage=60"], Ok(()), "3.5"),
    case(&["Authorization: x"], 200, &["Cache-Control: max-age=60", "Vary: *"], Err(VaryStar), "4.1: whoever asks"),
    case(&["Authorization: x"], 200, &["Cache-Control: private"], Err(Private), "5.2.2.7: whoever asks"),
    case(&["Authorization: x"], 200, &["Cache-Control: max-age=0"], Err(Stale), "3: whoever asks"),
    // Statuses.
    case(&[], 206, &["Cache-Control: max-age=60"], Err(Partial), "3.3"),
    case(&[], 304, &["Cache-Control: max-age=60"], Err(Status), "3"),
    case(&[], 103, &["Cache-Control: max-age=60"], Err(Status), "3: not final"),
    case(&[], 416, &["Cache-Control: max-age=60"], Err(Status), "3: about the request's range"),
    case(&[], 412, &["Cache-Control: max-age=60"], Err(Status), "3: about the request's condition"),
    case(&[], 404, &["Cache-Control: max-age=60"], Ok(()), "3"),
    case(&[], 400, &["Cache-Control: max-age=60"], Ok(()), "3: explicit"),
    case(&[], 302, &["Expires: @60"], Ok(()), "3: explicit"),
    case(&[], 503, &["Cache-Control: max-age=60"], Ok(()), "3: explicit"),
    case(&[], 299, &["Cache-Control: max-age=60"], Ok(()), "3: unknown, explicit"),
    case(&[], 599, &["Cache-Control: max-age=60"], Ok(()), "3: unknown, explicit"),
    case(&[], 302, &["ETag: \"a\""], Err(NoFreshness), "3: a validator alone is not enough"),
    case(&[], 429, &["ETag: \"a\"", "Cache-Control: no-cache"], Err(NoFreshness), "3"),
    case(&[], 500, &["Last-Modified: @-1000", "Cache-Control: stale-if-error=60"], Err(NoFreshness), "3"),
    case(&[], 302, &["ETag: \"a\"", "Cache-Control: public"], Ok(()), "3: public"),
    case(&[], 404, &["ETag: \"a\""], Ok(()), "3: heuristically cacheable"),
    // Vary.
    case(&[], 200, &["Cache-Control: max-age=60", "Vary: *"], Err(VaryStar), "4.1"),
    case(&[], 200, &["Cache-Control: max-age=60", "Vary: a", "Vary: , *, b"], Err(VaryStar), "4.1, any line"),
    case(&[], 200, &["Cache-Control: max-age=60", "Vary: a b"], Err(VaryStar), "4.1: not a field name"),
    case(&[], 200, &["Cache-Control: max-age=60", "Vary: a,,B"], Ok(()), "4.1"),
    // Set-Cookie.
    case(&[], 200, &["Set-Cookie: a=b", "Cache-Control: max-age=60"], Ok(()), "7.3: explicit"),
    case(&[], 200, &["Set-Cookie: a=b", "Cache-Control: public", "ETag: \"a\""], Ok(()), "7.3: explicit"),
    case(&[], 200, &["Set-Cookie: a=b", "Last-Modified: @-1000"], Err(SetCookie), "7.3: heuristic"),
    case(&[], 200, &["Set-Cookie: a=b", "ETag: \"a\""], Err(SetCookie), "7.3"),
    case(&[], 200, &["Set-Cookie: a=b", "ETag: \"a\"", "Cache-Control: max-age=0"], Err(SetCookie), "7.3"),
    case(&[], 200, &["Set-Cookie: a=b", "ETag: \"a\"", "Cache-Control: no-cache, max-age=9"], Err(SetCookie), "7.3"),
    case(&[], 200, &["Set-Cookie: a", "ETag: \"a\"", "Cache-Control: no-cache=\"set-cookie\""], Ok(()), "5.2.2.4"),
];

#[test]
fn what_may_be_stored() {
    for Case { req, status, res, expected, section } in TABLE {
        assert_eq!(stored(req, *status, res).map(|_| ()), *expected, "{req:?} {status} {res:?} (section {section})");
    }
}

#[test]
fn only_a_get_is_stored() {
    for method in [Method::HEAD, Method::PUT, Method::OPTIONS, Method::TRACE, Method::CONNECT] {
        let res = response(200, &["Cache-Control: max-age=60"]);
        let verdict = storable(&Rules::default(), &request_of(method.clone(), &[]), &res, NOW, NOW);
        assert_eq!(verdict, Err(Method), "{method} (section 3)");
    }
}

#[test]
fn every_reason_is_a_sentence_that_cites_its_section() {
    let all = [
        Method,
        RequestContent,
        Status,
        RequestNoStore,
        NoStore,
        Private,
        Authorization,
        VaryStar,
        NoFreshness,
        Stale,
        NoCacheWithoutValidator,
        SetCookie,
        Partial,
        MustUnderstand,
    ];
    for reason in all {
        assert!(reason.reason().contains("section"), "{reason:?}");
        assert!(reason.reason().bytes().all(|b| b.is_ascii() && b != b'"'), "{reason:?} fits in a quoted string");
        let helps = reason.remedy().is_some();
        assert_eq!(helps, !matches!(reason, Method | Status | MustUnderstand), "{reason:?}: something can be done");
    }
}

#[test]
fn fields_for_one_hop_or_one_client_are_not_stored() {
    let mut headers = fields(&[
        "Connection: a",
        "Connection: b",
        "a: 1",
        "b: 2",
        "c: 3",
        "Age: 7",
        "Keep-Alive: x",
        "Cache-Control: max-age=60, no-cache=\"d\"",
        "Cache-Control: private=\"E\"",
        "d: 4",
        "e: 5",
        "Set-Cookie: x",
        "Set-Cookie: y",
        "Ringhold-Reach: local",
    ]);
    storable_fields(&mut headers, NOW);
    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["c", "cache-control", "date", "set-cookie"], "section 3.1");
    assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(headers.get_all("cache-control").iter().count(), 2);
}

#[test]
fn what_one_line_forbids_is_what_the_whole_policy_says() {
    let mut forbade = 0;
    for case in
        TABLE.iter().filter(|case| !case.req.iter().any(|line| line.starts_with('C') && !line.starts_with("Coo")))
    {
        let lines: Vec<_> = case.res.iter().filter_map(|line| line.strip_prefix("Cache-Control: ")).collect();
        let ([line], Ok(status)) = (&lines[..], StatusCode::from_u16(case.status)) else { continue };
        if let Some(why) = forbidden(&Rules::default(), status, line.as_bytes()) {
            assert_eq!(case.expected, Err(why), "{:?} {}", case.res, case.status);
            forbade += 1;
        }
    }
    assert!(forbade > 3, "{forbade}");
    let targeted = Rules { targeted: vec![HeaderName::from_static("cdn-cache-control")], ..Rules::default() };
    assert_eq!(forbidden(&targeted, StatusCode::OK, b"no-store"), None, "RFC 9213: another field may allow it");
    assert_eq!(forbidden(&Rules::default(), StatusCode::OK, b"a, no-store"), Some(NoStore));
}
