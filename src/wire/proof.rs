//! PURE. How a front and a node prove to each other that they know the cluster's secret (`docs/link.md`, Trust on TCP).

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Sha256;

/// Asks for the node's nonce; `GET`.
pub const HELLO: &str = "/hello";
/// Carries the front's proof; `POST`.
pub const PROVE: &str = "/prove";
/// The protocol that a front takes up where its clients come, when another front says [`HELLO`]: TLS, and the same inside.
pub const LINK: &str = "ringhold-link";

/// Random, and used once.
pub type Nonce = Hex<16>;
/// HMAC-SHA256.
pub type Tag = Hex<32>;
/// What one TLS connection has that no other has (RFC 9266): both of its ends know it, and nobody between them has it on both
/// sides.
pub type Binding = [u8; 32];

/// The end of a nonce whose maker can speak TLS, as RFC 8446 section 4.1.3 does it: both nonces are in both macs, so nobody
/// between the two can take it away, and who knows nothing of it takes it for a part of the nonce.
const ABLE: &[u8; 8] = b"link-tls";

/// What the node answers to [`HELLO`]: its challenge, and who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub nonce: Nonce,
    pub id: String,
    pub boot: u64,
}

/// The node that is proved to, and on which connection: what passes a proof on to another node gets nowhere, since that one is
/// another; nor what ends TLS on both sides, since it has two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party<'a> {
    pub id: &'a str,
    /// Of its process.
    pub boot: u64,
    /// `None`: the connection is in clear.
    pub tls: Option<&'a Binding>,
}

/// The front's proof and its own challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prove {
    pub nonce: Nonce,
    pub mac: Tag,
}

/// The node's proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proved {
    pub mac: Tag,
}

/// Who proves. Part of what is signed, so that nobody's proof can be sent back as the other's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Front,
    Node,
}

/// Bytes, written as hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// The proof of one side: `challenge` is the other side's nonce, `own` its own.
pub fn prove(secret: &str, side: Side, node: Party<'_>, challenge: &Nonce, own: &Nonce) -> Tag {
    Hex(signed(secret, side, node, challenge, own).finalize().into_bytes().into())
}

/// Whether that is the proof; takes the same time whatever is wrong with it.
pub fn holds(tag: &Tag, secret: &str, side: Side, node: Party<'_>, challenge: &Nonce, own: &Nonce) -> bool {
    signed(secret, side, node, challenge, own).verify(&tag.0.into()).is_ok()
}

/// The parts need no separators: all but the last have a fixed length, and no label begins as another one goes on.
fn signed(secret: &str, side: Side, node: Party<'_>, challenge: &Nonce, own: &Nonce) -> Hmac<Sha256> {
    let label: &[u8] = match (side, node.tls) {
        (Side::Front, None) => b"ringhold front",
        (Side::Node, None) => b"ringhold node",
        (Side::Front, Some(_)) => b"ringhold tls front",
        (Side::Node, Some(_)) => b"ringhold tls node",
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(label);
    mac.update(&challenge.0);
    mac.update(&own.0);
    mac.update(node.tls.map_or(&[][..], |binding| binding));
    mac.update(&node.boot.to_be_bytes());
    mac.update(node.id.as_bytes());
    mac
}

/// The proof that a text was written by who knows the secret. The label says what the text is; it goes on where no
/// label of a [`Side`] does.
pub fn seal(secret: &str, label: &str, text: &[u8]) -> Tag {
    Hex(labelled(secret, label, text).finalize().into_bytes().into())
}

/// Whether that is its proof; takes the same time whatever is wrong with it.
pub fn is_sealed(tag: &Tag, secret: &str, label: &str, text: &[u8]) -> bool {
    labelled(secret, label, text).verify(&tag.0.into()).is_ok()
}

/// No label contains a line feed.
fn labelled(secret: &str, label: &str, text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(label.as_bytes());
    mac.update(b"\n");
    mac.update(text);
    mac
}

impl Nonce {
    /// The same of who can speak TLS on its links.
    pub fn of_able(mut self) -> Nonce {
        self.0[16 - ABLE.len()..].copy_from_slice(ABLE);
        self
    }

    /// Whether who made it can.
    pub fn is_of_able(&self) -> bool {
        self.0.ends_with(ABLE)
    }
}

impl<const N: usize> Hex<N> {
    /// `None`: not exactly `2 * N` hex digits.
    pub fn parse(text: &str) -> Option<Hex<N>> {
        let digits = text.as_bytes();
        let mut bytes = [0; N];
        if digits.len() != 2 * N {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hex(bytes))
    }
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|d| d as u8)
}

impl<const N: usize> std::fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Hex<N>, D::Error> {
        let text = String::deserialize(from)?;
        Hex::parse(&text).ok_or_else(|| de::Error::custom(format!("{} hex digits are expected", 2 * N)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn nonce(byte: u8) -> Nonce {
        Hex([byte; 16])
    }

    const NODE_1: Party<'_> = Party { id: "n1", boot: 7, tls: None };
    const ON_TLS: Party<'_> = Party { tls: Some(&[3; 32]), ..NODE_1 };

    /// Worked out elsewhere, with `printf 'ringhold front%b%b%bn1' … | openssl dgst -sha256 -hmac SECRET`.
    #[test]
    fn proofs_are_those_of_the_protocol() {
        let rows = [
            (SECRET, Side::Front, NODE_1, FRONT),
            (SECRET, Side::Node, NODE_1, NODE),
            // RFC 2104 section 2: a key longer than a block is hashed first.
            (LONG, Side::Front, NODE_1, FRONT_LONG),
            (SECRET, Side::Front, ON_TLS, FRONT_TLS),
            (SECRET, Side::Node, ON_TLS, NODE_TLS),
        ];
        for (secret, side, node, expected) in rows {
            let tag = prove(secret, side, node, &nonce(1), &nonce(2));
            assert_eq!(tag.to_string(), expected, "{side:?} {node:?}");
            assert!(holds(&tag, secret, side, node, &nonce(1), &nonce(2)), "{side:?} {node:?}");
        }
    }

    const LONG: &str =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    const FRONT: &str = "c57a9db77f661c5db04215f7d36c6465ee7c1080f2392f29c51f79078ad48872";
    const NODE: &str = "1719129c804132fb4e2a5011eb65f3b2aac4c0ece9d8924a7a20358079062de6";
    const FRONT_LONG: &str = "2db6f4b3796eda4782e90ac72a5ed158ae6c9b25f082f40dc1c8ada780956d04";

    const FRONT_TLS: &str = "8770a2372e04e87ce1de697c81468abe69ea39210ccead3f64019cae4bc253d0";
    const NODE_TLS: &str = "a3351b837f8a26e93cd3db3289ea3124df80174b09ffdf5d837977674f9d2678";

    #[test]
    fn a_proof_holds_for_its_secret_its_side_and_its_nonces_only() {
        let tag = prove(SECRET, Side::Front, NODE_1, &nonce(1), &nonce(2));
        for (id, boot) in [("n2", 7), ("n1", 8), ("n", 7), ("n11", 7), ("", 7), ("1", 7)] {
            let node = Party { id, boot, ..NODE_1 };
            assert!(!holds(&tag, SECRET, Side::Front, node, &nonce(1), &nonce(2)), "passed on to {node:?}");
        }
        assert!(!holds(&tag, SECRET, Side::Front, ON_TLS, &nonce(1), &nonce(2)), "taken into TLS");
        let inside = prove(SECRET, Side::Front, ON_TLS, &nonce(1), &nonce(2));
        let another = Party { tls: Some(&[4; 32]), ..NODE_1 };
        for node in [NODE_1, another] {
            assert!(!holds(&inside, SECRET, Side::Front, node, &nonce(1), &nonce(2)), "taken out of its TLS: {node:?}");
        }
        let mut bent = tag;
        bent.0[31] ^= 1;
        let rows = [
            ("as it is", tag, SECRET, Side::Front, 1, 2, true),
            ("another secret", tag, "0123456789abcdeF", Side::Front, 1, 2, false),
            ("a longer secret", tag, "0123456789abcdef0", Side::Front, 1, 2, false),
            ("sent back by the node", tag, SECRET, Side::Node, 1, 2, false),
            ("sent back with the nonces exchanged", tag, SECRET, Side::Node, 2, 1, false),
            ("the nonces exchanged", tag, SECRET, Side::Front, 2, 1, false),
            ("replayed to another challenge", tag, SECRET, Side::Front, 3, 2, false),
            ("another own nonce", tag, SECRET, Side::Front, 1, 3, false),
            ("one bit off", bent, SECRET, Side::Front, 1, 2, false),
        ];
        for (what, tag, secret, side, challenge, own, expected) in rows {
            assert_eq!(holds(&tag, secret, side, NODE_1, &nonce(challenge), &nonce(own)), expected, "{what}");
        }
    }

    #[test]
    fn a_nonce_says_whether_its_maker_can_speak_tls_and_stays_random_before_that() {
        let able = nonce(1).of_able();
        assert_eq!(able.to_string(), "01010101010101016c696e6b2d746c73");
        assert!(able.is_of_able() && !nonce(1).is_of_able());
        for at in 8..16 {
            let mut bent = able;
            bent.0[at] ^= 1;
            assert!(!bent.is_of_able(), "{at}");
        }
    }

    #[test]
    fn messages_are_json_with_hex_digits() {
        let prove = Prove { nonce: nonce(0xab), mac: Hex([0x0f; 32]) };
        let json = serde_json::to_string(&prove).unwrap();
        assert_eq!(json, format!(r#"{{"nonce":"{}","mac":"{}"}}"#, "ab".repeat(16), "0f".repeat(32)));
        assert_eq!(serde_json::from_str::<Prove>(&json).unwrap(), prove);
    }

    #[test]
    fn what_is_not_so_many_hex_digits_is_refused() {
        assert_eq!(Nonce::parse(&"aB".repeat(16)), Some(nonce(0xab)));
        let multibyte = format!("{}é", "a".repeat(30));
        for text in ["", "00", &"0".repeat(31), &"0".repeat(33), &"0".repeat(34), &"+f".repeat(16), &"0g".repeat(16)] {
            assert_eq!(Nonce::parse(text), None, "{text}");
        }
        assert_eq!(Nonce::parse(&multibyte), None);
    }
}
