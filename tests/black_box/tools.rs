//! Real tools through the proxy against servers on this machine. `make test` runs them; each says when it is left out.

use crate::support::tools::{command, succeed, wanted};
use crate::support::*;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

fn proxy(cluster: &Cluster) -> String {
    format!("http://{}", cluster.proxy)
}

fn came_through_us(origin: &Origin, path: &str) {
    let heads = origin.heads(path);
    assert!(!heads.is_empty(), "nothing asked for {path}");
    assert!(heads.iter().all(|head| head.all("via").join("").contains("ringhold-")), "{heads:?}");
}

#[test]
fn curl_gets_puts_and_hits() {
    if !wanted("curl", &["curl"]) {
        return;
    }
    let (origin, cluster) = (Origin::start(), Cluster::start());
    origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=60\r\n", "the page"));
    origin.on("/up", Exchange::digest);
    let curl = |arguments: &[&str]| {
        let mut curl = command("curl");
        curl.args(["--silent", "--show-error", "--fail", "--max-time", "30", "-x", &proxy(&cluster)]);
        head::latin1(&succeed(curl.args(arguments)))
    };
    let url = origin.url("/page");
    assert!(curl(&["-i", &url]).contains("fwd=uri-miss; stored") || curl(&["-i", &url]).contains("stored"));
    let hit = curl(&["-i", &url]).to_ascii_lowercase();
    assert!(hit.contains("; hit") && hit.ends_with("the page"), "{hit}");
    assert_eq!(origin.count("/page"), 1);
    // Larger than a megabyte, for which curl sends Expect: 100-continue.
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("upload");
    std::fs::write(&file, noise::Noise::bytes(1, 3_000_000)).unwrap();
    let said = curl(&["-T", file.to_str().unwrap(), &origin.url("/up")]);
    assert_eq!(said, format!("3000000 {}", noise::sha256_of(1, 3_000_000)));
    came_through_us(&origin, "/up");
}

#[test]
fn pip_downloads_from_a_local_index() {
    if !wanted("pip download", &["python3"]) || !has_pip() {
        return;
    }
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let folder = TempDir::new().unwrap();
    let name = "ringdemo-1.0-py3-none-any.whl";
    let bytes = tools::make_wheel(&folder.path().join(name));
    let sent = bytes.clone();
    origin.on("/simple/ringdemo/", move |x| {
        let page = format!("<!DOCTYPE html><html><body><a href=\"/files/{name}\">{name}</a></body></html>");
        x.reply(200, "Content-Type: text/html\r\nCache-Control: max-age=600\r\n", page)
    });
    origin.on("/files/*", move |x| x.reply(200, "Cache-Control: max-age=600\r\n", &sent));
    for round in ["one", "two"] {
        let into = folder.path().join(round);
        let mut pip = command("python3");
        pip.args(["-m", "pip", "--isolated", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]);
        pip.args(["--index-url", &origin.url("/simple/"), "--trusted-host", "127.0.0.1", "--proxy", &proxy(&cluster)]);
        succeed(pip.args(["-d", into.to_str().unwrap(), "ringdemo"]));
        assert!(std::fs::read(into.join(name)).unwrap() == bytes);
    }
    came_through_us(&origin, "/files/*");
    assert_eq!(origin.count("/files/*"), 1, "the second download is a hit");
}

fn has_pip() -> bool {
    let there = command("python3").args(["-m", "pip", "--version"]).output().is_ok_and(|o| o.status.success());
    if !there {
        tools::left_out("pip download", "python3 has no pip on this machine");
    }
    there
}

#[test]
fn git_clones_over_smart_and_dumb_http() {
    if !wanted("git clone", &["git"]) {
        return;
    }
    let (origin, cluster) = (Origin::start(), Cluster::start());
    let folder = TempDir::new().unwrap();
    let root = folder.path().to_owned();
    make_repository(&root);
    let files = root.clone();
    origin.on("/dumb/*", move |x| {
        let path = x.target().split('?').next().unwrap().trim_start_matches("/dumb/").to_owned();
        match std::fs::read(files.join(path)) {
            Ok(bytes) => x.reply(200, "Cache-Control: no-cache\r\n", bytes),
            Err(_) => x.reply(404, "", ""),
        }
    });
    let cgi_root = root.clone();
    origin.on("/smart/*", move |x| git_backend(x, &cgi_root));
    for kind in ["dumb", "smart"] {
        let into = root.join(format!("clone-{kind}"));
        let setting = format!("http.proxy={}", proxy(&cluster));
        let mut git = git(&root);
        git.args(["-c", &setting, "clone", "--quiet", &origin.url(&format!("/{kind}/bare.git"))]);
        succeed(git.arg(&into));
        assert!(std::fs::read(into.join("large")).unwrap() == noise::Noise::bytes(9, 2_000_000), "{kind}");
        came_through_us(&origin, &format!("/{kind}/*"));
    }
    assert!(origin.count("/smart/bare.git/git-upload-pack") > 0, "the smart protocol was spoken");
}

fn git(home: &Path) -> Command {
    let mut git = command("git");
    git.env("HOME", home).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").current_dir(home);
    git
}

fn make_repository(root: &Path) {
    let work = root.join("work");
    std::fs::create_dir(&work).unwrap();
    std::fs::write(work.join("large"), noise::Noise::bytes(9, 2_000_000)).unwrap();
    let run = |folder: &Path, arguments: &[&str]| drop(succeed(git(root).current_dir(folder).args(arguments)));
    run(&work, &["init", "--quiet"]);
    run(&work, &["add", "."]);
    let me = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    run(&work, &[&me[..], &["commit", "--quiet", "-m", "first"]].concat());
    run(root, &["clone", "--quiet", "--bare", "work", "bare.git"]);
    run(&root.join("bare.git"), &["update-server-info"]);
}

/// Runs `git http-backend` as a CGI program (RFC 3875).
fn git_backend(x: &mut Exchange, root: &Path) -> std::io::Result<()> {
    let body = x.whole_body()?;
    let target = x.target().trim_start_matches("/smart").to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut backend = git(root);
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", x.method());
    for (variable, field) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        backend.env(variable, x.head.get(field).unwrap_or_default());
    }
    backend.env("CONTENT_LENGTH", body.len().to_string());
    let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().expect("piped");
    let feed = std::thread::spawn(move || stdin.write_all(&body));
    let answer = child.wait_with_output()?.stdout;
    let _ = feed.join();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a CGI head") + 2;
    let fields = head::latin1(&answer[..end]);
    let status = fields.lines().find_map(|l| l.strip_prefix("Status: ")?.get(..3)?.parse().ok()).unwrap_or(200);
    x.reply(status, &fields, &answer[end + 2..])
}

/// `openssl s_server` on a port of its own; killed when dropped.
struct Tls {
    child: Child,
    port: u16,
}

impl Tls {
    fn start(folder: &Path) -> Tls {
        let mut make = command("openssl");
        make.args("req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem".split(' '));
        make.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        succeed(make.current_dir(folder));
        let mut serve = command("openssl");
        serve.args("s_server -accept 127.0.0.1:0 -key key.pem -cert cert.pem -WWW".split(' ')).current_dir(folder);
        let mut child = serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = lines.find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.rsplit(':').next()?.trim().parse().ok());
        // The pipe stays open and empty: the server says nothing more of importance.
        std::thread::spawn(move || lines.for_each(drop));
        Tls { child, port: port.expect("openssl tells its port") }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_https_origin_is_reached_through_connect() {
    if !wanted("https through CONNECT", &["curl", "openssl"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let bytes = noise::Noise::bytes(21, 500_000);
    std::fs::write(folder.path().join("page"), &bytes).unwrap();
    let tls = Tls::start(folder.path());
    let cluster = Cluster::start();
    let url = format!("https://127.0.0.1:{}/page", tls.port);
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--fail", "--http1.0", "--cacert", "cert.pem", "-x", &proxy(&cluster)]);
    curl.args(["--write-out", "%{stderr}%{http_connect}", &url]).current_dir(folder.path());
    let output = tools::run(&mut curl, 3 * PATIENCE);
    assert!(output.status.success(), "{}", head::latin1(&output.stderr));
    assert_eq!(head::latin1(&output.stderr), "200", "curl asked the proxy to CONNECT");
    assert!(output.stdout == bytes);
}
