//! `ringhold explain` and `GET /v1/explain`: why is that a hit, and why was that a miss?

use crate::support::cluster::run;
use crate::support::*;
use serde_json::Value;

fn explained(cluster: &Cluster, url: &str, field: &str) -> Value {
    let encode = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let mut path = format!("/v1/explain?url={}", encode(url));
    if !field.is_empty() {
        path += &format!("&header={}", encode(field));
    }
    let answer = cluster.manage("GET", &path, "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// What the command prints.
fn printed(cluster: &Cluster, url: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (file, admin) = (cluster.file().display().to_string(), cluster.admin.to_string());
    let (code, said) = run(folder.path(), &[&["explain", url], more, &["--config", &file, "--admin", &admin]].concat());
    assert_eq!(code, Some(0), "{said}");
    said
}

#[test]
fn it_says_what_is_stored_and_what_would_be_answered_and_why() {
    // (name, fields of the answer, the first request's, sentences that must be printed)
    let cases: &[(&str, &str, &str, &[&str])] = &[
        (
            "fresh",
            "Cache-Control: max-age=60\r\nETag: \"v1\"\r\n",
            "",
            &[
                "its lifetime is 60 s, from max-age (RFC 9111 section 5.2.2.1); ETag: \"v1\"",
                "from the cache with 200: it is fresh (RFC 9111 section 4.2)",
            ],
        ),
        (
            "stale",
            "Cache-Control: s-maxage=5\r\nAge: 9\r\nETag: \"v1\"\r\n",
            "",
            &[
                "; its lifetime is 5 s, from s-maxage",
                "asks the origin whether",
                "s-maxage forbids stale answers (RFC 9111 section 4.2.4)",
            ],
        ),
        (
            "private",
            "Cache-Control: private, max-age=60\r\n",
            "",
            &[
                "nothing",
                "says private (RFC 9111 section 5.2.2.7). To have it stored: if it is the same for everyone, send public",
            ],
        ),
        (
            "no-cache",
            "Cache-Control: no-cache\r\n",
            "",
            &["nothing", "says no-cache, and it has no ETag", "(RFC 9111 section 5.2.2.4)", "send an ETag"],
        ),
        (
            "over",
            "Cache-Control: max-age=0\r\n",
            "",
            &["nothing", "was stale when it came, and has no ETag", "send a longer max-age"],
        ),
        (
            "vary",
            "Cache-Control: max-age=60\r\nVary: *\r\n",
            "",
            &["nothing", "Vary of the response has *", "To have it stored: name the request fields"],
        ),
        (
            "cookie",
            "Set-Cookie: a=b\r\nETag: \"v1\"\r\n",
            "",
            &["nothing", "Set-Cookie and no explicit freshness", "send max-age too"],
        ),
        (
            "login",
            "Cache-Control: max-age=60\r\n",
            "Authorization: Basic eDp5\r\n",
            &["nothing", "the request had Authorization", "(RFC 9111 section 3.5)"],
        ),
    ];
    let (origin, cluster) = (Origin::start(), Cluster::start());
    for (name, says, asks, sentences) in cases {
        let (path, says) = (format!("/{name}"), says.to_string());
        origin.on(&path, move |x| x.reply(200, &says, "body"));
        let url = origin.url(&path);
        let node = cluster.ask("GET", &url, asks, b"").node();
        let told = explained(&cluster, &url, "");
        assert_eq!(
            (&told["key"], &told["owner"], &told["node"]),
            (&url.as_str().into(), &node.as_str().into(), &node.as_str().into())
        );
        let said = printed(&cluster, &url, &[]);
        for sentence in *sentences {
            assert!(said.contains(sentence), "{name}: {sentence}\n{said}\n{told:#}");
        }
        assert_eq!(origin.count(&path), 1, "asking why asks nobody else");
    }
}

#[test]
fn what_was_never_asked_for_is_a_miss_without_a_culprit() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let url = origin.url("/never");
    let told = explained(&cluster, &url, "");
    assert_eq!((&told["stored"], &told["not_stored"]), (&serde_json::json!([]), &Value::Null));
    assert_eq!((&told["answer"]["does"], &told["answer"]["fwd"]), (&"forward".into(), &"uri-miss".into()));
    let said = printed(&cluster, &url, &[]);
    assert!(said.contains("nothing is stored that the request selects (RFC 9111 section 4)"), "{said}");
    assert!(said.contains("it was not asked for"), "{said}");
    assert_eq!(origin.count("/never"), 0);
}

#[test]
fn the_fields_of_the_request_count() {
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\nVary: Accept\r\nETag: \"v1\"\r\n", "body"));
    let url = origin.url("/page");
    cluster.ask("GET", &url, "Accept: text/html\r\n", b"");
    let rows = [
        ("Accept: text/html", "hit", "it is fresh"),
        ("Accept: image/png", "forward", "Vary names"),
        ("", "forward", "Vary names"),
    ];
    for (field, does, why) in rows {
        let answer = explained(&cluster, &url, field)["answer"].clone();
        assert_eq!(answer["does"], does, "{field}: {answer}");
        assert!(answer["why"].as_str().unwrap().contains(why), "{field}: {answer}");
    }
    let said = printed(&cluster, &url, &["-H", "accept: text/html", "-H", "if-none-match: \"v1\""]);
    assert!(said.contains("from the cache with 304"), "{said}");
    let said = printed(&cluster, &url, &["-H", "accept: text/html", "-H", "cache-control: no-cache"]);
    assert!(said.contains("the request says no-cache (RFC 9111 section 5.2.1.4)"), "{said}");
    let refused = cluster.manage("GET", "/v1/explain?url=http://h/&header=nonsense", "");
    assert_eq!(refused.status, 400, "{}", refused.text());
}
