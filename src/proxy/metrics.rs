//! Counters of a worker, and how all workers' counters become samples.

use super::https::passed::Passed;
use crate::lines;
use crate::wire::fault::{Kind as Blamed, Whose};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and others read: no locked instruction is needed.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Only from the worker that owns it.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }
    /// Only from the worker that owns it.
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(n), Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker has counted.
#[derive(Debug, Default)]
pub struct FrontCounters {
    /// Answers by class of status: `[1]` is 1xx (upgrades) to `[5]`, `[0]` anything else.
    pub answers: [Count; 6],
    pub hits: Count,
    /// Of the hits, those from the hot copy.
    pub hot_hits: Count,
    pub misses: Count,
    /// Answers that we made: pages, errors.
    pub own: Count,
    pub errors: Count,
    /// Answers that did not reach the client whole, by whose fault that was.
    pub cut: [Count; Whose::ALL.len()],
    /// Errors that clients were answered with or saw their answer end with, by whose fault it was and what it was.
    pub faults: [[Count; Blamed::ALL.len()]; Whose::ALL.len()],
    pub body_bytes: Count,
    pub connections: Count,
    pub connections_open: Count,
    /// Refused since their client had its share.
    pub connections_refused: Count,
    pub tunnels: Count,
    pub tunnels_open: Count,
    pub tunnel_bytes: Count,
    /// With clients of listed hosts, by [`Handshake`].
    pub tls_handshakes: [Count; 4],
    /// Those that came about, by what is spoken inside: HTTP/1.1, HTTP/2.
    pub tls_versions: [Count; 2],
    /// Tunnels to listed hosts, by [`Passed`].
    pub tls_passed: [Count; Passed::ALL.len()],
    pub link_opened: Count,
    pub link_reused: Count,
    /// Requests that another owner answered because theirs could not.
    pub failovers: Count,
    /// Requests sent on purpose to another node than the owner: the second owner of a hot key, or one with room.
    pub detours: Count,
    /// Those of them that the other node sent on to the owner.
    pub sent_on: Count,
    /// Reports to the control plane that did not fit.
    pub reports_lost: Count,
}

/// How a handshake with a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Full,
    Resumed,
    /// It does not take our certificate.
    Refused,
    Failed,
}

impl FrontCounters {
    pub fn handshake(&self, how: Handshake) {
        self.tls_handshakes[how as usize].add(1);
    }
}

/// Whether a value can go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
}

/// One line of `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
    pub labels: Vec<(&'static str, String)>,
    pub value: f64,
}

/// One family of samples: its name, help, kind, and for each label value where it is counted.
type FamilySpec = (&'static str, &'static str, MetricKind, &'static str, &'static [LabelCounts]);

/// A label's value and what is counted under it.
type LabelCounts = (&'static str, fn(&FrontCounters) -> &Count);

const LOST: &str = "ringhold_front_lost_total";

const FAMILIES: &[FamilySpec] = &[
    (
        "ringhold_front_answers_total",
        "Answers to clients by class of status.",
        MetricKind::Counter,
        "class",
        &[
            ("1xx", |c| &c.answers[1]),
            ("2xx", |c| &c.answers[2]),
            ("3xx", |c| &c.answers[3]),
            ("4xx", |c| &c.answers[4]),
            ("5xx", |c| &c.answers[5]),
        ],
    ),
    (
        "ringhold_front_cache_total",
        "Relayed answers by what the cache did.",
        MetricKind::Counter,
        "result",
        &[("hit", |c| &c.hits), ("miss", |c| &c.misses)],
    ),
    one("ringhold_front_hot_hits_total", "Hits from the hot copy.", MetricKind::Counter, &[("", |c| &c.hot_hits)]),
    (
        "ringhold_front_own_answers_total",
        "Answers that the front made itself.",
        MetricKind::Counter,
        "kind",
        &[("page", |c| &c.own), ("error", |c| &c.errors)],
    ),
    (
        "ringhold_front_cut_answers_total",
        "Answers that did not reach the client whole, by whose fault it was.",
        MetricKind::Counter,
        "by",
        &[
            ("client", |c| &c.cut[Whose::Client as usize]),
            ("node", |c| &c.cut[Whose::Node as usize]),
            ("peer", |c| &c.cut[Whose::Peer as usize]),
            ("origin", |c| &c.cut[Whose::Origin as usize]),
            ("us", |c| &c.cut[Whose::Us as usize]),
        ],
    ),
    one(
        "ringhold_front_body_bytes_total",
        "Bytes of answer bodies sent.",
        MetricKind::Counter,
        &[("", |c| &c.body_bytes)],
    ),
    one(
        "ringhold_front_connections_total",
        "Client connections accepted.",
        MetricKind::Counter,
        &[("", |c| &c.connections)],
    ),
    one(
        "ringhold_front_connections_refused_total",
        "Client connections answered 503 (connection_limit_reached), or closed, since their client had its share.",
        MetricKind::Counter,
        &[("", |c| &c.connections_refused)],
    ),
    one("ringhold_front_connections", "Client connections open.", MetricKind::Gauge, &[("", |c| &c.connections_open)]),
    one(
        "ringhold_front_tunnels_total",
        "Tunnels (CONNECT, Upgrade) begun.",
        MetricKind::Counter,
        &[("", |c| &c.tunnels)],
    ),
    (
        "ringhold_front_tls_handshakes_total",
        "TLS handshakes with clients of listed hosts, by how they ended.",
        MetricKind::Counter,
        "result",
        &[
            ("full", |c| &c.tls_handshakes[Handshake::Full as usize]),
            ("resumed", |c| &c.tls_handshakes[Handshake::Resumed as usize]),
            ("refused", |c| &c.tls_handshakes[Handshake::Refused as usize]),
            ("failed", |c| &c.tls_handshakes[Handshake::Failed as usize]),
        ],
    ),
    (
        "ringhold_front_tls_connections_total",
        "Connections inside the TLS of listed hosts, by the version of HTTP that is spoken there.",
        MetricKind::Counter,
        "http_version",
        &[("1.1", |c| &c.tls_versions[0]), ("2", |c| &c.tls_versions[1])],
    ),
    one("ringhold_front_tunnels", "Tunnels open.", MetricKind::Gauge, &[("", |c| &c.tunnels_open)]),
    one(
        "ringhold_front_tunnel_bytes_total",
        "Bytes through tunnels.",
        MetricKind::Counter,
        &[("", |c| &c.tunnel_bytes)],
    ),
    (
        "ringhold_front_link_connections_total",
        "Requests to nodes by the connection they took.",
        MetricKind::Counter,
        "connection",
        &[("new", |c| &c.link_opened), ("reused", |c| &c.link_reused)],
    ),
    one(
        "ringhold_front_failovers_total",
        "Requests moved to another node.",
        MetricKind::Counter,
        &[("", |c| &c.failovers)],
    ),
    one(
        "ringhold_front_detours_total",
        "Requests for hot keys or by bounded loads that another node than the owner was asked.",
        MetricKind::Counter,
        &[("", |c| &c.detours)],
    ),
    one(
        "ringhold_front_detours_sent_on_total",
        "Of these, those that the other node sent on to the owner.",
        MetricKind::Counter,
        &[("", |c| &c.sent_on)],
    ),
    (
        LOST,
        "What was dropped because a queue was full, or could not be written.",
        MetricKind::Counter,
        "what",
        &[("report", |c| &c.reports_lost)],
    ),
];

const fn one(name: &'static str, help: &'static str, kind: MetricKind, of: &'static [LabelCounts]) -> FamilySpec {
    (name, help, kind, "", of)
}

/// The sums over all workers, families together, for `/metrics`.
pub fn samples(workers: &[Arc<FrontCounters>]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (name, help, kind, label, members) in FAMILIES {
        for (label_value, count) in *members {
            let labels = if label.is_empty() { Vec::new() } else { vec![(*label, label_value.to_string())] };
            let value = workers.iter().map(|w| count(w).get()).sum::<u64>() as f64;
            samples.push(Sample { name, help, kind: *kind, labels, value });
        }
        if *name == LOST {
            // What no worker counts.
            for (what, lost) in [("log_line", lines::access_lost()), ("diagnostic", lines::log_lost())] {
                let labels = vec![("what", what.to_owned())];
                samples.push(Sample { name, help, kind: *kind, labels, value: lost as f64 });
            }
        }
    }
    samples.extend(faults(workers));
    samples.extend(passed(workers));
    samples
}

/// Those that have happened.
fn passed(workers: &[Arc<FrontCounters>]) -> impl Iterator<Item = Sample> + use<'_> {
    Passed::ALL.into_iter().filter_map(|why| {
        let counted = workers.iter().map(|w| w.tls_passed[why as usize].get()).sum::<u64>();
        (counted > 0).then(|| Sample {
            name: "ringhold_front_tls_passed_total",
            help: "Tunnels to listed hosts, by why they were not answered here.",
            kind: MetricKind::Counter,
            labels: vec![("reason", why.token().to_owned())],
            value: counted as f64,
        })
    })
}

/// What has happened at all of what can go wrong.
fn faults(workers: &[Arc<FrontCounters>]) -> impl Iterator<Item = Sample> + use<'_> {
    let all = Whose::ALL.into_iter().flat_map(|whose| Blamed::ALL.map(|kind| (whose, kind)));
    all.filter_map(|(whose, kind)| {
        let counted = workers.iter().map(|w| w.faults[whose as usize][kind as usize].get()).sum::<u64>();
        (counted > 0).then(|| Sample {
            name: "ringhold_front_faults_total",
            help: "Answers that were errors, or ended with one, by whose fault it was and the error of Proxy-Status.",
            kind: MetricKind::Counter,
            labels: vec![("fault", whose.token().to_owned()), ("error", kind.token().to_owned())],
            value: counted as f64,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_sums_over_the_workers() {
        let workers = [Arc::new(FrontCounters::default()), Arc::new(FrontCounters::default())];
        workers[0].hits.add(2);
        workers[1].hits.add(3);
        workers[1].faults[Whose::Origin as usize][Blamed::DnsError as usize].add(4);
        let samples = samples(&workers);
        let faults: Vec<_> = samples.iter().filter(|s| s.name == "ringhold_front_faults_total").collect();
        assert_eq!(faults.len(), 1, "nothing that has not happened");
        assert_eq!(faults[0].labels, [("fault", "origin".to_owned()), ("error", "dns_error".to_owned())]);
        assert_eq!(faults[0].value, 4.0);
        let hit = samples.iter().find(|s| s.labels == [("result", "hit".to_owned())]).unwrap();
        assert_eq!((hit.name, hit.value), ("ringhold_front_cache_total", 5.0));
    }
}
