//! Whatever happens, and however the process and the machine end: what the disk answers with is a version that was stored after
//! its URL was last purged, and where it may be outdated it says so.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const URLS: u64 = 4;

#[derive(Clone, Debug)]
enum ModelStep {
    Put {
        url: u64,
        variant: u8,
        grouped: bool,
        size: usize,
    },
    Read {
        url: u64,
    },
    Forget {
        url: u64,
    },
    Purge {
        url: u64,
    },
    /// It waits for a sync.
    PurgeLater {
        url: u64,
    },
    /// A body of which a part is written.
    Abort {
        url: u64,
    },
    Doubt,
    Groups,
    Work,
    GoOn,
    Kill,
    End,
    CutPower(u64),
}

fn step() -> impl Strategy<Value = ModelStep> {
    let url = 0..URLS;
    let size = prop_oneof![8 => 1..2_000_usize, 2 => 6_000..60_000_usize, 1 => 60_000..200_000_usize];
    prop_oneof![
        8 => (url.clone(), 0..3_u8, prop::bool::weighted(0.3), size)
            .prop_map(|(url, variant, grouped, size)| ModelStep::Put { url, variant, grouped, size }),
        8 => url.clone().prop_map(|url| ModelStep::Read { url }),
        2 => url.clone().prop_map(|url| ModelStep::Forget { url }),
        2 => url.clone().prop_map(|url| ModelStep::Purge { url }),
        2 => url.prop_map(|url| ModelStep::PurgeLater { url }),
        1 => (0..URLS).prop_map(|url| ModelStep::Abort { url }),
        1 => Just(ModelStep::Doubt),
        1 => Just(ModelStep::Groups),
        3 => Just(ModelStep::Work),
        1 => Just(ModelStep::GoOn),
        2 => Just(ModelStep::Kill),
        1 => Just(ModelStep::End),
        2 => any::<u64>().prop_map(ModelStep::CutPower),
    ]
}

/// What was put, and what has happened since.
#[derive(Default)]
struct Truth {
    version: u64,
    put: BTreeMap<u64, (u64, u8, bool, usize)>,
    /// The newest of a URL and variant.
    latest: BTreeMap<(u64, u8), u64>,
    /// Versions up to this one are not to be there.
    purged: BTreeMap<u64, u64>,
    /// By the ticket of who waits for that: URL and version.
    waiting: BTreeMap<u64, (u64, u64)>,
    /// Nor these, unless the power was cut since; then they are doubtful.
    forgotten: BTreeMap<u64, u64>,
    /// Up to this one all are doubtful.
    doubted: u64,
    /// Groups became invalid; and so before the last start.
    groups: u64,
    groups_before: u64,
    /// Up to this one what was not synced may be gone, or back.
    cut: u64,
}

impl Truth {
    /// These have been told that it is done.
    fn told(&mut self, settled: impl Iterator<Item = u64>) {
        for (n, version) in settled.filter_map(|ticket| self.waiting.remove(&ticket)) {
            let floor = self.purged.entry(n).or_default();
            *floor = version.max(*floor);
        }
    }

    fn check(&self, rig: &mut Rig, n: u64) {
        let mut seen = Vec::new();
        for entry in rig.get(&url(n)) {
            let text = body(&entry);
            let mut words = text.split(|byte| *byte == b' ').map(|word| std::str::from_utf8(word).unwrap());
            let [variant, version] = [words.next().unwrap(), words.next().unwrap()].map(|word| word.parse().unwrap());
            let (of, kind, grouped, size) = self.put[&version];
            let marks = if grouped { Marks::GROUPED } else { Marks::NONE };
            assert_eq!(text, body(&page(&url(n), kind, version, marks, size)), "every byte of it");
            assert_eq!((of, u64::from(kind)), (n, variant));
            let floor = |floors: &BTreeMap<u64, u64>| floors.get(&n).copied().unwrap_or(0);
            assert!(version > floor(&self.purged), "version {version} was purged");
            // Behind a newer one of the same variant nobody looks for it.
            if seen.contains(&kind) {
                continue;
            }
            seen.push(kind);
            let is_certain = !entry.terms.always_validate();
            if is_certain || self.cut == 0 {
                assert!(version > floor(&self.forgotten), "version {version} was made invalid");
                assert_eq!(version, self.latest[&(n, kind)], "it has been replaced");
            }
            if is_certain {
                assert!(version > self.doubted, "version {version} is doubtful");
                assert!(version > self.cut, "version {version} is of before the power cut");
                assert!(!grouped || version > self.groups_before, "the groups of version {version} became invalid");
            }
        }
    }
}

fn play(steps: Vec<ModelStep>) {
    let (mut rig, mut truth) = (Rig::new(SMALL), Truth { version: 1, ..Truth::default() });
    for step in steps {
        match step {
            ModelStep::Put { url: n, variant, grouped, size } => {
                truth.version += 1;
                let version = truth.version;
                truth.put.insert(version, (n, variant, grouped, size));
                truth.latest.insert((n, variant), version);
                let marks = if grouped { Marks::GROUPED } else { Marks::NONE };
                let _ = rig.put(&page(&url(n), variant, version, marks, size));
            }
            ModelStep::Read { url: n } => truth.check(&mut rig, n),
            ModelStep::Forget { url: n } => {
                rig.disk.forget(hash(url(n).as_bytes()));
                rig.settle(false);
                truth.forgotten.insert(n, truth.version);
            }
            ModelStep::Purge { url: n } => {
                rig.disk.forget(hash(url(n).as_bytes()));
                rig.settle(true);
                truth.purged.insert(n, truth.version);
            }
            ModelStep::PurgeLater { url: n } => {
                rig.disk.forget(hash(url(n).as_bytes()));
                truth.waiting.insert(rig.ask(true), (n, truth.version));
                rig.write();
                truth.forgotten.insert(n, truth.version);
            }
            ModelStep::Abort { url: n } => {
                let page = page(&url(n), 0, u64::MAX, Marks::NONE, 70_000);
                let begun = rig.disk.begin_body(hash(page.key()), &page.terms, 200_000, Timestamp(NOW));
                if let Ok(file) = begun {
                    let mut writer = BodyWriter::begin(rig.files.clone(), file, 200_000).unwrap();
                    writer.write(&body(&page)).unwrap();
                }
            }
            ModelStep::Doubt => {
                rig.disk.doubt_all(received(truth.version));
                rig.settle(false);
                truth.doubted = truth.version;
            }
            ModelStep::Groups => {
                rig.disk.invalidate_groups(received(truth.version));
                rig.settle(false);
                truth.groups = truth.version;
            }
            ModelStep::Work => rig.work(),
            ModelStep::GoOn => {
                // As if the journal were long.
                rig.disk.draft_anew();
                for _ in 0..50 {
                    rig.disk.go_on(Timestamp(NOW));
                    rig.work();
                }
            }
            // Who waited for a purge was not told that it is done.
            ModelStep::Kill => {
                truth.waiting.clear();
                truth.groups_before = truth.groups;
                rig = rig.again();
            }
            ModelStep::End => {
                truth.groups_before = truth.groups;
                rig = rig.finish();
                truth.told(rig.settled.drain(..));
                assert!(truth.waiting.is_empty());
                rig = rig.again();
            }
            ModelStep::CutPower(luck) => {
                truth.waiting.clear();
                (truth.cut, truth.groups_before) = (truth.version, truth.groups);
                rig.files.cut_power(Some(luck));
                rig.machine += 1;
                rig = rig.again();
            }
        }
        assert!(!rig.is_broken);
        truth.told(rig.settled.drain(..));
    }
    (0..URLS).for_each(|n| truth.check(&mut rig, n));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_it_answers_with_was_stored_after_the_last_purge_and_says_where_it_is_doubtful(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        play(steps);
    }
}
