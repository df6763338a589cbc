//! Who belongs to the cluster: records, ids, restarts, and machines that come back.

use crate::support::cluster::{command, run};
use crate::support::objects::{is_whole, objects};
use crate::support::relay::Relay;
use crate::support::standalone::Standalone;
use crate::support::zookeeper::{Zookeeper, wanted, with_client};
use crate::support::*;
use rustix::process::Signal;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const SECRET: &str = "the-secret-of-this-cluster";

/// A machine of a cluster with the secret: a front with nodes, at an address of its own.
fn machine(zookeeper: &str, number: u8, nodes: usize) -> Setup {
    let host = format!("127.0.0.{number}");
    let setup = Setup::default().nodes(nodes).set("proxy", "listen", vec![format!("{host}:0")]);
    let setup = setup.set("admin", "listen", format!("{host}:0")).set("zookeeper", "connect", zookeeper);
    let setup = setup.set("zookeeper", "session", "2s").set("zookeeper", "advertise", host);
    setup.set("cluster", "secret", SECRET).set("timeouts", "peer", "5s")
}

fn until_ring(fronts: &[&Cluster], nodes: usize) {
    until_true(&format!("all fronts route by one ring of {nodes}"), 3 * PATIENCE, || {
        let rings: Vec<_> = fronts.iter().map(|f| f.manage("GET", "/v1/ring", "").json()).collect();
        let up = fronts.iter().all(|f| f.manage("GET", "/v1/cluster", "").json()["up"] == nodes);
        let same = |ring: &serde_json::Value| ring["epoch"] == rings[0]["epoch"];
        up && rings.iter().all(|ring| same(ring) && ring["members"].as_array().unwrap().len() == nodes)
    });
}

fn is_up(front: &Cluster, id: &str) -> bool {
    front.manage("GET", &format!("/v1/nodes/{id}"), "").json()["up"] == true
}

#[test]
fn a_machine_that_is_told_to_end_hands_over_what_its_nodes_hold_with_all_variants() {
    if !wanted("ZooKeeper: what SIGTERM hands over") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let mut leaving = machine(&zookeeper.connect(), 2, 2).start();
    let stays = machine(&zookeeper.connect(), 3, 1).start();
    until_ring(&[&leaving, &stays], 3);
    let origin = Origin::start();
    origin.on("/page/*", |x| {
        let body = x.target().to_owned();
        x.reply(200, "Cache-Control: max-age=600\r\n", body)
    });
    origin.on("/said/*", |x| {
        let body = format!("{} {:?}", x.target(), x.head.get("accept-language"));
        x.reply(200, "Cache-Control: max-age=600\r\nVary: Accept-Language\r\n", body)
    });
    let pages: Vec<String> = (0..100).map(|i| origin.url(&format!("/page/{i}"))).collect();
    let said: Vec<String> = (0..20).map(|i| origin.url(&format!("/said/{i}"))).collect();
    let tongues = ["", "Accept-Language: de\r\n", "Accept-Language: fr, en;q=0.5\r\n"];
    let ask_all = |front: &Cluster| {
        let mut client = front.connect();
        let plain: Vec<String> = pages.iter().map(|url| client.get(url).text()).collect();
        let varied = said.iter().flat_map(|url| tongues.map(|tongue| (url, tongue)));
        let varied: Vec<String> = varied.map(|(url, tongue)| client.ask("GET", url, tongue, b"").text()).collect();
        [plain, varied].concat()
    };
    let before = ask_all(&leaving);
    assert_eq!(origin.count("/*"), 160);
    let begun = Instant::now();
    assert!(leaving.terminate(Signal::TERM).success());
    assert!(begun.elapsed() < Duration::from_secs(10), "it ends when all is handed over: {:?}", begun.elapsed());
    until_ring(&[&stays], 1);
    assert_eq!(ask_all(&stays), before);
    assert_eq!(origin.count("/*"), 160, "nothing is fetched again");
}

#[test]
fn a_node_that_runs_by_itself_hands_over_too_and_nobody_waits_where_there_is_nobody_to_take_it() {
    if !wanted("ZooKeeper: a node that ends by itself") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let mut front = machine(&zookeeper.connect(), 2, 1).start();
    let setup = machine(&zookeeper.connect(), 3, 0);
    let node = Standalone::start_by(&[], [127, 0, 0, 3].into(), "by-hand", &setup);
    until_ring(&[&front], 2);
    let (origin, urls) = objects(60);
    let mut client = front.connect();
    urls.iter().for_each(|url| is_whole(url, &client.get(url)).unwrap());
    process::signal(node.pid(), Signal::TERM);
    until_true("it has ended", PATIENCE, || {
        std::fs::read_to_string(format!("/proc/{}/stat", node.pid())).unwrap_or_default().contains(") Z")
    });
    until_ring(&[&front], 1);
    urls.iter().for_each(|url| is_whole(url, &client.get(url)).unwrap());
    assert_eq!(origin.count("/o/*"), 60, "nothing is fetched again: {}", node.said());
    // Now there is nobody but this machine.
    let begun = Instant::now();
    drop(client);
    assert!(front.terminate(Signal::TERM).success());
    assert!(begun.elapsed() < Duration::from_secs(3), "nobody is waited for: {:?}", begun.elapsed());
}

#[test]
fn a_node_behind_a_lossy_link_is_left_out_for_longer_with_each_relapse() {
    let _alone = alone();
    let setup = Setup::default().set("timeouts", "probe", "200ms").set("timeouts", "probe_interval", "50ms");
    let nodes = ["r1", "r2", "r3"].map(|id| Standalone::start(id, &setup));
    let relay = Relay::to(&nodes[1].address.to_string());
    let at = |id: &str, setup: Setup, address: std::net::SocketAddr| setup.node_at(id, &address.to_string());
    let setup = at("r1", setup.nodes(0), nodes[0].address);
    let cluster = at("r3", at("r2", setup, relay.address), nodes[2].address).start();
    until_true("all are up", PATIENCE, || ["r1", "r2", "r3"].iter().all(|id| is_up(&cluster, id)));
    let absence = || {
        relay.cut(true, true);
        until_true("it is passed over", PATIENCE, || !is_up(&cluster, "r2"));
        let gone = Instant::now();
        relay.mend();
        until_true("it is back", PATIENCE, || is_up(&cluster, "r2"));
        gone.elapsed()
    };
    let _first = absence();
    let (second, third) = (absence(), absence());
    assert!(second > Duration::from_millis(900) && third > Duration::from_millis(1900), "{second:?}, {third:?}");
    assert!(third < Duration::from_secs(8), "{third:?}");
    assert!(cluster.said().contains("comes and goes"), "{}", cluster.said());
}

#[test]
fn a_front_that_starts_answers_nobody_503_before_its_first_node_is_up() {
    for _ in 0..3 {
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::TempDir::with_prefix("rh").unwrap();
        Setup::default().nodes(1).set("proxy", "listen", vec![listen.to_string()]).write_into(folder.path());
        let mut front = command(folder.path(), &["serve", "--config", "cluster.toml"]).spawn().unwrap();
        let origin = Origin::start();
        origin.on("/", |x| x.reply(200, "", "here"));
        let mut client = until("it listens", PATIENCE, || Connection::try_to(listen).ok());
        let answer = client.get(&origin.url("/"));
        process::signal(front.id(), Signal::TERM);
        front.wait().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "here"));
    }
}

/// Does something to the records, as anybody can who reaches ZooKeeper.
fn forge(zookeeper: &Zookeeper, records: &[(&str, &str)]) {
    with_client(&zookeeper.connect(), async |client| {
        let options = zookeeper_client::CreateMode::Persistent.with_acls(zookeeper_client::Acls::anyone_all());
        for (place, text) in records {
            client.create(&format!("/ringhold/{place}"), text.as_bytes(), &options).await.unwrap();
        }
    });
}

fn members(front: &Cluster) -> String {
    front.manage("GET", "/v1/ring", "").json()["members"].to_string()
}

#[test]
fn records_that_were_not_written_with_the_secret_are_left_out_and_named() {
    if !wanted("ZooKeeper: forged records") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let front = machine(&zookeeper.connect(), 2, 1).start();
    let other = machine(&zookeeper.connect(), 3, 1).start();
    until_ring(&[&front, &other], 2);
    let before = members(&front);
    let node = r#"{"address":"127.0.0.1:9","boot":7,"version":"0"}"#;
    let sealed = format!("{node}\n{}", "0".repeat(64));
    let spawn = r#"{"spawn":true,"weight":1}"#;
    let pac = r#"{"proxy":"127.0.0.9:3128","admin":"127.0.0.9:3129","epoch":1,"version":"0"}"#;
    forge(
        &zookeeper,
        &[
            ("nodes/evil1", node),
            ("nodes/evil2", &sealed),
            ("members/127.0.0.2-evil3", spawn),
            ("members/127.0.0.3-n1", r#"{"state":"removed"}"#),
            ("fronts/evil4", pac),
        ],
    );
    for place in ["nodes/evil1", "nodes/evil2", "members/127.0.0.2-evil3", "members/127.0.0.3-n1", "fronts/evil4"] {
        until_true(&format!("{place} is named"), PATIENCE, || front.said().contains(place));
    }
    assert_eq!(members(&front), before);
    assert_eq!(front.nodes().len() + other.nodes().len(), 2);
    assert!(!front.manage("GET", "/proxy.pac", "").text().contains("127.0.0.9"));
    // What is said with the secret takes the place of what was forged.
    assert_eq!(front.manage("PATCH", "/v1/nodes/127.0.0.3-n1", r#"{"weight":2}"#).status, 200);
    until_ring(&[&front, &other], 2);
}

#[test]
fn who_has_the_secret_of_before_is_believed_while_it_is_rotated() {
    if !wanted("ZooKeeper: rotation and sealed records") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let old = machine(&zookeeper.connect(), 2, 1).start();
    let new = machine(&zookeeper.connect(), 3, 1).set("cluster", "secret", "the-next-secret-of-this-cluster");
    let new = new.set("cluster", "previous_secret", SECRET).start();
    until_ring(&[&old, &new], 2);
    let fronts = |front: &Cluster| front.manage("GET", "/v1/cluster", "").json()["fronts"].as_array().unwrap().len();
    until_true("both know both", PATIENCE, || fronts(&old) == 2 && fronts(&new) == 2);
}

#[test]
fn what_was_said_of_a_node_outlives_the_secret_that_it_was_said_with() {
    if !wanted("ZooKeeper: rotation and what admin calls said") {
        return;
    }
    const NEXT: &str = "the-next-secret-of-this-cluster";
    let zookeeper = Zookeeper::alone();
    let mut front = machine(&zookeeper.connect(), 2, 2).start();
    until_ring(&[&front], 2);
    assert_eq!(front.manage("PATCH", "/v1/nodes/127.0.0.2-n1", r#"{"state":"draining"}"#).status, 200);
    until_true("it is off the ring", PATIENCE, || ring_of(&front) == ["127.0.0.2-n2"]);
    for (weight, secrets) in [(2, vec![("secret", NEXT), ("previous_secret", SECRET)]), (3, vec![("secret", NEXT)])] {
        front.terminate(Signal::TERM);
        let mut text: toml::Table = std::fs::read_to_string(front.file()).unwrap().parse().unwrap();
        let cluster = secrets.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        text.insert("cluster".into(), toml::Value::Table(cluster));
        std::fs::write(front.file(), text.to_string()).unwrap();
        front = front.again();
        until_true("its nodes are up", PATIENCE, || {
            ["127.0.0.2-n1", "127.0.0.2-n2"].iter().all(|id| is_up(&front, id))
        });
        // Who can change the ring writes it as it is to be.
        until_true("the ring follows", 3 * PATIENCE, || {
            front.manage("PATCH", "/v1/nodes/127.0.0.2-n2", &format!(r#"{{"weight":{weight}}}"#)).status == 200
        });
        assert_eq!(ring_of(&front), ["127.0.0.2-n2"], "drained still");
    }
}

fn ring_of(front: &Cluster) -> Vec<String> {
    let ring = front.manage("GET", "/v1/ring", "").json();
    ring["members"].as_array().unwrap().iter().map(|member| member["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn no_record_sends_anybody_to_a_socket_and_none_has_more_processes_started_than_there_is_a_bound_for() {
    if !wanted("ZooKeeper: records without a secret") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let socket = folder.path().join("socket");
    let trap = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    trap.set_nonblocking(true).unwrap();
    let setup = Setup::default().nodes(1).set("zookeeper", "connect", zookeeper.connect());
    let front = setup.set("zookeeper", "advertise", "127.0.0.2").set("cache", "memory", "4MiB").start();
    until_ring(&[&front], 1);
    let node = format!(r#"{{"address":"unix:{}","boot":7,"version":"0"}}"#, socket.display());
    forge(&zookeeper, &[("nodes/evil", &node)]);
    until_true("it is named", PATIENCE, || front.said().contains("\"/ringhold/nodes/evil\" is left out"));
    let spawn: Vec<(String, &str)> =
        (0..70).map(|i| (format!("members/127.0.0.2-m{i}"), r#"{"spawn":true}"#)).collect();
    forge(&zookeeper, &spawn.iter().map(|(place, text)| (place.as_str(), *text)).collect::<Vec<_>>());
    until_true("there are too many", PATIENCE, || front.said().contains("nodes are run here besides"));
    until_true("some run", PATIENCE, || front.nodes().len() > 1);
    assert!(front.nodes().len() <= 33, "{} processes", front.nodes().len());
    assert!(trap.accept().is_err(), "nobody came to the socket");
    let added = front.manage("POST", "/v1/nodes", r#"{"spawn":true}"#);
    assert!(added.status == 422 && added.text().contains("[[nodes]]"), "{} {}", added.status, added.text());
}

#[test]
fn no_more_nodes_are_added_to_a_machine_than_there_is_a_bound_for() {
    let front = Setup::default().nodes(1).set("cache", "memory", "4MiB").start();
    let add = || front.manage("POST", "/v1/nodes", r#"{"spawn":true}"#);
    let refused = (0..40).map(|_| add()).find(|answer| answer.status != 201).expect("there is a bound");
    assert!(refused.status == 422 && refused.text().contains("[[nodes]]"), "{}", refused.text());
    assert_eq!(front.nodes().len(), 33);
}

#[test]
fn a_saved_ring_that_was_not_written_with_the_secret_is_not_used() {
    let zookeeper = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let setup = machine(&zookeeper.to_string(), 2, 1).set("timeouts", "node_start", "1s");
    setup.write_into(folder.path());
    std::fs::create_dir(folder.path().join("state")).unwrap();
    let member = format!(r#"{{"id":"evil","weight":1,"address":"{}"}}"#, trap.local_addr().unwrap());
    let ring = format!(r#"{{"epoch":3,"hash":"xxh3","seed":0,"points":8,"members":[{member}]}}"#);
    std::fs::write(folder.path().join("state/ring.json"), ring).unwrap();
    let mut front = command(folder.path(), &["serve", "--config", "cluster.toml"]).spawn().unwrap();
    let said = || std::fs::read_to_string(folder.path().join("stderr")).unwrap();
    until_true("it says so", PATIENCE, || said().contains("not sealed with this cluster's secret"));
    trap.set_nonblocking(true).unwrap();
    until_true("its own node is up", PATIENCE, || said().contains("node is up"));
    let came = trap.accept().is_ok();
    process::signal(front.id(), Signal::TERM);
    front.wait().unwrap();
    assert!(!came, "nobody is sent there");
}

#[test]
fn the_second_machine_with_the_same_advertise_is_refused_and_the_first_goes_on() {
    if !wanted("ZooKeeper: two machines with one advertise") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let first = machine(&zookeeper.connect(), 2, 1).start();
    until_ring(&[&first], 1);
    let second = machine(&zookeeper.connect(), 2, 1);
    let (code, said) = second.refuse();
    assert!(code == Some(2) && said.contains("127.0.0.2-n1") && said.contains("advertise"), "{code:?} {said}");
    // Nor does a node of its own get the id.
    let setup = second.nodes(0);
    let node = Standalone::start_by(&[], [127, 0, 0, 2].into(), "127.0.0.2-n1", &setup);
    until_true("it ends", PATIENCE, || node.said().contains("an id is one process's"));
    let address = first.manage("GET", "/v1/nodes/127.0.0.2-n1", "").json()["address"].to_string();
    assert!(!address.contains(&node.address.to_string()), "{address}");
    until_ring(&[&first], 1);
    // Who was killed is not waited for: its place is taken at once by who comes after it.
    let killed = first.node("127.0.0.2-n1");
    process::signal(killed.pid, Signal::KILL);
    until_true("it is back", PATIENCE, || {
        first.nodes().iter().any(|n| n.pid != killed.pid) && is_up(&first, "127.0.0.2-n1")
    });
    until_true("and registered", PATIENCE, || first.said().matches("registered with ZooKeeper").count() >= 2);
}

#[test]
fn the_second_front_with_one_id_is_refused_and_the_first_keeps_its_record() {
    if !wanted("ZooKeeper: two fronts with one id") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let first = machine(&zookeeper.connect(), 2, 1).start();
    until_ring(&[&first], 1);
    let pac = |front: &Cluster| front.manage("GET", "/proxy.pac", "").text();
    assert!(pac(&first).contains(&first.proxy.to_string()));
    // The same port on another address, and the same name for the machine.
    let listen = format!("127.0.0.3:{}", first.proxy.port());
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    machine(&zookeeper.connect(), 2, 0).set("proxy", "listen", vec![listen]).write_into(folder.path());
    let (code, said) = run(folder.path(), &["front", "--config", "cluster.toml"]);
    assert!(code == Some(2) && said.contains("advertise") && said.contains("one front's"), "{code:?} {said}");
    let fronts = first.manage("GET", "/v1/cluster", "").json()["fronts"].clone();
    assert_eq!(fronts.as_array().map(Vec::len), Some(1), "{fronts}");
    assert!(pac(&first).contains(&first.proxy.to_string()), "{}", pac(&first));
    // Who was killed comes back under its id when its session is over.
    first.signal(Signal::KILL);
    let back = first.again();
    until_true("it is known again", PATIENCE, || {
        let fronts = back.manage("GET", "/v1/cluster", "").json()["fronts"].to_string();
        fronts.contains(&back.proxy.to_string())
    });
}
