//! Nodes that nobody spawns: started by hand, each in a folder of its own, on a TCP port of this machine.

use super::cluster::command;
use super::{PATIENCE, Setup, until};
use std::fs;
use std::net::SocketAddr;
use std::process::Child;
use tempfile::TempDir;

pub struct Standalone {
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Standalone {
    pub fn start(id: &str, setup: &Setup) -> Standalone {
        let folder = TempDir::with_prefix("rh").expect("a temporary folder");
        setup.clone().nodes(0).write_into(folder.path());
        let words = ["node", "--id", id, "--listen", "127.0.0.1:0", "--config", "cluster.toml"];
        let child = command(folder.path(), &words).spawn().expect("the node starts");
        let mut node = Standalone { address: ([127, 0, 0, 1], 0).into(), child, folder };
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
