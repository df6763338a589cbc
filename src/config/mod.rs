//! TOML -> validated [`Config`]. Every key is optional; an unknown key is an error that names the line.
//!
//! The file is read into raw tables (typed, defaults filled in, every scalar checked where it is read), then `check`
//! looks at what only several values together can get wrong, then the tables become a [`Config`].

mod address;
mod check;
mod conflicts;
mod error;
mod https;
mod model;
mod node;
mod raw;
mod resolve;
mod scalar;
mod shell;
mod suggest;
mod units;
mod zookeeper;

pub use address::is_loopback;
pub use conflicts::size;
pub use error::ConfigError;
pub use model::*;
pub use node::{MAX_WEIGHT, check_id};
pub use shell::{line, quoted};
pub use units::{parse_duration, parse_size};
pub use zookeeper::{authority, is_local, machine};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Names the file where the command line does not.
const VARIABLE: &str = "RINGHOLD_CONFIG";
/// The file that is read when none is named.
const USUAL: &str = "/etc/ringhold/cluster.toml";
/// And under `cargo run`, in the folder where one stands. Anywhere else such a file may be a stranger's.
const OF_REPOSITORY: &str = "config/cluster.toml";
/// The same file as shipped, for when there is none.
const SHIPPED: &str = include_str!("../../config/cluster.toml");
const SHIPPED_NAME: &str = "built-in config/cluster.toml";

impl Config {
    /// Reads `path`, or else what `$RINGHOLD_CONFIG` names, or else `/etc/ringhold/cluster.toml`, or else the shipped
    /// file; under `cargo run` in the repository its own file goes before the last two.
    pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cargo =
            variable("CARGO_MANIFEST_DIR").is_some_and(|folder| folder == Path::new(env!("CARGO_MANIFEST_DIR")));
        // What cannot be looked at is there: to pass it over in silence would be another configuration.
        let is_there = |path: &Path| path.try_exists().unwrap_or(true);
        match chosen(path, variable(VARIABLE), cargo, is_there) {
            Some((path, by)) => Config::read(&path, by),
            None => Config::parse(SHIPPED, SHIPPED_NAME),
        }
    }

    fn read(path: &Path, by: &str) -> Result<Config, ConfigError> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|cause| ConfigError::unreadable(&name, &cause, by))?;
        Config::parse_bytes(&bytes, &name)
    }

    /// Never panics, whatever the bytes are.
    pub fn parse_bytes(bytes: &[u8], source: &str) -> Result<Config, ConfigError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Config::parse(text, source),
            Err(cause) => Err(ConfigError::not_text(source, bytes, cause.valid_up_to())),
        }
    }

    /// Reads the text of a file; `source` is its path, for messages and for what is relative to it.
    pub fn parse(text: &str, source: &str) -> Result<Config, ConfigError> {
        let file: raw::File = toml::from_str(text).map_err(|cause| ConfigError::from_toml(source, text, cause))?;
        check::file(&file).map_err(|flaw| ConfigError::at(source, text, flaw))?;
        let places = Places {
            proxy: error::place(source, text, file.proxy.listen.span()),
            admin: error::place(source, text, file.admin.listen.span()),
        };
        let warn = |flaw: error::Flaw| ConfigError::at(source, text, flaw).to_string();
        let warnings = check::older_keys(&file).into_iter().map(warn).collect();
        Ok(resolve::config(file, source, text, places, warnings))
    }

    /// The same with a disk of so many bytes for each node.
    pub fn with_disk(mut self, size: Option<u64>) -> Result<Config, ConfigError> {
        self.disk.size = size.unwrap_or(self.disk.size);
        check::disk(self.disk.size).map_err(|message| ConfigError::option("--disk", message))?;
        Ok(self)
    }

    /// The same with the addresses of the command line, held to the same rules. An empty `listen` changes nothing.
    pub fn with_addresses(mut self, listen: Vec<SocketAddr>, admin: Option<SocketAddr>) -> Result<Config, ConfigError> {
        if !listen.is_empty() {
            self.proxy.listen = listen;
            self.places.proxy = "--listen".to_owned();
        }
        if let Some(admin) = admin {
            self.admin.listen = admin;
            self.places.admin = "--admin".to_owned();
        }
        check::listen(&self.proxy.listen).map_err(|message| ConfigError::option("--listen", message))?;
        check::admin(self.admin.listen, self.admin.token.is_some(), &self.proxy.listen)
            .map_err(|message| ConfigError::option("--admin", message))?;
        Ok(self)
    }
}

/// The file to be read, and what is to be changed where it cannot be.
fn chosen(
    named: Option<&Path>,
    variable: Option<PathBuf>,
    cargo: bool,
    is_there: impl Fn(&Path) -> bool,
) -> Option<(PathBuf, &'static str)> {
    let usual = |path: &str, counts: bool| (counts && is_there(Path::new(path))).then(|| PathBuf::from(path));
    let option = "--config FILE";
    None.or_else(|| Some((named?.to_owned(), option)))
        .or_else(|| Some((variable?, "--config FILE or $RINGHOLD_CONFIG")))
        .or_else(|| Some((usual(OF_REPOSITORY, cargo).or_else(|| usual(USUAL, true))?, option)))
}

/// What an empty file means, but for its nodes: all defaults.
impl Default for Config {
    fn default() -> Config {
        let source = "defaults";
        let places = Places { proxy: source.to_owned(), admin: source.to_owned() };
        resolve::config(raw::File { nodes: Some(Vec::new()), ..raw::File::default() }, source, "", places, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(config: &Config) -> serde_json::Value {
        serde_json::to_value(config).unwrap()
    }

    #[test]
    fn the_file_that_is_named_counts_first_and_a_strangers_never() {
        let (named, variable) = (Path::new("a.toml"), || Some(PathBuf::from("b.toml")));
        // Named, of the environment, under cargo, whether either file is there; what is read.
        let rows = [
            (Some(named), variable(), true, true, Some("a.toml")),
            (None, variable(), true, true, Some("b.toml")),
            (None, None, true, true, Some(OF_REPOSITORY)),
            (None, None, false, true, Some(USUAL)),
            (None, None, true, false, None),
            (None, None, false, false, None),
        ];
        for (named, variable, cargo, there, expected) in rows {
            let found = chosen(named, variable, cargo, |_| there).map(|(path, _)| path);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{cargo} {there}");
        }
        let usual = chosen(None, None, true, |path| path == Path::new(USUAL)).unwrap().0;
        assert_eq!(usual, Path::new(USUAL), "in a repository without that file");
    }

    #[test]
    fn the_shipped_file_says_the_defaults_and_three_nodes() {
        let shipped = Config::parse(SHIPPED, SHIPPED_NAME).unwrap();
        let ids: Vec<_> = shipped.nodes.iter().map(|n| (n.id.clone(), n.place.clone(), n.weight)).collect();
        assert_eq!(ids, ["n1", "n2", "n3"].map(|id| (id.to_owned(), NodePlace::Spawn, 1)));
        let mut empty = Config::parse("", SHIPPED_NAME).unwrap();
        empty.places = shipped.places.clone();
        assert_eq!(json(&shipped), json(&empty));
    }

    #[test]
    fn a_config_survives_the_way_to_a_child() {
        let text = "[cluster]\nsecret = '0123456789abcdef'\n[[nodes]]\nid = 'a'\naddress = '10.0.0.7:5003'";
        let config = Config::parse(text, "a.toml").unwrap();
        let line = serde_json::to_string(&config).unwrap();
        assert!(!line.contains('\n'));
        let back: Config = serde_json::from_str(&line).unwrap();
        assert_eq!(json(&back), json(&config));
    }

    #[test]
    fn no_log_shows_a_secret() {
        let config = Config::parse("[admin]\ntoken = 'hunter2'", "a.toml").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = Config::parse("[admin]\ntoken = 'hunter 2'", "a.toml").unwrap_err();
        assert!(!error.to_string().contains("hunter"), "{error}");
    }

    #[test]
    fn the_command_line_is_held_to_the_same_rules() {
        let open = "0.0.0.0:3129".parse().unwrap();
        let error = Config::default().with_addresses(vec![], Some(open)).unwrap_err().to_string();
        assert!(error.starts_with("--admin: the admin API on 0.0.0.0:3129 is open"), "{error}");
        let one: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let config = Config::default().with_addresses(vec![one, one], Some(one)).unwrap();
        assert_eq!(config.proxy.listen, [one, one]);
    }

    #[test]
    fn a_port_in_use_can_be_blamed_on_its_line() {
        let config = Config::parse("[proxy]\n\nlisten = ['127.0.0.1:1']", "a.toml").unwrap();
        assert_eq!((config.places.proxy.as_str(), config.places.admin.as_str()), ("a.toml:3", "a.toml"));
        let config = config.with_addresses(vec!["127.0.0.1:2".parse().unwrap()], None).unwrap();
        assert_eq!(config.places.proxy, "--listen");
    }

    #[test]
    fn an_older_key_is_still_read_for_both_that_took_its_place_and_said_to_be_older() {
        let seconds = |text: &str| {
            let config = Config::parse(text, "a.toml").unwrap();
            let Timeouts { origin_silence, client_silence, .. } = config.timeouts;
            (origin_silence.as_secs(), client_silence.as_secs(), config.warnings)
        };
        assert_eq!(seconds(""), (600, 600, vec![]));
        assert_eq!(seconds("[timeouts]\norigin_silence = '7s'"), (7, 600, vec![]));
        let (origin, client, warnings) = seconds("[timeouts]\n\nbody_stall = '9s'\nclient_silence = '8s'");
        assert_eq!((origin, client, warnings.len()), (9, 8, 1));
        assert!(warnings[0].starts_with("a.toml:3: ") && warnings[0].contains("origin_silence"), "{warnings:?}");
    }

    #[test]
    fn a_relative_state_path_starts_at_the_file() {
        let config = Config::parse("[state]\npath = 'state'", "/etc/ringhold/cluster.toml").unwrap();
        assert_eq!(config.state.path, Path::new("/etc/ringhold/state"));
    }

    proptest! {
        #[test]
        fn no_bytes_can_panic_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Config::parse_bytes(&bytes, "fuzz");
        }

        #[test]
        fn no_damage_to_a_good_file_can_panic_it_and_errors_are_one_line(
            at in 0..SHIPPED.len(), cut in 0..40usize, put in "[\\PC\n\"'=\\[\\]{}`.]{0,12}",
        ) {
            let mut bytes = SHIPPED.as_bytes().to_vec();
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, put.bytes());
            if let Err(error) = Config::parse_bytes(&bytes, "fuzz") {
                let text = error.to_string();
                prop_assert!(text.starts_with("fuzz:") && !text.contains('\n'), "{text}");
            }
        }
    }
}
