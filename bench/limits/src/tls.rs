//! How the loads speak TLS 1.3: straight to a server, or through a proxy's tunnel. One suite, one group and one key's kind
//! for all servers; whose certificate it is nobody asks, for the harness has asked before.

use crate::head::Head;
use crate::serve::{argument, given};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{cipher_suite::TLS13_AES_128_GCM_SHA256, default_provider, kx_group::X25519};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, ConnectionTrafficSecrets, DigitallySignedStruct, Error, SignatureScheme};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;

/// Where a host is reached.
#[derive(Clone)]
pub struct Way {
    pub address: SocketAddr,
    /// `HOST:PORT`, as URLs have it.
    pub host: String,
    /// Whether `address` is a proxy that is asked for a tunnel.
    pub tunnel: bool,
}

impl Way {
    /// From `--proxy` and `--origin`, and `--tls tunnel`.
    pub fn from_arguments(usage: &str) -> io::Result<Way> {
        let address = argument("--proxy", usage).parse().map_err(io::Error::other)?;
        let tunnel = given("--tls").as_deref() == Some("tunnel");
        Ok(Way { address, host: argument("--origin", usage), tunnel })
    }

    pub fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub fn tunnel_request(&self) -> String {
        format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n", host = self.host)
    }

    pub fn name(&self) -> io::Result<ServerName<'static>> {
        let name = self.host.rsplit_once(':').map_or(&*self.host, |(name, _)| name);
        ServerName::try_from(name.to_owned()).map_err(io::Error::other)
    }

    /// A session over a fresh connection; takes as long as the server does.
    fn session(&self, config: Arc<ClientConfig>) -> io::Result<(TcpStream, ClientConnection)> {
        let mut stream = self.connect()?;
        if self.tunnel {
            stream.write_all(self.tunnel_request().as_bytes())?;
            // Byte for byte: what follows is not ours to read.
            let mut said = Vec::new();
            while !said.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                said.push(byte[0]);
            }
            opened(&said)?;
        }
        let mut tls = ClientConnection::new(config, self.name()?).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        while tls.wants_write() {
            tls.write_tls(&mut stream)?;
        }
        Ok((stream, tls))
    }

    /// The same with its keys in our hands.
    pub fn sealed(&self, config: Arc<ClientConfig>) -> io::Result<(TcpStream, Sealer, Opener)> {
        let (stream, tls) = self.session(config)?;
        let secrets = tls.dangerous_extract_secrets().map_err(io::Error::other)?;
        Ok((stream, Sealer(Keys::of(secrets.tx)?), Opener::new(Keys::of(secrets.rx)?)))
    }
}

/// An error unless this head agrees to a tunnel.
pub fn opened(head: &[u8]) -> io::Result<()> {
    if head.get(8..12) == Some(b" 200") { Ok(()) } else { Err(io::Error::other("no tunnel")) }
}

/// Sessions are gone on with where `resumes`.
pub fn config(resumes: bool) -> Result<ClientConfig, Error> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![X25519];
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = if resumes { Resumption::in_memory_sessions(64) } else { Resumption::disabled() };
    config.enable_secret_extraction = true;
    Ok(config)
}

/// Verifying is the client's work, and would make the load the limit.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Of one direction (RFC 8446 section 5.3).
struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    records: u64,
}

impl Keys {
    fn of((records, secrets): (u64, ConnectionTrafficSecrets)) -> io::Result<Keys> {
        let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
            return Err(io::Error::other("another suite than was offered"));
        };
        let key = UnboundKey::new(&AES_128_GCM, key.as_ref()).map_err(unspecified)?;
        let iv = iv.as_ref().try_into().map_err(io::Error::other)?;
        Ok(Keys { key: LessSafeKey::new(key), iv, records })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.records.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        self.records += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

fn unspecified(_: Unspecified) -> io::Error {
    io::Error::other("a record that does not fit its key")
}

const HEADER: usize = 5;
/// The type of what is inside, and the tag behind it.
const AROUND: usize = 1 + 16;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

fn header(length: usize) -> [u8; HEADER] {
    let [high, low] = (length as u16).to_be_bytes();
    [DATA, 3, 3, high, low]
}

/// Makes records of what is said.
pub struct Sealer(Keys);

impl Sealer {
    /// As one record, for it is short.
    pub fn seal(&mut self, text: &[u8], record: &mut Vec<u8>) -> io::Result<()> {
        let header = header(text.len() + AROUND);
        record.clear();
        record.extend_from_slice(text);
        record.push(DATA);
        let nonce = self.0.nonce();
        self.0.key.seal_in_place_append_tag(nonce, Aad::from(header), record).map_err(unspecified)?;
        record.splice(0..0, header);
        Ok(())
    }
}

/// Reads answers, one at a time. Heads are opened; what is known to be body is counted by the lengths of its records and
/// never opened, for a load that does all the work of a client is the limit before a fast server is.
pub struct Opener {
    keys: Keys,
    /// The beginning of a record that has to be opened, and of a head.
    record: Vec<u8>,
    head: Vec<u8>,
    body_left: usize,
    /// Of a record that is not opened.
    skip: usize,
    /// A head has come, and its body is not whole.
    answering: bool,
}

impl Opener {
    fn new(keys: Keys) -> Opener {
        Opener { keys, record: Vec::new(), head: Vec::new(), body_left: 0, skip: 0, answering: false }
    }

    /// Takes what came; whether the answer is whole now.
    pub fn take(&mut self, mut came: &[u8]) -> io::Result<bool> {
        let mut answered = false;
        while !came.is_empty() {
            let skipped = self.skip.min(came.len());
            (self.skip, came) = (self.skip - skipped, &came[skipped..]);
            if self.skip == 0 && !came.is_empty() {
                let missing = self.missing().min(came.len());
                self.record.extend_from_slice(&came[..missing]);
                came = &came[missing..];
                self.advance()?;
            }
            answered = self.answering && self.skip == 0 && self.body_left == 0;
            self.answering &= !answered;
        }
        Ok(answered)
    }

    fn length(&self) -> Option<usize> {
        self.record.get(3..HEADER).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])))
    }

    fn missing(&self) -> usize {
        HEADER + self.length().unwrap_or(0) - self.record.len()
    }

    fn advance(&mut self) -> io::Result<()> {
        let Some(length) = self.length() else { return Ok(()) };
        if self.body_left > 0 {
            let body = length.checked_sub(AROUND).ok_or(ErrorKind::InvalidData)?;
            self.body_left = self.body_left.checked_sub(body).ok_or(ErrorKind::InvalidData)?;
            self.keys.records += 1;
            self.skip = HEADER + length - self.record.len();
            self.record.clear();
        } else if self.missing() == 0 {
            let opened = self.open()?;
            match self.record[opened.end] {
                DATA => self.data(opened)?,
                // A ticket.
                HANDSHAKE => {}
                _ => return Err(ErrorKind::InvalidData.into()),
            }
            self.record.clear();
        }
        Ok(())
    }

    /// Where the text is in the record; its type follows it.
    fn open(&mut self) -> io::Result<Range<usize>> {
        let (header, text) = self.record.split_at_mut(HEADER);
        let header: [u8; HEADER] = (&*header).try_into().map_err(io::Error::other)?;
        let nonce = self.keys.nonce();
        let text = self.keys.key.open_in_place(nonce, Aad::from(header), text).map_err(unspecified)?;
        Ok(HEADER..HEADER + text.len().checked_sub(1).ok_or(ErrorKind::InvalidData)?)
    }

    fn data(&mut self, text: Range<usize>) -> io::Result<()> {
        self.head.extend_from_slice(&self.record[text]);
        match Head::of(&self.head) {
            Head::Bad => Err(ErrorKind::InvalidData.into()),
            Head::Partial => Ok(()),
            Head::Good { end, length } => {
                let body = self.head.len() - end;
                self.head.clear();
                self.answering = true;
                self.body_left = length.checked_sub(body).ok_or(ErrorKind::InvalidData)?;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys { key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16]).unwrap()), iv: [9; NONCE_LEN], records: 0 }
    }

    fn sealed(texts: &[&[u8]]) -> Vec<u8> {
        let (mut sealer, mut record, mut all) = (Sealer(keys()), Vec::new(), Vec::new());
        for text in texts {
            sealer.seal(text, &mut record).unwrap();
            all.extend_from_slice(&record);
        }
        all
    }

    #[test]
    fn an_answer_is_whole_when_its_last_byte_has_come_in_whatever_pieces() {
        let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc";
        for texts in [&[head, &[b'x'; 27]][..], &[&head[..20], &head[20..], &[b'x'; 20], &[b'x'; 7]]] {
            let bytes = sealed(texts);
            for piece in [1, 3, 7, 64, bytes.len()] {
                let mut opener = Opener::new(keys());
                let told: Vec<bool> = bytes.chunks(piece).map(|piece| opener.take(piece).unwrap()).collect();
                assert_eq!(told.iter().position(|whole| *whole), Some(told.len() - 1), "pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for texts in [
            &[&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..]][..],
            &[b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", b"more"],
            &[b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nmore"],
        ] {
            assert!(Opener::new(keys()).take(&sealed(texts)).is_err(), "{texts:?}");
        }
        let mut bytes = sealed(&[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]);
        bytes[9] ^= 1;
        assert!(Opener::new(keys()).take(&bytes).is_err(), "it was changed on its way");
    }
}
