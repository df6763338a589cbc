//! `/metrics`: the Prometheus text format 0.0.4 over front, ring and nodes.

use super::Admin;
use super::problem::{AdminReply, reply};
use crate::account::{self, AccountKind};
use crate::cluster::membership::zk::{Keeper, ZkLine};
use crate::net::{serve, tls};
use crate::proxy::https::place;
use crate::proxy::metrics as front;
use http::StatusCode;
use std::fmt::Write;

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What a node reports that can also go down; everything else it counts.
const GAUGES: &[&str] = &[
    "entries",
    "bytes",
    "fills",
    "connections",
    "tunnels",
    "in_flight",
    "waiting",
    "disk_state",
    "disk_bytes",
    "disk_objects",
    "disk_behind_bytes",
    "disk_bodies",
    "disk_body_bytes",
    "disk_recovery_milliseconds",
];

/// All samples of one name: they must stand together.
struct Family {
    name: String,
    help: String,
    kind: front::MetricKind,
    samples: Vec<(String, f64)>,
}

#[derive(Default)]
struct Families(Vec<Family>);

impl Admin {
    pub async fn metrics(&self) -> AdminReply {
        let mut families = Families::default();
        families.add(
            "ringhold_info",
            "The version.",
            front::MetricKind::Gauge,
            &[("version", env!("CARGO_PKG_VERSION"))],
            1.0,
        );
        for sample in front::samples(&self.counters) {
            let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            families.add(sample.name, sample.help, sample.kind, &labels, sample.value);
        }
        self.ring_metrics(&mut families);
        self.held(&mut families);
        for (id, counters) in self.cluster.node_metrics().await {
            counters.iter().for_each(|(name, value)| families.of_node(&id, name, *value));
        }
        reply(StatusCode::OK, FORMAT, families.text())
    }

    /// What this process holds for others, by kind (docs/caching.md).
    fn held(&self, families: &mut Families) {
        let hot = self.hot.as_ref().map_or(0, |hot| hot.size());
        let bodies = [
            ("hot", hot),
            ("fills", account::held(AccountKind::Fills)),
            ("readers", account::held(AccountKind::Readers)),
            ("handshakes", place::held()),
            ("tls", tls::held()),
        ];
        for (kind, bytes) in bodies.into_iter().chain(serve::held()) {
            families.held("front", kind, bytes as f64);
        }
        let (name, help) = ("ringhold_front_readers_cut_total", "Slow readers that were cut to free what they held.");
        families.add(name, help, front::MetricKind::Counter, &[], account::cut() as f64);
    }

    fn ring_metrics(&self, families: &mut Families) {
        let epoch = self.cluster.view().epoch as f64;
        families.add(
            "ringhold_ring_epoch",
            "Grows with every change of members.",
            front::MetricKind::Gauge,
            &[],
            epoch,
        );
        for node in self.cluster.list() {
            let labels = [("node", node.id.as_str())];
            let up = f64::from(u8::from(node.up));
            families.add("ringhold_node_up", "Whether requests are sent there.", front::MetricKind::Gauge, &labels, up);
            let (name, help) = ("ringhold_node_slow", "Whether it is passed over because its hits take long.");
            families.add(name, help, front::MetricKind::Gauge, &labels, f64::from(u8::from(node.slow)));
            families.add("ringhold_node_share", "Of the key space.", front::MetricKind::Gauge, &labels, node.share);
            let load = f64::from(node.load);
            families.add(
                "ringhold_node_load",
                "Requests under way from this front.",
                front::MetricKind::Gauge,
                &labels,
                load,
            );
        }
        if let Some(keeper) = self.cluster.keeper() {
            keeper_metrics(keeper, families);
        }
        for (id, restarts) in self.cluster.restarts() {
            let (name, help) = ("ringhold_node_restarts_total", "Starts of a node after its first.");
            families.add(name, help, front::MetricKind::Counter, &[("node", &id)], restarts as f64);
        }
    }
}

fn keeper_metrics(keeper: &Keeper, families: &mut Families) {
    let (name, help) = ("ringhold_zookeeper_connected", "Whether ZooKeeper can be asked; else the ring stands still.");
    let connected = f64::from(u8::from(matches!(keeper.line(), ZkLine::Up(_))));
    families.add(name, help, front::MetricKind::Gauge, &[], connected);
    let (name, help) = ("ringhold_leader", "Whether this front writes the ring.");
    families.add(name, help, front::MetricKind::Gauge, &[], f64::from(u8::from(keeper.record().leads)));
    let fronts = keeper.fronts().len() as f64;
    families.add("ringhold_fronts", "Fronts that live, as this one knows.", front::MetricKind::Gauge, &[], fronts);
    let (name, help) = ("ringhold_ring_writes_refused_total", "Rings due when the lock was lost; none is written.");
    families.add(name, help, front::MetricKind::Counter, &[], keeper.refusals() as f64);
}

impl Families {
    fn held(&mut self, process: &str, kind: &str, bytes: f64) {
        let (name, help) = ("ringhold_held_bytes", "Memory that a process holds for others, by kind.");
        self.add(name, help, front::MetricKind::Gauge, &[("process", process), ("kind", kind)], bytes);
    }

    fn of_node(&mut self, id: &str, name: &str, value: f64) {
        if let Some(kind) = name.strip_prefix("held_") {
            return self.held(id, kind, value);
        }
        for (what, label) in [("disk_skipped", "why"), ("disk_errors", "what")] {
            if let Some(of) = name.strip_prefix(what).and_then(|rest| rest.strip_prefix('_')) {
                let (family, labels) = (format!("ringhold_node_{what}_total"), [("node", id), (label, of)]);
                return self.add(&family, "As the node reports it.", front::MetricKind::Counter, &labels, value);
            }
        }
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let gauge = GAUGES.contains(&name) || name.ends_with("_open");
        let kind = if gauge { front::MetricKind::Gauge } else { front::MetricKind::Counter };
        let total = if gauge || plain.ends_with("_total") { "" } else { "_total" };
        self.add(&format!("ringhold_node_{plain}{total}"), "As the node reports it.", kind, &[("node", id)], value);
    }

    fn add(&mut self, name: &str, help: &str, kind: front::MetricKind, labels: &[(&str, &str)], value: f64) {
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
                front::MetricKind::Counter => "counter",
                front::MetricKind::Gauge => "gauge",
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
        families.add("x_total", "X.", front::MetricKind::Counter, &[("a", "q\"\\\n"), ("b", "")], 0.5);
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
