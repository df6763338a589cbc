//! The front: accepts clients and relays each request to the cache node that owns its URL.
//!
//! In the order of a request's life:
//! - `acceptor`, `thread`, `worker`: one thread accepts, one runtime a thread serves
//! - `service`: THE SPINE; `own`, `pages`: what is answered here; `access`: who may ask for what
//! - `route`: which nodes, in order; `relay`: asks them; `link`: how one is asked; `upload`: the body that goes along
//! - `hot`, `copied`: what everyone asks for, kept here; `hit`: answers of it at once; `pass`: what is passed on by its bytes; `told`, `fellow`: what other fronts say of it, and how
//! - `tunnel`: CONNECT and Upgrade; `https`: CONNECT that is answered in the host's name
//! - `answer`: what the client gets; `effects`: what others are told of it; `reply`: its way; `record`, `outcome`: what became of it; `accesslog`, [`metrics`]: who reads of it

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

mod acceptor;
mod access;
mod accesslog;
pub mod admin;
mod answer;
mod copied;
mod effects;
mod fellow;
mod front;
mod held;
mod hit;
mod hot;
pub mod https;
mod link;
pub mod making;
mod metrics;
mod onward;
mod outcome;
mod own;
mod pages;
mod pass;
mod record;
mod relay;
mod renewing;
mod reply;
mod route;
mod service;
mod tenure;
mod thread;
mod told;
mod tunnel;
mod upload;
mod worker;

use crate::account;
use crate::clock;
use crate::cluster::membership::zk::front_id;
use crate::cluster::{ControlPlane, NO_NODES};
use crate::config::{AccessLog, Address, Config, size};
use crate::lines::{self, GATHER, Lines};
use crate::net::descriptors;
use crate::net::drain::{Shutdown, StartError};
use crate::net::listen::Listener;
use crate::net::shares::Seats;
use crate::net::tls::Roots;
use front::{Front, reachable};
use https::interception::Interception;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use thread::Handle;
use tokio::runtime::LocalOptions;
use tokio::task::spawn_local;

/// Copies in the making, and what readers have of copies that are none any more, may take this part of the copies' memory.
const OF_HOT: u64 = 4;

/// Runs a front (listeners, workers, admin, membership) until `shutdown`, then drains. `spawn`: also run the nodes that
/// the configuration marks so (`ringhold serve`). Prints the ready line.
pub fn run(config: Config, spawn: bool, shutdown: Shutdown) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(|e| StartError(format!("cannot start a runtime: {e}")))?;
    runtime.block_on(control(config, spawn, shutdown))
}

/// The control plane's thread, which also accepts.
async fn control(config: Config, spawn: bool, mut shutdown: Shutdown) -> Result<(), StartError> {
    let (config, few_files) = descriptors::fitted(config);
    Roots::of(&config.https).check().map_err(StartError)?;
    let (listeners, listen) = bind(&config.proxy.listen, &config.places.proxy)?;
    let (admin_listeners, admin) = bind(&[config.admin.listen], &config.places.admin)?;
    let bound = with_bound(config.clone(), listen.clone(), admin[0]);
    let id = config.zookeeper.is_some().then(|| front_id(&bound));
    let leaves = https::start::open(&config, clock::wall()).map_err(|trouble| StartError(trouble.to_string()))?;
    let front =
        Arc::new(Front { id, leaves: leaves.map(Arc::new), ..Front::new(&pseudonym(&config), listen, admin[0]) });
    let https = front.leaves.clone().map(|leaves| Interception::new(&config, leaves)).transpose();
    let https = https.map_err(StartError)?.map(Arc::new);
    let (out, writer) =
        Lines::to(std::io::stdout(), "access log", GATHER).map_err(|e| cannot("start the access log", &e))?;
    lines::set_access(&out);
    let log = accesslog::LogSink::new(&config.log, out.clone());
    let hot = hot::Hot::new(&config, front.via[1].clone());
    account::set_limit(config.hot.memory / OF_HOT);
    let cluster = ControlPlane::start(&bound, spawn).await?;
    tracing::info!("{}", start_line(&bound, spawn, &cluster));
    // Said by who runs: a start that is refused has one line to say.
    few_files.iter().for_each(|remark| tracing::warn!("{remark}"));
    let start = worker::Start {
        config: Arc::new(config.clone()),
        front: front.clone(),
        membership: cluster.membership(),
        log,
        hot: hot.clone(),
        https: https.clone(),
        shutdown: shutdown.clone(),
    };
    let workers = start_workers(start)?;
    let counters: Vec<_> = workers.iter().map(|worker| worker.counters.clone()).collect();
    for listener in admin_listeners {
        let (cluster, counters, bound, shutdown) = (cluster.clone(), counters.clone(), bound.clone(), shutdown.clone());
        let (hot, https) = (hot.clone(), https.clone());
        spawn_local(async move { admin::serve(listener, cluster, counters, hot, https, &bound, shutdown).await });
    }
    let seats = Seats::new(config.limits.connections);
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            spawn_local(accept(listener, cluster.clone(), workers.clone(), seats.clone(), shutdown.clone()))
        })
        .collect();
    let life = async {
        tokio::select! {
            () = announce_when_ready(&front, &cluster, &config, &out) => {}
            () = shutdown.begun() => {}
        }
        shutdown.begun().await;
    };
    tokio::select! {
        () = life => {}
        refusal = cluster.refused() => {
            cluster.stop().await;
            return Err(refusal);
        }
    }
    let serving = async {
        for acceptor in accepting {
            let _ = acceptor.await;
        }
        drain(workers).await;
        cluster.withdraw().await;
    };
    tokio::join!(serving, cluster.leave());
    cluster.stop().await;
    tracing::info!("ended: all that was under way is done, or its time (timeouts.drain) is over");
    writer.finish();
    Ok(())
}

/// Accepts when there is a node: who comes before that waits in the queue of the socket for a moment.
async fn accept(
    listener: Listener,
    cluster: Arc<ControlPlane>,
    workers: Rc<Vec<Handle>>,
    seats: Seats,
    mut shutdown: Shutdown,
) {
    tokio::select! {
        () = cluster.opens() => {}
        () = shutdown.begun() => return,
    }
    acceptor::run(listener, workers, seats, shutdown).await;
}

fn bind(addresses: &[SocketAddr], place: &str) -> Result<(Vec<Listener>, Vec<SocketAddr>), StartError> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for address in addresses {
        // What listens on every IPv6 address takes the IPv4 ones too, unless they are named besides.
        let beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port() && address.port() != 0;
        let only_v6 = address.is_ipv6() && addresses.iter().any(beside);
        let asked = Address::Tcp(address.to_string());
        let listener = if only_v6 { Listener::bind_v6_for(*address, place) } else { Listener::bind_for(&asked, place) };
        let listener = listener.map_err(|e| StartError(e.to_string()))?;
        // What a listener says of itself is an address: only the port may differ.
        bound.push(listener.address().to_string().parse().unwrap_or(*address));
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

/// The configuration with the addresses that were bound, for those who show them.
fn with_bound(mut config: Config, listen: Vec<SocketAddr>, admin: SocketAddr) -> Config {
    config.proxy.listen = listen;
    config.admin.listen = admin;
    config
}

fn start_workers(start: worker::Start) -> Result<Rc<Vec<Handle>>, StartError> {
    let count = start.config.proxy.workers.max(1);
    let workers = (0..count).map(|index| thread::spawn(index, start.clone())).collect::<Result<Vec<_>, _>>();
    workers.map(Rc::new).map_err(|e| cannot("start a worker thread", &e))
}

/// Waits for the workers, which end when no acceptor is left to give them work and theirs is done.
async fn drain(workers: Rc<Vec<Handle>>) {
    let Ok(workers) = Rc::try_unwrap(workers) else { return };
    let done: Vec<_> = workers.into_iter().map(|worker| worker.done).collect();
    for done in done {
        let _ = done.await;
    }
}

/// What runs from now on, and from what.
fn start_line(config: &Config, spawn: bool, cluster: &ControlPlane) -> String {
    let on = |on: bool| if on { "on" } else { "off" };
    let listen: Vec<String> = config.proxy.listen.iter().map(SocketAddr::to_string).collect();
    let nodes: Vec<String> = match &config.zookeeper {
        // Who else there is, is not known yet.
        Some(_) if spawn => config.nodes.iter().map(|node| format!("{}-{}", config.advertised(), node.id)).collect(),
        _ => cluster.list().into_iter().map(|node| node.id).collect(),
    };
    let hot = if config.hot.memory > 0 { size(config.hot.memory) } else { "off".to_owned() };
    let zookeeper = config.zookeeper.as_ref().map_or("off", |zookeeper| zookeeper.connect.as_str());
    let access = match config.log.access {
        AccessLog::Off => "off",
        AccessLog::Text => "text",
        AccessLog::Json => "json",
    };
    format!(
        "ringhold {} starts ({}): configuration {}, state {}; proxy on {}, admin on {}; nodes: {}; {} workers, hot copy {hot}, \
         access log {access}, hot keys {}, bounded loads {}, secret {}, ZooKeeper {zookeeper}",
        env!("CARGO_PKG_VERSION"),
        if spawn { "serve" } else { "front" },
        config.source,
        config.state.path.display(),
        listen.join(" and "),
        config.admin.listen,
        if nodes.is_empty() { "none".to_owned() } else { nodes.join(" ") },
        config.proxy.workers,
        on(config.ring.hot_keys),
        on(config.ring.load_factor > 0.0),
        on(config.cluster.secret.is_some()),
    )
}

/// Says that it is ready once it can serve, and what it waits for meanwhile.
async fn announce_when_ready(front: &Front, cluster: &ControlPlane, config: &Config, out: &Lines) {
    let readiness = cluster.ready().await;
    if readiness.up == 0 {
        let why = match readiness.nodes {
            0 => format!("there are no nodes: {NO_NODES}"),
            nodes => format!("none of {nodes} nodes has answered: every request is answered 503 until one does"),
        };
        let (proxy, admin) = (front.address(), reachable(front.admin));
        let line = format!("ringhold is not ready: {why} (http_proxy=http://{proxy}, admin http://{admin})\n");
        let _ = out.put(line.as_bytes());
        cluster.until_up().await;
    }
    announce(front, cluster, out);
    if front.leaves.is_some() {
        let shell = config.for_a_shell(Some(&front.address()));
        let _ = out.put(format!("for https, in the client's shell: {shell}\n").as_bytes());
    }
}

/// The line that people copy from, once.
fn announce(front: &Front, cluster: &ControlPlane, out: &Lines) {
    let view = cluster.view();
    let ids: Vec<&str> = view.nodes.iter().filter(|node| node.is_up()).map(|node| node.id.as_str()).collect();
    let nodes = ids.join(" ");
    let (proxy, admin) = (front.address(), reachable(front.admin));
    let line = format!(
        "ringhold is ready: export http_proxy=http://{proxy} https_proxy=http://{proxy} (admin http://{admin}, nodes {nodes})\n"
    );
    // Nobody may be reading: that is no reason not to serve.
    let _ = out.put(line.as_bytes());
}

fn pseudonym(config: &Config) -> String {
    config.proxy.pseudonym.clone().unwrap_or_else(|| {
        // Every `RandomState` has keys of its own.
        let random = RandomState::new().hash_one("ringhold") & 0xff_ffff;
        format!("ringhold-{random:06x}")
    })
}

fn cannot(what: &str, cause: &std::io::Error) -> StartError {
    StartError(format!("cannot {what}: {cause}"))
}
