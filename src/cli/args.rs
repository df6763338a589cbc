//! What the user typed.

use crate::config::{Address, check_id, parse_duration, parse_size};
use crate::wire::https::HostEntry;
use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A caching HTTP forward proxy that is a cluster.
#[derive(Debug, Parser)]
#[command(version, after_help = "Without a command: serve.")]
pub struct Args {
    /// The configuration file [default: $RINGHOLD_CONFIG, or else /etc/ringhold/cluster.toml, or else what is built in]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub addresses: Addresses,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Addresses that override the file's; port 0 takes any free port.
#[derive(Debug, Default, clap::Args)]
pub struct Addresses {
    /// Where the proxy listens, in place of the file's addresses; may be repeated
    #[arg(long, value_name = "ADDR", value_parser = listen)]
    pub listen: Vec<SocketAddr>,
    /// Where the admin API listens, or is asked
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Form a cluster with all others that use this ZooKeeper: host:port,host:port
    #[arg(long, value_name = "HOSTS")]
    pub zookeeper: Option<String>,
    /// The host by which other machines reach this one
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// Cache the https of these hosts, in place of the file's: preset:python,files.example,*.corp.example
    #[arg(long, value_name = "HOSTS")]
    pub https: Option<String>,
    /// Give each node a disk of this size, for example 20GiB; 0: none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub disk: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the front, the admin API, and the nodes that the file marks `spawn`
    Serve(Addresses),
    /// Run the front and the admin API alone
    Front(Addresses),
    /// Run one cache node
    Node(NodeArgs),
    /// Look at the cluster's nodes, or change them
    Nodes {
        #[command(flatten)]
        api: ApiArgs,
        #[command(subcommand)]
        what: Nodes,
    },
    /// Ask the ring who owns what
    Ring {
        #[command(flatten)]
        api: ApiArgs,
        #[command(subcommand)]
        what: RingCommand,
    },
    /// Say what the cluster would do with a URL, and why
    Explain {
        #[command(flatten)]
        api: ApiArgs,
        url: String,
        #[command(flatten)]
        fields: FieldArgs,
    },
    /// Fetch a URL through the proxy; its body goes to standard output
    Get(GetArgs),
    /// Drop a URL from every cache of the cluster
    Purge {
        #[command(flatten)]
        api: ApiArgs,
        url: String,
        /// The URL has a `*` of its own; no purge takes it for a pattern
        #[arg(long)]
        exact: bool,
    },
    /// The certificate authority by which https is cached
    Ca {
        #[command(subcommand)]
        what: Ca,
    },
    /// What the nodes of this machine have on disk
    Disk {
        #[command(subcommand)]
        what: DiskCommand,
    },
    /// Check the configuration file, and the addresses that would override it
    Check(Addresses),
}

impl Args {
    /// Whether this is to run until it is told to end.
    pub fn is_server(&self) -> bool {
        matches!(self.command, None | Some(Command::Serve(_) | Command::Front(_) | Command::Node(_)))
    }
}

#[derive(Debug, clap::Args)]
pub struct NodeArgs {
    /// The node's name in the cluster
    #[arg(long, value_parser = id)]
    pub id: String,
    /// unix:/path or host:port
    #[arg(long, value_name = "ADDR")]
    pub listen: Address,
    /// Register with this ZooKeeper: host:port,host:port
    #[arg(long, value_name = "HOSTS")]
    pub zookeeper: Option<String>,
    /// The host by which other machines reach this one [default: where it listens]
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// Give it a disk of this size, for example 20GiB; 0: none
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub disk: Option<u64>,
    /// Take the configuration from the parent, and end with it
    #[arg(long, hide = true)]
    pub supervised: bool,
}

/// How a client finds the admin API.
#[derive(Debug, Default, clap::Args)]
pub struct ApiArgs {
    /// The admin API's address [default: from the configuration file]
    #[arg(long, global = true, value_name = "ADDR")]
    pub admin: Option<String>,
    /// The admin API's token; better in the environment, as RINGHOLD_TOKEN
    #[arg(long, global = true)]
    pub token: Option<String>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Nodes {
    /// All nodes, with their shares of the ring
    List,
    /// Add a node
    Add(AddArgs),
    /// Remove a node
    Remove {
        #[arg(value_parser = id)]
        id: String,
        /// Let requests in flight finish for so long [default: the configuration's timeouts.drain]
        #[arg(long, value_name = "TIME", value_parser = time)]
        drain: Option<Duration>,
    },
    /// Give a node no new requests, but keep it
    Drain {
        #[arg(value_parser = id)]
        id: String,
    },
    /// Change a node's weight, and so its share
    SetWeight {
        #[arg(value_parser = id)]
        id: String,
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
        weight: u32,
    },
    /// Go back to the nodes of the configuration file: undo what `add`, `remove`, `drain` and `set-weight` have changed
    Reset,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("where").required(true).args(["spawn", "address"]))]
pub struct AddArgs {
    #[arg(value_parser = id)]
    pub id: String,
    /// A child process of the front
    #[arg(long)]
    pub spawn: bool,
    /// A node that runs already: host:port or unix:/path
    #[arg(long, value_name = "ADDR")]
    pub address: Option<Address>,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub weight: u32,
}

#[derive(Debug, Subcommand)]
pub enum RingCommand {
    /// Epoch, digest and shares
    Show,
    /// Which node owns a URL, and who would follow it
    Owner { url: String },
    /// What a change would move; nothing is changed
    Plan(PlanArgs),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["add", "remove"]))]
pub struct PlanArgs {
    /// A node to add; may be repeated
    #[arg(long, value_name = "ID", value_parser = id)]
    pub add: Vec<String>,
    /// The weight of what is added
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub weight: u32,
    /// A node to remove; may be repeated
    #[arg(long, value_name = "ID", value_parser = id)]
    pub remove: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Ca {
    /// Make it, for the names given, or else for those of [https] hosts, and those of all presets
    Init {
        /// What it may sign for: files.example (and all names below it), 192.0.2.1
        #[arg(value_name = "NAME", value_parser = entry)]
        names: Vec<HostEntry>,
        /// A second one beside the first, for other names or a later end
        #[arg(long)]
        next: bool,
    },
    /// Fingerprint, end, and the names that it may sign for
    Show,
    /// The variables for a shell: eval "$(ringhold ca env)"
    Env {
        /// The proxy's address [default: from the configuration file]
        #[arg(long, value_name = "ADDR")]
        proxy: Option<String>,
    },
    /// Have the stores of this machine and this user trust it: the system's, Chromium's, Java's
    Install {
        /// Only print the commands
        #[arg(long)]
        print: bool,
    },
    /// Take it out of those stores
    Remove {
        /// Only print the commands
        #[arg(long)]
        print: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum DiskCommand {
    /// What the folder of each node holds; a node may have it meanwhile
    Show {
        /// Nodes, by their ids [default: all that have a folder]
        #[arg(value_name = "ID", value_parser = id)]
        ids: Vec<String>,
    },
    /// Read the newest record of each URL, and compare its sums; no node may have the folder
    Verify {
        /// Nodes, by their ids [default: all that have a folder]
        #[arg(value_name = "ID", value_parser = id)]
        ids: Vec<String>,
    },
    /// Remove all that is stored; no node may have the folder
    Wipe {
        /// Nodes, by their ids
        #[arg(value_name = "ID", value_parser = id, required_unless_present = "all")]
        ids: Vec<String>,
        /// All nodes that have a folder
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct GetArgs {
    pub url: String,
    /// The proxy's address [default: from the configuration file]
    #[arg(long, value_name = "ADDR")]
    pub proxy: Option<String>,
    /// Find a front that lives in this ZooKeeper: host:port,host:port
    #[arg(long, value_name = "HOSTS", conflicts_with = "proxy")]
    pub zookeeper: Option<String>,
    /// Show status and fields before the body
    #[arg(long)]
    pub head: bool,
    #[command(flatten)]
    pub fields: FieldArgs,
}

/// Request fields.
#[derive(Debug, Default, clap::Args)]
pub struct FieldArgs {
    /// A request field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub fields: Vec<Field>,
}

/// One request field.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: http::HeaderName,
    pub value: http::HeaderValue,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let port: String = text.rsplit(':').next().filter(|port| port.parse::<u16>().is_ok()).unwrap_or("3128").to_owned();
    text.parse().map_err(|_| {
        format!("write an address with its port, for example 127.0.0.1:{port} (or 0.0.0.0:{port} for all)")
    })
}

fn id(text: &str) -> Result<String, String> {
    check_id(text).map(|()| text.to_owned())
}

fn entry(text: &str) -> Result<HostEntry, String> {
    HostEntry::parse(text)
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write for example 30s, 250ms or 10min".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| "write for example 20GiB, or 0 for none".to_owned())
}

fn field(text: &str) -> Result<Field, String> {
    let (name, value) = text.split_once(':').ok_or("write it as \"name: value\"")?;
    let name = name.parse().map_err(|_| format!("`{name}` is not a field name"))?;
    let value = value.trim().parse().map_err(|_| "the value holds a byte that no field may hold".to_owned())?;
    Ok(Field { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for words in [
            "nodes add n4",
            "nodes add n4 --spawn --address 127.0.0.1:1",
            "nodes add a/b --spawn",
            "nodes add n4 --spawn --weight 0",
            "nodes remove n4 --drain 30",
            "nodes set-weight n1 1025",
            "ring plan",
            "node --id n1",
            "explain http://a/ -H nothing",
            "--listen localhost",
            "disk wipe",
            "disk wipe n1 --all",
            "disk show ../n1",
        ] {
            let words = std::iter::once("ringhold").chain(words.split(' '));
            assert!(Args::try_parse_from(words.clone()).is_err(), "{:?}", words.collect::<Vec<_>>());
        }
    }
}
