//! An origin with TLS, and a cluster that answers in its name.

use super::client::Connection;
use super::cluster::Cluster;
use super::http2::{Frames, Http2};
use super::origin::Origin;
use super::setup::Setup;
use super::tls::{self, Authority};
use super::{PATIENCE, until_true};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub struct Intercepted {
    pub origin: Origin,
    /// That of the origin.
    pub authority: Authority,
    pub cluster: Cluster,
    _folder: TempDir,
}

impl Intercepted {
    pub fn new() -> Intercepted {
        Intercepted::with(|setup, _| setup)
    }

    /// The second is what is listed.
    pub fn with(change: impl FnOnce(Setup, String) -> Setup) -> Intercepted {
        let (authority, folder) = (Authority::new(), TempDir::with_prefix("rh").unwrap());
        let origin = Origin::secure(authority.issue(&["localhost", "127.0.0.1"]).server());
        let file = authority.write(&folder.path().join("roots.pem")).display().to_string();
        let setup =
            Setup::default().unhurried().nodes(1).set("https", "roots", vec![file]).set("log", "access", "text");
        let listed = format!("localhost:{}", origin.address.port());
        let cluster = change(setup.set("https", "hosts", vec![listed.clone()]), listed).start();
        Intercepted { origin, authority, cluster, _folder: folder }
    }

    /// The certificate that its clients trust.
    pub fn ca(&self) -> PathBuf {
        self.cluster.folder().join("state/ca/ca.pem")
    }

    /// What the tunnel is asked to.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.origin.address.port())
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.host())
    }

    /// A client that believes the proxy's authority alone, and speaks these protocols.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let certificates = CertificateDer::pem_file_iter(self.ca()).unwrap();
        Arc::new(tls::client_of(certificates.map(Result::unwrap), protocols))
    }

    /// A tunnel that the proxy has agreed to.
    pub fn tunnel(&self) -> Connection {
        let (mut tunnel, host) = (self.cluster.connect(), self.host());
        tunnel.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
        let head = tunnel.head().unwrap();
        assert_eq!(head.word(1), "200", "{head:?}");
        tunnel
    }

    /// A connection inside one.
    pub fn inside(&self, config: &Arc<ClientConfig>) -> Connection {
        self.tunnel().secure(config, "localhost").unwrap_or_else(|e| panic!("no TLS: {e}\n{}", self.cluster.said()))
    }

    /// The same, which speaks HTTP/2.
    pub fn http2(&self) -> Http2 {
        Http2::over(self.inside(&self.client(&["h2", "http/1.1"])))
    }

    /// The same by its frames.
    pub fn frames(&self) -> Frames {
        Frames::over(self.inside(&self.client(&["h2"])))
    }

    pub fn until_logged(&self, what: &str) {
        until_true(&format!("the log has {what}"), PATIENCE, || self.cluster.said().contains(what));
    }
}
