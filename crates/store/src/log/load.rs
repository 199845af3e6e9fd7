//! Deferred buckets, loaded once somebody asks for what they hold: the footer is read off the runtime and without the
//! lock of the index, and taken in a piece at a time. Must never answer for a bucket that could not be read: what lies in
//! it is neither there nor absent.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use headwater_model::row::Key;

use super::bucket::Stored;
use super::committer::Committer;
use super::deferred::Loaded;
use super::format::{TRAILER_BYTES, file_name};
use super::index::{Index, Late};
use super::look::{self, Found, look};
use super::summary::plain;
use super::{Shared, read};
use crate::StoreError;

/// Records taken in under one lock of the index: a quarter of a millisecond.
const RECORDS_PER_PIECE: usize = 256;

impl Shared {
    /// Has all loaded that may have the record of `key`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] and [`StoreError::Damaged`] if the disk does not give it.
    pub(super) async fn have(self: &Arc<Self>, key: &Key) -> Result<(), StoreError> {
        self.when_loaded(|index| match index.deferred.with_key(key).next() {
            Some(bucket) => Err(bucket),
            None => Ok(()),
        })
        .await
    }

    /// What `ask` says once nothing that it names is deferred any more.
    ///
    /// # Errors
    /// As of [`Shared::have`].
    pub(super) async fn when_loaded<T>(
        self: &Arc<Self>,
        ask: impl Fn(&Index) -> Result<T, u64>,
    ) -> Result<T, StoreError> {
        loop {
            let asked = ask(&self.index.read());
            let bucket = match asked {
                Ok(answer) => return Ok(answer),
                Err(bucket) => bucket,
            };
            let shared = Arc::clone(self);
            let loaded = tokio::task::spawn_blocking(move || shared.load(bucket)).await;
            loaded.map_err(io::Error::other).flatten().map_err(|error| trouble(&error, bucket))?;
        }
    }

    /// Loads a bucket, unless somebody has.
    ///
    /// # Errors
    /// Those of the disk: the bucket stays deferred.
    pub(super) fn load(&self, bucket: u64) -> io::Result<()> {
        let _one_at_a_time = self.loading.lock();
        if self.index.read().deferred.get(bucket).is_none() {
            return Ok(());
        }
        let (records, damaged) = self.read_records(bucket)?;
        let mut loaded = Loaded { bucket, damaged, ..Loaded::default() };
        self.index.write().begin_loading(bucket);
        let now = self.expiry().now;
        for piece in records.chunks(RECORDS_PER_PIECE) {
            let mut index = self.index.write();
            for stored in piece.iter().filter(|stored| plain(&stored.record).is_some()) {
                match index.take_in(stored, now) {
                    Late::Counts(None) => {}
                    Late::Counts(Some(before)) => {
                        loaded.uncounted.push(Arc::clone(&before));
                        loaded.replaced.push((Arc::clone(stored), before));
                    }
                    Late::Hidden(by) => {
                        loaded.uncounted.push(Arc::clone(stored));
                        loaded.replaced.extend(by.map(|by| (by, Arc::clone(stored))));
                    }
                }
            }
        }
        loaded.records = records;
        let mut index = self.index.write();
        index.deferred.take(bucket);
        index.deferred.loaded.push(loaded);
        Ok(())
    }

    /// Every record of a bucket that can be read and is not void, and whether its footer was damaged.
    fn read_records(&self, bucket: u64) -> io::Result<(Vec<Arc<Stored>>, bool)> {
        let name = file_name(bucket);
        let file = match self.disk.open(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!(
                    file = name,
                    "a bucket file is missing, and what was in it; bring it back from a backup while the server is stopped"
                );
                self.counters.missing.fetch_add(1, Ordering::Relaxed);
                return Ok((Vec::new(), false));
            }
            file => file?,
        };
        let (mut records, damaged) = match look(&*file, bucket, self.options.grace)? {
            Found::Sealed(found) => (found.records, false),
            Found::Scanned(_, scanned, _) => {
                tracing::error!(
                    file = name,
                    "the footer is damaged; the file was scanned, and the next start repairs it (headwater store check \
                     tells what is lost)"
                );
                self.counters.damaged.fetch_add(1, Ordering::Relaxed);
                (scanned.records.into_iter().map(Arc::new).collect(), true)
            }
            Found::Blank | Found::NoHeader | Found::Later(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        let index = self.index.read();
        records.retain(|stored| !index.deferred.is_void(stored));
        Ok((records, damaged))
    }
}

impl Committer {
    /// Takes note of what was loaded since the last time.
    pub(super) fn note_loaded(&mut self) {
        if self.shared.index.read().deferred.loaded.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.shared.index.write().deferred.loaded);
        for loaded in all {
            let Some(bucket) = self.shelf.buckets.get_mut(&loaded.bucket) else { continue };
            let known = std::mem::take(&mut bucket.records);
            let found = |stored: &Arc<Stored>| loaded.records.iter().any(|other| other.extent == stored.extent);
            let is_whole = !loaded.damaged && !loaded.records.is_empty();
            let more: Vec<_> = known.into_iter().filter(|stored| !is_whole && !found(stored)).collect();
            (bucket.is_deferred, bucket.freed) = (false, 0);
            bucket.sealed &= is_whole;
            loaded.records.into_iter().chain(more).for_each(|stored| bucket.note(stored, self.shared.options.grace));
            loaded.uncounted.iter().for_each(|stored| self.holes.add(stored));
            loaded.replaced.iter().for_each(|(by, before)| self.shelf.outlive(by, before));
            if loaded.damaged {
                self.have_repaired(loaded.bucket);
            }
        }
    }

    /// Loads a bucket that somebody here needs. One that cannot be read is given up, but for what its summary told:
    /// space must come back all the same.
    pub(super) fn load(&mut self, bucket: u64) -> io::Result<()> {
        match self.shared.load(bucket) {
            Err(error) if read::is_lost(&error) => {
                tracing::error!(file = file_name(bucket), %error, "what segments the bucket has cannot be read");
                let _one_at_a_time = self.shared.loading.lock();
                let mut index = self.shared.index.write();
                index.begin_loading(bucket);
                if index.deferred.take(bucket).is_some() {
                    index.deferred.loaded.push(Loaded { bucket, ..Loaded::default() });
                }
            }
            loaded => loaded?,
        }
        self.note_loaded();
        Ok(())
    }

    /// Loads one bucket with media of events that are over; whether there was one.
    pub(super) fn load_wanted(&mut self) -> io::Result<bool> {
        let wanted = self.shared.index.read().deferred.wanted.first().copied();
        wanted.map_or(Ok(false), |bucket| self.load(bucket).map(|()| true))
    }

    /// Takes the summary away, so that the next start looks at the footer, and finds it damaged.
    fn have_repaired(&self, bucket: u64) {
        let zero = |disk: &dyn crate::disk::Disk| {
            let file = disk.open_to_repair(&file_name(bucket))?;
            match look::summary_end(&*file)? {
                Some(end) => file.write_at(&mut [io::IoSlice::new(&[0; TRAILER_BYTES])], end - TRAILER_BYTES as u64),
                None => Ok(()),
            }
        };
        if let Err(error) = zero(&*self.shared.disk) {
            tracing::warn!(file = file_name(bucket), %error, "the damaged footer stays; it is looked past again");
        }
    }
}

/// What a failed load means to who asked.
fn trouble(error: &io::Error, bucket: u64) -> StoreError {
    let told = format!("{}: {error}", file_name(bucket));
    if read::is_lost(error) { StoreError::Damaged(told) } else { StoreError::Unavailable(told) }
}
