//! Bits that flip on the simulated disk: in a payload while the log runs, in a header or anywhere while it is off. Knows
//! what may be missing because of them, so that everything else has to be there.

use std::collections::HashSet;

use super::super::super::format::{self, FILE_HEADER_BYTES, FileHeader, TRAILER_BYTES, Trailer};
use super::super::super::header::Legible;
use super::*;

/// What has flipped, and what it may have touched.
pub(super) struct Rot {
    /// Whether bits flip in this world.
    pub(super) happens: bool,
    /// Heads and footers may be hit: after a start any record may be missing.
    pub(super) is_rotten: bool,
    /// Rows whose payload was hit, by when they were published.
    pub(super) spoiled: HashSet<Timestamp>,
    /// Standing objects that were hit: they cannot be carried forward, and what they replaced may be back.
    haunted: HashSet<Key>,
    /// Whatever anybody was told of an object, or tried.
    told: HashMap<Key, Vec<State>>,
    pub(super) entries: Vec<Entry>,
}

impl Rot {
    pub(super) fn new(happens: bool) -> Self {
        let (spoiled, haunted, told, entries) = Default::default();
        Self { happens, is_rotten: false, spoiled, haunted, told, entries }
    }

    pub(super) fn told(&mut self, key: &Key, state: &State) {
        if self.happens {
            self.told.entry(key.clone()).or_default().push(state.clone());
        }
    }

    pub(super) fn touches(&self, key: &Key) -> bool {
        self.is_rotten || self.haunted.contains(key)
    }

    /// Whether a row may be gone from a running log.
    pub(super) fn may_be_lost(&self, key: &Key, truth: &Truth) -> bool {
        self.haunted.contains(key)
            || self.is_rotten && matches!(&truth.acked, State::Row(row) if row.keep == Keep::Standing)
    }

    pub(super) fn may_be_spoiled(&self, row: &Row) -> bool {
        self.is_rotten || self.spoiled.contains(&row.published)
    }

    /// Whether what is there was there once, or was tried.
    pub(super) fn explains(&self, key: &Key, actual: &State) -> bool {
        let State::Row(row) = actual else { return true };
        let explained = |state: &State| match state {
            State::Attempt(digest) => row.digest == *digest,
            state => state == actual,
        };
        let removed = row.is_removed() && row.digest == Body::default().digest();
        removed || self.told.get(key).is_some_and(|states| states.iter().any(explained))
    }
}

impl World {
    /// Now and then flips a bit of the payload of something that was acked.
    pub(super) fn rot_while_running(&mut self, log: &Arc<Log>, met: &mut Met) {
        if !self.rot.happens || !self.random.happens(150) {
            return;
        }
        let has_bytes = |row: &&Row| row.size > 0 && !row.is_removed();
        let rows = self.objects.values().filter_map(|truth| match &truth.acked {
            State::Row(row) => Some(row).filter(has_bytes),
            _ => None,
        });
        let rows: Vec<Row> = rows.cloned().collect();
        if rows.is_empty() {
            return;
        }
        let row = &rows[self.random.below(rows.len() as u64) as usize];
        let Some(stored) = log.shared.index.read().current(&row.key).cloned() else { return };
        let name = format::file_name(stored.bucket);
        let at = stored.extent.payload + self.random.below(row.size);
        self.disk.flip_bit(&name, at as usize);
        met.flipped += 1;
        self.rot.spoiled.insert(row.published);
        if row.keep == Keep::Standing {
            self.rot.haunted.insert(row.key.clone());
        }
        // A scan takes the damaged end of a file for one that was torn, and a footer may not have been synced.
        self.rot.is_rotten |= !is_sealed(&self.disk.durable_bytes(&name).unwrap_or_default(), stored.bucket);
    }

    /// Now and then flips bits of files, of their headers above all.
    pub(super) fn rot_while_off(&mut self, met: &mut Met) {
        if !self.rot.happens || !self.random.happens(600) {
            return;
        }
        for name in Disk::list(&*self.disk).unwrap() {
            let length = self.disk.bytes(&name).map_or(0, |bytes| bytes.len()) as u64;
            let (header, anywhere) = (self.random.happens(500), self.random.happens(250));
            if header && length > 0 {
                let at = self.random.below(length.min(FILE_HEADER_BYTES as u64));
                self.disk.flip_bit(&name, at as usize);
                met.flipped += 1;
            }
            if anywhere && length > 0 {
                self.disk.flip_bit(&name, self.random.below(length) as usize);
                met.flipped += 1;
                self.rot.is_rotten = true;
            }
        }
    }
}

/// Whether a footer is there as a whole.
fn is_sealed(bytes: &[u8], id: u64) -> bool {
    let header = bytes.first_chunk().and_then(|block| FileHeader::decode_block(block, id).ok());
    let trailer = bytes.last_chunk::<TRAILER_BYTES>().and_then(Trailer::decode);
    let (Some(Legible::Whole(header) | Legible::Mended(header)), Some(trailer)) = (header, trailer) else {
        return false;
    };
    let footer = bytes.get(trailer.footer as usize..bytes.len() - TRAILER_BYTES);
    footer.is_some_and(|footer| trailer.holds(footer, header.seed()))
}
