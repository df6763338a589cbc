//! Purges that wait for the journal to be synced.

use super::*;

#[test]
fn one_sync_is_for_all_that_wait_and_each_of_them_outlives_a_power_cut() {
    let mut rig = Rig::new(SMALL);
    (0..500).for_each(|n| put(&mut rig, n, n));
    rig.work();
    let before = rig.files.syncs();
    for n in 0..400 {
        rig.disk.forget(hash(url(n).as_bytes()));
        rig.ask(true);
        // Stores go on in between, and what is not to outlive a power cut waits for no sync.
        put(&mut rig, 500 + n, n);
    }
    let reload = rig.ask(false);
    rig.write();
    assert_eq!((rig.settled.clone(), rig.files.syncs()), (vec![reload], before), "not done before it is synced");
    assert!(rig.disk.objects() > 400 && rig.disk.behind() == 0, "what was stored is written");
    rig.work();
    assert_eq!((rig.settled.len(), rig.files.syncs(), rig.disk.counts.syncs), (401, before + 1, 1));
    let files = rig.files.clone();
    files.cut_power(None);
    let mut rig = Rig::open(files, SMALL, 2, NOW);
    assert!((0..400).all(|n| stored(&mut rig, n).is_none()));
}

#[test]
fn a_sync_that_fails_settles_nobody_and_nothing_is_believed_again() {
    let mut rig = Rig::new(SMALL);
    (0..9).for_each(|n| put(&mut rig, n, n));
    rig.work();
    rig.files.fail_syncs(true);
    for n in 0..4 {
        rig.disk.forget(hash(url(n).as_bytes()));
        rig.ask(true);
    }
    rig.work();
    assert_eq!((rig.is_broken, rig.settled.len(), rig.writer.owes_a_sync()), (true, 0, false));
    rig.files.fail_syncs(false);
    assert_eq!(stored(&mut rig.again(), 5), Some((5, true)));
}
