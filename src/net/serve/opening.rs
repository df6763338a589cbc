//! PURE. The head of the first request that hyper is given: its target is escaped where it has to be, and noted is what hyper
//! does not tell of it.

use crate::wire::target;

/// As much of a line is looked at.
const LOOKED_AT: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Opening {
    line: Vec<u8>,
    /// The request line is over.
    named: bool,
    /// Of it, the method is.
    in_target: bool,
    lengths: bool,
    codings: bool,
    over: bool,
    pub(super) noted: Noted,
}

/// What hyper does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// `OPTIONS http://host`, without a path.
    pub pathless: bool,
    /// Both a length and a transfer coding (RFC 9112 section 6.3).
    pub two_ends: bool,
}

impl Opening {
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes what was read; appends what hyper is to read.
    pub(super) fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while !self.over && !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            let room = LOOKED_AT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&line[..line.len().min(room)]);
            match self.named {
                true => out.extend_from_slice(line),
                false => line.iter().for_each(|byte| self.of_request_line(*byte, out)),
            }
            if end.is_some() {
                self.line_ends();
            }
            rest = after;
        }
        out.extend_from_slice(rest);
    }

    fn of_request_line(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.in_target {
            true => target::escape(byte, out),
            false => out.push(byte),
        }
        self.in_target |= byte == b' ';
    }

    fn line_ends(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !self.named {
            // Empty lines before it are skipped (RFC 9112 section 2.2).
            self.named = !line.is_empty();
            self.noted.pathless = is_pathless(line);
            return;
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        self.lengths |= name.eq_ignore_ascii_case(b"content-length");
        self.codings |= name.eq_ignore_ascii_case(b"transfer-encoding");
        self.over = line.is_empty();
        self.noted.two_ends = self.lengths && self.codings;
    }
}

fn is_pathless(line: &[u8]) -> bool {
    let rest =
        line.strip_prefix(b"OPTIONS ").filter(|rest| rest.len() > 7 && rest[..7].eq_ignore_ascii_case(b"http://"));
    let target = rest.and_then(|rest| rest[7..].split(|byte| *byte == b' ').next());
    target.is_some_and(|authority| !authority.iter().any(|byte| matches!(byte, b'/' | b'?')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, piece: usize) -> (String, Noted) {
        let (mut opening, mut out) = (Opening::default(), Vec::new());
        text.as_bytes().chunks(piece).for_each(|piece| opening.take(piece, &mut out));
        assert!(opening.is_over());
        (String::from_utf8(out).unwrap(), opening.noted)
    }

    #[test]
    fn the_target_alone_is_escaped() {
        let text = "\r\nP^T http://a/{b}?\"|\" HTTP/1.1\r\nA: {\"b\"}\r\n\r\n{\"body\"}";
        let expected = "\r\nP^T http://a/%7Bb%7D?%22%7C%22 HTTP/1.1\r\nA: {\"b\"}\r\n\r\n{\"body\"}";
        for piece in 1..text.len() {
            assert_eq!(read(text, piece), (expected.into(), Noted::default()), "{piece}");
        }
    }

    #[test]
    fn what_hyper_does_not_tell_is_noted() {
        for (head, pathless, two_ends) in [
            ("OPTIONS http://a HTTP/1.1\r\n", true, false),
            ("OPTIONS HTTP://a:81 HTTP/1.0\r\n", true, false),
            ("OPTIONS http://a/ HTTP/1.1\r\n", false, false),
            ("OPTIONS http://a?b HTTP/1.1\r\n", false, false),
            ("OPTIONS * HTTP/1.1\r\n", false, false),
            ("GET http://a HTTP/1.1\r\n", false, false),
            ("POST / HTTP/1.1\r\nContent-length: 1\r\nTRANSFER-Encoding: chunked\r\n", false, true),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nX: Transfer-Encoding\r\n", false, false),
        ] {
            assert_eq!(read(&format!("{head}\r\n"), 7).1, Noted { pathless, two_ends }, "{head}");
        }
    }
}
