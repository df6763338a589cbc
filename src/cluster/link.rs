//! The control side of the link (docs/link.md): one request, one answer, a connection each.

use super::views::Node;
use crate::config::{self, Address};
use crate::net::{descriptors, prove};
use crate::wire::link as wire;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

/// The largest answer that is read: far more than any control answer has.
const MAX_ANSWER: usize = 1 << 20;

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why a node did not answer.
#[derive(Debug)]
pub enum Trouble {
    Io(io::Error),
    Http(hyper::Error),
    /// The answer is not what a node says.
    Odd(String),
    Late(Duration),
}

/// How the nodes of a cluster are reached: with its secrets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link(Arc<config::Cluster>);

impl Link {
    pub fn new(cluster: &config::Cluster) -> Link {
        Link(Arc::new(cluster.clone()))
    }

    /// Connects to a node, which is then known to be that one (over TCP, where there is a secret). Waits while its queue of
    /// connections is full, which refuses nobody: it is busy or stopped.
    pub async fn connect(&self, node: &Node) -> io::Result<Box<dyn Io>> {
        match &node.address {
            Address::Tcp(address) => Ok(Box::new(prove::connect(address, &node.id, &self.0).await?)),
            Address::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    Ok(stream) => return Ok(Box::new(stream)),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(10)).await,
                    Err(e) => return Err(e),
                }
            },
        }
    }

    /// One request, answered within `limit`.
    pub async fn call(
        &self,
        node: &Node,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        let connected = async {
            loop {
                match self.connect(node).await {
                    // That we have no file left is nothing that the node has missed.
                    Err(e) if descriptors::is_our_lack(&e) => sleep(descriptors::PAUSE).await,
                    result => return result,
                }
            }
        };
        let answered = async { exchange(connected.await?, method, path, None, body).await };
        timeout(limit, answered).await.unwrap_or(Err(Trouble::Late(limit)))
    }

    /// One request to another front, which proves itself in what it answers. `proof`: ours, for the head.
    pub async fn tell(
        &self,
        address: &str,
        path: &str,
        proof: Option<String>,
        body: Bytes,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        let answered = async {
            let stream: Box<dyn Io> = Box::new(TcpStream::connect(address).await?);
            exchange(stream, Method::POST, path, proof, Some(body)).await
        };
        timeout(limit, answered).await.unwrap_or(Err(Trouble::Late(limit)))
    }
}

async fn exchange(
    stream: Box<dyn Io>,
    method: Method,
    path: &str,
    proof: Option<String>,
    body: Option<Bytes>,
) -> Result<(StatusCode, Bytes), Trouble> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder().method(method).uri(path).header(header::HOST, "ringhold");
    let request = match body {
        Some(_) => request.header(header::CONTENT_TYPE, "application/json"),
        None => request,
    };
    let request = proof.into_iter().fold(request, |request, proof| request.header(wire::TELLER, proof));
    let request =
        request.body(Full::new(body.unwrap_or_default())).map_err(|e| Trouble::Odd(format!("no such request: {e}")))?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| Trouble::Odd(e.to_string()))?;
        Ok((head.status, body.to_bytes()))
    };
    // The connection is driven here, not in a task of its own: it ends with the exchange. It may end first, when the
    // answer has been read and waits in the channel.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        done = &mut answer => done,
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(e) => answer.await.map_err(|_| Trouble::Http(e)),
        },
    }
}

impl Trouble {
    /// Nothing listens there: the process is dead, and what it held is gone.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Trouble::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// We have no file or port left: nothing was learnt of the node.
    pub fn is_our_lack(&self) -> bool {
        matches!(self, Trouble::Io(e) if descriptors::is_our_lack(e))
    }

    /// Nobody is to be reached there, or somebody else; not that a connection was lost, which says nothing of the node.
    pub fn turns_away(&self) -> bool {
        match self {
            Trouble::Io(e) => prove::turns_away(e),
            Trouble::Odd(_) => true,
            Trouble::Http(_) | Trouble::Late(_) => false,
        }
    }

    /// It will be the same the next time: something is set up wrong.
    pub fn is_lasting(&self) -> bool {
        match self {
            Trouble::Odd(_) => true,
            Trouble::Io(e) => matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData),
            Trouble::Http(_) | Trouble::Late(_) => false,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Trouble {
        Trouble::Io(e)
    }
}

impl From<hyper::Error> for Trouble {
    fn from(e: hyper::Error) -> Trouble {
        Trouble::Http(e)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Io(e) => e.fmt(f),
            Trouble::Http(e) => e.fmt(f),
            Trouble::Odd(what) => f.write_str(what),
            Trouble::Late(limit) => write!(f, "no answer within {limit:?}"),
        }
    }
}

impl std::error::Error for Trouble {}
