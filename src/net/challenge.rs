//! The other side of a proof: what who was connected to asks of who has connected, on one connection (`docs/link.md`, Trust on
//! TCP).

use super::listen::Stream;
use super::prove::challenge;
use super::tls::{TlsSession, link as tls};
use crate::config::ClusterConfig;
use crate::wire::proof::{self, Binding, Hello, Nonce, Party, Prove, Proved, Side};
use bytes::Bytes;
use std::cell::{Cell, OnceCell};
use std::io;
use tokio::net::TcpStream;

/// A proof has 120 bytes or so.
pub const PROOF_LIMIT: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct Challenge {
    /// What the next proof has to answer; each is good for one.
    nonce: Cell<Option<Nonce>>,
    /// Of the connection's TLS, where it speaks that.
    tls: OnceCell<Binding>,
}

impl Challenge {
    /// Takes TLS up where the connection begins so. `speaks`: something has come.
    pub async fn meet(&self, stream: Stream, speaks: impl FnOnce()) -> io::Result<Stream> {
        let Stream::Tcp(socket) = stream else { return Ok(stream) };
        let mut first = [0];
        let said = socket.peek(&mut first).await?;
        if said > 0 {
            speaks();
        }
        match said == 1 && first[0] == tls::HANDSHAKE {
            true => self.take_up(socket, Bytes::new()).await.map(|session| Stream::Tls(Box::new(session))),
            false => Ok(Stream::Tcp(socket)),
        }
    }

    /// Takes TLS up; `said` was read of it already.
    pub async fn take_up(&self, socket: TcpStream, said: Bytes) -> io::Result<TlsSession> {
        let session = tls::accept(socket, said).await?;
        _ = self.tls.set(session.binding()?);
        Ok(session)
    }

    pub fn is_in_tls(&self) -> bool {
        self.tls.get().is_some()
    }

    /// Who is here, and what is to be answered.
    pub fn hello(&self, id: &str, boot: u64) -> io::Result<Hello> {
        let nonce = challenge()?;
        self.nonce.set(Some(nonce));
        Ok(Hello { nonce, id: id.to_owned(), boot })
    }

    /// Our own proof, by the secret that theirs holds for; `None`: it holds for none. Who can speak TLS does so, as it has heard
    /// that we can: where it does not, somebody between us has told it otherwise.
    pub fn answer(&self, cluster: &ClusterConfig, id: &str, boot: u64, theirs: Option<&Prove>) -> Option<Proved> {
        let (challenge, tls) = (self.nonce.take()?, self.tls.get());
        let prove = theirs.filter(|prove| tls.is_some() || !prove.nonce.is_of_able())?;
        let own = Party { id, boot, tls };
        let holds = |secret: &&str| proof::holds(&prove.mac, secret, Side::Front, own, &challenge, &prove.nonce);
        let secret = cluster.secrets().find(holds)?;
        Some(Proved { mac: proof::prove(secret, Side::Node, own, &prove.nonce, &challenge) })
    }
}
