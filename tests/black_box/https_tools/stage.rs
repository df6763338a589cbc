//! Origins by their real names, a cluster that answers for them, and the shell of a client.

use crate::support::cluster::program;
use crate::support::relay::Relay;
use crate::support::tools::{command, left_out, run, succeed};
use crate::support::*;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Origins by their real names, and a cluster that knows where they are.
pub struct Stage {
    pub origin: Origin,
    pub cluster: Cluster,
    folder: TempDir,
    /// What a client's shell has after `ringhold ca env`.
    variables: Vec<(String, String)>,
    _port: Relay,
}

impl Stage {
    /// `None` (and a line that says so) where no mount namespace can be made, or the port is not to be had.
    pub fn with(test: &str, listed: &str, names: &[&str], ip: &str) -> Option<Stage> {
        Stage::changed(test, listed, names, ip, |setup| setup)
    }

    /// The same with other settings.
    pub fn changed(
        test: &str,
        listed: &str,
        names: &[&str],
        ip: &str,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Option<Stage> {
        let may = run(command("unshare").args(["--mount", "true"]), PATIENCE).status.success();
        if !may || std::net::TcpListener::bind(format!("{ip}:443")).is_err() {
            left_out(test, "it needs a mount namespace and port 443, and so root");
            return None;
        }
        let folder = TempDir::with_prefix("rh").unwrap();
        let authority = Authority::new();
        let origin = Origin::secure(authority.issue(names).server());
        let port = Relay::from(&format!("{ip}:443"), &origin.address.to_string());
        let hosts = folder.path().join("hosts");
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{ip} {}\n", names.join(" "))).unwrap();
        let roots = authority.write(&folder.path().join("roots.pem")).display().to_string();
        let setup = Setup::default().unhurried().nodes(2).set("https", "hosts", vec![listed]);
        let mount = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";
        let prefix = ["unshare", "--mount", "sh", "-c", mount, "sh", hosts.to_str().unwrap()].map(str::to_owned);
        let cluster = change(setup.set("https", "roots", vec![roots])).start_by(&prefix);
        let variables = variables(&cluster);
        Some(Stage { origin, cluster, folder, variables, _port: port })
    }

    /// A tool in such a shell, with nothing else of the tester's: no authority that the tester's variables name, no proxy.
    pub fn tool(&self, program: &str) -> Command {
        let mut tool = command(program);
        tool.env_clear()
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .envs(self.variables.iter().cloned());
        tool
    }

    /// An empty folder.
    pub fn empty(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// What a script of Python's makes of the name of a file that it is to write, with the bytes of that.
    pub fn made(&self, name: &str, script: &str) -> Vec<u8> {
        let file = self.path(name);
        succeed(command("python3").args(["-c", script]).arg(&file));
        std::fs::read(file).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn variables(cluster: &Cluster) -> Vec<(String, String)> {
    let words = format!("ca env --config cluster.toml --proxy {}", cluster.proxy);
    let script = format!("eval \"$('{}' {words})\" && env -0", program());
    let text =
        succeed(command("sh").args(["-c", &script]).current_dir(cluster.folder()).env_clear().env("PATH", path()));
    let text = String::from_utf8(text).unwrap();
    let pairs = text.split('\0').filter_map(|line| line.split_once('='));
    pairs.filter(|(name, _)| *name != "PWD").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
