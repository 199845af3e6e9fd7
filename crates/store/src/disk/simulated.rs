//! A disk in memory that does to a store what real ones do at the worst moment: it loses, tears and reorders what was
//! not synced, forgets names whose directory was not synced, runs full, and fails on command. The same seed gives the
//! same disk, whatever the machine. Must never be kinder than a real disk is allowed to be unkind.

mod call;
mod inode;
mod random;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, File};
pub use call::Call;
use inode::{Change, Inode, Settling};
pub use random::SplitMix64;

/// The simulated disk. It outlives the stores that run on it, as a real one does.
pub struct Simulated {
    state: Arc<Mutex<State>>,
}

struct State {
    random: SplitMix64,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    capacity: u64,
    /// Counts processes: handles of an earlier one are dead.
    process: u64,
    locked: Option<u64>,
    failures: BTreeMap<Call, u32>,
    failure_per_mille: u64,
    /// Changing calls until the power goes.
    power: Option<u64>,
    off: bool,
}

impl Simulated {
    /// An empty disk without end.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        let state = State {
            random: SplitMix64(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            capacity: u64::MAX,
            process: 0,
            locked: None,
            failures: BTreeMap::new(),
            failure_per_mille: 0,
            power: None,
            off: false,
        };
        Arc::new(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// The disk holds `bytes` in all from now on.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// The next `times` calls of this kind fail.
    pub fn fail_next(&self, call: Call, times: u32) {
        self.state.lock().failures.insert(call, times);
    }

    /// From now on every changing call fails this often in a thousand.
    pub fn fail_often(&self, per_mille: u64) {
        self.state.lock().failure_per_mille = per_mille;
    }

    /// The power goes in the middle of the changing call number `calls` from now.
    pub fn cut_power_in(&self, calls: u64) {
        self.state.lock().power = Some(calls);
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Power loss and a new start: of what was not synced anything may be left.
    pub fn crash(&self) {
        let mut state = self.state.lock();
        state.lose_unsynced();
        state.restart();
    }

    /// The process dies, the machine does not: what was written stays as it was seen.
    pub fn kill(&self) {
        self.state.lock().restart();
    }

    /// Flips a bit of a file, durably.
    pub fn flip_bit(&self, name: &str, offset: usize) {
        let mut state = self.state.lock();
        let Some(inode) = state.names.get(name).copied() else { return };
        let inode = &mut state.inodes[inode];
        for bytes in [&mut inode.seen, &mut inode.durable] {
            if let Some(byte) = bytes.get_mut(offset) {
                *byte ^= 1;
            }
        }
    }

    /// A file's bytes as they certainly are after a crash, apart from what is pending.
    #[must_use]
    pub fn durable_bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(name).map(|inode| state.inodes[*inode].durable.clone())
    }

    /// A file's bytes as a running process sees them.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(name).map(|inode| state.inodes[*inode].seen.clone())
    }
}

impl State {
    /// Whether a call may go ahead; a changing one may be the one during which the power goes.
    fn call(&mut self, call: Call, process: u64) -> io::Result<Fate> {
        if self.off || process != self.process {
            return Err(io::Error::other("the power is off"));
        }
        if let Some(left) = self.failures.get_mut(&call).filter(|left| **left > 0) {
            *left -= 1;
            return Ok(Fate::Fails);
        }
        if call == Call::Read {
            return Ok(Fate::Succeeds);
        }
        if let Some(left) = &mut self.power {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.power = None;
                self.off = true;
                return Ok(Fate::Fails);
            }
        }
        let rate = self.failure_per_mille;
        Ok(if rate > 0 && self.random.happens(rate) { Fate::Fails } else { Fate::Succeeds })
    }

    fn free(&self) -> u64 {
        let used: u64 = self.names.values().map(|inode| self.inodes[*inode].used()).sum();
        self.capacity.saturating_sub(used)
    }

    fn restart(&mut self) {
        self.process += 1;
        self.locked = None;
        self.off = false;
        self.power = None;
        self.failures.clear();
        self.failure_per_mille = 0;
    }

    fn lose_unsynced(&mut self) {
        let Self { random, inodes, names, durable_names, .. } = self;
        for inode in inodes.iter_mut() {
            inode.settle(random, Settling::ByChance);
            inode.seen = inode.durable.clone();
            inode.forget_holes();
        }
        let uncertain: Vec<String> = names.keys().chain(durable_names.keys()).cloned().collect();
        for name in uncertain {
            if names.get(&name) == durable_names.get(&name) {
                continue;
            }
            match (names.get(&name).copied(), random.happens(500)) {
                (Some(inode), true) => drop(durable_names.insert(name, inode)),
                (None, true) => drop(durable_names.remove(&name)),
                (_, false) => {}
            }
        }
        *names = durable_names.clone();
    }
}

enum Fate {
    Succeeds,
    Fails,
}

fn failed() -> io::Error {
    io::Error::other("the disk failed on command")
}

fn bad_sector() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error())
}

impl Disk for Simulated {
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state.lock();
        if state.locked.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = Some(state.process);
        Ok(Box::new(Lock { state: Arc::clone(&self.state), process: state.process }))
    }

    fn in_use(&self) -> io::Result<bool> {
        Ok(self.state.lock().locked.is_some())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        let process = state.process;
        if let Fate::Fails = state.call(Call::Create, process)? {
            return Err(failed());
        }
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        Ok(Arc::new(Handle { state: Arc::clone(&self.state), inode, process }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = self.state.lock();
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Handle { state: Arc::clone(&self.state), inode, process: state.process }))
    }

    fn open_to_repair(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let process = state.process;
        if let Fate::Fails = state.call(Call::Rename, process)? {
            return Err(failed());
        }
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let process = state.process;
        let fate = state.call(Call::Unlink, process)?;
        if let Fate::Fails = fate {
            return Err(failed());
        }
        state.names.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let process = state.process;
        if let Fate::Fails = state.call(Call::SyncDir, process)? {
            return Err(failed());
        }
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.state.lock().free())
    }

    fn total_bytes(&self) -> io::Result<u64> {
        Ok(self.state.lock().capacity)
    }

    fn place(&self) -> String {
        "the simulated disk".into()
    }
}

struct Lock {
    state: Arc<Mutex<State>>,
    process: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        if state.locked == Some(self.process) {
            state.locked = None;
        }
    }
}

struct Handle {
    state: Arc<Mutex<State>>,
    inode: usize,
    process: u64,
}

impl File for Handle {
    fn length(&self) -> io::Result<u64> {
        Ok(self.state.lock().inodes[self.inode].seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Fate::Fails = state.call(Call::Read, self.process)? {
            return Err(bad_sector());
        }
        let seen = &state.inodes[self.inode].seen;
        let from = seen.get(offset as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut bytes = slices.iter().map(|slice| &**slice).collect::<Vec<&[u8]>>().concat();
        let mut state = self.state.lock();
        let fate = state.call(Call::Write, self.process)?;
        let end = offset as usize + bytes.len();
        let grows = end.saturating_sub(state.inodes[self.inode].seen.len()) as u64;
        let full = grows > state.free();
        if full || matches!(fate, Fate::Fails) {
            let part = state.random.below(bytes.len() as u64 + 1) as usize;
            bytes.truncate(if full { part.min(state.free() as usize) } else { part });
        }
        state.inodes[self.inode].write(offset as usize, bytes);
        match fate {
            Fate::Fails => Err(failed()),
            Fate::Succeeds if full => Err(io::ErrorKind::StorageFull.into()),
            Fate::Succeeds => Ok(()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let fate = state.call(Call::Sync, self.process)?;
        let State { inodes, random, off, .. } = &mut *state;
        match fate {
            // As on Linux: after a failed sync the pages count as clean, and what did not arrive never will.
            Fate::Fails if !*off => {
                inodes[self.inode].settle(random, Settling::ByChance);
                Err(failed())
            }
            Fate::Fails => Err(failed()),
            Fate::Succeeds => {
                inodes[self.inode].settle(random, Settling::All);
                Ok(())
            }
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Fate::Fails = state.call(Call::Truncate, self.process)? {
            return Err(failed());
        }
        let inode = &mut state.inodes[self.inode];
        inode.seen.resize(length as usize, 0);
        inode.pending.push(Change::Length(length as usize));
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if let Fate::Fails = state.call(Call::Punch, self.process)? {
            return Err(failed());
        }
        state.inodes[self.inode].punch(offset as usize, length as usize);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &dyn File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_at(&mut [IoSlice::new(bytes)], offset)
    }

    #[test]
    fn what_is_synced_survives_a_crash_and_the_rest_is_whole_torn_or_lost() {
        let (mut whole, mut torn, mut lost) = (0, 0, 0);
        for seed in 0..200 {
            let disk = Simulated::new(seed);
            let file = disk.create("x").unwrap();
            write(&*file, 0, &[1; 2048]).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir().unwrap();
            write(&*file, 2048, &[2; 2048]).unwrap();
            disk.crash();
            let bytes = disk.bytes("x").unwrap();
            assert_eq!(bytes[..2048], [1; 2048]);
            match bytes[2048..].iter().filter(|byte| **byte == 2).count() {
                0 => lost += 1,
                2048 => whole += 1,
                _ => torn += 1,
            }
            assert!(file.sync_data().is_err(), "the handle died with its process");
        }
        assert!(whole > 10 && torn > 10 && lost > 10, "{whole} {torn} {lost}");
    }

    #[test]
    fn a_name_is_certain_only_once_the_directory_is_synced() {
        let mut kept = 0;
        for seed in 0..100 {
            let disk = Simulated::new(seed);
            disk.create("x").unwrap().sync_data().unwrap();
            disk.crash();
            kept += disk.list().unwrap().len();
        }
        assert!((20..80).contains(&kept), "{kept}");
    }

    #[test]
    fn a_failed_sync_loses_what_a_later_one_does_not_bring_back() {
        let mut lost = 0;
        for seed in 0..100 {
            let disk = Simulated::new(seed);
            let file = disk.create("x").unwrap();
            disk.sync_dir().unwrap();
            write(&*file, 0, &[1; 512]).unwrap();
            disk.fail_next(Call::Sync, 1);
            file.sync_data().unwrap_err();
            file.sync_data().unwrap();
            assert_eq!(disk.bytes("x").unwrap(), [1; 512], "the page cache still shows it");
            disk.crash();
            lost += usize::from(disk.bytes("x").unwrap() != [1; 512]);
        }
        assert!(lost > 10, "{lost}");
    }

    #[test]
    fn a_full_disk_writes_a_part_and_says_so() {
        let disk = Simulated::new(1);
        disk.set_capacity(1000);
        let file = disk.create("x").unwrap();
        write(&*file, 0, &[1; 900]).unwrap();
        assert_eq!(write(&*file, 900, &[1; 200]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(disk.free_bytes().unwrap() <= 100);
        file.truncate(0).unwrap();
        assert_eq!(disk.free_bytes().unwrap(), 1000);
    }
}
