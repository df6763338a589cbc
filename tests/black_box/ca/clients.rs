//! Other people's TLS clients, each asked whether it takes a server for a host.

use crate::support::chromium;
use crate::support::tools::{command, is_there, run, succeed};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// `openssl s_server` with a chain, on a port of its own.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    pub fn start(leaf: &Path, key: &Path, chain: &Path) -> Server {
        let mut server = command("openssl");
        server.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert"]).arg(leaf).arg("-key").arg(key);
        server.arg("-cert_chain").arg(chain);
        let mut child =
            server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("openssl starts");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // `ACCEPT 127.0.0.1:40001`
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.strip_prefix("ACCEPT ").and_then(|address| address.rsplit(':').next()?.trim().parse().ok())
        });
        Server { child, port: port.expect("it says where it listens") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The variables by which a client is to know the authority.
pub type Trust = Vec<(String, String)>;

/// Those by which it knows the roots in a file (PEM).
pub fn trusting(roots: &Path) -> Trust {
    let file = roots.to_str().expect("it is a path of ours");
    let mut trust: Trust = ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]
        .map(|name| (name.to_owned(), file.to_owned()))
        .into();
    if is_there("keytool") {
        let store = format!("-Djavax.net.ssl.trustStore={}", store(roots).display());
        trust.push(("JAVA_TOOL_OPTIONS".to_owned(), format!("{store} -Djavax.net.ssl.trustStorePassword=changeit")));
    }
    trust
}

/// How a client takes a server for a host: what it says where it refuses.
pub type Client = fn(host: &str, server: &Server, trust: &Trust) -> Result<(), String>;

/// A client, and the programs that it needs.
pub type Tool = (&'static str, &'static [&'static str], Client);

/// Those that are told by variables whom to trust.
pub const CLIENTS: &[Tool] = &[
    ("curl", &["curl"], curl),
    ("Python, strict", &["python3"], python),
    ("Node", &["node"], node),
    ("Go", &["go"], go),
    ("Java", &["java", "keytool"], java),
];

/// It trusts what is in its user's store.
pub const CHROMIUM: Tool = ("Chromium", &["chromium", "certutil"], browser);

fn ended(command: &mut Command, trust: &Trust) -> Result<(), String> {
    let output = run(command.env_remove("SSL_CERT_DIR").envs(trust.iter().cloned()), PATIENCE);
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
    }
}

fn curl(host: &str, server: &Server, trust: &Trust) -> Result<(), String> {
    let to = format!("{host}:443:127.0.0.1:{}", server.port);
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*", "--connect-to", &to]);
    ended(curl.args(["--output", "/dev/null", &format!("https://{host}/")]), trust)
}

const PYTHON: &str = "
import socket, ssl, sys
host, port = sys.argv[1:]
context = ssl.create_default_context()
context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
with context.wrap_socket(socket.create_connection(('127.0.0.1', int(port)), 30), server_hostname=host) as s:
    s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')
    assert s.recv(100)
";

fn python(host: &str, server: &Server, trust: &Trust) -> Result<(), String> {
    ended(command("python3").args(["-c", PYTHON, host, &server.port.to_string()]), trust)
}

const NODE: &str = "
const [host, port] = process.argv.slice(1);
const tls = require('tls'), net = require('net');
const socket = tls.connect({
  host: '127.0.0.1', port, servername: net.isIP(host) ? '' : host,
  checkServerIdentity: (_, certificate) => tls.checkServerIdentity(host, certificate),
}, () => process.exit(socket.authorized ? 0 : 1));
socket.on('error', (error) => { console.error(error.code); process.exit(1); });
";

fn node(host: &str, server: &Server, trust: &Trust) -> Result<(), String> {
    ended(command("node").args(["-e", NODE, host, &server.port.to_string()]), trust)
}

const GO: &str = r#"
package main

import (
    "crypto/tls"
    "fmt"
    "os"
)

func main() {
    c, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[2], &tls.Config{ServerName: os.Args[1]})
    if err != nil {
        fmt.Println(err)
        os.Exit(1)
    }
    c.Close()
}
"#;

fn go(host: &str, server: &Server, trust: &Trust) -> Result<(), String> {
    static BUILT: OnceLock<TempDir> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("client.go"), GO).unwrap();
        let mut go = command("go");
        go.current_dir(folder.path()).env("HOME", folder.path()).env("GOCACHE", folder.path().join("cache"));
        succeed(go.env("GO111MODULE", "off").args(["build", "-o", "client", "client.go"]));
        folder
    });
    ended(command(folder.path().join("client").to_str().unwrap()).args([host, &server.port.to_string()]), trust)
}

fn browser(host: &str, server: &Server, trust: &Trust) -> Result<(), String> {
    let home = TempDir::new().unwrap();
    let roots = trust.iter().find(|(name, _)| name == "SSL_CERT_FILE").expect("it is one of them");
    chromium::trust(home.path(), Path::new(&roots.1));
    let (mut chromium, _profile) = chromium::dumping(chromium::chromium().expect("it is there"), home.path());
    chromium.arg("--no-proxy-server").arg(format!("--host-resolver-rules=MAP * 127.0.0.1:{}", server.port));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let output = run(chromium.arg("--enable-logging=stderr").arg(format!("https://{host}/")), PATIENCE);
    // Openssl's page of itself, or none at all.
    match String::from_utf8_lossy(&output.stdout).contains("s_server") {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

const JAVA: &str = r#"
import java.net.Socket;
import javax.net.ssl.*;
public class Client {
    public static void main(String[] a) throws Exception {
        Socket plain = new Socket("127.0.0.1", Integer.parseInt(a[1]));
        SSLSocket s = (SSLSocket) ((SSLSocketFactory) SSLSocketFactory.getDefault()).createSocket(plain, a[0], 443, true);
        SSLParameters p = s.getSSLParameters();
        p.setEndpointIdentificationAlgorithm("HTTPS");
        s.setSSLParameters(p);
        s.startHandshake();
    }
}
"#;

fn java(host: &str, server: &Server, trust: &Trust) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("Client.java");
    std::fs::write(&source, JAVA).unwrap();
    ended(command("java").arg(source).args([host, &server.port.to_string()]), trust)
}

/// A trust store of Java with the first of the roots.
fn store(roots: &Path) -> PathBuf {
    let store = roots.with_extension("p12");
    if !store.exists() {
        let mut keytool = command("keytool");
        keytool.env_remove("JAVA_TOOL_OPTIONS").args([
            "-importcert",
            "-noprompt",
            "-alias",
            "ours",
            "-storetype",
            "PKCS12",
        ]);
        succeed(keytool.args(["-storepass", "changeit", "-keystore"]).arg(&store).arg("-file").arg(roots));
    }
    store
}
