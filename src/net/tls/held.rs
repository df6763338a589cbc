//! What sessions hold for those at their other ends, besides what goes through them.

use crate::account;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Of each: its keys, and what it keeps between two records.
const SESSION: u64 = 8 * 1024;

static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// Bytes of all in this process.
pub fn held() -> u64 {
    SESSIONS.load(Relaxed) * SESSION
}

/// A session, in the account until dropped.
pub(super) struct HeldSession(());

impl HeldSession {
    pub(super) fn new() -> HeldSession {
        SESSIONS.fetch_add(1, Relaxed);
        HeldSession(())
    }
}

impl Drop for HeldSession {
    fn drop(&mut self) {
        SESSIONS.fetch_sub(1, Relaxed);
        account::count_freed(SESSION);
    }
}
