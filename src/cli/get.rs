//! `ringhold get`: what a client of the proxy sees.

use super::address::{host_and_port, reachable};
use super::api::connect;
use super::args::{Field, GetArgs};
use super::done::CommandFailure;
use crate::config::{ClusterConfig, Config, ZookeeperConfig};
use crate::wire::written;
use bytes::Bytes;
use http::{Request, Response, Uri, Version, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::io::Write;
use tokio::net::TcpStream;

#[derive(Debug)]
pub struct Get {
    uri: Uri,
    proxies: Proxies,
    head: bool,
    fields: Vec<Field>,
}

impl Get {
    pub(super) fn resolve(args: GetArgs, config: impl Fn() -> Result<Config, String>) -> Result<Get, String> {
        let uri: Uri = args.url.parse().map_err(|_| format!("`{}` is not a URL; write http://host/path", args.url))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(format!("`{}` is of another kind; write http://host/path or https://host/path", args.url));
        }
        let proxies = match (args.proxy, args.zookeeper) {
            (Some(proxy), _) => {
                host_and_port("--proxy", &proxy)?;
                Proxies::One(proxy)
            }
            (None, Some(hosts)) => Proxies::of(config()?, &hosts)?,
            (None, None) => Proxies::One(usual_proxy(&config()?)?),
        };
        Ok(Get { uri, proxies, head: args.head, fields: args.fields.fields })
    }

    pub async fn run(self) -> Result<(), CommandFailure> {
        let (proxy, stream) = self.proxies.connect(&self.uri).await?;
        let broke = |cause: hyper::Error| CommandFailure(format!("{proxy} broke off: {cause}"));
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
            true => Err(CommandFailure(format!("{} answered {status}", self.uri))),
            false => Ok(()),
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, CommandFailure> {
        let host = self.uri.authority().map_or("", |a| a.as_str());
        let mut request = Request::get(self.uri.clone()).header(header::HOST, host).header(header::CONNECTION, "close");
        for Field { name, value } in &self.fields {
            request = request.header(name, value);
        }
        request.body(Empty::new()).map_err(|cause| CommandFailure(format!("cannot ask that: {cause}")))
    }

    async fn print_body(&self, mut body: Incoming) -> Result<(), CommandFailure> {
        let mut out = std::io::stdout().lock();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|cause| CommandFailure(format!("the answer broke off: {cause}")))?;
            if let Ok(data) = frame.into_data() {
                out.write_all(&data)?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// Where a proxy is to be found.
#[derive(Debug)]
enum Proxies {
    One(String),
    /// Any front that lives.
    In(ZookeeperConfig, ClusterConfig),
}

impl Proxies {
    fn of(config: Config, hosts: &str) -> Result<Proxies, String> {
        let nodes = Vec::new();
        let config = Config { nodes, ..config }.with_zookeeper(Some(hosts), None).map_err(|e| e.to_string())?;
        let cluster = config.cluster;
        config.zookeeper.map(|zookeeper| Proxies::In(zookeeper, cluster)).ok_or_else(|| "no ZooKeeper".to_owned())
    }

    async fn connect(&self, uri: &Uri) -> Result<(String, TcpStream), CommandFailure> {
        match self {
            Proxies::One(proxy) => {
                let stream = connect(proxy, "Is ringhold running? Else name the proxy with --proxy").await?;
                Ok((proxy.clone(), stream))
            }
            Proxies::In(zookeeper, cluster) => any(zookeeper, cluster, uri).await,
        }
    }
}

/// The fronts in turn, beginning with the one that the URL's hash says, until one accepts.
async fn any(
    zookeeper: &ZookeeperConfig,
    cluster: &ClusterConfig,
    uri: &Uri,
) -> Result<(String, TcpStream), CommandFailure> {
    let at = &zookeeper.connect;
    let found = crate::cluster::membership::zk::fronts(zookeeper, cluster).await;
    let mut fronts = found.map_err(|cause| CommandFailure(format!("cannot ask ZooKeeper at {at}: {cause}")))?;
    if fronts.is_empty() {
        return Err(CommandFailure(format!("no front is registered in {} of ZooKeeper at {at}", zookeeper.path)));
    }
    let first = xxhash_rust::xxh3::xxh3_64(uri.to_string().as_bytes()) % fronts.len() as u64;
    fronts.rotate_left(usize::try_from(first).unwrap_or(0));
    let mut last = CommandFailure(String::new());
    for front in fronts {
        match connect(&front, "No front that ZooKeeper names could be reached").await {
            Ok(stream) => return Ok((front, stream)),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

fn usual_proxy(config: &Config) -> Result<String, String> {
    let address = config.proxy.listen.iter().find_map(|listen| reachable(*listen));
    address.map(|a| a.to_string()).ok_or_else(|| {
        format!("{} gives the proxy any free port; name the address that it took with --proxy", config.source)
    })
}

fn print_head(answer: &Response<Incoming>) -> Result<(), CommandFailure> {
    let version = if answer.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut head = format!("{version} {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        written::field(&mut head, name.as_str().as_bytes(), value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    std::io::stdout().write_all(&head)?;
    Ok(())
}
