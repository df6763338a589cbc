//! How long a start takes, and how much memory, with many URLs.

use super::*;
use crate::clock::tick;
use std::time::Duration;

/// In a folder of the system. What it takes is judged of a build that is optimised.
#[test]
fn a_million_urls_are_known_again_within_a_second() {
    const URLS: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let path = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(&path.path().join("n1"), "n1").unwrap());
    let seed = SumSeed { number: 1, lineage: 9, policy: 5 };
    let mut journal = Journal::begin(&*folder, FileName::Journal(1), seed, 4096).unwrap();
    folder.create(FileName::Segment(1), 4096).unwrap();
    journal.note(Frame::Segment(1, 256 << 20, NOW));
    for n in 0..URLS {
        journal.note(Frame::Stored(Id::of(hash(&n.to_le_bytes())), IndexSlot::new(1, n % 4_000_000 * 64, 64)));
    }
    journal.flush(&*folder).unwrap();
    let (now, room) = (NOW, u64::MAX);
    let opening = Opening { machine: 1, policy: 5, now, lineage: 7, reserve: 4096, room };
    let plan = DiskPlan { size: 1 << 40, max_object: u64::MAX, admit: Admit::Always, writes: 0 };
    let begun = tick();
    let (_, _, found) = open(folder, &opening, || ()).unwrap();
    let mut disk = Disk::new(plan);
    disk.adopt(found);
    let took = tick().since(begun);
    // Of two URLs that agree in 42 bits one is forgotten.
    assert!((URLS - 10..=URLS).contains(&(disk.objects() as u64)), "{}", disk.objects());
    let bytes = disk.index_bytes() / disk.objects();
    println!("{URLS} URLs are known again in {took:?}, and take {bytes} bytes of memory each");
    assert!(cfg!(debug_assertions) || took < Duration::from_secs(1), "{took:?}");
    assert!(bytes <= 32, "{bytes} bytes");
}
