//! The tables as the file writes them. Every default is here, once.

use super::model::{AccessLog, Admit, Eviction, LogFormat};
use super::scalar::{
    At, Ensemble, FilePath, Filter, Hidden, Listen, LoadFactor, Net, PlainHost, Token, WholeNumber, ZnodePath,
};
use super::units::{KIB, MIB, Size, Time};
use crate::ring::Hash;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
        proxy: RawProxy = RawProxy::default(),
        hot: RawHot = RawHot::default(),
        admin: RawAdmin = RawAdmin::default(),
        ring: RawRing = RawRing::default(),
        cache: RawCache = RawCache::default(),
        disk: RawDisk = RawDisk::default(),
        nodes: Option<Vec<RawNode>> = None,
        access: RawAccess = RawAccess::default(),
        cluster: RawCluster = RawCluster::default(),
        zookeeper: Option<RawZookeeper> = None,
        limits: RawLimits = RawLimits::default(),
        timeouts: RawTimeouts = RawTimeouts::default(),
        log: RawLog = RawLog::default(),
        https: RawHttps = RawHttps::default(),
        state: RawState = RawState::default(),
    }
    RawProxy {
        listen: Spanned<Vec<Listen>> = nowhere(vec![Listen(loopback(3128))]),
        workers: WholeNumber<0, 1024> = WholeNumber(0),
        pseudonym: Option<Token> = None,
    }
    RawHot {
        memory: Size = Size(128 * MIB),
    }
    RawAdmin {
        listen: Spanned<Listen> = nowhere(Listen(loopback(3129))),
        token: Option<Hidden> = None,
    }
    RawRing {
        hash: Hash = Hash::Xxh3,
        points: Spanned<WholeNumber<1, 65_536>> = nowhere(WholeNumber(512)),
        load_factor: LoadFactor = LoadFactor(0.0),
        hot_keys: bool = true,
        handover: Time<0> = seconds(600),
    }
    RawCache {
        memory: Size = Size(256 * MIB),
        max_object: Option<Size> = None,
        in_flight: Size = Size(128 * MIB),
        eviction: Eviction = Eviction::TinyLfu,
        targeted: Vec<Token> = Vec::new(),
    }
    RawDisk {
        path: Option<FilePath> = None,
        size: Spanned<Size> = nowhere(Size(0)),
        max_object: Size = Size(8 * 1024 * MIB),
        admit: Admit = Admit::Auto,
        writes: Size = Size(0),
    }
    RawAccess {
        clients: Vec<Net> = near(),
        connect_ports: Vec<WholeNumber<1, 65_535>> = vec![WholeNumber(443)],
        open: Vec<Net> = Vec::new(),
        forwarded_for: bool = false,
    }
    RawCluster {
        secret: Option<Spanned<Hidden>> = None,
        previous_secret: Option<Spanned<Hidden>> = None,
    }
    RawLimits {
        connections: WholeNumber<1, 1_048_576> = WholeNumber(16_384),
        head: Spanned<Size> = nowhere(Size(64 * KIB)),
        fields: WholeNumber<1, 4_096> = WholeNumber(100),
        streams: WholeNumber<1, 1_000> = WholeNumber(100),
        origin_connections: WholeNumber<1, 65_536> = WholeNumber(1_024),
        node_connections: WholeNumber<1, 65_536> = WholeNumber(1_024),
        queue: WholeNumber<0, 1_048_576> = WholeNumber(4_096),
        variants: WholeNumber<1, 1_024> = WholeNumber(32),
    }
    RawTimeouts {
        connect: Time<1> = seconds(5),
        first_byte: Time<1> = seconds(60),
        origin_silence: Option<Time<1>> = None,
        client_silence: Option<Time<1>> = None,
        body_stall: Option<Spanned<Time<1>>> = None,
        idle: Time<1> = seconds(60),
        origin_age: Time<1> = seconds(120),
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
        disk_body: Time<1> = seconds(5),
        collapse: Time<0> = seconds(1),
        dns: Time<0> = seconds(30),
    }
    RawLog {
        level: Filter = Filter("info".to_owned()),
        format: LogFormat = LogFormat::Text,
        access: AccessLog = AccessLog::Off,
        queries: bool = false,
    }
    RawHttps {
        hosts: Vec<Spanned<String>> = Vec::new(),
        pass: Vec<Spanned<String>> = Vec::new(),
        ca: Option<FilePath> = None,
        roots: Vec<FilePath> = Vec::new(),
        learn: Time<0> = seconds(600),
    }
    RawState {
        path: Option<FilePath> = None,
    }
}

/// The tables of the file with their keys.
pub const TABLES: &[(&str, &[&str])] = &[
    ("proxy", RawProxy::KEYS),
    ("hot", RawHot::KEYS),
    ("admin", RawAdmin::KEYS),
    ("ring", RawRing::KEYS),
    ("cache", RawCache::KEYS),
    ("disk", RawDisk::KEYS),
    ("access", RawAccess::KEYS),
    ("cluster", RawCluster::KEYS),
    ("zookeeper", &["connect", "path", "session", "advertise"]),
    ("limits", RawLimits::KEYS),
    ("timeouts", RawTimeouts::KEYS),
    ("log", RawLog::KEYS),
    ("https", RawHttps::KEYS),
    ("state", RawState::KEYS),
];

/// `[cache] max_object`, where it is not written and there is room for it.
pub const MAX_OBJECT: u64 = 64 * MIB;

/// The nodes of a file that does not speak of any: all spawned.
pub const BUILT_IN_NODES: [&str; 3] = ["n1", "n2", "n3"];

impl File {
    /// The nodes that the file names.
    pub fn named_nodes(&self) -> &[RawNode] {
        self.nodes.as_deref().unwrap_or_default()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawNode {
    pub id: Spanned<String>,
    #[serde(default)]
    pub spawn: bool,
    pub address: Option<Spanned<At>>,
    #[serde(default = "light")]
    pub weight: WholeNumber<1, { super::node::MAX_WEIGHT }>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawZookeeper {
    pub connect: Ensemble,
    #[serde(default)]
    pub path: ZnodePath,
    #[serde(default = "six_seconds")]
    pub session: Time<500>,
    pub advertise: Option<PlainHost>,
}

fn six_seconds() -> Time<500> {
    seconds(6)
}

fn light() -> WholeNumber<1, { super::node::MAX_WEIGHT }> {
    WholeNumber(1)
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
