//! The certificates that stand for hosts: signed here, without asking the host, and kept for as long as they are good.

use super::ca::{AuthorityTrouble, BACK, CertificateAuthority};
use crate::wire::date::Timestamp;
use crate::wire::https::name::Name;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// From its first second to its last, [`BACK`] included.
const LIFE: Duration = Duration::from_secs(14 * 86_400);
/// So many hosts' certificates are kept; the one that was not asked for the longest goes.
const KEPT: usize = 1024;

/// Signs for hosts, and keeps what it has signed.
///
/// One for a front, made at its start and shared by its workers. Interception asks [`Leaves::of`] once for each client
/// connection, after the ClientHello and before its own: what comes back is the server's certificate chain, and the one
/// private key of this process, [`Leaves::key`], belongs to all of them. What is [`Unsigned`] is tunnelled.
///
/// The key is made at the start and never written: it is nobody else's, and not that of the authority.
pub struct Leaves {
    authorities: Vec<CertificateAuthority>,
    key: KeyPair,
    kept: Mutex<Kept>,
}

/// A host's certificate.
#[derive(Debug)]
pub struct Leaf {
    /// The host's certificate and the signer's, as DER, in the order in which TLS sends them (RFC 8446 section 4.4.2). The root
    /// is the client's.
    pub chain: [Vec<u8>; 2],
    not_before: Timestamp,
    made: Timestamp,
    not_after: Timestamp,
}

/// Why there is no certificate for a host: it is to be tunnelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// No authority is permitted to sign for it; clients would refuse what it signs.
    Outside,
    /// Those that are permitted have come to their end.
    Ended,
    /// It is no name and no address.
    NoHost,
    /// A fault of ours.
    Failed(AuthorityTrouble),
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsigned::Outside => f.write_str(
                "the certificate authority may not sign for it: make one that may with `ringhold ca init --next`",
            ),
            Unsigned::Ended => f.write_str(
                "the certificate authority has come to its end: make a new one with `ringhold ca init --next`, and restart",
            ),
            Unsigned::NoHost => f.write_str("no certificate can name it"),
            Unsigned::Failed(trouble) => trouble.fmt(f),
        }
    }
}

impl Leaves {
    /// The first authority that is permitted to sign for a host does.
    pub fn new(authorities: Vec<CertificateAuthority>) -> Result<Leaves, AuthorityTrouble> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|cause| AuthorityTrouble(format!("a key cannot be made: {cause}")))?;
        Ok(Leaves { authorities, key, kept: Mutex::default() })
    }

    /// The private key of all certificates here; PKCS #8, DER.
    pub fn key(&self) -> Vec<u8> {
        self.key.serialize_der()
    }

    pub fn authorities(&self) -> &[CertificateAuthority] {
        &self.authorities
    }

    /// The certificate of a host: a name in any letter case, or an address without brackets. `now` is the wall clock, by which
    /// clients judge it. No lock is held while it is signed, so two who ask at once may both sign, and share one.
    pub fn of(&self, host: &str, now: Timestamp) -> Result<Arc<Leaf>, Unsigned> {
        let name = match Name::parse(host) {
            None | Some(Name::Below(_)) => return Err(Unsigned::NoHost),
            Some(name) => name,
        };
        let text = name.to_string();
        if let Some(leaf) = self.kept().get(&text, now) {
            return Ok(leaf);
        }
        let leaf = Arc::new(self.sign(&name, now)?);
        Ok(self.kept().put(text, leaf, now))
    }

    /// Why there is no certificate for a host; `None`: there is one, or could be. Nothing is signed.
    pub fn why_not(&self, host: &str, now: Timestamp) -> Option<Unsigned> {
        match Name::parse(host) {
            None | Some(Name::Below(_)) => Some(Unsigned::NoHost),
            Some(name) => self.signer(&name, now).err(),
        }
    }

    /// How many certificates are kept.
    pub fn count(&self) -> usize {
        self.kept().leaves.len()
    }

    fn signer(&self, name: &Name, now: Timestamp) -> Result<&CertificateAuthority, Unsigned> {
        let mut permitted = self.authorities.iter().filter(|authority| authority.permitted().has(name)).peekable();
        if permitted.peek().is_none() {
            return Err(Unsigned::Outside);
        }
        permitted.find(|authority| !authority.has_ended(now)).ok_or(Unsigned::Ended)
    }

    fn sign(&self, name: &Name, now: Timestamp) -> Result<Leaf, Unsigned> {
        let authority = self.signer(name, now)?;
        let not_before = Timestamp::from_seconds(now.seconds().saturating_sub(BACK.as_secs()));
        let not_after = Timestamp::from_seconds(not_before.seconds() + LIFE.as_secs()).min(authority.end());
        let own = authority.sign(name, not_before, not_after, &self.key).map_err(Unsigned::Failed)?;
        Ok(Leaf { chain: [own, authority.signer().to_vec()], not_before, made: now, not_after })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leaf {
    /// Until half of what it had to live when it was made is over; a clock that was set back makes it too new.
    fn is_good(&self, now: Timestamp) -> bool {
        let half = self.not_after.millis_since(self.made) / 2;
        now >= self.not_before && now.millis_since(self.made) < half
    }
}

/// By name, each with the turn at which it was last asked for.
#[derive(Default)]
struct Kept {
    leaves: HashMap<String, (Arc<Leaf>, u64)>,
    turn: u64,
}

impl Kept {
    fn get(&mut self, name: &str, now: Timestamp) -> Option<Arc<Leaf>> {
        self.turn += 1;
        let (leaf, turn) = self.leaves.get_mut(name).filter(|(leaf, _)| leaf.is_good(now))?;
        *turn = self.turn;
        Some(leaf.clone())
    }

    /// What another has put there meanwhile stays.
    fn put(&mut self, name: String, leaf: Arc<Leaf>, now: Timestamp) -> Arc<Leaf> {
        if let Some(there) = self.get(&name, now) {
            return there;
        }
        // The search is as long as a tenth of what it took to sign.
        if self.leaves.len() >= KEPT && !self.leaves.contains_key(&name) {
            let oldest = self.leaves.iter().min_by_key(|(_, (_, turn))| *turn).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| self.leaves.remove(&oldest));
        }
        self.leaves.insert(name, (leaf.clone(), self.turn));
        leaf
    }
}

#[cfg(test)]
mod tests {
    use super::super::ca::make;
    use super::*;
    use crate::wire::x509::Certificate;

    const NOW: Timestamp = Timestamp(1_795_956_577_000);
    const DAY: u64 = 86_400_000;

    fn authority(names: &[&str]) -> CertificateAuthority {
        let names: Vec<Name> = names.iter().map(|name| Name::parse(name).unwrap()).collect();
        CertificateAuthority::open(make(&names, NOW).unwrap(), "test").unwrap()
    }

    fn leaves(names: &[&str]) -> Leaves {
        Leaves::new(vec![authority(names)]).unwrap()
    }

    fn later(days: u64) -> Timestamp {
        Timestamp(NOW.0 + days * DAY)
    }

    #[test]
    fn one_certificate_serves_a_host_until_half_its_life_is_over() {
        let leaves = leaves(&["a.example"]);
        let first = leaves.of("a.example", NOW).unwrap();
        let about = Certificate::read(&first.chain[0]).unwrap();
        assert_eq!(about.not_before.seconds(), NOW.seconds() - 2 * 86_400);
        assert_eq!(about.not_after.seconds(), NOW.seconds() + 12 * 86_400);
        assert_eq!(about.common_name, "a.example");
        assert!(Arc::ptr_eq(&first, &leaves.of("A.Example", Timestamp(later(6).0 - 1)).unwrap()));
        let second = leaves.of("a.example", later(6)).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(leaves.count(), 1);
        let back = leaves.of("a.example", later(4)).unwrap();
        assert!(Arc::ptr_eq(&back, &second), "its first second is two days before it was made");
        assert!(!Arc::ptr_eq(&second, &leaves.of("a.example", NOW).unwrap()), "the clock was set back");
    }

    #[test]
    fn a_host_that_no_authority_may_sign_for_gets_nothing() {
        let leaves = leaves(&["a.example", "192.0.2.1"]);
        for (host, why) in [
            ("b.example", Unsigned::Outside),
            ("192.0.2.2", Unsigned::Outside),
            ("2001:db8::1", Unsigned::Outside),
            ("*.a.example", Unsigned::NoHost),
            ("a.example.", Unsigned::NoHost),
            ("", Unsigned::NoHost),
            ("a b", Unsigned::NoHost),
        ] {
            assert_eq!(leaves.of(host, NOW).unwrap_err(), why, "{host}");
        }
        assert!(leaves.of("192.0.2.1", NOW).is_ok() && leaves.of("x.a.example", NOW).is_ok());
    }

    #[test]
    fn a_second_authority_signs_what_the_first_may_not_and_when_that_has_ended() {
        let (first, second) = (authority(&["a.example"]), authority(&["a.example", "b.example"]));
        let signers = [first.signer().to_vec(), second.signer().to_vec()];
        let end = first.end();
        let leaves = Leaves::new(vec![first, second]).unwrap();
        assert_eq!(leaves.of("a.example", NOW).unwrap().chain[1], signers[0]);
        assert_eq!(leaves.of("b.example", NOW).unwrap().chain[1], signers[1]);
        let last = leaves.of("a.example", Timestamp(end.0 - DAY)).unwrap();
        assert_eq!(Certificate::read(&last.chain[0]).unwrap().not_after, end, "no longer than its signer");
        let again = leaves.of("a.example", Timestamp(end.0 - DAY + 1_000)).unwrap();
        assert!(Arc::ptr_eq(&last, &again), "and kept as any other is");
        assert_eq!(leaves.of("a.example", Timestamp(end.0 + 10_000)).unwrap_err(), Unsigned::Ended);
    }

    #[test]
    fn a_name_too_long_for_a_common_name_is_named_beside_it() {
        let leaves = leaves(&["example"]);
        let long = format!("{}.{}.example", "a".repeat(40), "b".repeat(40));
        let about = Certificate::read(&leaves.of(&long, NOW).unwrap().chain[0]).unwrap();
        assert_eq!(about.common_name, "");
    }

    #[test]
    fn a_thousand_names_push_out_the_one_that_was_not_asked_for_the_longest() {
        let leaves = leaves(&["a.example"]);
        let first = leaves.of("0.a.example", NOW).unwrap();
        for i in 0..KEPT {
            leaves.of(&format!("{i}.a.example"), NOW).unwrap();
        }
        assert_eq!(leaves.count(), KEPT);
        assert!(Arc::ptr_eq(&first, &leaves.of("0.a.example", NOW).unwrap()));
        let second = leaves.of("1.a.example", NOW).unwrap();
        leaves.of("new.a.example", NOW).unwrap();
        assert_eq!(leaves.count(), KEPT);
        assert!(Arc::ptr_eq(&first, &leaves.of("0.a.example", NOW).unwrap()));
        assert!(Arc::ptr_eq(&second, &leaves.of("1.a.example", NOW).unwrap()));
        assert!(!leaves.kept().leaves.contains_key("2.a.example"));
    }
}
