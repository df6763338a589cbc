//! Our side of TLS to origins: what we offer, and whose certificates we believe.

use super::roots::Roots;
use super::session::TlsSession;
use super::trouble::TlsTrouble;
use crate::wire::client_hello::HTTP;
use crate::wire::target::Host;
use bytes::Bytes;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, ClientConnection};
use std::sync::Arc;
use tokio::net::TcpStream;

/// So many origins are met again with their own tickets (RFC 8446 section 2.2), which saves them and us the certificates.
const RESUMED: usize = 1024;
/// What rustls keeps of each.
const TICKETS: usize = 8;

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
            Host::Name(name) => ServerName::try_from(name.to_owned()).map_err(|_| TlsTrouble::no_name())?,
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
