//! What of a full disk goes, and what is written once more.

use super::*;

#[test]
fn where_not_all_that_was_used_can_stay_what_was_used_most_does() {
    let mut rig = Rig::new(16 * SMALL);
    let is_used_often = |n: u64| n % 10 == 3;
    for n in 0..9_000 {
        rig.put(&page(&url(n), 0, n, Marks::NONE, 3_000)).unwrap();
        for _ in 0..if is_used_often(n) { 3 } else { 1 } {
            rig.disk.used(hash(url(n).as_bytes()));
        }
        if n % 50 == 0 {
            rig.work();
        }
    }
    rig.work();
    let lost = |often| {
        let of_it = (0..9_000).filter(|n| is_used_often(*n) == often);
        of_it.filter(|n| !rig.disk.has(hash(url(*n).as_bytes()))).count()
    };
    let (often, once) = (lost(true), lost(false));
    assert!(often == 0 && once > 2_000, "{often} of 900, {once} of 8,100");
}

#[test]
fn a_record_that_is_written_once_more_is_found_before_and_after_its_segment_has_gone() {
    let mut rig = Rig::new(16 * SMALL);
    let (url_of_it, hash_of_it) = (url(0), hash(url(0).as_bytes()));
    rig.put(&page(&url_of_it, 0, 0, Marks::NONE, 3_000)).unwrap();
    rig.work();
    let find = |rig: &mut Rig| rig.disk.find(hash_of_it, url_of_it.as_bytes()).unwrap();
    let before = find(&mut rig);
    let during = (1..20_000).find_map(|n| {
        if n % 50 == 0 {
            rig.work();
        }
        rig.put(&page(&url(n), 0, n, Marks::NONE, 3_000)).unwrap();
        let now = find(&mut rig);
        (now.slot.place() != before.slot.place()).then_some(now)
    });
    let during = during.expect("it was used, so it is written once more");
    let from = during.read.unwrap();
    assert_eq!(from.slot.place(), before.slot.place(), "it lies there still");
    assert!(rig.disk.is_current(hash_of_it, before.slot), "who reads it meanwhile reads what there is");
    assert_eq!(rig.disk.moved(hash_of_it, during.slot, from, false), None, "it is not there yet");
    let jobs = rig.disk.take_jobs();
    let done = rig.writer.run(jobs);
    let there = |from| {
        let lineage = rig.disk.lineage();
        read(&*rig.files, lineage, url_of_it.as_bytes(), from, ReadPace::Waiting).map(|found| found.len())
    };
    let moved = rig.disk.moved(hash_of_it, during.slot, from, true).unwrap();
    assert_eq!((there(from).ok(), there(moved).ok()), (None, Some(1)), "before its writer was heard of");
    rig.heed(done);
    rig.work();
    assert_eq!(rig.disk.moved(hash_of_it, during.slot, from, true), Some(moved));
    assert_eq!(rig.disk.moved(hash_of_it, during.slot, moved, true), None, "that is where it is");
    assert!(!rig.disk.is_current(hash_of_it, before.slot));
    rig.disk.forget(hash_of_it);
    assert_eq!(rig.disk.moved(hash_of_it, during.slot, from, true), None);
}

#[test]
fn a_start_goes_on_in_the_segment_that_was_begun_however_the_process_before_ended() {
    let mut rig = Rig::new(16 * SMALL);
    for n in 0..40 {
        put(&mut rig, n, n);
        rig.work();
        rig = if n % 2 == 0 { rig.again() } else { rig.finish().again() };
    }
    assert_eq!(segments(&rig).len(), 1);
    (0..40).for_each(|n| assert_eq!(stored(&mut rig, n), Some((n, false))));
}

#[test]
fn on_a_disk_that_is_made_smaller_what_has_room_stays_and_what_was_taken_in_advance_is_given_back() {
    let (mut rig, smaller) = (Rig::new(16 * SMALL), SMALL);
    (0..9).for_each(|n| put(&mut rig, n, n));
    rig.work();
    assert!(rig.files.bytes() > smaller);
    let files = rig.finish().files;
    let mut rig = Rig::open(files, smaller, 1, NOW);
    (0..9).for_each(|n| assert_eq!(stored(&mut rig, n), Some((n, false))));
    assert!(rig.files.bytes() < smaller, "{}", rig.files.bytes());
    put(&mut rig, 9, 9);
    rig.work();
    let mut rig = rig.again();
    (0..10).for_each(|n| assert_eq!(stored(&mut rig, n), Some((n, false))));
    assert_eq!(segments(&rig).len(), 2, "the old one is not gone on with");
}

#[test]
fn a_segment_whose_room_was_given_back_and_is_another_s_now_is_not_gone_on_with() {
    let mut rig = Rig::new(16 * SMALL);
    (0..3).for_each(|n| put(&mut rig, n, n));
    rig.work();
    let [segment] = segments(&rig)[..] else { panic!("one is begun") };
    let files = rig.finish().files;
    files.shorten(segment).unwrap();
    files.limit(4096);
    let mut rig = Rig::open(files, 16 * SMALL, 1, NOW);
    (0..3).for_each(|n| assert_eq!(stored(&mut rig, n), Some((n, false))));
    put(&mut rig, 3, 3);
    rig.work();
    assert!(rig.disk.is_full() && !rig.is_broken, "it is found out before anything is lost");
    rig.files.limit(u64::MAX);
    rig.now += 3_600_000;
    put(&mut rig, 4, 4);
    rig.work();
    assert_eq!(stored(&mut rig.again(), 4), Some((4, false)));
}

fn segments(rig: &Rig) -> Vec<FileName> {
    let all = rig.files.list().unwrap().into_iter().map(|(name, _)| name);
    all.filter(|name| matches!(name, FileName::Segment(_))).collect()
}
