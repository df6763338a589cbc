//! Several machines, as far as the network can tell: network namespaces with a virtual cable between any two of them,
//! so that one pair can be parted while both still reach everybody else.

use super::netns::ip;
use super::tools;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A number that no other namespace or cable of this process has, and the part of a name that no other process has.
fn number() -> (u32, u32) {
    (std::process::id() % 10_000, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Whether a test with network namespaces is to run and can; says so when not.
pub fn wanted(test: &str) -> bool {
    if !tools::wanted(test, &["ip"]) {
        return false;
    }
    match Machine::another().and_then(|machine| Cable::between(&Machine::this(), &machine)) {
        Ok(_) => true,
        Err(why) => {
            tools::left_out(test, &format!("no network namespace can be made here ({})", why.trim()));
            false
        }
    }
}

/// This machine (the namespace of the test itself), or another one, which is gone when this is dropped.
pub struct Machine(Option<String>);

impl Machine {
    pub fn this() -> Machine {
        Machine(None)
    }

    pub fn another() -> Result<Machine, String> {
        let (process, number) = number();
        let name = format!("rhm{process}-{number}");
        ip(&format!("netns add {name}"))?;
        let machine = Machine(Some(name));
        ip_at(&machine.0, "link set lo up")?;
        Ok(machine)
    }

    /// What to write before a command that is to run there.
    pub fn prefix(&self) -> Vec<&str> {
        self.0.iter().flat_map(|name| ["ip", "netns", "exec", name]).collect()
    }

    /// An address that is not at the other end of a cable of its own is reached by way of one that is.
    pub fn finds_by(&self, address: IpAddr, way: IpAddr) {
        ip_at(&self.0, &format!("route add {address}/32 via {way}")).expect("a route can be added");
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// Runs `ip` in a namespace.
fn ip_at(namespace: &Option<String>, arguments: &str) -> Result<(), String> {
    match namespace {
        Some(name) => ip(&format!("-n {name} {arguments}")),
        None => ip(arguments),
    }
}

/// An end of a cable.
pub struct End {
    pub address: IpAddr,
    namespace: Option<String>,
    device: String,
}

/// A cable between two machines.
pub struct Cable {
    pub near: End,
    pub far: End,
}

/// What becomes of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The cable is pulled out at its second end.
    Unplugged,
    /// Those of the first machine are lost, unknown to it; the second one's arrive.
    LostThere,
    /// The other way round.
    LostBack,
    /// The first machine is told that it has no way to the second one, whose packets arrive.
    NoWayThere,
    /// The other way round.
    NoWayBack,
}

impl Cut {
    pub const ALL: [Cut; 5] = [Cut::Unplugged, Cut::LostThere, Cut::LostBack, Cut::NoWayThere, Cut::NoWayBack];
}

impl Cable {
    pub fn between(near: &Machine, far: &Machine) -> Result<Cable, String> {
        let (process, number) = number();
        // A /30 out of 10.96.0.0/11, by process and cable, so that parallel runs do not meet.
        let base = 0x0a60_0000 + (process * 32 + number % 32) * 4;
        let end = |machine: &Machine, letter, host| End {
            address: Ipv4Addr::from(base + host).into(),
            namespace: machine.0.clone(),
            device: format!("rhc{process}-{number}{letter}"),
        };
        let cable = Cable { near: end(near, 'a', 1), far: end(far, 'b', 2) };
        let there = cable.far.namespace.as_ref().map(|name| format!(" netns {name}")).unwrap_or_default();
        let (a, b) = (&cable.near.device, &cable.far.device);
        cable.near.ip(&format!("link add {a} type veth peer name {b}{there}"))?;
        for end in [&cable.near, &cable.far] {
            end.ip(&format!("addr add {}/30 dev {}", end.address, end.device))?;
            end.ip(&format!("link set {} up", end.device))?;
        }
        Ok(cable)
    }

    pub fn cut(&self, cut: Cut) {
        self.turn(cut, ["down", "replace", "add"]);
    }

    /// Undoes a cut.
    pub fn mend(&self, cut: Cut) {
        self.turn(cut, ["up", "del", "del"]);
    }

    fn turn(&self, cut: Cut, [link, neighbour, route]: [&str; 3]) {
        // Frames for a station that is not there are dropped by whoever gets them.
        let lost = |from: &End, to: &End| {
            let station = "lladdr 02:00:00:00:00:00";
            let station = if neighbour == "del" { String::new() } else { format!(" {station} nud permanent") };
            from.ip(&format!("neigh {neighbour} {} dev {}{station}", to.address, from.device))
        };
        let no_way = |from: &End, to: &End| from.ip(&format!("route {route} blackhole {}/32", to.address));
        let (near, far) = (&self.near, &self.far);
        let turned = match cut {
            Cut::Unplugged => far.ip(&format!("link set {} {link}", far.device)),
            Cut::LostThere => lost(near, far),
            Cut::LostBack => lost(far, near),
            Cut::NoWayThere => no_way(near, far),
            Cut::NoWayBack => no_way(far, near),
        };
        turned.unwrap_or_else(|e| panic!("{cut:?}: {e}"));
    }
}

impl End {
    fn ip(&self, arguments: &str) -> Result<(), String> {
        ip_at(&self.namespace, arguments)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.near.ip(&format!("link del {}", self.near.device));
    }
}
