//! What works, but hardly as it was meant: said at the start and by `check`, and nothing is refused for it.

use super::address::is_loopback;
use super::model::{self, Address, CacheConfig, Config, HttpsConfig, NodeConfig, NodePlace, Timeouts};
use super::units::{KIB, MIB};
use super::zookeeper::is_local;
use crate::wire::https::HostEntry;
use crate::wire::https::name::Name;
use ipnet::IpNet;
use rustix::fs::Access;
use rustix::io::Errno;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What an entry takes besides its body, about.
const ENTRY: u64 = KIB;
/// curl sends four field lines, a browser a dozen.
const FEW_FIELDS: usize = 12;
/// More threads than so many for each core only take turns.
const WORKERS_PER_CORE: usize = 4;

impl Config {
    /// One line for each value that a front cannot work well with; each names the cure. `spawn`: it runs the nodes that the
    /// file marks so.
    pub fn conflicts(&self, spawn: bool) -> Vec<String> {
        let mut all = self.node_conflicts();
        all.extend(access(&self.access, &self.proxy.listen));
        all.extend(timeouts(&self.timeouts));
        all.extend(self.workers());
        all.extend(if spawn { self.memory() } else { None });
        all.extend(if spawn { self.disks().and_then(|disks| disks.conflict()) } else { None });
        all.extend(self.advertises_loopback());
        all.extend(https(&self.https));
        all
    }

    /// Those that a node alone has to do with.
    pub fn node_conflicts(&self) -> Vec<String> {
        let few = (self.limits.fields < FEW_FIELDS).then(|| {
            format!(
                "[limits] fields = {}: most clients send more field lines; write for example 100",
                self.limits.fields
            )
        });
        cache(&self.cache).into_iter().chain(few).collect()
    }

    fn workers(&self) -> Option<String> {
        let (workers, cores) = (self.proxy.workers, std::thread::available_parallelism().map_or(1, usize::from));
        (workers > cores * WORKERS_PER_CORE).then(|| {
            format!("[proxy] workers = {workers}: this machine has {cores} cores; write 0 for one thread per core")
        })
    }

    /// What the disks of the nodes that it runs may take; `None`: they have none.
    pub fn disks(&self) -> Option<Disks> {
        let (each, path) = (self.disk.size, self.disk.path.clone());
        let folders: Vec<PathBuf> = self.spawned().map(|node| path.join(&node.id)).collect();
        (!folders.is_empty() && each > 0).then_some(Disks { folders, each, path })
    }

    fn spawned(&self) -> impl Iterator<Item = &NodeConfig> {
        self.nodes.iter().filter(|node| node.place == NodePlace::Spawn)
    }

    fn memory(&self) -> Option<String> {
        let spawned = self.spawned().count() as u64;
        let wanted = spawned.saturating_mul(self.cache.memory).saturating_add(self.hot.memory);
        let system = rustix::system::sysinfo();
        let there = system.totalram.saturating_mul(u64::from(system.mem_unit.max(1)));
        (wanted > there).then(|| {
            format!(
                "[cache] memory and [hot] memory: {spawned} x {} + {} may be stored, and this machine has {}; write less",
                size(self.cache.memory),
                size(self.hot.memory),
                size(there)
            )
        })
    }

    /// It was said in so many words, so it may be meant: for fronts of one machine.
    fn advertises_loopback(&self) -> Option<String> {
        let zookeeper = self.zookeeper.as_ref()?;
        let host = zookeeper.advertise.as_ref().filter(|host| is_local(host))?;
        let local = |server: &str| server.parse::<Address>().is_ok_and(|address| address.is_local());
        (!zookeeper.connect.split(',').all(local)).then(|| {
            format!(
                "[zookeeper] advertise = \"{host}\": each machine that reads it takes it for itself; write how others reach \
                 this one"
            )
        })
    }
}

/// The disks of several nodes.
#[derive(Debug)]
pub struct Disks {
    /// A node's each.
    folders: Vec<PathBuf>,
    /// Bytes of one.
    each: u64,
    path: PathBuf,
}

impl Disks {
    fn all(&self) -> u64 {
        (self.folders.len() as u64).saturating_mul(self.each)
    }

    /// Where the folder is, or would be.
    fn free(&self) -> Option<u64> {
        let file_system = there(&self.path).find_map(|path| rustix::fs::statvfs(path).ok())?;
        Some(file_system.f_bavail.saturating_mul(file_system.f_frsize))
    }

    /// Where a node would write, or have its folder made, and may not.
    fn unwritable(&self) -> Option<(&Path, Errno)> {
        self.folders.iter().find_map(|folder| {
            let there = there(folder).next()?;
            let may = match there.is_dir() {
                true => rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK),
                false => Err(Errno::NOTDIR),
            };
            Some((there, may.err()?))
        })
    }

    fn taken(&self) -> u64 {
        let nodes = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let files = nodes.flat_map(|node| std::fs::read_dir(node.path()).into_iter().flatten().flatten());
        files.filter_map(|file| Some(file.metadata().ok()?.blocks() * 512)).sum()
    }

    fn conflict(&self) -> Option<String> {
        if let Some((there, cause)) = self.unwritable() {
            let cure = match cause {
                Errno::ROFS => "mount its file system for writing, or name another folder",
                Errno::NOTDIR => "set it to a folder",
                _ => "let the user that ringhold runs as write there, or name another folder",
            };
            let there = there.display();
            return Some(format!(
                "[disk] path: nothing can be written in {there} ({cause}), so there is no disk; {cure}"
            ));
        }
        let free = self.free()?.saturating_add(self.taken());
        (free < self.all()).then(|| {
            let (all, path, free) = (size(self.all()), self.path.display(), size(free));
            format!("[disk] size: {all} may be taken in {path}, where {free} are free; lower [disk] size, or free some")
        })
    }
}

impl fmt::Display for Disks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (each, all, path) = (size(self.each), size(self.all()), self.path.display());
        write!(f, "disk: {} x {each} = {all} in {path}", self.folders.len())?;
        match self.free().filter(|_| self.unwritable().is_none()) {
            Some(free) => write!(f, ", where {} are free", size(free)),
            None => Ok(()),
        }
    }
}

/// What there is of a path: it, or what it would be in, and all above that.
fn there(path: &Path) -> impl Iterator<Item = &Path> {
    let all = path.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    all.filter(|path| path.exists())
}

fn cache(cache: &CacheConfig) -> Vec<String> {
    let keys = [("memory", cache.memory, ENTRY, "256MiB"), ("in_flight", cache.in_flight, 0, "128MiB")];
    if let Some((key, bytes, _, usual)) = keys.iter().find(|(_, bytes, none, _)| bytes <= none) {
        return vec![format!("[cache] {key} = {bytes} bytes: nothing is stored; write for example \"{usual}\"")];
    }
    if cache.max_object == 0 {
        return vec!["[cache] max_object = 0 bytes: nothing is stored; write for example \"64MiB\"".to_owned()];
    }
    let above = |(key, bytes): (&str, u64)| {
        (cache.max_object > bytes).then(|| {
            format!(
                "[cache] max_object = {} is above {key} = {}: nothing larger than that is stored; lower it, or raise {key}",
                size(cache.max_object),
                size(bytes)
            )
        })
    };
    [("memory", cache.memory), ("in_flight", cache.in_flight)].into_iter().filter_map(above).collect()
}

fn access(access: &model::Access, listen: &[SocketAddr]) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(net) = access.open.iter().find(|net| swallows_what_is_guarded(net)) {
        all.push(format!(
            "[access] open = \"{net}\": every client may reach this machine's own loopback services, or metadata services \
             such as 169.254.169.254; write only the networks that are meant, for example \"10.1.0.0/16\""
        ));
    }
    let Some(exposed) = listen.iter().find(|listen| !is_loopback(listen.ip())) else { return all };
    if access.clients.is_empty() {
        all.push(format!(
            "[access] clients = []: the proxy on {exposed} serves clients on this machine only; name the networks that may \
             use it, for example \"10.0.0.0/8\""
        ));
    }
    if access.clients.iter().any(|net| net.prefix_len() == 0) {
        all.push(format!(
            "[access] clients: everybody who can reach {exposed} may use the proxy; name the networks that are meant, for \
             example \"10.0.0.0/8\""
        ));
    }
    all
}

/// Larger than a guarded network and all of it: nobody means that by opening a destination.
fn swallows_what_is_guarded(net: &IpNet) -> bool {
    let guarded = ["127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"];
    let guarded = guarded.iter().filter_map(|text| text.parse::<IpNet>().ok());
    guarded.into_iter().any(|guarded| net.contains(&guarded) && net.prefix_len() < guarded.prefix_len().min(64))
}

fn timeouts(timeouts: &Timeouts) -> Option<String> {
    (timeouts.first_byte <= timeouts.probe).then(|| {
        format!(
            "[timeouts] first_byte = {:?} is not above probe = {:?}: a request at a node that falls silent ends with 504 before \
             the node is passed over; raise first_byte, or lower probe",
            timeouts.first_byte, timeouts.probe
        )
    })
}

fn https(https: &HttpsConfig) -> Vec<String> {
    let list = &https.list;
    let never = list.hosts.iter().filter(|line| list.pass.iter().any(|pass| pass.entry == line.entry));
    let never = never.map(|line| format!("[https] hosts has {line}, and pass has it too: it is tunnelled; remove one"));
    let whole = list.hosts.iter().filter_map(|line| match &line.entry {
        HostEntry::Pattern(pattern) => match &pattern.name {
            Name::Below(parent) if !parent.contains('.') => Some((line, parent)),
            _ => None,
        },
        HostEntry::Preset(_) => None,
    });
    let whole = whole.map(|(line, parent)| {
        format!(
            "[https] hosts has {line}: that is everybody's host below {parent}; name for example \"*.corp.{parent}\", unless \
             {parent} is of your own network"
        )
    });
    never.chain(whole).collect()
}

/// In the largest unit that it has one of, with one decimal where that is not 0.
pub fn size(bytes: u64) -> String {
    let units = [(1024 * MIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    let (whole, tenths) = (bytes / unit, bytes % unit * 10 / unit);
    if tenths == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}
