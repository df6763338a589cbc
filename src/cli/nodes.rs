//! `ringhold nodes`

use super::api::Api;
use super::args::{AddArgs, Nodes};
use super::done::CommandFailure;
use super::show::{outline, percent, table, text};
use crate::cluster::membership::state;
use http::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub async fn run(api: &Api, what: Nodes) -> Result<(), CommandFailure> {
    match what {
        Nodes::List => api.show(Method::GET, "/v1/nodes", None, list).await,
        Nodes::Add(node) => api.show(Method::POST, "/v1/nodes", Some(new(&node)), list).await,
        Nodes::Remove { id, drain } => remove(api, &id, drain).await,
        Nodes::Drain { id } => patch(api, &id, json!({"state": "draining"})).await,
        Nodes::SetWeight { id, weight } => patch(api, &id, json!({"weight": weight})).await,
        Nodes::Reset => api.show(Method::POST, "/v1/nodes/reset", None, list).await,
    }
}

/// Goes back to the nodes of the file: asks the front, or where `state` is the folder of one that does not run, takes its
/// saved changes away.
pub async fn reset(api: Result<Api, String>, state: Option<&Path>) -> Result<(), CommandFailure> {
    let folder = state.unwrap_or(Path::new(""));
    let forgotten = state.map(state::forget_changes).transpose();
    match forgotten.map_err(|cause| CommandFailure(format!("{}: {cause}", folder.display())))?.flatten() {
        Some(file) => {
            let said = format!("{} is removed: the next start has the nodes of the configuration file", file.display());
            Ok(writeln!(std::io::stdout(), "{said}")?)
        }
        None => run(&api.map_err(CommandFailure)?, Nodes::Reset).await,
    }
}

fn new(node: &AddArgs) -> Value {
    let mut body = json!({"id": node.id, "weight": node.weight});
    match &node.address {
        Some(address) => body["address"] = json!(address.to_string()),
        None => body["spawn"] = json!(true),
    }
    body
}

async fn patch(api: &Api, id: &str, change: Value) -> Result<(), CommandFailure> {
    api.show(Method::PATCH, &format!("/v1/nodes/{id}"), Some(change), list).await
}

/// The API may answer only when the node is drained, so it gets that much longer.
async fn remove(api: &Api, id: &str, drain: Option<Duration>) -> Result<(), CommandFailure> {
    let query = drain.map_or_else(String::new, |d| format!("?drain={}", written(d)));
    let longer = drain.unwrap_or(Duration::from_secs(30));
    let answer = api.ask(Method::DELETE, &format!("/v1/nodes/{id}{query}"), None, longer).await?;
    api.print(&answer, |answer| match answer {
        Value::Null => format!("{id} is removed"),
        other => list(other),
    })
}

/// A time as the API reads it.
fn written(time: Duration) -> String {
    match time.as_millis() {
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

/// One node, a list of nodes, or a list under `nodes`; anything else as it is.
fn list(answer: &Value) -> String {
    let nodes = answer.get("nodes").unwrap_or(answer);
    match nodes {
        Value::Array(nodes) if nodes.is_empty() => "no nodes; add one with: ringhold nodes add ID --spawn".to_owned(),
        Value::Array(nodes) => rows(nodes),
        node if node.get("id").is_some() => {
            let said = ["detail", "warning"].iter().filter_map(|name| node[*name].as_str());
            said.fold(rows(std::slice::from_ref(node)), |shown, said| shown + &text(&json!(said)) + "\n")
        }
        other => outline(other),
    }
}

fn rows(nodes: &[Value]) -> String {
    let heads = ["ID", "ADDRESS", "WEIGHT", "SPAWNED", "STATE", "UP", "SHARE"].map(str::to_owned).to_vec();
    table(&std::iter::once(heads).chain(nodes.iter().map(row)).collect::<Vec<_>>())
}

fn row(node: &Value) -> Vec<String> {
    let mut cells: Vec<String> =
        ["id", "address", "weight", "spawn", "state", "up"].iter().map(|name| text(&node[*name])).collect();
    if node["slow"] == true {
        cells[5] = "slow".to_owned();
    }
    cells.push(node["share"].as_f64().map_or_else(|| "-".to_owned(), percent));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_a_table_however_they_are_wrapped() {
        let node = json!({"id": "n1", "address": "unix:/x", "weight": 1, "spawn": true, "state": "active", "up": true, "share": 0.25});
        let shown = list(&node);
        assert_eq!(
            shown,
            "ID  ADDRESS  WEIGHT  SPAWNED  STATE   UP   SHARE\nn1  unix:/x  1       yes      active  yes  25.00 %\n"
        );
        assert_eq!(list(&json!([node])), shown);
        assert_eq!(list(&json!({"nodes": [node], "epoch": 3})), shown);
        let slow = list(&json!({"id": "n1", "up": true, "slow": true}));
        assert!(slow.contains("  slow  "), "{slow}");
        let recorded = list(&json!({"id": "n1", "detail": "recorded; the ring has not followed yet"}));
        assert!(recorded.ends_with("\nrecorded; the ring has not followed yet\n"), "{recorded}");
        assert!(list(&json!([])).starts_with("no nodes"));
    }
}
