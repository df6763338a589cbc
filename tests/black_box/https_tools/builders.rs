//! Compilers' package managers: cargo and Go.

use super::stage::Stage;
use crate::support::noise::Digester;
use crate::support::tools::{succeed, wanted};
use std::env;
use std::fs;
use std::path::PathBuf;

const MAKE_CRATE: &str = r#"
import io, sys, tarfile
with tarfile.open(sys.argv[1], "w:gz") as t:
    for name, text in [("Cargo.toml", '[package]\nname = "ringdemo"\nversion = "1.0.0"\nedition = "2021"\n'), ("src/lib.rs", "// a line\n" * 1000)]:
        info = tarfile.TarInfo("ringdemo-1.0.0/" + name)
        info.size = len(text)
        t.addfile(info, io.BytesIO(text.encode()))
"#;

/// The cargo that runs this test, or the one in the path; and its compiler.
fn cargo() -> [PathBuf; 2] {
    let cargo = env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    let rustc = cargo.with_file_name("rustc");
    [cargo, if rustc.is_file() { rustc } else { "rustc".into() }]
}

#[test]
fn cargo_fetches_twice_and_the_origin_sends_each_thing_once() {
    if !wanted("cargo by https", &["cargo", "python3", "unshare"]) {
        return;
    }
    let names = ["index.crates.io", "static.crates.io"];
    let Some(stage) = Stage::with("cargo by https", "preset:cargo", &names, "127.83.0.4") else { return };
    let bytes = stage.made("ringdemo.crate", MAKE_CRATE);
    let mut digest = Digester::default();
    digest.take(&bytes);
    let index = format!(
        "{{\"name\":\"ringdemo\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"{}\",\"features\":{{}},\"yanked\":false}}\n",
        digest.hex()
    );
    let of_index = "Cache-Control: public,max-age=600\r\nVary: Accept-Encoding\r\nETag: \"1\"\r\n";
    let config = r#"{"dl":"https://static.crates.io/crates","api":"https://crates.io"}"#;
    stage.origin.on("/config.json", move |x| x.reply(200, of_index, config));
    stage.origin.on("/ri/ng/ringdemo", move |x| x.reply(200, of_index, &index));
    let sent = bytes.clone();
    let of_crate = "Cache-Control: public,max-age=31536000,immutable\r\n";
    stage.origin.on("/crates/*", move |x| x.reply(200, of_crate, &sent));
    let [program, compiler] = cargo();
    for round in ["one", "two"] {
        let (project, home) = (stage.empty(&format!("project-{round}")), stage.empty(&format!("cargo-{round}")));
        let manifest = "[package]\nname = \"user\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[lib]\npath = \"lib.rs\"\n[dependencies]\nringdemo = \"1\"\n";
        fs::write(project.join("Cargo.toml"), manifest).unwrap();
        fs::write(project.join("lib.rs"), "").unwrap();
        let mut cargo = stage.tool(program.to_str().unwrap());
        // Where the cargo in the path is rustup's, it looks there for the real one.
        let rustup = env::var_os("RUSTUP_HOME").map(PathBuf::from);
        let rustup = rustup.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
        cargo.envs(rustup.map(|home| ("RUSTUP_HOME", home)));
        cargo.env("CARGO_HOME", &home).env("RUSTC", &compiler).current_dir(&project);
        succeed(cargo.arg("fetch"));
        let cached = fs::read_dir(home.join("registry/cache")).unwrap().next().unwrap().unwrap().path();
        assert!(fs::read(cached.join("ringdemo-1.0.0.crate")).unwrap() == bytes, "bit by bit");
    }
    for path in ["/config.json", "/ri/ng/ringdemo", "/crates/ringdemo/1.0.0/download"] {
        assert_eq!(stage.origin.count(path), 1, "{path}: {}", stage.cluster.said());
    }
}

const MAKE_MODULE: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("ring.example/demo@v1.0.0/go.mod", "module ring.example/demo\n")
    z.writestr("ring.example/demo@v1.0.0/demo.go", "package demo\n" + "// a line\n" * 1000)
"#;

#[test]
fn go_downloads_twice_and_the_origin_sends_each_thing_once() {
    if !wanted("Go by https", &["go", "python3", "unshare"]) {
        return;
    }
    let names = ["proxy.golang.org"];
    let Some(stage) = Stage::with("Go by https", "preset:go", &names, "127.83.0.5") else { return };
    let bytes = stage.made("demo.zip", MAKE_MODULE);
    let kept = "Cache-Control: public, max-age=10800\r\n";
    let at = "/ring.example/demo/@v/v1.0.0";
    let about = r#"{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}"#;
    stage.origin.on(&format!("{at}.info"), move |x| x.reply(200, kept, about));
    stage.origin.on(&format!("{at}.mod"), move |x| x.reply(200, kept, "module ring.example/demo\n"));
    let sent = bytes.clone();
    stage.origin.on(&format!("{at}.zip"), move |x| x.reply(200, kept, &sent));
    for round in ["one", "two"] {
        let cache = stage.empty(&format!("go-{round}"));
        let mut go = stage.tool("go");
        // The sums of what the public does not have are in no database.
        go.env("GOPROXY", "https://proxy.golang.org").env("GONOSUMDB", "ring.example").env("GOFLAGS", "-modcacherw");
        go.env("GOPATH", &cache).env("GOMODCACHE", &cache).env("GOCACHE", cache.join("build"));
        succeed(go.args(["mod", "download", "ring.example/demo@v1.0.0"]));
        let file = cache.join("cache/download/ring.example/demo/@v/v1.0.0.zip");
        assert!(fs::read(file).unwrap() == bytes, "bit by bit");
    }
    for end in ["info", "mod", "zip"] {
        let path = format!("{at}.{end}");
        assert_eq!(stage.origin.count(&path), 1, "{path}: {}", stage.cluster.said());
    }
}
