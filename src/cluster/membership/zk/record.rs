//! PURE. The cluster's records as ZooKeeper holds them, in JSON. A field that is not known is left alone by whoever reads:
//! in an upgrade, two versions share a cluster.

use crate::cluster::membership::members::MAX_POINTS;
use crate::config::{Address, MAX_WEIGHT, check_id};
use crate::ring::{Hash, Member, Ring};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// No cluster gets there, at four changes a second not in millions of years; and JSON's readers do not count further.
pub const MAX_EPOCH: u64 = 1 << 53;

/// So many epochs before the last one are told: a machine that is restarted after another has to know that one's too, each of
/// them a change when it goes and one when it comes.
pub const EARLIER: usize = 2;

/// Larger rings are not told again: a record has its size, and one machine of many holds little.
pub const MOST_TOLD: usize = 256;

/// One kind of record; each has a folder of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    Nodes,
    Members,
    Fronts,
    Doubts,
}

impl RecordKind {
    pub const ALL: [RecordKind; 4] = [RecordKind::Nodes, RecordKind::Members, RecordKind::Fronts, RecordKind::Doubts];

    pub fn name(self) -> &'static str {
        match self {
            RecordKind::Nodes => "nodes",
            RecordKind::Members => "members",
            RecordKind::Fronts => "fronts",
            RecordKind::Doubts => "doubts",
        }
    }
}

/// What a watch saw change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    Record(RecordKind, String),
    Ring,
    /// The session is over.
    Ended,
}

/// All records of one kind, by id.
pub type Records<T> = BTreeMap<String, T>;

/// `/nodes/<id>`, ephemeral: written by the node itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    #[serde(with = "text")]
    pub address: Address,
    /// Of the process; new at every start.
    pub boot: u64,
    pub version: String,
    /// What it weighs as long as nobody says otherwise.
    #[serde(default = "one")]
    pub weight: u32,
    /// It is about to end: it is taken off the ring, and hands over what it holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
}

/// `/members/<id>`: what was said of a node by an admin call. A node without one is active.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    #[serde(default)]
    pub state: MemberWish,
    /// Added by `--spawn`: the front on the machine that its name begins with runs it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spawn: bool,
    /// For how long a removed node may finish its requests, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberWish {
    #[default]
    Active,
    Draining,
    /// Stays off the ring however often it registers, until it is added again.
    Removed,
}

/// `/ring`: written by the elected front alone. An epoch has one content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingDoc {
    #[serde(deserialize_with = "epoch")]
    pub epoch: u64,
    pub hash: Hash,
    /// Of the hash; always 0 in this version.
    pub seed: u64,
    pub points: u32,
    pub members: Vec<Placed>,
    /// The members of the epoch before: who may still hold what has moved.
    #[serde(default)]
    pub previous: Vec<Member>,
    /// Those of the epochs before that, the newest first, as long as they are worth asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Vec<Member>>,
}

/// A member of the ring, with the address that it had when the ring was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub id: String,
    pub weight: u32,
    #[serde(with = "text")]
    pub address: Address,
}

/// `/fronts/<id>`, ephemeral: written by the front itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontRecord {
    /// What clients set as their proxy.
    #[serde(deserialize_with = "reached")]
    pub proxy: String,
    #[serde(deserialize_with = "reached")]
    pub admin: String,
    /// Of the process; new at every start.
    #[serde(default)]
    pub boot: u64,
    /// The ring that it routes by.
    #[serde(deserialize_with = "epoch")]
    pub epoch: u64,
    /// It holds the lock and writes the ring.
    #[serde(default)]
    pub leads: bool,
    /// It takes TLS up where another front asks for that, and is told nothing in any other way. What who can write to ZooKeeper
    /// takes away breaks the seal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tls: bool,
    pub version: String,
}

fn one() -> u32 {
    1
}

impl RingDoc {
    /// What was read; `None` for what no ring can be built from.
    pub fn read(bytes: &[u8]) -> Option<RingDoc> {
        let doc: RingDoc = serde_json::from_slice(bytes).ok()?;
        let good = |m: &Placed| check_id(&m.id).is_ok() && (1..=MAX_WEIGHT).contains(&m.weight);
        let known = doc.seed == 0 && (1..=crate::ring::MAX_POINTS).contains(&doc.points);
        (known && doc.members.iter().all(good) && doc.is_small()).then_some(doc)
    }

    /// Whether it can be built in time.
    fn is_small(&self) -> bool {
        let weights = |members: &[Member]| members.iter().map(|m| u64::from(m.weight)).sum::<u64>();
        let before = self.before().map(|members| weights(members)).max().unwrap_or(0);
        let most = weights(&self.weights()).max(before);
        most * u64::from(self.points) <= MAX_POINTS
    }

    /// The members of the epochs before this one, the newest first.
    pub fn before(&self) -> impl DoubleEndedIterator<Item = &Vec<Member>> {
        std::iter::once(&self.previous).chain(self.earlier.iter().take(EARLIER))
    }

    pub fn ring(&self) -> Ring {
        Ring::new(self.hash, self.points, self.weights())
    }

    pub fn weights(&self) -> Vec<Member> {
        self.members.iter().map(|m| Member { id: m.id.clone(), weight: m.weight }).collect()
    }
}

/// Reads the records of a kind; those that make no sense are left out and named.
pub fn read<T: for<'de> Deserialize<'de>>(raw: &BTreeMap<String, Vec<u8>>) -> (Records<T>, Vec<String>) {
    let mut odd = Vec::new();
    let mut records = Records::new();
    for (id, bytes) in raw {
        match serde_json::from_slice(bytes) {
            Ok(record) if check_id(id).is_ok() => drop(records.insert(id.clone(), record)),
            _ => odd.push(id.clone()),
        }
    }
    (records, odd)
}

pub fn written<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

/// An id made of a host and a name: letters, digits, `-`, `_` and `.` only.
pub fn id_on(host: &str, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let host: String = host.chars().map(plain).collect();
    format!("{}-{name}", host.trim_start_matches(['-', '_', '.']))
}

/// An epoch that can be followed by another one.
fn epoch<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let epoch = u64::deserialize(from)?;
    if epoch > MAX_EPOCH { Err(serde::de::Error::custom("an absurd epoch")) } else { Ok(epoch) }
}

/// Empty, or what can be nothing but a host and a port: it gets into scripts, and is connected to.
fn reached<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    match text.is_empty() || matches!(text.parse(), Ok(Address::Tcp(_))) {
        true => Ok(text),
        false => Err(serde::de::Error::custom("not an address")),
    }
}

/// Addresses as text. Whatever a record says, nobody is sent to a socket of his own machine: only TCP.
mod text {
    use super::*;

    pub fn serialize<S: Serializer>(address: &Address, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(address)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Address, D::Error> {
        match String::deserialize(from)?.parse() {
            Ok(Address::Unix(_)) => Err(serde::de::Error::custom("a Unix socket is on no other machine")),
            read => read.map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read_also_by_a_later_version() {
        let text = br#"{"address":"10.0.0.7:5003","boot":7,"version":"9.9","new":[1]}"#;
        let (nodes, odd) = read::<Registration>(&BTreeMap::from([("a".to_owned(), text.to_vec())]));
        assert_eq!((nodes["a"].weight, nodes["a"].address.to_string().as_str(), odd.len()), (1, "10.0.0.7:5003", 0));
        assert_eq!(serde_json::from_slice::<Registration>(&written(&nodes["a"])).unwrap(), nodes["a"]);
        let said: MemberRecord = serde_json::from_slice(b"{}").unwrap();
        assert_eq!(said, MemberRecord::default());
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let raw = [("a", "{"), ("../b", r#"{"state":"draining"}"#), ("c", r#"{"state":"sleeping"}"#), ("d", "{}")];
        let raw = raw.map(|(id, text)| (id.to_owned(), text.as_bytes().to_vec())).into();
        let (said, odd) = read::<MemberRecord>(&raw);
        assert_eq!((said.len(), odd.len()), (1, 3));
    }

    #[test]
    fn a_record_names_no_socket_of_the_machine_that_reads_it_nor_what_is_no_address() {
        let node = |address: &str| {
            let text = format!(r#"{{"address":"{address}","boot":1,"version":"0"}}"#);
            read::<Registration>(&BTreeMap::from([("n".to_owned(), text.into_bytes())])).0.len()
        };
        assert_eq!(["h:1", "unix:/run/s", "h"].map(node), [1, 0, 0]);
        let front = |proxy: &str| {
            let text = format!(r#"{{"proxy":"{proxy}","admin":"","epoch":1,"version":"0"}}"#);
            read::<FrontRecord>(&BTreeMap::from([("f".to_owned(), text.into_bytes())])).0.len()
        };
        assert_eq!(["h:1", "", "unix:/run/s", "h:1; DIRECT", "h"].map(front), [1, 1, 0, 0, 0]);
    }

    #[test]
    fn a_ring_that_cannot_be_built_here_is_none() {
        let doc = |seed: u64, weight: u32, address: &str| {
            let member = format!(r#"{{"id":"a","weight":{weight},"address":"{address}"}}"#);
            format!(r#"{{"epoch":3,"hash":"xxh3","seed":{seed},"points":8,"members":[{member}]}}"#)
        };
        assert_eq!(RingDoc::read(doc(0, 2, "h:1").as_bytes()).unwrap().ring().members().len(), 1);
        for bad in [
            doc(1, 2, "h:1"),
            doc(0, 0, "h:1"),
            doc(0, 2, "unix:/run/s"),
            doc(0, 2, "h"),
            String::new(),
            "{}".to_owned(),
        ] {
            assert_eq!(RingDoc::read(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_has_an_absurd_epoch_or_too_many_points_is_left_out() {
        let front = |epoch: u64| {
            let text = format!(r#"{{"proxy":"h:1","admin":"h:2","epoch":{epoch},"version":"0"}}"#);
            read::<FrontRecord>(&BTreeMap::from([("f".to_owned(), text.into_bytes())])).0.len()
        };
        let ring = |epoch: u64, points: u32, weight: u32| {
            let member = |id| format!(r#"{{"id":"{id}","weight":{weight},"address":"h:1"}}"#);
            let members = ["a", "b"].map(member).join(",");
            let text = format!(r#"{{"epoch":{epoch},"hash":"xxh3","seed":0,"points":{points},"members":[{members}]}}"#);
            RingDoc::read(text.as_bytes()).is_some()
        };
        for (epoch, good) in [(0, true), (MAX_EPOCH, true), (MAX_EPOCH + 1, false), (u64::MAX, false)] {
            assert_eq!((front(epoch) == 1, ring(epoch, 8, 1)), (good, good), "{epoch}");
        }
        assert!(ring(1, 2048, 1024), "{MAX_POINTS} points");
        assert!(!ring(1, 2049, 1024) && !ring(1, 70_000, 1));
    }

    #[test]
    fn a_name_on_a_host_is_an_id() {
        for (host, expected) in [("10.0.0.7", "10.0.0.7-n1"), ("2001:db8::1", "2001-db8--1-n1"), ("::1", "1-n1")] {
            assert_eq!(id_on(host, "n1"), expected);
            assert!(check_id(expected).is_ok());
        }
    }
}
