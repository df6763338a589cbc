use super::{Host, Key, Target, classify};
use http::{Method, StatusCode, Uri};
use proptest::prelude::*;

fn key(url: &str) -> Key {
    Key::parse(url).unwrap()
}

#[test]
fn one_resource_has_one_key() {
    let table = [
        ("http://example.com/a?b", "http://example.com/a?b", "nothing to do"),
        ("HTTP://EXAMPLE.com/A", "http://example.com/A", "RFC 9110 4.2.3: scheme and host have no case, paths do"),
        ("http://h", "http://h/", "RFC 9110 4.2.3: an empty path"),
        ("http://h?Q", "http://h/?Q", "RFC 9110 4.2.3: also before a query"),
        ("http://h#f", "http://h/", "RFC 9110 7.1: no fragment"),
        ("http://h/a?b#f?g", "http://h/a?b", "RFC 9110 7.1: no fragment"),
        ("http://h?#f", "http://h/?", "an empty query is not none"),
        ("http://h:80/", "http://h/", "RFC 9110 4.2.3: the default port"),
        ("http://h:/", "http://h/", "RFC 3986 6.2.3: the empty port"),
        ("http://h:0080/", "http://h/", "leading zeros"),
        ("http://h:08080/", "http://h:8080/", "leading zeros"),
        ("http://h:443/", "http://h:443/", "the default of another scheme"),
        ("https://h:443/", "https://h/", "RFC 9110 4.2.3: the default port"),
        ("https://h:80/", "https://h:80/", "the default of another scheme"),
        ("http://h./", "http://h./", "a trailing dot says not to search for the name: it stays"),
        ("http://h/a/../%7eb/./%2E", "http://h/a/../%7eb/./%2E", "dots and percent-encoding are untouched"),
        ("http://h//a", "http://h//a", "empty segments are untouched"),
        (
            "http://h/{\"a\"}|\\^<`>?{\"a\"}|\\^<`>",
            "http://h/%7B%22a%22%7D%7C%5C%5E%3C%60%3E?%7B%22a%22%7D%7C%5C%5E%3C%60%3E",
            "RFC 3987 3.1, step 2: what clients send although they should not",
        ),
        ("http://h/\u{fc}?\u{20ac}", "http://h/%C3%BC?%E2%82%AC", "RFC 3987 3.1"),
        ("http://[2001:DB8:0:0:1:0:0:1]/", "http://[2001:db8::1:0:0:1]/", "RFC 5952 4"),
        ("http://[::FFFF:127.0.0.1]:80/", "http://[::ffff:127.0.0.1]/", "RFC 5952 5"),
        ("http://[::1]:8080?x", "http://[::1]:8080/?x", "IPv6 with a port"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1/", "IPv4"),
        ("http://0x7F.1/", "http://0x7f.1/", "other spellings of IPv4 stay as sent"),
    ];
    for (url, expected, why) in table {
        assert_eq!(key(url).as_str(), expected, "{url} ({why})");
    }
}

#[test]
fn what_is_no_url_of_ours_is_refused_with_a_cure() {
    let table = [
        ("", "of the form"),
        ("example.com", "no scheme"),
        ("/path", "no scheme"),
        ("*", "no scheme"),
        ("ftp://h/", "http://"),
        ("http://", "of the form"),
        ("http:///path", "of the form"),
        ("http://:80/", "no host"),
        ("http://u@h/", "Authorization"),
        ("http://u:p@h/", "Authorization"),
        ("http://h:0/", "1 to 65535"),
        ("http://h:65536/", "1 to 65535"),
        ("http://h:99999999999999999999/", "1 to 65535"),
        ("http://h:+80/", "1 to 65535"),
        ("http://h:8o/", "1 to 65535"),
        ("http://h:80:80/", "of the form"),
        ("http://[::1/", "of the form"),
        ("http://[::g]/", "IPv6"),
        ("http://[::1%25eth0]/", "IPv6"),
        ("http://[::1]x/", "IPv6"),
        ("http://a[::1]/", "no host name"),
        ("http://[v1.a]/", "IPv6"),
        ("http://h%41/", "of the form"),
        ("http://h /", "of the form"),
        ("http://\u{fc}.com/", "of the form"),
        ("http://h/\u{0}", "of the form"),
        ("http://h/ x", "of the form"),
    ];
    for (url, cure) in table {
        let fault = Key::parse(url).unwrap_err();
        assert!(fault.detail.contains(cure), "{url}: {}", fault.detail);
        assert_eq!(fault.status, StatusCode::BAD_REQUEST, "{url}");
    }
}

#[test]
fn a_url_that_grows_too_long_is_refused() {
    let longest = format!("http://h/{}", "a".repeat(65_534 - 9));
    assert_eq!(key(&longest).as_str(), longest);
    let grows = format!("http://h/{}", "\u{fc}".repeat(20_000));
    assert_eq!(Key::parse(&grows).unwrap_err().status, StatusCode::URI_TOO_LONG);
}

#[test]
fn a_key_comes_apart_again() {
    let plain = key("http://Example.com:8080/a?b");
    assert_eq!(
        (plain.scheme(), plain.authority(), plain.path_and_query(), plain.port()),
        ("http", "example.com:8080", "/a?b", 8080)
    );
    let table = [
        ("http://example.com", Host::Name("example.com"), 80),
        ("https://example.com", Host::Name("example.com"), 443),
        ("http://127.0.0.1:1", Host::Ip([127, 0, 0, 1].into()), 1),
        ("http://[::1]", Host::Ip([0u16, 0, 0, 0, 0, 0, 0, 1].into()), 80),
        ("http://[::1]:81", Host::Ip([0u16, 0, 0, 0, 0, 0, 0, 1].into()), 81),
        ("http://2130706433", Host::Name("2130706433"), 80),
        ("http://0177.0.0.1", Host::Name("0177.0.0.1"), 80),
        ("http://127.1:82", Host::Name("127.1"), 82),
        ("http://127.0.0.1.", Host::Name("127.0.0.1."), 80),
    ];
    for (url, host, port) in table {
        assert_eq!((key(url).host(), key(url).port()), (host, port), "{url}");
    }
}

#[test]
fn the_hash_is_that_of_the_text() {
    let key = key("http://EXAMPLE.com:80");
    assert_eq!(key.hash(), xxhash_rust::xxh3::xxh3_64(b"http://example.com/"));
}

#[test]
fn origins_are_the_same_by_scheme_host_and_port() {
    assert!(key("http://h/a").same_origin(&key("http://H:80/b")));
    for other in ["http://h:81/a", "https://h:80/a", "http://g/a"] {
        assert!(!key("http://h/a").same_origin(&key(other)), "{other}");
    }
}

#[test]
fn references_resolve_as_the_examples_of_the_rfc_do() {
    // RFC 3986 sections 5.4.1 and 5.4.2, without what is no http URL.
    let base = key("http://a/b/c/d;p?q");
    let table = [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q"),
        ("g#s", "http://a/b/c/g"),
        ("g?y#s", "http://a/b/c/g?y"),
        (";x", "http://a/b/c/;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/../x", "http://a/b/c/g"),
        // Ours
        ("HTTPS://G:443/x/../y?z", "https://g/y?z"),
        ("http://g?z", "http://g/?z"),
        ("//g:80/a/./b", "http://g/a/b"),
        ("/.//g", "http://a//g"),
        ("x//../y", "http://a/b/c/x/y"),
        ("/a:b", "http://a/a:b"),
        ("./a:b", "http://a/b/c/a:b"),
    ];
    for (reference, expected) in table {
        assert_eq!(base.join(reference).unwrap().as_str(), expected, "{reference}");
    }
}

#[test]
fn references_to_what_we_do_not_fetch_are_none() {
    let base = key("http://a/b");
    for reference in ["g:h", "mailto:a@b", "http:g", "//", "http://u@h/", "//h:0/", "a b", "ftp://h/", "http://["] {
        assert!(base.join(reference).is_none(), "{reference}");
    }
}

fn classified(method: Method, target: &str) -> Result<String, String> {
    let uri = target.parse::<Uri>().map_err(|error| error.to_string())?;
    match classify(&method, &uri) {
        Ok(Target::Absolute(key)) => Ok(key.as_str().to_owned()),
        Ok(Target::Authority { host, port }) => Ok(format!("{host} {port}")),
        Ok(Target::Origin) => Ok("origin".to_owned()),
        Ok(Target::Asterisk) => Ok("asterisk".to_owned()),
        Err(fault) => Err(fault.detail.into_owned()),
    }
}

#[test]
fn targets_have_four_forms() {
    let table = [
        (Method::GET, "http://H:80", "http://h/", "RFC 9112 3.2.2"),
        (Method::OPTIONS, "http://h/", "http://h/", "RFC 9112 3.2.2"),
        (Method::GET, "/path", "origin", "RFC 9112 3.2.1"),
        (Method::GET, "//h/path", "origin", "RFC 9112 3.2.1: an empty first segment"),
        (Method::OPTIONS, "*", "asterisk", "RFC 9112 3.2.4"),
        (Method::CONNECT, "Example.com:443", "Example.com 443", "RFC 9112 3.2.3"),
        (Method::CONNECT, "[::1]:8443", "::1 8443", "RFC 9112 3.2.3"),
        (Method::CONNECT, "127.0.0.1:80", "127.0.0.1 80", "RFC 9112 3.2.3"),
    ];
    for (method, target, expected, section) in table {
        assert_eq!(classified(method, target).as_deref(), Ok(expected), "{target} ({section})");
    }
}

#[test]
fn targets_of_no_form_are_refused_with_a_cure() {
    let table = [
        (Method::GET, "ftp://h/", "http:// or https://"),
        (Method::GET, "ftp://h/", "http://"),
        (Method::GET, "h:80", "http://host/path"),
        (Method::GET, "h", "http://host/path"),
        (Method::GET, "*", "OPTIONS"),
        (Method::GET, "http://u@h/", "Authorization"),
        (Method::CONNECT, "h", "host:port"),
        (Method::CONNECT, "h:", "host:port"),
        (Method::CONNECT, "[::1]", "host:port"),
        (Method::CONNECT, "/path", "host:port"),
        (Method::CONNECT, "*", "host:port"),
        (Method::CONNECT, "http://h:443/", "host:port"),
        (Method::CONNECT, "h:0", "1 to 65535"),
        (Method::CONNECT, "u@h:443", "Authorization"),
        (Method::CONNECT, ":443", "no host"),
        (Method::CONNECT, "[::x]:443", "IPv6"),
    ];
    for (method, target, cure) in table {
        let refusal = classified(method.clone(), target).unwrap_err();
        assert!(refusal.contains(cure), "{method} {target}: {refusal}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_key_panic(url in any::<String>()) {
        let _ = Key::parse(&url);
    }

    #[test]
    fn a_key_is_its_own_key(
        url in "(http|HTTPS)://([a-zA-Z0-9._~!,-]{1,9}|\\[[0-9a-fA-F:.]{2,12}\\])(:[0-9]{0,6})?[/?#.a-zA-Z%\u{e4}{}|]{0,12}"
    ) {
        if let Ok(key) = Key::parse(&url) {
            prop_assert_eq!(Key::parse(key.as_str()).unwrap(), key.clone());
            prop_assert!(key.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(key.path_and_query().starts_with('/'));
            prop_assert!(key.path_and_query().parse::<Uri>().is_ok());
            let parts = [key.scheme(), "://", key.authority(), key.path_and_query()];
            prop_assert_eq!(parts.concat(), key.as_str());
        }
    }

    /// The short way for targets that are their own keys may not know others.
    #[test]
    fn a_target_is_read_as_its_text_is_parsed(
        url in "http://[a-zA-Z0-9._~-]{0,6}(:[0-9]{0,6})?(/[?#.a-zA-Z0-9%:@|&^ -]{0,12})?",
        bytes in any::<Vec<u8>>(),
    ) {
        let of = |key: Result<Key, super::Fault>| key.map_err(|fault| fault.detail);
        prop_assert_eq!(of(Key::read(url.as_bytes())), of(Key::parse(&url)));
        if let Ok(key) = Key::parse(&url) {
            prop_assert_eq!(of(Key::read(key.as_str().as_bytes())), Ok(key));
        }
        prop_assert_eq!(Key::read(&bytes).ok(), std::str::from_utf8(&bytes).ok().and_then(|url| Key::parse(url).ok()));
    }

    #[test]
    fn no_reference_makes_join_panic(reference in any::<String>(), dots in "[./?#:a]{0,12}") {
        let base = key("http://a/b/c?d");
        let _ = base.join(&reference);
        if let Some(joined) = base.join(&dots) {
            prop_assert_eq!(joined.join(""), Some(joined));
        }
    }
}

#[test]
fn only_a_target_that_is_its_own_key_is_taken_apart() {
    for (target, expected) in [
        ("http://a/b?c", Some(("a", "/b?c"))),
        ("http://a:81/", Some(("a:81", "/"))),
        ("https://a/b", Some(("a", "/b"))),
        ("http://a", None),
        ("http://a?b", None),
        ("http://A/b", None),
        ("http://a:80/b", None),
        ("http://a/b|c", None),
        ("/b", None),
        ("ftp://a/b", None),
        ("http://a/b#c", None),
        ("http://a/\u{e9}", None),
    ] {
        let expected = expected.map(|(authority, path)| {
            let (root, path) = (target.len() - path.len(), path.as_bytes());
            (&target.as_bytes()[..root], authority.as_bytes(), path)
        });
        let got = super::spelt(target.as_bytes()).map(|spelt| (spelt.root, spelt.authority, spelt.path));
        assert_eq!(got, expected, "{target}");
    }
}

const BLOB: &str = "https://cdn01.quay.io/sha256/0a/0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

#[test]
fn a_signature_for_a_content_addressed_store_is_asked_with_and_no_part_of_the_key() {
    for (query, own) in [
        ("", ""),
        ("?", ""),
        ("?Signature=a&Expires=1", ""),
        ("?Signature=a&response-content-type=text%2Fplain", "?response-content-type=text%2Fplain"),
        ("?response-content-type=text%2Fplain", "?response-content-type=text%2Fplain"),
    ] {
        let asked = format!("{BLOB}{query}");
        for key in [Key::parse(&asked), Key::read(asked.as_bytes()), Key::parse(&asked.replace("https", "HTTPS"))] {
            let key = key.unwrap();
            assert_eq!((key.as_str(), key.url()), (&*format!("{BLOB}{own}"), &*asked));
            assert_eq!([key.root(), key.target()].concat(), asked);
            assert_eq!([key.root(), key.path_and_query()].concat(), key.as_str());
            assert_eq!(key.hash(), Key::hash_of(key.as_str().as_bytes()));
            assert!(key.is_addressed() && key.digest().is_some());
            assert_eq!(Key::parse(key.as_str()).unwrap(), key, "a key's text is its own key");
        }
    }
    assert_eq!(key(&format!("{BLOB}?Signature=a")), key(&format!("{BLOB}?Signature=b")));
}

#[test]
fn every_other_query_is_part_of_the_key() {
    for url in [
        BLOB.replace("https", "http"),
        BLOB.replace("quay.io", "quay.io:8443"),
        BLOB.replace("quay.io", "quay.example"),
        BLOB.replace("/0a0a", "/config/0a"),
        "https://release-assets.githubusercontent.com/github-production-release-asset/1/6f3c1d2e".to_owned(),
    ] {
        let key = key(&format!("{url}?Signature=a"));
        assert_eq!(key.as_str(), format!("{url}?Signature=a"));
        assert_eq!((key.url(), key.is_addressed(), key.digest()), (key.as_str(), false, None));
    }
}
