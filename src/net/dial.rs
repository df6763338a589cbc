//! Dialling: DNS with a short cache, destination rules on each address, happy eyeballs (RFC 8305).

use super::descriptors::{self, Lack, Relief};
use super::dns::Dns;
use super::eyeballs;
use super::hosts::Hosts;
use super::listen::Stream;
use super::lookups::Unresolved;
use super::own::OwnAddresses;
use super::rules::{self, Reach, reach};
use super::shares::ClientId;
use super::tls::TlsClient;
use crate::clock::tick;
use crate::config::Config;
use crate::wire::fault::{Fault, Kind};
use crate::wire::target::Host;
use http::StatusCode;
use ipnet::IpNet;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Names of which it is remembered which address answered last.
const ANSWERED: usize = 4096;

/// Between two tries to have a thread.
const NO_THREAD: Duration = Duration::from_millis(100);

/// Connects to origins and nodes. One per thread (not Send needed). Cheap to share by `Rc`.
pub struct Dialer {
    dns: Dns,
    open: Vec<IpNet>,
    own: OwnAddresses,
    hosts: RefCell<Hosts>,
    connect: Duration,
    relief: Relief,
    /// Which address of a name answered last, where it was not the first.
    answered: RefCell<HashMap<(Box<str>, u16), SocketAddr>>,
}

/// What was connected.
#[derive(Debug)]
pub struct Dialed {
    pub stream: Stream,
    pub address: SocketAddr,
    /// Who may see what comes from there (never `Nobody`).
    pub reach: Reach,
    /// It is on this machine.
    pub is_own: bool,
}

/// How far a dial has come; what it is blamed on when the time is over.
#[derive(Clone, Copy)]
enum Stage {
    Resolving,
    Connecting,
    /// We have none left: no file, port or memory, or no thread.
    Lacking(Lack),
}

impl Dialer {
    pub fn new(config: &Config) -> Dialer {
        Dialer {
            dns: Dns::new(config.timeouts.dns),
            open: config.access.open.clone(),
            own: OwnAddresses::default(),
            hosts: RefCell::default(),
            connect: config.timeouts.connect,
            relief: Relief::default(),
            answered: RefCell::default(),
        }
    }

    /// What makes room where we have no file left for a connection.
    pub fn relief(&self) -> &Relief {
        &self.relief
    }

    /// Resolves and connects within `timeouts.connect`, for this client. `same_machine`: it is on this machine.
    /// Faults: `destination_ip_prohibited` (403) when every address is forbidden to this client, DNS errors,
    /// refused, timed out: all the origin's.
    pub async fn dial(&self, host: &str, port: u16, same_machine: bool, of: ClientId) -> Result<Dialed, Fault> {
        let stage = Cell::new(Stage::Resolving);
        let attempt = async {
            let found = self.resolve(host, of, &stage).await.map_err(|e| unresolved(host, port, &e))?;
            let addresses = self.permitted(host, found.iter().map(|ip| SocketAddr::new(*ip, port)), same_machine)?;
            self.race(host, port, &addresses, &stage).await.map_err(|e| unconnected(host, port, e))
        };
        let (stream, address) = tokio::time::timeout(self.connect, attempt)
            .await
            .unwrap_or_else(|_| Err(self.too_slow(host, port, stage.get())))?;
        let mut own = self.own.addresses().to_vec();
        // The system has routed it back to this machine, whatever it says of its interfaces.
        own.extend(stream.local_addr().ok().map(|near| near.ip()).filter(|near| *near == address.ip()));
        let reach = reach(address.ip(), &self.open, &own);
        if !reach.allows(same_machine) {
            return Err(prohibited(host, address, reach));
        }
        let is_own = rules::reach(address.ip(), &[], &own) == Reach::SameMachine;
        Ok(Dialed { stream: Stream::Tcp(stream), address, reach, is_own })
    }

    /// The same with TLS on it, within the same time: whoever answers has proved to be `host`. Faults of TLS are those of
    /// [`super::tls::TlsTrouble`].
    pub async fn dial_tls(
        &self,
        host: Host<'_>,
        port: u16,
        (same_machine, of): (bool, ClientId),
        client: &TlsClient,
    ) -> Result<Dialed, Fault> {
        let (began, name) = (tick(), host.to_string());
        let dialed = self.dial(&name, port, same_machine, of).await?;
        let Stream::Tcp(socket) = dialed.stream else {
            return Err(unconnected(&name, port, ErrorKind::Unsupported.into()));
        };
        let left = self.connect.saturating_sub(tick().since(began));
        match tokio::time::timeout(left, client.connect(socket, host)).await {
            Ok(Ok(session)) => Ok(Dialed { stream: Stream::Tls(Box::new(session)), ..dialed }),
            Ok(Err(trouble)) => Err(trouble.fault(&name)),
            Err(_) => Err(slow_handshake(&name, port, self.connect)),
        }
    }

    /// The address of a host, where that is known without asking anybody: written as one, in whatever spelling, or in the hosts
    /// file.
    pub fn known(&self, host: Host<'_>) -> Option<IpAddr> {
        match host {
            Host::Ip(ip) => Some(ip),
            Host::Name(name) => rules::spelled(name).or_else(|| self.hosts.borrow_mut().address(name)),
        }
    }

    /// Whether only clients on this machine may go to an address, because it is one of this machine's beside its loopback: where
    /// that is not decided by who connects, who may be on another machine.
    pub fn is_ours(&self, ip: IpAddr) -> bool {
        reach(ip, &self.open, &[]) == Reach::Anyone
            && reach(ip, &self.open, &self.own.addresses()) == Reach::SameMachine
    }

    /// The refusal of such an address to others.
    pub fn refuse_ours(ip: IpAddr) -> Fault {
        prohibited(&ip.to_string(), SocketAddr::new(ip, 0), Reach::SameMachine)
    }

    /// As soon as we have what that takes.
    async fn resolve(&self, host: &str, of: ClientId, stage: &Cell<Stage>) -> Result<Arc<[IpAddr]>, Unresolved> {
        loop {
            match self.dns.resolve(host, of).await {
                Err(Unresolved::Lacking(lack)) => self.lack(lack, stage).await,
                found => {
                    stage.set(Stage::Resolving);
                    return found;
                }
            }
        }
    }

    /// Connects to the first that answers, as soon as we have what that takes.
    async fn race(
        &self,
        host: &str,
        port: u16,
        addresses: &[SocketAddr],
        stage: &Cell<Stage>,
    ) -> std::io::Result<(TcpStream, SocketAddr)> {
        let last = if addresses.len() > 1 { self.answered.borrow().get(&(host.into(), port)).copied() } else { None };
        loop {
            stage.set(Stage::Connecting);
            match eyeballs::connect(addresses.to_vec(), last, self.connect).await {
                Err(e) if let Some(lack) = descriptors::lack_of(&e) => self.lack(lack, stage).await,
                connected => {
                    if addresses.len() > 1 {
                        self.remember(host, port, addresses, connected.as_ref().ok().map(|(_, address)| *address));
                    }
                    return connected;
                }
            }
        }
    }

    fn remember(&self, host: &str, port: u16, addresses: &[SocketAddr], answered: Option<SocketAddr>) {
        let mut known = self.answered.borrow_mut();
        match answered.filter(|answered| addresses.first() != Some(answered)) {
            None => _ = known.remove(&(host.into(), port)),
            Some(answered) => {
                if known.len() >= ANSWERED {
                    known.clear();
                }
                known.insert((host.into(), port), answered);
            }
        }
    }

    async fn lack(&self, lack: Lack, stage: &Cell<Stage>) {
        stage.set(Stage::Lacking(lack));
        let pause = match lack {
            // All who wait try for themselves, and nothing of ours gives one back.
            Lack::Threads => NO_THREAD,
            Lack::Files | Lack::SystemFiles | Lack::Memory | Lack::Ports => {
                self.relief.give(lack);
                descriptors::PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }

    /// The addresses that this client may reach: the check is on what will be connected to, so no name and no spelling
    /// gets around it.
    fn permitted(
        &self,
        host: &str,
        addresses: impl Iterator<Item = SocketAddr>,
        same_machine: bool,
    ) -> Result<Vec<SocketAddr>, Fault> {
        let mut refused = None;
        let mut permitted = Vec::new();
        let own = self.own.addresses();
        for address in addresses {
            let reach = reach(address.ip(), &self.open, &own);
            if reach.allows(same_machine) {
                permitted.push(address);
            } else {
                refused = Some((address, reach));
            }
        }
        match refused {
            Some((address, reach)) if permitted.is_empty() => Err(prohibited(host, address, reach)),
            _ => Ok(permitted),
        }
    }

    fn too_slow(&self, host: &str, port: u16, stage: Stage) -> Fault {
        let limit = self.connect;
        match stage {
            Stage::Lacking(lack) => lacking(lack, &authority(host, port)),
            Stage::Resolving => Fault::origin(
                Kind::DnsTimeout,
                format!("the name {host} was not resolved within {limit:?}: check the DNS of the proxy's machine"),
            ),
            Stage::Connecting => Fault::origin(
                Kind::ConnectionTimeout,
                format!("{host} did not accept a connection on port {port} within {limit:?}: check that it is up"),
            ),
        }
    }
}

fn slow_handshake(host: &str, port: u16, limit: Duration) -> Fault {
    let detail = format!(
        "{host} accepted a connection on port {port}, and no TLS handshake came to its end within {limit:?}: check that it \
         speaks TLS there"
    );
    Fault::origin(Kind::ConnectionTimeout, detail)
}

fn prohibited(host: &str, address: SocketAddr, reach: Reach) -> Fault {
    let ip = address.ip();
    let detail = match reach {
        Reach::SameMachine => format!(
            "{host} is {ip} on the proxy's own machine, which only clients there may reach: \
             list it in [access] open to change that"
        ),
        _ => format!(
            "{host} is {ip}, a link-local, metadata or reserved address, which nobody may reach through this proxy: \
             list it in [access] open to change that"
        ),
    };
    Fault::origin(Kind::DestinationIpProhibited, detail)
}

fn unresolved(host: &str, port: u16, why: &Unresolved) -> Fault {
    match why {
        Unresolved::Told(why) => {
            Fault::origin(Kind::DnsError, format!("the name {host} does not resolve ({why}): check its spelling"))
        }
        Unresolved::Crowded => {
            let detail = "too many names wait to be looked up: try again in a second";
            Fault::us(StatusCode::SERVICE_UNAVAILABLE, Kind::ConnectionLimitReached, detail)
        }
        Unresolved::Lacking(lack) => lacking(*lack, &authority(host, port)),
    }
}

/// Our own lack, for which nobody else is to blame; `address`: what was to be connected to.
pub fn lacking(lack: Lack, address: &str) -> Fault {
    let detail = descriptors::lacking(lack, address);
    Fault::us(StatusCode::SERVICE_UNAVAILABLE, Kind::ConnectionLimitReached, detail)
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn unconnected(host: &str, port: u16, error: std::io::Error) -> Fault {
    let kind = kind(&error);
    let detail: Cow<'static, str> = match kind {
        Kind::ConnectionRefused => {
            format!("{host} refuses connections on port {port}: check the port and that the server runs").into()
        }
        Kind::ConnectionTimeout => {
            format!("{host} did not accept a connection on port {port}: check that it is up").into()
        }
        Kind::DestinationIpUnroutable => {
            format!("there is no route from the proxy to {host}: check the network of the proxy's machine").into()
        }
        _ => format!("no connection to {host} on port {port}").into(),
    };
    Fault::origin(kind, detail).because(error)
}

/// RFC 9209 section 2.3.
fn kind(error: &std::io::Error) -> Kind {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Kind::ConnectionRefused,
        ErrorKind::TimedOut => Kind::ConnectionTimeout,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Kind::ConnectionTerminated,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AddrNotAvailable
        | ErrorKind::InvalidInput => Kind::DestinationIpUnroutable,
        _ => Kind::DestinationUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::wire::fault::Whose;
    use tokio::net::TcpListener;

    fn dialer(change: impl FnOnce(&mut Config)) -> Dialer {
        let mut config = Config::default();
        change(&mut config);
        Dialer::new(&config)
    }

    async fn origin() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn this_machine_is_reached_by_its_own_clients_only_in_whatever_spelling() {
        let (_listener, port) = origin().await;
        let dialer = dialer(|_| {});
        for host in ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "0.0.0.0", "::ffff:127.0.0.1"] {
            let dialed = dialer.dial(host, port, true, ClientId::OURS).await.expect(host);
            assert_eq!(dialed.reach, Reach::SameMachine, "{host}");
            let fault = dialer.dial(host, port, false, ClientId::OURS).await.expect_err(host);
            assert_eq!((fault.kind, fault.status.as_u16()), (Kind::DestinationIpProhibited, 403), "{host}");
            assert!(fault.detail.contains(host) && fault.detail.contains("[access] open"), "{}", fault.detail);
        }
    }

    #[tokio::test]
    async fn nobody_reaches_metadata() {
        let dialer = dialer(|_| {});
        for host in ["169.254.169.254", "0xa9fea9fe", "::ffff:169.254.169.254", "[fd00:ec2::254]"] {
            let fault = dialer.dial(host, 80, true, ClientId::OURS).await.expect_err(host);
            assert_eq!(fault.kind, Kind::DestinationIpProhibited, "{host}");
        }
    }

    #[tokio::test]
    async fn an_opened_network_is_for_everyone() {
        let (_listener, port) = origin().await;
        let dialer = dialer(|c| c.access.open = vec!["127.0.0.0/8".parse().unwrap()]);
        let dialed = dialer.dial("127.0.0.1", port, false, ClientId::OURS).await.unwrap();
        assert_eq!(dialed.reach, Reach::Anyone);
        assert!(dialed.reach.allows(false));
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_the_origins_refusal() {
        let (listener, port) = origin().await;
        drop(listener);
        let fault = dialer(|_| {}).dial("localhost", port, true, ClientId::OURS).await.unwrap_err();
        assert_eq!((fault.whose, fault.kind, fault.status.as_u16()), (Whose::Origin, Kind::ConnectionRefused, 502));
        assert!(fault.detail.contains(&format!("localhost refuses connections on port {port}")), "{}", fault.detail);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_a_dns_error() {
        let fault = dialer(|_| {}).dial("a..invalid", 80, true, ClientId::OURS).await.unwrap_err();
        assert_eq!((fault.kind, fault.status.as_u16()), (Kind::DnsError, 502));
    }

    #[tokio::test]
    async fn a_silent_address_is_given_up_in_time() {
        let (_socket, _queued, silent) = crate::net::eyeballs::tests::silent().await;
        let dialer = dialer(|c| c.timeouts.connect = Duration::from_millis(50));
        let fault = dialer.dial("127.0.0.1", silent.port(), true, ClientId::OURS).await.unwrap_err();
        assert_eq!((fault.kind, fault.status.as_u16()), (Kind::ConnectionTimeout, 504));
    }
}
