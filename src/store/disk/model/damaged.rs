//! A folder that cannot be written, or is not as it was left.

use super::*;

#[test]
fn a_journal_that_cannot_be_written_is_not_believed_again() {
    let mut rig = Rig::new(SMALL);
    put(&mut rig, 1, 1);
    rig.work();
    rig.files.fail(Some(FileName::Journal(1)));
    rig.disk.forget(hash(url(1).as_bytes()));
    rig.settle(false);
    assert!(rig.is_broken);
    rig.files.fail(None);
    let mut rig = rig.again();
    assert_eq!((rig.found.0.is_some(), stored(&mut rig, 1)), (true, Some((1, true))));
}

#[test]
fn other_rules_an_earlier_clock_and_another_format_are_found_out() {
    let full = || {
        let mut rig = Rig::new(SMALL);
        put(&mut rig, 1, 1);
        rig.disk.note_time(Timestamp(NOW));
        rig.work();
        rig.files
    };
    let mut rig = Rig::try_open(full(), SMALL, 1, NOW, 6).unwrap();
    assert_eq!((rig.found.0.is_some(), stored(&mut rig, 1)), (true, Some((1, true))));
    let mut rig = Rig::try_open(rig.files, SMALL, 1, NOW, 6).unwrap();
    assert_eq!((rig.found.0, stored(&mut rig, 1)), (None, Some((1, true))), "judged by these, and doubtful still");
    let mut rig = Rig::open(full(), SMALL, 1, NOW - 3_000);
    assert_eq!((rig.found.0.is_some(), stored(&mut rig, 1)), (true, Some((1, true))));
    let files = full();
    files.change(FileName::Journal(1), |bytes| bytes[8] = 99);
    let mut rig = Rig::open(files, SMALL, 1, NOW);
    assert_eq!((rig.found.1.is_some(), stored(&mut rig, 1)), (true, None));
    assert_eq!(rig.files.length(&|name| matches!(name, FileName::Segment(_))), 0);
    put(&mut rig, 1, 2);
    rig.work();
    let mut rig = rig.again();
    assert_eq!(stored(&mut rig, 1), Some((2, false)));
    let (name, _) =
        rig.files.list().unwrap().into_iter().find(|(name, _)| matches!(name, FileName::Journal(_))).unwrap();
    rig.files.remove(name).unwrap();
    let mut rig = rig.again();
    assert_eq!((rig.found.1.is_some(), stored(&mut rig, 1)), (true, None));
    assert_eq!(rig.again().found.1, None, "it says so once");
}

#[test]
fn no_flipped_bit_of_a_small_folder_brings_a_wrong_byte_or_what_was_purged() {
    let mut rig = Rig::new(SMALL);
    let pages: Vec<_> = (0..20).map(|n| page(&url(n), (n % 2) as u8, n, Marks::NONE, 10 + 9 * n as usize)).collect();
    pages.iter().for_each(|page| rig.put(page).unwrap());
    rig.put(&page(&url(19), 2, 99, Marks::GROUPED, 30)).unwrap();
    rig.work();
    let purged = 4;
    rig.disk.forget(hash(url(purged).as_bytes()));
    rig.disk.invalidate_groups(Timestamp(NOW));
    rig.settle(true);
    let files = rig.finish().files;
    let check = |found: Vec<Entry>, n: u64, what: &str| {
        for entry in found {
            let is_one =
                [body(&pages[n as usize]), body(&page(&url(19), 2, 99, Marks::NONE, 30))].contains(&body(&entry));
            assert!(is_one, "{what}: {:?}", String::from_utf8_lossy(&body(&entry)));
            assert!(n != purged || entry.terms.always_validate(), "{what}: what was purged is back");
        }
    };
    let mut flipped = 0;
    for (name, length) in files.list().unwrap().into_iter().filter(|(name, _)| !matches!(name, FileName::Segment(_))) {
        for bit in 0..length * 8 {
            let files = Arc::new(files.fork());
            files.change(name, |bytes| bytes[bit as usize / 8] ^= 1 << (bit % 8));
            let mut rig = Rig::open(files, SMALL, 1, NOW);
            (0..20).for_each(|n| check(rig.get(&url(n)), n, &format!("bit {bit} of {name:?}")));
            flipped += 1;
        }
    }
    let mut rig = Rig::open(files, SMALL, 1, NOW);
    for n in 0..20 {
        let Some(DiskLookup { read: Some(from), .. }) = rig.disk.find(hash(url(n).as_bytes()), url(n).as_bytes())
        else {
            continue;
        };
        let (name, start) = (FileName::Segment(from.segment), from.slot.at());
        let read = |rig: &Rig| -> Vec<Entry> {
            let read =
                read(&*rig.files, rig.disk.lineage(), url(n).as_bytes(), from, ReadPace::Waiting).unwrap_or_default();
            read.into_iter().map(|read| read.entry).collect()
        };
        assert!(!read(&rig).is_empty());
        for bit in start * 8..(start + from.slot.length()).min(rig.files.length(&|of| of == name)) * 8 {
            let flip = |bytes: &mut Vec<u8>| bytes[bit as usize / 8] ^= 1 << (bit % 8);
            rig.files.change(name, flip);
            check(read(&rig), n, &format!("bit {bit} of {name:?}"));
            rig.files.change(name, flip);
            flipped += 1;
        }
    }
    assert!(flipped > 40_000, "{flipped} bits");
}
