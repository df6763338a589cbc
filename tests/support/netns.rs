//! Another machine, as far as the network can tell: a network namespace at the other end of a virtual cable.

use super::tools;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

/// A client elsewhere. It knows how to run commands there.
pub struct Elsewhere {
    name: String,
    /// Our end of the cable, and theirs.
    pub here: IpAddr,
    pub there: IpAddr,
}

impl Elsewhere {
    /// Makes one; `None` (and a line that says so) where that is not possible.
    pub fn make(test: &str) -> Option<Elsewhere> {
        let id = std::process::id() % 10_000;
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("rh{id}-{number}");
        // A /30 out of 10.64.0.0/10, by process and test, so that parallel runs do not meet.
        let base = 0x0a40_0000 + (id * 16 + number % 16) * 4;
        let [here, there] = [base + 1, base + 2].map(|a| Ipv4Addr::from(a).to_string());
        let [ours, theirs] = [&here, &there].map(|ip| ip.parse().expect("an address"));
        let elsewhere = Elsewhere { name: name.clone(), here: ours, there: theirs };
        let (a, b) = (format!("{name}a"), format!("{name}b"));
        let steps = [
            format!("netns add {name}"),
            format!("link add {a} type veth peer name {b} netns {name}"),
            format!("addr add {here}/30 dev {a}"),
            format!("link set {a} up"),
            format!("-n {name} addr add {there}/30 dev {b}"),
            format!("-n {name} link set {b} up"),
        ];
        match steps.iter().find_map(|step| ip(step).err()) {
            None => Some(elsewhere),
            Some(why) => {
                tools::left_out(test, &format!("no network namespace can be made here ({})", why.trim()));
                None
            }
        }
    }

    /// What to write before a command that is to run there.
    pub fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Sends bytes to an address from there; everything that comes back until the connection ends.
    pub fn send(&self, to: SocketAddr, bytes: &str) -> Vec<u8> {
        let script = format!("exec 3<>/dev/tcp/{}/{} && printf %s \"$1\" >&3 && cat <&3", to.ip(), to.port());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "bash", "-c", &script, "client", bytes]);
        tools::run(&mut command, Duration::from_secs(60)).stdout
    }
}

static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = ip(&format!("link del {}a", self.name));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

/// Runs `ip` with these arguments; what it complained about when it fails.
pub fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|e| format!("ip: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
