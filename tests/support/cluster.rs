//! The real program: a front with its nodes, started from a generated file in a folder of its own.

use super::client::{Connection, Response};
use super::process::{self, NodeProcess};
use super::setup::Setup;
use super::{PATIENCE, until, until_true};
use rustix::process::Signal;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SERVE: [&str; 3] = ["serve", "--config", "cluster.toml"];

/// A running cluster. What it wrote is shown when a test fails, and a panic of the program fails the test.
pub struct Cluster {
    /// Where the proxy listens, as the ready line says.
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub ready_after: Duration,
    folder: TempDir,
    front: Child,
    nodes: Vec<u32>,
}

impl Cluster {
    pub fn start() -> Cluster {
        Setup::default().start()
    }

    fn launch(folder: TempDir) -> Cluster {
        let command = command(folder.path(), &SERVE);
        Cluster::launch_by(command, folder)
    }

    fn launch_by(mut command: Command, folder: TempDir) -> Cluster {
        let begun = Instant::now();
        let mut front = command.spawn().expect("ringhold starts");
        // Ends of pipes that it holds are the program's alone now.
        drop(command);
        let ready = until("ringhold is ready", PATIENCE, || ready_line(&mut front, folder.path()));
        let ready_after = begun.elapsed();
        let (proxy, admin) = addresses(&ready);
        let nodes = process::nodes_of(front.id()).iter().map(|n| n.pid).collect();
        Cluster { proxy, admin, ready_after, folder, front, nodes }
    }

    /// The same file and state, another life.
    pub fn restart(mut self) -> Cluster {
        self.terminate(Signal::TERM);
        self.again()
    }

    /// The same once it has ended.
    pub fn again(mut self) -> Cluster {
        assert!(!self.said().contains("panicked at"), "the program panicked:\n{}", self.said());
        let empty = TempDir::new().expect("a temporary folder");
        let folder = std::mem::replace(&mut self.folder, empty);
        drop(self);
        Cluster::launch(folder)
    }

    pub fn pid(&self) -> u32 {
        self.front.id()
    }

    /// The file that it was started from.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("cluster.toml")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that it said so far.
    pub fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}{}", read("stdout"), read("stderr"))
    }

    /// The node processes that run now.
    pub fn nodes(&self) -> Vec<NodeProcess> {
        process::nodes_of(self.pid())
    }

    /// The process of a node.
    pub fn node(&self, id: &str) -> NodeProcess {
        until(&format!("node {id} runs"), PATIENCE, || self.nodes().into_iter().find(|n| n.id == id))
    }

    pub fn signal_node(&self, id: &str, signal: Signal) {
        process::signal(self.node(id).pid, signal);
    }

    /// The front and all nodes.
    pub fn pids(&self) -> Vec<u32> {
        std::iter::once(self.pid()).chain(self.nodes().iter().map(|n| n.pid)).collect()
    }

    /// A new connection to the proxy.
    pub fn connect(&self) -> Connection {
        Connection::to(self.proxy)
    }

    /// Asks on a connection of its own.
    pub fn ask(&self, method: &str, url: &str, fields: &str, body: &[u8]) -> Response {
        self.connect().ask(method, url, fields, body)
    }

    pub fn get(&self, url: &str) -> Response {
        self.ask("GET", url, "", b"")
    }

    /// The sum of a counter over all nodes.
    pub fn node_total(&self, name: &str) -> u64 {
        self.metric(&format!("ringhold_node_{name}_total"))
    }

    /// The sum of all samples of a metric, of which there has to be one at least.
    pub fn metric(&self, name: &str) -> u64 {
        let metrics = self.manage("GET", "/metrics", "").text();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let samples: Vec<f64> =
            metrics.lines().filter(of_name).map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!samples.is_empty(), "{name} is told");
        samples.iter().sum::<f64>() as u64
    }

    /// Asks the admin API, as curl would.
    pub fn manage(&self, method: &str, path: &str, body: &str) -> Response {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        self.manage_with(method, path, kind, body)
    }

    pub fn manage_with(&self, method: &str, path: &str, fields: &str, body: &str) -> Response {
        let mut host = format!("Host: {}\r\n", self.admin);
        if fields.to_ascii_lowercase().contains("host:") {
            host.clear();
        }
        let size = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let mut connection = Connection::to(self.admin);
        connection.send(format!("{method} {path} HTTP/1.1\r\n{host}{fields}{size}\r\n{body}")).expect("admin listens");
        connection.response(method).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Sends a signal to the front.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// How it ended, when it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.front.try_wait().expect("one may wait for one's own child")
    }

    /// Ends the front by a signal and waits for it.
    pub fn terminate(&mut self, signal: Signal) -> ExitStatus {
        self.nodes = self.nodes().iter().map(|n| n.pid).collect();
        self.signal(signal);
        until("the front ends", 2 * PATIENCE, || self.exit_status())
    }
}

impl Setup {
    pub fn start(&self) -> Cluster {
        let folder = TempDir::with_prefix("rh").expect("a temporary folder");
        self.write_into(folder.path());
        Cluster::launch(folder)
    }

    /// The same program from another file (`None`: from its own), its command changed in the last moment: where it writes
    /// to, for example. The ready line has to come to the file `stdout` in its folder all the same.
    pub fn start_as(&self, program: Option<&Path>, change: impl FnOnce(&mut Command)) -> Cluster {
        let folder = TempDir::with_prefix("rh").expect("a temporary folder");
        self.write_into(folder.path());
        let program = program.map_or_else(self::program, |path| path.display().to_string());
        let mut command = prepared(&[&program], folder.path(), &SERVE);
        change(&mut command);
        Cluster::launch_by(command, folder)
    }

    /// The same, started by a command that becomes the program it is given.
    pub fn start_by(&self, prefix: &[String]) -> Cluster {
        let folder = TempDir::with_prefix("rh").expect("a temporary folder");
        self.write_into(folder.path());
        let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
        let command = command_after(&prefix, folder.path(), &SERVE);
        Cluster::launch_by(command, folder)
    }

    /// Runs it where it must refuse to start: its exit code and what it said.
    pub fn refuse(&self) -> (Option<i32>, String) {
        let folder = TempDir::with_prefix("rh").expect("a temporary folder");
        self.write_into(folder.path());
        run(folder.path(), &["serve", "--config", "cluster.toml"])
    }
}

/// Runs the program to its end (which must come): its exit code and what it said.
pub fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    run_after(&[], folder, arguments)
}

/// See [`command_after`].
pub fn run_after(prefix: &[&str], folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = command_after(prefix, folder, arguments).spawn().expect("ringhold starts");
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().expect("one may wait for one's own child") {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let read = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    (status.code(), format!("{}{}", read("stdout"), read("stderr")))
}

/// The program (`make test` names the release build) in a process group of its own, with nothing of the tester's environment that could matter.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    command_after(&[], folder, arguments)
}

/// The same started by another command, which is given the program with its arguments.
pub fn command_after(prefix: &[&str], folder: &Path, arguments: &[&str]) -> Command {
    prepared(&[prefix, &[&program()]].concat(), folder, arguments)
}

/// The program's file.
pub fn program() -> String {
    std::env::var("RINGHOLD_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_ringhold").into())
}

pub fn prepared(program: &[&str], folder: &Path, arguments: &[&str]) -> Command {
    let words = [program, arguments].concat();
    let mut command = Command::new(words[0]);
    let into = |name| Stdio::from(File::create(folder.join(name)).expect("a file can be made"));
    command.args(&words[1..]).current_dir(folder).env("XDG_STATE_HOME", folder.join("xdg-state")).process_group(0);
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "no_proxy",
        "NO_PROXY",
        "RUST_LOG",
        "RINGHOLD_CONFIG",
        "RINGHOLD_TOKEN",
        "CARGO_MANIFEST_DIR",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(into("stdout")).stderr(into("stderr"));
    command
}

fn ready_line(front: &mut Child, folder: &Path) -> Option<String> {
    let said = fs::read_to_string(folder.join("stdout")).unwrap_or_default();
    if let Some(status) = front.try_wait().expect("one may wait for one's own child") {
        let errors = fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        panic!("ringhold ended ({status}) before it was ready:\n{said}{errors}");
    }
    let (whole, _) = said.rsplit_once('\n')?;
    let told = |l: &&str| l.starts_with("ringhold is ready") || l.starts_with("ringhold is not ready");
    whole.lines().find(told).map(str::to_owned)
}

/// The addresses in (the line of a front that no node answers has them too) `ringhold is ready: export http_proxy=http://127.0.0.1:3128 … (admin http://127.0.0.1:3129, …)`.
fn addresses(line: &str) -> (SocketAddr, SocketAddr) {
    let after = |mark: &str| {
        let rest = line.split_once(mark).unwrap_or_else(|| panic!("no {mark} in: {line}")).1;
        let end = rest.find(|c: char| !c.is_ascii_hexdigit() && !"[].:".contains(c)).unwrap_or(rest.len());
        rest[..end].parse().unwrap_or_else(|_| panic!("no address after {mark} in: {line}"))
    };
    (after("http_proxy=http://"), after("admin http://"))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let now = self.nodes().into_iter().map(|n| n.pid);
        let nodes: Vec<u32> = now.chain(self.nodes.iter().copied()).collect();
        process::signal(self.pid(), Signal::KILL);
        let _ = self.front.wait();
        for pid in nodes {
            let ours = process::arguments(pid).first().is_some_and(|a| a.contains("ringhold"));
            if ours {
                process::signal(pid, Signal::KILL);
            }
        }
        let said = self.said();
        if std::thread::panicking() {
            eprintln!("---- what the cluster said ----\n{}", tail(&said, 200));
        } else {
            assert!(!said.contains("panicked at"), "the program panicked:\n{said}");
        }
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Waits until nothing of these processes is left.
pub fn until_gone(pids: &[u32], limit: Duration) {
    until_true("all processes are gone", limit, || pids.iter().all(|pid| !process::is_alive(*pid)));
}
