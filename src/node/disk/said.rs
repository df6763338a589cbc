//! Where a URL lies on the disk, or why it does not: for people.

use super::*;
use crate::store::disk::DiskAccount;
use serde_json::json;

/// What was stored before is doubtful, and the reason is not remembered.
const EARLIER: &str = "so it was when this process began";
const GROUP: &str = "a group that its Cache-Groups names may have become invalid (RFC 9875 section 3)";
const PRIVATE: &str = "what only clients on this machine may have is never written";

impl DiskState {
    fn name(self) -> &'static str {
        match self {
            DiskState::Off => "off",
            DiskState::Reading => "reading",
            DiskState::On => "on",
            DiskState::Full => "full",
            DiskState::Failed => "failed",
        }
    }

    /// Why it can be asked for nothing.
    fn trouble(self) -> Option<&'static str> {
        match self {
            DiskState::Off => Some("its folder cannot be had now, see the log"),
            DiskState::Reading => Some("its journal is still read"),
            DiskState::Failed => Some("it has failed and is left alone for a while, see the log"),
            DiskState::On | DiskState::Full => None,
        }
    }
}

impl Tier {
    /// `entry`: what memory has of the URL.
    pub fn said_of(&self, key: &Key, entry: Option<&Entry>) -> Value {
        let (state, now) = (self.state.get(), clock::now());
        if let Some(why) = state.trouble() {
            return json!({"state": state.name(), "there": false, "why": why});
        }
        match self.disk.borrow().account(key.hash()) {
            DiskAccount::There { bytes, file, begun, slot, is_written } => {
                let validate = slot.has(IndexSlot::DOUBTFUL);
                json!({
                    "state": state.name(),
                    "there": true,
                    "written": is_written,
                    "bytes": bytes,
                    "file_bytes": file,
                    "since": now.millis_since(begun) / 1000,
                    "validate": validate,
                    "why": validate.then(|| self.why_doubtful(slot, now)),
                })
            }
            DiskAccount::Absent(why) => {
                let is_private = entry.is_some_and(|entry| !entry.may_lie_on_disk());
                let why = if is_private { Some(PRIVATE) } else { why.map(Skipped::sentence) };
                json!({"state": state.name(), "there": false, "why": why})
            }
        }
    }

    fn why_doubtful(&self, slot: IndexSlot, now: Timestamp) -> String {
        match self.doubted.get() {
            Some((at, why)) => format!("{why} ({} s ago)", now.millis_since(at) / 1000),
            None if slot.has(IndexSlot::GROUPED) => GROUP.to_owned(),
            None => EARLIER.to_owned(),
        }
    }
}
