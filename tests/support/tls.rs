//! Certificates of a test: an authority of its own, and what that one signs.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An authority that nobody knows who is not told.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A certificate with its key.
pub struct Identity {
    pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new([]).expect("no names are names");
        // A name of its own: whoever finds one authority's name under another's signature speaks of a forgery.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("authority {} of a test", COUNT.fetch_add(1, Ordering::Relaxed));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).expect("one may sign for oneself");
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Authority { issuer: Issuer::new(params, key), certificate, pem }
    }

    /// Its certificate as a file.
    pub fn write(&self, file: &Path) -> PathBuf {
        fs::write(file, &self.pem).expect("a file can be written");
        file.to_owned()
    }

    /// For these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_by(names, |_| {})
    }

    /// The same, of which the last day was in 2020.
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        self.issue_by(names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 2, 1);
        })
    }

    fn issue_by(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key can be made");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("these are names");
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority signs");
        Identity { pem: certificate.pem(), chain: vec![certificate.der().clone()], key }
    }

    /// A client that believes this authority alone.
    pub fn client(&self, protocols: &[&str]) -> ClientConfig {
        client_of([self.certificate.clone()], protocols)
    }

    /// The same, which knows RSA alone: no certificate of a test's is for it, and none of the proxy's.
    pub fn client_of_rsa(&self) -> ClientConfig {
        let mut provider = rustls::crypto::ring::default_provider();
        let known = &mut provider.signature_verification_algorithms;
        let is_of_rsa = |scheme: &SignatureScheme| format!("{scheme:?}").starts_with("RSA");
        known.mapping =
            known.mapping.iter().filter(|(scheme, _)| is_of_rsa(scheme)).copied().collect::<Vec<_>>().leak();
        client_by(Arc::new(provider), [self.certificate.clone()], &[])
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("it is a root");
        roots
    }

    /// A server that wants its clients to show a certificate of this authority.
    pub fn server_for_known_clients(&self, identity: &Identity) -> ServerConfig {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider());
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.expect("the provider has what they need");
        let builder = builder.with_client_cert_verifier(verifier.build().expect("it has a root"));
        builder.with_single_cert(identity.chain.clone(), identity.key()).expect("the key is the certificate's")
    }
}

impl Identity {
    /// A server that shows this to everybody, by any version of TLS that is safe.
    pub fn server(&self) -> ServerConfig {
        self.server_of(rustls::DEFAULT_VERSIONS)
    }

    /// For servers that are other people's programs: `NAME.pem` with the certificate, and `NAME.key` with its key.
    pub fn write(&self, folder: &Path, name: &str) {
        for (end, text) in [("pem", &self.pem), ("key", &self.key.serialize_pem())] {
            fs::write(folder.join(format!("{name}.{end}")), text).expect("a file can be written");
        }
    }

    pub fn server_of(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions);
        let builder = builder.expect("the provider has what they need").with_no_client_auth();
        builder.with_single_cert(self.chain.clone(), self.key()).expect("the key is the certificate's")
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// A client that believes these roots alone, and says that it speaks these protocols.
pub fn client_of(certificates: impl IntoIterator<Item = CertificateDer<'static>>, protocols: &[&str]) -> ClientConfig {
    client_by(provider(), certificates, protocols)
}

fn client_by(
    provider: Arc<CryptoProvider>,
    certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    protocols: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().for_each(|certificate| roots.add(certificate).expect("it is a root"));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has what they need").with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
