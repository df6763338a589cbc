//! A node's disk in a folder of the system, without the node.

use super::*;
use crate::node::filed;
use crate::policy::{LifetimeSource, Marks, Terms};
use crate::store::Mark;
use crate::store::disk::Folder;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

const PATIENCE: Duration = Duration::from_secs(20);

fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let limited = async { timeout(PATIENCE * 3, test).await.expect("the test came to its end") };
    LocalSet::new().block_on(&runtime, limited);
}

/// Lives until [`Running::kill`].
struct Running(Rc<Tier>, JoinHandle<()>);

impl Running {
    fn start(folder: &Path) -> Running {
        let mut config = Config::default();
        (config.disk.size, config.disk.path) = (16 << 20, folder.to_owned());
        let tier = Rc::new(Tier::start(&config, "n1").unwrap());
        let task = spawn_local(tier.clone().run());
        Running(tier, task)
    }

    async fn on(folder: &Path) -> Running {
        let running = Running::start(folder);
        assert!(running.0.until(PATIENCE, || running.0.disk.borrow().is_read()).await);
        running
    }

    /// As if its process had been killed: nothing more is told to its threads.
    async fn kill(self) {
        self.1.abort();
        let _ = self.1.await;
    }

    /// Whether it has the page, and whether that is to be validated.
    async fn page(&self) -> Option<bool> {
        let (found, _reading) = self.0.read(&key()).await?;
        found.first().map(|entry| entry.terms.always_validate())
    }
}

fn key() -> Key {
    Key::parse("http://a.example/").unwrap()
}

fn page() -> Arc<Entry> {
    variant(None)
}

/// Longer than a record.
fn large() -> Arc<Entry> {
    with_body(None, Bytes::from(vec![b'x'; 6 << 20]))
}

fn variant(language: Option<&str>) -> Arc<Entry> {
    with_body(language, Bytes::from_static(b"page"))
}

fn with_body(language: Option<&str>, body: Bytes) -> Arc<Entry> {
    let now = clock::now();
    let mut headers = HeaderMap::new();
    language.iter().for_each(|_| _ = headers.insert("vary", "accept-language".parse().unwrap()));
    let selecting = language.map(|language| format!("accept-language:{language}\n")).unwrap_or_default();
    let terms = Terms {
        born: now,
        received: now,
        waited: 0,
        lifetime: 3_600_000,
        fresh_until: Timestamp(now.0 + 3_600_000),
        stale_while_revalidate: 0,
        stale_if_error: 0,
        source: LifetimeSource::MaxAge,
        marks: Marks::NONE,
    };
    Arc::new(Entry::new(&key(), StatusCode::OK, &headers, selecting.as_bytes(), terms, Mark::Anyone, vec![body]))
}

async fn with_page(folder: &Path) -> Running {
    let running = Running::on(folder).await;
    running.0.put(&key(), &page(), None);
    assert!(running.0.settled(true).await);
    running
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !is_so().await {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[test]
fn what_is_taken_away_while_a_disk_fails_is_validated_by_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let running = with_page(folder.path()).await;
        let (tier, lineage) = (&running.0, running.0.lineage());
        assert!(lineage != 0);
        tier.fail("a test has it fail");
        until("it has been given up", async || !tier.disk.borrow().is_read()).await;
        tier.forget(&key());
        until("the folder says so", async || tier.settled(false).await).await;
        assert!(!tier.settled(true).await, "a purge is more than that");
        assert_eq!(tier.lineage(), lineage, "what it has may be back");
        let written = tier.disk.borrow().counts.written;
        assert!(written > 0, "what was counted counts on");
        running.kill().await;
        let next = Running::on(folder.path()).await;
        assert_eq!((next.page().await, next.0.lineage()), (Some(true), lineage));
    });
}

#[test]
fn a_disk_whose_writer_has_ended_by_itself_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let running = with_page(folder.path()).await;
        running.0.writer.take();
        until("it is found out", async || running.0.state.get() == DiskState::Failed).await;
        until("it has been given up", async || !running.0.disk.borrow().is_read()).await;
        running.0.forget(&key());
        until("the folder says so", async || running.0.settled(false).await).await;
        running.kill().await;
        assert_eq!(Running::on(folder.path()).await.page().await, Some(true));
    });
}

#[test]
fn at_the_end_all_variants_are_written_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let [de, en, fr, it] = ["de", "en", "fr", "it"].map(|language| variant(Some(language)));
        for (all, there) in [(vec![de.clone(), en.clone()], 2), (vec![de, en, fr, it], 4)] {
            let running = Running::on(folder.path()).await;
            running.0.finish(all.into_iter(), PATIENCE).await;
            running.kill().await;
            let next = Running::on(folder.path()).await;
            let (found, _reading) = next.0.read(&key()).await.unwrap();
            assert_eq!(found.len(), there);
            next.0.finish(std::iter::empty(), PATIENCE).await;
            next.kill().await;
        }
    });
}

#[test]
fn what_is_taken_away_while_the_folder_is_not_to_be_had_is_not_kept_and_makes_no_disk_slow() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        with_page(folder.path()).await.kill().await;
        let path = folder.path().join("n1");
        let mut other = None;
        until("another process has it", async || {
            other = Folder::open(&path, "n1").ok();
            other.is_some()
        })
        .await;
        let running = Running::start(folder.path());
        running.0.forget(&key());
        assert!(!running.0.settled(false).await && !running.0.settled(true).await);
        assert_eq!(running.0.counts.late.get(), 0);
        // It ends before it has the folder for long, and in order.
        let ending = running.0.clone();
        let ended = spawn_local(async move { ending.finish(std::iter::empty(), PATIENCE).await });
        drop(other);
        ended.await.unwrap();
        running.kill().await;
        assert!(!path.join("mark").exists());
        assert_eq!(Running::on(folder.path()).await.page().await, None);
    });
}

#[test]
fn what_is_purged_or_replaced_while_memory_has_it_copied_to_a_file_is_not_kept_there() {
    let folder = tempfile::tempdir().unwrap();
    on_one_thread(async {
        let running = Running::on(folder.path()).await;
        let (tier, of, large) = (&running.0, key(), large());
        assert!(filed::is_to_be_copied(tier, &large));
        let purge: fn(&Tier) = |tier| _ = tier.forget(&key());
        let replace: fn(&Tier) = |tier| _ = tier.replace(&key(), None);
        let nothing: fn(&Tier) = |_| {};
        let all = [(purge, false), (replace, false), (nothing, true)];
        for (is_begun, (change, is_kept)) in [false, true].into_iter().flat_map(|begun| all.map(|row| (begun, row))) {
            tier.forget(&of);
            let mut copying = pin!(filed::copied(tier.clone(), of.clone(), large.clone(), None));
            if is_begun {
                let is_under_way = poll_fn(|cx| Poll::Ready(copying.as_mut().poll(cx).is_pending())).await;
                assert!(is_under_way && !tier.has(&of));
            }
            change(tier);
            copying.await;
            assert_eq!(tier.has(&of), is_kept);
        }
        running.kill().await;
    });
}
