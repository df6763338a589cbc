//! The tables as the file writes them. Every default is here, once.

use super::model::{AccessLog, Admit, Eviction, LogFormat};
use super::scalar::{At, Count, Ensemble, Filter, Hidden, Host, Listen, LoadFactor, Net, Token, ZnodePath};
use super::units::{KIB, MIB, Size, Time};
use crate::ring::Hash;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// A table's keys.
trait Keys {
    const KEYS: &[&str];
}

/// Declares tables: each key with its type and its default.
macro_rules! tables {
    ($($(#[$meta:meta])* $name:ident { $($key:ident: $kind:ty = $default:expr,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $(pub $key: $kind,)* }

        impl Keys for $name {
            const KEYS: &[&str] = &[$(stringify!($key)),*];
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($key: $default,)* }
            }
        }
    )*};
}

tables! {
    File {
        proxy: Proxy = Proxy::default(),
        hot: Hot = Hot::default(),
        admin: Admin = Admin::default(),
        ring: Ring = Ring::default(),
        cache: Cache = Cache::default(),
        disk: Disk = Disk::default(),
        nodes: Option<Vec<Node>> = None,
        access: Access = Access::default(),
        cluster: Cluster = Cluster::default(),
        zookeeper: Option<Zookeeper> = None,
        limits: Limits = Limits::default(),
        timeouts: Timeouts = Timeouts::default(),
        log: Log = Log::default(),
        https: Https = Https::default(),
        state: State = State::default(),
    }
    Proxy {
        listen: Spanned<Vec<Listen>> = nowhere(vec![Listen(loopback(3128))]),
        workers: Count<0, 1024> = Count(0),
        pseudonym: Option<Token> = None,
    }
    Hot {
        memory: Size = Size(128 * MIB),
    }
    Admin {
        listen: Spanned<Listen> = nowhere(Listen(loopback(3129))),
        token: Option<Hidden> = None,
    }
    Ring {
        hash: Hash = Hash::Xxh3,
        points: Spanned<Count<1, 65_536>> = nowhere(Count(512)),
        load_factor: LoadFactor = LoadFactor(0.0),
        hot_keys: bool = true,
        handover: Time<0> = seconds(600),
    }
    Cache {
        memory: Size = Size(256 * MIB),
        max_object: Option<Size> = None,
        in_flight: Size = Size(128 * MIB),
        eviction: Eviction = Eviction::TinyLfu,
        targeted: Vec<Token> = Vec::new(),
    }
    Disk {
        path: Option<PathBuf> = None,
        size: Spanned<Size> = nowhere(Size(0)),
        max_object: Size = Size(8 * 1024 * MIB),
        admit: Admit = Admit::Auto,
        writes: Size = Size(0),
    }
    Access {
        clients: Vec<Net> = near(),
        connect_ports: Vec<Count<1, 65_535>> = vec![Count(443)],
        open: Vec<Net> = Vec::new(),
        forwarded_for: bool = false,
    }
    Cluster {
        secret: Option<Spanned<Hidden>> = None,
        previous_secret: Option<Spanned<Hidden>> = None,
    }
    Limits {
        connections: Count<1, 1_048_576> = Count(16_384),
        head: Spanned<Size> = nowhere(Size(64 * KIB)),
        fields: Count<1, 4_096> = Count(100),
        origin_connections: Count<1, 65_536> = Count(1_024),
        node_connections: Count<1, 65_536> = Count(1_024),
        queue: Count<0, 1_048_576> = Count(4_096),
        variants: Count<1, 1_024> = Count(32),
    }
    Timeouts {
        connect: Time<1> = seconds(5),
        first_byte: Time<1> = seconds(60),
        origin_silence: Option<Time<1>> = None,
        client_silence: Option<Time<1>> = None,
        body_stall: Option<Spanned<Time<1>>> = None,
        idle: Time<1> = seconds(60),
        tunnel_idle: Time<1> = seconds(600),
        header: Time<1> = seconds(15),
        drain: Time<0> = seconds(30),
        queue: Time<0> = seconds(10),
        expect_continue: Time<0> = seconds(1),
        probe_interval: Time<10> = millis(250),
        probe: Time<10> = millis(600),
        slow_hit: Time<0> = millis(100),
        node_start: Time<1> = seconds(5),
        small_body: Time<0> = millis(10),
        peer: Time<1> = millis(50),
        disk: Time<1> = millis(250),
        collapse: Time<0> = seconds(1),
        dns: Time<0> = seconds(30),
    }
    Log {
        level: Filter = Filter("info".to_owned()),
        format: LogFormat = LogFormat::Text,
        access: AccessLog = AccessLog::Off,
        queries: bool = false,
    }
    Https {
        hosts: Vec<Spanned<String>> = Vec::new(),
        pass: Vec<Spanned<String>> = Vec::new(),
        ca: Option<PathBuf> = None,
        roots: Vec<PathBuf> = Vec::new(),
        learn: Time<0> = seconds(600),
    }
    State {
        path: Option<PathBuf> = None,
    }
}

/// The tables of the file with their keys.
pub const TABLES: &[(&str, &[&str])] = &[
    ("proxy", Proxy::KEYS),
    ("hot", Hot::KEYS),
    ("admin", Admin::KEYS),
    ("ring", Ring::KEYS),
    ("cache", Cache::KEYS),
    ("disk", Disk::KEYS),
    ("access", Access::KEYS),
    ("cluster", Cluster::KEYS),
    ("zookeeper", &["connect", "path", "session", "advertise"]),
    ("limits", Limits::KEYS),
    ("timeouts", Timeouts::KEYS),
    ("log", Log::KEYS),
    ("https", Https::KEYS),
    ("state", State::KEYS),
];

/// `[cache] max_object`, where it is not written and there is room for it.
pub const MAX_OBJECT: u64 = 64 * MIB;

/// The nodes of a file that does not speak of any: all spawned.
pub const BUILT_IN_NODES: [&str; 3] = ["n1", "n2", "n3"];

impl File {
    /// The nodes that the file names.
    pub fn named_nodes(&self) -> &[Node] {
        self.nodes.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    pub id: Spanned<String>,
    #[serde(default)]
    pub spawn: bool,
    pub address: Option<Spanned<At>>,
    #[serde(default = "light")]
    pub weight: Count<1, { super::node::MAX_WEIGHT }>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zookeeper {
    pub connect: Ensemble,
    #[serde(default)]
    pub path: ZnodePath,
    #[serde(default = "six_seconds")]
    pub session: Time<500>,
    pub advertise: Option<Host>,
}

fn six_seconds() -> Time<500> {
    seconds(6)
}

fn light() -> Count<1, { super::node::MAX_WEIGHT }> {
    Count(1)
}

/// A default stands on no line; the checks that ask for the line only ever blame what was written.
fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

fn seconds<const MIN: u64>(n: u64) -> Time<MIN> {
    Time(Duration::from_secs(n))
}

fn millis<const MIN: u64>(n: u64) -> Time<MIN> {
    Time(Duration::from_millis(n))
}

/// Loopback, private (RFC 1918, RFC 4193) and link-local networks.
fn near() -> Vec<Net> {
    const NEAR: [(IpAddr, u8); 8] = [
        (v4(127, 0), 8),
        (v6(0, 1), 128),
        (v4(10, 0), 8),
        (v4(172, 16), 12),
        (v4(192, 168), 16),
        (v4(169, 254), 16),
        (v6(0xfc00, 0), 7),
        (v6(0xfe80, 0), 10),
    ];
    NEAR.iter().filter_map(|(ip, bits)| ipnet::IpNet::new(*ip, *bits).ok()).map(Net).collect()
}

const fn v4(a: u8, b: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, 0, 0))
}

const fn v6(first: u16, last: u16) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last))
}
