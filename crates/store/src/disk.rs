//! A directory of append-only files, as narrow as the log needs it, so that a simulated disk can stand in for the real
//! one and lose what a real one may lose. Must never buffer, retry or reorder by itself: the log decides what is
//! durable.

mod aside;
pub mod simulated;

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most slices of one `pwritev`: the limit of Linux (`UIO_MAXIOV`).
const SLICES_MAX: usize = 1024;

/// How long a lock that is taken is waited for.
const LOCK_PATIENCE: std::time::Duration = std::time::Duration::from_millis(50);

/// One flat directory of files.
pub trait Disk: Send + Sync {
    /// Takes the directory for this process until the returned guard drops; `WouldBlock` if another one has it.
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>>;
    /// Whether a process has the directory now. Takes it from nobody, and leaves no trace.
    fn in_use(&self) -> io::Result<bool>;
    /// The names in the directory.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates a file that must not exist yet. The name is durable only after [`Disk::sync_dir`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file that exists, to read it: works on a read-only volume too.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file that exists, to change it.
    fn open_to_repair(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name, in place of the file that had it. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name. Open handles stay readable.
    fn unlink(&self, name: &str) -> io::Result<()>;
    /// Makes created and removed names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Bytes of the whole volume.
    fn total_bytes(&self) -> io::Result<u64>;
    /// Where this is, for messages.
    fn place(&self) -> String;
}

/// One open file of a [`Disk`].
pub trait File: Send + Sync {
    /// Bytes in the file.
    fn length(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; `UnexpectedEof` if the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// As [`File::read_at`], for who reads much once: what was not in the page cache before is not in it after.
    fn read_aside(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_at(buffer, offset)
    }
    /// Bytes that the file takes on the volume: fewer than its length where it has holes.
    fn allocated(&self) -> io::Result<u64> {
        self.length()
    }
    /// Writes all of `slices`, one after the other, at `offset`. On an error any part may have been written.
    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Makes the bytes and the length durable. After an error nothing is known of what was written since the last
    /// success, and a later success says nothing about it.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file to `length`.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Gives the space of `length` bytes from `offset` back: they read as zeros from now on, or, after a crash, perhaps
    /// as before. The file keeps its length. `Unsupported` where the file system cannot.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;
}

/// A directory of the real file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// The directory at `path`, created if it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// The directory at `path`, which must be there: nothing is created.
    ///
    /// # Errors
    /// `NotFound` or `NotADirectory` if it is not there, and those of the file system.
    pub fn find(path: &Path) -> io::Result<Self> {
        if fs::metadata(path)?.is_dir() {
            Ok(Self { path: path.to_owned() })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Disk for Directory {
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.at("lock"))?;
        let take = || rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
        // Who only asks whether somebody has it holds it for a moment.
        take().or_else(|_| {
            std::thread::park_timeout(LOCK_PATIENCE);
            take()
        })?;
        Ok(Box::new(file))
    }

    fn in_use(&self) -> io::Result<bool> {
        use rustix::fs::FlockOperation;
        let file = match fs::File::open(self.at("lock")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        // Closing it at once gives it back: a server that starts while a long check runs must find it free.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            done => Ok(done.map(|()| false)?),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(self.at(name))?;
        Ok(Arc::new(Plain(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Plain(fs::File::open(self.at(name))?)))
    }

    fn open_to_repair(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(self.at(name))?;
        Ok(Arc::new(Plain(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn total_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct Plain(fs::File);

impl File for Plain {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn read_aside(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        aside::read(&self.0, buffer, offset)
    }

    fn allocated(&self) -> io::Result<u64> {
        // In units of 512 bytes, whatever the file system's blocks are.
        Ok(std::os::unix::fs::MetadataExt::blocks(&self.0.metadata()?) * 512)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        let mut rest = slices;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let now = rest.len().min(SLICES_MAX);
            match rustix::io::pwritev(&self.0, &rest[..now], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.0, how, offset, length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_slices_than_one_call_takes_are_written_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Directory::open(dir.path()).unwrap();
        let file = disk.create("x").unwrap();
        let pieces: Vec<[u8; 3]> = (0..3000u32).map(|index| [index as u8, (index >> 8) as u8, 7]).collect();
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        slices.insert(0, IoSlice::new(&[]));
        file.write_at(&mut slices, 5).unwrap();
        let mut back = vec![0; 9000];
        disk.open("x").unwrap().read_at(&mut back, 5).unwrap();
        assert_eq!(back, pieces.concat());
        assert_eq!(file.length().unwrap(), 9005);
    }

    #[test]
    fn a_directory_is_locked_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Directory::open(dir.path()).unwrap();
        let held = disk.lock().unwrap();
        let refused = Directory::open(dir.path()).unwrap().lock().map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(held);
        disk.lock().unwrap();
    }
}
