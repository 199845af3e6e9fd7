//! One file of the simulated disk: what processes see, what is certain, and what a crash decides about.

use super::SplitMix64;

/// What a disk writes as one, in bytes; a crash may even cut this.
const SECTOR: usize = 512;

#[derive(Default)]
pub(super) struct Inode {
    /// As running processes see it.
    pub(super) seen: Vec<u8>,
    /// As it certainly is after a crash.
    pub(super) durable: Vec<u8>,
    /// What a crash may or may not leave of.
    pub(super) pending: Vec<Change>,
    /// Bytes whose space was given back.
    punched: u64,
}

pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settling {
    All,
    ByChance,
}

impl Inode {
    /// Brings what is pending to the platter: all of it, or as chance has it, sector by sector.
    pub(super) fn settle(&mut self, random: &mut SplitMix64, how: Settling) {
        // Often everything arrives or nothing does; the rest of the time each sector decides for itself.
        let arrives = [0, 1000, 500, 900][random.below(4) as usize];
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Length(length) if how == Settling::All || random.happens(arrives) => {
                    self.durable.resize(length, 0);
                }
                Change::Length(_) => {}
                Change::Write { offset, bytes } if how == Settling::All => put(&mut self.durable, offset, &bytes),
                Change::Write { offset, bytes } => self.write_in_part(random, arrives, offset, &bytes),
            }
        }
    }

    fn write_in_part(&mut self, random: &mut SplitMix64, arrives: u64, offset: usize, bytes: &[u8]) {
        let (mut at, end) = (offset, offset + bytes.len());
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            if random.happens(arrives) {
                put(&mut self.durable, at, &bytes[at - offset..next - offset]);
            } else if random.happens(50) {
                let cut = at + random.below((next - at) as u64) as usize;
                put(&mut self.durable, at, &bytes[at - offset..cut - offset]);
            }
            at = next;
        }
    }

    /// After a crash the holes may be filled again; who wants the space punches again.
    pub(super) fn forget_holes(&mut self) {
        self.punched = 0;
    }

    /// Bytes of the disk that the file takes.
    pub(super) fn used(&self) -> u64 {
        (self.seen.len() as u64).saturating_sub(self.punched)
    }

    /// Zeros, which a crash may undo in part as it may a write.
    pub(super) fn punch(&mut self, offset: usize, length: usize) {
        let length = length.min(self.seen.len().saturating_sub(offset));
        let before = self.seen[offset..offset + length].iter().filter(|byte| **byte != 0).count();
        // What was zero may be a hole already; that counts for nothing here.
        self.punched += if before == 0 { 0 } else { length as u64 };
        self.write(offset, vec![0; length]);
    }

    pub(super) fn write(&mut self, offset: usize, bytes: Vec<u8>) {
        put(&mut self.seen, offset, &bytes);
        self.pending.push(Change::Write { offset, bytes });
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}
