//! PURE. How status lines and field lines are written (RFC 9112 sections 4 and 5).

use http::StatusCode;

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
