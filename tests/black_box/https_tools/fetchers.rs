//! Programs that fetch files: curl, git, Java and Node.

use super::stage::Stage;
use crate::support::noise::Noise;
use crate::support::tools::{command, succeed, wanted};
use std::fs;
use std::path::Path;

const NAME: &str = "files.example";
const KEEP: &str = "Cache-Control: max-age=600\r\nContent-Type: application/octet-stream\r\n";
/// More than fits into one record or one buffer.
const LONG: u64 = 300_000;

/// An origin with a file; `None` where it cannot be there.
fn with_a_file(test: &str, ip: &str) -> Option<Stage> {
    let stage = Stage::with(test, NAME, &[NAME], ip)?;
    stage.origin.on("/file", |x| x.reply(200, KEEP, Noise::bytes(7, LONG)));
    Some(stage)
}

fn is_whole(file: &Path) -> bool {
    fs::read(file).is_ok_and(|bytes| bytes == Noise::bytes(7, LONG))
}

#[test]
fn curl_fetches_twice_and_the_origin_sends_the_file_once() {
    if !wanted("curl by https", &["curl", "unshare"]) {
        return;
    }
    let Some(stage) = with_a_file("curl by https", "127.83.0.6") else { return };
    for round in ["one", "two"] {
        let into = stage.path(round);
        let mut curl = stage.tool("curl");
        curl.args(["--silent", "--show-error", "--fail", "--output"]).arg(&into);
        succeed(curl.arg(format!("https://{NAME}/file")));
        assert!(is_whole(&into), "bit by bit");
    }
    assert_eq!(stage.origin.count("/file"), 1, "{}", stage.cluster.said());
}

/// Both clients that Java has.
const JAVA: &str = r#"
import java.io.InputStream;
import java.net.*;
import java.net.http.*;
import java.nio.file.*;
public class Fetch {
    public static void main(String[] a) throws Exception {
        try (InputStream in = new URL(a[0]).openStream()) { Files.copy(in, Path.of(a[1])); }
        HttpClient client = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(a[0])).build();
        int status = client.send(request, HttpResponse.BodyHandlers.ofFile(Path.of(a[2]))).statusCode();
        if (status != 200) throw new Exception("" + status);
    }
}
"#;

#[test]
fn java_fetches_twice_and_the_origin_sends_the_file_once() {
    if !wanted("Java by https", &["java", "javac", "unshare"]) {
        return;
    }
    let Some(stage) = with_a_file("Java by https", "127.83.0.7") else { return };
    let source = stage.path("Fetch.java");
    fs::write(&source, JAVA).unwrap();
    for round in ["one", "two"] {
        let [first, second] = ["first", "second"].map(|client| stage.path(&format!("{round}-{client}")));
        let mut java = stage.tool("java");
        succeed(java.arg(&source).arg(format!("https://{NAME}/file")).args([&first, &second]));
        assert!(is_whole(&first) && is_whole(&second), "bit by bit");
    }
    assert_eq!(stage.origin.count("/file"), 1, "{}", stage.cluster.said());
}

/// Before version 24 Node heeds no `https_proxy`: the program asks for the tunnel itself, and leaves the roots to Node.
const NODE: &str = "
const [url, file] = process.argv.slice(1);
const http = require('http'), https = require('https'), fs = require('fs');
const proxy = new URL(process.env.https_proxy), { hostname } = new URL(url);
const fail = error => { console.error(error); process.exit(1); };
const path = `${hostname}:443`;
http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path, headers: { host: path } })
  .on('connect', (answer, socket) => {
    https.get(url, { defaultPort: 443, createConnection: () => require('tls').connect({ socket, servername: hostname }) }, answer => {
      if (answer.statusCode !== 200) fail(answer.statusCode);
      answer.pipe(fs.createWriteStream(file)).on('finish', () => process.exit(0));
    }).on('error', fail);
  }).on('error', fail).end();
";

#[test]
fn node_fetches_twice_and_the_origin_sends_the_file_once() {
    if !wanted("Node by https", &["node", "unshare"]) {
        return;
    }
    let Some(stage) = with_a_file("Node by https", "127.83.0.8") else { return };
    for round in ["one", "two"] {
        let into = stage.path(round);
        let mut node = stage.tool("node");
        succeed(node.args(["-e", NODE, &format!("https://{NAME}/file")]).arg(&into));
        assert!(is_whole(&into), "bit by bit");
    }
    assert_eq!(stage.origin.count("/file"), 1, "{}", stage.cluster.said());
}

/// A bare repository with one commit, made from `work` beside it.
pub const MAKE_REPOSITORY: &str = "
set -e
git init --quiet work && cd work
git config user.name a && git config user.email a@example.com
head -c 100000 /dev/zero | tr '\\0' a > page && git add page && git commit --quiet --message one
cd .. && git clone --quiet --bare work \"$1\" && cd \"$1\" && git update-server-info
";

/// By plain files, as a server without git has them: what it answers to git's own protocol is no HTTP cache's matter.
#[test]
fn git_clones_twice_and_the_origin_sends_each_object_once() {
    if !wanted("git by https", &["git", "unshare"]) {
        return;
    }
    let Some(stage) = Stage::with("git by https", NAME, &[NAME], "127.83.0.9") else { return };
    let repository = stage.path("page.git");
    let mut make = command("sh");
    make.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").current_dir(stage.empty("made"));
    succeed(make.args(["-c", MAKE_REPOSITORY, "sh"]).arg(&repository));
    let folder = repository.clone();
    stage.origin.on("/page.git/*", move |x| {
        let path = x.target().trim_start_matches("/page.git/").split('?').next().unwrap_or_default().to_owned();
        match fs::read(folder.join(path)) {
            Ok(_) if x.head.has("if-none-match") => x.reply_empty(304, "ETag: \"1\"\r\nCache-Control: max-age=600\r\n"),
            Ok(bytes) => x.reply(200, &format!("{KEEP}ETag: \"1\"\r\n"), bytes),
            Err(_) => x.reply(404, KEEP, "no such file"),
        }
    });
    for round in ["one", "two"] {
        let into = stage.path(round);
        let mut git = stage.tool("git");
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        succeed(git.args(["clone", "--quiet", &format!("https://{NAME}/page.git")]).arg(&into));
        assert_eq!(fs::read(into.join("page")).unwrap(), [b'a'; 100_000], "bit by bit");
    }
    // git asks some with Pragma: no-cache: those are found to be the same.
    let heads = stage.origin.heads("/page.git/*");
    let (known, whole): (Vec<_>, Vec<_>) = heads.into_iter().partition(|head| head.has("if-none-match"));
    let known: Vec<_> = known.iter().filter(|head| !head.has("pragma")).map(|head| &head.line).collect();
    assert!(known.is_empty(), "{known:#?}");
    let mut targets: Vec<_> = whole.iter().map(|head| head.word(1)).collect();
    let asked = targets.len();
    targets.sort_unstable();
    targets.dedup();
    let twice: Vec<_> = whole.iter().map(|head| &head.line).collect();
    assert!(targets.len() == asked && asked > 3, "{twice:#?}");
}
