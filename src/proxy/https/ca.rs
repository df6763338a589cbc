//! The certificate authority: a root that clients trust, and an intermediate, the signer, whose key signs for hosts.
//!
//! Both have the same critical name constraints: what is not listed, nobody can sign with a stolen key. Most clients honour
//! those of a root, but Java does not look at a root's own (RFC 5280 section 6.1 leaves a trust anchor's to the
//! implementation), and none would be worth much if the root's key existed: it is thrown away as soon as the signer is
//! signed.

use crate::net::prove::nonce;
use crate::wire::date::Timestamp;
use crate::wire::https::name::Name;
use crate::wire::https::preset::PRESETS;
use crate::wire::x509::{Certificate, Permitted, fingerprint};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
    SanType, SerialNumber,
};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// Of root and signer. Apple takes local roots of up to 825 days only for leaves; the roots themselves may be older.
const LIFE: Duration = Duration::from_secs(5 * 365 * 86_400);
/// Clients' clocks are wrong by days, not by minutes.
pub const BACK: Duration = Duration::from_secs(2 * 86_400);
/// So long before its end it is warned of.
const WARNING: Duration = Duration::from_secs(30 * 86_400);
/// After the root's name.
const SIGNER: &str = " signer";
/// Of a common name (RFC 5280 appendix A.1, ub-common-name).
const LONGEST_COMMON_NAME: usize = 64;

/// Why there is no certificate or no authority: one sentence that names the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityTrouble(pub String);

impl fmt::Display for AuthorityTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AuthorityTrouble {}

/// What an authority is made of, as it is kept.
#[derive(Clone)]
pub struct Parts {
    /// DER.
    pub root: Vec<u8>,
    /// DER.
    pub signer: Vec<u8>,
    /// Of the signer; PKCS #8, DER.
    pub key: Vec<u8>,
}

/// An authority that can sign.
pub struct CertificateAuthority {
    root: Vec<u8>,
    signer: Vec<u8>,
    about: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// Makes one that may sign for these names and for those of all presets (so that one more preset needs no new one), and for no
/// address but those named. `now` is the wall clock.
pub fn make(names: &[Name], now: Timestamp) -> Result<Parts, AuthorityTrouble> {
    let all: Vec<Name> = names.iter().cloned().chain(PRESETS.iter().flat_map(|preset| preset.names())).collect();
    let constraints = constraints(&all);
    let serial = nonce().map_err(|cause| AuthorityTrouble(format!("the system gives no random numbers: {cause}")))?.0;
    let id: String = serial[12..].iter().map(|byte| format!("{byte:02x}")).collect();
    let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unmade)?;
    let root = authority(&format!("ringhold CA {id}"), 1, Vec::new(), constraints.clone(), now)?;
    let root_issuer = Issuer::from_params(&root, &root_key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unmade)?;
    let usage = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signer = authority(&format!("ringhold CA {id}{SIGNER}"), 0, usage, constraints, now)?;
    Ok(Parts {
        root: root.self_signed(&root_key).map_err(unmade)?.der().to_vec(),
        signer: signer.signed_by(&key, &root_issuer).map_err(unmade)?.der().to_vec(),
        key: key.serialize_der(),
    })
}

fn authority(
    name: &str,
    below: u8,
    usage: Vec<ExtendedKeyUsagePurpose>,
    constraints: NameConstraints,
    now: Timestamp,
) -> Result<CertificateParams, AuthorityTrouble> {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now).saturating_sub(BACK);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(now) + LIFE;
    params.serial_number = Some(serial()?);
    params.distinguished_name = subject(Some(name));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = usage;
    params.name_constraints = Some(constraints);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Never empty: then the names beside it would have to be critical (RFC 5280 section 4.2.1.6).
fn subject(common_name: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "ringhold");
    if let Some(name) = common_name {
        subject.push(DnType::CommonName, name);
    }
    subject
}

/// Names stand for themselves and all below them (RFC 5280 section 4.2.1.10), so what is below another is left out. Without
/// an address all of them are excluded, since constraints of names alone permit every address; with one, all others are not
/// permitted. (Both together are more than Java can read: it fails on an address that it holds against one of the other
/// kind.)
fn constraints(names: &[Name]) -> NameConstraints {
    let permitted = reduced(names);
    let net = |ip: IpAddr, bits: u8| GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, bits));
    let own = permitted.addresses.iter().map(|ip| net(*ip, if ip.is_ipv4() { 32 } else { 128 }));
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let excluded = all.into_iter().filter(|_| permitted.addresses.is_empty());
    let excluded_subtrees = excluded.map(|ip| net(ip, 0)).collect();
    let permitted_subtrees = permitted.names.iter().cloned().map(GeneralSubtree::DnsName).chain(own).collect();
    NameConstraints { permitted_subtrees, excluded_subtrees }
}

fn reduced(names: &[Name]) -> Permitted {
    let mut permitted = Permitted::default();
    let mut sorted: Vec<&Name> = names.iter().collect();
    // What may be above another comes first.
    sorted.sort_by_key(|name| name.to_string().trim_start_matches("*.").len());
    for name in sorted.into_iter().filter(|name| !matches!(name, Name::Ip(_))) {
        if let (false, Name::Exact(own) | Name::Below(own)) = (permitted.has(name), name) {
            permitted.names.push(own.to_string());
        }
    }
    permitted.names.sort();
    for name in names {
        if let (false, Name::Ip(ip)) = (permitted.has(name), name) {
            permitted.addresses.push(*ip);
        }
    }
    permitted
}

/// 16 random bytes, of which two bits are given: so it is positive and has that length.
fn serial() -> Result<SerialNumber, AuthorityTrouble> {
    let mut bytes =
        nonce().map_err(|cause| AuthorityTrouble(format!("the system gives no random numbers: {cause}")))?.0;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn since_1970(time: Timestamp) -> Duration {
    Duration::from_secs(time.seconds())
}

fn unmade(cause: rcgen::Error) -> AuthorityTrouble {
    AuthorityTrouble(format!("a certificate cannot be made: {cause}"))
}

impl CertificateAuthority {
    /// From what is kept; `of` is where that was, for the message.
    pub fn open(parts: Parts, of: &str) -> Result<CertificateAuthority, AuthorityTrouble> {
        let strange = |what: &str| {
            AuthorityTrouble(format!("{of}: {what}; move it away, and make a new authority with: ringhold ca init"))
        };
        let about =
            Certificate::read(&parts.signer).ok_or_else(|| strange("the signer's certificate cannot be read"))?;
        Certificate::read(&parts.root).ok_or_else(|| strange("the root's certificate cannot be read"))?;
        let key = KeyPair::try_from(parts.key).map_err(|_| strange("the signer's key cannot be read"))?;
        if !about.public_key.ends_with(key.public_key_raw()) {
            return Err(strange("the key is not that of the signer's certificate"));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(Some(&about.common_name));
        // Byte for byte what the signer says of itself: some clients compare.
        params.key_identifier_method = KeyIdMethod::PreSpecified(about.key_id.clone());
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(CertificateAuthority { root: parts.root, signer: parts.signer, about, issuer: Issuer::new(params, key) })
    }

    /// The root's certificate, as DER: what clients are to trust, and what no origin is to be trusted by.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// The signer's certificate, as DER.
    pub fn signer(&self) -> &[u8] {
        &self.signer
    }

    /// Its own name, by which people know it in their stores.
    pub fn name(&self) -> &str {
        self.about.common_name.trim_end_matches(SIGNER)
    }

    /// SHA-256 of the root's certificate.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.root)
    }

    /// What it may sign for.
    pub fn permitted(&self) -> &Permitted {
        &self.about.permitted
    }

    pub fn end(&self) -> Timestamp {
        self.about.not_after
    }

    pub fn has_ended(&self, now: Timestamp) -> bool {
        now > self.end()
    }

    /// Whole days that are left of its life, where they are so few that somebody should know.
    pub fn last_days(&self, now: Timestamp) -> Option<u64> {
        let left = Duration::from_millis(self.end().millis_since(now));
        (left < WARNING).then(|| left.as_secs() / DAY.as_secs())
    }

    /// Signs for one host, whether it is permitted to or not: clients would refuse what is not. `key` is the host's.
    pub(super) fn sign(
        &self,
        host: &Name,
        not_before: Timestamp,
        not_after: Timestamp,
        key: &KeyPair,
    ) -> Result<Vec<u8>, AuthorityTrouble> {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(not_before);
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(not_after);
        params.serial_number = Some(serial()?);
        params.distinguished_name = match host {
            Name::Exact(name) if name.len() <= LONGEST_COMMON_NAME => subject(Some(name)),
            // An address as a common name is held by OpenSSL against the constraints of names, and refused.
            _ => subject(None),
        };
        params.subject_alt_names = vec![match host {
            Name::Ip(ip) => SanType::IpAddress(*ip),
            Name::Exact(name) | Name::Below(name) => SanType::DnsName(name.to_string().try_into().map_err(unmade)?),
        }];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer).map_err(unmade)?.der().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_956_577_000);

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::parse(text).unwrap()).collect()
    }

    #[test]
    fn what_is_made_says_what_it_may_sign_for_and_how_long() {
        let parts = make(&names(&["files.example", "*.corp.example", "192.0.2.1"]), NOW).unwrap();
        let authority = CertificateAuthority::open(parts.clone(), "test").unwrap();
        for certificate in [&parts.root, &parts.signer] {
            let about = Certificate::read(certificate).unwrap();
            assert_eq!(about.permitted, *authority.permitted());
            assert_eq!(about.not_before.seconds(), NOW.seconds() - 2 * 86_400);
            assert_eq!(about.not_after.seconds(), NOW.seconds() + 5 * 365 * 86_400);
            assert_eq!(about.key_id.len(), 20);
        }
        for (name, may) in [
            ("files.example", true),
            ("a.corp.example", true),
            ("192.0.2.1", true),
            ("pypi.org", true),
            ("cas-bridge.xethub.hf.co", true),
            ("192.0.2.2", false),
            ("::1", false),
            ("example", false),
            ("bank.example", false),
        ] {
            assert_eq!(authority.permitted().has(&Name::parse(name).unwrap()), may, "{name}");
        }
        let other = make(&[], NOW).unwrap();
        assert_ne!(fingerprint(&other.root), authority.fingerprint());
    }

    #[test]
    fn a_name_below_another_is_not_said_twice() {
        let all = names(&["a.b.example", "*.b.example", "b.example", "c.example", "10.0.0.1", "10.0.0.1"]);
        let reduced = reduced(&all);
        assert_eq!(reduced.names, ["b.example", "c.example"]);
        assert_eq!(reduced.addresses.len(), 1);
    }

    #[test]
    fn it_is_warned_of_the_end_thirty_days_before_and_no_sooner() {
        let authority = CertificateAuthority::open(make(&[], NOW).unwrap(), "test").unwrap();
        let before = |days: u64| Timestamp(authority.end().0 - days * 86_400_000);
        assert_eq!(authority.last_days(before(30)), None);
        assert_eq!(authority.last_days(Timestamp(before(30).0 + 1)), Some(29));
        assert_eq!(authority.last_days(before(1)), Some(1));
        assert!(!authority.has_ended(authority.end()));
        assert!(authority.has_ended(Timestamp(authority.end().0 + 1000)));
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let (one, other) = (make(&[], NOW).unwrap(), make(&[], NOW).unwrap());
        let refused = |parts: Parts| CertificateAuthority::open(parts, "signer.pem").map(|_| ()).unwrap_err().0;
        assert!(refused(Parts { key: other.key, ..one.clone() }).contains("is not that of the signer's"));
        assert!(refused(Parts { key: vec![1, 2], ..one.clone() }).contains("key cannot be read"));
        assert!(refused(Parts { signer: vec![0x30], ..one.clone() }).starts_with("signer.pem: the signer's"));
        assert!(refused(Parts { root: vec![], ..one }).contains("ringhold ca init"));
    }
}
