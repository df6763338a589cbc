//! PURE. What a request has to say of its host and its end before anybody answers it: a front, or a node that is asked itself.

use super::says::{HostLines, Noted};
use crate::wire::fault::{Fault, Kind};
use http::StatusCode;

impl Noted {
    /// RFC 9112 section 3.2: one `Host` line that is an authority, which HTTP/1.0 may do without; the target decides all the
    /// same. Section 6.1: only `chunked`, once; that one is undone, and what is left of another could not be told from the
    /// content once the field is gone. Section 6.3: one way to tell the end.
    pub fn refuse(&self) -> Result<(), Fault> {
        let detail = match (self.hosts, self) {
            (HostLines::None, _) => "The request has no Host field, which HTTP/1.1 demands.",
            (HostLines::Several, _) => "The request has more than one Host field.",
            (HostLines::Malformed, _) => "The Host field of the request is no host: write host or host:port.",
            (HostLines::Fine, Noted { two_ends: true, .. }) => {
                "The request has both a length and a transfer coding (RFC 9112 section 6.3)."
            }
            (HostLines::Fine, Noted { other_codings: true, .. }) => {
                let detail = "The only transfer coding of a request is chunked, once.";
                return Err(Fault::client(StatusCode::NOT_IMPLEMENTED, Kind::HttpRequestError, detail));
            }
            (HostLines::Fine, _) => return Ok(()),
        };
        Err(Fault::bad_request(detail))
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::with_head;

    #[test]
    fn a_request_names_one_host_and_one_end() {
        for (lines, version, expected) in [
            ("Host: a", "1.1", None),
            ("Host:", "1.1", None),
            ("Host: a:80", "1.1", None),
            ("", "1.0", None),
            ("", "1.1", Some(400)),
            ("Host: a\r\nHost: a", "1.1", Some(400)),
            ("Host: a\r\nHost: b", "1.0", Some(400)),
            ("Host: a b/@", "1.1", Some(400)),
            ("Host: me@a", "1.0", Some(400)),
            ("Host: a, b/", "1.1", Some(400)),
            ("Host: a\r\nTransfer-Encoding: chunked", "1.1", None),
            ("Host: a\r\nTransfer-Encoding: gzip, chunked", "1.1", Some(501)),
            ("Host: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "1.1", Some(501)),
            ("Host: a\r\nTransfer-Encoding: chunked, chunked", "1.1", Some(501)),
            ("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", "1.1", Some(400)),
        ] {
            let head =
                format!("POST http://a/ HTTP/{version}\r\n{lines}{}\r\n", if lines.is_empty() { "" } else { "\r\n" });
            let refused = with_head(&head, |head| head.noted().refuse().err());
            assert_eq!(refused.map(|fault| fault.status.as_u16()), expected, "{head}");
        }
    }
}
