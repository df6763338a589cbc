//! git by its own protocol, as hubs speak it: what there is by GET, and packs as answers to POST.

use super::fetchers::MAKE_REPOSITORY;
use super::stage::Stage;
use crate::support::tools::{command, run_with, succeed, wanted};
use crate::support::*;
use std::fs;
use std::io::{Seek, Write};
use std::path::Path;

const NAME: &str = "files.example";

/// One commit more.
const COMMIT_AGAIN: &str = r#"
cd work && head -c 300000 /dev/urandom > more && git add more && git commit --quiet --message two
git push --quiet "$1" HEAD
"#;

/// Each client is answered by itself, and what a pack is put together of is no part of a URL.
#[test]
fn git_clones_and_fetches_by_its_own_protocol_bit_by_bit_and_nothing_of_that_is_stored() {
    if !wanted("git's own protocol by https", &["git", "unshare"]) {
        return;
    }
    let Some(stage) = Stage::with("git's own protocol by https", NAME, &[NAME], "127.83.0.40") else { return };
    let (repository, made, home) = (stage.path("page.git"), stage.empty("made"), stage.empty("home"));
    let make = |script: &str| {
        let mut make = command("sh");
        make.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").current_dir(&made);
        succeed(make.args(["-ec", script, "sh"]).arg(&repository));
    };
    make(MAKE_REPOSITORY);
    let root = repository.parent().unwrap().to_owned();
    stage.origin.on("/page.git/*", move |x| backend(x, &root, &home));
    let git = |within: &Path, words: &[&str]| {
        let mut git = stage.tool("git");
        git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").current_dir(within);
        succeed(git.args(words))
    };
    // Every object, by its name, which is a digest of it.
    let objects = |of: &Path| {
        let listed = git(of, &["cat-file", "--batch-all-objects", "--batch-check"]);
        git(of, &["fsck", "--full", "--strict"]);
        listed
    };
    let url = format!("https://{NAME}/page.git");
    for round in 1..=2 {
        let into = stage.path(&format!("clone-{round}"));
        git(&made, &["clone", "--quiet", &url, &into.display().to_string()]);
        assert!(fs::read(into.join("page")).unwrap() == vec![b'a'; 100_000], "bit by bit");
        assert_eq!(objects(&into), objects(&made.join("work")));
        let asked = |target: &str| stage.origin.count(&format!("/page.git/{target}"));
        assert_eq!(asked("info/refs?service=git-upload-pack"), round, "what there is is asked each time");
        assert!(asked("git-upload-pack") >= round, "and so are packs");
    }
    // What is new is there at once.
    make(COMMIT_AGAIN);
    let into = stage.path("clone-1");
    git(&into, &["pull", "--quiet", "--ff-only"]);
    assert!(fs::read(into.join("more")).unwrap() == fs::read(made.join("work/more")).unwrap(), "bit by bit");
    assert_eq!(objects(&into), objects(&made.join("work")));
    let heads = stage.origin.heads("/page.git/*");
    assert!(heads.iter().all(|head| head.has("via")), "it is answered inside: {heads:?}");
    assert_eq!(stage.cluster.node_total("stored"), 0, "{}", stage.cluster.said());
}

/// What git itself answers as a CGI program (RFC 3875).
fn backend(x: &mut exchange::Exchange, root: &Path, home: &Path) -> std::io::Result<()> {
    let body = x.whole_body()?;
    let (path, query) = x.target().split_once('?').unwrap_or((x.target(), ""));
    let mut git = command("git");
    git.arg("http-backend").env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    git.env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1").env("GIT_CONFIG_NOSYSTEM", "1");
    git.env("REQUEST_METHOD", x.method()).env("PATH_INFO", path).env("QUERY_STRING", query);
    for (variable, field) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("HTTP_GIT_PROTOCOL", "git-protocol"),
    ] {
        git.env(variable, x.head.get(field).unwrap_or_default());
    }
    let mut asked = tempfile::tempfile()?;
    asked.write_all(&body)?;
    asked.rewind()?;
    let answer = run_with(git.env("CONTENT_LENGTH", body.len().to_string()), asked.into(), PATIENCE).stdout;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head and a body");
    let head = String::from_utf8_lossy(&answer[..end + 2]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")?.get(..3)?.parse().ok()).unwrap_or(200);
    x.reply(status, &head, &answer[end + 4..])
}
