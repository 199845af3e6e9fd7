//! Reads that leave the page cache as they found it: who reads a whole store once must not push out what a server
//! serves from memory. What is cached already is taken from there and stays; what is not is read and dropped again.
//! Must never drop a stretch that somebody else brought in.

use std::fs;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

/// What the page cache works in; a larger page of some machines only means that less is dropped.
const PAGE: u64 = 4096;
/// Asked for at once. Even the question what is cached makes the system fetch what is not, so no question is larger than
/// what is dropped together; and the smaller it is, the less of somebody else's is dropped with it.
const STRETCH_BYTES: usize = 128 << 10;

/// Fills `buffer` from `offset`.
pub(super) fn read(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    // Without readahead nothing comes in but what is asked for, so that we know what to drop. Advice may be refused.
    let _ = fadvise(file, 0, None, Advice::Random);
    let mut at = offset;
    for stretch in buffer.chunks_mut(STRETCH_BYTES) {
        // An error: nothing of it is cached, or the file system cannot say.
        let cached = preadv2(file, &mut [IoSliceMut::new(stretch)], at, ReadWriteFlags::NOWAIT).unwrap_or(0);
        let rest = &mut stretch[cached..];
        if !rest.is_empty() {
            fetch(file, rest, at + cached as u64)?;
        }
        at += stretch.len() as u64;
    }
    Ok(())
}

/// Reads from the disk what was not cached, and drops it from the cache.
fn fetch(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let read = file.read_exact_at(buffer, offset);
    let from = offset / PAGE * PAGE;
    let length = (offset + buffer.len() as u64).next_multiple_of(PAGE) - from;
    let _ = fadvise(file, from, NonZeroU64::new(length), Advice::DontNeed);
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_is_there_and_says_where_that_ends() {
        let bytes: Vec<u8> = (0..700_000u32).map(|at| (at / 7) as u8).collect();
        let place = tempfile::NamedTempFile::new().unwrap();
        fs::write(place.path(), &bytes).unwrap();
        let file = fs::File::open(place.path()).unwrap();
        // Cached, then dropped, then cached in part.
        for round in 0..3 {
            for (from, length) in [(0, 700_000), (5, 10), (4095, 300_000), (699_999, 1)] {
                let mut buffer = vec![0; length];
                read(&file, &mut buffer, from as u64).unwrap();
                assert!(buffer == bytes[from..from + length], "{round}: {from} {length}");
            }
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
        let behind = read(&file, &mut [0; 100], 699_950).unwrap_err();
        assert_eq!(behind.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_was_not_cached_is_not_cached_after_it() {
        // A file system in memory has nothing but its cache, so the test lies beside the code.
        let place = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        fs::write(place.path(), vec![1; 1 << 20]).unwrap();
        let file = fs::File::open(place.path()).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        fadvise(&file, 0, None, Advice::Random).unwrap();
        file.read_exact_at(&mut [0; 4096], 512 << 10).unwrap();
        read(&file, &mut vec![0; 1 << 20], 0).unwrap();
        // The question fetches its page, so each page is asked about once.
        let is_cached = |page: &u64| {
            preadv2(&file, &mut [IoSliceMut::new(&mut [0; 16])], page * PAGE, ReadWriteFlags::NOWAIT).is_ok()
        };
        let cached: Vec<u64> = (0..256).filter(is_cached).collect();
        assert_eq!(cached, [128], "what somebody else had read is there, and nothing else");
    }
}
