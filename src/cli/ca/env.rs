//! `ringhold ca env`: what a shell exports so that the programs in it use the proxy and trust the authority.

use super::super::address::{host_and_port, reachable};
use super::super::done::CommandFailure;
use super::bundle;
use crate::clock;
use crate::cluster::membership::state::replace;
use crate::config::{Address, Config, quoted};
use crate::proxy::https::ca::CertificateAuthority;
use crate::proxy::https::folder::{AuthorityFolder, roots};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What reads one file in place of the system's roots: curl, Python, pip, git, cargo, the AWS tools, Nix; OpenSSL and Go read the
/// first.
const REPLACE: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "NIX_SSL_CERT_FILE",
];
/// What reads one file beside its own roots: Node and Deno.
const ADD: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];
/// What is asked without the proxy, unless the shell says otherwise.
const DIRECT: &str = "localhost,127.0.0.1,::1";

/// Writes the files that the variables name, and prints the variables.
pub fn run(
    config: &Config,
    folder: &AuthorityFolder,
    authorities: &[CertificateAuthority],
    proxy: Option<&str>,
) -> Result<(), CommandFailure> {
    let (host, port) = address(config, proxy)?;
    let files = ClientFiles::write(config, folder, authorities)?;
    let own = std::env::var_os("SSL_CERT_FILE").filter(|own| Path::new(own) != files.bundle && !own.is_empty());
    let mut out = std::io::stdout();
    if let Some(own) = own {
        let own = own.to_string_lossy().replace(['\n', '\r'], " ");
        writeln!(out, "# in place of SSL_CERT_FILE={own}: to keep what that has, name the file in `[https] roots`")?;
    }
    Ok(out.write_all(exports(&host, port, &files).as_bytes())?)
}

/// Host and port of the proxy, the host in brackets where it needs them.
fn address(config: &Config, proxy: Option<&str>) -> Result<(String, u16), CommandFailure> {
    let text = match (proxy, config.proxy.listen.first().copied().and_then(reachable)) {
        (Some(proxy), _) => {
            host_and_port("--proxy", proxy).map_err(CommandFailure)?;
            proxy.to_owned()
        }
        (None, Some(listen)) => listen.to_string(),
        (None, None) => {
            let text =
                format!("{} gives the proxy any free port; name the address that it took with --proxy", config.source);
            return Err(CommandFailure(text));
        }
    };
    let parsed = text.parse::<Address>().ok().and_then(|address| address.port());
    let host = text.rsplit_once(':').map_or(&*text, |(host, _)| host);
    Ok((host.to_owned(), parsed.unwrap_or(0)))
}

/// The files for clients, in the authority's folder.
struct ClientFiles {
    ours: PathBuf,
    bundle: PathBuf,
    java: PathBuf,
}

impl ClientFiles {
    fn write(
        config: &Config,
        folder: &AuthorityFolder,
        authorities: &[CertificateAuthority],
    ) -> Result<ClientFiles, CommandFailure> {
        let home = folder.for_clients();
        let files =
            ClientFiles { ours: folder.roots(), bundle: home.join("bundle.pem"), java: home.join("bundle.jks") };
        let others: Vec<PathBuf> = bundle::system().into_iter().chain(config.https.roots.iter().cloned()).collect();
        let all = bundle::joined(&others, &roots(authorities)).map_err(CommandFailure)?;
        let broken =
            || CommandFailure("the system's file of roots is not PEM; install the package ca-certificates".to_owned());
        let java = bundle::for_java(&all, clock::wall()).ok_or_else(broken)?;
        let written = folder
            .publish(authorities)
            .and_then(|()| replace(&files.bundle, all.as_bytes()))
            .and_then(|()| replace(&files.java, &java));
        written.map_err(|cause| CommandFailure(format!("{}: cannot be written ({cause})", home.display())))?;
        Ok(files)
    }
}

fn exports(host: &str, port: u16, files: &ClientFiles) -> String {
    let [ours, bundle, java] = [&files.ours, &files.bundle, &files.java].map(|path| path.display().to_string());
    let proxy = format!("http://{host}:{port}");
    let mut lines = Vec::new();
    let mut export = |name: &str, value: &str| lines.push(format!("export {name}={}\n", quoted(value)));
    // Not HTTP_PROXY: a CGI program would take a request's field `Proxy` for it.
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY"] {
        export(name, &proxy);
    }
    REPLACE.iter().for_each(|name| export(name, &bundle));
    ADD.iter().for_each(|name| export(name, &ours));
    export("NODE_USE_ENV_PROXY", "1");
    export("JAVA_TOOL_OPTIONS", &for_java(host, port, &java));
    lines.push(format!("export no_proxy=\"${{no_proxy:-{DIRECT}}}\"\nexport NO_PROXY=\"$no_proxy\"\n"));
    lines.concat()
}

/// The JVM splits at blanks, and takes quotes away.
fn for_java(host: &str, port: u16, store: &str) -> String {
    let host = host.trim_matches(['[', ']']);
    let blank = store.contains(char::is_whitespace);
    let store = if blank { format!("\"{store}\"") } else { store.to_owned() };
    format!(
        "-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttps.proxyHost={host} -Dhttps.proxyPort={port} \
         -Dhttp.nonProxyHosts=localhost|127.*|[::1] -Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStore={store}"
    )
}
