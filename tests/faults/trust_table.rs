//! The table of docs/operations.md (Trust), walked: who asks on which port for what, and what is answered.

use super::super::support::netns::Elsewhere;
use super::super::support::standalone::Standalone;
use super::super::support::*;
use super::{SECRET, status};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

/// Who asks, on which port, for what, and the statuses that are right.
type Row = (&'static str, &'static str, &'static str, &'static [u16]);

const ALONE: &[Row] = &[
    ("client here", "proxy", "GET {open}", &[200]),
    ("client here", "proxy", "GET {loopback}", &[200]),
    ("client here", "proxy", "CONNECT {loopback}", &[200]),
    ("client here", "proxy", "GET http://169.254.169.254/", &[403]),
    ("client here", "proxy", "GET http://{node}/healthz", &[403]),
    ("client here", "proxy", "DELETE http://{node}/cache?url=http://a/", &[403]),
    ("client here", "proxy", "CONNECT {node}", &[403]),
    ("client here", "proxy", "GET http://{admin}/v1/nodes", &[421]),
    ("client here", "proxy", "POST /invalidate", &[400, 403]),
    ("client here", "admin", "GET /v1/nodes", &[200]),
    ("client here", "admin", "DELETE /v1/cache?url=http://a/", &[200]),
    ("client here", "node", "GET /healthz", &[200]),
    ("client here", "node", "GET {loopback}", &[200]),
    ("client here", "node", "POST /revalidate", &[200]),
    ("web page", "admin", "GET /v1/nodes", &[403]),
    ("web page", "admin", "DELETE /v1/cache?url=http://a/", &[403]),
    ("rebound page", "admin", "GET /v1/nodes", &[403]),
    ("web page", "node", "GET /healthz", &[403]),
    ("web page", "node", "POST /revalidate", &[403]),
    ("rebound page", "node", "GET /metrics", &[403]),
    ("rebound page", "node", "DELETE /cache?url=http://a/", &[403]),
];

const OPEN: &[Row] = &[
    ("client here", "proxy", "GET {own}", &[200]),
    ("client here", "node", "GET /healthz", &[403]),
    ("client here", "node", "GET {loopback}", &[403]),
    ("client here", "admin", "GET /v1/nodes", &[401]),
    ("client elsewhere", "proxy", "GET {open}", &[200]),
    ("client elsewhere", "proxy", "CONNECT {open}", &[403]),
    ("client elsewhere", "proxy", "GET {loopback}", &[403]),
    ("client elsewhere", "proxy", "GET {own}", &[403]),
    ("client elsewhere", "proxy", "CONNECT {own}", &[403]),
    ("client elsewhere", "proxy", "GET http://169.254.169.254/", &[403]),
    ("client elsewhere", "proxy", "GET http://{node}/healthz", &[403]),
    ("client elsewhere", "proxy", "DELETE http://{node}/cache?url=http://a/", &[403]),
    ("client elsewhere", "proxy", "GET http://{admin}/healthz", &[403, 421]),
    ("client elsewhere", "proxy", "CONNECT {admin}", &[403]),
    ("client elsewhere", "proxy", "POST /invalidate", &[400, 403]),
    ("client elsewhere", "admin", "GET /v1/nodes", &[401]),
    ("client elsewhere", "admin", "GET /metrics", &[401]),
    ("client elsewhere", "admin", "GET /healthz", &[200]),
    ("client elsewhere", "admin", "GET /proxy.pac", &[200]),
    ("operator", "admin", "GET /v1/nodes", &[200]),
    ("operator", "admin", "DELETE /v1/cache?url=http://a/", &[200]),
    ("client elsewhere", "node", "GET /healthz", &[403]),
    ("client elsewhere", "node", "GET {open}", &[403]),
    ("client elsewhere", "node", "POST /revalidate", &[403]),
    ("client elsewhere", "node", "GET /hello", &[200]),
    ("client elsewhere", "node", "POST /prove", &[403]),
];

/// Whoever is not in `[access] clients` gets 403 for whatever it says.
const STRANGER: &[Row] = &[
    ("client elsewhere", "proxy", "GET {open}", &[403]),
    ("client elsewhere", "proxy", "HEAD {open}", &[403]),
    ("client elsewhere", "proxy", "CONNECT {open}", &[403]),
    ("client elsewhere", "proxy", "OPTIONS *", &[403]),
    ("client elsewhere", "proxy", "GET /", &[403]),
    ("client elsewhere", "proxy", "POST /invalidate", &[403]),
    ("client elsewhere", "proxy", "GET http://{admin}/healthz", &[403]),
];

const TOKEN: &str = "a-long-token";

struct World {
    cluster: Cluster,
    node: Standalone,
    open: Origin,
    loopback: Origin,
    own: Option<Origin>,
}

impl World {
    fn new(setup: Setup, elsewhere: Option<&Elsewhere>) -> World {
        let ip = elsewhere.map_or("127.0.0.1".parse().unwrap(), |elsewhere| elsewhere.here);
        let node = Standalone::start_by(&[], ip, "r1", &setup);
        // Another loopback address, which the operator has opened, stands for all that anyone may reach.
        let origins = ["127.0.0.9".parse().unwrap(), "127.0.0.1".parse().unwrap()].map(Origin::at);
        let own = elsewhere.map(|elsewhere| Origin::at(elsewhere.here));
        origins.iter().chain(&own).for_each(|origin| origin.on("/", |x| x.reply(200, "", "a page")));
        let setup = setup.set("access", "open", vec!["127.0.0.9/32"]).node_at("r1", &node.address.to_string());
        let [open, loopback] = origins;
        World { cluster: setup.start(), node, open, loopback, own }
    }

    fn walk(&self, elsewhere: Option<&Elsewhere>, rows: &[Row]) {
        for (who, port, asks, right) in rows {
            let address = match *port {
                "proxy" => self.cluster.proxy,
                "admin" => self.cluster.admin,
                _ => self.node.address,
            };
            let request = self.request(who, address, asks);
            let answer = match (*who, elsewhere) {
                ("client elsewhere" | "operator", Some(elsewhere)) => status(&elsewhere.send(address, &request)),
                _ => super::asked(address, &request),
            };
            assert!(right.contains(&answer), "{who} on {port}, {asks}: {answer}, not {right:?}\n{request}");
        }
    }

    fn request(&self, who: &str, address: SocketAddr, asks: &str) -> String {
        let (method, target) = asks.split_once(' ').unwrap();
        let origin = |origin: &Origin| match method {
            "CONNECT" => origin.address.to_string(),
            _ => origin.url("/"),
        };
        let own = self.own.as_ref().map(origin).unwrap_or_default();
        let target = target.replace("{open}", &origin(&self.open)).replace("{loopback}", &origin(&self.loopback));
        let target = target.replace("{own}", &own).replace("{node}", &self.node.address.to_string());
        let target = target.replace("{admin}", &self.cluster.admin.to_string());
        let says = match who {
            "web page" => format!("Host: {address}\r\nOrigin: http://evil.example\r\n"),
            "rebound page" => format!("Host: evil.example:{}\r\n", address.port()),
            "operator" => format!("Host: {address}\r\nAuthorization: Bearer {TOKEN}\r\n"),
            _ => format!("Host: {address}\r\n"),
        };
        let content = match (method, target.as_str()) {
            ("POST", "/prove" | "/invalidate") => ("Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
            _ => ("", ""),
        };
        format!("{method} {target} HTTP/1.1\r\n{says}{}Connection: close\r\n\r\n{}", content.0, content.1)
    }
}

#[test]
fn on_one_machine_everyone_may_do_what_the_table_says() {
    let world = World::new(Setup::default().nodes(1), None);
    world.walk(None, ALONE);
}

#[test]
fn between_machines_everyone_may_do_what_the_table_says() {
    let Some(elsewhere) = Elsewhere::make("the table of trust") else { return };
    let setup = Setup::default().nodes(1).set("cluster", "secret", SECRET);
    let setup = setup.set("proxy", "listen", vec![format!("{}:0", elsewhere.here)]);
    let setup = setup.set("admin", "listen", format!("{}:0", elsewhere.here)).set("admin", "token", TOKEN);
    for (clients, rows) in [(format!("{}/32", elsewhere.there), OPEN), ("192.0.2.0/24".to_owned(), STRANGER)] {
        let world = World::new(setup.clone().set("access", "clients", vec![clients]), Some(&elsewhere));
        world.walk(Some(&elsewhere), rows);
    }
}

#[test]
fn a_nodes_unix_socket_is_for_its_user_alone() {
    let cluster = Setup::default().nodes(1).start();
    let listen = cluster.manage("GET", "/v1/nodes/n1", "").json()["address"].as_str().unwrap().to_owned();
    let path = std::path::Path::new(listen.strip_prefix("unix:").unwrap());
    let (socket, folder) = (path.metadata().unwrap(), path.parent().unwrap().metadata().unwrap());
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.permissions().mode() & 0o777, folder.permissions().mode() & 0o777), (0o600, 0o700));
}
