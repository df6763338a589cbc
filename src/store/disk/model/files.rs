//! Files that behave as badly as a system may.

use super::super::files::{FileName, Files};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard};

/// What reaches a disk at once, or half of it.
const PAGE: usize = 4096;

#[derive(Clone, Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug, Default)]
struct ModelState {
    inodes: Vec<Inode>,
    names: BTreeMap<FileName, usize>,
    synced: BTreeMap<FileName, usize>,
    reserved: BTreeMap<FileName, u64>,
    limit: Option<u64>,
    failing: Option<FileName>,
    lacking: bool,
    unsyncable: bool,
    syncs: u64,
}

impl ModelState {
    fn reserved_by_segments(&self, besides: Option<FileName>) -> u64 {
        let segments = self.names.keys().filter(|name| matches!(name, FileName::Segment(_)) && Some(**name) != besides);
        segments.map(|name| self.reserved[name]).sum()
    }
}

#[derive(Debug, Default)]
pub struct Model(Mutex<ModelState>);

impl Model {
    fn state(&self) -> MutexGuard<'_, ModelState> {
        self.0.lock().unwrap()
    }

    pub fn fork(&self) -> Model {
        Model(Mutex::new(self.state().clone()))
    }

    /// So many bytes of segments may be reserved.
    pub fn limit(&self, bytes: u64) {
        self.state().limit = Some(bytes);
    }

    /// Writes to this file fail.
    pub fn fail(&self, name: Option<FileName>) {
        self.state().failing = name;
    }

    /// No file can be made: the process may have no more.
    pub fn lack(&self, lack: bool) {
        self.state().lacking = lack;
    }

    /// Syncs fail.
    pub fn fail_syncs(&self, fail: bool) {
        self.state().unsyncable = fail;
    }

    /// How many there were.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub fn change(&self, name: FileName, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let inode = state.names[&name];
        change(&mut state.inodes[inode].now);
    }

    pub fn length(&self, which: &dyn Fn(FileName) -> bool) -> u64 {
        let state = self.state();
        state
            .names
            .iter()
            .filter(|(name, _)| which(**name))
            .map(|(_, inode)| state.inodes[*inode].now.len() as u64)
            .sum()
    }

    /// That all files have room for.
    pub fn bytes(&self) -> u64 {
        let state = self.state();
        let bytes =
            |(name, inode): (&FileName, &usize)| (state.inodes[*inode].now.len() as u64).max(state.reserved[name]);
        state.names.iter().map(bytes).sum()
    }

    /// Of what was not synced some is there, some is not, some is there in half. `None`: nothing of it is.
    pub fn cut_power(&self, luck: Option<u64>) {
        let mut luck = luck.map(Luck);
        let mut any = |of: u64| luck.as_mut().map_or(0, |luck| luck.next() % of);
        let mut state = self.state();
        let ModelState { inodes, names, synced, .. } = &mut *state;
        for inode in inodes.iter_mut() {
            let mut after = inode.synced.clone();
            for page in std::mem::take(&mut inode.dirty) {
                let start = page * PAGE;
                let written = [0, PAGE, PAGE / 2, any(PAGE as u64) as usize][any(4) as usize];
                let end = inode.now.len().min(start + written);
                if start < end {
                    after.resize(after.len().max(end), 0);
                    after[start..end].copy_from_slice(&inode.now[start..end]);
                }
            }
            (inode.now, inode.synced) = (after.clone(), after);
        }
        let all: BTreeSet<FileName> = names.keys().chain(synced.keys()).copied().collect();
        for name in all {
            let is_as_synced = names.get(&name) == synced.get(&name) || any(2) == 0;
            let after = if is_as_synced { synced.get(&name) } else { names.get(&name) }.copied();
            match after {
                Some(inode) => _ = names.insert(name, inode),
                None => _ = names.remove(&name),
            }
        }
        *synced = names.clone();
    }
}

/// Numbers that follow from the first.
struct Luck(u64);

impl Luck {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 31
    }
}

fn absent() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Files for Model {
    type Open = usize;

    fn list(&self) -> io::Result<Vec<(FileName, u64)>> {
        let state = self.state();
        Ok(state.names.iter().map(|(name, inode)| (*name, state.inodes[*inode].now.len() as u64)).collect())
    }

    fn create(&self, name: FileName, length: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.lacking {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let is_segment = matches!(name, FileName::Segment(_));
        if is_segment && state.limit.is_some_and(|limit| state.reserved_by_segments(None) + length > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name, inode);
        state.reserved.insert(name, length);
        Ok(())
    }

    fn reserve(&self, name: FileName, length: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.limit.is_some_and(|limit| state.reserved_by_segments(Some(name)) + length > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.reserved.insert(name, length);
        Ok(())
    }

    fn shorten(&self, name: FileName) -> io::Result<()> {
        let mut state = self.state();
        let inode = *state.names.get(&name).ok_or_else(absent)?;
        let length = state.inodes[inode].now.len() as u64;
        state.reserved.insert(name, length);
        Ok(())
    }

    fn write(&self, name: FileName, at: u64, bytes: &[u8]) -> io::Result<()> {
        let state = self.state();
        if state.failing == Some(name) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        drop(state);
        self.write_to(&self.open(name)?, at, bytes)
    }

    fn open(&self, name: FileName) -> io::Result<usize> {
        self.state().names.get(&name).copied().ok_or_else(absent)
    }

    fn write_to(&self, inode: &usize, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let inode = &mut state.inodes[*inode];
        let (start, end) = (at as usize, at as usize + bytes.len());
        inode.now.resize(inode.now.len().max(end), 0);
        inode.now[start..end].copy_from_slice(bytes);
        inode.dirty.extend(start / PAGE..end.div_ceil(PAGE));
        Ok(())
    }

    fn read_from(&self, inode: &usize, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.state();
        let there = state.inodes[*inode].now.get(at as usize..).unwrap_or_default();
        let length = there.len().min(into.len());
        into[..length].copy_from_slice(&there[..length]);
        Ok(length)
    }

    fn read_at_once(&self, name: FileName, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let read = self.read(name, at, into)?;
        // Whose end was guessed too far is not whole.
        if read == into.len() { Ok(read) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn sync(&self, name: FileName) -> io::Result<()> {
        let mut state = self.state();
        if state.unsyncable {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        state.syncs += 1;
        let inode = *state.names.get(&name).ok_or_else(absent)?;
        let inode = &mut state.inodes[inode];
        inode.synced = inode.now.clone();
        inode.dirty.clear();
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.synced = state.names.clone();
        Ok(())
    }

    fn rename(&self, from: FileName, to: FileName) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.names.remove(&from).ok_or_else(absent)?;
        let reserved = state.reserved.remove(&from).unwrap_or_default();
        state.names.insert(to, inode);
        state.reserved.insert(to, reserved);
        Ok(())
    }

    fn remove(&self, name: FileName) -> io::Result<()> {
        let mut state = self.state();
        state.names.remove(&name);
        Ok(())
    }
}
