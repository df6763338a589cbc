//! The configuration of a test cluster: every port is 0, the state is in the cluster's own folder.

use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `None`: the file does not say.
    nodes: Option<usize>,
    elsewhere: Vec<(String, String)>,
    tables: Table,
}

impl Default for Setup {
    /// Three nodes; no hot copy in the front, so that `Cache-Status` names the node that has the answer.
    fn default() -> Setup {
        let setup = Setup { nodes: Some(3), elsewhere: Vec::new(), tables: Table::new() };
        let setup = setup.set("proxy", "listen", vec!["127.0.0.1:0"]).set("admin", "listen", "127.0.0.1:0");
        setup.set("hot", "memory", "0")
    }
}

impl Setup {
    pub fn nodes(mut self, nodes: usize) -> Setup {
        self.nodes = Some(nodes);
        self
    }

    /// The file has no `[[nodes]]` at all.
    pub fn silent_on_nodes(mut self) -> Setup {
        self.nodes = None;
        self
    }

    /// A node that somebody else runs.
    pub fn node_at(mut self, id: &str, address: &str) -> Setup {
        self.elsewhere.push((id.to_owned(), address.to_owned()));
        self
    }

    /// No node is taken for silent or slow, and passed over for that, because this machine is busy.
    pub fn unhurried(self) -> Setup {
        self.set("timeouts", "probe", "10s").set("timeouts", "slow_hit", "0s")
    }

    /// Sets a key of a table, in place of what it was.
    pub fn set(mut self, table: &str, key: &str, value: impl Into<Value>) -> Setup {
        let table = self.tables.entry(table).or_insert_with(|| Table::new().into());
        table.as_table_mut().expect("it is a table").insert(key.to_owned(), value.into());
        self
    }

    pub fn has_disk(&self) -> bool {
        self.tables.contains_key("disk")
    }

    /// Writes `cluster.toml` into a folder, with the state beside it.
    pub fn write_into(&self, folder: &Path) {
        let state = folder.join("state").display().to_string();
        let mut tables = self.clone().set("state", "path", state).tables;
        let spawned = (1..=self.nodes.unwrap_or(0)).map(|n| node(&format!("n{n}"), ("spawn", true.into())));
        let elsewhere = self.elsewhere.iter().map(|(id, address)| node(id, ("address", address.clone().into())));
        let nodes: Vec<Value> = spawned.chain(elsewhere).map(Value::from).collect();
        if self.nodes.is_some() || !nodes.is_empty() {
            tables.insert("nodes".to_owned(), nodes.into());
        }
        fs::write(folder.join("cluster.toml"), tables.to_string()).expect("a file can be written");
    }
}

fn node(id: &str, place: (&str, Value)) -> Table {
    Table::from_iter([("id".to_owned(), id.into()), (place.0.to_owned(), place.1)])
}
