//! PURE. A node as people write it in JSON: the body of `POST /v1/nodes` and an entry of the state file.

use crate::config::{ClusterConfig, NodeConfig, NodePlace};
use serde::{Deserialize, Serialize};

/// So many nodes run on a machine at most besides those that its file names.
pub const MAX_ADDED: usize = 32;

/// `{"id":"n4","spawn":true}` or `{"id":"rack2","address":"10.0.0.7:5003","weight":2}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spawn: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

impl Spec {
    /// Checks it by the rules of the configuration file; `free` is the id of a node that was given none. Errors are a
    /// sentence that names the cure.
    pub fn into_node(self, cluster: &ClusterConfig, free: impl FnOnce() -> String) -> Result<NodeConfig, String> {
        let id = self.id.unwrap_or_else(free);
        let address = self.address.map(|text| text.parse()).transpose()?;
        NodeConfig::new(&id, self.spawn, address, self.weight, cluster)
    }
}

impl From<&NodeConfig> for Spec {
    fn from(node: &NodeConfig) -> Spec {
        let (spawn, address) = match &node.place {
            NodePlace::Spawn => (true, None),
            NodePlace::At(address) => (false, Some(address.to_string())),
        };
        Spec { id: Some(node.id.clone()), spawn, address, weight: node.weight }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_is_checked_like_the_file() {
        let read = |json: &str| {
            serde_json::from_str::<Spec>(json).unwrap().into_node(&ClusterConfig::default(), || "n9".into())
        };
        assert_eq!(read(r#"{"spawn":true}"#), Ok(NodeConfig { id: "n9".into(), place: NodePlace::Spawn, weight: 1 }));
        let refused = [
            ("{}", "neither spawn nor address"),
            (r#"{"spawn":true,"address":"h:1"}"#, "keep one of them"),
            (r#"{"spawn":true,"weight":0}"#, "not a weight"),
            (r#"{"spawn":true,"id":"../x"}"#, "not a node id"),
            (r#"{"address":"nowhere"}"#, "not an address"),
            (r#"{"address":"10.0.0.7:1"}"#, "[cluster] secret"),
        ];
        for (json, expected) in refused {
            assert!(read(json).unwrap_err().contains(expected), "{json}");
        }
        assert!(serde_json::from_str::<Spec>(r#"{"spwan":true}"#).is_err(), "a typo is an error");
    }

    #[test]
    fn a_node_that_was_written_is_read_again() {
        for json in [r#"{"id":"a","spawn":true,"weight":3}"#, r#"{"id":"b","address":"unix:/run/b.sock","weight":1}"#] {
            let spec: Spec = serde_json::from_str(json).unwrap();
            let node = spec.into_node(&ClusterConfig::default(), String::new).unwrap();
            assert_eq!(serde_json::to_string(&Spec::from(&node)).unwrap(), json);
        }
    }
}
