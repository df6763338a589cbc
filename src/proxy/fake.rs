//! A node for tests: plays scripts over a real Unix socket.

use crate::cluster::views::Node;
use crate::config::{Address, Config};
use crate::proxy::link::{NodePool, Shared};
use crate::proxy::metrics::FrontCounters;
use http::HeaderValue;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

/// What a fake node does on a connection, in order; at the end of the script it closes.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads a request head.
    Head,
    /// Reads so many bytes.
    Read(usize),
    Write(Vec<u8>),
    /// One byte at a time, each in a packet of its own.
    Drip(Vec<u8>),
    /// Sends and receives nothing until the other side closes.
    Silence,
    /// The same until it is told to go on.
    Until(Rc<Notify>),
}

/// See the module.
pub struct FakeNode {
    pub node: Arc<Node>,
    /// What it has read, by connection.
    pub heard: Rc<RefCell<Vec<Vec<u8>>>>,
    _folder: tempfile::TempDir,
}

impl FakeNode {
    /// Plays the first script on the first connection, and so on; then it listens no more.
    pub fn new(id: &str, scripts: impl IntoIterator<Item = Vec<Act>>) -> FakeNode {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node");
        let listener = UnixListener::bind(&path).unwrap();
        let node = Node::new(id.to_owned(), Address::Unix(path), 1, true);
        node.set_up(true, crate::clock::tick().0);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let scripts: VecDeque<_> = scripts.into_iter().collect();
        tokio::task::spawn_local(accept(listener, scripts, heard.clone()));
        FakeNode { node: Arc::new(node), heard, _folder: folder }
    }

    pub fn heard(&self, connection: usize) -> String {
        String::from_utf8_lossy(&self.heard.borrow()[connection]).into_owned()
    }
}

async fn accept(listener: UnixListener, scripts: VecDeque<Vec<Act>>, heard: Rc<RefCell<Vec<Vec<u8>>>>) {
    for (index, script) in scripts.into_iter().enumerate() {
        let Ok((stream, _)) = listener.accept().await else { return };
        heard.borrow_mut().push(Vec::new());
        tokio::task::spawn_local(play(stream, script, index, heard.clone()));
    }
}

async fn play(mut stream: UnixStream, script: Vec<Act>, index: usize, heard: Rc<RefCell<Vec<Vec<u8>>>>) {
    for act in script {
        let done = match act {
            Act::Head => read_head(&mut stream, index, &heard).await,
            Act::Read(n) => {
                let mut buf = vec![0; n];
                let done = stream.read_exact(&mut buf).await.map(drop);
                heard.borrow_mut()[index].extend_from_slice(&buf);
                done
            }
            Act::Write(bytes) => stream.write_all(&bytes).await,
            Act::Drip(bytes) => drip(&mut stream, &bytes).await,
            Act::Silence => stream.read_to_end(&mut Vec::new()).await.map(drop),
            Act::Until(told) => {
                told.notified().await;
                Ok(())
            }
        };
        if done.is_err() {
            return;
        }
    }
}

async fn read_head(stream: &mut UnixStream, index: usize, heard: &RefCell<Vec<Vec<u8>>>) -> std::io::Result<()> {
    let mut tail = Vec::new();
    while !tail.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await?;
        tail.push(byte);
        heard.borrow_mut()[index].push(byte);
    }
    Ok(())
}

async fn drip(stream: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// The shipped configuration, with waits that suit a test.
pub fn config() -> Config {
    let mut config = Config::parse("", "test.toml").unwrap();
    config.timeouts.expect_continue = Duration::from_millis(50);
    config.timeouts.queue = Duration::from_millis(200);
    config
}

pub fn shared(config: &Config) -> Rc<Shared> {
    let via = [
        HeaderValue::from_static("1.0 test"),
        HeaderValue::from_static("1.1 test"),
        HeaderValue::from_static("2.0 test"),
    ];
    Shared::new(config, Arc::new(FrontCounters::default()), via)
}

pub fn pool(node: &FakeNode, config: &Config) -> Rc<NodePool> {
    NodePool::new(node.node.clone(), shared(config))
}
