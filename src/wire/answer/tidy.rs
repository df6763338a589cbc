//! PURE. Heads that are not quite HTTP, made into what browsers and curl take them for, so that all who read them read the
//! same (RFC 9112 sections 2.2, 5.1 and 5.2): a blank before the colon is removed, a folded line is unfolded, and a line that
//! is none is left out. What could tell where the body ends is not guessed: it is an error.

use crate::wire::written;

/// Longer than the limit.
pub const TOO_LONG: &str = "head too long";
/// Why a head cannot be made tidy.
const NOT_HTTP: &str = "not HTTP";
const ODD_FRAMING: &str = "an odd line about where the body ends";

/// What tells where a body ends.
const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
/// What may keep an answer from being stored.
const STORING: [&[u8]; 4] = [b"cache-control", b"vary", b"set-cookie", b"expires"];

/// The head at the start of `buf`, tidy, and how long it was; `None`: it is not complete. At most `limit` bytes of it.
pub fn head(buf: &[u8], limit: usize) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let start = buf.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(buf.len());
    if !begins_well(&buf[start..]) {
        return Err(NOT_HTTP);
    }
    let Some(length) = end(&buf[start..]).map(|end| start + end) else {
        return if buf.len() < limit { Ok(None) } else { Err(TOO_LONG) };
    };
    if length > limit {
        return Err(TOO_LONG);
    }
    let mut lines =
        buf[start..length].split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut out = Vec::with_capacity(length + 16);
    status(lines.next().unwrap_or_default(), &mut out)?;
    // A line, and whether it was folded.
    let mut last: Option<(Vec<u8>, bool)> = None;
    for line in lines.filter(|line| !line.is_empty()) {
        match (&mut last, line[0]) {
            // Not everybody unfolds: some would take it for a line.
            (Some(_), b' ' | b'\t') if is_framing(line) => return Err(ODD_FRAMING),
            (Some((text, folded)), b' ' | b'\t') => {
                text.truncate(text.trim_ascii_end().len());
                text.push(b' ');
                text.extend_from_slice(line.trim_ascii());
                *folded = true;
            }
            (None, b' ' | b'\t') => left_out(line, &mut out)?,
            _ => {
                if let Some((text, folded)) = last.replace((line.to_vec(), false)) {
                    field(&text, folded, &mut out)?;
                }
            }
        }
    }
    if let Some((text, folded)) = last {
        field(&text, folded, &mut out)?;
    }
    out.extend_from_slice(b"\r\n");
    Ok(Some((out, length)))
}

/// Whether it may become a status line, as far as it is there.
fn begins_well(buf: &[u8]) -> bool {
    [&b"HTTP/1."[..], b"ICY "].iter().any(|start| {
        let n = start.len().min(buf.len());
        start[..n].eq_ignore_ascii_case(&buf[..n])
    })
}

/// Where the empty line ends.
fn end(buf: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += buf[at..].iter().position(|byte| *byte == b'\n')? + 1;
        match &buf[at..] {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// `ICY` is how radio servers write HTTP/1.0; a higher minor version is read as the highest that is known (RFC 9110 section
/// 2.5).
fn status(line: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (version, rest) = match line {
        [b'I' | b'i', _, _, b' ', rest @ ..] => ("HTTP/1.0 ", rest),
        [_, _, _, _, _, _, _, minor @ b'0'..=b'9', b' ', rest @ ..] => {
            (if *minor == b'0' { "HTTP/1.0 " } else { "HTTP/1.1 " }, rest)
        }
        _ => return Err(NOT_HTTP),
    };
    let rest = rest.trim_ascii();
    let (code, reason) = rest.split_at_checked(3).ok_or(NOT_HTTP)?;
    if !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' || reason.first().is_some_and(|byte| *byte != b' ') {
        return Err(NOT_HTTP);
    }
    let reason = reason.trim_ascii();
    out.extend_from_slice(version.as_bytes());
    out.extend_from_slice(code);
    out.push(b' ');
    out.extend_from_slice(if reason.iter().any(is_control) { b"" } else { reason });
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn field(line: &[u8], folded: bool, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return left_out(line, out) };
    let (said, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let name = said.trim_ascii_end();
    if name.is_empty() || !name.iter().all(is_token) || value.iter().any(is_control) {
        return left_out(line, out);
    }
    if is_framing(line) && (folded || name != said) {
        return Err(ODD_FRAMING);
    }
    written::field(out, name, value);
    Ok(())
}

/// Whether it names what tells where a body ends, blanks around the name or not.
fn is_framing(line: &[u8]) -> bool {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
    line.len() > name.len() && FRAMING.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A line that is none. Who takes it for one must not read another message, and what it may have restricted is not stored.
fn left_out(line: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let legible: Vec<u8> =
        line.iter().filter(|b| b.is_ascii_alphanumeric() || **b == b'-').map(u8::to_ascii_lowercase).collect();
    let names = |names: &[&[u8]]| names.iter().any(|name| legible.windows(name.len()).any(|part| part == *name));
    if names(&FRAMING) {
        return Err(ODD_FRAMING);
    }
    if names(&STORING) {
        out.extend_from_slice(b"Cache-Control: no-store\r\n");
    }
    Ok(())
}

fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && *byte != b'\t'
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tidy(text: &str) -> Result<Option<String>, &'static str> {
        let read = head(text.as_bytes(), 4096)?;
        Ok(read.map(|(out, length)| {
            assert_eq!(length, text.len());
            String::from_utf8(out).unwrap()
        }))
    }

    #[test]
    fn odd_lines_are_mended_or_left_out() {
        for (lines, expected) in [
            ("A : b\r\n", "A: b\r\n"),
            ("A: b\r\n c\r\n\td\r\n", "A: b c d\r\n"),
            ("A: b \r\n   \r\nC: d\r\n", "A: b\r\nC: d\r\n"),
            ("A b\r\nC: d\n", "C: d\r\n"),
            (": b\r\n(: c\r\nA: \u{1}\r\n", ""),
            (" A: b\r\n", ""),
            ("Vary: \0\r\n", "Cache-Control: no-store\r\n"),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            assert_eq!(tidy(&text), Ok(Some(format!("HTTP/1.1 200 OK\r\n{expected}\r\n"))), "{lines:?}");
        }
    }

    #[test]
    fn status_lines_of_old_servers_are_read_and_others_are_not() {
        for (line, expected) in [
            ("ICY 200 OK", Some("HTTP/1.0 200 OK")),
            ("HTTP/1.0  404  Not  Here", Some("HTTP/1.0 404 Not  Here")),
            ("http/1.9 200", Some("HTTP/1.1 200 ")),
            ("HTTP/1.1 200 a\u{7}b", Some("HTTP/1.1 200 ")),
            ("HTTP/2 200 OK", None),
            ("HTTP/1.1 20 OK", None),
            ("HTTP/1.1 2000 OK", None),
            ("HTTP/1.1 099 OK", None),
            ("GET / HTTP/1.1", None),
            ("", None),
        ] {
            let got = tidy(&format!("{line}\r\n\r\n")).ok().flatten();
            assert_eq!(got, expected.map(|expected| format!("{expected}\r\n\r\n")), "{line}");
        }
    }

    #[test]
    fn a_head_is_partial_until_its_end_and_noise_is_refused_at_once() {
        let text = "\r\nICY 200 OK\r\nA : b\r\n\r\n";
        assert!((0..text.len()).all(|cut| tidy(&text[..cut]) == Ok(None)));
        assert_eq!(tidy("HTTQ"), Err(NOT_HTTP));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\nA : b", 16), Err(TOO_LONG));
    }
}
