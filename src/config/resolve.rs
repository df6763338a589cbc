//! Checked tables -> [`Config`].

use super::model::{
    Access, AdminConfig, CacheConfig, ClusterConfig, Config, DiskConfig, HotConfig, HttpsConfig, Limits, LogConfig,
    NodeConfig, NodePlace, Places, Proxy, RingConfig, StateConfig, Timeouts, ZookeeperConfig,
};
use super::units::Time;
use super::{error, raw};
use crate::wire::https::{HostEntry, HostList, Listed};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

pub(super) fn config(file: raw::File, source: &str, text: &str, places: Places, warnings: Vec<String>) -> Config {
    let named = file.state.path.map(|written| beside(&written.0, source));
    Config {
        proxy: proxy(file.proxy),
        hot: HotConfig { memory: file.hot.memory.0 },
        admin: AdminConfig { listen: file.admin.listen.into_inner().0, token: file.admin.token.map(|t| t.0) },
        ring: ring(file.ring),
        cache: cache(file.cache),
        disk: disk(file.disk, source),
        nodes: file.nodes.map_or_else(built_in_nodes, |nodes| nodes.into_iter().map(node).collect()),
        access: access(file.access),
        cluster: cluster(&file.cluster),
        zookeeper: file.zookeeper.map(zookeeper),
        limits: limits(file.limits),
        timeouts: timeouts(file.timeouts),
        log: log(file.log),
        https: https(file.https, source, text, named.as_deref()),
        state: StateConfig { path: named.unwrap_or_else(|| state(source)) },
        source: source.to_owned(),
        places,
        warnings,
    }
}

fn proxy(raw: raw::RawProxy) -> Proxy {
    let workers = match raw.workers.0 as usize {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let listen = raw.listen.into_inner().into_iter().map(|l| l.0).collect();
    Proxy { listen, workers, pseudonym: raw.pseudonym.map(|p| p.0) }
}

fn ring(raw: raw::RawRing) -> RingConfig {
    RingConfig {
        hash: raw.hash,
        points: raw.points.into_inner().0,
        load_factor: raw.load_factor.0,
        hot_keys: raw.hot_keys,
        handover: raw.handover.0,
    }
}

fn cache(raw: raw::RawCache) -> CacheConfig {
    let most = raw.memory.0.min(raw.in_flight.0);
    CacheConfig {
        memory: raw.memory.0,
        // What is written is kept for whoever warns of it, see `conflicts`.
        max_object: raw.max_object.map_or(raw::MAX_OBJECT.min(most), |written| written.0),
        in_flight: raw.in_flight.0,
        eviction: raw.eviction,
        targeted: raw.targeted.into_iter().map(|t| t.0).collect(),
    }
}

fn disk(raw: raw::RawDisk, source: &str) -> DiskConfig {
    let path = raw.path.map_or_else(cache_home, |written| beside(&written.0, source));
    DiskConfig {
        path,
        size: raw.size.into_inner().0,
        max_object: raw.max_object.0,
        admit: raw.admit,
        writes: raw.writes.0,
    }
}

fn built_in_nodes() -> Vec<NodeConfig> {
    raw::BUILT_IN_NODES.map(|id| NodeConfig { id: id.to_owned(), place: NodePlace::Spawn, weight: 1 }).into()
}

fn node(raw: raw::RawNode) -> NodeConfig {
    let place = raw.address.map_or(NodePlace::Spawn, |a| NodePlace::At(a.into_inner().0));
    NodeConfig { id: raw.id.into_inner(), place, weight: raw.weight.0 }
}

fn access(raw: raw::RawAccess) -> Access {
    Access {
        clients: raw.clients.into_iter().map(|n| n.0).collect(),
        connect_ports: raw.connect_ports.into_iter().map(|p| p.0 as u16).collect(),
        open: raw.open.into_iter().map(|n| n.0).collect(),
        forwarded_for: raw.forwarded_for,
    }
}

fn zookeeper(raw: raw::RawZookeeper) -> ZookeeperConfig {
    ZookeeperConfig {
        connect: raw.connect.0,
        path: raw.path.0,
        session: raw.session.0,
        advertise: raw.advertise.map(|host| host.0),
    }
}

pub(super) fn cluster(raw: &raw::RawCluster) -> ClusterConfig {
    ClusterConfig {
        secret: raw.secret.as_ref().map(|s| s.as_ref().0.clone()),
        previous_secret: raw.previous_secret.as_ref().map(|s| s.as_ref().0.clone()),
    }
}

fn limits(raw: raw::RawLimits) -> Limits {
    Limits {
        connections: raw.connections.0 as usize,
        head: raw.head.into_inner().0,
        fields: raw.fields.0 as usize,
        streams: raw.streams.0 as usize,
        origin_connections: raw.origin_connections.0 as usize,
        node_connections: raw.node_connections.0 as usize,
        queue: raw.queue.0 as usize,
        variants: raw.variants.0 as usize,
    }
}

/// Where neither the file nor its older key says it.
const SILENCE: Duration = Duration::from_secs(600);

fn timeouts(raw: raw::RawTimeouts) -> Timeouts {
    let older = raw.body_stall.map(|time| time.into_inner().0);
    let silence = |own: Option<Time<1>>| own.map(|time| time.0).or(older).unwrap_or(SILENCE);
    Timeouts {
        connect: raw.connect.0,
        first_byte: raw.first_byte.0,
        origin_silence: silence(raw.origin_silence),
        client_silence: silence(raw.client_silence),
        idle: raw.idle.0,
        origin_age: raw.origin_age.0,
        tunnel_idle: raw.tunnel_idle.0,
        header: raw.header.0,
        drain: raw.drain.0,
        queue: raw.queue.0,
        expect_continue: raw.expect_continue.0,
        probe_interval: raw.probe_interval.0,
        probe: raw.probe.0,
        slow_hit: raw.slow_hit.0,
        node_start: raw.node_start.0,
        small_body: raw.small_body.0,
        peer: raw.peer.0,
        disk: raw.disk.0,
        disk_body: raw.disk_body.0,
        collapse: raw.collapse.0,
        dns: raw.dns.0,
    }
}

fn log(raw: raw::RawLog) -> LogConfig {
    LogConfig { level: raw.level.0, format: raw.format, access: raw.access, queries: raw.queries }
}

/// `state`: the folder of the state that the file names; `None`: it names none.
fn https(raw: raw::RawHttps, source: &str, text: &str, state: Option<&Path>) -> HttpsConfig {
    let listed = |lines: Vec<Spanned<String>>| {
        let line = |line: Spanned<String>| {
            let place = error::place(source, text, line.span());
            // What cannot be read was refused by `check`.
            HostEntry::parse(line.as_ref()).ok().map(|entry| Listed { entry, place })
        };
        lines.into_iter().filter_map(line).collect()
    };
    HttpsConfig {
        list: HostList { hosts: listed(raw.hosts), pass: listed(raw.pass) },
        ca_is_named: raw.ca.is_some(),
        ca: raw.ca.map_or_else(|| folder(state), |written| beside(&written.0, source)),
        roots: raw.roots.iter().map(|written| beside(&written.0, source)).collect(),
        learn: raw.learn.0,
    }
}

/// Where no folder is named: in that of the state, or else in the one that all states are in, whichever file says them. So
/// the client's shell finds it without being told the file.
fn folder(state: Option<&Path>) -> PathBuf {
    state.map_or_else(|| state_home().join("ringhold"), Path::to_owned).join("ca")
}

/// A relative path starts at the folder of the file that says it.
fn beside(written: &Path, source: &str) -> PathBuf {
    Path::new(source).parent().unwrap_or(Path::new("")).join(written)
}

fn state(source: &str) -> PathBuf {
    state_home().join("ringhold").join(digest(source))
}

/// The XDG base directory specification; it says to ignore relative paths. Without a home this is a system service.
fn state_home() -> PathBuf {
    named_folder("XDG_STATE_HOME")
        .or_else(|| named_folder("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| PathBuf::from("/var/lib"))
}

/// systemd names the folder of `CacheDirectory=`, the first of several. Else as for the state.
fn cache_home() -> PathBuf {
    let given = std::env::var("CACHE_DIRECTORY").ok();
    let given = given.and_then(|all| all.split(':').next().map(PathBuf::from)).filter(|path| path.is_absolute());
    given.unwrap_or_else(|| {
        named_folder("XDG_CACHE_HOME")
            .or_else(|| named_folder("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(|| PathBuf::from("/var/cache"))
            .join("ringhold")
    })
}

fn named_folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// One name per configuration file, however its path is written.
fn digest(source: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = std::fs::canonicalize(source).unwrap_or_else(|_| PathBuf::from(source));
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(path.as_os_str().as_bytes()))
}
