use super::*;
use crate::cluster::fake_node::{FakeNode, Listening, config, on_control_thread, until};

struct Bench {
    health: Arc<Health>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        Bench { health: Health::new(&config(folder.path()), Arc::default()), folder }
    }

    fn node(&self, id: &str, boot: u64) -> (Arc<FakeNode>, Listening, Arc<Node>) {
        let fake = FakeNode::new(boot);
        let listening = fake.listen(&self.folder.path().join(id));
        let node = Arc::new(Node::new(id.into(), listening.address.clone(), 1, true));
        self.health.follow(&node);
        (fake, listening, node)
    }
}

#[test]
fn a_node_that_answers_is_up_and_its_boot_id_is_known() {
    on_control_thread(async {
        let bench = Bench::new();
        let mut changes = bench.health.changes();
        let (fake, _listening, node) = bench.node("n1", 7);
        changes.changed().await.unwrap();
        assert!(node.is_up());
        assert_eq!(node.memory.load(Ordering::Relaxed), 7);
        assert!(fake.said().is_empty(), "nothing needs to be said to it");
    });
}

#[test]
fn a_node_that_goes_silent_is_passed_over_and_validates_what_it_held_when_it_speaks_again() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        fake.silent.store(true, Ordering::Relaxed);
        until("passed over", || !node.is_up()).await;
        fake.silent.store(false, Ordering::Relaxed);
        until("up again", || node.is_up()).await;
        assert_eq!(fake.said(), ["POST /revalidate"]);
    });
}

#[test]
fn a_dead_node_is_passed_over_and_a_new_process_in_its_place_is_up_at_once() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        drop(listening);
        until("passed over", || !node.is_up()).await;
        fake.boot.store(8, Ordering::Relaxed);
        let _listening = fake.listen(&bench.folder.path().join("n1"));
        until("up again", || node.is_up()).await;
        assert!(fake.said().is_empty(), "its cache is empty");
    });
}

#[test]
fn a_node_that_does_not_revalidate_stays_out() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        fake.status.store(500, Ordering::Relaxed);
        node.set_up(false, crate::clock::tick().0);
        bench.health.refused(&node, false);
        until("asked more than once", || fake.said().len() > 2).await;
        assert!(!node.is_up());
        fake.status.store(0, Ordering::Relaxed);
        until("up again", || node.is_up()).await;
    });
}

#[test]
fn a_mark_of_a_worker_whose_report_was_lost_is_noticed() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        node.set_up(false, crate::clock::tick().0);
        until("up again", || node.is_up()).await;
        assert_eq!(fake.said(), ["POST /revalidate"]);
    });
}

#[test]
fn a_node_that_missed_something_is_told_and_stays_up() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        bench.health.missed(&node, None);
        until("told", || fake.said() == ["POST /revalidate"]).await;
        assert!(node.is_up());
    });
}

#[test]
fn when_all_are_silent_one_is_passed_over_at_once_and_the_others_when_it_lasts() {
    on_control_thread(async {
        let bench = Bench::new();
        let nodes: Vec<_> = (0..3).map(|i| bench.node(&format!("n{i}"), 7 + i)).collect();
        until("all up", || nodes.iter().all(|(.., node)| node.is_up())).await;
        nodes.iter().for_each(|(fake, ..)| fake.silent.store(true, Ordering::Relaxed));
        until("one passed over", || nodes.iter().any(|(.., node)| !node.is_up())).await;
        let first = tick();
        assert_eq!(nodes.iter().filter(|(.., node)| node.is_up()).count(), 2);
        until("a second one passed over", || nodes.iter().filter(|(.., node)| node.is_up()).count() < 2).await;
        let probe = bench.health.slice * SLICES;
        assert!(tick().since(first) > probe * 4, "after six probes: {:?} of {probe:?}", tick().since(first));
        until("all passed over", || nodes.iter().all(|(.., node)| !node.is_up())).await;
    });
}

#[test]
fn a_node_that_was_taken_out_and_comes_back_validates_what_it_held() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        bench.health.part_with("n1");
        let again = Arc::new(Node::new("n1".into(), listening.address.clone(), 1, true));
        bench.health.follow(&again);
        until("up again", || again.is_up()).await;
        assert_eq!(fake.said(), ["POST /revalidate"]);
    });
}

#[test]
fn a_connection_that_the_node_closed_between_two_probes_is_no_failure() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        // The old process goes, the new one listens before the next probe.
        let before = bench.health.changes();
        drop(listening);
        let _listening = fake.listen(&bench.folder.path().join("n1"));
        sleep(Duration::from_millis(100)).await;
        assert!(node.is_up());
        assert!(!before.has_changed().unwrap());
    });
}

/// Enough hits just now that took so many milliseconds each.
fn hits(node: &Node, millis: u64) {
    (0..5).for_each(|_| node.pace.note_hit(tick(), Duration::from_millis(millis)));
}

#[test]
fn of_two_slow_nodes_among_three_one_is_passed_over_and_the_silent_count_as_well() {
    on_control_thread(async {
        let bench = Bench::new();
        let (_fake1, _listening1, n1) = bench.node("n1", 1);
        let (_fake2, _listening2, n2) = bench.node("n2", 2);
        let (fake3, _listening3, n3) = bench.node("n3", 3);
        until("up", || [&n1, &n2, &n3].iter().all(|n| n.is_up())).await;
        let judge = |slow: &[&Node]| {
            for node in [&n1, &n2, &n3] {
                hits(node, if slow.iter().any(|s| s.id == node.id) { 300 } else { 2 });
            }
            bench.health.board().judge(tick(), 100);
            [&n1, &n2, &n3].map(|n| n.pace.is_slow())
        };
        assert_eq!(judge(&[]), [false; 3]);
        [&n1, &n2, &n3].iter().for_each(|n| n.pace.forget());
        assert_eq!(judge(&[&n1, &n2]), [true, false, false], "there is room for one");
        assert!(n1.is_up() && n1.pace.is_slow(), "slow is not dead");
        fake3.silent.store(true, Ordering::Relaxed);
        until("silent for so long that it is certain", || !n3.is_up()).await;
        n1.allow(None, crate::clock::tick().0);
        bench.health.board().watched.get_mut("n1").unwrap().start_afresh(crate::clock::tick());
        hits(&n1, 300);
        assert_eq!(judge(&[&n1, &n2]), [false; 3], "the silent one takes the room");
    });
}

#[test]
fn a_new_process_in_a_slow_nodes_place_is_judged_anew() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, n1) = bench.node("n1", 1);
        let (_fake2, _listening2, n2) = bench.node("n2", 2);
        until("up", || n1.is_up() && n2.is_up()).await;
        hits(&n1, 300);
        hits(&n2, 2);
        bench.health.board().judge(tick(), 100);
        assert!(n1.pace.is_slow() && !n2.pace.is_slow());
        fake.boot.store(9, Ordering::Relaxed);
        until("it is asked in full", || !n1.pace.is_slow()).await;
    });
}

#[test]
fn a_node_that_was_away_is_known_to_have_returned_for_the_time_of_a_hand_over() {
    on_control_thread(async {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.ring.handover = Duration::from_millis(200);
        let bench = Bench { health: Health::new(&config, Arc::default()), folder };
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        assert!(!node.has_returned(), "it has only just come");
        fake.silent.store(true, Ordering::Relaxed);
        until("passed over", || !node.is_up()).await;
        assert!(node.is_doubtful(), "it may miss something from now on");
        fake.silent.store(false, Ordering::Relaxed);
        until("up again", || node.is_up()).await;
        assert!(node.has_returned() && !node.is_doubtful());
        until("the time is over", || !node.has_returned()).await;
    });
}

#[test]
fn a_node_that_missed_something_is_doubtful_until_it_has_promised_to_validate_or_is_another_process() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        bench.health.missed(&node, None);
        assert!(node.is_up() && node.is_doubtful());
        until("it has promised", || !node.is_doubtful()).await;
        assert_eq!(fake.said(), ["POST /revalidate"]);
        bench.health.missed(&node, None);
        fake.boot.store(8, Ordering::Relaxed);
        until("another process owes nothing", || !node.is_doubtful()).await;
        assert_eq!(fake.said().len(), 1);
    });
}

#[test]
fn a_node_that_cannot_write_down_what_it_promised_is_used_and_the_next_process_is_told_again() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        fake.status.store(202, Ordering::Relaxed);
        bench.health.missed(&node, None);
        until("it has promised", || !node.is_doubtful()).await;
        bench.health.heed();
        assert!(!node.is_doubtful(), "this process has promised");
        assert!(bench.health.doubts.owed("n1", 9).is_some(), "and who comes next has not");
        fake.status.store(0, Ordering::Relaxed);
        drop(listening);
        until("passed over", || !node.is_up()).await;
        fake.boot.store(9, Ordering::Relaxed);
        let _listening = fake.listen(&bench.folder.path().join("n1"));
        until("up again", || node.is_up()).await;
        assert_eq!(fake.said(), ["POST /revalidate"; 2]);
        assert_eq!(bench.health.doubts.owed("n1", 9), None);
    });
}

#[test]
fn what_a_node_missed_before_a_restart_of_the_front_or_told_by_another_front_is_heeded() {
    on_control_thread(async {
        let bench = Bench::new();
        let token = bench.health.doubts.note("n1", 7);
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        assert_eq!(fake.said(), ["POST /revalidate"], "before it is asked for anything");
        assert_eq!(bench.health.doubts.owed("n1", 7), None, "it has promised");
        let later = bench.health.doubts.note("n1", 7);
        bench.health.heed();
        assert!(node.is_doubtful() && later != token);
        until("it has promised again", || !node.is_doubtful()).await;
        assert_eq!(fake.said().len(), 2);
    });
}

#[test]
fn a_node_that_missed_something_before_it_was_ever_met_validates() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, node) = bench.node("n1", 7);
        bench.health.missed(&node, None);
        until("up", || node.is_up()).await;
        assert_eq!(fake.said(), ["POST /revalidate"]);
    });
}

#[test]
fn probes_that_began_together_come_apart() {
    let pause = Duration::from_millis(250);
    let times: Vec<_> = (0..1000).map(|random| spread(pause, random)).collect();
    assert_eq!(times.iter().min(), Some(&Duration::from_millis(225)));
    assert_eq!(times.iter().max(), Some(&Duration::from_millis(275)));
    let mean = times.iter().sum::<Duration>() / 1000;
    assert!(mean.abs_diff(pause) < Duration::from_millis(1), "{mean:?}");
}

#[test]
fn a_node_that_answers_requests_is_seldom_probed_until_it_answers_none_or_somebody_complains() {
    on_control_thread(async {
        let bench = Bench::new();
        let (fake, _listening, node) = bench.node("n1", 7);
        until("up", || node.is_up()).await;
        let probes = || fake.probes.load(Ordering::Relaxed);
        let (before, begun) = (probes(), tick());
        let time = Duration::from_millis(400);
        until("much time with answers", || {
            node.note_answer();
            tick().since(begun) >= time
        })
        .await;
        // After every fifth pause of some 20 ms, and one that was under way.
        let (seen, most) = (probes() - before, tick().since(begun).as_millis() as u64 / 90 + 1);
        assert!(seen <= most, "{seen} probes");
        let before = probes();
        bench.health.look(&node);
        until("a probe out of turn", || {
            node.note_answer();
            probes() > before
        })
        .await;
        fake.silent.store(true, Ordering::Relaxed);
        until("passed over when it is silent", || !node.is_up()).await;
    });
}
