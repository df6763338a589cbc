//! What happens while the journal is read, or while there is no disk.

use super::*;

#[test]
fn what_happened_while_the_journal_was_read_counts() {
    let mut rig = Rig::new(SMALL);
    (0..3).for_each(|n| put(&mut rig, n, n));
    rig.put(&page(&url(4), 0, 4, Marks::GROUPED, 300)).unwrap();
    rig.work();
    let (writer, found, mut disk) = rig.unread();
    disk.forget(hash(url(1).as_bytes()));
    disk.invalidate_groups(Timestamp(NOW));
    assert_eq!(disk.put(1, &page(&url(9), 0, 9, Marks::NONE, 1), None, Timestamp(NOW)), Err(Skipped::Off));
    disk.adopt(found);
    let mut rig = Rig { disk, writer, ..rig };
    rig.work();
    let seen = |rig: &mut Rig| [1, 2, 4].map(|n| stored(rig, n));
    let expected = [None, Some((2, false)), Some((4, true))];
    assert_eq!(seen(&mut rig), expected);
    assert_eq!(seen(&mut rig.again()), expected);
}

#[test]
fn what_happens_while_there_is_no_disk_takes_little_room_and_counts_however_often_it_is_tried() {
    let mut rig = Rig::new(SMALL);
    (0..3).for_each(|n| put(&mut rig, n, n));
    rig.work();
    let (_, _, mut disk) = rig.unread();
    for n in 0..1_000 {
        disk.forget(hash(url(1).as_bytes()));
        disk.forget(n % 7);
        disk.doubt_all(Timestamp(NOW));
        disk.invalidate_groups(Timestamp(NOW));
    }
    assert_eq!(disk.take_jobs().len(), 0);
    // It could not be read, and is tried again: by another process, or with another disk.
    disk.leave();
    let (writer, found, _) = rig.unread();
    disk.adopt(found);
    assert_eq!(disk.objects(), 2);
    let mut rig = Rig { disk, writer, ..rig };
    rig.work();
    for _ in 0..2 {
        assert_eq!([0, 1, 2].map(|n| stored(&mut rig, n)), [Some((0, true)), None, Some((2, true))]);
        rig = rig.again();
    }
}

#[test]
fn more_than_can_be_remembered_while_it_is_read_makes_all_doubtful() {
    let mut rig = Rig::new(SMALL);
    (0..2).for_each(|n| put(&mut rig, n, n));
    rig.work();
    let (writer, found, mut disk) = rig.unread();
    (10..80_000).for_each(|n| _ = disk.forget(hash(url(n).as_bytes())));
    disk.forget(hash(url(1).as_bytes()));
    disk.adopt(found);
    let mut rig = Rig { disk, writer, ..rig };
    assert_eq!([0, 1].map(|n| stored(&mut rig, n)), [Some((0, true)), Some((1, true))]);
}

#[test]
fn one_that_is_left_alone_counts_on_and_all_that_it_had_is_doubtful() {
    let mut rig = Rig::new(SMALL);
    (0..3).for_each(|n| put(&mut rig, n, n));
    rig.work();
    let written = rig.disk.counts.written;
    let before = rig.disk.forget(hash(url(0).as_bytes()));
    rig.disk.leave();
    assert_eq!((rig.disk.counts.written, rig.disk.objects(), rig.disk.is_read()), (written, 0, false));
    rig.disk.forget(hash(url(1).as_bytes()));
    let (writer, found, _) = rig.unread();
    rig.disk.adopt(found);
    let mut rig = Rig { writer, ..rig };
    assert_eq!([0, 1, 2].map(|n| stored(&mut rig, n)), [Some((0, true)), None, Some((2, true))]);
    // What lay before is not known any more to be what it was.
    rig.disk.put(hash(url(0).as_bytes()), &page(&url(0), 1, 9, Marks::NONE, 9), before, Timestamp(NOW)).unwrap();
    assert_eq!(rig.get(&url(0)).len(), 1);
}

#[test]
fn who_is_killed_while_it_reads_the_journal_has_not_written_what_it_was_told() {
    let mut rig = Rig::new(SMALL);
    (0..2).for_each(|n| put(&mut rig, n, n));
    rig.work();
    let (_, _, mut disk) = rig.unread();
    disk.forget(hash(url(1).as_bytes()));
    let mut rig = rig.again();
    assert_eq!([0, 1].map(|n| stored(&mut rig, n)), [Some((0, true)), Some((1, true))]);
    assert!(rig.found.0.is_some());
    put(&mut rig, 0, 7);
    rig.work();
    let mut rig = rig.again();
    assert_eq!((rig.found.0, stored(&mut rig, 0)), (None, Some((7, false))));
}
