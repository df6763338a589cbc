//! The fields that only the link carries (`docs/link.md`).

use super::fault::Blame;
use http::header::HeaderName;

/// What all of them begin with; both ends remove every such field before a message leaves the link.
pub const PREFIX: &str = "ringhold-";

/// To the node: `local` or `remote`, whether the client runs on the front's machine.
pub const CLIENT: HeaderName = HeaderName::from_static("ringhold-client");

/// To the front: `local`, the answer came from an address that only clients on the same machine may reach.
pub const REACH: HeaderName = HeaderName::from_static("ringhold-reach");

/// To the node: the id and address of the node to be asked before the origin.
pub const PEER: HeaderName = HeaderName::from_static("ringhold-peer");

/// To the node: this connection is one client's alone, and so is the origin's that it is answered from (NTLM, Negotiate).
pub const PINNED: HeaderName = HeaderName::from_static("ringhold-pinned");

/// To the node, beside [`PEER`]: that one is the owner, which renews for both.
pub const OWNER: HeaderName = HeaderName::from_static("ringhold-owner");

/// From one node to another that asks it: the age of the answer in milliseconds, `Age` being cut to seconds.
pub const AGE: HeaderName = HeaderName::from_static("ringhold-age");

/// From one node to another: the id of the node that asks. The other one answers from what it has, and asks no other node;
/// nor the origin, where `only-if-cached` says so.
pub const ASKER: HeaderName = HeaderName::from_static("ringhold-asker");

/// From one front to another: the proof that what follows may be told.
pub const TELLER: HeaderName = HeaderName::from_static("ringhold-teller");

/// To the front: how long the body is that comes in chunks, so that its end can tell whose fault it was when it breaks off.
pub const LENGTH: HeaderName = HeaderName::from_static("ringhold-length");

/// To the front: whose fault an error is that the node answers with, or that it already knows the body to end with.
pub const FAULT: HeaderName = HeaderName::from_static("ringhold-fault");

/// What stands in place of the size of a chunk where a body breaks off: the same as [`FAULT`], behind this mark. No receiver
/// takes it for a chunk, so whoever does not know it sees a broken transfer.
pub const BROKEN: u8 = b'!';

/// The line that ends such a body.
pub fn broken(blame: Blame) -> String {
    format!("{}{blame}\r\n", char::from(BROKEN))
}

/// The value of [`PEER`] for a node; `None` where it cannot stand in a field.
pub fn introduction(id: &str, address: &str) -> Option<Box<str>> {
    let value = format!("{id} {address}");
    value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()).then(|| value.into())
}

/// The id and the address that [`introduction`] wrote.
pub fn introduced(value: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(value).ok()?.split_once(' ').filter(|(id, address)| !id.is_empty() && !address.is_empty())
}

/// The value of [`CLIENT`] and [`REACH`] that says: on this machine only.
pub const LOCAL: &str = "local";
/// The value of [`CLIENT`] for a client on another machine.
pub const REMOTE: &str = "remote";

#[cfg(test)]
mod tests {
    #[test]
    fn every_field_of_the_link_begins_with_the_prefix() {
        let all = [super::CLIENT, super::REACH, super::PEER, super::OWNER, super::AGE, super::ASKER];
        let more = [super::TELLER, super::PINNED, super::LENGTH, super::FAULT];
        for name in all.iter().chain(&more) {
            assert!(name.as_str().starts_with(super::PREFIX), "{name}");
        }
    }

    #[test]
    fn a_peer_that_was_introduced_is_understood() {
        for (id, address) in [("n1", "unix:/run/my nodes/n1.sock"), ("rack-2", "[2001:db8::1]:5003"), ("a", "h:1")] {
            let value = super::introduction(id, address).unwrap();
            assert_eq!(super::introduced(value.as_bytes()), Some((id, address)));
        }
        assert_eq!(super::introduction("n1", "unix:/a\r\nx: y"), None);
        assert_eq!(super::introduction("n1", "unix:/run/n\u{e9}.sock"), None);
        for odd in [&b""[..], b"n1", b"n1 ", b" h:1", b"n1 \xff"] {
            assert_eq!(super::introduced(odd), None, "{odd:?}");
        }
    }
}
