//! PURE. Path and method to what is asked.

use super::problem::Problem;
use http::{Method, StatusCode};

/// The things that there are.
#[derive(Debug, PartialEq, Eq)]
pub enum Thing<'a> {
    Index,
    Health,
    Readiness,
    Metrics,
    ProxyPac,
    Roots,
    Nodes,
    Node(&'a str),
    Ring,
    Owner,
    Cluster,
    Explain,
    Cache,
}

/// `POST` to this in place of a node's id goes back to the nodes of the file.
pub const RESET: &str = "reset";

/// What is to be done with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
    Patch,
    Delete,
}

/// All of them, for the one who opens the address in a browser.
pub const INDEX: &[&str] = &[
    "/v1/nodes",
    "/v1/nodes/{id}",
    "/v1/nodes/reset",
    "/v1/ring",
    "/v1/ring/owner?url=",
    "/v1/cluster",
    "/v1/explain?url=",
    "/v1/cache?url=",
    "/healthz",
    "/readyz",
    "/metrics",
    "/proxy.pac",
    "/ca.pem",
];

/// What a path names.
pub fn thing(path: &str) -> Result<Thing<'_>, Problem> {
    Ok(match path {
        "/" => Thing::Index,
        "/healthz" => Thing::Health,
        "/readyz" => Thing::Readiness,
        "/metrics" => Thing::Metrics,
        "/proxy.pac" => Thing::ProxyPac,
        "/ca.pem" => Thing::Roots,
        "/v1/nodes" => Thing::Nodes,
        "/v1/ring" => Thing::Ring,
        "/v1/ring/owner" => Thing::Owner,
        "/v1/cluster" => Thing::Cluster,
        "/v1/explain" => Thing::Explain,
        "/v1/cache" => Thing::Cache,
        _ => match path.strip_prefix("/v1/nodes/") {
            Some(id) if !id.is_empty() && !id.contains('/') => Thing::Node(id),
            _ => return Err(Problem::new(StatusCode::NOT_FOUND, "there is nothing here; / lists what there is")),
        },
    })
}

impl Thing<'_> {
    /// For load balancers and browsers, which have no token; they tell nothing that is secret.
    pub fn is_open(&self) -> bool {
        matches!(self, Thing::Health | Thing::Readiness | Thing::ProxyPac | Thing::Roots)
    }

    /// What a method means here.
    pub fn verb(&self, method: &Method) -> Result<Verb, Problem> {
        let (verbs, allow): (&[Verb], _) = match self {
            Thing::Nodes => (&[Verb::Get, Verb::Post], "GET, HEAD, POST"),
            Thing::Node(RESET) => {
                (&[Verb::Get, Verb::Post, Verb::Patch, Verb::Delete], "GET, HEAD, POST, PATCH, DELETE")
            }
            Thing::Node(_) => (&[Verb::Get, Verb::Patch, Verb::Delete], "GET, HEAD, PATCH, DELETE"),
            Thing::Cache => (&[Verb::Delete], "DELETE"),
            _ => (&[Verb::Get], "GET, HEAD"),
        };
        let verb = match *method {
            Method::GET | Method::HEAD => Verb::Get,
            Method::POST => Verb::Post,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ => return Err(Problem::method(allow)),
        };
        if verbs.contains(&verb) { Ok(verb) } else { Err(Problem::method(allow)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_thing_and_a_method_what_to_do_with_it() {
        let cases = [
            ("GET", "/", Ok((Thing::Index, Verb::Get))),
            ("HEAD", "/healthz", Ok((Thing::Health, Verb::Get))),
            ("POST", "/v1/nodes", Ok((Thing::Nodes, Verb::Post))),
            ("PATCH", "/v1/nodes/n1", Ok((Thing::Node("n1"), Verb::Patch))),
            ("POST", "/v1/nodes/reset", Ok((Thing::Node("reset"), Verb::Post))),
            ("POST", "/v1/nodes/n1", Err(405)),
            ("DELETE", "/v1/nodes/n1", Ok((Thing::Node("n1"), Verb::Delete))),
            ("DELETE", "/v1/cache", Ok((Thing::Cache, Verb::Delete))),
            ("GET", "/v1/cache", Err(405)),
            ("PUT", "/v1/nodes", Err(405)),
            ("OPTIONS", "/v1/nodes", Err(405)),
            ("POST", "/metrics", Err(405)),
            ("GET", "/v1/nodes/", Err(404)),
            ("GET", "/v1/nodes/n1/x", Err(404)),
            ("GET", "/v1/", Err(404)),
            ("GET", "/healthz/", Err(404)),
            ("GET", "", Err(404)),
        ];
        for (method, path, expected) in cases {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = thing(path).and_then(|thing| thing.verb(&method).map(|verb| (thing, verb)));
            assert_eq!(found.map_err(|p| p.status.as_u16()), expected, "{method} {path}");
        }
    }

    #[test]
    fn everything_in_the_index_is_there() {
        for path in INDEX {
            let path = path.split('?').next().unwrap().replace("{id}", "n1");
            assert!(thing(&path).is_ok(), "{path}");
        }
    }
}
