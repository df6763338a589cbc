use super::*;
use crate::cluster::fake_node::{config, on_control_thread, until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::os::unix::fs::PermissionsExt;

/// Notes its process id and first line, says that it listens, and lives as long as its standard input.
const OBEDIENT: &str = r#"read line; echo "$$ $line" >> "$0.lives"; echo "ringhold node $3 listening on $5"; exec cat"#;
/// The same, but SIGTERM means nothing to it.
const STUBBORN: &str = r#"trap '' TERM; read line; echo "$$ $line" >> "$0.lives"; echo "ringhold node $3 listening on $5"; while read x; do :; done"#;
const MUTE: &str = r#"echo "$$ -" >> "$0.lives"; exec cat"#;

struct Bench {
    folder: tempfile::TempDir,
    supervisor: Supervisor,
    node: Arc<Node>,
}

impl Bench {
    fn new(script: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("node.sh");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let mut config = config(folder.path());
        config.timeouts.drain = Duration::ZERO;
        config.timeouts.node_start = Duration::from_secs(3);
        let supervisor = Supervisor::new(program, &config, Health::new(&config, Arc::default())).unwrap();
        let address = Address::Unix(supervisor.sockets().join("n1.sock"));
        Bench { folder, supervisor, node: Arc::new(Node::new("n1".into(), address, 1, true)) }
    }

    /// Process ids and first lines, in the order of their lives.
    fn lives(&self) -> Vec<(Pid, String)> {
        let text = std::fs::read_to_string(self.folder.path().join("node.sh.lives")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(pid, line)| (Pid::from_raw(pid.parse().unwrap()).unwrap(), line.to_owned())).collect()
    }

    async fn life(&self, number: usize) -> Pid {
        until(&format!("life {number}"), || self.lives().len() > number).await;
        self.lives()[number].0
    }
}

fn lives(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

#[test]
fn a_child_gets_the_configuration_on_one_line_and_a_dead_one_is_followed_by_another() {
    on_control_thread(async {
        let bench = Bench::new(OBEDIENT);
        bench.supervisor.keep(&bench.node);
        let first = bench.life(0).await;
        let config: Config = serde_json::from_str(&bench.lives()[0].1).unwrap();
        assert_eq!(config.state.path, bench.folder.path().join("state"));
        bench.node.set_up(true, crate::clock::tick().0);
        kill_process(first, Signal::KILL).unwrap();
        let second = bench.life(1).await;
        assert!(!lives(first) && first != second);
        assert_eq!(bench.supervisor.restarts(), [("n1".to_owned(), 1)]);
        bench.supervisor.stop().await;
        assert!(!lives(second));
        assert!(!bench.supervisor.sockets().exists());
    });
}

#[test]
fn a_child_that_ignores_sigterm_is_killed_when_its_time_is_over() {
    on_control_thread(async {
        let bench = Bench::new(STUBBORN);
        bench.supervisor.keep(&bench.node);
        let pid = bench.life(0).await;
        sleep(Duration::from_millis(100)).await;
        bench.supervisor.release("n1").await;
        assert!(!lives(pid));
    });
}

#[test]
fn a_child_that_is_stopped_hears_sigterm_all_the_same() {
    on_control_thread(async {
        let mut bench = Bench::new(OBEDIENT);
        let plan = Arc::get_mut(&mut bench.supervisor.plan).unwrap();
        plan.drain = Duration::from_secs(60);
        bench.supervisor.keep(&bench.node);
        let pid = bench.life(0).await;
        sleep(Duration::from_millis(100)).await;
        kill_process(pid, Signal::STOP).unwrap();
        tokio::time::timeout(Duration::from_secs(10), bench.supervisor.stop()).await.unwrap();
        assert!(!lives(pid));
    });
}

#[test]
fn a_child_that_never_says_that_it_listens_goes_with_its_release() {
    on_control_thread(async {
        let bench = Bench::new(MUTE);
        bench.supervisor.keep(&bench.node);
        let pid = bench.life(0).await;
        bench.supervisor.release("n1").await;
        until("gone", || !lives(pid)).await;
    });
}

#[test]
fn restarts_come_at_once_then_ever_later_and_at_once_again_after_a_good_while() {
    let mut backoff = Backoff::default();
    let pauses: Vec<u128> = (0..9).map(|_| backoff.after(Duration::from_secs(1)).as_millis()).collect();
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(backoff.after(Duration::from_secs(30)).as_millis(), 50);
    assert_eq!(backoff.after(Duration::from_secs(1)).as_millis(), 100);
}

#[test]
fn the_folder_of_the_sockets_is_private() {
    let folder = private_folder().unwrap();
    assert_eq!(std::fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
}
