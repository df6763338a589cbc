//! The columns: ways on which the same request comes to the same answer. A new edge or tier is one more dimension here.

use super::case::{Case, Expect};
use std::fmt;

/// Whom the client speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Front,
    /// The node, as a client of its own.
    Node,
    /// The node, as a front speaks to it.
    Link,
}

/// How requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// Of their bytes, where these are enough.
    Short,
    Long,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    New,
    Old,
    /// HTTP/2, which is spoken inside TLS alone.
    Two,
}

impl Version {
    pub fn number(self) -> &'static str {
        match self {
            Version::New => "1.1",
            Version::Old => "1.0",
            Version::Two => "2",
        }
    }
}

/// How a client speaks to whom it speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    Clear,
    /// With TLS, inside a tunnel to the origin that the front answers for.
    Tls,
}

/// What has to be started for a column; several share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub front: bool,
    pub edge: Edge,
    pub route: Route,
    pub hot: bool,
    pub log: bool,
    /// What is stored is on disk alone when it is asked for.
    pub disk: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    pub way: Way,
    pub place: Place,
    /// The URL is in the filter of what nodes hold, and the node has other requests, so that it is asked on the pipelined
    /// connection.
    pub held: bool,
    pub version: Version,
}

impl Column {
    /// The first is what all others are compared with.
    pub fn all() -> Vec<Column> {
        let mut all = Vec::new();
        for place in Place::all() {
            let ways: &[Way] = if place.front { &[Way::Front] } else { &[Way::Node, Way::Link] };
            for (way, held) in ways.iter().flat_map(|way| [(*way, false), (*way, true)]) {
                if held && (!place.front || place.disk) {
                    continue; // A node has no such filter; and what it is asked so is answered from memory alone.
                }
                let versions = [Version::New, Version::Old, Version::Two].into_iter();
                let spoken = versions.filter(|version| *version != Version::Two || place.edge == Edge::Tls);
                all.extend(spoken.map(|version| Column { way, place, held, version }));
            }
        }
        all
    }

    /// Why this cell cannot be.
    pub fn lacks(&self, case: &Case) -> Option<&'static str> {
        match (self.version, self.way) {
            (Version::Old, Way::Link) => Some("the link is HTTP/1.1 (docs/link.md)"),
            (Version::Old, _) if case.new_only.is_some() => case.new_only,
            (Version::Two, _) if case.text_only.is_some() => case.text_only,
            _ if self.place.disk && case.memory_only.is_some() => case.memory_only,
            (_, Way::Node | Way::Link) if case.front_only.is_some() => case.front_only,
            _ => None,
        }
    }

    /// What has to come of a case in the first of such columns.
    pub fn expects<'a>(&self, case: &'a Case) -> &'a [Expect] {
        match &case.inside {
            Some(inside) if self.is_inside() => &inside.expect,
            _ => &case.expect,
        }
    }

    pub fn is_inside(&self) -> bool {
        self.place.edge == Edge::Tls
    }
}

impl Place {
    pub fn all() -> Vec<Place> {
        let mut all = Vec::new();
        let routes = [Route::Short, Route::Long];
        for (edge, route) in [Edge::Clear, Edge::Tls].iter().flat_map(|edge| routes.map(|route| (*edge, route))) {
            for hot in [false, true] {
                all.extend([false, true].map(|log| Place { front: true, edge, route, hot, log, disk: false }));
            }
        }
        for (front, disk) in [(false, false), (true, true)] {
            let place = |route| Place { front, edge: Edge::Clear, route, hot: false, log: false, disk };
            all.extend(routes.map(place));
        }
        all
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Column { way, place: Place { edge, route, hot, log, disk, .. }, held, version } = self;
        let way = match (way, edge) {
            (Way::Front, Edge::Clear) => "front",
            (Way::Front, Edge::Tls) => "front, inside TLS",
            (Way::Node, _) => "node, as a client",
            (Way::Link, _) => "node, as a front",
        };
        write!(f, "{way}, {route:?}, HTTP/{}", version.number())?;
        [(hot, "hot"), (held, "held"), (log, "log"), (disk, "disk")]
            .iter()
            .filter(|(is, _)| **is)
            .try_for_each(|(_, n)| write!(f, ", {n}"))
    }
}
