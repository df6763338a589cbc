//! `ringhold get`: what a client of the proxy sees.

use super::Failure;
use super::api::connect;
use super::args::{Field, GetArgs};
use super::resolve::reachable;
use crate::config::Config;
use bytes::Bytes;
use http::{Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::io::Write;

#[derive(Debug)]
pub struct Get {
    uri: Uri,
    proxy: String,
    head: bool,
    fields: Vec<Field>,
}

impl Get {
    pub(super) fn resolve(args: GetArgs, config: impl Fn() -> Result<Config, String>) -> Result<Get, String> {
        let uri: Uri = args.url.parse().map_err(|_| format!("`{}` is not a URL; write http://host/path", args.url))?;
        if uri.scheme_str() != Some("http") {
            return Err("get speaks plain http; for https use: curl -x http://PROXY URL".to_owned());
        }
        let proxy = args.proxy.map_or_else(|| usual_proxy(&config()?), Ok)?;
        Ok(Get { uri, proxy, head: args.head, fields: args.fields.fields })
    }

    pub async fn run(self) -> Result<(), Failure> {
        let stream = connect(&self.proxy, "Is ringhold running? Else name the proxy with --proxy").await?;
        let broke = |cause: hyper::Error| Failure(format!("{} broke off: {cause}", self.proxy));
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
        tokio::spawn(connection);
        let answer = send.send_request(self.request()?).await.map_err(broke)?;
        if self.head {
            print_head(&answer)?;
        }
        let status = answer.status();
        self.print_body(answer.into_body()).await?;
        match status.is_client_error() || status.is_server_error() {
            true => Err(Failure(format!("{} answered {status}", self.uri))),
            false => Ok(()),
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, Failure> {
        let host = self.uri.authority().map_or("", |a| a.as_str());
        let mut request = Request::get(self.uri.clone()).header(header::HOST, host).header(header::CONNECTION, "close");
        for Field { name, value } in &self.fields {
            request = request.header(name, value);
        }
        request.body(Empty::new()).map_err(|cause| Failure(format!("cannot ask that: {cause}")))
    }

    async fn print_body(&self, mut body: Incoming) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| Failure(format!("the answer broke off: {cause}")))?;
            if let Ok(data) = frame.into_data() {
                out.write_all(&data)?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

fn usual_proxy(config: &Config) -> Result<String, String> {
    let address = config.proxy.listen.iter().find_map(|listen| reachable(*listen));
    address.map(|a| a.to_string()).ok_or_else(|| {
        format!("{} gives the proxy any free port; name the address that it took with --proxy", config.source)
    })
}

fn print_head(answer: &Response<Incoming>) -> Result<(), Failure> {
    let version = if answer.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut head = format!("{version} {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    std::io::stdout().write_all(&head)?;
    Ok(())
}
