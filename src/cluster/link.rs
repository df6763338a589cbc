//! The control side of the link (docs/link.md): one request, one answer, a connection each.

use super::views::{AbleNodes, Node};
use crate::config;
use crate::net::http1::{self, brief};
use crate::net::listen::Stream;
use crate::net::{descriptors, prove, web};
use crate::wire::link as wire;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The largest answer that is read: far more than any control answer has.
const MAX_ANSWER: usize = 1 << 20;
/// So much of what a node says is passed on where it refuses.
const WHY: usize = 200;

/// Why a node did not answer.
#[derive(Debug)]
pub enum LinkTrouble {
    Io(io::Error),
    /// The answer is not what a node says.
    Odd(String),
    Late(Duration),
    /// It was heard, and refused.
    Refused(StatusCode, Bytes),
}

/// How the nodes of a cluster are reached: with its secrets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link(Arc<config::ClusterConfig>);

impl Link {
    pub fn new(cluster: &config::ClusterConfig) -> Link {
        Link(Arc::new(cluster.clone()))
    }

    pub fn has_secret(&self) -> bool {
        self.0.secret.is_some()
    }

    /// Which nodes are spoken to inside TLS alone, whatever their address.
    pub fn able(&self) -> AbleNodes {
        let cluster = self.0.clone();
        AbleNodes::by(move |id| prove::is_able(id, &cluster))
    }

    /// Connects to a node. Waits while its queue of connections is full: it is busy or stopped.
    pub async fn connect(&self, node: &Node) -> io::Result<Stream> {
        let stream = prove::reach(&node.address, &node.id, &self.0, || true).await?;
        if let Stream::Tls(_) = stream {
            node.set_encrypted();
        }
        Ok(stream)
    }

    /// One request, answered within `limit`.
    pub async fn call(
        &self,
        node: &Node,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), LinkTrouble> {
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
        timeout(limit, answered).await.unwrap_or(Err(LinkTrouble::Late(limit)))
    }

    /// One request to another front, which proves itself in what it answers; inside TLS, where its id is given, before it hears
    /// anything. `proof`: ours, for the head.
    pub async fn tell(
        &self,
        address: &str,
        in_tls: Option<&str>,
        path: &str,
        proof: Option<String>,
        body: Bytes,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), LinkTrouble> {
        let answered = async {
            let stream = match in_tls {
                Some(id) => prove::connect_front(address, id, &self.0).await?,
                None => Stream::Tcp(prove::open(address).await?),
            };
            exchange(stream, Method::POST, path, proof, Some(body)).await
        };
        timeout(limit, answered).await.unwrap_or(Err(LinkTrouble::Late(limit)))
    }
}

async fn exchange(
    mut stream: Stream,
    method: Method,
    path: &str,
    proof: Option<String>,
    body: Option<Bytes>,
) -> Result<(StatusCode, Bytes), LinkTrouble> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static(web::LINK_HOST));
    if let Some(body) = &body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    if let Some(proof) = proof {
        let proof = HeaderValue::try_from(proof).map_err(|e| LinkTrouble::Odd(format!("no such request: {e}")))?;
        headers.insert(wire::TELLER, proof);
    }
    let mut request = http1::head(&method, path, &headers, None);
    request.extend_from_slice(&body.unwrap_or_default());
    let answer = brief::ask_for(&mut stream, &request, MAX_ANSWER).await?;
    let status = StatusCode::from_u16(answer.status).map_err(|e| LinkTrouble::Odd(e.to_string()))?;
    Ok((status, answer.body))
}

impl LinkTrouble {
    /// Nothing listens there: the process is dead, and what it held is gone.
    pub fn is_refusal(&self) -> bool {
        matches!(self, LinkTrouble::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// We have no file or port left: nothing was learnt of the node.
    pub fn is_our_lack(&self) -> bool {
        matches!(self, LinkTrouble::Io(e) if descriptors::is_our_lack(e))
    }

    /// Nobody is to be reached there, or somebody else; not that a connection was lost, which says nothing of the node.
    pub fn turns_away(&self) -> bool {
        match self {
            LinkTrouble::Io(e) => prove::turns_away(e),
            LinkTrouble::Odd(_) | LinkTrouble::Refused(..) => true,
            LinkTrouble::Late(_) => false,
        }
    }

    /// It will be the same the next time: something is set up wrong.
    pub fn is_lasting(&self) -> bool {
        match self {
            LinkTrouble::Odd(_) | LinkTrouble::Refused(..) => true,
            LinkTrouble::Io(e) => matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData),
            LinkTrouble::Late(_) => false,
        }
    }
}

impl From<io::Error> for LinkTrouble {
    fn from(e: io::Error) -> LinkTrouble {
        LinkTrouble::Io(e)
    }
}

impl fmt::Display for LinkTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkTrouble::Io(e) => e.fmt(f),
            LinkTrouble::Odd(what) => f.write_str(what),
            LinkTrouble::Late(limit) => write!(f, "no answer within {limit:?}"),
            LinkTrouble::Refused(status, body) => {
                let (status, why) = (status.as_u16(), why(body));
                let why = if why.is_empty() { why } else { format!(": {why}") };
                write!(f, "it answered with status {status}{why}")
            }
        }
    }
}

/// Its reason: of a JSON object the `why`, else the first line.
fn why(body: &[u8]) -> String {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let text = match said.as_ref().and_then(|said| said["why"].as_str()) {
        Some(why) => why.into(),
        None => String::from_utf8_lossy(body),
    };
    text.lines().next().unwrap_or_default().chars().take(WHY).collect()
}

impl std::error::Error for LinkTrouble {}
