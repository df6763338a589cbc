//! The ring's one history, as ZooKeeper holds it: each write of `/ring` is another version, and has an epoch of its own
//! that follows the one before.

use super::*;
use serde_json::Value;
use zookeeper_client::Client;

/// What was seen: by version the epoch and the whole content; by epoch what fronts routed by.
#[derive(Default)]
struct Seen {
    versions: BTreeMap<i32, (u64, Value)>,
    routed: BTreeMap<u64, Vec<Value>>,
}

/// Looks at `/ring`, and at every front's ring, all the time.
pub struct History {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    watchers: Vec<JoinHandle<()>>,
}

impl History {
    pub fn of(zookeeper: &Zookeeper, fronts: &[Cluster]) -> History {
        let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let admins: Vec<_> = fronts.iter().map(|f| f.admin).collect();
        let (stop, rings) = (over.clone(), seen.clone());
        let of_fronts = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                admins.iter().for_each(|admin| look(*admin, &rings));
                thread::sleep(Duration::from_millis(20));
            }
        });
        let (stop, rings, servers) = (over.clone(), seen.clone(), zookeeper.connect());
        let of_zookeeper = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(read(&servers, &stop, &rings));
        });
        History { over, seen, watchers: vec![of_fronts, of_zookeeper] }
    }

    /// How many epochs there were, each of them written once, and none left out.
    pub fn one(self) -> usize {
        // What was written last is read.
        thread::sleep(Duration::from_millis(200));
        self.over.store(true, Ordering::Relaxed);
        self.watchers.into_iter().for_each(|watcher| watcher.join().unwrap());
        let seen = self.seen.lock().unwrap();
        let mut ahead = seen.versions.iter().map(|(version, (epoch, _))| *epoch as i64 - i64::from(*version));
        let first = ahead.next().expect("the ring was read");
        assert!(ahead.all(|n| n == first), "an epoch is written twice, or left out: {:#?}", seen.versions);
        // Epoch 0 is what a front runs itself before it knows of any ring.
        for (epoch, contents) in seen.routed.iter().filter(|(epoch, _)| **epoch > 0) {
            let written = seen.versions.values().find(|(e, _)| e == epoch).map(|(_, ring)| ring);
            let same = |content: &Value| written.is_none_or(|ring| *ring == *content);
            assert!(contents.len() == 1 && same(&contents[0]), "epoch {epoch}: {contents:#?}, written {written:#?}");
        }
        seen.versions.len()
    }
}

/// Reads the ring in ZooKeeper, by as many sessions as it takes.
async fn read(servers: &str, over: &AtomicBool, seen: &Mutex<Seen>) {
    while !over.load(Ordering::Relaxed) {
        if let Ok(client) = Client::connect(servers).await {
            while !over.load(Ordering::Relaxed) && read_once(&client, seen).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the session is of use.
async fn read_once(client: &Client, seen: &Mutex<Seen>) -> bool {
    let Ok((data, stat)) = client.get_data("/ringhold/ring").await else { return false };
    let Ok(doc) = serde_json::from_slice::<Value>(&data) else { return true };
    let found = (doc["epoch"].as_u64().unwrap(), members(&doc));
    let mut seen = seen.lock().unwrap();
    let known = seen.versions.entry(stat.version).or_insert_with(|| found.clone());
    assert_eq!(*known, found, "one version has one content");
    true
}

fn look(admin: std::net::SocketAddr, seen: &Mutex<Seen>) {
    let Ok(mut connection) = Connection::try_to(admin) else { return };
    connection.patience(Duration::from_millis(500));
    let sent = connection.send(format!("GET /v1/ring HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    let Some(answer) = sent.ok().and_then(|()| connection.response("GET").ok()) else { return };
    let ring = answer.json();
    let content = members(&ring);
    let mut seen = seen.lock().unwrap();
    let contents = seen.routed.entry(ring["epoch"].as_u64().unwrap()).or_default();
    if !contents.contains(&content) {
        contents.push(content);
    }
}

/// Ids and weights.
fn members(ring: &Value) -> Value {
    let members = ring["members"].as_array().unwrap();
    members.iter().map(|m| serde_json::json!([m["id"], m["weight"]])).collect()
}
