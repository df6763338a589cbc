//! Our side of TLS to origins: what we offer, and whose certificates we believe.

use super::roots::Roots;
use super::session::TlsSession;
use super::trouble::TlsTrouble;
use crate::clock::Tick;
use crate::wire::authority::without_root;
use crate::wire::client_hello::HTTP;
use crate::wire::target::Host;
use bytes::Bytes;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, ClientConnection};
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// So many origins are met again with their own tickets (RFC 8446 section 2.2), which saves them and us the certificates.
const RESUMED: usize = 1024;
/// What rustls keeps of each.
const TICKETS: usize = 8;

/// So long after authorities could not be read they are not looked for again.
const AGAIN: Duration = Duration::from_secs(5);

/// What speaks TLS to all origins of a node.
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Errors name the cure.
    pub fn new(roots: &Roots) -> Result<TlsClient, String> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider())).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| e.to_string())?;
        let mut config = builder.with_root_certificates(roots.load()?).with_no_client_auth();
        config.alpn_protocols = vec![HTTP.to_vec()];
        config.resumption = Resumption::in_memory_sessions(RESUMED * TICKETS);
        Ok(TlsClient(Arc::new(config)))
    }

    /// The handshake, in which the server has to prove that it is `host`. Takes as long as the server does.
    pub async fn connect(&self, socket: TcpStream, host: Host<'_>) -> Result<TlsSession, TlsTrouble> {
        let name = match host {
            Host::Name(name) => {
                ServerName::try_from(without_root(name).to_owned()).map_err(|_| TlsTrouble::no_name())?
            }
            Host::Ip(ip) => ServerName::from(ip.to_canonical()),
        };
        let tls = ClientConnection::new(self.0.clone(), name).map_err(TlsTrouble::of_tls)?;
        let mut session = TlsSession::new(socket, tls, Bytes::new());
        match session.shake_hands().await {
            Ok(()) => Ok(session),
            Err(e) => Err(TlsTrouble::of_handshake(e)),
        }
    }
}

/// The client of a node, made when it is first needed: the system's authorities are many.
pub struct LateTlsClient {
    roots: Roots,
    made: OnceCell<TlsClient>,
    /// When that was tried in vain, and why.
    failed: RefCell<Option<(Tick, String)>>,
}

impl LateTlsClient {
    pub fn new(roots: Roots) -> LateTlsClient {
        LateTlsClient { roots, made: OnceCell::new(), failed: RefCell::default() }
    }

    /// Errors name the cure; for a moment after one, nothing is read again.
    pub fn get(&self, now: Tick) -> Result<&TlsClient, String> {
        if let Some(client) = self.made.get() {
            return Ok(client);
        }
        let mut failed = self.failed.borrow_mut();
        if let Some((_, why)) = failed.as_ref().filter(|(at, _)| now.since(*at) < AGAIN) {
            return Err(why.clone());
        }
        match TlsClient::new(&self.roots) {
            Ok(client) => Ok(self.made.get_or_init(|| client)),
            Err(why) => {
                *failed = Some((now, why.clone()));
                Err(why)
            }
        }
    }
}

/// AES-128 first: what it protects here is worth as much as with AES-256, and costs less.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    let is_long = |suite: CipherSuite| {
        use CipherSuite::{
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS13_AES_256_GCM_SHA384,
        };
        matches!(
            suite,
            TLS13_AES_256_GCM_SHA384 | TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 | TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
        )
    };
    provider.cipher_suites.sort_by_key(|suite| is_long(suite.suite()));
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_cannot_be_read_are_looked_for_again_after_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("more.pem");
        let client = LateTlsClient::new(Roots { more: vec![file.clone()], never: folder.path().join("none") });
        assert!(client.get(Tick(1_000)).err().unwrap().contains("more.pem"));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new([]).unwrap().self_signed(&key).unwrap();
        std::fs::write(file, certificate.pem()).unwrap();
        assert!(client.get(Tick(5_999)).is_err(), "not yet");
        assert!(client.get(Tick(6_000)).is_ok());
        assert!(client.get(Tick(0)).is_ok(), "and then never again");
    }
}
