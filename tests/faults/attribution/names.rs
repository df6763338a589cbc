//! Rows of DNS.

use super::setup;
use super::table::{Scene, Walk, path};
use crate::support::names::NameServer;
use crate::support::{Origin, tools};

#[test]
fn the_rows_of_dns() {
    let test = "attribution: DNS";
    if !tools::wanted(test, &["unshare", "mount"]) {
        return;
    }
    let Ok(server) = NameServer::start() else { return tools::left_out(test, "port 53 may not be bound here") };
    let walk = Walk::of("DNS");
    let setup = setup().nodes(1).set("timeouts", "connect", "2s").set("log", "access", "json");
    let (cluster, origin) = (setup.start_by(&server.prefix()), Origin::start());
    let scene = Scene { cluster: &cluster, origin: &origin };
    for (when, domain) in [
        ("the name does not exist", "none.test"),
        ("its server refuses", "refused.test"),
        ("its server is silent", "silent.test"),
    ] {
        walk.each(when, |row, method| {
            let path = path();
            let url = format!("http://n{}.{domain}:{}{path}", &path[6..], origin.address.port());
            scene.ask_for(row, method, &url)
        });
    }
    walk.done();
}
