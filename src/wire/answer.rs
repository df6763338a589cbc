//! The answers of HTTP/1.1 servers, read from bytes (RFC 9112): the head, its field lines as they were sent, and the chunked
//! coding. For clients that pass them on: the front's on the link, and the node's at origins.

pub mod chunked;
pub mod content;
pub mod decode;
pub mod fields;
pub mod tidy;
