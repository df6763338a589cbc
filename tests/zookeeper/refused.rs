//! What ZooKeeper refuses of one record, or of one folder: it costs nobody the rest.

use super::*;
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Permission};

/// Whose record nobody may read or write, but anybody may open again.
fn closed() -> Vec<Acl> {
    vec![Acl::new(Permission::ADMIN, AuthId::anyone())]
}

async fn make(client: &Client, path: &str, text: &str, acls: Acls<'_>) {
    client.create(path, text.as_bytes(), &CreateMode::Persistent.with_acls(acls)).await.expect(path);
}

/// A cluster's folders before its first front.
async fn folders(client: &Client) {
    for name in ["nodes", "members", "fronts", "doubts", "election"] {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client.mkdir(&format!("/ringhold/{name}"), &options).await.unwrap();
    }
}

/// A machine whose sessions outlive whatever delays a test that is not about sessions.
fn patient(zookeeper: &str, nodes: usize) -> Setup {
    machine(zookeeper, 2, nodes).set("zookeeper", "session", "10s")
}

/// What the log says of it, each line once.
fn named_once(front: &Cluster, path: &str) {
    let said = front.said();
    let lines: Vec<&str> = said.lines().filter(|line| line.contains(&format!("\"{path}\""))).collect();
    assert!(lines.len() == 1, "{path}: {lines:#?}");
}

fn purge(front: &Cluster) -> Response {
    front.manage("DELETE", "/v1/cache?url=http://h.example/", "")
}

#[test]
fn a_record_that_may_not_be_read_or_makes_no_sense_is_left_out_and_named_and_costs_nobody_the_rest() {
    if !wanted("ZooKeeper: records that may not be read") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let all = ["nodes/s", "members/s", "fronts/s", "doubts/s", "members/127.0.0.2-n1", "nodes/127.0.0.2-n1", "ring"];
    let large = format!(r#"{{"state":"active","note":"{}"}}"#, "x".repeat(500_000));
    with_client(&zookeeper.connect(), async |client| {
        folders(&client).await;
        let closed = closed();
        for place in all {
            make(&client, &format!("/ringhold/{place}"), r#"{"state":"draining"}"#, Acls::from(closed.as_slice()))
                .await;
        }
        make(&client, "/ringhold/members/large", &large, Acls::anyone_all()).await;
        make(&client, "/ringhold/nodes/$odd", "{}", Acls::anyone_all()).await;
        make(&client, &format!("/ringhold/fronts/{}", "x".repeat(9000)), "{}", Acls::anyone_all()).await;
        make(&client, "/ringhold/nodes/empty", "", Acls::anyone_all()).await;
    });
    let front = patient(&zookeeper.connect(), 2).start();
    until_ring(std::slice::from_ref(&front), 2);
    assert!(connected(&front));
    let changed = weigh(&front, "127.0.0.2-n1", 3);
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert!(ring(&front).2.contains(&"\"127.0.0.2-n1\"*3".to_owned()), "what is said takes its place");
    // They come while it runs, too.
    with_client(&zookeeper.connect(), async |client| {
        let closed = closed();
        make(&client, "/ringhold/nodes/later", "{}", Acls::anyone_all()).await;
        client.set_acl("/ringhold/nodes/later", &closed, None).await.unwrap();
        make(&client, "/ringhold/members/large/below", "", Acls::anyone_all()).await;
    });
    let purged = purge(&front);
    assert_eq!(purged.status, 200, "{}", purged.text());
    // All is read again.
    until_true("what came later is named", 3 * PATIENCE, || front.said().contains("\"/ringhold/nodes/later\""));
    let named = ["nodes/s", "members/s", "fronts/s", "doubts/s", "members/large", "nodes/$odd", "nodes/empty"];
    named.iter().for_each(|place| named_once(&front, &format!("/ringhold/{place}")));
    let said = front.said();
    assert!(said.contains("world:anyone:cdrwa") && !said.contains("ZooKeeper is gone"), "{said}");
    assert!(!said.contains("below"), "{said}");
    assert!(said.contains(&"x".repeat(200)) && said.lines().all(|line| line.len() < 1000), "{said}");
    assert_eq!(weigh(&front, "127.0.0.2-n1", 2).status, 200);
}

#[test]
fn a_record_that_cannot_be_deleted_stays_and_is_named() {
    if !wanted("ZooKeeper: records with something below them") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    with_client(&zookeeper.connect(), async |client| {
        folders(&client).await;
        for (place, text) in [("members/old", "{}"), ("doubts/old", "{}"), ("nodes/127.0.0.2-n2", "")] {
            make(&client, &format!("/ringhold/{place}"), text, Acls::anyone_all()).await;
            make(&client, &format!("/ringhold/{place}/below"), "", Acls::anyone_all()).await;
        }
    });
    let front = patient(&zookeeper.connect(), 1).start();
    until_ring(std::slice::from_ref(&front), 1);
    assert_eq!(weigh(&front, "127.0.0.2-n1", 3).status, 200);
    ["members/old", "doubts/old"].iter().for_each(|place| {
        let path = format!("/ringhold/{place}");
        until_true(&format!("{place} is named"), PATIENCE, || front.said().contains(&format!("\"{path}\"")));
    });
    std::thread::sleep(Duration::from_secs(2));
    named_once(&front, "/ringhold/members/old");
    let said = |what: &str| front.said().matches(what).count();
    assert_eq!(said("\"/ringhold/doubts/old\" cannot be deleted"), 1, "{}", front.said());
    assert!(!front.said().contains("ZooKeeper is gone"), "{}", front.said());
    // A node whose place is taken registers when it is free.
    let added = front.manage("POST", "/v1/nodes", r#"{"id":"n2","spawn":true}"#);
    assert!([201, 202].contains(&added.status), "{}", added.text());
    until_true("it says so", PATIENCE, || said("keeps node 127.0.0.2-n2 from") > 0);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(said("keeps node 127.0.0.2-n2 from"), 1, "once: {}", front.said());
    with_client(&zookeeper.connect(), async |client| {
        client.delete("/ringhold/nodes/127.0.0.2-n2/below", None).await.unwrap();
    });
    until_ring(std::slice::from_ref(&front), 2);
}

#[test]
fn a_folder_that_may_not_be_read_or_written_is_named_with_the_cure_and_asked_for_seldom() {
    if !wanted("ZooKeeper: a folder that may not be read") {
        return;
    }
    for folder in ["members", "fronts", "nodes"] {
        let zookeeper = Zookeeper::alone();
        let path = format!("/ringhold/{folder}");
        with_client(&zookeeper.connect(), async |client| {
            folders(&client).await;
            client.set_acl(&path, &closed(), None).await.unwrap();
        });
        let front = patient(&zookeeper.connect(), 1).set("timeouts", "node_start", "100ms").start();
        until_true("it says so", PATIENCE, || front.said().contains(&path));
        std::thread::sleep(Duration::from_secs(6));
        let said = front.said();
        assert!(!connected(&front) && said.contains("world:anyone:cdrwa"), "{folder}: {said}");
        let sessions = said.matches("new session established").count();
        assert!(sessions <= 8, "{folder}: {sessions} sessions: {said}");
        with_client(&zookeeper.connect(), async |client| {
            let open = [Acl::new(Permission::ALL, AuthId::anyone())];
            client.set_acl(&path, &open, None).await.unwrap();
        });
        until_true(&format!("{folder}: it is connected"), PATIENCE, || connected(&front));
        until_true("changes are made", PATIENCE, || weigh(&front, "127.0.0.2-n1", 2).status == 200);
    }
}

#[test]
fn who_may_write_in_all_folders_needs_not_write_above_them() {
    if !wanted("ZooKeeper: a root that may not be written") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    with_client(&zookeeper.connect(), async |client| {
        folders(&client).await;
        make(&client, "/ringhold/ring", "", Acls::anyone_all()).await;
        let read = [Acl::new(Permission::READ, AuthId::anyone())];
        client.set_acl("/ringhold", &read, None).await.unwrap();
    });
    let front = patient(&zookeeper.connect(), 1).start();
    until_ring(std::slice::from_ref(&front), 1);
    assert_eq!(weigh(&front, "127.0.0.2-n1", 3).status, 200);
}

#[test]
fn a_folder_that_was_deleted_is_made_again() {
    if !wanted("ZooKeeper: folders that are gone") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let front = patient(&zookeeper.connect(), 1).start();
    until_ring(std::slice::from_ref(&front), 1);
    let folders = ["/ringhold/nodes", "/ringhold/members", "/ringhold/fronts", "/ringhold/doubts"];
    with_client(&zookeeper.connect(), async |client| {
        for folder in folders {
            for child in client.list_children(folder).await.unwrap() {
                client.delete(&format!("{folder}/{child}"), None).await.unwrap();
            }
            client.delete(folder, None).await.unwrap();
        }
    });
    let registered = || {
        with_client(&zookeeper.connect(), async |client| {
            let of = async |folder: &str| client.list_children(folder).await.map_or(0, |children| children.len());
            (of("/ringhold/nodes").await, of("/ringhold/fronts").await)
        })
    };
    until_true("both are registered again", 4 * PATIENCE, || registered() == (1, 1));
    until_true("changes are made", 2 * PATIENCE, || weigh(&front, "127.0.0.2-n1", 2).status == 200);
    assert!(!front.said().contains("ZooKeeper is gone"), "{}", front.said());
}

#[test]
fn a_place_in_the_queue_that_may_not_be_read_ends_nobodys_session() {
    if !wanted("ZooKeeper: a lock that may not be read") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let squatter = "/ringhold/election/_c_00000000-0000-0000-0000-000000000000-latch-0000000000";
    with_client(&zookeeper.connect(), async |client| {
        folders(&client).await;
        // Locks are numbered by how many there have been.
        let closed = closed();
        make(&client, squatter, "", Acls::from(closed.as_slice())).await;
    });
    let front = patient(&zookeeper.connect(), 1).start();
    until_true("it is named", PATIENCE, || front.said().contains("\"/ringhold/election\""));
    std::thread::sleep(Duration::from_secs(2));
    assert!(connected(&front));
    named_once(&front, "/ringhold/election");
    with_client(&zookeeper.connect(), async |client| client.delete(squatter, None).await.unwrap());
    until_ring(std::slice::from_ref(&front), 1);
    assert_eq!(weigh(&front, "127.0.0.2-n1", 3).status, 200);
    assert!(!front.said().contains("ZooKeeper is gone"), "{}", front.said());
}

#[test]
fn what_is_ours_and_was_closed_or_written_over_by_somebody_is_written_anew() {
    if !wanted("ZooKeeper: own records that were closed") {
        return;
    }
    let zookeeper = Zookeeper::alone();
    let front = patient(&zookeeper.connect(), 2).start();
    until_ring(std::slice::from_ref(&front), 2);
    assert_eq!(weigh(&front, "127.0.0.2-n1", 2).status, 200);
    let own = format!("/ringhold/fronts/{}", id_of(&front));
    let nodes = ["127.0.0.2-n1", "127.0.0.2-n2"].map(|id| format!("/ringhold/nodes/{id}"));
    with_client(&zookeeper.connect(), async |client| {
        let children = client.list_children("/ringhold/election").await.unwrap();
        let lock = format!("/ringhold/election/{}", children[0]);
        for path in [&own, &nodes[0], &lock, "/ringhold/ring", "/ringhold/members/127.0.0.2-n1"] {
            client.set_acl(path, &closed(), None).await.expect(path);
        }
        client.set_data(&nodes[1], b"x", None).await.unwrap();
    });
    until_true("changes are made", 2 * PATIENCE, || weigh(&front, "127.0.0.2-n1", 3).status == 200);
    let readable = || {
        with_client(&zookeeper.connect(), async |client| {
            let mut all = Vec::new();
            for path in [&own, &nodes[0], &nodes[1], "/ringhold/ring"] {
                all.push(client.get_data(path).await.is_ok_and(|(data, _)| data.starts_with(b"{\"")));
            }
            all
        })
    };
    until_true("all can be read again", 4 * PATIENCE, || readable() == [true; 4]);
    until_ring(std::slice::from_ref(&front), 2);
    assert!(ring(&front).2.contains(&"\"127.0.0.2-n1\"*3".to_owned()));
    assert!(!front.said().contains("ZooKeeper is gone"), "{}", front.said());
}
