//! TLS towards clients of the proxy, in the names of hosts.

use super::client::provider;
use super::session::TlsSession;
use crate::wire::client_hello::{HTTP, HTTP2};
use bytes::Bytes;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{AlertDescription, Error, ServerConfig, ServerConnection};
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use tokio::net::TcpStream;

/// What is the same for all hosts: one key, and one secret by which sessions are gone on with (a session is bound to its
/// host all the same).
pub struct Server {
    config: ServerConfig,
    key: Arc<dyn SigningKey>,
}

/// How a handshake failed.
#[derive(Debug)]
pub enum Refused {
    /// The client does not take this certificate: it has said so, or has left when it saw it.
    Certificate(io::Error),
    /// It has no cipher, group or signature in common with us, and never will.
    Incompatible(io::Error),
    /// Anything else.
    Otherwise(io::Error),
}

impl Server {
    /// `key`: the private key of all certificates, PKCS #8.
    pub fn new(key: Vec<u8>) -> Result<Server, String> {
        let provider = Arc::new(provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let key = provider.key_provider.load_private_key(key).map_err(|e| e.to_string())?;
        let config = config(provider).map_err(|e| e.to_string())?;
        Ok(Server { config, key })
    }

    /// Shakes hands, as the host whose certificates these are (DER, its own first). `said`: what the client has said already.
    /// Takes as long as the client does.
    pub async fn accept(&self, socket: TcpStream, chain: &[Vec<u8>], said: Bytes) -> Result<TlsSession, Refused> {
        let chain = chain.iter().map(|certificate| CertificateDer::from(certificate.clone())).collect();
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, self.key.clone()));
        let mut config = self.config.clone();
        config.cert_resolver = Arc::new(shown);
        let tls = ServerConnection::new(Arc::new(config)).map_err(|e| Refused::Otherwise(io::Error::other(e)))?;
        let mut session = TlsSession::new(socket, tls, said);
        match session.shake_hands().await {
            Ok(()) => Ok(session),
            Err(e) => Err(Refused::of(e)),
        }
    }
}

fn config(provider: Arc<CryptoProvider>) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    // Of nobody: each connection has its own host's.
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP.to_vec()];
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(config)
}

impl Refused {
    /// A client whose hello was whole and had what it takes may have ended the handshake for the certificate: by one of the
    /// alerts that are about one, or are used for one (RFC 8446 section 6.2; OpenSSL says `handshake_failure` where a program
    /// has checks of its own), or by its silence.
    fn of(error: io::Error) -> Refused {
        use AlertDescription::{
            AccessDenied, BadCertificate, CertificateExpired, CertificateRevoked, CertificateUnknown, HandshakeFailure,
            UnknownCA, UnsupportedCertificate,
        };
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
        match (tls, error.kind()) {
            (Some(Error::AlertReceived(alert)), _) => match alert {
                BadCertificate
                | UnsupportedCertificate
                | CertificateRevoked
                | CertificateExpired
                | CertificateUnknown
                | UnknownCA
                | AccessDenied
                | HandshakeFailure => Refused::Certificate(error),
                _ => Refused::Otherwise(error),
            },
            (Some(Error::PeerIncompatible(_)), _) => Refused::Incompatible(error),
            (Some(_), _) => Refused::Otherwise(error),
            (
                None,
                ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe,
            ) => Refused::Certificate(error),
            (None, _) => Refused::Otherwise(error),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refused::Certificate(error) | Refused::Incompatible(error) | Refused::Otherwise(error)) = self;
        error.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{PeerIncompatible, PeerMisbehaved};

    #[test]
    fn how_a_handshake_ended_says_whether_the_client_may_take_another_certificate() {
        use AlertDescription::*;
        let alerts = |alerts: &[AlertDescription]| alerts.iter().map(|a| Error::AlertReceived(*a)).collect::<Vec<_>>();
        let of_tls = |error: Error| io::Error::new(ErrorKind::InvalidData, error);
        let kind = |error: io::Error| match Refused::of(error) {
            Refused::Certificate(_) => "certificate",
            Refused::Incompatible(_) => "incompatible",
            Refused::Otherwise(_) => "otherwise",
        };
        let incompatible =
            [PeerIncompatible::NoCipherSuitesInCommon, PeerIncompatible::NoSignatureSchemesInCommon].map(Error::from);
        for (errors, expected) in [
            (
                alerts(&[
                    BadCertificate,
                    UnsupportedCertificate,
                    CertificateRevoked,
                    CertificateExpired,
                    CertificateUnknown,
                    UnknownCA,
                    AccessDenied,
                    HandshakeFailure,
                ]),
                "certificate",
            ),
            (
                alerts(&[ProtocolVersion, NoApplicationProtocol, UnexpectedMessage, BadRecordMac, DecodeError]),
                "otherwise",
            ),
            (alerts(&[DecryptError, InternalError, UserCanceled]), "otherwise"),
            (incompatible.to_vec(), "incompatible"),
            (vec![Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec)], "otherwise"),
        ] {
            for error in errors {
                assert_eq!(kind(of_tls(error.clone())), expected, "{error}");
            }
        }
        for (error, expected) in [
            (ErrorKind::UnexpectedEof, "certificate"),
            (ErrorKind::ConnectionReset, "certificate"),
            (ErrorKind::BrokenPipe, "certificate"),
            (ErrorKind::TimedOut, "otherwise"),
        ] {
            assert_eq!(kind(error.into()), expected, "{error}");
        }
    }
}
