//! What a node of the cluster may be: the same rules for the file and for the admin API.

use super::model::{Address, ClusterConfig, NodeConfig, NodePlace};

/// The most that a node may weigh.
pub const MAX_WEIGHT: u32 = 1024;
const MAX_ID: usize = 64;

impl NodeConfig {
    /// Checks what the file or the admin API says of a node. Errors are a sentence that names the cure.
    pub fn new(
        id: &str,
        spawn: bool,
        address: Option<Address>,
        weight: u32,
        cluster: &ClusterConfig,
    ) -> Result<NodeConfig, String> {
        check_id(id)?;
        if weight == 0 || weight > MAX_WEIGHT {
            return Err(format!("node `{id}`: {weight} is not a weight; write 1 to {MAX_WEIGHT}"));
        }
        let place = place(id, spawn, address, cluster)?;
        Ok(NodeConfig { id: id.to_owned(), place, weight })
    }
}

fn place(id: &str, spawn: bool, address: Option<Address>, cluster: &ClusterConfig) -> Result<NodePlace, String> {
    match (spawn, address) {
        (true, None) => Ok(NodePlace::Spawn),
        (false, Some(address)) => reachable(id, address, cluster).map(NodePlace::At),
        (true, Some(_)) => Err(format!("node `{id}` has both spawn and address; keep one of them")),
        (false, None) => {
            Err(format!("node `{id}` has neither spawn nor address; add `spawn = true` or `address = \"host:port\"`"))
        }
    }
}

fn reachable(id: &str, address: Address, cluster: &ClusterConfig) -> Result<Address, String> {
    if address.port() == Some(0) {
        return Err(format!("node `{id}`: `{address}` has port 0; write the port that the node listens on"));
    }
    if let Address::Unix(path) = &address
        && !path.is_absolute()
    {
        return Err(format!("node `{id}`: `{address}` is relative; write the whole path, from `/`"));
    }
    if !address.is_local() && cluster.secret.is_none() {
        return Err(format!("node `{id}` at {address} is not on this machine; add `[cluster] secret` here and there"));
    }
    Ok(address)
}

/// An id is part of URLs, file names and metrics. Errors are a sentence that names the cure.
pub fn check_id(id: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let starts_well = id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if starts_well && id.len() <= MAX_ID && id.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = id.chars().take(MAX_ID).collect();
    Err(format!(
        "`{shown}` is not a node id; write at most {MAX_ID} letters, digits, `-`, `_` and `.`, a letter or digit first"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Secret;

    fn at(address: &str, secret: Option<&str>) -> Result<NodeConfig, String> {
        let cluster = ClusterConfig { secret: secret.map(|s| Secret(s.to_owned())), ..ClusterConfig::default() };
        NodeConfig::new("n1", false, Some(address.parse().unwrap()), 1, &cluster)
    }

    #[test]
    fn an_id_is_safe_in_urls_and_file_names() {
        for good in ["n1", "rack-2_a.b", "7", &"x".repeat(64)] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-n", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_node_on_another_machine_needs_the_secret() {
        assert!(at("10.0.0.7:5003", None).unwrap_err().contains("[cluster] secret"));
        assert!(at("10.0.0.7:5003", Some("s")).is_ok());
        assert!(at("localhost:5003", None).is_ok());
        assert!(at("unix:/run/n1.sock", None).is_ok());
    }

    #[test]
    fn a_node_that_cannot_be_reached_is_refused() {
        assert!(at("127.0.0.1:0", None).unwrap_err().contains("port 0"));
        assert!(at("unix:n1.sock", None).unwrap_err().contains("whole path"));
    }
}
