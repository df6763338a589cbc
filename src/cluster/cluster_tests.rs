use super::*;
use crate::cluster::fake_node::{FakeNode, Listening, config, on_control_thread, until};
use crate::cluster::membership::members::{ChangeError, ChangeRefusal, MemberState};
use crate::cluster::membership::spec::Spec;
use crate::cluster::views::{Outdated, UntilTold};
use crate::wire::target::Key;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

struct Bench {
    folder: tempfile::TempDir,
    config: Config,
    cluster: Arc<ControlPlane>,
    fakes: Vec<(Arc<FakeNode>, Listening)>,
}

impl Bench {
    /// Three nodes that run elsewhere, `a`, `b` and `c`.
    async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        let mut fakes = Vec::new();
        for (boot, id) in [(1, "a"), (2, "b"), (3, "c")] {
            let fake = FakeNode::new(boot);
            let listening = fake.listen(&folder.path().join(id));
            let place = NodePlace::At(listening.address.clone());
            config.nodes.push(crate::config::NodeConfig { id: id.into(), place, weight: 1 });
            fakes.push((fake, listening));
        }
        let cluster = ControlPlane::start(&config, false).await.unwrap();
        let bench = Bench { folder, config, cluster, fakes };
        assert!(bench.cluster.ready().await.up > 0);
        until("all up", || bench.cluster.readiness() == Readiness { up: 3, nodes: 3 }).await;
        bench
    }

    fn ids(&self) -> Vec<String> {
        self.cluster.list().into_iter().map(|n| n.id).collect()
    }
}

fn key(url: &str) -> Key {
    Key::parse(url).unwrap()
}

#[test]
fn a_node_that_is_added_is_published_and_there_after_a_restart() {
    on_control_thread(async {
        let bench = Bench::new().await;
        let mut views = bench.cluster.membership().views;
        views.mark_unchanged();
        let fake = FakeNode::new(4);
        let listening = fake.listen(&bench.folder.path().join("d"));
        let spec = Spec { id: Some("d".into()), spawn: false, address: Some(listening.address.to_string()), weight: 2 };
        let listed = bench.cluster.add(spec.clone()).await.unwrap();
        assert_eq!((listed.id.as_str(), listed.weight, listed.state), ("d", 2, MemberState::Active));
        assert!(listed.share > 0.3 && listed.share < 0.5, "two of five shares: {}", listed.share);
        views.changed().await.unwrap();
        let view = views.borrow().clone();
        assert_eq!((view.epoch, view.nodes.len()), (2, 4));
        let refused = bench.cluster.add(spec).await.unwrap_err();
        assert!(matches!(refused, ChangeError::Refused(ChangeRefusal::Duplicate(_))), "{refused}");
        bench.cluster.stop().await;
        let again = ControlPlane::start(&bench.config, false).await.unwrap();
        assert_eq!((again.view().epoch, again.view().nodes.len()), (2, 4));
    });
}

#[test]
fn a_node_that_is_removed_leaves_when_its_requests_are_done() {
    on_control_thread(async {
        let bench = Bench::new().await;
        let node = bench.cluster.view().nodes[0].clone();
        node.load.store(1, Ordering::Relaxed);
        let listed = bench.cluster.remove("a", Some(Duration::from_secs(60))).await.unwrap();
        assert_eq!((listed.state, listed.share), (MemberState::Leaving, 0.0));
        assert_eq!(bench.cluster.view().nodes.len(), 2);
        assert_eq!(bench.ids(), ["a", "b", "c"], "it is still there");
        node.load.store(0, Ordering::Relaxed);
        until("gone", || bench.ids() == ["b", "c"]).await;
    });
}

#[test]
fn https_is_not_taken_while_a_node_has_other_rules_for_it() {
    on_control_thread(async {
        let bench = Bench::new().await;
        let takes_https = || bench.cluster.view().takes_https();
        assert!(takes_https());
        let fake = &bench.fakes[1].0;
        fake.other_rules.store(true, Ordering::Relaxed);
        until("they differ", || !takes_https()).await;
        assert_eq!(bench.cluster.readiness(), Readiness { up: 3, nodes: 3 }, "all else goes on");
        assert!(bench.cluster.view().may_carry(&key("https://a/")), "who asks the proxy itself is answered");
        fake.other_rules.store(false, Ordering::Relaxed);
        until("they agree again", takes_https).await;
    });
}

#[test]
fn a_node_whose_requests_do_not_end_leaves_when_the_time_is_over() {
    on_control_thread(async {
        let bench = Bench::new().await;
        bench.cluster.view().nodes[0].load.store(1, Ordering::Relaxed);
        bench.cluster.remove("a", Some(Duration::from_millis(50))).await.unwrap();
        until("gone", || bench.ids() == ["b", "c"]).await;
    });
}

#[test]
fn a_change_that_cannot_be_saved_is_not_made() {
    on_control_thread(async {
        let bench = Bench::new().await;
        let room = bench.config.state.path.join("missed.json");
        until("nothing else is written there", || room.exists()).await;
        std::fs::remove_dir_all(&bench.config.state.path).unwrap();
        std::fs::write(&bench.config.state.path, "in the way").unwrap();
        let error = bench.cluster.drain("a").await.unwrap_err();
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert_eq!(bench.cluster.find("a").unwrap().state, MemberState::Active);
        assert_eq!(bench.cluster.view().nodes.len(), 3);
    });
}

#[test]
fn a_purge_names_who_has_done_it_and_who_has_not() {
    on_control_thread(async {
        let bench = Bench::new().await;
        bench.fakes[1].0.status.store(500, Ordering::Relaxed);
        bench.cluster.view().nodes[2].set_up(false, crate::clock::tick().0);
        let purged = bench.cluster.purge(&key("http://h/x?y")).await;
        assert_eq!(purged.done, ["a"]);
        let missed: Vec<_> = purged.missed.iter().map(|(id, why)| (id.as_str(), why.as_str())).collect();
        let said = r#"it answered with status 500: {"hits":3}"#;
        assert_eq!(missed, [("b", said), ("c", "it is down")]);
        assert_eq!(bench.fakes[0].0.said(), ["DELETE /cache?url=http%3A%2F%2Fh%2Fx%3Fy"]);
        bench.fakes[1].0.status.store(0, Ordering::Relaxed);
        let asked = |i: usize| bench.fakes[i].0.said().contains(&"POST /revalidate".to_owned());
        until("those who missed it validate", || asked(1) && asked(2)).await;
        assert!(!asked(0));
    });
}

#[test]
fn what_an_unsafe_method_made_invalid_is_told_to_the_others() {
    on_control_thread(async {
        let bench = Bench::new().await;
        let by = bench.cluster.view().nodes[1].clone();
        let reports = bench.cluster.membership().reports;
        let (told, done) = oneshot::channel::<()>();
        let groups = Outdated::Groups { origin: "http://h".into(), groups: vec!["g".into()] };
        let what = vec![Outdated::Url("http://h/a".into()), Outdated::Url("http://h/b".into()), groups];
        assert!(reports.send(Report::Invalidated { what, by, told: UntilTold::dropping(told) }));
        assert!(done.await.is_err(), "it is dropped when all have been told");
        let expected = [r#"POST /invalidate ["http://h/a","http://h/b",{"origin":"http://h","groups":["g"]}]"#];
        assert!([0, 2].iter().all(|i| bench.fakes[*i].0.said() == expected));
        assert!(bench.fakes[1].0.said().is_empty(), "it knows already");
    });
}

#[test]
fn an_invalidation_that_finds_no_room_makes_every_node_validate() {
    on_control_thread(async {
        let bench = Bench::new().await;
        let Membership { reports, .. } = bench.cluster.membership();
        let by = bench.cluster.view().nodes[1].clone();
        let mut room = 0;
        while reports.send(Report::Suspect(by.clone())) {
            room += 1;
        }
        assert_eq!(room, REPORTS);
        assert!(!reports.send(Report::Suspect(by.clone())), "a probe finds that out anyway");
        let what = vec![Outdated::Url("http://h/a".into())];
        assert!(!reports.send(Report::Invalidated { what, by, told: UntilTold::dropping(oneshot::channel::<()>().0) }));
        let validates = |i: usize| bench.fakes[i].0.said() == ["POST /revalidate"];
        until("all validate", || (0..3).all(validates)).await;
    });
}

#[test]
fn a_report_of_a_refusal_makes_the_node_prove_itself() {
    on_control_thread(async {
        let bench = Bench::new().await;
        let Membership { mut health, reports, views } = bench.cluster.membership();
        let node = views.borrow().nodes[0].clone();
        health.mark_unchanged();
        node.set_up(false, crate::clock::tick().0);
        assert!(reports.send(Report::Refused(node.clone())));
        health.changed().await.unwrap();
        until("up again", || node.is_up()).await;
        assert_eq!(bench.fakes[0].0.said(), ["POST /revalidate"]);
    });
}

#[test]
fn the_counters_of_all_nodes_that_are_up_are_collected() {
    on_control_thread(async {
        let bench = Bench::new().await;
        bench.fakes[1].0.status.store(500, Ordering::Relaxed);
        let metrics = bench.cluster.node_metrics().await;
        let seen: Vec<_> = metrics.iter().map(|(id, counters)| (id.as_str(), counters["hits"])).collect();
        assert_eq!(seen, [("a", 3.0), ("c", 3.0)]);
    });
}
