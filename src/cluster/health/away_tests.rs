//! Whatever a node misses, and however it ends and comes back: while it is believed, it holds nothing that it would answer with
//! and that was purged or made invalid since it was stored.

use super::*;
use crate::cluster::fake_node::{FakeNode, config, on_control_thread, until};
use crate::config::Address;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::future::pending;

const URLS: u8 = 6;

#[derive(Clone, Copy, Debug)]
enum AwayStep {
    Store(u8),
    /// It reaches the node, where that listens; that can write it down; and the front hears of it.
    Invalidate {
        url: u8,
        reaches: bool,
        kept: bool,
        heard: bool,
    },
    /// Something was lost, and nobody knows what.
    Lost,
    End,
    Start {
        other_disk: bool,
    },
    Freeze(bool),
    /// Whether its disk is read.
    Read(bool),
    /// What it is told on that occasion reaches it; and something else becomes invalid meanwhile.
    Probe {
        reaches: bool,
        kept: bool,
        meanwhile: Option<u8>,
    },
}

fn step() -> impl Strategy<Value = AwayStep> {
    let (url, often) = (0..URLS, || prop::bool::weighted(0.9));
    prop_oneof![
        4 => url.clone().prop_map(AwayStep::Store),
        4 => (url.clone(), often(), often(), often())
            .prop_map(|(url, reaches, kept, heard)| AwayStep::Invalidate { url, reaches, kept, heard }),
        1 => Just(AwayStep::Lost),
        2 => Just(AwayStep::End),
        3 => prop::bool::weighted(0.2).prop_map(|other_disk| AwayStep::Start { other_disk }),
        2 => any::<bool>().prop_map(AwayStep::Freeze),
        2 => often().prop_map(AwayStep::Read),
        6 => (often(), often(), prop::option::weighted(0.2, url))
            .prop_map(|(reaches, kept, meanwhile)| AwayStep::Probe { reaches, kept, meanwhile }),
    ]
}

#[derive(Clone, Copy, Debug, Default)]
struct StoredCopy {
    is_invalid: bool,
    is_validated_first: bool,
}

/// The node as it is.
#[derive(Debug, Default)]
struct NodeModel {
    boot: u64,
    lineage: u64,
    lives: bool,
    is_frozen: bool,
    is_read: bool,
    held: BTreeMap<u8, StoredCopy>,
    on_disk: BTreeMap<u8, StoredCopy>,
}

impl NodeModel {
    fn both(&mut self) -> impl Iterator<Item = &mut StoredCopy> {
        self.held.values_mut().chain(self.on_disk.values_mut())
    }

    fn forget(&mut self, url: u8, kept: bool) {
        self.held.remove(&url);
        if kept {
            self.on_disk.remove(&url);
        }
    }

    fn listens(&self) -> bool {
        self.lives && !self.is_frozen
    }

    /// What came of telling it.
    fn told(&mut self, action: Action, news: &MissedNews, reaches: bool, kept: bool) -> Event {
        if !reaches || !self.listens() {
            return Event::NotRevalidated;
        }
        match news.batches().filter(|_| action == Action::CatchUp) {
            Some(batches) => batches.into_iter().flatten().for_each(|what| match what {
                Outdated::Url(url) => self.forget(url.parse().unwrap(), kept),
                other => panic!("{other:?}"),
            }),
            None => {
                self.held.values_mut().for_each(|copy| copy.is_validated_first = true);
                if kept {
                    self.on_disk.values_mut().for_each(|copy| copy.is_validated_first = true);
                }
            }
        }
        Event::Revalidated { kept }
    }
}

struct AwayBench {
    health: Arc<Health>,
    node: Arc<Node>,
    model: NodeModel,
    _folder: tempfile::TempDir,
}

impl AwayBench {
    fn new() -> AwayBench {
        let folder = tempfile::tempdir().unwrap();
        let health = Health::new(&config(folder.path()), Arc::default());
        let node = Arc::new(Node::new("n1".to_owned(), Address::Unix(folder.path().join("n1")), 1, true));
        let nobody = tokio::spawn(pending::<()>()).abort_handle();
        let watched = Watched::new(node.clone(), Arc::default(), nobody);
        health.board().watched.insert("n1".to_owned(), watched);
        let model = NodeModel { boot: 1, lineage: 1, lives: true, is_read: true, ..NodeModel::default() };
        AwayBench { health, node, model, _folder: folder }
    }

    fn invalidate(&mut self, url: u8, reaches: bool, kept: bool, heard: bool) {
        let what: Arc<[Outdated]> = Arc::new([Outdated::Url(url.to_string())]);
        for held in [&mut self.model.held, &mut self.model.on_disk] {
            held.entry(url).and_modify(|copy| copy.is_invalid = true);
        }
        let is_told = self.node.is_up() && self.model.listens() && reaches;
        if is_told {
            self.model.forget(url, kept);
        }
        match (is_told && heard, kept) {
            (true, true) => {}
            (true, false) => self.health.unkept(&self.node),
            (false, _) => self.health.missed(&self.node, Some(&[what])),
        }
    }

    fn probe(&mut self, reaches: bool, kept: bool, mut meanwhile: Option<u8>) {
        let memory = if self.model.is_read { self.model.lineage } else { 0 };
        let event = match (self.model.lives, self.model.is_frozen) {
            (false, _) => Event::Refused,
            (true, true) => Event::Silent { whole: true },
            (true, false) => Event::Answered { boot: self.model.boot, memory },
        };
        let mut action = self.health.apply(&self.node, event);
        while action.tells() {
            let (token, news) = self.health.debt(&self.node);
            let told = self.model.told(action, &news, reaches, kept);
            if let Some(url) = meanwhile.take() {
                self.invalidate(url, false, kept, false);
            }
            self.health.promised(&self.node, told, token);
            action = self.health.apply(&self.node, told);
        }
    }

    fn is_believed(&self) -> bool {
        let board = self.health.board();
        self.node.is_up() && !self.node.is_doubtful() && board.watched["n1"].verdict.boot() == self.model.boot
    }

    fn play(&mut self, step: AwayStep) {
        match step {
            AwayStep::Store(url) if self.is_believed() && self.model.listens() => {
                self.model.held.insert(url, StoredCopy::default());
                self.model.on_disk.insert(url, StoredCopy::default());
            }
            AwayStep::Store(_) => {}
            AwayStep::Invalidate { url, reaches, kept, heard } => self.invalidate(url, reaches, kept, heard),
            AwayStep::Lost => {
                self.model.both().for_each(|copy| copy.is_invalid = true);
                self.health.missed(&self.node, None);
            }
            AwayStep::End => self.model.lives = false,
            AwayStep::Start { .. } if self.model.lives => {}
            AwayStep::Start { other_disk } => {
                if other_disk {
                    self.model.lineage += 1;
                    self.model.on_disk.clear();
                }
                self.model.held = self.model.on_disk.clone();
                (self.model.lives, self.model.is_frozen, self.model.boot) = (true, false, self.model.boot + 1);
            }
            AwayStep::Freeze(is_frozen) => self.model.is_frozen = is_frozen,
            AwayStep::Read(is_read) => self.model.is_read = is_read,
            AwayStep::Probe { reaches, kept, meanwhile } => self.probe(reaches, kept, meanwhile),
        }
        if self.is_believed() && self.model.listens() {
            for (url, copy) in &self.model.held {
                assert!(!copy.is_invalid || copy.is_validated_first, "{url} is answered after {step:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_made_invalid_while_a_node_was_away_is_ever_answered(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        on_control_thread(async {
            let mut bench = AwayBench::new();
            bench.probe(true, true, None);
            steps.into_iter().for_each(|step| bench.play(step));
            bench.probe(true, true, None);
        });
    }
}

#[test]
fn what_a_node_missed_while_it_was_away_is_all_that_another_process_of_it_has_to_give_up() {
    on_control_thread(async {
        let mut bench = AwayBench::new();
        bench.probe(true, true, None);
        (0..URLS).for_each(|url| bench.play(AwayStep::Store(url)));
        bench.play(AwayStep::End);
        bench.probe(true, true, None);
        bench.invalidate(2, true, true, true);
        bench.play(AwayStep::Start { other_disk: false });
        bench.invalidate(4, true, true, true);
        bench.probe(true, true, Some(5));
        let good = bench.model.held.iter().filter(|(_, copy)| !copy.is_validated_first && !copy.is_invalid);
        assert_eq!(good.map(|(url, _)| *url).collect::<Vec<_>>(), [0, 1, 3]);
        assert_eq!(bench.model.held.len(), 3);
        assert!(bench.is_believed() && bench.health.doubts.to_keep().is_none(), "nothing is owed any more");
    });
}

#[test]
fn a_node_is_told_what_it_missed_in_the_words_of_the_link() {
    on_control_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let health = Health::new(&config(folder.path()), Arc::default());
        let fake = FakeNode::new(7);
        fake.lineage.store(3, Ordering::Relaxed);
        let listening = fake.listen(&folder.path().join("n1"));
        let node = Arc::new(Node::new("n1".to_owned(), listening.address.clone(), 1, true));
        health.follow(&node);
        until("up", || node.is_up()).await;
        drop(listening);
        until("passed over", || !node.is_up()).await;
        let what: [Arc<[Outdated]>; 2] = [
            Arc::new([Outdated::Url("http://a/1".to_owned()), Outdated::Url("http://a/2".to_owned())]),
            Arc::new([Outdated::Groups { origin: "http://a/".to_owned(), groups: vec!["g".to_owned()] }]),
        ];
        what.iter().for_each(|what| health.missed(&node, Some(std::slice::from_ref(what))));
        fake.boot.store(8, Ordering::Relaxed);
        let _listening = fake.listen(&folder.path().join("n1"));
        until("up again", || node.is_up()).await;
        let told = r#"POST /invalidate ["http://a/1","http://a/2",{"origin":"http://a/","groups":["g"]}]"#;
        assert_eq!(fake.said(), [told]);
        assert!(!node.is_doubtful());
    });
}
