//! `ringhold ca`, and what a front makes of the authority: over real processes, in a folder of the test's own.

use crate::support::cluster::{command, program, run};
use crate::support::tools::{self, succeed, wanted};
use crate::support::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A folder with a configuration; the authority is where it is by default.
struct Home(TempDir);

impl Home {
    fn with(https: &str) -> Home {
        let home = Home(TempDir::with_prefix("rh").unwrap());
        let file = format!("[proxy]\nlisten = ['127.0.0.1:3128']\n{https}");
        fs::write(home.path("cluster.toml"), file).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn ca(&self, name: &str) -> PathBuf {
        self.path("xdg-state/ringhold/ca").join(name)
    }

    /// Exit code and what was said.
    fn run(&self, words: &str) -> (Option<i32>, String) {
        run(self.0.path(), &words.split(' ').chain(["--config", "cluster.toml"]).collect::<Vec<_>>())
    }

    fn done(&self, words: &str) -> String {
        let (code, said) = self.run(words);
        assert_eq!(code, Some(0), "{words}: {said}");
        said
    }
}

/// What the line that begins so says.
fn said<'a>(text: &'a str, head: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(head));
    line.unwrap_or_else(|| panic!("no `{head}` in {text}")).trim()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_is_made_once_and_a_second_one_beside_it() {
    let home = Home::with("[https]\nhosts = ['files.example', 'preset:npm']\n");
    let (code, refused) = home.run("ca show");
    assert_eq!(code, Some(1));
    assert!(refused.starts_with("error: ") && refused.contains("ringhold ca init"), "{refused}");
    let made = home.done("ca init");
    let names: Vec<&str> = made.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(names.contains(&"files.example") && names.contains(&"registry.npmjs.org"), "{made}");
    assert!(names.contains(&"pypi.org"), "all presets, so that one more needs no new authority: {made}");
    assert_eq!(said(&made, "addresses:"), "none");
    assert_eq!((mode(&home.ca("")), mode(&home.ca("signer.pem"))), (0o700, 0o600));
    let shown = home.done("ca show");
    assert_eq!(said(&shown, "SHA-256:"), said(&made, "SHA-256:"));
    let (code, refused) = home.run("ca init");
    assert!(code == Some(1) && refused.contains("--next"), "{refused}");
    let next = home.done("ca init other.example 192.0.2.7 --next");
    assert_ne!(said(&next, "SHA-256:"), said(&made, "SHA-256:"));
    assert_eq!(said(&next, "addresses:"), "192.0.2.7");
    let both = home.done("ca show");
    assert_eq!(both.matches("SHA-256:").count(), 2, "{both}");
    assert_eq!(fs::read_to_string(home.ca("ca.pem")).unwrap().matches("BEGIN").count(), 2, "clients trust both");
    let (code, refused) = home.run("ca init --next");
    assert!(code == Some(1) && refused.contains("; when all clients trust it"), "{refused}");
    let cure = refused.trim().rsplit(": ").next().unwrap();
    assert!(Command::new("sh").args(["-c", cure]).status().unwrap().success(), "{cure}");
    assert_eq!(said(&home.done("ca show"), "SHA-256:"), said(&next, "SHA-256:"));
}

#[test]
fn what_cannot_be_signed_for_is_refused_as_it_is_typed() {
    let home = Home::with("");
    for (name, why) in [("*", "every host"), ("preset:pip", "there is no preset"), ("https://a.example/", "no host")] {
        let (code, said) = home.run(&format!("ca init {name}"));
        assert!(code == Some(2) && said.contains(why), "{name}: {said}");
    }
    assert!(!home.ca("").exists());
}

#[test]
fn a_key_that_others_may_read_stops_everything_that_would_use_it() {
    let home = Home::with("[https]\nhosts = ['files.example']\n");
    home.done("ca init");
    let file = home.ca("signer.pem");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    for (words, expected) in
        [("ca show", 1), ("ca env", 1), ("check", 2), ("serve --listen 127.0.0.1:0 --admin 127.0.0.1:0", 2)]
    {
        let (code, said) = home.run(words);
        assert_eq!(code, Some(expected), "{words}: {said}");
        assert!(said.contains(&format!("run: chmod 600 {}", file.display())), "{words}: {said}");
    }
}

#[test]
fn a_name_outside_the_authority_stops_the_start_and_a_second_authority_cures_it() {
    let home = Home::with("[https]\nhosts = ['files.example']\n");
    home.done("ca init");
    assert!(home.done("check").contains(": ok: "));
    let file = "[proxy]\nlisten = ['127.0.0.1:0']\n[admin]\nlisten = '127.0.0.1:0'\n[https]\nhosts = ['files.example',\n  'other.example']\n";
    fs::write(home.path("cluster.toml"), file).unwrap();
    for words in ["check", "serve"] {
        let (code, said) = home.run(words);
        assert_eq!(code, Some(2), "{words}: {said}");
        assert!(said.contains("\"other.example\" (cluster.toml:7)") && said.contains("ca init --next"), "{said}");
    }
    home.done("ca init --next");
    assert!(home.done("check").contains(": ok: "));
}

#[test]
fn a_folder_that_the_file_names_is_not_filled_with_another_authority() {
    let home = Home::with("[https]\nhosts = ['files.example']\nca = 'keys'\n");
    for words in ["check", "serve --listen 127.0.0.1:0 --admin 127.0.0.1:0"] {
        let (code, said) = home.run(words);
        assert_eq!(code, Some(2), "{words}: {said}");
        assert!(said.contains("there is no certificate authority; copy the folder of another front there"), "{said}");
    }
    home.done("ca init");
    assert!(home.path("keys/signer.pem").exists());
    assert!(home.done("check").contains(": ok: "));
}

#[test]
fn a_front_makes_the_authority_on_first_use_and_shows_it() {
    let cluster = Setup::default().nodes(1).set("https", "hosts", vec!["preset:python", "files.example"]).start();
    let ca = cluster.folder().join("state/ca");
    let roots = fs::read_to_string(ca.join("ca.pem")).unwrap();
    until("the line for a client's shell", PATIENCE, || {
        let said = cluster.said();
        let line = said.lines().find(|line| line.starts_with("for https, in the client's shell: "))?.to_owned();
        let file = cluster.folder().join("cluster.toml");
        let expected = format!("eval \"$(ringhold ca env --config {} --proxy {})\"", file.display(), cluster.proxy);
        assert!(line.ends_with(&expected), "{line}");
        Some(())
    });
    let of_proxy = |path: &str| {
        let mut client = cluster.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", cluster.proxy)).unwrap();
        client.response("GET").unwrap()
    };
    let (pem, help) = (of_proxy("/ca.pem"), of_proxy("/"));
    assert_eq!((pem.status, pem.text()), (200, roots.clone()));
    assert_eq!(pem.get("content-type").as_deref(), Some("application/x-x509-ca-cert"));
    let admin = cluster.manage("GET", "/ca.pem", "");
    assert_eq!((admin.status, admin.text()), (200, roots.clone()));
    let (_, shown) = run(cluster.folder(), &["ca", "show", "--config", "cluster.toml"]);
    assert!(help.text().contains(said(&shown, "SHA-256:")) && help.text().contains("/ca.pem"), "{}", help.text());
    let again = cluster.restart();
    assert_eq!(fs::read_to_string(again.folder().join("state/ca/ca.pem")).unwrap(), roots, "a restart keeps it");
}

#[test]
fn without_hosts_there_is_no_authority_and_none_is_shown() {
    let cluster = Setup::default().nodes(1).start();
    assert!(!cluster.folder().join("state/ca").exists());
    assert_eq!(cluster.manage("GET", "/ca.pem", "").status, 404);
    let mut client = cluster.connect();
    client.send(format!("GET /ca.pem HTTP/1.1\r\nHost: {}\r\n\r\n", cluster.proxy)).unwrap();
    assert_eq!(client.response("GET").unwrap().status, 400);
}

/// The variables of a shell after the line that it was told.
fn variables(home: &Home, words: &str, before: &[(&str, &str)]) -> Vec<(String, String)> {
    let program = program();
    let script = format!("eval \"$('{program}' {words} --config cluster.toml)\" && env -0");
    let mut shell = tools::command("sh");
    shell.args(["-c", &script]).current_dir(home.0.path()).env("XDG_STATE_HOME", home.path("xdg-state"));
    for name in ["NO_PROXY", "no_proxy", "SSL_CERT_FILE"] {
        shell.env_remove(name);
    }
    shell.envs(before.iter().copied());
    let text = String::from_utf8(succeed(&mut shell)).unwrap();
    let pairs = text.split('\0').filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_shell_gets_every_variable_that_tools_read_and_the_files_that_they_name() {
    let home = Home::with("[https]\nhosts = ['files.example']\nroots = ['corp.pem']\n");
    fs::write(home.path("corp.pem"), "-----BEGIN CERTIFICATE-----\nY29ycA==\n-----END CERTIFICATE-----\n").unwrap();
    home.done("ca init");
    let found = variables(&home, "ca env", &[]);
    let value = |name: &str| &*found.iter().find(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name}")).1;
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY"] {
        assert_eq!(value(name), "http://127.0.0.1:3128");
    }
    assert_eq!((value("no_proxy"), value("NO_PROXY")), ("localhost,127.0.0.1,::1", "localhost,127.0.0.1,::1"));
    assert_eq!((value("NODE_USE_ENV_PROXY"), value("NODE_EXTRA_CA_CERTS")), ("1", home.ca("ca.pem").to_str().unwrap()));
    for name in [
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "GIT_SSL_CAINFO",
        "CARGO_HTTP_CAINFO",
        "AWS_CA_BUNDLE",
        "NIX_SSL_CERT_FILE",
    ] {
        assert_eq!(value(name), home.ca("clients/bundle.pem").to_str().unwrap(), "{name}");
    }
    let java = value("JAVA_TOOL_OPTIONS");
    for option in
        ["-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=3128", "-Dhttp.proxyPort=3128", "clients/bundle.jks"]
    {
        assert!(java.contains(option), "{java}");
    }
    let (bundle, ours) =
        (fs::read_to_string(home.ca("clients/bundle.pem")).unwrap(), fs::read_to_string(home.ca("ca.pem")).unwrap());
    assert!(bundle.contains("Y29ycA==") && bundle.ends_with(&ours), "the roots of the file, then ours");
    for system in ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"] {
        if let Ok(system) = fs::read_to_string(system) {
            assert!(bundle.starts_with(&system), "the system's roots come first");
        }
    }
    let kept = variables(&home, "ca env --proxy proxy.example:8080", &[("no_proxy", "corp.example")]);
    let value = |name: &str| &*kept.iter().find(|(own, _)| own == name).unwrap().1;
    assert_eq!((value("https_proxy"), value("no_proxy")), ("http://proxy.example:8080", "corp.example"));
    assert!(value("JAVA_TOOL_OPTIONS").contains("-Dhttps.proxyHost=proxy.example -Dhttps.proxyPort=8080"));
    let (_, said) = home.run("ca env --proxy nowhere");
    assert!(said.contains("--proxy: `nowhere` is no host with a port"), "{said}");
}

#[test]
fn java_reads_the_store_that_is_made_for_it() {
    if !wanted("keytool reads our store", &["keytool"]) {
        return;
    }
    let home = Home::with("[https]\nhosts = ['files.example']\n");
    home.done("ca init");
    home.done("ca env");
    let fingerprint = said(&home.done("ca show"), "SHA-256:").to_owned();
    let mut keytool = tools::command("keytool");
    keytool.env_remove("JAVA_TOOL_OPTIONS").args(["-list", "-v", "-storetype", "JKS", "-keystore"]);
    let listed = String::from_utf8(succeed(keytool.arg(home.ca("clients/bundle.jks")))).unwrap();
    assert!(listed.contains(&fingerprint), "ours is in it");
    let bundle = fs::read_to_string(home.ca("clients/bundle.pem")).unwrap();
    assert_eq!(listed.matches("Alias name:").count(), bundle.matches("BEGIN CERTIFICATE").count());
}

/// `ringhold ca` with these programs alone to be found.
fn with_programs(home: &Home, programs: &[&str], words: &[&str]) -> String {
    let path = home.path("bin");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).unwrap();
    for program in programs {
        let all = std::env::var_os("PATH").unwrap();
        let found = std::env::split_paths(&all).map(|folder| folder.join(program)).find(|file| file.is_file());
        symlink(found.unwrap_or_else(|| PathBuf::from("/bin/false")), path.join(program)).unwrap();
    }
    let mut ringhold = command(home.0.path(), &[words, &["--config", "cluster.toml"]].concat());
    ringhold.env("PATH", &path).env("HOME", home.path("")).env_remove("XDG_DATA_HOME");
    ringhold.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    String::from_utf8(succeed(&mut ringhold)).unwrap()
}

#[test]
fn each_step_of_an_installation_can_be_read_before_it_is_done() {
    let home = Home::with("[https]\nhosts = ['files.example']\n");
    home.done("ca init");
    let printed = with_programs(&home, &["certutil"], &["ca", "install", "--print"]);
    let commands: Vec<&str> = printed.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(commands.last().unwrap().contains("-A -t C,, -n ringhold-ca-"), "{printed}");
    assert!(printed.contains("# Java's store: keytool is not here"), "{printed}");
    assert!(!home.path(".local").exists(), "nothing was done");
    let nothing = with_programs(&home, &[], &["ca", "install"]);
    assert!(nothing.contains("Chromium's store") && nothing.contains("left out: certutil is not here"), "{nothing}");
}

#[test]
fn chromiums_stores_trust_it_after_the_installation_and_no_more_after_the_removal() {
    if !wanted("certutil", &["certutil", "mkdir"]) {
        return;
    }
    let home = Home::with("[https]\nhosts = ['files.example']\n");
    home.done("ca init");
    let older = home.path(".pki/nssdb");
    fs::create_dir_all(&older).unwrap();
    let newer = home.path(".local/share/pki/nssdb");
    let names = |folder: &Path| {
        let listed = succeed(tools::command("certutil").args(["-L", "-d", &format!("sql:{}", folder.display())]));
        String::from_utf8(listed)
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("ringhold-ca-"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let said = with_programs(&home, &["certutil", "mkdir"], &["ca", "install"]);
        assert_eq!(said.matches(": done").count(), 2, "{said}");
        for folder in [&older, &newer] {
            let names = names(folder);
            assert!(names.len() == 1 && names[0].trim_end().ends_with("C,,"), "{names:?}");
        }
    }
    with_programs(&home, &["certutil", "mkdir"], &["ca", "remove"]);
    assert_eq!((names(&older).len(), names(&newer).len()), (0, 0));
}
