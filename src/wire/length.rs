//! PURE. How the content of a message is delimited (RFC 9112 section 6.3).

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none, whatever the fields say.
    #[default]
    None,
    Sized(u64),
    Chunked,
    /// All until the connection ends: answers only.
    UntilClose,
}
