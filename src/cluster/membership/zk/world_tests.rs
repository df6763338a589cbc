//! ZooKeeper, its fronts and its nodes as plain values, so that any history can be played without a socket or a clock.

use super::*;
use crate::cluster::membership::zk::record::Records;
use crate::ring::Hash;

const SESSION: Duration = Duration::from_secs(2);

pub struct World {
    pub settings: config::RingConfig,
    pub now: Millis,
    pub nodes: Records<Registration>,
    pub members: Records<MemberRecord>,
    pub ring: Option<RingDoc>,
    version: u32,
    /// Who contends, in order; the first one leads.
    pub queue: Vec<usize>,
    pub fronts: Vec<PlayedFront>,
    /// What each epoch's ring was.
    pub history: BTreeMap<u64, RingDoc>,
    /// Nodes whose sessions end, and when.
    pub dying: Vec<(Millis, String)>,
}

pub struct PlayedFront {
    pub builder: Builder,
    pub connected: bool,
    /// Of the ring that it read.
    version: u32,
    told: Option<u64>,
}

impl World {
    pub fn new(fronts: usize) -> World {
        let settings = config::RingConfig {
            hash: Hash::Xxh3,
            points: 16,
            load_factor: 0.0,
            hot_keys: true,
            handover: std::time::Duration::from_secs(600),
        };
        let front = |_| PlayedFront {
            builder: Builder::new(&settings, "127.0.0.1", SESSION, None),
            connected: true,
            version: 0,
            told: None,
        };
        let mut world = World {
            now: 1_000_000,
            nodes: Records::new(),
            members: Records::new(),
            ring: None,
            version: 0,
            queue: (0..fronts).collect(),
            fronts: (0..fronts).map(front).collect(),
            history: BTreeMap::new(),
            dying: Vec::new(),
            settings: settings.clone(),
        };
        world.settle();
        world
    }

    pub fn join(&mut self, id: &str, weight: u32, port: u64) {
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        let registration = Registration { address, boot: port, version: "0".into(), weight, leaving: false };
        self.nodes.insert(id.to_owned(), registration);
        self.dying.retain(|(_, dying)| dying != id);
    }

    pub fn say(&mut self, id: &str, change: impl Fn(&mut MemberRecord)) {
        change(self.members.entry(id.to_owned()).or_default());
    }

    /// The session is gone, and with it the place in the queue.
    pub fn disconnect(&mut self, front: usize) {
        self.queue.retain(|f| *f != front);
        self.fronts[front].connected = false;
        self.fronts[front].told = None;
        let now = self.now;
        self.fronts[front].builder.on(WorldEvent::Connected(false), now);
    }

    pub fn connect(&mut self, front: usize) {
        if !self.fronts[front].connected {
            self.fronts[front].connected = true;
            self.queue.push(front);
            let now = self.now;
            self.fronts[front].builder.on(WorldEvent::Leads(false), now);
        }
    }

    pub fn restart(&mut self, front: usize) {
        let saved = self.fronts[front].builder.to_save();
        self.disconnect(front);
        self.fronts[front].builder = Builder::new(&self.settings, "127.0.0.1", SESSION, saved);
        self.connect(front);
    }

    /// Tells everyone who is connected what there is, until nobody has anything to write.
    pub fn settle(&mut self) {
        self.dying.iter_mut().for_each(|(at, _)| *at = 0);
        self.end_sessions();
        for _ in 0..8 {
            let before = self.version;
            self.tell_all();
            // First what is due at once, then what lingers.
            self.now += SETTLE;
            self.act_all();
            self.tell_all();
            self.now += LINGER;
            self.act_all();
            self.tell_all();
            self.now += SETTLE;
            self.act_all();
            if self.version == before {
                return;
            }
        }
        panic!("the ring never comes to rest");
    }

    /// Lets time pass as it does: in steps, in each of which sessions may end and whoever leads may write.
    pub fn pass(&mut self, millis: Millis) {
        let end = self.now + millis;
        while self.now < end {
            self.now += 100.min(end - self.now);
            self.end_sessions();
            self.tell_all();
            self.act_all();
            self.tell_all();
        }
    }

    pub fn end_sessions(&mut self) {
        let now = self.now;
        for (_, id) in self.dying.extract_if(.., |(at, _)| *at <= now) {
            self.nodes.remove(&id);
        }
    }

    pub fn act_all(&mut self) {
        for front in 0..self.fronts.len() {
            self.act(front);
        }
    }

    fn tell_all(&mut self) {
        for i in 0..self.fronts.len() {
            self.tell(i);
        }
    }

    pub fn tell(&mut self, i: usize) {
        let leads = self.queue.first() == Some(&i);
        let (now, told) = (self.now, self.epochs());
        let front = &mut self.fronts[i];
        if !front.connected {
            return;
        }
        front.version = self.version;
        let mut events = vec![
            WorldEvent::Nodes(self.nodes.clone()),
            WorldEvent::Members(self.members.clone()),
            WorldEvent::Fronts(told),
            WorldEvent::Ring(self.ring.clone()),
            WorldEvent::Leads(leads),
            WorldEvent::Connected(true),
        ];
        // In no order that one may count on.
        events.rotate_left((self.version as usize + i) % 6);
        events.into_iter().for_each(|event| front.builder.on(event, now));
        front.told = Some(front.builder.view().epoch);
    }

    fn epochs(&self) -> Records<FrontRecord> {
        let record = |epoch| FrontRecord {
            proxy: "h:1".into(),
            admin: "h:2".into(),
            epoch,
            leads: false,
            boot: 0,
            tls: false,
            version: "0".into(),
        };
        let told = self.fronts.iter().enumerate();
        told.filter_map(|(i, f)| Some((format!("f{i}"), record(f.told?)))).collect()
    }

    /// Lets a front write what it thinks is due; fenced by the lock and by the version, as ZooKeeper does it.
    pub fn act(&mut self, i: usize) -> Written {
        let Due::Now(doc) = self.fronts[i].builder.due(self.now) else { return Written::Nothing };
        if self.queue.first() != Some(&i) || self.fronts[i].version != self.version {
            return Written::Refused;
        }
        self.version += 1;
        let before = self.history.insert(doc.epoch, doc.clone());
        assert!(before.is_none(), "epoch {} is written twice", doc.epoch);
        self.ring = Some(doc);
        Written::Done
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Nothing,
    Done,
    Refused,
}
