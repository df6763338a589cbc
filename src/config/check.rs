//! What only several values together can get wrong.

use super::address::is_loopback;
use super::error::Flaw;
use super::units::{KIB, MIB};
use super::{raw, resolve};
use crate::wire::https::HostEntry;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use toml::Spanned;

/// Of a whole ring; a point takes 16 bytes or so, and every front keeps a ring or two.
const MAX_POINTS: u64 = 1 << 22;

pub fn file(file: &raw::File) -> Result<(), Flaw> {
    proxy(&file.proxy)?;
    admin_table(file)?;
    head(&file.limits)?;
    cluster(&file.cluster)?;
    https(&file.https)?;
    disk(file.disk.size.as_ref().0).map_err(|message| flaw(file.disk.size.span(), message))?;
    nodes(file)?;
    own_nodes(file)?;
    points(file)
}

/// Keys that have another name now, and are still read.
pub fn older_keys(file: &raw::File) -> Vec<Flaw> {
    let stall = file.timeouts.body_stall.as_ref().map(|time| {
        let message = "body_stall is an older key, read for origin_silence and client_silence; write those instead";
        flaw(time.span(), message.to_owned())
    });
    stall.into_iter().collect()
}

fn proxy(proxy: &raw::RawProxy) -> Result<(), Flaw> {
    let addresses: Vec<SocketAddr> = proxy.listen.as_ref().iter().map(|l| l.0).collect();
    listen(&addresses).map_err(|message| flaw(proxy.listen.span(), message))
}

/// The proxy's addresses, from the file or the command line.
pub fn listen(addresses: &[SocketAddr]) -> Result<(), String> {
    if addresses.is_empty() {
        return Err("the proxy listens nowhere; write at least one address, for example \"127.0.0.1:3128\"".to_owned());
    }
    let mut seen = HashSet::new();
    if let Some(twice) = addresses.iter().find(|a| a.port() != 0 && !seen.insert(**a)) {
        return Err(format!("{twice} is there twice; remove one"));
    }
    let others =
        |a: &SocketAddr| addresses.iter().copied().find(|b| b != a && a.is_ipv4() == b.is_ipv4() && collide(*a, *b));
    match addresses.iter().find_map(|a| Some((a, others(a)?))) {
        Some((a, b)) => Err(format!("{a} and {b} take the same port of the same address; remove one")),
        None => Ok(()),
    }
}

/// Whether only one of the two can be bound. What listens on every IPv6 address has the IPv4 ones too, unless those are
/// in the same list.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |a: IpAddr, b: IpAddr| a.is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    let (x, y) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() != 0 && a.port() == b.port() && (x == y || covers(x, y) || covers(y, x))
}

fn admin_table(file: &raw::File) -> Result<(), Flaw> {
    let addresses: Vec<SocketAddr> = file.proxy.listen.as_ref().iter().map(|l| l.0).collect();
    let listen = &file.admin.listen;
    admin(listen.as_ref().0, file.admin.token.is_some(), &addresses).map_err(|message| flaw(listen.span(), message))
}

/// The admin API's address, from the file or the command line.
pub fn admin(listen: SocketAddr, has_token: bool, proxy: &[SocketAddr]) -> Result<(), String> {
    if !is_loopback(listen.ip()) && !has_token {
        return Err(format!("the admin API on {listen} is open to the network; set `[admin] token` or use 127.0.0.1"));
    }
    if listen.port() != 0 && proxy.contains(&listen) {
        return Err(format!("the admin API and the proxy cannot both listen on {listen}; give one another port"));
    }
    match proxy.iter().find(|proxy| collide(**proxy, listen)) {
        Some(proxy) => {
            Err(format!("the admin API on {listen} and the proxy on {proxy} collide; give one of them another port"))
        }
        None => Ok(()),
    }
}

fn head(limits: &raw::RawLimits) -> Result<(), Flaw> {
    let bytes = limits.head.as_ref().0;
    if (KIB..=KIB * KIB).contains(&bytes) {
        return Ok(());
    }
    Err(flaw(limits.head.span(), format!("{bytes} bytes are no limit for a head; write \"1KiB\" to \"1MiB\"")))
}

/// Of a disk: a smaller one has no room for its own order.
const DISK_MIN: u64 = MIB;

/// The size of a disk, from the file or the command line.
pub fn disk(bytes: u64) -> Result<(), String> {
    match bytes {
        1..DISK_MIN => {
            Err(format!("a disk of {bytes} bytes holds nothing; write at least \"1MiB\", or \"0\" for none"))
        }
        _ => Ok(()),
    }
}

/// Bytes of a secret. A shorter one is guessed by who has heard one proof, without asking anybody.
const SECRET_MIN: usize = 16;

fn cluster(cluster: &raw::RawCluster) -> Result<(), Flaw> {
    let secrets = [("secret", &cluster.secret), ("previous_secret", &cluster.previous_secret)];
    for (name, secret) in secrets.into_iter().filter_map(|(name, secret)| Some((name, secret.as_ref()?))) {
        let bytes = secret.as_ref().0.0.len();
        if bytes < SECRET_MIN {
            let cure = "write one from `openssl rand -hex 32`";
            let message = format!("a {name} of {bytes} bytes can be guessed; at least {SECRET_MIN} are needed, {cure}");
            return Err(flaw(secret.span(), message));
        }
    }
    match (&cluster.secret, &cluster.previous_secret) {
        (None, Some(previous)) => {
            Err(flaw(previous.span(), "previous_secret without secret; add the one that comes after it".to_owned()))
        }
        _ => Ok(()),
    }
}

fn nodes(file: &raw::File) -> Result<(), Flaw> {
    let cluster = resolve::cluster(&file.cluster);
    let mut seen = HashSet::new();
    for node in file.named_nodes() {
        let id = node.id.as_ref();
        if !seen.insert(id.as_str()) {
            return Err(flaw(node.id.span(), format!("a second node `{id}`; every node needs an id of its own")));
        }
        let address = node.address.as_ref().map(|a| a.as_ref().0.clone());
        super::model::NodeConfig::new(id, node.spawn, address, node.weight.0, &cluster)
            .map_err(|message| flaw(place(node), message))?;
        whereabouts(file, node).map_err(|message| flaw(place(node), message))?;
    }
    Ok(())
}

/// A node has an address of its own.
fn whereabouts(file: &raw::File, node: &raw::RawNode) -> Result<(), String> {
    let address_of = |node: &raw::RawNode| node.address.as_ref().map(|a| a.as_ref().0.clone());
    let (id, Some(address)) = (node.id.as_ref(), address_of(node)) else { return Ok(()) };
    let taken = |what: &str| Err(format!("node `{id}`: {address} is {what}; write where the node itself listens"));
    if file.proxy.listen.as_ref().iter().any(|listen| address.is_at(listen.0)) {
        return taken("the proxy itself");
    }
    if address.is_at(file.admin.listen.as_ref().0) {
        return taken("the admin API");
    }
    let mut before = file.named_nodes().iter().take_while(|other| !std::ptr::eq(*other, node));
    match before.find(|other| address_of(other).as_ref() == Some(&address)) {
        Some(other) => {
            let other = other.id.as_ref();
            Err(format!("node `{id}`: node `{other}` has the address {address} already; give it one of its own"))
        }
        None => Ok(()),
    }
}

/// With ZooKeeper the file names the nodes of this machine only.
fn own_nodes(file: &raw::File) -> Result<(), Flaw> {
    let elsewhere = |node: &&raw::RawNode| file.zookeeper.is_some() && node.address.is_some();
    match file.named_nodes().iter().find(elsewhere) {
        Some(node) => Err(flaw(place(node), super::zookeeper::named_elsewhere(node.id.as_ref()))),
        None => Ok(()),
    }
}

/// The line to blame for where a node runs.
fn place(node: &raw::RawNode) -> Range<usize> {
    node.address.as_ref().map_or_else(|| node.id.span(), |a| a.span())
}

fn points(file: &raw::File) -> Result<(), Flaw> {
    let each = &file.ring.points;
    let named = file.nodes.as_ref().map(|nodes| nodes.iter().map(|n| u64::from(n.weight.0)).sum());
    let weights: u64 = named.unwrap_or(raw::BUILT_IN_NODES.len() as u64);
    let all = weights * u64::from(each.as_ref().0);
    if all <= MAX_POINTS {
        return Ok(());
    }
    Err(flaw(
        each.span(),
        format!("{all} points on the ring are too many (at most {MAX_POINTS}); lower points or the weights"),
    ))
}

fn https(https: &raw::RawHttps) -> Result<(), Flaw> {
    entries(&https.hosts)?;
    entries(&https.pass)
}

/// Each can be read, and none stands there twice.
fn entries(lines: &[Spanned<String>]) -> Result<(), Flaw> {
    let mut before = Vec::new();
    for line in lines {
        let entry = HostEntry::parse(line.as_ref()).map_err(|message| flaw(line.span(), message))?;
        if before.contains(&entry) {
            return Err(flaw(line.span(), format!("a second \"{entry}\"; keep one of them")));
        }
        before.push(entry);
    }
    Ok(())
}

fn flaw(span: Range<usize>, message: String) -> Flaw {
    Flaw { span, message }
}
