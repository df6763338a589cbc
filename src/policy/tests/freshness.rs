use super::{NOW, at, request, response, stored};
use crate::policy::terms::LifetimeSource;
use crate::policy::{Rules, storable};
use crate::wire::date::{Moment, Timestamp};

struct Case {
    res: &'static [&'static str],
    /// Seconds of freshness left on arrival; 0 or less is stale.
    left: i64,
    source: LifetimeSource,
    section: &'static str,
}

const fn case(res: &'static [&'static str], left: i64, source: LifetimeSource, section: &'static str) -> Case {
    Case { res, left, source, section }
}

use LifetimeSource::*;

/// Every row has a validator too, so that the stale ones are stored.
const TABLE: &[Case] = &[
    case(&["Cache-Control: max-age=60"], 60, MaxAge, "4.2.1"),
    case(&["Cache-Control: max-age=60, s-maxage=10"], 10, SMaxage, "4.2.1"),
    case(&["Cache-Control: s-maxage=100", "Cache-Control: max-age=0", "Expires: @-9"], 100, SMaxage, "4.2.1"),
    case(&["Cache-Control: max-age=60", "Expires: @-100", "Date: @0"], 60, MaxAge, "5.3: max-age wins"),
    case(&["Cache-Control: max-age=60", "Expires: 0"], 60, MaxAge, "5.3: max-age wins"),
    case(&["Cache-Control: max-age=0", "Expires: @100"], 0, MaxAge, "5.3: max-age wins"),
    case(&["Cache-Control: max-age=99999999999"], 2_147_483_648, MaxAge, "1.2.2"),
    case(&["Expires: @100", "Date: @0"], 100, Expires, "4.2.1"),
    case(&["Expires: @100"], 100, Expires, "4.2.1: received stands for Date"),
    case(&["Expires: @10", "Date: foo"], 10, Expires, "4.2.1"),
    case(&["Expires: @0", "Date: @0"], 0, Expires, "5.3"),
    case(&["Expires: @300", "Date: @400"], 0, Expires, "4.2.1: before Date"),
    case(&["Expires: 0", "Last-Modified: @-1000"], 0, Expires, "5.3: invalid is in the past"),
    case(&["Expires: -1", "Last-Modified: @-1000"], 0, Expires, "5.3"),
    case(&["Expires: @100", "Expires: @0"], 100, Expires, "4.2.1: the first"),
    case(&["Expires: 0", "Expires: @100"], 0, Expires, "4.2.1: the first"),
    // Age.
    case(&["Cache-Control: max-age=60", "Age: 50"], 10, MaxAge, "4.2.3"),
    case(&["Cache-Control: max-age=60", "Age: 7200"], -7140, MaxAge, "4.2.3"),
    case(&["Cache-Control: max-age=60", "Age: 0, 7200"], 60, MaxAge, "5.1: the first member"),
    case(&["Cache-Control: max-age=60", "Age: 50, 0"], 10, MaxAge, "5.1: the first member"),
    case(&["Cache-Control: max-age=60", "Age: 50", "Age: 0"], 10, MaxAge, "5.1: the first line"),
    case(&["Cache-Control: max-age=60", "Age: 0", "Age: 50"], 60, MaxAge, "5.1: the first line"),
    case(&["Cache-Control: max-age=60", "Age: abc"], 60, MaxAge, "5.1: invalid is ignored"),
    case(&["Cache-Control: max-age=60", "Age: -7200"], 60, MaxAge, "5.1"),
    case(&["Cache-Control: max-age=60", "Age: +50"], 60, MaxAge, "5.1"),
    case(&["Cache-Control: max-age=60", "Age: 7200.0"], 60, MaxAge, "5.1"),
    case(&["Cache-Control: max-age=60", "Age: 7200;a=b"], 60, MaxAge, "5.1"),
    case(&["Cache-Control: max-age=60", "Age:"], 60, MaxAge, "5.1"),
    case(&["Cache-Control: max-age=60", "Age: 2147483647"], 60 - 2_147_483_647, MaxAge, "1.2.2"),
    case(&["Cache-Control: max-age=60", "Age: 99999999999999999999"], 60 - 2_147_483_648, MaxAge, "1.2.2"),
    case(&["Cache-Control: max-age=2147483648", "Age: 99999999999"], 0, MaxAge, "1.2.2"),
    // Date: a second of it is rounding.
    case(&["Cache-Control: max-age=60", "Date: @-30"], 30, MaxAge, "4.2.3: apparent age"),
    case(&["Cache-Control: max-age=60", "Date: @-30", "Age: 10"], 30, MaxAge, "4.2.3: the larger"),
    case(&["Cache-Control: max-age=60", "Date: @-30", "Age: 50"], 10, MaxAge, "4.2.3: the larger"),
    case(&["Cache-Control: max-age=60", "Date: @30"], 60, MaxAge, "4.2.3: a fast clock"),
    case(&["Expires: @10", "Date: @-10", "Age: 25"], -5, Expires, "4.2.3: a slow clock"),
    case(&["Expires: @20", "Date: @10", "Age: 15"], -5, Expires, "4.2.3: a fast clock"),
    // Heuristics.
    case(&["Last-Modified: @-1000", "Date: @0"], 100, Heuristic, "4.2.2"),
    case(&["Last-Modified: @-1000"], 100, Heuristic, "4.2.2"),
    case(&["Last-Modified: @-100000000", "Date: @0"], 86400, Heuristic, "4.2.2: at most a day"),
    case(&["Last-Modified: @1000", "Date: @0"], 0, Heuristic, "4.2.2"),
    case(&["Last-Modified: x"], 0, Nothing, "4.2.2"),
    case(&["Last-Modified: @-1000", "Pragma: no-cache"], 0, Nothing, "5.4"),
    case(&["Cache-Control: max-age=60", "Pragma: no-cache"], 60, MaxAge, "5.4"),
];

#[test]
fn how_long_a_response_is_fresh() {
    for Case { res, left, source, section } in TABLE {
        let mut lines = res.to_vec();
        lines.push("ETag: \"a\"");
        let terms = stored(&[], 200, &lines).unwrap();
        let ttl = terms.ttl(NOW);
        // Whatever is older than 1970 is as old as 1970.
        let expected = (*left).max(60 - i64::try_from(NOW.seconds()).unwrap());
        assert_eq!(ttl, expected, "{res:?} (section {section})");
        assert_eq!(terms.is_fresh(NOW), *left > 0, "{res:?} (section {section})");
        assert_eq!(terms.source, *source, "{res:?} (section {section})");
    }
}

#[test]
fn heuristics_are_for_the_statuses_that_allow_them() {
    for status in 200..600 {
        if matches!(status, 206 | 304) {
            continue;
        }
        let allowed = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(&status);
        let terms = stored(&[], status, &["Last-Modified: @-1000", "Date: @0"]);
        assert_eq!(terms.is_ok_and(|t| t.is_fresh(NOW)), allowed, "{status} (sections 4.2.2 and 15.1 of RFC 9110)");
    }
    let terms = stored(&[], 599, &["Last-Modified: @-1000", "Cache-Control: public"]).unwrap();
    assert!(terms.is_fresh(NOW), "section 5.2.2.9");
}

#[test]
fn the_time_of_the_exchange_and_the_time_here_are_age() {
    let res = response(200, &["Cache-Control: max-age=60", "Age: 5", "Date: @-3"]);
    let terms = storable(&Rules::default(), &request(&[]), &res, at(-2), NOW).unwrap();
    assert_eq!(terms.age(NOW), 7, "section 4.2.3: corrected_age_value");
    assert_eq!(terms.age(at(10)), 17, "section 4.2.3: resident_time");
    assert!(terms.is_fresh(Timestamp(at(53).0 - 1)));
    assert!(!terms.is_fresh(at(53)), "section 4.2: the lifetime must exceed the age");
    assert_eq!((terms.ttl(at(52)), terms.ttl(Timestamp(at(53).0 + 1))), (1, -1));
}

/// The process started while the system's clock was wrong, and it was set since: dates are read by the clock as it is
/// now, and what is stored ages by the one that never steps (section 4.2.3).
#[test]
fn dates_are_read_by_the_wall_clock_and_entries_age_by_the_steady_one() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    // Seconds of freshness left, for a response that was made 30 s before by the wall clock.
    let rows = [
        ("Cache-Control: max-age=60", 30),
        ("Expires: @30", 30),
        ("Last-Modified: @-630", 30),
        ("Cache-Control: max-age=20", -10),
    ];
    let wall = NOW;
    for behind in [-(DAY as i64) * 400, -(DAY as i64), -3_600_000, 0, 3_600_000, DAY as i64 * 400] {
        let steady = Timestamp(wall.0.checked_add_signed(behind).unwrap());
        let received = Moment { at: steady, wall };
        for (line, left) in rows {
            let response = response(200, &["Date: @-30", "ETag: \"a\"", line]);
            let terms = storable(&Rules::default(), &request(&[]), &response, steady, received).unwrap();
            assert_eq!(terms.ttl(steady), left, "{line}, the clock that never steps {behind} ms ahead");
            assert_eq!(terms.age(steady), 29, "{line}: a part of a second may be rounding");
        }
    }
}
