//! What the file resolves to: every value there, every unit gone.

use crate::ring::Hash;
use crate::wire::head_limits::HeadLimits;
use crate::wire::https::HostList;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that a role needs to know, checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    pub proxy: Proxy,
    pub hot: HotConfig,
    pub admin: AdminConfig,
    pub ring: RingConfig,
    pub cache: CacheConfig,
    pub disk: DiskConfig,
    pub nodes: Vec<NodeConfig>,
    pub access: Access,
    pub cluster: ClusterConfig,
    /// `None`: the cluster is this front and the nodes that its file and admin API name.
    pub zookeeper: Option<ZookeeperConfig>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub log: LogConfig,
    pub https: HttpsConfig,
    pub state: StateConfig,
    /// Where this was read, for messages: the file's path, or what stands in for it.
    pub source: String,
    pub places: Places,
    /// What is worth a line at the start: `FILE:LINE: what; the cure`. Not for spawned nodes, whose front has said it.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// Where addresses were written, so that a port in use can be blamed on its line: `FILE:LINE`, an option, or `source`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Places {
    pub proxy: String,
    pub admin: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proxy {
    pub listen: Vec<SocketAddr>,
    /// Threads that carry traffic; never 0 here (0 in the file: one per core).
    pub workers: usize,
    /// The pseudonym in `Via`; by default `ringhold-` and six random hex digits, new at every start.
    pub pseudonym: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HotConfig {
    /// Bytes; 0: off.
    pub memory: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    pub token: Option<Secret>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RingConfig {
    pub hash: Hash,
    pub points: u32,
    /// 0: off; else more than 1.
    pub load_factor: f64,
    /// A URL that takes much of the traffic has two owners; default true.
    pub hot_keys: bool,
    /// For so long after a change of the ring a node asks the owner of before first; 10 min, 0: never.
    pub handover: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CacheConfig {
    /// Bytes, as all sizes.
    pub memory: u64,
    pub max_object: u64,
    pub in_flight: u64,
    pub eviction: Eviction,
    /// RFC 9213 targeted field names, in order of preference.
    pub targeted: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eviction {
    #[default]
    TinyLfu,
    Lru,
}

/// Of every node, behind its memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiskConfig {
    /// Each node has a folder of its own in it. Default: `$CACHE_DIRECTORY`, or else `$XDG_CACHE_HOME/ringhold`.
    pub path: PathBuf,
    /// Bytes of one node; 0: no disk.
    pub size: u64,
    /// Bytes of a body; default 8 GiB.
    pub max_object: u64,
    pub admit: Admit,
    /// Bytes a day that one node writes at most; 0: no limit.
    pub writes: u64,
}

/// What is written to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admit {
    /// Everything, until the disk turns over within a day or `writes` is set: then what comes for the second time; where it turns
    /// over within an hour, for the third.
    #[default]
    Auto,
    Always,
    Second,
}

/// A node that the file (or the admin API) names; made by [`NodeConfig::new`], which checks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    /// Letters, digits, `-`, `_`, `.`, a letter or digit first; at most 64 bytes.
    pub id: String,
    pub place: NodePlace,
    pub weight: u32,
}

/// Where a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodePlace {
    /// A child process of ours on a Unix socket.
    Spawn,
    /// Elsewhere.
    At(Address),
}

/// How a node is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Address {
    /// `unix:/path`
    Unix(PathBuf),
    /// `host:port`; the host may be a name.
    Tcp(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Who may use the proxy when it listens on other addresses than loopback.
    pub clients: Vec<IpNet>,
    /// Ports that CONNECT may reach for clients on other machines; default 443. Clients on this machine reach all.
    pub connect_ports: Vec<u16>,
    /// Destination networks that are opened for every client although a rule forbids them (loopback, link-local).
    pub open: Vec<IpNet>,
    /// Write `X-Forwarded-For`; default false.
    pub forwarded_for: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// What front and node prove to each other on TCP.
    pub secret: Option<Secret>,
    /// The one before, while a new one is brought to every machine; never without `secret`.
    pub previous_secret: Option<Secret>,
}

impl ClusterConfig {
    /// In the order in which they are to be tried.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secret.iter().chain(&self.previous_secret).map(|secret| secret.0.as_str())
    }
}

/// Where the cluster's members find each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZookeeperConfig {
    /// `host:port,host:port`
    pub connect: String,
    /// Where the cluster's records are; several clusters may share one ZooKeeper.
    pub path: String,
    /// Who has not been heard of for so long has left; 6 s.
    pub session: Duration,
    /// The host by which others reach what runs here, where that was said; see [`Config::advertised`].
    pub advertise: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Client connections of a front; default 16384.
    pub connections: usize,
    /// Bytes of a message head; default 64 KiB.
    pub head: u64,
    /// Field lines of a message; default 100.
    pub fields: usize,
    /// Requests at once on one connection of HTTP/2; default 100.
    pub streams: usize,
    /// Connections to one origin from one node; default 1024.
    pub origin_connections: usize,
    /// Connections from one worker to one node; default 1024.
    pub node_connections: usize,
    /// Requests that wait for one of those connections; default 4096.
    pub queue: usize,
    /// Variants of one URL; default 32.
    pub variants: usize,
}

impl Limits {
    /// Of what a node stores and answers.
    pub fn of_heads(&self) -> HeadLimits {
        HeadLimits { bytes: usize::try_from(self.head).unwrap_or(usize::MAX), fields: self.fields }
    }
}

/// Every wait has a name here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timeouts {
    /// To connect to an origin or node, DNS and all addresses included; 5 s.
    pub connect: Duration,
    /// From the request to the first byte of the answer; 60 s.
    pub first_byte: Duration,
    /// An origin that sends nothing of a body that it has begun, or takes nothing of one; 10 min.
    pub origin_silence: Duration,
    /// A client that takes nothing of an answer, or sends nothing of a body that it has begun; 10 min.
    pub client_silence: Duration,
    /// A kept-alive connection without a request; 60 s.
    pub idle: Duration,
    /// A connection to an origin is used again for so long; then its name is looked up anew; 2 min.
    pub origin_age: Duration,
    /// A tunnel in which nothing moves; 10 min.
    pub tunnel_idle: Duration,
    /// From the first byte of a request head to its last; 15 s.
    pub header: Duration,
    /// For requests in flight when draining; 30 s.
    pub drain: Duration,
    /// A request that waits for a free connection to an origin or node; 10 s.
    pub queue: Duration,
    /// Waiting for `100 Continue` before a body is sent anyway; 1 s.
    pub expect_continue: Duration,
    /// Between two probes of a node; 250 ms.
    pub probe_interval: Duration,
    /// A probe without an answer for so long makes the node silent; 600 ms.
    pub probe: Duration,
    /// A node whose hits take so long, and several times as long as those of others, is passed over; 100 ms; 0: none is.
    pub slow_hit: Duration,
    /// For a spawned node to say that it listens; 5 s.
    pub node_start: Duration,
    /// A small body may hold its head back for so long, so that a node's death midway costs the client nothing; 10 ms.
    pub small_body: Duration,
    /// For a node that another one asks before the origin to answer; 50 ms.
    pub peer: Duration,
    /// For the disk to bring what it has, before the origin is asked; 250 ms.
    pub disk: Duration,
    /// For a later piece of a body that is read from the disk while it is sent, and for the last of one to be written; 5 s.
    pub disk_body: Duration,
    /// A request that waits for another's answer from the origin asks as well after so long; 1 s.
    pub collapse: Duration,
    /// DNS answers are kept for so long at most; 30 s (failures 1 s).
    pub dns: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogConfig {
    /// A `tracing` filter, for example `info` or `ringhold=debug`; default `info`.
    pub level: String,
    pub format: LogFormat,
    /// One line a request on standard output; default off.
    pub access: AccessLog,
    /// Whether access lines show query strings; default false.
    pub queries: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    #[default]
    Off,
    Text,
    Json,
}

/// Caching of https by an own certificate authority; off unless `list` has hosts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HttpsConfig {
    pub list: HostList,
    /// The folder of the certificate authority. Default: `ca` in the folder of the state that the file names, or else
    /// `$XDG_STATE_HOME/ringhold/ca`.
    pub ca: PathBuf,
    /// Whether the file says so.
    pub ca_is_named: bool,
    /// Files of more roots (PEM) that origins are trusted by, beside the system's.
    pub roots: Vec<PathBuf>,
    /// How long a client that has refused our certificate gets tunnels to that host; default 10 min, 0: never.
    pub learn: Duration,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StateConfig {
    /// Where changes by the admin API are kept. Default: `$XDG_STATE_HOME/ringhold/<digest of the config file's path>`.
    pub path: PathBuf,
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
