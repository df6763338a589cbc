//! The rules of https alone.

use super::{NOW, fields, request_of, response};
use crate::policy::{NotStored, Rules, cookies, storable};
use http::{HeaderMap, Method};

#[test]
fn who_is_known_by_a_cookie_gets_what_is_for_everyone_alone() {
    for (cookie, cache_control, expected) in [
        (&[][..], "max-age=60", Ok(())),
        (&["Cookie: a=b"][..], "max-age=60", Err(NotStored::Cookie)),
        (&["Cookie: a=b"][..], "max-age=60, must-revalidate", Err(NotStored::Cookie)),
        (&["Cookie: a=b"][..], "max-age=60, public", Ok(())),
        (&["Cookie: a=b"][..], "s-maxage=60", Ok(())),
    ] {
        let request = request_of(Method::GET, cookie);
        let answer = response(200, &[&format!("Cache-Control: {cache_control}")]);
        let terms = storable(&Rules::default(), &request, &answer, NOW, NOW).expect(cache_control);
        assert_eq!(cookies::allow(&request, &terms), expected, "{cookie:?} {cache_control}");
    }
}

#[test]
fn all_lines_of_set_cookie_are_withheld_and_nothing_else() {
    let mut headers: HeaderMap = fields(&["Set-Cookie: a=b", "ETag: x", "Set-Cookie: c=d"]);
    let withheld = cookies::withhold(&mut headers);
    assert_eq!(withheld, fields(&["Set-Cookie: a=b", "Set-Cookie: c=d"]));
    assert_eq!(headers, fields(&["ETag: x"]));
    assert_eq!(cookies::withhold(&mut headers), HeaderMap::new());
}
