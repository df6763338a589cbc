//! How the disk begins, is listened to, and is given up.

use super::*;

impl Tier {
    pub(super) fn begin(&self) {
        let lineage = random() | 1;
        let (machine, policy, now) = (self.machine, self.policy, clock::now().0);
        let (reserve, room) = (self.plan.reserve(), self.plan.room());
        let opening = Opening { machine, policy, now, lineage, reserve, room };
        self.begun.set(clock::now());
        self.distrusted.take();
        match start(&self.folder, &self.id, opening) {
            Ok((writer, news)) => {
                self.turn(DiskState::Reading);
                *self.writer.borrow_mut() = Some(writer);
                *self.news.borrow_mut() = Some(news);
            }
            Err(cause) => {
                tracing::warn!("no thread for the disk can be started ({cause}): what is cached is kept in memory only")
            }
        }
    }

    fn turn(&self, state: DiskState) {
        self.state.set(state);
        self.changed.notify_waiters();
    }

    /// Takes note of what the threads have done, for as long as the node runs.
    pub async fn run(self: Rc<Tier>) {
        loop {
            let news = self.news.borrow_mut().take();
            match news {
                Some(news) => self.listen(news).await,
                None => {
                    let pause = self.trouble.pause();
                    sleep(pause).await;
                    self.trouble.begin();
                    self.begin();
                }
            }
        }
    }

    /// Until the threads have ended, or are given up.
    async fn listen(&self, mut news: mpsc::UnboundedReceiver<News>) {
        let mut noted = clock::now();
        while self.state.get() != DiskState::Failed {
            let pause = if self.disk.borrow().is_drafting() { PART } else { LOOK };
            match timeout(pause, news.recv()).await {
                Ok(Some(News::Marked)) => {
                    self.distrusted.borrow().store(true, Ordering::Release);
                    self.turn(DiskState::Reading);
                }
                Ok(Some(News::Opened(readers, found))) => self.opened(readers, *found),
                Ok(Some(News::Waits(why))) => {
                    self.turn(DiskState::Off);
                    tracing::warn!("disk: {why}");
                }
                Ok(Some(News::Denied(why))) => {
                    self.turn(DiskState::Off);
                    tracing::warn!("disk: {why}; until then what is cached is kept in memory only");
                }
                Ok(Some(News::Done(all))) => {
                    self.trouble.writes.in_time();
                    all.into_iter().for_each(|done| self.done(done));
                }
                Ok(None) => {
                    // One that had the folder ends because nobody tells it anything any more, or by a fault of ours.
                    if self.disk.borrow().is_read() {
                        self.fail("the thread that writes has ended");
                    }
                    break;
                }
                Err(_) => {}
            }
            let now = clock::now();
            let mut disk = self.disk.borrow_mut();
            disk.go_on(now);
            if now.millis_since(noted) >= NOTE && disk.is_read() {
                noted = now;
                disk.note_time(now);
            }
            drop(disk);
            self.heed_bodies();
            self.send();
        }
        self.give_up();
    }

    fn opened(&self, readers: Readers, found: Recovered) {
        let (doubted, emptied) = (found.doubted, found.emptied);
        let now = clock::now();
        self.counts.recovery.set(now.millis_since(self.begun.get()));
        self.trouble.works(now);
        // What is missed from here on is to be written.
        self.distrusted.borrow().store(false, Ordering::Release);
        self.lineage.set(found.lineage & ((1 << 53) - 1));
        self.disk.borrow_mut().adopt(found);
        let limits = ReadLimits { first: self.limit, later: self.patience };
        *self.access.borrow_mut() = Some(BodyAccess::new(readers.asker(), limits));
        *self.readers.borrow_mut() = Some(readers);
        self.send();
        self.turn(DiskState::On);
        let disk = self.disk.borrow();
        let (folder, objects, room) = (self.folder.display(), disk.objects(), size(self.plan.size));
        tracing::info!("disk: {objects} URLs are in {folder}, of at most {room}");
        if let Some(why) = doubted {
            self.doubted.set(Some((now, why)));
            tracing::warn!("disk: all that is in {folder} is validated before it is reused, because {why}");
        }
        if let Some(why) = emptied {
            tracing::warn!("disk: {folder} begins anew, because {why}");
        }
    }

    fn done(&self, done: JobDone) {
        self.with_room(|disk, now| disk.done(&done, now));
        match done {
            JobDone::Settled(ticket) => {
                if let Some((noted, waits)) = self.tickets.borrow_mut().remove(&ticket) {
                    self.kept.set(self.kept.get().max(noted));
                    let _ = waits.send(());
                }
            }
            JobDone::Failed(cause) => self.failed(&cause),
            JobDone::Broken(cause) => self.fail(&format!("its journal cannot be written ({cause})")),
            JobDone::Finished => self.ended.notify_one(),
            JobDone::NoRoom(_) | JobDone::NotBegun(_) | JobDone::Stored(..) | JobDone::Lost(..) => {}
            JobDone::Drafted | JobDone::Journal(_) | JobDone::Synced => {}
        }
    }

    /// Something after which there may be no room, or room again.
    pub(super) fn with_room(&self, change: impl FnOnce(&mut Disk, Timestamp)) {
        let was_full = self.disk.borrow().is_full();
        change(&mut self.disk.borrow_mut(), clock::now());
        let is_full = self.disk.borrow().is_full();
        if is_full && !was_full {
            let (folder, wanted) = (self.folder.display(), size(self.plan.size));
            tracing::warn!(
                "disk: the file system of {folder} is full before {wanted} are taken: free some, or lower [disk] size"
            );
        }
        if matches!(self.state.get(), DiskState::On | DiskState::Full) {
            self.state.set(if is_full { DiskState::Full } else { DiskState::On });
        }
    }

    /// An error of the device, or something that we ourselves have none left of: that says nothing of the device.
    pub(super) fn failed(&self, cause: &io::Error) {
        tracing::debug!("disk: {cause}");
        if is_our_lack(cause) {
            return add(&self.counts.lack, 1);
        }
        add(&self.counts.errors, 1);
        if self.trouble.error(clock::now()) {
            self.fail(&cause.to_string());
        }
    }

    pub(super) fn fail(&self, why: &str) {
        if self.state.get() == DiskState::Failed {
            return;
        }
        self.trouble.ends(clock::now());
        let (folder, pause) = (self.folder.display(), self.trouble.pause());
        tracing::error!(
            "disk: {folder} fails ({why}): it is left alone for {pause:?}; see what the system's log says of it"
        );
        // What is taken away from now on is written nowhere.
        self.readers.borrow().iter().for_each(|readers| readers.distrust(&self.distrusted.borrow()));
        // Who listens looks by itself, within a moment.
        self.turn(DiskState::Failed);
        self.tickets.borrow_mut().clear();
    }

    /// What is taken away now is remembered until the folder is read again.
    fn give_up(&self) {
        *self.writer.borrow_mut() = None;
        *self.readers.borrow_mut() = None;
        *self.access.borrow_mut() = None;
        self.disk.borrow_mut().leave();
        self.tickets.borrow_mut().clear();
    }
}
