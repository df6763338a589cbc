//! Requests to the proxy itself, and what answers say of a stored part.

use crate::support::*;

fn asked(cluster: &Cluster, method: &str, target: &str, version: &str) -> Response {
    let mut client = cluster.connect();
    client.send(format!("{method} {target} HTTP/{version}\r\nHost: {}\r\n\r\n", cluster.proxy)).unwrap();
    client.response(method).unwrap()
}

#[test]
fn only_the_root_of_the_proxy_is_a_page_and_any_other_path_is_an_error_with_the_page() {
    let cluster = Setup::default().nodes(1).start();
    for target in ["/x.tar.gz", "/favicon.ico", "/?q=1", "//", "/v1/nodes", "/index.html"] {
        for (method, version) in [("GET", "1.1"), ("HEAD", "1.1"), ("GET", "1.0"), ("POST", "1.1"), ("OPTIONS", "1.1")]
        {
            let answer = asked(&cluster, method, target, version);
            assert_eq!(answer.status, 400, "{method} {target} {version}");
            assert!(answer.head.has("proxy-status"), "{:?}", answer.head);
            assert_eq!(answer.text().contains("http_proxy="), method != "HEAD", "{}", answer.text());
        }
    }
    for (method, target, status) in [("GET", "/", 200), ("HEAD", "/", 200), ("POST", "/", 400), ("OPTIONS", "*", 204)] {
        assert_eq!(asked(&cluster, method, target, "1.1").status, status, "{method} {target}");
    }
    assert!(asked(&cluster, "OPTIONS", "/", "1.1").head.has("allow"));
    assert_eq!(asked(&cluster, "TRACE", "/", "1.1").get("content-type").as_deref(), Some("message/http"));
}

#[test]
fn a_stored_part_that_does_not_suffice_is_partial_and_no_variant_is_a_vary_miss() {
    let (origin, cluster) = (Origin::start(), Setup::default().nodes(1).start());
    origin.on("/part", |x| {
        let fields = "Cache-Control: max-age=60\r\nETag: \"1\"\r\n";
        match x.head.get("range").as_deref() {
            Some("bytes=0-4") => x.reply(206, &format!("{fields}Content-Range: bytes 0-4/10\r\n"), "01234"),
            Some("bytes=6-8") => x.reply(206, &format!("{fields}Content-Range: bytes 6-8/10\r\n"), "678"),
            _ => x.reply(200, fields, "0123456789"),
        }
    });
    let url = origin.url("/part");
    cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"");
    assert!(cluster.ask("GET", &url, "Range: bytes=0-4\r\n", b"").is_hit());
    let more = cluster.ask("GET", &url, "Range: bytes=6-8\r\n", b"");
    assert!(more.cache_status().contains("fwd=partial"), "{}", more.cache_status());
    let why = cluster.manage("GET", &format!("/v1/explain?url={url}&header=range:bytes=8-9"), "").json();
    assert_eq!(why["answer"]["fwd"], "partial", "{why}");
    origin.on("/vary", |x| x.reply(200, "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n", "hallo"));
    cluster.ask("GET", &origin.url("/vary"), "Accept-Language: de\r\n", b"");
    let other = cluster.ask("GET", &origin.url("/vary"), "Accept-Language: fr\r\n", b"");
    assert!(other.cache_status().contains("fwd=vary-miss"), "{}", other.cache_status());
}
