//! A probe: `GET /healthz` over a connection of its own that is kept.

use crate::cluster::link::{Link, Trouble};
use crate::cluster::views::Node;
use crate::net::http1::{Io, brief};
use crate::net::listen::Stream;
use serde::Deserialize;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: ringhold\r\n\r\n";

#[derive(Deserialize)]
struct Health {
    boot: u64,
}

/// The connection for the probes of one node.
#[derive(Default)]
pub struct Line(Option<Stream>);

impl Line {
    /// Asks for the boot id. Waits as long as it takes; an abandoned question must be followed by [`Line::close`].
    pub async fn ask(&mut self, link: &Link, node: &Node) -> Result<u64, Trouble> {
        if let Some(mut kept) = self.0.take() {
            // A node may have closed a kept connection, or be gone: a new one will tell.
            if let Ok((boot, keep)) = exchange(&mut kept).await {
                self.0 = keep.then_some(kept);
                return Ok(boot);
            }
        }
        let mut stream = link.connect(node).await?;
        let (boot, keep) = exchange(&mut stream).await?;
        self.0 = keep.then_some(stream);
        Ok(boot)
    }
}

async fn exchange(stream: &mut impl Io) -> Result<(u64, bool), Trouble> {
    let answer = brief::ask(stream, REQUEST).await?;
    match answer.status {
        200 => {
            let health: Health = serde_json::from_slice(&answer.body).map_err(|e| brief::odd(&e.to_string()))?;
            Ok((health.boot, answer.keep))
        }
        403 => Err(Trouble::Odd("it does not trust this front (status 403): set `[cluster] secret` here".into())),
        status => Err(brief::odd(&format!("status {status}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn probed(answer: &str) -> Result<(u64, bool), Trouble> {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer.as_bytes()).await.unwrap();
        let probed = exchange(&mut ours).await;
        let mut heard = vec![0; REQUEST.len()];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, REQUEST);
        probed
    }

    #[tokio::test]
    async fn a_node_says_its_boot_id() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"id\":\"n1\",\"boot\":123}";
        assert_eq!(probed(whole).await.unwrap(), (123, true));
    }

    #[tokio::test]
    async fn anything_but_a_node_is_odd() {
        for odd in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        ] {
            let trouble = probed(odd).await.unwrap_err();
            assert!(trouble.is_lasting(), "{odd}: {trouble}");
        }
    }
}
