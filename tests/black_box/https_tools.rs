//! Clients that fetch by https through the cluster, from origins on this machine that have the real names of a preset, or a name of
//! their own: a hosts file says where those are, in a mount namespace of the cluster's own. What a client has of the cluster is what
//! `eval "$(ringhold ca env)"` gives its shell.

#[path = "https_tools/builders.rs"]
mod builders;
#[path = "https_tools/fetchers.rs"]
mod fetchers;
#[path = "https_tools/git.rs"]
mod git;
#[path = "https_tools/stage.rs"]
mod stage;
#[path = "https_tools/stores.rs"]
mod stores;

use crate::support::tools::{command, succeed, wanted};
use crate::support::*;
use stage::Stage;
use std::path::Path;

#[test]
fn pip_downloads_twice_and_the_origin_sends_the_wheel_once() {
    if !wanted("pip by https", &["python3", "unshare"]) {
        return;
    }
    let names = ["pypi.org", "files.pythonhosted.org"];
    let Some(stage) = Stage::with("pip by https", "preset:python", &names, "127.83.0.1") else { return };
    let name = "ringdemo-1.0-py3-none-any.whl";
    let bytes = tools::make_wheel(&stage.path(name));
    let sent = bytes.clone();
    stage.origin.on("/simple/ringdemo/", move |x| match x.head.has("if-none-match") {
        true => x.reply_empty(304, "ETag: \"1\"\r\nCache-Control: max-age=600, public\r\n"),
        false => {
            let link = format!("https://files.pythonhosted.org/packages/{name}");
            let page = format!("<!DOCTYPE html><html><body><a href=\"{link}\">{name}</a></body></html>");
            x.reply(200, "Content-Type: text/html\r\nETag: \"1\"\r\nCache-Control: max-age=600, public\r\n", page)
        }
    });
    stage
        .origin
        .on("/packages/*", move |x| x.reply(200, "Cache-Control: max-age=365000000, immutable, public\r\n", &sent));
    for round in ["one", "two"] {
        let mut pip = stage.tool("python3");
        pip.env("PIP_CONFIG_FILE", "/dev/null").env("PIP_INDEX_URL", "https://pypi.org/simple/");
        pip.args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "ringdemo",
            "-d",
        ]);
        succeed(pip.arg(stage.path(round)));
        assert!(std::fs::read(stage.path(round).join(name)).unwrap() == bytes, "bit by bit");
    }
    assert_eq!(stage.origin.count("/packages/*"), 1, "{}", stage.cluster.said());
    // pip asks for the page with max-age=0 each time: the second time it is found to be the same.
    let pages = stage.origin.heads("/simple/ringdemo/");
    assert!(pages.iter().skip(1).all(|head| head.has("if-none-match")) && pages.len() <= 2, "{pages:?}");
}

const MAKE_PACKAGE: &str = r#"
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w:gz") as t:
    for name, text in [("package.json", '{"name":"ringdemo","version":"1.0.0"}'), ("index.js", "module.exports = 1;\n" * 1000)]:
        info = tarfile.TarInfo("package/" + name)
        info.size = len(text)
        t.addfile(info, io.BytesIO(text.encode()))
"#;

#[test]
fn npm_installs_twice_and_the_origin_sends_each_thing_once() {
    if !wanted("npm by https", &["npm", "node", "python3", "unshare"]) {
        return;
    }
    let names = ["registry.npmjs.org"];
    let Some(stage) = Stage::with("npm by https", "preset:npm", &names, "127.83.0.2") else { return };
    let tarball = stage.path("ringdemo.tgz");
    succeed(command("python3").args(["-c", MAKE_PACKAGE]).arg(&tarball));
    let bytes = std::fs::read(&tarball).unwrap();
    let url = "https://registry.npmjs.org/ringdemo/-/ringdemo-1.0.0.tgz";
    let about = format!(
        "{{\"name\":\"ringdemo\",\"dist-tags\":{{\"latest\":\"1.0.0\"}},\"versions\":{{\"1.0.0\":{{\"name\":\"ringdemo\",\
         \"version\":\"1.0.0\",\"dist\":{{\"tarball\":\"{url}\"}}}}}}}}"
    );
    let json = "Content-Type: application/json\r\nETag: \"1\"\r\nCache-Control: public, max-age=300\r\n";
    stage.origin.on("/ringdemo", move |x| x.reply(200, json, &about));
    let tgz = "Content-Type: application/octet-stream\r\nCache-Control: public, immutable, max-age=31557600\r\n";
    stage.origin.on("/ringdemo/-/*", move |x| x.reply(200, tgz, &bytes));
    for round in ["one", "two"] {
        let into = stage.path(round);
        std::fs::create_dir(&into).unwrap();
        let mut npm = stage.tool("npm");
        npm.env("npm_config_userconfig", "/dev/null").env("npm_config_cache", stage.path(&format!("cache-{round}")));
        npm.args(["install", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix"]).arg(&into);
        succeed(npm.arg("ringdemo"));
        let installed = into.join("node_modules/ringdemo/index.js");
        assert!(installed_is_whole(&installed), "{installed:?}");
    }
    assert_eq!(stage.origin.count("/ringdemo/-/*"), 1, "{}", stage.cluster.said());
    assert_eq!(stage.origin.count("/ringdemo"), 1, "{}", stage.cluster.said());
}

fn installed_is_whole(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|text| text == "module.exports = 1;\n".repeat(1000))
}

#[test]
fn what_changes_without_saying_when_is_asked_for_each_time_at_the_presets_host() {
    if !wanted("maven's rule", &["curl", "unshare"]) {
        return;
    }
    let names = ["repo1.maven.org"];
    let Some(stage) = Stage::with("maven's rule", "preset:maven", &names, "127.83.0.3") else { return };
    let old = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"1\"\r\n";
    stage.origin.on("/maven2/*", move |x| match x.head.has("if-none-match") {
        true => x.reply_empty(304, old),
        false => x.reply(200, old, "what there is"),
    });
    let curl = |path: &str| {
        let mut curl = stage.tool("curl");
        let text =
            succeed(curl.args(["--silent", "--show-error", "--fail", &format!("https://repo1.maven.org{path}")]));
        assert_eq!(text, b"what there is");
    };
    for _ in 0..3 {
        curl("/maven2/a/maven-metadata.xml");
        curl("/maven2/a/1/a-1.jar");
    }
    assert_eq!(stage.origin.count("/maven2/a/1/a-1.jar"), 1);
    let asked = stage.origin.heads("/maven2/a/maven-metadata.xml");
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().skip(1).all(|head| head.has("if-none-match")), "{asked:?}");
    // And `explain` says by which line.
    let (_, said) = cluster::run(
        stage.cluster.folder(),
        &["explain", "https://repo1.maven.org/", "--admin", &stage.cluster.admin.to_string()],
    );
    assert!(
        said.contains("A tunnel to it (CONNECT) is intercepted: [https] hosts has \"preset:maven\" (cluster.toml:"),
        "{said}"
    );
}
