use super::fields;
use crate::policy::variants::{Selection, selecting, selecting_by};

struct Case {
    vary: &'static [&'static str],
    one: &'static [&'static str],
    other: &'static [&'static str],
    same: bool,
    why: &'static str,
}

const fn case(
    vary: &'static [&'static str],
    one: &'static [&'static str],
    other: &'static [&'static str],
    same: bool,
    why: &'static str,
) -> Case {
    Case { vary, one, other, same, why }
}

const FOO: &[&str] = &["Vary: Foo"];
const AGENT: &[&str] = &["Vary: User-Agent"];
const ACCEPT: &[&str] = &["Vary: Accept"];
const LANG: &[&str] = &["Vary: Accept-Language"];
const CODING: &[&str] = &["Vary: accept-encoding"];

const TABLE: &[Case] = &[
    case(&[], &["Foo: 1"], &["Foo: 2"], true, "no Vary"),
    case(FOO, &["Foo: 1"], &["foo: 1", "Other: 2"], true, "only what Vary names"),
    case(FOO, &["Foo: 1"], &["Foo: 2"], false, "another value"),
    case(FOO, &["Foo: a"], &["Foo: A"], false, "letter case of an unknown field counts"),
    case(FOO, &["Foo: 1"], &[], false, "absent"),
    case(FOO, &["Foo:"], &[], false, "empty is not absent"),
    case(FOO, &[], &[], true, "absent in both"),
    case(FOO, &["Foo: 1, 2"], &["Foo: 1", "Foo: 2"], true, "lines are combined"),
    case(FOO, &["Foo: 1,2"], &["Foo:  1,2\t"], true, "white space around a value"),
    case(FOO, &["Foo: 1,2"], &["Foo:  1 ,\t2 "], true, "where lines are combined white space is optional"),
    case(AGENT, &["User-Agent: a (b,c)"], &["User-Agent: a (b, c)"], false, "a field of one value has no lines"),
    case(AGENT, &["User-Agent: a"], &["User-Agent:  a\t"], true, "white space around a value"),
    case(&["Vary: Cookie"], &["Cookie: a=1,2"], &["Cookie: a=1, 2"], false, "a field of one value"),
    case(ACCEPT, &["Accept: a/b,c/d"], &["Accept:  a/b ,\tc/d "], true, "white space around the commas of a list"),
    case(ACCEPT, &["Accept: a/b, c/d"], &["Accept: a/b", "Accept: c/d"], true, "lines are combined"),
    case(ACCEPT, &["Accept: a/b;x=\"1, 2\""], &["Accept: a/b;x=\"1,2\""], false, "quoted strings are left alone"),
    case(ACCEPT, &["Accept: a/b,c/d"], &["Accept: c/d,a/b"], false, "order"),
    case(FOO, &["Foo: 1,2"], &["Foo: 2,1"], false, "order of an unknown field counts"),
    case(FOO, &["Foo: 1,,2"], &["Foo: 1,2"], false, "an empty member counts"),
    case(FOO, &["Foo: \"1, 2\""], &["Foo: \"1,2\""], false, "quoted strings are left alone"),
    case(FOO, &["Foo: \"1\\\", 2\""], &["Foo: \"1\\\",2\""], false, "quoted strings are left alone"),
    case(&["Vary: a, b"], &["a: 1", "b: 2"], &["b: 2", "a: 1"], true, "order of fields"),
    case(&["Vary: a", "Vary: b"], &["a: 1", "b: 2"], &["a: 1", "b: 3"], false, "any line of Vary"),
    case(&["Vary: a, b"], &["a: 1"], &["b: 1"], false, "which field it was"),
    case(LANG, &["Accept-Language: en, de"], &["Accept-Language: dE , eN"], true, "order and letter case"),
    case(LANG, &["Accept-Language: en;q=1.0, de; q=0.50"], &["Accept-Language: de;Q=0.5,en"], true, "weights"),
    case(LANG, &["Accept-Language: en;q=0.5, de"], &["Accept-Language: en, de;q=0.5"], false, "weights"),
    case(LANG, &["Accept-Language: en"], &["Accept-Language: en, de"], false, "another list"),
    case(CODING, &["Accept-Encoding: gzip, br"], &["Accept-Encoding: br,gzip"], true, "order"),
    case(CODING, &["Accept-Encoding: gzip;q=0"], &["Accept-Encoding: gzip"], false, "weights"),
    case(CODING, &["Accept-Encoding: gzip;q=10"], &["Accept-Encoding: gzip;q=1"], false, "an integer keeps its zeros"),
    case(CODING, &["Accept-Encoding:"], &[], false, "empty is identity, absent is any"),
];

#[test]
fn requests_with_the_same_selecting_fields_share_a_variant() {
    for Case { vary, one, other, same, why } in TABLE {
        let vary = fields(vary);
        let select = |req: &[&str]| selecting(&vary, &fields(req)).unwrap();
        assert_eq!(select(one) == select(other), *same, "{vary:?}: {one:?} and {other:?} (section 4.1: {why})");
        let joined: Vec<&[u8]> = vary.get_all("vary").iter().map(|line| line.as_bytes()).collect();
        let joined = joined.join(&b',');
        assert_eq!(selecting_by(&joined, &fields(one)), selecting(&vary, &fields(one)), "{why}");
        let (other, stored) = (fields(other), select(one));
        let wanted = Selection::of(&other);
        for look in ["first", "second"] {
            assert_eq!(wanted.selects(&joined, &stored), *same, "{vary:?}: {one:?} and {other:?}, {look} look ({why})");
        }
    }
}

#[test]
fn the_order_and_letter_case_of_vary_do_not_matter() {
    let req = fields(&["a: 1", "b: 2"]);
    let first = selecting(&fields(&["Vary: a, B, a"]), &req);
    assert_eq!(first, selecting(&fields(&["Vary: b", "Vary: A"]), &req));
    assert_eq!(selecting(&HeaderMap::new(), &req).as_deref(), Some(&b""[..]), "no Vary is the empty value");
}

#[test]
fn a_star_in_any_line_selects_nothing() {
    for vary in
        [&["Vary: *"][..], &["Vary: *, *"], &["Vary:", "Vary: *"], &["Vary: , *"], &["Vary: Foo, *"], &["Vary: a b"]]
    {
        assert_eq!(selecting(&fields(vary), &fields(&[])), None, "{vary:?} (section 4.1)");
    }
}

use http::HeaderMap;

#[test]
fn long_lists_are_bounded_and_what_is_selected_is_worked_out_once() {
    let names = |n: usize| format!("Vary: {}", (0..n).map(|i| format!("f{i}")).collect::<Vec<_>>().join(", "));
    let under = |n: usize| selecting(&fields(&[&names(n)]), &fields(&[]));
    assert!(under(64).is_some() && under(65).is_none() && under(20_000).is_none(), "one of too many fields is a *");
    let languages = |n: usize| format!("Accept-Language: {}", vec!["b, a"; n].join(", "));
    let selected = |n: usize| selecting_by(b"accept-language", &fields(&[&languages(n)])).unwrap();
    assert_eq!(&*selected(32), b"accept-language:a,b\n");
    assert!(selected(33).starts_with(b"accept-language:b,a,b,a"), "a longer list is taken as it stands");
    let request = fields(&[&languages(1)]);
    let wanted = Selection::of(&request);
    let (one, two) = (wanted.under(b"accept-language").unwrap(), wanted.under(b"accept-language").unwrap());
    assert!(std::rc::Rc::ptr_eq(&one, &two));
}
