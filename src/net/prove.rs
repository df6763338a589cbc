//! The front's side of a new TCP connection to a node: where the cluster has a secret, both prove that they know it
//! (`docs/link.md`, Trust on TCP), inside TLS where both can.

use super::able;
use super::alive::watch_peer;
use super::eyeballs;
use super::http1::ByteStream;
use super::http1::brief::{self, odd};
use super::listen::Stream;
use super::tls::{TlsSession, link as tls};
use super::web::LINK_HOST;
use crate::config::{Address, ClusterConfig, check_id};
use crate::wire::proof::{self, Binding, HELLO, Hello, Hex, LINK, Nonce, PROVE, Party, Prove, Proved, Side};
use serde::de::DeserializeOwned;
use std::io::{self, Error, ErrorKind};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::sleep;

/// Between two looks at a full queue of connections.
const PAUSE: Duration = Duration::from_millis(2);

/// What the node said to a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProofReply {
    /// It knows the secret as well.
    Trusted,
    /// It does not know this secret, and closes.
    Refused,
}

/// Connects to the node `id`, which is then known to be that one (over TCP, where there is a secret). Takes as long as it
/// takes. The queue of connections of a Unix socket that is full refuses nobody: there is no event for that, so we look again
/// while it `may_answer`.
pub async fn reach(
    address: &Address,
    id: &str,
    cluster: &ClusterConfig,
    may_answer: impl Fn() -> bool,
) -> io::Result<Stream> {
    let path = match address {
        Address::Tcp(address) => return connect(address, id, cluster).await,
        Address::Unix(path) => path,
    };
    loop {
        match UnixStream::connect(path).await {
            Err(e) if e.kind() == ErrorKind::WouldBlock && may_answer() => sleep(PAUSE).await,
            result => return Ok(Stream::Unix(result?)),
        }
    }
}

/// Connects to the node `id`. Takes as long as it takes. A node that proves nothing, or is another one, is
/// `PermissionDenied`. Without a secret nothing is known of what listens there.
pub async fn connect(address: &str, id: &str, cluster: &ClusterConfig) -> io::Result<Stream> {
    let mut secrets = cluster.secrets().peekable();
    if secrets.peek().is_none() {
        return Ok(Stream::Tcp(open(address).await?));
    }
    let only_tls = is_able(id, cluster);
    for secret in secrets {
        // Boxed: without a secret, and on a Unix socket, nobody carries room for it.
        if let Some(stream) = Box::pin(proved(address, id, secret, only_tls)).await? {
            return Ok(stream);
        }
    }
    Err(unaccepted())
}

/// Whether a node is spoken to inside TLS alone, because it has been before.
pub fn is_able(id: &str, cluster: &ClusterConfig) -> bool {
    cluster.secrets().any(|secret| able::has(secret, id))
}

/// Connects to the front `id` where its clients do, and has it take TLS up: what is told there is said in no other way.
pub async fn connect_front(address: &str, id: &str, cluster: &ClusterConfig) -> io::Result<Stream> {
    for secret in cluster.secrets() {
        let mut socket = open(address).await?;
        let asks =
            format!("GET {HELLO} HTTP/1.1\r\nHost: {LINK_HOST}\r\nConnection: upgrade\r\nUpgrade: {LINK}\r\n\r\n");
        match brief::ask(&mut socket, asks.as_bytes()).await? {
            answer if answer.status == 101 => {}
            answer => return Err(odd(&format!("status {}", answer.status))),
        }
        if let Some(session) = encrypted(socket, id, secret).await? {
            return Ok(Stream::Tls(Box::new(session)));
        }
    }
    Err(unaccepted())
}

fn unaccepted() -> Error {
    denied("it does not accept our proof: set the same `[cluster] secret` here and there")
}

/// By one of the secrets. `None`: the node does not take our proof by that.
async fn proved(address: &str, id: &str, secret: &str, only_tls: bool) -> io::Result<Option<Stream>> {
    if !only_tls {
        let mut socket = open(address).await?;
        let hello = greet(&mut socket, id).await?;
        // What it says of itself is in both proofs: in clear, one that can does not take ours.
        if !hello.nonce.is_of_able() {
            let reply = exchange(&mut socket, &hello, secret, None).await?;
            return Ok((reply == ProofReply::Trusted).then_some(Stream::Tcp(socket)));
        }
    }
    let session = encrypted(open(address).await?, id, secret).await?;
    Ok(session.map(|session| {
        able::note(secret, id);
        Stream::Tls(Box::new(session))
    }))
}

/// Shakes hands, and proves inside.
async fn encrypted(socket: TcpStream, id: &str, secret: &str) -> io::Result<Option<TlsSession>> {
    let mut session = tls::connect(socket).await.map_err(unencrypted)?;
    let binding = session.binding()?;
    let hello = greet(&mut session, id).await?;
    let reply = exchange(&mut session, &hello, secret, Some(&binding)).await?;
    Ok((reply == ProofReply::Trusted).then_some(session))
}

/// Whether an attempt to connect has shown that no node of ours is to be reached there: it was refused, there is no way, or
/// what listens there proves nothing.
pub fn turns_away(error: &io::Error) -> bool {
    use ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionRefused | NotFound | HostUnreachable | NetworkUnreachable | PermissionDenied | InvalidData
    )
}

/// Connects to `host:port` of the cluster's own. Takes as long as it takes.
pub async fn open(address: &str) -> io::Result<TcpStream> {
    let addresses = lookup_host(address).await?.collect();
    let (stream, _) = eyeballs::connect(addresses, None, Duration::MAX).await?;
    watch_peer(&stream)?;
    Ok(stream)
}

/// Who is there, and what is to be answered.
async fn greet(stream: &mut impl ByteStream, id: &str) -> io::Result<Hello> {
    let hello: Hello = match brief::ask(stream, &request("GET", HELLO, "")).await? {
        answer if answer.status == 200 => read(&answer.body)?,
        answer => return Err(odd(&format!("status {}", answer.status))),
    };
    if hello.id == id { Ok(hello) } else { Err(another(&hello.id, id)) }
}

/// One secret on one connection.
async fn exchange(
    stream: &mut impl ByteStream,
    hello: &Hello,
    secret: &str,
    tls: Option<&Binding>,
) -> io::Result<ProofReply> {
    let (own, node) = (challenge()?, Party { id: &hello.id, boot: hello.boot, tls });
    let prove = Prove { nonce: own, mac: proof::prove(secret, Side::Front, node, &hello.nonce, &own) };
    let answer = brief::ask(stream, &request("POST", PROVE, &serde_json::to_string(&prove)?)).await?;
    match answer.status {
        200 if !answer.keep => Err(odd("it closes what it has trusted")),
        200 => verified(&read(&answer.body)?, secret, node, &own, &hello.nonce),
        403 => Ok(ProofReply::Refused),
        status => Err(odd(&format!("status {status}"))),
    }
}

/// A node that accepts any proof without one of its own is none of ours.
fn verified(proved: &Proved, secret: &str, node: Party<'_>, challenge: &Nonce, own: &Nonce) -> io::Result<ProofReply> {
    match proof::holds(&proved.mac, secret, Side::Node, node, challenge, own) {
        true => Ok(ProofReply::Trusted),
        false => Err(denied("it does not know our `[cluster] secret`: something else listens there")),
    }
}

/// It is passed over rather than believed: what listens there may be passing on what it hears.
fn another(said: &str, meant: &str) -> Error {
    let said = if check_id(said).is_ok() { said } else { "nobody's" };
    denied(&format!(
        "the node that answers there has the id `{said}`, not `{meant}`: name each node by the id that it was \
                     started with (--id), and look at what listens at its address"
    ))
}

/// Nothing is said in clear to who can speak TLS, or has said so.
fn unencrypted(error: io::Error) -> Error {
    let what = match error.kind() {
        ErrorKind::InvalidData => "what listens there does not, though the node has said or proved before that it can",
        _ => "the connection ended within its handshake",
    };
    let kind = error.kind();
    Error::new(
        kind,
        format!(
            "this link is spoken in TLS alone, and {what} ({error}): look at what is between the two; where an older version \
             was put back there, start this process anew"
        ),
    )
}

/// A number that nobody has seen before, of who can speak TLS.
pub fn challenge() -> io::Result<Nonce> {
    nonce().map(Nonce::of_able)
}

/// A number that nobody has seen before, from the system.
pub fn nonce() -> io::Result<Nonce> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(e) if e == rustix::io::Errno::INTR => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(Hex(bytes))
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = match body {
        "" => String::new(),
        body => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {LINK_HOST}\r\n{length}\r\n{body}").into_bytes()
}

fn read<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    serde_json::from_slice(body).map_err(|e| odd(&e.to_string()))
}

fn denied(what: &str) -> Error {
    Error::new(ErrorKind::PermissionDenied, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const HELLO_ANSWER: &str = r#"{"nonce":"00000000000000000000000000000000","id":"n1","boot":7}"#;

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    /// Something that says one thing after the other, whatever it is asked, on each connection; what it heard.
    async fn script(
        answers: &'static [(&'static str, &'static str)],
    ) -> (String, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let played = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Ok(accepted) =
                tokio::time::timeout(std::time::Duration::from_millis(300), listener.accept()).await
            {
                let mut stream = accepted.unwrap().0;
                for (status, body) in answers {
                    let mut buf = vec![0; 4096];
                    let n = stream.read(&mut buf).await.unwrap();
                    heard.push(String::from_utf8_lossy(&buf[..n]).into_owned());
                    stream.write_all(answer(status, body).as_bytes()).await.unwrap();
                }
            }
            heard
        });
        (address, played)
    }

    fn cluster(secret: Option<&str>, previous: Option<&str>) -> ClusterConfig {
        let secret_of = |s: &str| Secret(s.to_owned());
        ClusterConfig { secret: secret.map(secret_of), previous_secret: previous.map(secret_of) }
    }

    #[tokio::test]
    async fn without_a_secret_nothing_is_said() {
        let (address, played) = script(&[]).await;
        connect(&address, "n1", &cluster(None, None)).await.unwrap();
        assert!(played.await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_node_that_accepts_everything_and_proves_nothing_is_not_trusted() {
        const NOTHING: &str = r#"{"mac":"0000000000000000000000000000000000000000000000000000000000000000"}"#;
        let (address, _played) = script(&[("200 OK", HELLO_ANSWER), ("200 OK", NOTHING)]).await;
        let error = connect(&address, "n1", &cluster(Some("new"), Some("old"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }

    #[tokio::test]
    async fn another_node_than_the_one_that_was_meant_gets_no_proof() {
        let (address, played) = script(&[("200 OK", HELLO_ANSWER)]).await;
        let error = connect(&address, "n2", &cluster(Some("new"), Some("old"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains("has the id `n1`, not `n2`"), "{error}");
        assert_eq!(played.await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn refused_with_one_secret_the_front_tries_the_other_on_a_new_connection() {
        let (address, played) = script(&[("200 OK", HELLO_ANSWER), ("403 Forbidden", "no\n")]).await;
        let error = connect(&address, "n1", &cluster(Some("new"), Some("old"))).await.unwrap_err();
        assert!(error.to_string().contains("[cluster] secret"), "{error}");
        let heard = played.await.unwrap();
        assert_eq!(heard.len(), 4, "{heard:?}");
        let proofs: Vec<Prove> =
            [&heard[1], &heard[3]].map(|h| serde_json::from_str(h.split_once("\r\n\r\n").unwrap().1).unwrap()).to_vec();
        for (prove, secret) in proofs.iter().zip(["new", "old"]) {
            let node = Party { id: "n1", boot: 7, tls: None };
            assert!(prove.nonce.is_of_able(), "a node that can as well is not to take it");
            assert!(proof::holds(&prove.mac, secret, Side::Front, node, &Hex([0; 16]), &prove.nonce), "{secret}");
        }
        assert_ne!(proofs[0].nonce, proofs[1].nonce);
    }

    #[tokio::test]
    async fn what_is_not_a_node_is_said_to_be_none() {
        for answers in [
            &[("404 Not Found", "")][..],
            &[("403 Forbidden", "")],
            &[("200 OK", "hello")],
            &[("200 OK", r#"{"nonce":"00"}"#)],
            &[("200 OK", r#"{"nonce":"00000000000000000000000000000000"}"#)],
            &[("200 OK", HELLO_ANSWER), ("500 Oops", "")],
            &[("200 OK", HELLO_ANSWER), ("200 OK", "{}")],
        ] {
            let (address, _played) = script(answers).await;
            let error = connect(&address, "n1", &cluster(Some("new"), None)).await.unwrap_err();
            assert!(error.to_string().contains("not a ringhold node"), "{answers:?}: {error}");
        }
    }
}
