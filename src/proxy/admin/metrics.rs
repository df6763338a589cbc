//! `/metrics`: the Prometheus text format 0.0.4 over front, ring and nodes.

use super::Admin;
use super::problem::{Reply, reply};
use crate::cluster::zk::{Keeper, Line};
use crate::proxy::metrics::{self as front, Kind};
use http::StatusCode;
use std::fmt::Write;

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What a node reports that can also go down; everything else it counts.
const GAUGES: &[&str] = &["entries", "bytes", "fills", "connections", "tunnels", "in_flight", "waiting"];

/// All samples of one name: they must stand together.
struct Family {
    name: String,
    help: String,
    kind: Kind,
    samples: Vec<(String, f64)>,
}

#[derive(Default)]
struct Families(Vec<Family>);

impl Admin {
    pub async fn metrics(&self) -> Reply {
        let mut families = Families::default();
        families.add("ringhold_info", "The version.", Kind::Gauge, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        for sample in front::samples(&self.counters) {
            let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            families.add(sample.name, sample.help, sample.kind, &labels, sample.value);
        }
        self.ring_metrics(&mut families);
        for (id, counters) in self.cluster.node_metrics().await {
            counters.iter().for_each(|(name, value)| families.of_node(&id, name, *value));
        }
        reply(StatusCode::OK, FORMAT, families.text())
    }

    fn ring_metrics(&self, families: &mut Families) {
        let epoch = self.cluster.view().epoch as f64;
        families.add("ringhold_ring_epoch", "Grows with every change of members.", Kind::Gauge, &[], epoch);
        for node in self.cluster.list() {
            let labels = [("node", node.id.as_str())];
            let up = f64::from(u8::from(node.up));
            families.add("ringhold_node_up", "Whether requests are sent there.", Kind::Gauge, &labels, up);
            let (name, help) = ("ringhold_node_slow", "Whether it is passed over because its hits take long.");
            families.add(name, help, Kind::Gauge, &labels, f64::from(u8::from(node.slow)));
            families.add("ringhold_node_share", "Of the key space.", Kind::Gauge, &labels, node.share);
            let load = f64::from(node.load);
            families.add("ringhold_node_load", "Requests under way from this front.", Kind::Gauge, &labels, load);
        }
        if let Some(keeper) = self.cluster.keeper() {
            keeper_metrics(keeper, families);
        }
        for (id, restarts) in self.cluster.restarts() {
            let (name, help) = ("ringhold_node_restarts_total", "Starts of a node after its first.");
            families.add(name, help, Kind::Counter, &[("node", &id)], restarts as f64);
        }
    }
}

fn keeper_metrics(keeper: &Keeper, families: &mut Families) {
    let (name, help) = ("ringhold_zookeeper_connected", "Whether ZooKeeper can be asked; else the ring stands still.");
    let connected = f64::from(u8::from(matches!(keeper.line(), Line::Up(_))));
    families.add(name, help, Kind::Gauge, &[], connected);
    let (name, help) = ("ringhold_leader", "Whether this front writes the ring.");
    families.add(name, help, Kind::Gauge, &[], f64::from(u8::from(keeper.record().leads)));
    let fronts = keeper.fronts().len() as f64;
    families.add("ringhold_fronts", "Fronts that live, as this one knows.", Kind::Gauge, &[], fronts);
    let (name, help) = ("ringhold_ring_writes_refused_total", "Rings due when the lock was lost; none is written.");
    families.add(name, help, Kind::Counter, &[], keeper.refusals() as f64);
}

impl Families {
    fn of_node(&mut self, id: &str, name: &str, value: f64) {
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let gauge = GAUGES.contains(&name) || name.ends_with("_open");
        let kind = if gauge { Kind::Gauge } else { Kind::Counter };
        let total = if gauge || plain.ends_with("_total") { "" } else { "_total" };
        self.add(&format!("ringhold_node_{plain}{total}"), "As the node reports it.", kind, &[("node", id)], value);
    }

    fn add(&mut self, name: &str, help: &str, kind: Kind, labels: &[(&str, &str)], value: f64) {
        let sample = (labels_of(labels), value);
        match self.0.iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push(sample),
            None => self.0.push(Family { name: name.to_owned(), help: help.to_owned(), kind, samples: vec![sample] }),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Family { name, help, kind, samples } in &self.0 {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            };
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}

fn labels_of(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_stand_together_under_one_head() {
        let mut families = Families::default();
        families.of_node("n1", "hits", 3.0);
        families.of_node("n1", "bytes", 12345678901.0);
        families.of_node("n2", "hits", 4.0);
        families.add("x_total", "X.", Kind::Counter, &[("a", "q\"\\\n"), ("b", "")], 0.5);
        let expected = "\
# HELP ringhold_node_hits_total As the node reports it.
# TYPE ringhold_node_hits_total counter
ringhold_node_hits_total{node=\"n1\"} 3
ringhold_node_hits_total{node=\"n2\"} 4
# HELP ringhold_node_bytes As the node reports it.
# TYPE ringhold_node_bytes gauge
ringhold_node_bytes{node=\"n1\"} 12345678901
# HELP x_total X.
# TYPE x_total counter
x_total{a=\"q\\\"\\\\\\n\",b=\"\"} 0.5
";
        assert_eq!(families.text(), expected);
    }
}
