//! A real browser through the proxy. `make test` runs it.

use crate::support::tools::{succeed, wanted};
use crate::support::*;
use std::path::Path;
use tempfile::TempDir;

const KEEP: &str = "Cache-Control: max-age=600\r\n";
const IMAGES: usize = 30;

/// A PNG of one pixel.
const PIXEL: &[u8] =
    b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01\x08\
    \x00\x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x0a\x49\x44\x41\x54\x78\x9c\x63\x68\x00\x00\x00\x82\x00\
    \x81\x77\xcd\x72\xb6\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

const SCRIPT: &str = "addEventListener('load', () => {
    const whole = [...document.images].filter(i => i.naturalWidth > 0).length;
    const color = getComputedStyle(document.body).color;
    document.body.setAttribute('data-seen', `${whole} images, ${color}`);
});";

fn site(origin: &Origin) {
    let images: String = (0..IMAGES).map(|i| format!("<img src=/image/{i}.png>")).collect();
    let head = "<title>t</title><link rel=stylesheet href=/style.css><link rel=icon href=data:,><script src=/script.js></script>";
    let page = format!("<!DOCTYPE html><html><head>{head}</head><body>{images}</body></html>");
    let serve = |path: &str, kind: &str, body: Vec<u8>| {
        let fields = format!("{KEEP}Content-Type: {kind}\r\n");
        origin.on(path, move |x| x.reply(200, &fields, &body));
    };
    serve("/", "text/html; charset=utf-8", page.into_bytes());
    serve("/style.css", "text/css", b"body { color: rgb(1, 2, 3) }".to_vec());
    serve("/script.js", "text/javascript", SCRIPT.into());
    serve("/image/*", "image/png", PIXEL.to_vec());
}

/// Visits the page with a profile that was never used before; what the page was in the end. `home`: where its user's store of
/// authorities is.
fn visit(browser: &str, cluster: &Cluster, url: &str, home: &Path) -> String {
    let (mut chromium, _profile) = chromium::dumping(browser, home);
    // Without the second of these Chromium goes to loopback directly.
    chromium.arg(format!("--proxy-server=http://{}", cluster.proxy)).arg("--proxy-bypass-list=<-loopback>");
    head::latin1(&succeed(chromium.arg(url)))
}

/// What it is called here, where it is to be tested.
fn chromium(more: &[&str]) -> Option<&'static str> {
    let browser = chromium::chromium();
    let all: Vec<&str> = more.iter().copied().chain([browser.unwrap_or("chromium")]).collect();
    browser.filter(|_| wanted("chromium", &all))
}

#[test]
fn chromium_loads_a_page_and_a_second_visit_costs_the_origin_nothing() {
    let Some(browser) = chromium(&[]) else {
        _ = wanted("chromium", &["chromium"]);
        return;
    };
    let (origin, cluster) = (Origin::start(), Cluster::start());
    site(&origin);
    visit_twice(browser, &origin, &cluster, &origin.url("/"), TempDir::new().unwrap().path());
}

#[test]
fn chromium_loads_a_page_by_http_2_of_a_host_that_is_answered_for() {
    let Some(browser) = chromium(&["certutil"]) else {
        _ = wanted("chromium", &["chromium", "certutil"]);
        return;
    };
    let stage = Intercepted::new();
    site(&stage.origin);
    let home = TempDir::new().unwrap();
    chromium::trust(home.path(), &stage.ca());
    visit_twice(browser, &stage.origin, &stage.cluster, &stage.url("/"), home.path());
    let (said, asked) = (stage.cluster.said(), format!("\"GET {}", stage.url("/")));
    let lines: Vec<_> = said.lines().filter(|line| line.contains(&asked)).collect();
    assert!(lines.len() >= 2 * (IMAGES + 3), "{} requests", lines.len());
    assert!(lines.iter().all(|line| line.contains(" HTTP/2.0\" ") && line.ends_with("tls=hit")), "{lines:#?}");
}

fn visit_twice(browser: &str, origin: &Origin, cluster: &Cluster, url: &str, home: &Path) {
    let seen = "data-seen=\"30 images, rgb(1, 2, 3)\"";
    let first = visit(browser, cluster, url, home);
    assert!(first.contains(seen), "{first}");
    let heads = origin.heads("*");
    assert!(heads.len() >= IMAGES + 3, "{} requests", heads.len());
    assert!(heads.iter().all(|head| head.all("via").join("").contains("ringhold-")), "something went past the proxy");
    let second = visit(browser, cluster, url, home);
    assert!(second.contains(seen), "{second}");
    let again: Vec<_> = origin.heads("*").into_iter().skip(heads.len()).map(|head| head.line).collect();
    assert!(again.is_empty(), "the second visit asked the origin for {again:?}");
}
