//! PURE. How long a stored head may be.

use http::HeaderMap;

/// What a front may add to a head that it has accepted, and a node to one that it answers with: `Via`, `Forwarded`-like and
/// link fields.
const LINK_BYTES: usize = 4096;
const LINK_FIELDS: usize = 32;

/// What a front takes of a node's answer (`limits.head`, `limits.fields`): a longer one would be blamed on the node.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    pub bytes: usize,
    pub fields: usize,
}

impl HeadLimits {
    /// With room for what is added on the link.
    pub fn on_link(self) -> HeadLimits {
        let HeadLimits { bytes, fields } = self;
        HeadLimits { bytes: bytes.saturating_add(LINK_BYTES), fields: fields.saturating_add(LINK_FIELDS) }
    }

    /// Whether a head with these fields is none too long, however they came about.
    pub fn allow(self, headers: &HeaderMap) -> bool {
        // A line has a colon, a space and a line end; the status line is short, and what we add has room of its own.
        let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        headers.len() <= self.fields && length <= self.bytes
    }
}
