//! `ringhold check` on files side by side with what is to be said about them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn ringhold(words: &[&str]) -> Output {
    // No certificate authority of whoever runs this counts.
    Command::new(env!("CARGO_BIN_EXE_ringhold")).args(words).env("XDG_STATE_HOME", "/nowhere").output().unwrap()
}

fn check(file: &Path) -> Output {
    ringhold(&["check", "--config", file.to_str().unwrap()])
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(folder);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "toml"));
    files.sort();
    assert!(!files.is_empty(), "no files in {folder:?}");
    files
}

#[test]
fn valid_files_are_ok() {
    for file in files("valid") {
        let output = check(&file);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{file:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.starts_with(&format!("{}: ok: ", file.display())), "{said}");
    }
}

#[test]
fn a_mistake_is_one_line_with_file_line_and_cure_and_exit_code_2() {
    let mut wrong = Vec::new();
    for file in files("invalid") {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected =
            text.lines().next().and_then(|l| l.strip_prefix("# expect: ")).expect("a first line `# expect: `");
        let output = check(&file);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{file:?} said {said}");
        let full = format!("{}{expected}", file.display());
        if !said.starts_with(&full) || said.matches('\n').count() != 1 {
            wrong.push(format!("{expected}\n  but it said: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_shipped_file_is_ok_and_has_three_nodes() {
    let output = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cluster.toml"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("cluster.toml: ok: 3 nodes (3 spawned), proxy on 127.0.0.1:3128, admin on 127.0.0.1:3129"),
        "{said}"
    );
}

#[test]
fn without_a_file_the_shipped_one_is_built_in() {
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ringhold")).arg("check").current_dir(empty.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("built-in config/cluster.toml: ok: 3 nodes"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_one_line_and_exit_code_2() {
    let output = ringhold(&["serve", "--config", "/nowhere/cluster.toml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.starts_with("/nowhere/cluster.toml: cannot be read"), "{said}");
    assert_eq!(said.matches('\n').count(), 1);
}

#[test]
fn a_file_that_is_not_text_says_on_which_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latin1.toml");
    std::fs::write(&file, b"[proxy]\npseudonym = \"caf\xe9\"\n").unwrap();
    let output = check(&file);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, format!("{}:2: not UTF-8; save the file as UTF-8 text\n", file.display()));
}

#[test]
fn a_client_without_a_server_says_what_to_do_and_exits_with_1() {
    // Bound and not listened on: nothing else can take the port, and connecting is refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    let admin = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    let output = ringhold(&["nodes", "list", "--admin", &admin]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with(&format!("error: cannot connect to {admin}")), "{said}");
    assert!(said.contains("--admin"), "{said}");
}
