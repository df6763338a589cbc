//! Other people's programs. `cargo test` alone names what it leaves out; `make test` sets `RINGHOLD_TOOLS=1`.

use super::PATIENCE;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Whether this is `make test`.
pub fn demanded() -> bool {
    std::env::var_os("RINGHOLD_TOOLS").is_some_and(|v| v == "1")
}

/// Whether a test that needs these programs is to run; says so when not.
pub fn wanted(test: &str, programs: &[&str]) -> bool {
    if !demanded() {
        left_out(test, "`make test` runs it (RINGHOLD_TOOLS=1)");
        return false;
    }
    match programs.iter().find(|p| !is_there(p)) {
        Some(missing) => left_out(test, &format!("{missing} is not on this machine")),
        None => return true,
    }
    false
}

/// Written past the test harness, which hides what passing tests print.
pub fn left_out(test: &str, why: &str) {
    let _ = std::io::stderr().write_all(format!("left out: {test}: {why}\n").as_bytes());
}

pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A command with none of the tester's proxy settings.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    command
}

/// Runs a command to its end; kills it and fails when that takes too long.
pub fn run(command: &mut Command, limit: Duration) -> Output {
    run_with(command, Stdio::null(), limit)
}

/// The same with something to read from.
pub fn run_with(command: &mut Command, stdin: Stdio, limit: Duration) -> Output {
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().expect("one may wait for one's own child") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} did not end within {limit:?}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let join = |t: thread::JoinHandle<Vec<u8>>| t.join().unwrap_or_default();
    Output { status, stdout: join(stdout), stderr: join(stderr) }
}

/// The same where failing is failing the test: what it wrote to standard output.
pub fn succeed(command: &mut Command) -> Vec<u8> {
    let output = run(command, 3 * PATIENCE);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?} failed ({}):\n{said}", output.status);
    output.stdout
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}

const MAKE_WHEEL: &str = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("ringdemo/__init__.py", "x = 1\n" * 1000)
    z.writestr("ringdemo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ringdemo\nVersion: 1.0\n")
    z.writestr("ringdemo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr("ringdemo-1.0.dist-info/RECORD", "")
"#;

/// Writes version 1.0 of the Python package `ringdemo`, and gives its bytes.
pub fn make_wheel(file: &Path) -> Vec<u8> {
    succeed(command("python3").args(["-c", MAKE_WHEEL]).arg(file));
    std::fs::read(file).expect("it was written")
}
