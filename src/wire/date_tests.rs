use super::{Timestamp, format, parse};
use crate::wire::civil::LAST_SECOND;
use proptest::prelude::*;

/// 2026-01-02T00:00:00Z
const NOW: Timestamp = Timestamp(1_767_312_000_000);

fn seconds(text: &str) -> Option<u64> {
    parse(text.as_bytes(), NOW).map(Timestamp::seconds)
}

#[test]
fn the_three_formats_name_one_time() {
    // RFC 9110 section 5.6.7; the number is what `date -u -d @…` shows.
    for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(seconds(text), Some(784_111_777), "{text}");
    }
}

#[test]
fn dates_are_read() {
    let table = [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, "RFC 9110 5.6.7"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LAST_SECOND, "RFC 9110 5.6.7: the last of four digits"),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951_782_400, "divisible by 400: a leap year"),
        ("Thu, 18 Aug 2050 02:01:18 GMT", 2_544_400_878, "after 2038"),
        ("Mon Nov 16 08:49:37 2015", 1_447_663_777, "RFC 9110 5.6.7: asctime with two digits"),
        ("THU, 18 AUG 2050 02:01:18 gmt", 2_544_400_878, "RFC 9111 4.2: any letter case"),
        ("Mon, 18 Aug 2050 02:01:18 GMT", 2_544_400_878, "a wrong day name is forgiven"),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799, "RFC 9111 4.2: nearest equal or earlier"),
        ("Mon, 01 Jan 1900 00:00:00 GMT", 0, "before 1970"),
        ("Mon, 01 Jan 0000 00:00:00 GMT", 0, "before 1970"),
    ];
    for (text, expected, why) in table {
        assert_eq!(seconds(text), Some(expected), "{text} ({why})");
    }
}

#[test]
fn what_is_no_date_is_refused() {
    let table = [
        ("", "empty"),
        ("0", "RFC 9111 5.3: the usual Expires of the past"),
        ("-1", "the other one"),
        ("Thu, 18 Aug 2050 02:01:18 UTC", "RFC 9111 4.2: zones other than GMT"),
        ("Thu, 18 Aug 2050 02:01:18 EST", "RFC 9111 4.2"),
        ("Thu, 18 Aug 2050 02:01:18 +0000", "RFC 9111 4.2"),
        ("Thu, 18 Aug 2050 02:01:18 GMT+1", "RFC 9111 4.2"),
        ("Thu, 18 Aug 2050 02:01:18", "no zone"),
        ("Thu, 18 Aug 2050 02:01:18 GMT ", "something after it"),
        ("Thu, 18 Aug 2050 02:01:18 GMT, x", "something after it"),
        ("Thu, 18 Aug 50 02:01:18 GMT", "two digits of year in an IMF-fixdate"),
        ("Thu 18 Aug 2050 02:01:18 GMT", "no comma"),
        ("Thu, 18  Aug  2050 02:01:18 GMT", "several spaces"),
        ("Thu, 18-Aug-2050 02:01:18 GMT", "dashes"),
        ("Thu, 18 Aug 2050 02.01.18 GMT", "periods"),
        ("Thu, 18 Aug 2050 2:01:18 GMT", "one digit of hour"),
        ("Thu, 8 Aug 2050 02:01:18 GMT", "one digit of day"),
        ("Thu, -8 Aug 2050 02:01:18 GMT", "a sign"),
        ("Thu, +8 Aug 2050 02:01:18 GMT", "a sign"),
        ("Thu, 00 Aug 2050 02:01:18 GMT", "no such day"),
        ("Thu, 30 Feb 2000 02:01:18 GMT", "no such day"),
        ("Thu, 29 Feb 1900 02:01:18 GMT", "no such day: not divisible by 400"),
        ("Thu, 18 Foo 2050 02:01:18 GMT", "no such month"),
        ("Xyz, 18 Aug 2050 02:01:18 GMT", "no such weekday"),
        ("Thu, 18 Aug 2050 24:00:00 GMT", "no such hour"),
        ("Thu, 18 Aug 2050 02:60:00 GMT", "no such minute"),
        ("Thu, 18 Aug 2050 02:01:61 GMT", "no such second"),
        ("Thu, 18 Aug 99999999999999 02:01:18 GMT", "a huge year"),
        ("Thu, 18-Aug-50 02:01:18 GMT", "RFC 850 spells the weekday out"),
        ("Thursday, 18 Aug 2050 02:01:18 GMT", "IMF-fixdate abbreviates it"),
        ("Sun Nov 6 08:49:37 1994", "asctime pads the day"),
        ("Sun Nov 06 08:49:37 1994 GMT", "asctime has no zone"),
    ];
    for (text, why) in table {
        assert_eq!(seconds(text), None, "{text} ({why})");
    }
}

#[test]
fn a_two_digit_year_is_at_most_fifty_years_ahead() {
    // RFC 9110 section 5.6.7, seen from 2026-01-02T00:00:00Z.
    let table = [
        ("Thursday, 18-Aug-50 02:01:18 GMT", "Thu, 18 Aug 2050 02:01:18 GMT"),
        ("Thursday, 02-Jan-76 00:00:00 GMT", "Thu, 02 Jan 2076 00:00:00 GMT"),
        ("Friday, 02-Jan-76 00:00:01 GMT", "Fri, 02 Jan 1976 00:00:01 GMT"),
        ("Saturday, 01-Jan-00 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("Friday, 31-Dec-99 00:00:00 GMT", "Fri, 31 Dec 1999 00:00:00 GMT"),
    ];
    for (short, long) in table {
        assert_eq!(seconds(short), seconds(long), "{short}");
    }
}

#[test]
fn a_two_digit_year_may_lie_in_the_next_century() {
    let in_2080 = parse(b"Thu, 01 Jan 2080 00:00:00 GMT", NOW).unwrap();
    let found = parse(b"Wednesday, 01-Jan-10 00:00:00 GMT", in_2080).unwrap();
    assert_eq!(&format(found), b"Wed, 01 Jan 2110 00:00:00 GMT");
}

#[test]
fn a_time_is_written_as_an_imf_fixdate() {
    // RFC 9110 section 5.6.7
    assert_eq!(&format(Timestamp(784_111_777_999)), b"Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(&format(Timestamp(0)), b"Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(&format(Timestamp::from_seconds(951_782_400)), b"Tue, 29 Feb 2000 00:00:00 GMT");
    assert_eq!(&format(Timestamp(u64::MAX)), b"Fri, 31 Dec 9999 23:59:59 GMT");
}

proptest! {
    #[test]
    fn what_was_written_is_read_again(second in 0..=LAST_SECOND, now in any::<u64>()) {
        let time = Timestamp::from_seconds(second);
        prop_assert_eq!(parse(&format(time), Timestamp(now)), Some(time));
    }

    #[test]
    fn the_day_after_has_the_next_name(day in 0..LAST_SECOND / 86_400) {
        let name = |day: u64| format(Timestamp::from_seconds(day * 86_400))[..3].to_vec();
        prop_assert_eq!(name(day), name(day + 7));
        prop_assert_ne!(name(day), name(day + 1));
    }

    #[test]
    fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..40), now in any::<u64>()) {
        let _ = parse(&value, Timestamp(now));
    }

    #[test]
    fn nothing_like_a_date_makes_it_panic(
        text in "(Sun|Sunday),? [0-9]{2}[ -](Jan|Feb)[ -][0-9]{2,4} [0-9:]{8} GMT", now in any::<u64>()
    ) {
        let _ = parse(text.as_bytes(), Timestamp(now));
    }
}
