//! What the certificate authority makes, held to the judgement of other people's programs.

#[path = "ca/clients.rs"]
mod clients;
use crate::support::tools::{command, is_there, left_out, run, succeed, wanted};
use clients::{CHROMIUM, CLIENTS, Server, trusting};
use ringhold::lab::https::{AuthorityFolder, CertificateAuthority, Leaves, Name, Which, make};
use ringhold::lab::wire::Timestamp;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

/// An authority in files as other programs read them.
struct Made {
    home: TempDir,
}

impl Made {
    fn with(names: &[&str]) -> Made {
        let home = TempDir::new().unwrap();
        let names: Vec<Name> = names.iter().map(|name| Name::parse(name).unwrap()).collect();
        let folder = AuthorityFolder::at(&home.path().join("ca"));
        folder.write(Which::First, &make(&names, now()).unwrap()).unwrap();
        let made = Made { home };
        let kept = std::fs::read_to_string(folder.file(Which::First)).unwrap();
        let blocks: Vec<&str> = kept.split_inclusive("-----\n").collect();
        // Each block is its first line, and the rest of it.
        made.write("root.pem", &blocks[0..2].concat());
        made.write("signer.pem", &blocks[2..4].concat());
        made.write("signer.key", &blocks[4..6].concat());
        made
    }

    fn leaves(&self) -> Leaves {
        Leaves::new(AuthorityFolder::at(&self.path("ca")).load().unwrap()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// What we sign for a host, with the key of this process.
    fn leaf(&self, leaves: &Leaves, host: &str) -> (PathBuf, PathBuf) {
        let leaf = leaves.of(host, now()).unwrap_or_else(|why| panic!("{host}: {why}"));
        let der = self.path("leaf.der");
        std::fs::write(&der, &leaf.chain[0]).unwrap();
        let (pem, key) = (self.path("leaf.pem"), self.path("leaf.key"));
        succeed(command("openssl").args(["x509", "-inform", "DER", "-in"]).arg(&der).arg("-out").arg(&pem));
        std::fs::write(&der, leaves.key()).unwrap();
        succeed(command("openssl").args(["pkey", "-inform", "DER", "-in"]).arg(&der).arg("-out").arg(&key));
        (pem, key)
    }

    /// What a thief signs with the key, who keeps to no rule: `name` as `DNS:host` or `IP:address`.
    fn stolen(&self, name: &str) -> (PathBuf, PathBuf) {
        let (pem, key, request) = (self.path("stolen.pem"), self.path("stolen.key"), self.path("stolen.csr"));
        let extensions = format!(
            "subjectAltName={name}\nbasicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage=serverAuth\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"
        );
        let extensions = self.write("extensions", &extensions);
        let mut new = command("openssl");
        new.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=x"]);
        succeed(new.arg("-keyout").arg(&key).arg("-out").arg(&request));
        let mut sign = command("openssl");
        sign.args(["x509", "-req", "-days", "10", "-in"]).arg(&request).arg("-CA").arg(self.path("signer.pem"));
        sign.arg("-CAkey").arg(self.path("signer.key")).arg("-extfile").arg(&extensions);
        succeed(sign.arg("-out").arg(&pem));
        (pem, key)
    }

    fn verify(&self, leaf: &Path, host: &[&str]) -> Output {
        let mut verify = command("openssl");
        verify.args(["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile"]).arg(self.path("root.pem"));
        verify.arg("-untrusted").arg(self.path("signer.pem")).args(host).arg(leaf);
        run(&mut verify, Duration::from_secs(60))
    }

    fn shown(&self, certificate: &Path) -> String {
        let shown = succeed(command("openssl").args(["x509", "-noout", "-text", "-in"]).arg(certificate));
        String::from_utf8(shown).unwrap()
    }
}

/// The line after the first that begins so.
fn after<'a>(shown: &'a str, head: &str) -> &'a str {
    let mut lines = shown.lines().map(str::trim).skip_while(|line| !line.starts_with(head));
    lines.nth(1).unwrap_or_else(|| panic!("no {head} in {shown}"))
}

#[test]
fn openssl_finds_nothing_wrong_with_what_is_made_in_its_strictest_mode() {
    if !wanted("openssl verify", &["openssl"]) {
        return;
    }
    let made = Made::with(&["files.example", "*.corp.example", "192.0.2.7", "2001:db8::7"]);
    let leaves = made.leaves();
    for (host, kind) in [
        ("files.example", "-verify_hostname"),
        ("a.b.corp.example", "-verify_hostname"),
        ("pypi.org", "-verify_hostname"),
        ("192.0.2.7", "-verify_ip"),
        ("2001:db8::7", "-verify_ip"),
    ] {
        let (leaf, _) = made.leaf(&leaves, host);
        let output = made.verify(&leaf, &[kind, host]);
        assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let [root, signer, leaf] = ["root.pem", "signer.pem", "leaf.pem"].map(|name| made.shown(&made.path(name)));
    for (authority, below) in [(&root, "pathlen:1"), (&signer, "pathlen:0")] {
        assert_eq!(after(authority, "X509v3 Basic Constraints: critical"), format!("CA:TRUE, {below}"));
        assert_eq!(after(authority, "X509v3 Key Usage: critical"), "Certificate Sign, CRL Sign");
        assert_eq!(after(authority, "X509v3 Name Constraints: critical"), "Permitted:");
        assert!(authority.contains("ASN1 OID: prime256v1") && authority.contains("IP:192.0.2.7/255.255.255.255"));
    }
    assert!(!root.contains("Extended Key Usage"));
    assert_eq!(after(&signer, "X509v3 Extended Key Usage:"), "TLS Web Server Authentication");
    assert_eq!(after(&leaf, "X509v3 Key Usage: critical"), "Digital Signature");
    let id = |shown: &str, whose: &str| after(shown, &format!("X509v3 {whose} Key Identifier:")).to_owned();
    assert_eq!(id(&leaf, "Authority"), id(&signer, "Subject"));
    assert_eq!(id(&signer, "Authority"), id(&root, "Subject"));
    let serial = |shown: &str| after(shown, "Serial Number:").matches(':').count() + 1;
    assert_eq!([&root, &signer, &leaf].map(|shown| serial(shown)), [16, 16, 16]);
}

#[test]
fn an_authority_without_addresses_excludes_all_of_them() {
    if !wanted("openssl verify of addresses", &["openssl"]) {
        return;
    }
    let made = Made::with(&["files.example"]);
    let shown = made.shown(&made.path("signer.pem"));
    assert!(shown.contains("IP:0.0.0.0/0.0.0.0") && shown.contains("IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0"), "{shown}");
    for (name, why) in [
        ("DNS:bank.example", "permitted subtree violation"),
        ("DNS:files.example,DNS:bank.example", "permitted subtree violation"),
        ("DNS:xfiles.example", "permitted subtree violation"),
        ("IP:127.0.0.1", "excluded subtree violation"),
        ("IP:203.0.113.9", "excluded subtree violation"),
        ("IP:::1", "excluded subtree violation"),
    ] {
        let (leaf, _) = made.stolen(name);
        let output = made.verify(&leaf, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{name}: {said}");
    }
    let (leaf, _) = made.stolen("DNS:files.example");
    assert!(
        made.verify(&leaf, &[]).status.success(),
        "the thief's other certificates are refused for their names alone"
    );
}

#[test]
fn every_client_takes_what_is_permitted_and_refuses_what_a_stolen_key_signs_outside() {
    if !wanted("clients and name constraints", &["openssl"]) {
        return;
    }
    let (made, nameless) = (Made::with(&["files.example", "192.0.2.7"]), Made::with(&["files.example"]));
    let server = |made: &Made, (leaf, key): (PathBuf, PathBuf)| {
        // Openssl reads the files as it starts, so each may take the place of the one before.
        (Server::start(&leaf, &key, &made.path("signer.pem")), trusting(&made.path("root.pem")))
    };
    let leaves = made.leaves();
    let good = [
        ("files.example", server(&made, made.leaf(&leaves, "files.example"))),
        ("192.0.2.7", server(&made, made.leaf(&leaves, "192.0.2.7"))),
        ("files.example", server(&made, made.stolen("DNS:files.example"))),
    ];
    let bad = [
        ("bank.example", server(&made, made.stolen("DNS:bank.example"))),
        ("203.0.113.9", server(&made, made.stolen("IP:203.0.113.9"))),
        ("2001:db8::9", server(&made, made.stolen("IP:2001:db8::9"))),
        ("203.0.113.9", server(&nameless, nameless.stolen("IP:203.0.113.9"))),
    ];
    let mut asked = 0;
    for (client, programs, takes) in CLIENTS.iter().chain([&CHROMIUM]) {
        if let Some(missing) = programs.iter().find(|program| !is_there(program)) {
            left_out(client, &format!("{missing} is not on this machine"));
            continue;
        }
        for (host, (server, trust)) in &good {
            assert_eq!(takes(host, server, trust), Ok(()), "{client} refuses {host}");
        }
        for (host, (server, trust)) in &bad {
            // curl wants an address of six in brackets, and the others as a certificate has it.
            let host = if *client == "curl" && host.contains(':') { format!("[{host}]") } else { (*host).to_owned() };
            let refused = takes(&host, server, trust).expect_err(&format!("{client} takes a stolen one for {host}"));
            // Its errors of certificates are those from -200 to -299.
            let is_for_the_certificate = *client != CHROMIUM.0 || refused.contains("net_error -2");
            assert!(is_for_the_certificate, "{client}: {refused}");
        }
        asked += 1;
    }
    assert!(asked > 0, "nobody was asked");
}

/// As `eval "$(ringhold ca env)"` has them.
fn variables(folder: &Path) -> clients::Trust {
    let script = format!("eval \"$('{}' ca env --config cluster.toml)\" && env -0", crate::support::cluster::program());
    let mut shell = command("sh");
    shell.args(["-c", &script]).current_dir(folder).env("XDG_STATE_HOME", "/nowhere").env_remove("JAVA_TOOL_OPTIONS");
    let text = String::from_utf8(succeed(&mut shell)).unwrap();
    let pairs = text.split('\0').filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_client_in_a_shell_that_has_the_variables_trusts_what_the_front_signs() {
    if !wanted("clients in a shell with ca env", &["openssl"]) {
        return;
    }
    let made = Made::with(&["files.example"]);
    made.write("cluster.toml", "[https]\nhosts = ['files.example']\nca = 'ca'\n");
    let trust = variables(made.home.path());
    // Empty, so that it takes the place of whatever this machine's own say.
    let nothing: clients::Trust = trust
        .iter()
        .map(|(name, value)| {
            let counts = value.contains("/ca/") || name == "JAVA_TOOL_OPTIONS";
            (name.clone(), if counts { String::new() } else { value.clone() })
        })
        .collect();
    let (leaf, key) = made.leaf(&made.leaves(), "files.example");
    let server = Server::start(&leaf, &key, &made.path("signer.pem"));
    let mut asked = 0;
    for (client, programs, takes) in CLIENTS {
        if programs.iter().any(|program| !is_there(program)) {
            left_out(client, "it is not on this machine");
            continue;
        }
        assert_eq!(takes("files.example", &server, &trust), Ok(()), "{client} refuses it");
        assert!(takes("files.example", &server, &nothing).is_err(), "{client} trusts it without them");
        asked += 1;
    }
    assert!(asked > 0, "nobody was asked");
}

#[test]
fn an_authority_that_was_read_again_signs_as_the_one_that_was_made() {
    if !wanted("openssl verify after a restart", &["openssl"]) {
        return;
    }
    let made = Made::with(&["files.example"]);
    let all = AuthorityFolder::at(&made.path("ca")).load().unwrap();
    let first: &CertificateAuthority = &all[0];
    let said = succeed(
        command("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(made.path("root.pem")),
    );
    assert_eq!(String::from_utf8(said).unwrap().trim(), format!("sha256 Fingerprint={}", first.fingerprint()));
    let (one, other) = (made.leaves(), made.leaves());
    for leaves in [&one, &other] {
        let (leaf, _) = made.leaf(leaves, "files.example");
        assert!(made.verify(&leaf, &["-verify_hostname", "files.example"]).status.success());
    }
    assert_ne!(one.key(), other.key(), "each process has a key of its own");
}
