//! What a front's workers share of the https that they answer for: the list, the certificates, and who has refused them.

use super::leaf::{Leaf, Leaves, Unsigned};
use super::learned::{InVain, Learned, Refusal};
use super::listed::{self, TunnelSaid};
use super::passed::Passed;
use crate::clock::{self, Tick, tick};
use crate::config::Config;
use crate::net::shares::ClientId;
use crate::net::tls::{Refused, Server};
use crate::wire::authority::without_root;
use crate::wire::client_hello::ClientHello;
use crate::wire::https::{HostList, Listing};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// See the module. There is one only where `[https] hosts` names hosts.
pub struct Interception {
    list: HostList,
    leaves: Arc<Leaves>,
    pub server: Server,
    learned: Mutex<Learned<Refusal>>,
    in_vain: Mutex<InVain>,
    /// The day on which it was last said that an authority has ended.
    told: AtomicU64,
    /// By the hash of host and port.
    distrusted: Mutex<Learned<u64>>,
    learn: Duration,
}

/// A client inside the TLS of a host, until its connection ends.
pub struct Greeted {
    https: Arc<Interception>,
    refusal: Refusal,
    host: Box<str>,
    since: Tick,
    has_asked: Cell<bool>,
}

/// Whoever does not like what he has seen leaves sooner than that.
const AT_ONCE: Duration = Duration::from_secs(5);
const TRUST: &str = "have it trust the authority (`ringhold ca env`, `ringhold ca install`), or ";

/// Who asks for a tunnel, and where to.
#[derive(Clone, Debug)]
pub struct TunnelRequest {
    pub address: Option<IpAddr>,
    /// Without brackets, in lower case, without a dot at its end: so it is looked up, and shown a certificate for.
    pub host: Box<str>,
    pub port: u16,
}

impl Interception {
    /// Errors are faults of ours.
    pub fn new(config: &Config, leaves: Arc<Leaves>) -> Result<Interception, String> {
        let (list, learn) = (config.https.list.clone(), config.https.learn);
        let server = Server::new(leaves.key())?;
        Ok(Interception {
            list,
            leaves,
            server,
            learned: Mutex::default(),
            in_vain: Mutex::default(),
            told: AtomicU64::new(0),
            distrusted: Mutex::default(),
            learn,
        })
    }

    /// What is known before the client has said a word of TLS. `None`: the host is not listed. `takes_https`:
    /// nodes may be asked for it.
    pub fn before(&self, asked: &TunnelRequest, takes_https: bool) -> Option<Result<(), Passed>> {
        match self.list.decide(&asked.host, asked.port) {
            Listing::NotListed => None,
            Listing::Passed(_) => Some(Err(Passed::Listed)),
            Listing::Intercepted(_) if !takes_https => Some(Err(Passed::Nodes)),
            Listing::Intercepted(_) if self.is_distrusted(asked) => Some(Err(Passed::Origin)),
            Listing::Intercepted(_) => Some(Ok(())),
        }
    }

    /// The certificate to answer a hello with, or why it is not answered.
    pub fn certificate(&self, asked: &TunnelRequest, hello: &ClientHello) -> Result<Arc<Leaf>, Passed> {
        if hello.host.as_ref().is_some_and(|host| *host != asked.host) {
            return Err(Passed::OtherName);
        }
        if !hello.speaks_http() {
            return Err(Passed::Protocol);
        }
        if !hello.is_current {
            return Err(Passed::Version);
        }
        if self.learned().has(&refusal(asked, hello), tick()) {
            return Err(Passed::Refused);
        }
        self.leaves.of(&asked.host, clock::wall()).map_err(|why| {
            match why {
                Unsigned::Failed(trouble) => tracing::error!("no certificate for {}: {trouble}", asked.host),
                Unsigned::Ended if self.is_first_today() => tracing::error!("{} is tunnelled: {why}", asked.host),
                why => tracing::debug!("no certificate for {}: {why}", asked.host),
            }
            Passed::Unsigned
        })
    }

    /// A client that does not take our certificate, or can take none of ours, gets tunnels for a while, and its operator one line.
    pub fn refused(&self, asked: &TunnelRequest, hello: &ClientHello, refused: &Refused) {
        let host = &asked.host;
        match refused {
            Refused::Certificate(_) => {
                let does = format!("does not trust our certificate for {host}, or accepts its own alone");
                self.remember(refusal(asked, hello), &does, TRUST);
            }
            Refused::Incompatible(why) => {
                self.remember(refusal(asked, hello), &format!("speaks no TLS to {host} that we speak ({why})"), "");
            }
            Refused::Otherwise(_) => {}
        }
    }

    /// Whether nobody has asked this since the day began.
    fn is_first_today(&self) -> bool {
        let today = clock::wall().seconds() / 86_400;
        self.told.swap(today, Ordering::Relaxed) != today
    }

    fn remember(&self, refusal: Refusal, does: &str, cure: &str) {
        let now = tick();
        if self.learned().note(refusal, refusal.of(), now, after(now, self.learn)) {
            let client =
                refusal.address.map_or_else(|| "a client".to_owned(), |address| address.to_canonical().to_string());
            tracing::warn!("{client} {does}: tunnelled for {:?}; {cure}list the host in [https] pass", self.learn);
        }
    }

    /// Its handshake is at its end, and nothing was asked yet.
    pub fn greeted(self: &Arc<Self>, asked: &TunnelRequest, hello: &ClientHello) -> Greeted {
        let (refusal, host) = (refusal(asked, hello), asked.host.clone());
        Greeted { https: self.clone(), refusal, host, since: tick(), has_asked: Cell::new(false) }
    }

    /// A host has not proved who it is, or not as it is to be spoken with: its clients are to see that themselves for a while.
    /// `by`: who has asked it.
    pub fn distrust(&self, host: &str, port: u16, by: ClientId) {
        let (now, time) = (tick(), self.learn / 2);
        let mut distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        if distrusted.note(hash(host, port), by, now, after(now, time)) {
            tracing::warn!("TLS with {host}:{port} has failed, see the answer's detail: tunnelled for {time:?}");
        }
    }

    pub fn leaves(&self) -> &Leaves {
        &self.leaves
    }

    /// What becomes of a tunnel now, for people.
    pub fn said(&self, host: &str, port: u16) -> TunnelSaid {
        let said = listed::said(&self.list, Some(&self.leaves), host, port, clock::wall());
        let distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        match distrusted.left(&hash(host, port), tick()).filter(|_| said.intercepted) {
            None => said,
            Some(left) => {
                let left = left.as_secs();
                let why = format!(
                    "{}, but TLS with it has failed: clients see its certificate for another {left} s",
                    said.why
                );
                TunnelSaid { intercepted: false, passed: Some(Passed::Origin), why }
            }
        }
    }

    /// The addresses of client programs that have refused our certificate for a host and get tunnels for it, and for how long.
    pub fn refused_by(&self, host: &str, port: u16) -> Vec<(Option<IpAddr>, Duration)> {
        let host = hash(host, port);
        let learned = self.learned();
        let here = learned.all(tick()).filter(|(refusal, _)| refusal.host == host);
        here.map(|(refusal, left)| (refusal.address, left)).collect()
    }

    fn is_distrusted(&self, asked: &TunnelRequest) -> bool {
        let distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        distrusted.has(&hash(&asked.host, asked.port), tick())
    }

    fn learned(&self) -> MutexGuard<'_, Learned<Refusal>> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Greeted {
    /// It asks something.
    pub fn asks(&self) {
        if !self.has_asked.replace(true) {
            self.https.in_vain.lock().unwrap_or_else(PoisonError::into_inner).forget(&self.refusal);
        }
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        // Who keeps it open for longer keeps it for later.
        if self.has_asked.get() || tick().since(self.since) > AT_ONCE {
            return;
        }
        if self.https.in_vain.lock().unwrap_or_else(PoisonError::into_inner).note(self.refusal) {
            let does =
                format!("has left again and again when it had our certificate for {}, and asked nothing", self.host);
            self.https.remember(self.refusal, &does, TRUST);
        }
    }
}

fn after(now: Tick, time: Duration) -> Tick {
    Tick(now.0.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

fn hash(host: &str, port: u16) -> u64 {
    xxh3_64(format!("{}:{port}", without_root(host)).as_bytes())
}

fn refusal(asked: &TunnelRequest, hello: &ClientHello) -> Refusal {
    Refusal { address: asked.address, program: hello.program, host: hash(&asked.host, asked.port) }
}
