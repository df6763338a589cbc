//! TLS between the processes of one cluster. Its certificates prove nothing, and are thrown away with their process: who is at
//! the other end is proved inside, by the cluster's secret and what binds that proof to this very connection
//! ([`TlsSession::binding`]).

use super::anyone::Anyone;
use super::client::provider;
use super::session::TlsSession;
use bytes::Bytes;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use std::io;
use std::sync::{Arc, LazyLock};
use tokio::net::TcpStream;

/// The content type of a handshake record (RFC 8446 section 5.1), which every hello begins with and no HTTP request does.
pub const HANDSHAKE: u8 = 22;

/// A certificate has to be for somebody; nobody reads it.
const NAME: &str = "ringhold";

static CLIENT: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| client().map(Arc::new));
static SERVER: LazyLock<Result<Arc<ServerConfig>, String>> = LazyLock::new(|| server().map(Arc::new));

/// The handshake of who has connected. Takes as long as the other end does.
pub async fn connect(socket: TcpStream) -> io::Result<TlsSession> {
    let config = made(&CLIENT)?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
    shaken(TlsSession::new(socket, tls, Bytes::new())).await
}

/// The handshake of who was connected to, and has heard `said` already. Takes as long as the other end does.
pub async fn accept(socket: TcpStream, said: Bytes) -> io::Result<TlsSession> {
    let tls = ServerConnection::new(made(&SERVER)?).map_err(io::Error::other)?;
    shaken(TlsSession::new(socket, tls, said)).await
}

async fn shaken(mut session: TlsSession) -> io::Result<TlsSession> {
    session.shake_hands().await?;
    Ok(session)
}

fn made<T>(config: &LazyLock<Result<Arc<T>, String>>) -> io::Result<Arc<T>> {
    LazyLock::force(config).clone().map_err(|why| io::Error::other(format!("this process cannot speak TLS: {why}")))
}

/// Nothing is gone on with by tickets: connections are kept, and each is proved.
fn client() -> Result<ClientConfig, String> {
    let provider = Arc::new(provider());
    let anyone = Arc::new(Anyone(provider.signature_verification_algorithms));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(|e| e.to_string())?.dangerous().with_custom_certificate_verifier(anyone);
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

fn server() -> Result<ServerConfig, String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())?;
    let params = CertificateParams::new([NAME.to_owned()]).map_err(|e| e.to_string())?;
    let certificate = params.self_signed(&key).map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = ServerConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(|e| e.to_string())?.with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).map_err(|e| e.to_string())?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TlsSession, TlsSession) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (client, server) = tokio::join!(connect(client.unwrap()), accept(accepted.unwrap().0, Bytes::new()));
        (client.unwrap(), server.unwrap())
    }

    #[tokio::test]
    async fn both_ends_of_a_connection_are_bound_to_it_and_to_no_other() {
        let (client, server) = pair().await;
        let (other, _server) = pair().await;
        let binding = client.binding().unwrap();
        assert_eq!(binding, server.binding().unwrap());
        assert_ne!(binding, other.binding().unwrap());
    }

    #[tokio::test]
    async fn what_was_heard_before_belongs_to_the_handshake() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let mut server = accepted.unwrap().0;
        let served = async {
            let mut said = vec![0; 100];
            server.read_exact(&mut said).await.unwrap();
            assert_eq!(said[0], HANDSHAKE);
            let mut session = accept(server, said.into()).await.unwrap();
            let mut heard = [0; 5];
            session.read_exact(&mut heard).await.unwrap();
            heard
        };
        let asked = async {
            let mut session = connect(client.unwrap()).await.unwrap();
            session.write_all(b"hello").await.unwrap();
            session
        };
        let (heard, _session) = tokio::join!(served, asked);
        assert_eq!(&heard, b"hello");
    }
}
