//! What goes wrong in ZooKeeper itself: locks and folders that are gone, records that are odd, changes that nobody
//! follows, addresses that lead nowhere.

use super::*;
use zookeeper_client::{Acls, Client, CreateMode};

fn persistent() -> zookeeper_client::CreateOptions<'static> {
    CreateMode::Persistent.with_acls(Acls::anyone_all())
}

/// A machine whose sessions outlive whatever delays a test that is not about sessions.
fn patient(zookeeper: &str, nodes: usize) -> Setup {
    machine(zookeeper, 2, nodes).set("zookeeper", "session", "10s")
}

/// The path of the lock whose turn it is.
async fn first_lock(client: &Client) -> String {
    let locks = client.list_children("/ringhold/election").await.unwrap();
    let lowest = locks.iter().min_by_key(|l| l.rsplit('-').next().unwrap().to_owned()).unwrap();
    format!("/ringhold/election/{lowest}")
}

#[test]
fn a_change_that_the_ring_does_not_follow_is_answered_as_recorded_only() {
    if !wanted("ZooKeeper: a change while nobody leads") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let front = patient(&zookeeper.connect(), 2).start();
    until_ring(std::slice::from_ref(&front), 2);
    // Somebody stands in the queue before everybody else, and does nothing.
    let squatter = "/ringhold/election/_c_00000000-0000-0000-0000-000000000000-latch-0000000000";
    with_client(&zookeeper.connect(), async |client| {
        let lock = first_lock(&client).await;
        client.create(squatter, b"", &persistent()).await.unwrap();
        client.delete(&lock, None).await.unwrap();
    });
    let before = ring(&front);
    let changed = weigh(&front, "127.0.0.2-n1", 3);
    assert_eq!((changed.status, ring(&front)), (202, before.clone()), "{}", changed.text());
    assert!(changed.json()["detail"].as_str().unwrap().starts_with("recorded; the ring has not followed"));
    let admin = front.admin.to_string();
    let words = ["nodes", "set-weight", "127.0.0.2-n1", "4", "--admin", &admin];
    let (code, said) = run(front.folder(), &words);
    assert!(code == Some(0) && said.contains("recorded; the ring has not followed"), "{said}");
    let added = front.manage("POST", "/v1/nodes", r#"{"id":"n9","spawn":true}"#);
    assert_eq!((added.status, added.json()["id"].as_str()), (202, Some("127.0.0.2-n9")), "{}", added.text());
    with_client(&zookeeper.connect(), async |client| client.delete(squatter, None).await.unwrap());
    until_ring(std::slice::from_ref(&front), 3);
    until_true("the ring follows", PATIENCE, || ring(&front).2.contains(&"\"127.0.0.2-n1\"*4".to_owned()));
    assert_eq!(weigh(&front, "127.0.0.2-n1", 5).status, 200);
}

#[test]
fn a_front_whose_lock_went_while_it_was_cut_off_is_not_left_for_gone() {
    if !wanted("ZooKeeper: a lock that goes while its front is cut off") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let relay = Relay::to(&zookeeper.connect());
    let front = patient(&relay.address.to_string(), 1).start();
    until_ring(std::slice::from_ref(&front), 1);
    leader(std::slice::from_ref(&front));
    let session = cluster(&front)["zookeeper"]["session"].clone();
    relay.cut(true, true);
    with_client(&zookeeper.connect(), async |client| {
        let lock = first_lock(&client).await;
        client.delete(&lock, None).await.unwrap();
    });
    until_true("it notices", PATIENCE, || !connected(&front));
    relay.mend();
    until_true("it is connected again", PATIENCE, || connected(&front));
    let same = cluster(&front)["zookeeper"]["session"] == session;
    figure(&format!("a lock that went while its front was cut off; by the session that it had: {same}"));
    until_true("it leads again", PATIENCE, || weigh(&front, "127.0.0.2-n1", 2).status == 200);
}

#[test]
fn an_election_whose_folder_was_deleted_goes_on() {
    if !wanted("ZooKeeper: the election's folder is gone") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let front = patient(&zookeeper.connect(), 1).start();
    until_ring(std::slice::from_ref(&front), 1);
    with_client(&zookeeper.connect(), async |client| {
        let lock = first_lock(&client).await;
        client.delete(&lock, None).await.unwrap();
        client.delete("/ringhold/election", None).await.unwrap();
    });
    assert!([200, 202].contains(&weigh(&front, "127.0.0.2-n1", 2).status));
    until_true("it leads again", PATIENCE, || weigh(&front, "127.0.0.2-n1", 3).status == 200);
    assert!(ring(&front).2.contains(&"\"127.0.0.2-n1\"*3".to_owned()));
}

#[test]
fn what_was_said_of_a_node_goes_with_it_when_it_says_nothing() {
    if !wanted("ZooKeeper: a record of a node that is gone") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let setup = machine(&zookeeper.connect(), 2, 1);
    let front = setup.start();
    let nodes = ["guest", "drained"].map(|id| standalone::Standalone::start_by(&[], front.proxy.ip(), id, &setup));
    until_ring(std::slice::from_ref(&front), 3);
    let state = |id: &str, state: &str| {
        let changed = front.manage("PATCH", &format!("/v1/nodes/{id}"), &format!(r#"{{"state":"{state}"}}"#));
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    ["guest", "drained"].iter().for_each(|id| state(id, "draining"));
    state("guest", "active");
    let said = || {
        let mut ids =
            with_client(&zookeeper.connect(), async |client| client.list_children("/ringhold/members").await.unwrap());
        ids.sort();
        ids
    };
    assert_eq!(said(), ["drained", "guest"]);
    drop(nodes);
    until_true("its record is gone", PATIENCE, || said() == ["drained"]);
    until_ring(std::slice::from_ref(&front), 1);
    // It is still to be off the ring when it comes back, until somebody says otherwise.
    assert_eq!(front.manage("DELETE", "/v1/nodes/drained", "").status, 202);
    assert_eq!(front.manage("DELETE", "/v1/nodes/nobody", "").status, 404);
}

#[test]
fn absurd_records_are_left_out_and_the_ring_is_not_written_for_them() {
    if !wanted("ZooKeeper: absurd records") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let front = patient(&zookeeper.connect(), 2).start();
    until_ring(std::slice::from_ref(&front), 2);
    let before = ring(&front);
    with_client(&zookeeper.connect(), async |client| {
        let evil = format!(r#"{{"proxy":"h:1","admin":"h:2","epoch":{},"version":"0"}}"#, u64::MAX);
        client.create("/ringhold/fronts/evil", evil.as_bytes(), &persistent()).await.unwrap();
    });
    until_true("it is named", PATIENCE, || front.said().contains("\"/ringhold/fronts/evil\" is left out"));
    assert_eq!(ring(&front), before);
    assert_eq!(weigh(&front, "127.0.0.2-n1", 2).status, 200);
    assert_eq!(ring(&front).0, before.0 + 1);
    // A ring that nobody can build is written over by the one that stands.
    with_client(&zookeeper.connect(), async |client| {
        let text = String::from_utf8(client.get_data("/ringhold/ring").await.unwrap().0).unwrap();
        let mut doc: serde_json::Value = serde_json::from_str(&text).unwrap();
        doc["epoch"] = u64::MAX.into();
        client.set_data("/ringhold/ring", doc.to_string().as_bytes(), None).await.unwrap();
    });
    until_true("the ring is written over it", PATIENCE, || ring(&front).0 == before.0 + 2);
    assert_eq!(front.said().matches("ring written").count() as u64, before.0 + 2, "once an epoch");
}

#[test]
fn a_proxy_on_loopback_is_not_told_to_other_machines() {
    if !wanted("ZooKeeper: a proxy on loopback") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let setup = Setup::default().nodes(0).set("zookeeper", "connect", zookeeper.connect());
    let setup = setup.set("zookeeper", "advertise", "front.example").set("timeouts", "node_start", "100ms");
    let front = setup.start();
    let said = until("it is registered", PATIENCE, || {
        with_client(&zookeeper.connect(), async |client| {
            let id = format!("/ringhold/fronts/front.example-{}", front.proxy.port());
            String::from_utf8(client.get_data(&id).await.ok()?.0).ok()
        })
    });
    assert!(!said.contains("127.0.0.1"), "{said}");
    assert!(front.said().contains("clients elsewhere are not told of this front"), "{}", front.said());
    let own = front.manage("GET", "/proxy.pac", "").text();
    assert!(own.contains(&front.proxy.to_string()), "this machine's browsers can use it: {own}");
    let (code, said) = run(front.folder(), &["get", "http://h/", "--zookeeper", &zookeeper.connect()]);
    assert!(code != Some(0), "{said}");
}

#[test]
fn what_others_cannot_find_is_not_started_and_the_cure_is_named() {
    let setup = Setup::default().set("zookeeper", "connect", "zk1.example:2181");
    let (code, said) = setup.refuse();
    assert!(code != Some(0) && said.contains("127.0.0.1") && said.contains("--advertise HOST"), "{said}");
    let folder = tempfile::TempDir::with_prefix("rh").unwrap();
    let rows: [(&[&str], &str); 2] = [
        (&["--zookeeper", "zk1.example:2181"], "--advertise HOST"),
        (&["--zookeeper", "127.0.0.1:2181", "--advertise", "10.0.0.7"], "--listen 10.0.0.7:0"),
    ];
    for (words, cure) in rows {
        let words = [&["node", "--id", "x", "--listen", "127.0.0.1:0"], words].concat();
        let (code, said) = run(folder.path(), &words);
        assert!(code != Some(0) && said.contains(cure) && said.lines().count() == 1, "{said}");
    }
}
