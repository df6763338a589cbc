//! The fields that only the link carries (`docs/link.md`).

use http::header::HeaderName;

/// What all of them begin with; both ends remove every such field before a message leaves the link.
pub const PREFIX: &str = "ringhold-";

/// To the node: `local` or `remote`, whether the client runs on the front's machine.
pub const CLIENT: HeaderName = HeaderName::from_static("ringhold-client");

/// To the front: `local`, the answer came from an address that only clients on the same machine may reach.
pub const REACH: HeaderName = HeaderName::from_static("ringhold-reach");

/// The value of [`CLIENT`] and [`REACH`] that says: on this machine only.
pub const LOCAL: &str = "local";
/// The value of [`CLIENT`] for a client on another machine.
pub const REMOTE: &str = "remote";

#[cfg(test)]
mod tests {
    #[test]
    fn every_field_of_the_link_begins_with_the_prefix() {
        for name in [super::CLIENT, super::REACH] {
            assert!(name.as_str().starts_with(super::PREFIX), "{name}");
        }
    }
}
