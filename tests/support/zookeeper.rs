//! A real ZooKeeper (Debian's package `zookeeper`), alone or as an ensemble, on free ports in a folder of its own.

use super::process::{self, is_alive};
use super::{PATIENCE, tools, until_true};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const JAR: &str = "/usr/share/java/zookeeper.jar";
const TICK: u64 = 500;

/// Whether tests with ZooKeeper are to run; says so when not.
pub fn wanted(test: &str) -> bool {
    if !tools::wanted(test, &["java"]) {
        return false;
    }
    if !Path::new(JAR).exists() {
        tools::left_out(test, "ZooKeeper is not on this machine (Debian: zookeeper)");
        return false;
    }
    true
}

pub struct Zookeeper {
    servers: Vec<Server>,
    _folder: TempDir,
}

struct Server {
    /// What starts it: nothing, or a command that is given another one.
    prefix: Vec<String>,
    folder: PathBuf,
    client: SocketAddr,
    process: Option<Child>,
}

impl Zookeeper {
    pub fn alone() -> Zookeeper {
        Zookeeper::of(1)
    }

    /// So many servers. Ports are free when they are chosen; when one is taken before the servers bind, others are.
    pub fn of(count: usize) -> Zookeeper {
        for _ in 0..3 {
            let mut zookeeper = Zookeeper::laid_out(count);
            (0..count).for_each(|i| zookeeper.start(i));
            if zookeeper.comes_up() {
                return zookeeper;
            }
        }
        panic!("ZooKeeper does not start");
    }

    /// One server on another machine, where every port is free: by which command it is started there, and how it is
    /// reached from here. It listens on all addresses of its machine.
    pub fn elsewhere(prefix: &[&str], client: SocketAddr) -> Zookeeper {
        let mut zookeeper = Zookeeper::laid_out(1);
        let server = &mut zookeeper.servers[0];
        let file = server.folder.join("zoo.cfg");
        let config = fs::read_to_string(&file).unwrap();
        let config = config.replace("clientPortAddress=127.0.0.1", "clientPortAddress=0.0.0.0");
        let port = |port: u16| format!("clientPort={port}\n");
        fs::write(file, config.replace(&port(server.client.port()), &port(client.port()))).unwrap();
        server.client = client;
        server.prefix = prefix.iter().map(|word| word.to_string()).collect();
        zookeeper.start(0);
        assert!(zookeeper.comes_up(), "ZooKeeper starts elsewhere");
        zookeeper
    }

    fn laid_out(count: usize) -> Zookeeper {
        let folder = TempDir::with_prefix("zk").expect("a temporary folder");
        let held: Vec<TcpListener> = (0..3 * count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|l| l.local_addr().unwrap().port()).collect();
        let peers: String = (0..count)
            .filter(|_| count > 1)
            .map(|i| format!("server.{}=127.0.0.1:{}:{}\n", i + 1, ports[3 * i + 1], ports[3 * i + 2]))
            .collect();
        let servers = (0..count).map(|i| {
            let own = folder.path().join(format!("server{}", i + 1));
            fs::create_dir(&own).unwrap();
            let config = format!(
                "tickTime={TICK}\ninitLimit=20\nsyncLimit=8\nmaxClientCnxns=0\ndataDir={}\nclientPort={}\n\
                 clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\nforceSync=no\n{peers}",
                own.display(),
                ports[3 * i]
            );
            fs::write(own.join("zoo.cfg"), config).unwrap();
            fs::write(own.join("myid"), format!("{}\n", i + 1)).unwrap();
            Server { folder: own, client: SocketAddr::from(([127, 0, 0, 1], ports[3 * i])), process: None, prefix: Vec::new() }
        });
        Zookeeper { servers: servers.collect(), _folder: folder }
    }

    /// `host:port,…` of all servers.
    pub fn connect(&self) -> String {
        self.servers.iter().map(|s| s.client.to_string()).collect::<Vec<_>>().join(",")
    }

    pub fn start(&mut self, i: usize) {
        let server = &mut self.servers[i];
        let log = File::create(server.folder.join("log")).unwrap();
        let words: Vec<&str> = server.prefix.iter().map(String::as_str).chain(["java"]).collect();
        let mut java = Command::new(words[0]);
        java.args(&words[1..]).args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", JAR]);
        java.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(server.folder.join("zoo.cfg"));
        java.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        server.process = Some(java.spawn().expect("java starts"));
    }

    /// Starts those that do not run, and waits until they serve.
    pub fn start_all(&mut self) {
        for i in 0..self.servers.len() {
            if self.servers[i].process.is_none() {
                self.start(i);
            }
        }
        assert!(self.comes_up(), "ZooKeeper serves again");
    }

    fn comes_up(&mut self) -> bool {
        let deadline = std::time::Instant::now() + 3 * PATIENCE;
        while std::time::Instant::now() < deadline {
            if self.servers.iter().all(|s| mode(s.client).is_some()) {
                return true;
            }
            if self.servers.iter_mut().any(Server::has_ended) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    pub fn kill(&mut self, i: usize) {
        if let Some(mut process) = self.servers[i].process.take() {
            process::signal(process.id(), Signal::KILL);
            let _ = process.wait();
        }
    }

    pub fn kill_all(&mut self) {
        (0..self.servers.len()).for_each(|i| self.kill(i));
    }

    /// Which server the others follow.
    pub fn leader(&self) -> usize {
        let leads = |s: &Server| mode(s.client).is_some_and(|m| m == "leader" || m == "standalone");
        self.servers.iter().position(leads).expect("an ensemble has a leader")
    }
}

/// Does something to ZooKeeper's contents, by a session of its own.
pub fn with_client<T>(servers: &str, act: impl AsyncFnOnce(zookeeper_client::Client) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { act(zookeeper_client::Client::connect(servers).await.expect("ZooKeeper is there")).await })
}

impl Server {
    fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| !matches!(p.try_wait(), Ok(None)))
    }
}

impl Drop for Zookeeper {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in &self.servers {
                let log = fs::read_to_string(server.folder.join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                eprintln!("{}: {last:#?}", server.folder.display());
            }
        }
        self.kill_all();
    }
}

/// What a server says that it is; `None` while it does not serve.
fn mode(server: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"srvr").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    said.lines().find_map(|l| l.strip_prefix("Mode: ")).map(str::to_owned)
}
