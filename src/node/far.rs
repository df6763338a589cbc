//! Reading bodies that lie in files of their own, piece by piece, through the threads that wait for the disk.

use super::disk_threads::{BodyAnswer, OpenBody, ReadAsker};
use crate::account::{AccountKind, Hold};
use crate::net::descriptors::{PAUSE, is_our_lack};
use crate::store::disk::{BodyFile, Unread};
use crate::store::{FarBody, FarGone, FarReader};
use crate::wire::fault::{Blame, Kind, Whose};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What came of reading bodies, for who decides how the disk fares.
pub enum BodyNews {
    Late,
    /// What this file has is not what was written.
    Bad(u64),
    System(io::Error),
}

/// How long a body is waited for.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    pub first: Duration,
    /// Of one whose head has gone out, so that nothing can take its place.
    pub later: Duration,
}

/// The way to such files, for as long as the disk is in use.
pub struct BodyAccess {
    asker: ReadAsker,
    limits: ReadLimits,
    news: Mutex<Vec<BodyNews>>,
    reads: AtomicU64,
}

impl BodyAccess {
    pub fn new(asker: ReadAsker, limits: ReadLimits) -> Arc<BodyAccess> {
        Arc::new(BodyAccess { asker, limits, news: Mutex::default(), reads: AtomicU64::new(0) })
    }

    /// What has come of it since this was asked last, and how many pieces were read.
    pub fn take_news(&self) -> (Vec<BodyNews>, u64) {
        let news = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
        (news, self.reads.swap(0, Ordering::Relaxed))
    }

    fn tell(&self, news: BodyNews) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push(news);
    }
}

impl fmt::Debug for BodyAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyAccess")
    }
}

/// A body in a file of its own.
#[derive(Debug)]
pub struct DiskBody {
    file: BodyFile,
    access: Weak<BodyAccess>,
}

impl DiskBody {
    pub fn new(file: BodyFile, access: &Arc<BodyAccess>) -> DiskBody {
        DiskBody { file, access: Arc::downgrade(access) }
    }
}

impl FarBody for DiskBody {
    fn length(&self) -> u64 {
        self.file.length
    }

    fn number(&self) -> u64 {
        self.file.number
    }

    fn reader(&self) -> Box<dyn FarReader> {
        Box::new(DiskBodyReader::new(self.file, self.access.clone()))
    }
}

/// What cannot be read any more is our fault, not the origin's.
pub fn blame_of(gone: FarGone) -> Blame {
    let kind = match gone {
        FarGone::Late => Kind::ConnectionReadTimeout,
        FarGone::Lacking => Kind::ConnectionLimitReached,
        FarGone::Lost => Kind::ProxyInternalError,
    };
    Blame::new(Whose::Us, kind)
}

type Asking = Pin<Box<dyn Future<Output = Result<(Bytes, OpenBody), FarGone>>>>;

/// Reads such a body. It keeps the file open, so that what is removed meanwhile is read to its end.
pub struct DiskBodyReader {
    file: BodyFile,
    access: Weak<BodyAccess>,
    open: Option<OpenBody>,
    asking: Option<(u64, Asking)>,
    hold: Arc<Hold>,
    /// Nothing else can take its place: it waits where we have no file left to begin with.
    waits: bool,
}

impl DiskBodyReader {
    pub fn new(file: BodyFile, access: Weak<BodyAccess>) -> DiskBodyReader {
        let hold = Hold::new(AccountKind::Readers);
        DiskBodyReader { file, access, open: None, asking: None, hold, waits: false }
    }

    /// Of a body that comes, and is sent at the same time.
    pub fn of_coming(file: BodyFile, access: Weak<BodyAccess>) -> DiskBodyReader {
        DiskBodyReader { waits: true, ..DiskBodyReader::new(file, access) }
    }

    /// So much of it is there by now.
    pub fn is_longer(&mut self, length: u64) {
        self.file = self.file.with_length(length);
    }
}

impl FarReader for DiskBodyReader {
    fn poll_piece(&mut self, at: u64, cx: &mut Context<'_>) -> Poll<Result<Bytes, FarGone>> {
        let (file, access, open, waits) = (self.file, &self.access, &self.open, self.waits);
        let ask = || {
            let (access, open) = (access.clone(), open.clone());
            let asking: Asking = match waits {
                true => Box::pin(waited_for(access, file, open, at)),
                false => Box::pin(piece(access, file, open, at)),
            };
            (at, asking)
        };
        let (asked, asking) = self.asking.get_or_insert_with(ask);
        debug_assert_eq!(*asked, at);
        let Poll::Ready(read) = asking.as_mut().poll(cx) else { return Poll::Pending };
        self.asking = None;
        Poll::Ready(match read {
            Ok((piece, open)) if !piece.is_empty() => {
                self.open = Some(open);
                Ok(self.hold.follow(piece))
            }
            Ok(_) => Err(FarGone::Lost),
            Err(gone) => Err(gone),
        })
    }
}

/// The same where it is waited for that we have a file again.
async fn waited_for(
    access: Weak<BodyAccess>,
    file: BodyFile,
    open: Option<OpenBody>,
    at: u64,
) -> Result<(Bytes, OpenBody), FarGone> {
    let limit = access.upgrade().ok_or(FarGone::Lost)?.limits.later;
    let read = timeout(limit, async {
        loop {
            match piece(access.clone(), file, open.clone(), at).await {
                Err(FarGone::Lacking) => sleep(PAUSE).await,
                read => return read,
            }
        }
    });
    read.await.unwrap_or(Err(FarGone::Lacking))
}

async fn piece(
    access: Weak<BodyAccess>,
    file: BodyFile,
    open: Option<OpenBody>,
    at: u64,
) -> Result<(Bytes, OpenBody), FarGone> {
    let access = access.upgrade().ok_or(FarGone::Lost)?;
    let limit = if open.is_some() { access.limits.later } else { access.limits.first };
    let read = timeout(limit, async { access.asker.clone().ask_apart(file, open, at).await?.await.ok() });
    let answer: BodyAnswer = match read.await {
        Ok(answer) => answer.ok_or(FarGone::Lost)?,
        Err(_) => {
            access.tell(BodyNews::Late);
            return Err(FarGone::Late);
        }
    };
    access.reads.fetch_add(1, Ordering::Relaxed);
    answer.map_err(|why| {
        let mut gone = FarGone::Lost;
        match why {
            Unread::Bad(_) => access.tell(BodyNews::Bad(file.number)),
            // It may have been removed before anybody opened it.
            Unread::System(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Unread::System(cause) => {
                if is_our_lack(&cause) {
                    gone = FarGone::Lacking;
                }
                access.tell(BodyNews::System(cause));
            }
        }
        gone
    })
}
