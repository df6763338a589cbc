//! What the commands say of a URL.

use super::ask;
use crate::support::*;
use rustix::process::Signal;

const KEEP: &str = "Cache-Control: max-age=60\r\n";

#[test]
fn of_https_they_say_that_it_is_tunnelled_where_a_node_is_asked_in_clear() {
    let cluster = Setup::default().nodes(1).node_at("r1", "127.0.0.1:1").start();
    for words in [&["explain", "https://a.example/x"][..], &["ring", "owner", "https://a.example/"]] {
        let (code, said) = ask(&cluster, words);
        assert!(said.contains("tunnel") && said.contains("not cached"), "{words:?}: {said}");
        assert!(!said.contains("n1"), "no node has to do with it: {said}");
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_purge_says_whether_anything_was_there() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| x.reply(200, KEEP, "page"));
    let url = origin.url("/page");
    let node = cluster.get(&url).node();
    let (code, said) = ask(&cluster, &["purge", &url]);
    assert!(code == Some(0) && said.contains(&format!("stored on {node}")), "{said}");
    let (code, said) = ask(&cluster, &["purge", &url]);
    assert!(code == Some(0) && said.contains("nothing was stored"), "{said}");
    cluster.get(&url);
    let answer = cluster.manage("DELETE", &format!("/v1/cache?url={url}"), "");
    assert_eq!(answer.json()["held"], serde_json::json!([node]), "{}", answer.text());
}

#[test]
fn a_purge_by_a_pattern_is_refused_with_the_cure() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    for pattern in ["/*", "/a/*.png", "/a*", "/?*", "/a/*/b"] {
        let (code, said) = ask(&cluster, &["purge", &origin.url(pattern)]);
        assert!(code == Some(1) && said.contains("--exact"), "{pattern}: {said}");
        assert_eq!(cluster.manage("DELETE", &format!("/v1/cache?url={}", origin.url(pattern)), "").status, 400);
    }
    origin.on("/a*b", |x| x.reply(200, KEEP, "page"));
    cluster.get(&origin.url("/a*b"));
    let (code, said) = ask(&cluster, &["purge", "--exact", &origin.url("/a*b")]);
    assert!(code == Some(0) && said.contains("stored on n1"), "{said}");
}

#[test]
fn an_incomplete_purge_exits_with_3_and_names_who_missed_it() {
    let cluster = Cluster::start();
    cluster.signal_node("n2", Signal::STOP);
    let (code, said) = ask(&cluster, &["purge", "http://a.example/"]);
    assert!(code == Some(3) && said.contains("n2") && said.contains("not known whether anything was stored"), "{said}");
    let (code, said) = ask(&cluster, &["purge", "http://a.example/", "--json"]);
    assert!(code == Some(3) && said.contains("missed"), "{said}");
}

#[test]
fn explain_says_which_request_values_select_a_variant() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\nVary: Accept-Language, X-Kind\r\n", "hallo"));
    let url = origin.url("/page");
    cluster.ask("GET", &url, "Accept-Language: de\r\n", b"");
    cluster.ask("GET", &url, "Accept-Language: fr\r\nX-Kind: a\r\n", b"");
    let (_, said) = ask(&cluster, &["explain", &url, "-H", "accept-language: fr", "-H", "x-kind: a"]);
    for selects in ["accept-language: de and no x-kind", "accept-language: fr and x-kind: a"] {
        assert!(said.contains(selects), "{said}");
    }
}
