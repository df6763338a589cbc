//! One thread that accepts on TCP or, as `unix:/path`, on a Unix socket.

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::Future;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::LocalSet;

/// The value after `--name`, where there is one.
pub fn given(name: &str) -> Option<String> {
    let mut words = std::env::args().skip(1);
    words.by_ref().find(|word| word == name);
    words.next()
}

/// The same, or else the usage and the end of the process.
pub fn argument(name: &str, usage: &str) -> String {
    given(name).unwrap_or_else(|| {
        eprintln!("usage: {usage}");
        std::process::exit(2)
    })
}

/// Runs `work` on a runtime of this one thread.
pub fn on_one_thread(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// Serves `service` on `address` for ever.
pub async fn serve<S>(address: &str, service: S) -> io::Result<()>
where
    S: HttpService<Incoming> + Clone + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::ResBody: 'static,
    <S::ResBody as Body>::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if let Some(path) = address.strip_prefix("unix:") {
        let listener = UnixListener::bind(path)?;
        loop {
            connection(listener.accept().await?.0, service.clone());
        }
    }
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connection(stream, service.clone());
    }
}

fn connection<I, S>(io: I, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: HttpService<Incoming> + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::ResBody: 'static,
    <S::ResBody as Body>::Error: Into<Box<dyn Error + Send + Sync>>,
{
    // A client that leaves is the usual end of a connection: nothing to say about it.
    tokio::task::spawn_local(
        async move { _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await },
    );
}
