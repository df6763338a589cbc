//! The `[zookeeper]` table, and `--zookeeper` and `--advertise`.

use super::address::is_loopback;
use super::error::ConfigError;
use super::model::{Address, Config, NodePlace, Secret, ZookeeperConfig};
use super::scalar::{Ensemble, PlainHost, Scalar, ZnodePath};
use std::net::SocketAddr;
use std::time::Duration;

const SESSION: Duration = Duration::from_secs(6);

/// What is wrong with a node of the file that has an address.
pub fn named_elsewhere(id: &str) -> String {
    format!(
        "node `{id}` has an address, but with ZooKeeper this file names only the nodes that run on this machine; remove \
         it, and start that node where it runs with --zookeeper"
    )
}

impl ZookeeperConfig {
    /// Whoever reads a loopback address in ZooKeeper takes it for its own machine: so it gets there only where all are on
    /// one machine, or where it was said in so many words. Errors are a sentence that names the cure.
    fn check_host(&self, host: &str) -> Result<(), String> {
        let local = |server: &str| server.parse::<Address>().is_ok_and(|address| address.is_local());
        if !is_local(host) || self.advertise.is_some() || self.connect.split(',').all(local) {
            return Ok(());
        }
        Err(format!(
            "{host} is another machine for each that reads it in ZooKeeper at {}; say how others reach this one: \
             --advertise HOST, or `advertise` in [zookeeper]",
            self.connect
        ))
    }

    /// The same for a node that is to listen there.
    pub fn check_node(&self, listen: &Address) -> Result<(), String> {
        match &self.advertise {
            _ if matches!(listen, Address::Unix(_)) => Err(format!(
                "a node on {listen} is not found through ZooKeeper, where nobody is sent to a Unix socket; write --listen \
                 HOST:PORT"
            )),
            Some(host) if listen.is_local() && !is_local(host) => Err(format!(
                "a node on {listen} is not found at {host} by other machines; write --listen {}",
                authority(host, listen.port().unwrap_or(0))
            )),
            Some(_) => Ok(()),
            None if listen.is_local() => self.check_host(listen.host().unwrap_or("localhost")),
            None => Ok(()),
        }
    }
}

impl Config {
    /// Where other machines would look for what runs here, it can be found.
    pub fn check_advertised(&self) -> Result<(), String> {
        self.zookeeper.as_ref().map_or(Ok(()), |zookeeper| zookeeper.check_host(&self.advertised()))
    }

    /// The same with the ensemble and host of the command line.
    pub fn with_zookeeper(mut self, connect: Option<&str>, advertise: Option<&str>) -> Result<Config, ConfigError> {
        if let Some(text) = connect {
            let connect = option::<Ensemble>("--zookeeper", text)?.0;
            let (path, session) = (ZnodePath::default().0, SESSION);
            let table = self.zookeeper.get_or_insert(ZookeeperConfig {
                connect: String::new(),
                path,
                session,
                advertise: None,
            });
            table.connect = connect;
            if let Some(node) = self.nodes.iter().find(|n| n.place != NodePlace::Spawn) {
                return Err(ConfigError::option("--zookeeper", named_elsewhere(&node.id)));
            }
        }
        if let Some(text) = advertise {
            let host = option::<PlainHost>("--advertise", text)?.0;
            let without =
                || ConfigError::option("--advertise", "it is of use with --zookeeper only; add that".to_owned());
            self.zookeeper.as_mut().ok_or_else(without)?.advertise = Some(host);
        }
        Ok(self)
    }

    /// The host by which other machines reach what runs here: what was said, or else the address that the proxy listens
    /// on, or else this machine's name.
    pub fn advertised(&self) -> String {
        let said = self.zookeeper.as_ref().and_then(|z| z.advertise.clone());
        said.unwrap_or_else(|| self.proxy.listen.first().map_or_else(machine, |listen| host_of(*listen)))
    }

    /// Nodes that are open to the network need the secret. Errors are a sentence that names the cure.
    pub fn check_spawned(&self) -> Result<(), String> {
        let host = self.advertised();
        let open =
            self.zookeeper.is_some() && !is_local(&host) && self.nodes.iter().any(|n| n.place == NodePlace::Spawn);
        match open && self.cluster.secret.as_ref().is_none_or(|Secret(s)| s.is_empty()) {
            true => Err(format!(
                "the nodes of this machine will listen on {host}, open to the network; set `[cluster] secret` in {}, the \
                 same on every machine",
                self.source
            )),
            false => Ok(()),
        }
    }
}

fn option<T: Scalar>(name: &str, text: &str) -> Result<T, ConfigError> {
    T::from_text(text).ok_or_else(|| ConfigError::option(name, format!("`{text}` is not {}", T::wanted())))
}

/// Loopback, by name or address.
pub fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

fn host_of(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() { machine() } else { listen.ip().to_string() }
}

/// This machine's name.
pub fn machine() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    PlainHost::from_text(&name).map_or_else(|| "localhost".to_owned(), |host| host.0)
}

/// `host:port`, in brackets what needs them.
pub fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ensemble_a_path_and_a_host_are_checked_where_they_are_read() {
        for good in ["zk1:2181", "zk1:2181,10.0.0.1:2181, [::1]:2182"] {
            assert!(Ensemble::from_text(good).is_some(), "{good}");
        }
        for bad in ["", "zk1", "zk1:2181,", "zk1:0", "zk1:2181/x", "zk1:2181 zk2:2181"] {
            assert!(Ensemble::from_text(bad).is_none(), "{bad}");
        }
        for bad in ["", "/", "ringhold", "/a/", "/a//b", "/../a", "/zookeeper", "/a b"] {
            assert!(ZnodePath::from_text(bad).is_none(), "{bad}");
        }
        for (host, read) in [("a.example", "a.example"), ("10.0.0.7", "10.0.0.7"), ("[2001:db8::1]", "2001:db8::1")] {
            assert_eq!(PlainHost::from_text(host).unwrap().0, read);
        }
        for bad in ["", "0.0.0.0", "::", "a:1", "-a", "a/b", "224.0.0.1"] {
            assert!(PlainHost::from_text(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_command_line_makes_a_table_or_changes_it() {
        let bare = Config::default().with_zookeeper(Some("zk1:2181"), Some("10.0.0.7")).unwrap();
        let table = bare.zookeeper.clone().unwrap();
        assert_eq!((table.connect.as_str(), table.path.as_str(), table.session), ("zk1:2181", "/ringhold", SESSION));
        assert_eq!(bare.advertised(), "10.0.0.7");
        let file = "[zookeeper]\nconnect = 'zk1:2181'\npath = '/other'\nsession = '2s'";
        let changed = Config::parse(file, "a.toml").unwrap().with_zookeeper(Some("zk9:2181"), None).unwrap();
        let table = changed.zookeeper.clone().unwrap();
        assert_eq!((table.connect.as_str(), table.path.as_str()), ("zk9:2181", "/other"));
        assert_eq!(changed.advertised(), "127.0.0.1", "where the proxy listens");
        assert!(Config::default().with_zookeeper(None, Some("h")).is_err(), "--advertise alone");
    }

    #[test]
    fn with_zookeeper_the_file_names_only_the_nodes_of_this_machine() {
        let file = "[zookeeper]\nconnect = 'zk1:2181'\n[[nodes]]\nid = 'a'\naddress = '127.0.0.1:1'";
        assert!(
            Config::parse(file, "a.toml").unwrap_err().to_string().starts_with("a.toml:5: node `a` has an address")
        );
        let other = Config::parse("[[nodes]]\nid = 'a'\naddress = '127.0.0.1:1'", "a.toml").unwrap();
        assert!(other.with_zookeeper(Some("zk1:2181"), None).is_err());
    }

    #[test]
    fn a_loopback_address_gets_into_a_zookeeper_elsewhere_only_when_it_was_said() {
        let zookeeper = |connect: &str, advertise: Option<&str>| ZookeeperConfig {
            connect: connect.to_owned(),
            path: "/ringhold".to_owned(),
            session: SESSION,
            advertise: advertise.map(str::to_owned),
        };
        let (here, there, mixed) = ("127.0.0.1:2181,[::1]:2181", "zk1:2181", "localhost:2181,10.0.0.1:2181");
        // Where a node listens, its ZooKeeper, what was said; what the refusal names as the cure.
        let rows = [
            ("127.0.0.1:5003", here, None, None),
            ("127.0.0.1:5003", here, Some("10.0.0.7"), Some("--listen 10.0.0.7:5003")),
            ("127.0.0.1:5003", there, None, Some("--advertise HOST")),
            ("localhost:0", mixed, None, Some("--advertise HOST")),
            ("unix:/n.sock", there, None, Some("--listen HOST:PORT")),
            ("127.0.0.1:5003", there, Some("127.0.0.1"), None),
            ("127.0.0.1:5003", there, Some("10.0.0.7"), Some("--listen 10.0.0.7:5003")),
            ("10.0.0.7:5003", there, None, None),
            ("0.0.0.0:5003", there, Some("10.0.0.7"), None),
        ];
        for (listen, connect, advertise, cure) in rows {
            let refused = zookeeper(connect, advertise).check_node(&listen.parse().unwrap()).err();
            assert_eq!(refused.is_some(), cure.is_some(), "{listen} {connect} {advertise:?}: {refused:?}");
            assert!(cure.is_none_or(|cure| refused.as_ref().unwrap().contains(cure)), "{refused:?}");
        }
        let front = |connect, advertise| {
            let config = Config::default().with_zookeeper(Some(connect), advertise).unwrap();
            config.check_advertised().is_ok()
        };
        assert!(!front(there, None), "its proxy listens on loopback");
        assert!(front(here, None) && front(there, Some("10.0.0.7")) && front(there, Some("127.0.0.1")));
    }

    #[test]
    fn nodes_that_others_can_reach_need_the_secret() {
        let file = |secret: &str| {
            format!("[zookeeper]\nconnect = 'z:1'\nadvertise = '10.0.0.7'\n{secret}[[nodes]]\nid = 'a'\nspawn = true")
        };
        assert!(Config::parse(&file(""), "a.toml").unwrap().check_spawned().unwrap_err().contains("[cluster] secret"));
        assert!(
            Config::parse(&file("[cluster]\nsecret = '0123456789abcdef'\n"), "a.toml").unwrap().check_spawned().is_ok()
        );
    }
}
