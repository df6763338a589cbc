//! A hyper server that relays each request over a Unix socket with pooled hyper connections: the limit of a relayed hit
//! as long as hyper speaks on both sides.

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use limits::serve::{argument, on_one_thread, serve};
use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::net::UnixStream;

const USAGE: &str = "bare-relay --listen HOST:PORT --node /path";

type Failure = Box<dyn Error + Send + Sync>;

struct Pool {
    path: String,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

fn main() -> io::Result<()> {
    let address = argument("--listen", USAGE);
    let pool = Rc::new(Pool { path: argument("--node", USAGE), idle: RefCell::default() });
    let service = service_fn(move |request: Request<Incoming>| relay(pool.clone(), request));
    on_one_thread(serve(&address, service))
}

async fn relay(pool: Rc<Pool>, request: Request<Incoming>) -> Result<Response<Relayed>, Infallible> {
    Ok(attempt(pool, request).await.unwrap_or_else(|error| {
        let mut response = Response::new(Relayed::Text(Full::new(Bytes::from(format!("{error}\n")))));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

async fn attempt(pool: Rc<Pool>, request: Request<Incoming>) -> Result<Response<Relayed>, Failure> {
    let mut sender = pool.take().await?;
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Relayed::Body { body, lease: Some((sender, pool)) }))
}

impl Pool {
    /// The connection that was used last, for its memory is warm.
    async fn take(&self) -> Result<SendRequest<Incoming>, Failure> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            let Some(mut sender) = idle else { return self.connect().await };
            // Not yet ready is one poll of its connection away; closed is an error.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.path).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move { _ = connection.await });
        Ok(sender)
    }
}

/// The node's body, which gives its connection back when it has been read to the end.
enum Relayed {
    Body { body: Incoming, lease: Option<(SendRequest<Incoming>, Rc<Pool>)> },
    Text(Full<Bytes>),
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if let Self::Body { body, lease } = self
            && body.is_end_stream()
            && let Some((sender, pool)) = lease.take()
        {
            pool.idle.borrow_mut().push(sender);
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Body { body, .. } => Pin::new(body).poll_frame(context),
            Self::Text(text) => Pin::new(text).poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Body { body, .. } => body.is_end_stream(),
            Self::Text(text) => text.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Body { body, .. } => body.size_hint(),
            Self::Text(text) => text.size_hint(),
        }
    }
}
