//! A probe: `GET /healthz` over a connection of its own that is kept.

use super::state::Event;
use crate::cluster::link::{Link, LinkTrouble};
use crate::cluster::views::Node;
use crate::net::http1::{ByteStream, brief};
use crate::net::listen::Stream;
use crate::wire::https::rules;
use crate::wire::link;
use serde::Deserialize;
use std::io;

pub const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n";
/// With this as its limit of heads, or more, a node takes a probe that is longer than a packet.
const ROOMY: u64 = 8 * 1024;

/// What nodes are asked, which have these limits too.
pub fn question(head_limit: u64) -> Vec<u8> {
    let mut question = REQUEST.to_vec();
    if head_limit >= ROOMY {
        question.truncate(REQUEST.len() - 2);
        question.extend_from_slice(format!("{}: {}\r\n\r\n", link::PADDING, "-".repeat(link::PADDED)).as_bytes());
    }
    question
}

#[derive(Deserialize)]
struct ProbeReply {
    boot: u64,
    /// Where it has a disk: see [`Event::Answered`].
    lineage: Option<u64>,
    /// It can speak TLS, where both ends have the secret.
    #[serde(default)]
    tls: bool,
    /// What it does with https URLs. An older one does not say.
    https_rules: Option<String>,
}

/// What a node says of itself.
#[derive(Debug, PartialEq, Eq)]
struct ProbeSaid {
    event: Event,
    /// Its connection may be used again.
    keep: bool,
    tls: bool,
    rules: Option<String>,
}

/// The connection for the probes of one node.
#[derive(Default)]
pub struct ProbeConn(Option<Stream>);

impl ProbeConn {
    /// Asks who is there. Waits as long as it takes; an abandoned question must be followed by [`ProbeConn::close`].
    pub async fn ask(&mut self, question: &[u8], link: &Link, node: &Node) -> Result<Event, LinkTrouble> {
        if let Some(mut kept) = self.0.take() {
            // A node may have closed a kept connection, or be gone: a new one will tell.
            if let Ok(said) = exchange(&mut kept, question).await {
                return self.heard(kept, said, link, node);
            }
        }
        let mut stream = link.connect(node).await?;
        let said = exchange(&mut stream, question).await?;
        self.heard(stream, said, link, node)
    }

    /// What it says here and what it has proved are the same: in clear, nobody who can speak TLS has proved anything.
    fn heard(&mut self, stream: Stream, said: ProbeSaid, link: &Link, node: &Node) -> Result<Event, LinkTrouble> {
        if said.tls && link.has_secret() && !stream.is_private() {
            let what = "it can speak TLS, and its connection is in clear: look at what is between it and here";
            return Err(LinkTrouble::Odd(what.to_owned()));
        }
        node.set_agreed(said.rules.as_deref() == Some(rules::digest()));
        self.0 = said.keep.then_some(stream);
        Ok(said.event)
    }
}

/// Which process it is that answers on this connection: its boot id.
pub async fn boot(stream: &mut impl ByteStream) -> io::Result<u64> {
    match exchange(stream, REQUEST).await {
        Ok(ProbeSaid { event: Event::Answered { boot, .. }, .. }) => Ok(boot),
        Err(LinkTrouble::Io(e)) => Err(e),
        other => Err(brief::odd(&format!("{other:?}"))),
    }
}

async fn exchange(stream: &mut impl ByteStream, question: &[u8]) -> Result<ProbeSaid, LinkTrouble> {
    let answer = brief::ask(stream, question).await?;
    match answer.status {
        200 => {
            let ProbeReply { boot, lineage, tls, https_rules: rules } =
                serde_json::from_slice(&answer.body).map_err(|e| brief::odd(&e.to_string()))?;
            let event = Event::Answered { boot, memory: lineage.unwrap_or(boot) };
            Ok(ProbeSaid { event, keep: answer.keep, tls, rules })
        }
        403 => Err(LinkTrouble::Odd("it does not trust this front (status 403): set `[cluster] secret` here".into())),
        status => Err(brief::odd(&format!("status {status}")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn probed(answer: &str) -> Result<ProbeSaid, LinkTrouble> {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(answer.as_bytes()).await.unwrap();
        let probed = exchange(&mut ours, REQUEST).await;
        let mut heard = vec![0; REQUEST.len()];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, REQUEST);
        probed
    }

    #[tokio::test]
    async fn a_node_says_which_process_it_is_and_what_it_holds() {
        let whole = |text: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        let said = |memory, tls, rules: Option<&str>| ProbeSaid {
            event: Event::Answered { boot: 123, memory },
            keep: true,
            tls,
            rules: rules.map(str::to_owned),
        };
        let plain = probed(&whole(r#"{"id":"n1","boot":123}"#)).await.unwrap();
        assert_eq!(plain, said(123, false, None));
        let with_disk = r#"{"id":"n1","boot":123,"lineage":7,"tls":true,"https_rules":"0a"}"#;
        assert_eq!(probed(&whole(with_disk)).await.unwrap(), said(7, true, Some("0a")));
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
