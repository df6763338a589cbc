use super::{NOW, fields, request_of, response};
use crate::policy::variants::{Selection, selecting, speaks};
use crate::policy::{HeadEffect, NotStored, Rules, after_head, invalidates, storable};
use crate::wire::target::Key;
use http::{Method, StatusCode};

type Lines = &'static [&'static str];

#[test]
fn an_unsafe_method_makes_urls_of_its_own_origin_invalid() {
    const ALL: &[&str] = &["Location: /b", "Content-Location: http://EXAMPLE.com:80/c?d"];
    const THREE: &[&str] = &["http://example.com/a", "http://example.com/b", "http://example.com/c?d"];
    const ONE: &[&str] = &["http://example.com/a"];
    const TWO: &[&str] = &["http://example.com/a", "http://example.com/b"];
    const CAFE: &[&str] = &["http://example.com/a", "http://example.com/caf%C3%A9"];
    // (method, status, response fields, keys, section of RFC 9111)
    let table: &[(&'static str, u16, Lines, Lines, &'static str)] = &[
        ("POST", 201, ALL, THREE, "4.4"),
        ("PUT", 204, ALL, THREE, "4.4"),
        ("DELETE", 200, &[], ONE, "4.4"),
        ("PATCH", 303, &[], ONE, "4.4: a redirection is no error"),
        ("M-SEARCH", 200, &[], ONE, "4.4: unknown methods count as unsafe"),
        ("POST", 500, ALL, &[], "4.4: an error"),
        ("POST", 404, ALL, &[], "4.4: an error"),
        ("GET", 200, ALL, &[], "4.4: safe"),
        ("HEAD", 200, ALL, &[], "4.4: safe"),
        ("OPTIONS", 200, ALL, &[], "4.4: safe"),
        ("POST", 200, &["Location: http://other.example/"], ONE, "4.4: another origin"),
        ("POST", 200, &["Location: https://example.com/b"], ONE, "4.4: another scheme"),
        ("POST", 200, &["Location: http://example.com:81/b"], ONE, "4.4: another port"),
        ("POST", 200, &["Location: a", "Content-Location: http://["], ONE, "4.4: once, and what is a URL"),
        ("POST", 201, &["Location: http://u:p@example.com/b"], TWO, "4.4: user information is no part of the key"),
        ("POST", 201, &["Location: //u@example.com/b"], TWO, "4.4: user information is no part of the key"),
        ("POST", 201, &["Location: http://example.com@other.example/b"], ONE, "4.4: another origin"),
        ("POST", 201, &["Location: /café"], CAFE, "RFC 3987 3.1: as targets are read"),
    ];
    let target = Key::parse("http://example.com/a").unwrap();
    for (method, status, lines, expected, section) in table {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let keys = invalidates(&method, &target, &response(*status, lines));
        let text: Vec<&str> = keys.iter().map(Key::as_str).collect();
        assert_eq!(text, *expected, "{method} {status} {lines:?} (section {section})");
    }
}

#[test]
fn a_post_is_stored_for_later_gets_only_where_it_says_so() {
    const FRESH: &str = "Cache-Control: max-age=60";
    // (status, response fields, verdict, section of RFC 9110)
    let table: &[(u16, Lines, Result<i64, NotStored>, &'static str)] = &[
        (200, &[FRESH, "Content-Location: /a"], Ok(60), "9.3.3"),
        (200, &[FRESH, "Content-Location: http://example.com/a"], Ok(60), "9.3.3"),
        (200, &[FRESH, "Content-Location: /b"], Err(NotStored::Method), "9.3.3: another URL"),
        (200, &[FRESH], Err(NotStored::Method), "9.3.3"),
        (200, &["ETag: \"a\"", "Content-Location: /a"], Err(NotStored::Method), "9.3.3: explicit freshness"),
        (200, &["Last-Modified: @-1000", "Content-Location: /a"], Err(NotStored::Method), "9.3.3: explicit freshness"),
        (201, &[FRESH, "Content-Location: /a"], Err(NotStored::Method), "9.3.3: 200 only"),
    ];
    for (status, lines, expected, section) in table {
        let req = request_of(Method::POST, &["Content-Length: 5"]);
        let verdict = storable(&Rules::default(), &req, &response(*status, lines), NOW, NOW);
        assert_eq!(verdict.map(|terms| terms.ttl(NOW)), *expected, "{lines:?} (section {section})");
    }
}

#[test]
fn a_head_freshens_or_invalidates_the_stored_get() {
    const KEPT: &[&str] = &["Cache-Control: max-age=60", "ETag: \"a\"", "Last-Modified: @-9", "Date: @0", "x: 1"];
    const OK: StatusCode = StatusCode::OK;
    // (status, fields of the HEAD, seconds of freshness or invalidated, section of RFC 9111)
    let table: &[(u16, &[&str], Option<i64>, &str)] = &[
        (200, &["Cache-Control: max-age=90", "x: 2", "Date: @0"], Some(90), "4.3.5"),
        (200, &["ETag: \"a\"", "Last-Modified: @-9", "Content-Length: 5", "x: 2"], Some(60), "4.3.5"),
        (200, &["ETag: \"b\""], None, "4.3.5: another validator"),
        (200, &["Last-Modified: @-8"], None, "4.3.5: another validator"),
        (200, &["Content-Length: 6"], None, "4.3.5: another length"),
        (200, &["Cache-Control: no-store"], None, "5.2.2.5"),
    ];
    let head = request_of(Method::HEAD, &[]);
    for (status, lines, expected, section) in table {
        let mut kept = fields(KEPT);
        let effect = after_head(&Rules::default(), &head, (OK, 5), &mut kept, &response(*status, lines), NOW, NOW);
        match (effect, expected) {
            (HeadEffect::Freshened(terms), Some(ttl)) => {
                assert_eq!((terms.ttl(NOW), kept["x"].as_bytes()), (*ttl, &b"2"[..]), "{lines:?} (section {section})");
            }
            (HeadEffect::Invalidated, None) => assert_eq!(kept, fields(KEPT)),
            other => panic!("{lines:?}: {other:?} (section {section})"),
        }
    }
    let mut kept = fields(KEPT);
    let effect = after_head(&Rules::default(), &head, (OK, 5), &mut kept, &response(410, &["x: 2"]), NOW, NOW);
    assert_eq!((effect, kept), (HeadEffect::None, fields(KEPT)), "section 4.3.5: only a 200");
    for status in [404, 301, 203, 410] {
        let (mut kept, stored) = (fields(KEPT), StatusCode::from_u16(status).unwrap());
        let effect = after_head(&Rules::default(), &head, (stored, 5), &mut kept, &response(200, &["x: 2"]), NOW, NOW);
        assert_eq!(
            (effect, kept),
            (HeadEffect::Invalidated, fields(KEPT)),
            "a stored {status} is no 200 (section 4.3.5)"
        );
    }
}

#[test]
fn a_stored_language_answers_who_likes_it_best() {
    // (Vary, its request, Content-Language, the request, answers)
    let table: &[(&'static str, Lines, &'static str, Lines, bool)] = &[
        ("accept-language", &["Accept-Language: en, de"], "de", &["Accept-Language: fr;q=0.5, DE;q=1.0"], true),
        ("Accept-Language", &["Accept-Language: en"], "de", &["Accept-Language: de, en;q=0.9"], true),
        ("accept-language", &["Accept-Language: en"], "de", &["Accept-Language: en, de"], false),
        ("accept-language", &["Accept-Language: en"], "de", &["Accept-Language: de;q=0.5, en"], false),
        ("accept-language", &["Accept-Language: en"], "de, en", &["Accept-Language: de"], false),
        ("accept-language", &["Accept-Language: en"], "*", &["Accept-Language: *"], false),
        ("accept-language", &["Accept-Language: en"], "de", &["Accept-Language: de;q=0"], false),
        ("accept-language", &["Accept-Language: en"], "de", &["Accept-Language: de;x=1"], false),
        ("accept-language", &["Accept-Language: en"], "de", &[], false),
        ("foo, accept-language", &["Accept-Language: en", "foo: 1"], "de", &["Accept-Language: de", "foo: 1"], true),
        ("foo, accept-language", &["Accept-Language: en", "foo: 1"], "de", &["Accept-Language: de", "foo: 2"], false),
        ("foo", &["foo: 1"], "de", &["Accept-Language: de", "foo: 1"], false),
    ];
    for (vary, own, language, asked, expected) in table {
        let selected = selecting(&fields(&[&format!("Vary: {vary}")]), &fields(own)).unwrap();
        let answers = speaks(vary.as_bytes(), &selected, language.as_bytes(), &Selection::of(&fields(asked)));
        assert_eq!(answers, *expected, "{own:?} in {language} for {asked:?} (section 4.1)");
    }
}
