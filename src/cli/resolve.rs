//! What the words of the command line and the configuration file mean together.

use super::address::{host_and_port, reachable};
use super::api::Api;
use super::args::{Addresses, ApiArgs, Args, Ca, Command, DiskCommand, Field, NodeArgs, Nodes, RingCommand};
use super::get::Get;
use crate::config::{Address, Config, ConfigError, Secret};
use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What this process is to do.
#[derive(Debug)]
pub enum Job {
    Front { config: Config, spawn: bool },
    Node { id: String, listen: Address, config: Config, supervised: bool },
    Check(Config),
    Errand(ClientCommand),
}

/// A client command, ready to run.
#[derive(Debug)]
pub enum ClientCommand {
    Nodes(Api, Nodes),
    Ring(Api, RingCommand),
    Explain(Api, String, Vec<Field>),
    Purge(Api, String, bool),
    /// With the folder of the state, where the file names the front's; the API is needed while that runs only.
    Reset(Result<Api, String>, Option<PathBuf>),
    Get(Get),
    Ca(Box<Config>, Ca),
    Disk(Box<Config>, DiskCommand),
}

impl Job {
    /// Reads the configuration that the job needs. Errors are one line.
    pub fn resolve(args: Args) -> Result<Job, String> {
        let Args { config, addresses, command } = args;
        let config = || Config::load(config.as_deref()).map_err(|e| e.to_string());
        let command = command.unwrap_or(Command::Serve(Addresses::default()));
        let is_front = matches!(command, Command::Serve(_) | Command::Front(_) | Command::Check(_));
        if !addresses.listen.is_empty() && !is_front {
            return Err(
                "--listen before the command is for serve, front and check; write it after the command".to_owned()
            );
        }
        if (addresses.zookeeper.is_some() || addresses.advertise.is_some() || addresses.disk.is_some()) && !is_front {
            return Err("write --zookeeper, --advertise and --disk after the command".to_owned());
        }
        if addresses.https.is_some() && !is_front {
            return Err("--https is for serve, front and check".to_owned());
        }
        let job = match command {
            Command::Serve(own) => Job::front(config()?, own.or(addresses), true)?,
            Command::Front(own) => Job::front(config()?, own.or(addresses), false)?,
            Command::Node(node) if node.supervised => Job::node(from_parent()?, node)?,
            Command::Node(node) => Job::node(config()?, node)?,
            Command::Check(own) => match Job::front(config()?, own.or(addresses), true)? {
                Job::Front { config, .. } => Job::Check(config),
                other => other,
            },
            Command::Nodes { api, what: Nodes::Reset } => {
                let named = api.admin.is_some() || addresses.admin.is_some();
                let own = |config: Config| config.zookeeper.is_none().then_some(config.state.path);
                let state = if named { None } else { own(config()?) };
                Job::Errand(ClientCommand::Reset(Api::find(api, addresses, config), state))
            }
            Command::Nodes { api, what } => Job::Errand(ClientCommand::Nodes(Api::find(api, addresses, config)?, what)),
            Command::Ring { api, what } => Job::Errand(ClientCommand::Ring(Api::find(api, addresses, config)?, what)),
            Command::Purge { api, url, exact } => {
                Job::Errand(ClientCommand::Purge(Api::find(api, addresses, config)?, url, exact))
            }
            Command::Explain { api, url, fields } => {
                Job::Errand(ClientCommand::Explain(Api::find(api, addresses, config)?, url, fields.fields))
            }
            Command::Ca { what } => Job::Errand(ClientCommand::Ca(Box::new(config()?), what)),
            Command::Disk { what } => Job::Errand(ClientCommand::Disk(Box::new(config()?), what)),
            Command::Get(get) => Job::Errand(ClientCommand::Get(Get::resolve(get, config)?)),
        };
        Ok(job)
    }

    fn front(config: Config, over: Addresses, spawn: bool) -> Result<Job, String> {
        let admin = over.admin.map(|text| listen_address(&text)).transpose()?;
        let config = config
            .with_addresses(over.listen, admin)
            .and_then(|config| config.with_disk(over.disk))
            .and_then(|config| config.with_zookeeper(over.zookeeper.as_deref(), over.advertise.as_deref()))
            .and_then(|config| config.with_https(over.https.as_deref()))
            .map_err(|e: ConfigError| e.to_string())?;
        config.check_advertised()?;
        if spawn {
            config.check_spawned()?;
        }
        Ok(Job::Front { config, spawn })
    }

    fn node(config: Config, node: NodeArgs) -> Result<Job, String> {
        let NodeArgs { id, listen, zookeeper, advertise, disk, supervised } = node;
        // The file's nodes are not this one's business.
        let config = Config { nodes: if supervised { config.nodes } else { Vec::new() }, ..config };
        let config = config
            .with_disk(disk)
            .and_then(|config| config.with_zookeeper(zookeeper.as_deref(), advertise.as_deref()))
            .map_err(|e: ConfigError| e.to_string())?;
        if let Some(zookeeper) = &config.zookeeper {
            zookeeper.check_node(&listen)?;
        }
        Ok(Job::Node { id, listen, config, supervised })
    }
}

impl Addresses {
    /// What stands behind the command, or else what stands before it.
    fn or(self, before: Addresses) -> Addresses {
        let listen = if self.listen.is_empty() { before.listen } else { self.listen };
        Addresses {
            listen,
            admin: self.admin.or(before.admin),
            zookeeper: self.zookeeper.or(before.zookeeper),
            advertise: self.advertise.or(before.advertise),
            https: self.https.or(before.https),
            disk: self.disk.or(before.disk),
        }
    }
}

impl Api {
    /// The file is read only when it is needed. Its token is told to nobody but the address that it names.
    fn find(args: ApiArgs, before: Addresses, config: impl Fn() -> Result<Config, String>) -> Result<Api, String> {
        let ApiArgs { admin, token, json } = args;
        let env = || std::env::var("RINGHOLD_TOKEN").ok().filter(|t| !t.is_empty());
        let token = token.or_else(env).map(Secret);
        if let Some(address) = admin.or(before.admin) {
            host_and_port("--admin", &address)?;
            return Ok(Api { address, token, json });
        }
        let config = config()?;
        let address = reachable(config.admin.listen).ok_or_else(|| {
            format!("{} gives the admin API any free port; name the address that it took with --admin", config.source)
        })?;
        Ok(Api { address: address.to_string(), token: token.or(config.admin.token), json })
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("--admin: `{text}` is no address to listen on; write for example 127.0.0.1:3129"))
}

/// The first line of standard input; the rest of it stays quiet until the parent is gone.
fn from_parent() -> Result<Config, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| format!("no configuration from the parent: {e}"))?;
    serde_json::from_str(&line).map_err(|e| format!("no configuration from the parent: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn job(words: &str) -> Result<Job, String> {
        let args = Args::try_parse_from(words.split(' ')).unwrap();
        Job::resolve(args)
    }

    #[test]
    fn without_a_command_it_serves() {
        let Job::Front { config, spawn: true } = job("ringhold --listen 127.0.0.1:0 --admin 127.0.0.1:0").unwrap()
        else {
            panic!("not a front")
        };
        assert_eq!(config.proxy.listen, ["127.0.0.1:0".parse().unwrap()]);
        assert_eq!(config.admin.listen.port(), 0);
    }

    #[test]
    fn addresses_may_stand_on_either_side_of_the_command() {
        for words in ["ringhold --admin 127.0.0.1:1 front", "ringhold front --admin 127.0.0.1:1"] {
            let Job::Front { config, spawn: false } = job(words).unwrap() else { panic!("not a front") };
            assert_eq!(config.admin.listen.port(), 1, "{words}");
        }
        for words in
            ["ringhold --admin h:1 nodes list", "ringhold nodes list --admin h:1", "ringhold nodes --admin h:1 list"]
        {
            let Job::Errand(ClientCommand::Nodes(api, _)) = job(words).unwrap() else { panic!("not a client") };
            assert_eq!(api.address, "h:1", "{words}");
        }
        assert!(job("ringhold --listen 127.0.0.1:0 nodes list").is_err());
    }

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        let rows = [
            ("0.0.0.0:1", Some("127.0.0.1:1")),
            ("[::]:1", Some("[::1]:1")),
            ("10.0.0.1:1", Some("10.0.0.1:1")),
            ("127.0.0.1:0", None),
        ];
        for (listen, reached) in rows {
            assert_eq!(reachable(listen.parse().unwrap()), reached.map(|r| r.parse().unwrap()), "{listen}");
        }
    }
}
