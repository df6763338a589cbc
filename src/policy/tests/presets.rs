//! What is known of hosts beside what their responses say.

use super::{NOW, fields, request, response};
use crate::policy::{NotStored, Rules, freshen, storable};
use crate::wire::target::Key;
use http::StatusCode;

const METADATA: &str = "https://repo1.maven.org/maven2/a/maven-metadata.xml";
const JAR: &str = "https://repo1.maven.org/maven2/a/1/a-1.jar";

/// Seconds for which it is fresh, or why it is not stored.
fn kept(url: &str, status: u16, lines: &[&str]) -> Result<u64, NotStored> {
    let rules = Rules::default();
    let rules = rules.of(&Key::parse(url).unwrap()).into_owned();
    storable(&rules, &request(&[]), &response(status, lines), NOW, NOW).map(|terms| terms.lifetime / 1000)
}

#[test]
fn what_changes_without_saying_when_is_validated_and_what_may_come_is_not_missed() {
    let old = "Last-Modified: @-1000";
    let narinfo = "https://cache.nixos.org/a.narinfo";
    for (url, status, lines, expected) in [
        (METADATA, 200, &[old][..], Ok(0)),
        (METADATA, 200, &[old, "Cache-Control: max-age=60"], Ok(60)),
        (METADATA, 200, &["Cache-Control: no-store"], Err(NotStored::NoStore)),
        (JAR, 200, &[old], Ok(100)),
        ("http://repo1.maven.org/maven2/a/maven-metadata.xml", 200, &[old], Ok(100)),
        ("https://other.example/maven-metadata.xml", 200, &[old], Ok(100)),
        ("https://192.0.2.1/maven-metadata.xml", 200, &[old], Ok(100)),
        (narinfo, 404, &["Cache-Control: max-age=60"], Err(NotStored::NotFound)),
        (narinfo, 410, &["Cache-Control: max-age=60"], Err(NotStored::NotFound)),
        (narinfo, 200, &["Cache-Control: max-age=60"], Ok(60)),
        (JAR, 404, &["Cache-Control: max-age=60"], Ok(60)),
    ] {
        assert_eq!(kept(url, status, lines), expected, "{url} {status} {lines:?}");
    }
}

#[test]
fn a_304_makes_no_guess_either() {
    let rules = Rules::default();
    let rules = rules.of(&Key::parse(METADATA).unwrap());
    let mut stored = fields(&["Last-Modified: @-1000", "ETag: x"]);
    let fresh = freshen(&rules, &request(&[]), StatusCode::OK, &mut stored, &fields(&["ETag: x"]), NOW, NOW);
    assert_eq!(fresh.terms.map(|terms| terms.lifetime), Ok(0));
}
