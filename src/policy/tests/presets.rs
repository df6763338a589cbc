//! What is known of hosts beside what their responses say.

use super::{NOW, fields, request, response};
use crate::policy::{
    Decision, Failure, Marks, NotStored, Rules, Stored, decide, freshen, outlasts, stale_if_error, storable,
};
use crate::wire::status::Fwd;
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

const BLOB: &str =
    "https://cdn01.quay.io/sha256/0a/0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a?Signature=x";

#[test]
fn of_a_content_addressed_store_only_a_whole_content_is_stored_that_the_store_can_be_asked_about() {
    let public = "Cache-Control: public, max-age=60";
    for (status, lines, expected) in [
        (200, &[public, "ETag: \"1\""][..], Ok(60)),
        (200, &["Last-Modified: @-1000"], Ok(100)),
        (200, &[public], Err(NotStored::ContentWithoutValidator)),
        (200, &["Cache-Control: no-store", "ETag: \"1\""], Err(NotStored::NoStore)),
        (403, &[public, "ETag: \"1\""], Err(NotStored::NotContent)),
        (404, &[public, "ETag: \"1\""], Err(NotStored::NotContent)),
        (307, &[public, "ETag: \"1\""], Err(NotStored::NotContent)),
        (503, &[public, "ETag: \"1\""], Err(NotStored::NotContent)),
    ] {
        assert_eq!(kept(BLOB, status, lines), expected, "{status} {lines:?}");
    }
}

#[test]
fn what_is_stored_of_such_a_store_answers_nobody_before_the_store_was_asked_and_never_instead() {
    let rules = Rules::default();
    let rules = rules.of(&Key::parse(BLOB).unwrap());
    let says = "Cache-Control: public, max-age=60, immutable, stale-while-revalidate=60, stale-if-error=60";
    let response = response(200, &[says, "ETag: \"1\""]);
    let terms = storable(&rules, &request(&[]), &response, NOW, NOW).unwrap();
    assert!(terms.marks.has(Marks::ADDRESSED) && terms.is_for_each());
    let fields = fields(&[says, "ETag: \"1\""]);
    let stored = || Some(Stored { terms: &terms, status: StatusCode::OK, fields: &fields });
    for lines in [&[][..], &["Cache-Control: max-stale"], &["Cache-Control: max-age=60"], &["Range: bytes=0-1"]] {
        let decision = decide(&request(lines), stored(), NOW);
        assert!(matches!(decision, Decision::Validate { fwd: Fwd::Stale, .. }), "{lines:?}: {decision:?}");
    }
    assert_eq!(decide(&request(&["Cache-Control: only-if-cached"]), stored(), NOW), Decision::OnlyIfCached);
    for failure in [Failure::Unreachable, Failure::Status(StatusCode::SERVICE_UNAVAILABLE)] {
        let wants_it = request(&["Cache-Control: stale-if-error=60"]);
        assert_eq!(stale_if_error(&wants_it, &terms, failure, NOW), None);
    }
    assert!(!outlasts(&terms, StatusCode::SERVICE_UNAVAILABLE, NOW));
}
