//! A file of the directory for reading only, in large pieces, held back as the pace wants it, and past the page cache.

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Pace;
use crate::disk::File;

/// Read at once where everything is to be read: what a disk does in a few milliseconds.
const AHEAD_BYTES: usize = 1 << 20;

/// The file.
pub(super) struct Aside<'a> {
    file: Arc<dyn File>,
    pace: &'a dyn Pace,
    /// Read at once, if more is there than was asked for.
    ahead: usize,
    piece: Mutex<Piece>,
}

/// What was read last.
#[derive(Default)]
struct Piece {
    start: u64,
    bytes: Vec<u8>,
    /// Below this a large piece could not be read: only what is asked for is tried, for a failing disk takes seconds.
    bad_until: u64,
}

impl Piece {
    /// `length` bytes from `offset`, if they are here.
    fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..)?.get(..length)
    }
}

impl<'a> Aside<'a> {
    /// For who looks here and there.
    pub(super) fn by_piece(file: Arc<dyn File>, pace: &'a dyn Pace) -> Self {
        Self { file, pace, ahead: 0, piece: Mutex::default() }
    }

    /// For who reads from front to back.
    pub(super) fn ahead(file: Arc<dyn File>, pace: &'a dyn Pace) -> Self {
        Self { file, pace, ahead: AHEAD_BYTES, piece: Mutex::default() }
    }

    fn read_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_aside(buffer, offset)?;
        self.pace.read(buffer.len() as u64);
        Ok(())
    }

    /// Takes a piece from `offset` on; what cannot be read behind what is asked for is no reason not to give that.
    fn fill(&self, piece: &mut Piece, offset: u64) -> io::Result<()> {
        let there = self.file.length()?.saturating_sub(offset);
        piece.start = offset;
        piece.bytes.resize(there.min(self.ahead as u64) as usize, 0);
        if self.read_now(&mut piece.bytes, offset).is_err() {
            piece.bad_until = offset + piece.bytes.len() as u64;
            piece.bytes.clear();
        }
        Ok(())
    }
}

impl File for Aside<'_> {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if buffer.len() > self.ahead {
            return self.read_now(buffer, offset);
        }
        let mut piece = self.piece.lock();
        if piece.get(offset, buffer.len()).is_none() && offset >= piece.bad_until {
            self.fill(&mut piece, offset)?;
        }
        match piece.get(offset, buffer.len()) {
            Some(bytes) => buffer.copy_from_slice(bytes),
            None => self.read_now(buffer, offset)?,
        }
        Ok(())
    }

    fn write_at(&self, _: &mut [IoSlice<'_>], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn punch(&self, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
