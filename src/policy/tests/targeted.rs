use super::{NOW, request, response, selected};
use crate::policy::{Decision, Marks, NotStored, Rules, decide, storable};
use http::HeaderMap;
use http::header::HeaderName;

/// Seconds of freshness; below zero when every use is validated.
type Expected = Result<i64, NotStored>;

const TABLE: &[(&[&str], Expected, &str)] = &[
    (&["CDN-Cache-Control: max-age=60"], Ok(60), "2.1"),
    (&["CDN-Cache-Control: max-age=99999999999"], Ok(2_147_483_648), "RFC 9111 1.2.2"),
    (&["CDN-Cache-Control: max-age=60", "Cache-Control: no-store"], Ok(60), "2.2"),
    (&["CDN-Cache-Control: max-age=60", "Cache-Control: private"], Ok(60), "2.2"),
    (&["CDN-Cache-Control: max-age=60", "Cache-Control: max-age=1", "Expires: 0"], Ok(60), "2.2"),
    (&["CDN-Cache-Control: max-age=60", "Age: 50"], Ok(10), "RFC 9111 4.2.3"),
    (&["CDN-Cache-Control: max-age=60;p=1, foobar"], Ok(60), "2.1: parameters and extensions are ignored"),
    (&["CDN-Cache-Control: foobar", "CDN-Cache-Control: max-age=60"], Ok(60), "RFC 9651 4.2: lines are joined"),
    (&["CDN-Cache-Control: max-age=1, max-age=60"], Ok(60), "RFC 9651 4.2.2: the last"),
    (&["CDN-Cache-Control: max-age=0", "Expires: @100"], Err(NotStored::Stale), "2.2"),
    (&["CDN-Cache-Control: max-age=-5"], Err(NotStored::Stale), "RFC 9111 4.2.1"),
    (&["CDN-Cache-Control: must-revalidate", "Cache-Control: max-age=60"], Err(NotStored::NoFreshness), "2.2"),
    (&["CDN-Cache-Control: no-store", "Cache-Control: max-age=60"], Err(NotStored::NoStore), "2.2"),
    (&["CDN-Cache-Control: private", "Cache-Control: max-age=60"], Err(NotStored::Private), "2.2"),
    (&["CDN-Cache-Control: private=\"x\", max-age=60"], Err(NotStored::Private), "counts for the whole"),
    (&["CDN-Cache-Control: no-store=?0, max-age=60"], Ok(60), "RFC 9651 3.3.6: false"),
    (&["CDN-Cache-Control: no-cache, max-age=60", "ETag: \"a\""], Ok(-1), "2.2"),
    // Invalid or empty: as if it were not there.
    (&["CDN-Cache-Control: max-age=60, &&&&&", "Cache-Control: no-store"], Err(NotStored::NoStore), "2.1"),
    (&["CDN-Cache-Control: max-age=\"60\"", "Cache-Control: no-store"], Err(NotStored::NoStore), "2.1"),
    (&["CDN-Cache-Control: max-age =60", "Cache-Control: max-age=5"], Ok(5), "2.1"),
    (&["CDN-Cache-Control: max-age= 60", "Cache-Control: max-age=5"], Ok(5), "2.1"),
    (&["CDN-Cache-Control: MaX-aGe=60", "Cache-Control: max-age=5"], Ok(5), "2.1: keys are lower case"),
    (&["CDN-Cache-Control: max-age=60,", "Cache-Control: max-age=5"], Ok(5), "2.1"),
    (&["CDN-Cache-Control: no-store, x=\"", "Cache-Control: max-age=5"], Ok(5), "2.1"),
    (&["CDN-Cache-Control: max-age=1234567890123456", "Cache-Control: max-age=5"], Ok(5), "RFC 9651 3.3.1"),
    (&["CDN-Cache-Control:", "Cache-Control: max-age=5"], Ok(5), "2.1"),
    (&["CDN-Cache-Control: max-age=60.5", "Cache-Control: max-age=5"], Ok(5), "2.1"),
    (&["CDN-Cache-Control: a=(1 \"x\";y 2.5), b=:YQ==:, c=@1, d=%\"%c3%bc\", e=*t/x, max-age=7"], Ok(7), "RFC 9651 3"),
    (&["CDN-Cache-Control: a=(1 2, max-age=7", "Cache-Control: max-age=5"], Ok(5), "RFC 9651 4.2.1.2"),
    (&["CDN-Cache-Control: d=%\"%FC\", max-age=7", "Cache-Control: max-age=5"], Ok(5), "RFC 9651 4.2.10"),
    // The order of the configuration.
    (&["Other-Cache-Control: max-age=9", "CDN-Cache-Control: max-age=60"], Ok(60), "2.2: the first configured"),
    (&["Other-Cache-Control: max-age=9", "CDN-Cache-Control: x y"], Ok(9), "2.2: the next"),
];

#[test]
fn a_targeted_field_takes_the_place_of_cache_control_and_expires() {
    let names = ["cdn-cache-control", "other-cache-control"].map(HeaderName::from_static);
    let rules = Rules { targeted: names.to_vec(), ..Rules::default() };
    for (lines, expected, section) in TABLE {
        let terms = storable(&rules, &request(&[]), &response(200, lines), NOW, NOW);
        let fields = HeaderMap::new();
        let left = terms.map(|terms| match decide(&request(&[]), Some(selected(&terms, 200, &fields)), NOW) {
            Decision::Serve { ttl } => ttl,
            _ => -1,
        });
        assert_eq!(left, *expected, "{lines:?} (section {section} of RFC 9213)");
    }
}

#[test]
fn a_targeted_field_is_not_obeyed_where_it_is_not_configured() {
    let res = response(200, &["CDN-Cache-Control: no-store", "Cache-Control: max-age=60"]);
    let terms = storable(&Rules::default(), &request(&[]), &res, NOW, NOW).unwrap();
    assert_eq!(terms.ttl(NOW), 60, "RFC 9213 section 2");
    assert!(!terms.marks.has(Marks::TARGETED));
}
