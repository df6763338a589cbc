//! PURE. How status lines and field lines are written (RFC 9112 sections 4 and 5), and chunks (section 7.1).

use http::{HeaderMap, StatusCode};

/// What follows the content of a chunk that is the last to have any: its end, and [`last_chunk`] without trailers.
pub const LAST_END: &[u8] = b"\r\n0\r\n\r\n";

/// Appends these, one after the other.
#[inline]
pub fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a field line.
#[inline]
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put(out, &[name, b": ", value, b"\r\n"]);
}

/// Appends a status line; `reason`: in place of the usual words.
#[inline]
pub fn status_line(out: &mut Vec<u8>, status: StatusCode, reason: Option<&[u8]>) {
    let reason = reason.or(status.canonical_reason().map(str::as_bytes)).unwrap_or_default();
    put(out, &[b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason, b"\r\n"]);
}

/// Appends the first line of a chunk.
pub fn chunk(length: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|at| b"0123456789abcdef"[(length >> (at * 4)) & 15]));
    out.extend_from_slice(b"\r\n");
}

/// Appends the chunk that ends them, with `trailers`.
pub fn last_chunk(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    chunk(0, out);
    for (name, value) in trailers.into_iter().flatten() {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_chunk_says_its_length_in_hexadecimal() {
        for length in [0, 1, 15, 16, 255, 256, 0x1a2b, 65_535, 1 << 40, usize::MAX] {
            let mut out = Vec::new();
            chunk(length, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{length:x}\r\n"));
        }
    }

    #[test]
    fn the_last_chunk_has_the_trailers_and_ends_the_message() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("\"a\""))]);
        for (trailers, expected) in [(None, "0\r\n\r\n"), (Some(&trailers), "0\r\netag: \"a\"\r\n\r\n")] {
            let mut out = Vec::new();
            last_chunk(trailers, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut end = b"\r\n".to_vec();
        last_chunk(None, &mut end);
        assert_eq!(LAST_END, end);
    }
}
