//! Nodes that nobody spawns: started by hand, each in a folder of its own, on a TCP port of this machine or another.

use super::cluster::command_after;
use super::{PATIENCE, Setup, until};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command};
use tempfile::TempDir;

pub struct Standalone {
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Standalone {
    pub fn start(id: &str, setup: &Setup) -> Standalone {
        Standalone::start_by(&[], Ipv4Addr::LOCALHOST.into(), id, setup)
    }

    /// Started by another command, which is given the program with its arguments, to listen on this address.
    pub fn start_by(prefix: &[&str], ip: IpAddr, id: &str, setup: &Setup) -> Standalone {
        Standalone::start_as(|folder, words| command_after(prefix, folder, words), ip, id, setup)
    }

    /// By the command that is made for this folder and these arguments.
    pub fn start_as(made: impl FnOnce(&Path, &[&str]) -> Command, ip: IpAddr, id: &str, setup: &Setup) -> Standalone {
        let folder = TempDir::with_prefix("rh").expect("a temporary folder");
        setup.clone().nodes(0).write_into(folder.path());
        let address = SocketAddr::new(ip, 0);
        let words = ["node", "--id", id, "--listen", &address.to_string(), "--config", "cluster.toml"];
        let child = made(folder.path(), &words).spawn().expect("the node starts");
        let mut node = Standalone { address, child, folder };
        let line = format!("ringhold node {id} listening on ");
        node.address = until("the node listens", PATIENCE, || {
            node.said().lines().find_map(|said| said.strip_prefix(&line)?.parse().ok())
        });
        node
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn said(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}{}", read("stdout"), read("stderr"))
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.said();
        if std::thread::panicking() {
            eprintln!("---- what the node said ----\n{said}");
        } else {
            assert!(!said.contains("panicked at"), "{said}");
        }
    }
}
