//! Starts and ends a node.

use super::concurrent::Concurrent;
use super::counters::NodeCounters;
use super::disk::Tier;
use super::door::Door;
use super::fills::Fills;
use super::random::random;
use super::refreshes::Refreshes;
use super::{CacheNode, adopt, origin, peers};
use crate::clock::{Tick, tick};
use crate::cluster::membership::zk::{self, Registration, Station};
use crate::config::{Address, Config, ZookeeperConfig, authority, machine};
use crate::net::descriptors::{self, Lack};
use crate::net::drain::{Shutdown, StartError};
use crate::net::listen::Listener;
use crate::net::serve::{Connections, ServerLimits, Sweeper};
use crate::net::tls::Roots;
use crate::policy::{Groups, Rules};
use crate::recent::Recent;
use crate::store::{ShelfLimits, Store, Uncacheable};
use crate::wire::date::Timestamp;
use crate::wire::status;
use crate::{account, alloc};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::runtime::LocalOptions;

/// How many URLs are remembered as not storable, and for how long.
const UNCACHEABLE: (u64, Duration) = (65_536, Duration::from_secs(120));
/// Places for URLs that were lent. Those that share one cost a message to the other nodes with each reload.
const LENT: usize = 1 << 12;
/// How many invalidated groups are remembered one by one.
const GROUPS: usize = 16_384;
/// Bytes of answers that may wait for a front on this machine (the kernel counts twice as many, with what it needs for them): a
/// body that goes in one piece costs both processes one turn.
const UNSENT: usize = 256 * 1024;
/// Between two looks at idle connections to origins.
const SWEEP: Duration = Duration::from_secs(5);

/// What `ringhold node` was asked to be.
#[derive(Debug)]
pub struct Options {
    pub id: String,
    pub listen: Address,
    pub config: Config,
    /// A child of a front: standard input is a pipe whose end means that the parent is gone (the config came down the
    /// same pipe as its first line, JSON).
    pub supervised: bool,
}

/// Runs a cache node on this thread until `shutdown`; prints `ringhold node ID listening on ADDRESS` when it listens.
pub fn run(options: Options, shutdown: Shutdown) -> Result<(), StartError> {
    alloc::on_this_thread();
    alloc::give_back_large_blocks(options.config.cache.memory);
    account::set_limit(options.config.cache.in_flight);
    if options.supervised {
        let_the_front_go_on();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let runtime = runtime.map_err(|e| StartError(format!("no runtime: {e}")))?;
    runtime.block_on(serve(options, shutdown))
}

/// A node that is woken by a request waits until who runs on that core pauses or has had its share: a front that has more
/// requests to hand on does so first, and the node then finds many at a time. Else every request costs two changes of
/// process. What the operator has set (real-time, idle) stays. Threads that this one starts do the same.
fn let_the_front_go_on() {
    // SAFETY: all zeros are a `sched_param`, whose priority must be 0 here; the calls only read it. 0 is this thread.
    let refused = unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        match libc::sched_getscheduler(0) {
            libc::SCHED_OTHER => libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameter) < 0,
            policy => policy < 0,
        }
    };
    if refused {
        tracing::debug!("the system refuses SCHED_BATCH: {}", std::io::Error::last_os_error());
    }
}

async fn serve(options: Options, shutdown: Shutdown) -> Result<(), StartError> {
    Roots::of(&options.config.https).check().map_err(StartError)?;
    let listener = Listener::bind(&options.listen).map_err(|e| StartError(e.to_string()))?;
    listener.watch_peers().map_err(|e| StartError(format!("{}: {e}", listener.address())))?;
    let address = listener.address();
    guarded(&address, &options.config)?;
    let socket = match &address {
        Address::Unix(path) => Some(Socket(path.clone(), options.supervised)),
        Address::Tcp(_) => None,
    };
    if options.supervised {
        let ends = end_with_parent(socket.as_ref().map(|s| s.0.clone()));
        ends.map_err(|e| StartError(format!("no thread: {e}")))?;
    }
    let drain = options.config.timeouts.drain;
    let asked = options.listen.clone();
    // Who hands over what it holds is asked for it until the end of that.
    let (end, mut ending) = Shutdown::channel();
    let sweeper = Sweeper::start(ServerLimits::of_link(&options.config), ending.clone());
    let node = Rc::new(new_node(options.id, options.config, ending.clone()));
    let _ = writeln!(std::io::stdout(), "ringhold node {} listening on {address}", node.id);
    let registered = register(node.clone(), asked, address.clone(), shutdown);
    // Where ZooKeeper says who is there, nobody is sent here any more when the registration has ended.
    let leaving = tokio::task::spawn_local(async move {
        let left = registered.await;
        end.begin();
        left
    });
    let connections = Connections::new(sweeper);
    let door = Rc::new(Door::new(node.clone(), connections.clone()));
    let minded = door.clone();
    let minding = tokio::task::spawn_local(async move { tokio::join!(minded.mind(), minded.usher()) });
    warn_of_few_files(&node.config, options.supervised);
    let sweeping = tokio::task::spawn_local(sweep(node.clone()));
    let caring = node.disk.clone().map(|disk| tokio::task::spawn_local(disk.run()));
    let tidying = tokio::task::spawn_local(super::room::mind(node.clone()));
    loop {
        let next = async {
            let seat = door.seat().await;
            let (stream, peer) = listener.accept_with(async || door.relieve()).await;
            stream.hold_more(UNSENT);
            (stream, peer, seat)
        };
        let (stream, peer, seat) = tokio::select! {
            next = next => next,
            () = ending.begun() => break,
        };
        door.receive(stream, peer, seat);
    }
    drop(listener);
    let begun = leaving.await.unwrap_or_else(|_| Ok(tick()))?;
    // What is still in flight has been so since the end began.
    connections.drained(drain.saturating_sub(tick().since(begun))).await;
    if let (Some(disk), Some(caring)) = (&node.disk, caring) {
        let left = || drain.saturating_sub(tick().since(begun));
        super::large::flush(&node, left() / 2).await;
        disk.finish(node.store.all(), left()).await;
        caring.abort();
    }
    sweeping.abort();
    minding.abort();
    tidying.abort();
    drop(socket);
    Ok(())
}

/// A spawned one has as many as its front, which says so itself.
fn warn_of_few_files(config: &Config, supervised: bool) {
    let (most, wanted) = (descriptors::for_fronts(), config.limits.node_connections);
    if most < wanted && !supervised {
        tracing::warn!(
            "at most {most} connections of fronts, fewer than limits.node_connections = {wanted}, because {}",
            descriptors::cure(Lack::Files)
        );
    }
}

/// With ZooKeeper a node says itself that it is there, until `shutdown` and all that follows from that; when that began.
/// Errors say that its id is another's.
async fn register(
    node: Rc<CacheNode>,
    asked: Address,
    bound: Address,
    mut shutdown: Shutdown,
) -> Result<Tick, StartError> {
    let Some(settings) = node.config.zookeeper.clone() else {
        shutdown.begun().await;
        return Ok(tick());
    };
    let own = node.config.nodes.iter().find(|n| n.id == node.id);
    let registration = Registration {
        address: reached_at(&settings, &asked, &bound),
        boot: node.boot,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        weight: own.map_or(1, |n| n.weight),
        leaving: false,
    };
    let (cluster, id, drain) = (node.config.cluster.clone(), node.id.clone(), node.config.timeouts.drain);
    let station = Station { settings, cluster, id, registration, drain };
    zk::register(station, || node.doubt_all(), || adopt::held(&node), shutdown).await
}

/// By the host that was said to be ours, or else where it was told to listen, with the port that it got.
fn reached_at(settings: &ZookeeperConfig, asked: &Address, bound: &Address) -> Address {
    let Some(port) = bound.port() else { return bound.clone() };
    let anywhere = |host: &&str| host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    let told = asked.host().filter(|host| !anywhere(host)).map(str::to_owned);
    Address::Tcp(authority(&settings.advertise.clone().or(told).unwrap_or_else(machine), port))
}

/// Judged by the address that was bound, not by the name that was written. Nobody has been accepted yet.
fn guarded(address: &Address, config: &Config) -> Result<(), StartError> {
    if address.is_local() || config.cluster.secret.is_some() {
        return Ok(());
    }
    Err(StartError(format!(
        "a node on {address} is open to the network; set `[cluster] secret` in {} or listen on 127.0.0.1",
        config.source
    )))
}

pub(super) fn new_node(id: String, mut config: Config, shutdown: Shutdown) -> CacheNode {
    config.cache.max_object = config.cache.max_object.min(config.cache.memory).min(config.cache.in_flight);
    let counters = Rc::new(NodeCounters::default());
    let boot = random() & ((1 << 53) - 1);
    let disk = Tier::start(&config, &id).map(Rc::new);
    let of_shelves = ShelfLimits { variants: config.limits.variants, head: config.limits.of_heads() };
    CacheNode {
        hit: status::hit_line(&id),
        pseudonym: format!("ringhold-{id}-{:06x}", boot & 0xff_ffff),
        id,
        boot,
        shutdown,
        rules: Rules::new(&config.cache.targeted),
        store: Store::new(&config.cache, of_shelves),
        disk,
        uncacheable: Uncacheable::new(UNCACHEABLE.0, UNCACHEABLE.1),
        lent: Recent::new(LENT),
        refreshes: Refreshes::new(config.limits.origin_connections),
        fills: Fills::default(),
        concurrent: Concurrent::default(),
        forgotten: RefCell::default(),
        origins: origin::Origins::new(&config, counters.clone()),
        peers: peers::Peers::new(&config),
        counters,
        not_stored: RefCell::default(),
        doubted_before: Cell::new(Timestamp(0)),
        groups: RefCell::new(Groups::new(GROUPS)),
        config,
    }
}

async fn sweep(node: Rc<CacheNode>) {
    let mut interval = tokio::time::interval(SWEEP);
    loop {
        interval.tick().await;
        node.origins.sweep();
        node.peers.sweep();
    }
}

/// A child whose parent is gone, even by `kill -9`, reads the end of its standard input and ends.
fn end_with_parent(socket: Option<PathBuf>) -> std::io::Result<()> {
    let end = move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(n) if n > 0) {}
        drop(socket.map(|path| Socket(path, true)));
        std::process::exit(0);
    };
    std::thread::Builder::new().name("parent".to_owned()).spawn(end).map(drop)
}

/// Removes a socket file, and a supervised node's directory when that was the last one in it.
struct Socket(PathBuf, bool);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        if self.1
            && let Some(directory) = self.0.parent()
        {
            // Fails while other nodes are in it, as it should.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_node_that_others_can_reach_needs_the_secret() {
        let rows = [
            ("127.0.0.1:5001", true),
            ("[::1]:5001", true),
            ("[::ffff:127.0.0.1]:5001", true),
            ("unix:/run/n1.sock", true),
            ("0.0.0.0:5001", false),
            ("[::]:5001", false),
            ("10.0.0.7:5001", false),
        ];
        let mut config = Config::default();
        for (address, open) in rows {
            let address = address.parse().unwrap();
            config.cluster.secret = None;
            let refused = guarded(&address, &config).err().map(|e| e.to_string());
            assert_eq!(refused.is_none(), open, "{address}: {refused:?}");
            assert!(refused.is_none_or(|why| why.contains("[cluster] secret")));
            config.cluster.secret = Some(Secret("0123456789abcdef".to_owned()));
            assert!(guarded(&address, &config).is_ok(), "{address}");
        }
    }
}
