//! What ringhold needs to know of a certificate of its own (RFC 5280): whose it is, how long it is valid, and the names that it
//! may sign for. This reads; it verifies nothing.

use super::civil::Civil;
use super::date::Timestamp;
use super::https::name::{Name, is_below};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A certificate, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The last common name of its subject; empty where it has none.
    pub common_name: String,
    /// With this second.
    pub not_before: Timestamp,
    /// With this second.
    pub not_after: Timestamp,
    /// SubjectPublicKeyInfo, as DER.
    pub public_key: Vec<u8>,
    /// The subject key identifier; empty where it has none.
    pub key_id: Vec<u8>,
    pub permitted: Permitted,
}

/// What its name constraints permit (RFC 5280 section 4.2.1.10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permitted {
    /// Each with all names below it.
    pub names: Vec<String>,
    pub addresses: Vec<IpAddr>,
}

impl Permitted {
    pub fn has(&self, name: &Name) -> bool {
        match name {
            Name::Exact(name) | Name::Below(name) => self.names.iter().any(|own| *own == **name || is_below(name, own)),
            Name::Ip(ip) => self.addresses.contains(ip),
        }
    }
}

/// SHA-256, as `openssl x509 -fingerprint` writes it.
pub fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// In name constraints, and in the names there.
const PERMITTED: u8 = 0xa0;
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 29, 14];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 29, 30];

impl Certificate {
    /// `None`: it is none, or one that ringhold has not made. Never panics.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let (certificate, _) = one(der, SEQUENCE)?;
        let (mut rest, _) = one(certificate, SEQUENCE)?;
        for tag in [VERSION, INTEGER, SEQUENCE, SEQUENCE] {
            rest = one(rest, tag)?.1;
        }
        let (validity, rest) = one(rest, SEQUENCE)?;
        let (subject, rest) = one(rest, SEQUENCE)?;
        let (key, rest) = element(rest).filter(|(element, _)| element.tag == SEQUENCE)?;
        let extensions = one(one(rest, EXTENSIONS)?.0, SEQUENCE)?.0;
        let key_id = extension(extensions, SUBJECT_KEY_IDENTIFIER).and_then(|id| Some(one(id, OCTETS)?.0.to_vec()));
        let (not_before, rest) = element(validity)?;
        let (not_after, _) = element(rest)?;
        Some(Certificate {
            common_name: common_name(subject)?,
            not_before: time(&not_before)?,
            not_after: time(&not_after)?,
            public_key: key.whole.to_vec(),
            key_id: key_id.unwrap_or_default(),
            permitted: extension(extensions, NAME_CONSTRAINTS).map_or(Some(Permitted::default()), permitted)?,
        })
    }
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// With tag and length.
    whole: &'a [u8],
}

/// The first element, and what follows it (X.690 section 8.1, lengths as DER has them).
fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, content) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = content.split_at_checked(length)?;
    let whole = der.get(..der.len() - rest.len())?;
    Some((Element { tag, content, whole }, rest))
}

/// The content of the first element, which has to be of that kind, and what follows it.
fn one(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = element(der)?;
    (first.tag == tag).then_some((first.content, rest))
}

fn each(mut der: &[u8]) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let (first, rest) = element(der)?;
        der = rest;
        Some(first)
    })
}

fn extension<'a>(extensions: &'a [u8], id: &[u8]) -> Option<&'a [u8]> {
    each(extensions).find_map(|extension| {
        let (own, rest) = one(extension.content, OID)?;
        let value = each(rest).find(|part| part.tag == OCTETS)?;
        (own == id).then_some(value.content)
    })
}

fn common_name(subject: &[u8]) -> Option<String> {
    let names = each(subject).filter(|set| set.tag == SET).filter_map(|set| {
        let (id, value) = one(one(set.content, SEQUENCE)?.0, OID)?;
        (id == COMMON_NAME).then_some(element(value)?.0.content)
    });
    names.last().map_or(Some(String::new()), |name| String::from_utf8(name.to_vec()).ok())
}

/// RFC 5280 section 4.1.2.5: both end in seconds and `Z`; two digits of a year below 50 are of this century.
fn time(element: &Element<'_>) -> Option<Timestamp> {
    let text = element.content.strip_suffix(b"Z").filter(|text| text.iter().all(u8::is_ascii_digit))?;
    let two = |at: usize| text.get(at..at + 2).map(|d| u32::from(d[0] - b'0') * 10 + u32::from(d[1] - b'0'));
    let (year, rest) = match (element.tag, text.len()) {
        (UTC_TIME, 12) => (two(0)? + if two(0)? < 50 { 2000 } else { 1900 }, 2),
        (GENERALIZED_TIME, 14) => (two(0)? * 100 + two(2)?, 4),
        _ => return None,
    };
    let part = |at: usize| two(rest + 2 * at);
    let month = part(0)?.checked_sub(1).filter(|month| *month < 12)?;
    let second = part(2)? * 3600 + part(3)? * 60 + part(4)?;
    Civil { year: year.max(1), month, day: part(1)?, second }.seconds().map(Timestamp::from_seconds)
}

fn permitted(constraints: &[u8]) -> Option<Permitted> {
    let mut found = Permitted::default();
    let Some(subtrees) = each(one(constraints, SEQUENCE)?.0).find(|part| part.tag == PERMITTED) else {
        return Some(found);
    };
    for subtree in each(subtrees.content) {
        let base = element(subtree.content)?.0;
        match base.tag {
            DNS_NAME => found.names.push(std::str::from_utf8(base.content).ok()?.to_ascii_lowercase()),
            IP_ADDRESS => found.addresses.push(address(base.content)?),
            _ => return None,
        }
    }
    Some(found)
}

/// One whole address and the mask of it.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    let (ip, mask) = bytes.split_at(bytes.len() / 2);
    let whole = mask.iter().all(|byte| *byte == 0xff);
    let v4 = || <[u8; 4]>::try_from(ip).ok().map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
    let v6 = || <[u8; 16]>::try_from(ip).ok().map(|ip| IpAddr::V6(Ipv6Addr::from(ip)));
    v4().or_else(v6).filter(|_| whole && ip.len() == mask.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timed(tag: u8, text: &str) -> Option<u64> {
        let content = text.as_bytes();
        time(&Element { tag, content, whole: content }).map(Timestamp::seconds)
    }

    #[test]
    fn times_are_read_in_both_forms() {
        for (tag, text, seconds) in [
            (UTC_TIME, "261129124937Z", Some(1_795_956_577)),
            (GENERALIZED_TIME, "20261129124937Z", Some(1_795_956_577)),
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "2611291249Z", None),
            (UTC_TIME, "261329124937Z", None),
            (UTC_TIME, "260001124937Z", None),
            (UTC_TIME, "26112912493xZ", None),
            (GENERALIZED_TIME, "20261129124937", None),
            (INTEGER, "261129124937Z", None),
        ] {
            assert_eq!(timed(tag, text), seconds, "{text}");
        }
    }

    #[test]
    fn only_whole_addresses_are_permitted() {
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(address(&[192, 0, 2, 1, 255, 255, 255, 255]), Some(ip));
        assert_eq!(address(&[192, 0, 2, 0, 255, 255, 255, 0]), None);
        assert_eq!(address(&[192, 0, 2, 1, 255, 255, 255]), None);
        assert_eq!(address(&[]), None);
    }

    #[test]
    fn a_name_is_permitted_with_all_below_it() {
        let permitted =
            Permitted { names: vec!["a.example".to_owned()], addresses: vec!["192.0.2.1".parse().unwrap()] };
        for (name, has) in [
            ("a.example", true),
            ("b.a.example", true),
            ("*.a.example", true),
            ("*.b.a.example", true),
            ("xa.example", false),
            ("example", false),
            ("*.example", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(permitted.has(&Name::parse(name).unwrap()), has, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_panic_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Certificate::read(&bytes);
            let _ = permitted(&bytes);
            let _ = each(&bytes).count();
        }
    }
}
