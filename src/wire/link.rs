//! The fields that only the link carries (`docs/link.md`).

use super::fault::Blame;
use super::written;
use http::header::HeaderName;

/// What all of them begin with; both ends remove every such field before a message leaves the link.
pub const PREFIX: &str = "ringhold-";

/// To the node: `local` or `remote`, whether the client runs on the front's machine; behind that, what it is called.
pub const CLIENT: HeaderName = HeaderName::from_static("ringhold-client");

/// To the front: `local`, the answer came from an address that only clients on the same machine may reach.
pub const REACH: HeaderName = HeaderName::from_static("ringhold-reach");

/// To the node: the id and address of the node to be asked before the origin.
pub const PEER: HeaderName = HeaderName::from_static("ringhold-peer");

/// To the node: a probe that is longer than a packet, as its answer is to be: a way on which only small ones arrive is none.
pub const PADDING: HeaderName = HeaderName::from_static("ringhold-padding");
/// Bytes of it: more than an Ethernet packet has.
pub const PADDED: usize = 1600;

/// To the node: this connection is one client's alone, and so is the origin's that it is answered from (NTLM, Negotiate).
pub const PINNED: HeaderName = HeaderName::from_static("ringhold-pinned");

/// To the node, and from it to the owner that it asks: since when what it has of the URL counts ([`Tenure`]). From the owner to
/// the node that has asked it ([`PASSES`]), and from that one to the front ([`ASK`]). To the front that has had it renewed
/// ([`LENT`]).
pub const OWNER: HeaderName = HeaderName::from_static("ringhold-owner");
/// The owner stores nothing of it, so the origin may be asked.
pub const PASSES: &str = "passes";
/// Nothing was lent: the front is to ask the owner itself.
pub const ASK: &str = "ask";
/// What the answer takes the place of was lent: other nodes may have it.
pub const LENT: &str = "lent";

/// What a node says of the owner to a front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerWord {
    /// [`ASK`]
    Ask,
    /// [`LENT`]
    Lent,
}

impl OwnerWord {
    /// `None`: it says something else.
    pub fn read(value: &[u8]) -> Option<OwnerWord> {
        match value {
            _ if value == ASK.as_bytes() => Some(OwnerWord::Ask),
            _ if value == LENT.as_bytes() => Some(OwnerWord::Lent),
            _ => None,
        }
    }
}

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
/// [`REACH`] as a line that says so.
pub const REACH_LINE: &[u8] = b"ringhold-reach: local\r\n";
/// The value of [`CLIENT`] for a client on another machine.
pub const REMOTE: &str = "remote";

/// The value of [`CLIENT`] for a client that is called so.
pub fn client_said(is_local: bool, name: Option<[u8; 8]>) -> Vec<u8> {
    let place = if is_local { LOCAL } else { REMOTE }.as_bytes();
    name.map_or_else(|| place.to_vec(), |name| [place, b" ", &name].concat())
}

/// The same as a line.
pub fn client_line(is_local: bool, name: Option<[u8; 8]>) -> Vec<u8> {
    let mut line = Vec::with_capacity(48);
    written::field(&mut line, CLIENT.as_str().as_bytes(), &client_said(is_local, name));
    line
}

/// Whether [`REACH`] says that the origin is reached from the machine of who sends it alone.
pub fn is_reach_local(said: &[u8]) -> bool {
    said == LOCAL.as_bytes()
}

/// Whether [`CLIENT`] says that the client is on the machine of who sends it.
pub fn is_local(said: &[u8]) -> bool {
    said.strip_prefix(LOCAL.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b' ')))
}

/// What the client is called there; 0: it is not said.
pub fn client_name(said: &[u8]) -> u64 {
    let name = said.iter().position(|byte| *byte == b' ').and_then(|blank| said.get(blank + 1..blank + 9));
    name.and_then(|name| name.try_into().ok()).map_or(0, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use crate::wire::field::{FieldId, Traits};

    #[test]
    fn what_is_said_of_a_client_is_understood() {
        for (local, name, line) in [
            (true, None, "ringhold-client: local\r\n"),
            (false, Some(*b"0123abcd"), "ringhold-client: remote 0123abcd\r\n"),
            (true, Some(*b"ffffffff"), "ringhold-client: local ffffffff\r\n"),
        ] {
            let written = super::client_line(local, name);
            assert_eq!(String::from_utf8_lossy(&written), line);
            let said = line.trim_end().split_once(": ").unwrap().1.as_bytes();
            assert_eq!((super::is_local(said), super::client_name(said)), (local, name.map_or(0, u64::from_be_bytes)));
        }
        for odd in ["", "locally", "local ", "local abc", "remote"] {
            assert_eq!(
                (super::is_local(odd.as_bytes()), super::client_name(odd.as_bytes())),
                (odd.starts_with("local") && odd != "locally", 0)
            );
        }
    }

    #[test]
    fn every_field_of_the_link_is_one_for_who_reads_heads() {
        let all = [
            (super::CLIENT, FieldId::LinkClient),
            (super::REACH, FieldId::LinkReach),
            (super::PEER, FieldId::LinkPeer),
            // Nobody looks for it.
            (super::PADDING, FieldId::LinkOther),
            (super::PINNED, FieldId::LinkPinned),
            (super::OWNER, FieldId::LinkOwner),
            (super::AGE, FieldId::LinkAge),
            (super::ASKER, FieldId::LinkAsker),
            (super::TELLER, FieldId::LinkTeller),
            (super::LENGTH, FieldId::LinkLength),
            (super::FAULT, FieldId::LinkFault),
        ];
        for (name, id) in &all {
            assert_eq!(FieldId::of(name.as_str().as_bytes()), *id, "{name}");
            assert!(name.as_str().starts_with(super::PREFIX) && id.is(Traits::LINK), "{name}");
        }
        for id in (0..FieldId::CODES as u8).map(FieldId::of_code).filter(|id| id.is(Traits::LINK)) {
            assert!(all.iter().any(|(_, of)| *of == id), "{} is written by nobody", id.name());
        }
        assert_eq!(super::REACH_LINE, format!("{}: {}\r\n", super::REACH, super::LOCAL).as_bytes());
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
