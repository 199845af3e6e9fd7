//! Reads that leave the page cache as they found it: who reads a whole store once must not push out what a server
//! serves from memory. What is cached already is taken from there and stays; what is not is read and dropped again.
//! Linux does so by itself from 6.14 on; before, it is told what to drop, as well as it lets itself be asked.

use std::fs;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

/// `RWF_DONTCACHE` of Linux 6.14, for which rustix has no name yet: pages that this read brings in go with it.
const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);
/// What the page cache works in; a larger page of some machines only means that less is dropped.
const PAGE: u64 = 4096;
/// Dropped together, before Linux 6.14: the smaller it is, the less of somebody else's is dropped with it.
const STRETCH_BYTES: usize = 128 << 10;

/// Fills `buffer` from `offset`.
pub(super) fn read(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    // Without readahead nothing comes in but what is asked for. Advice may be refused.
    let _ = fadvise(file, 0, None, Advice::Random);
    let mut done = 0;
    while done < buffer.len() {
        let at = offset + done as u64;
        match preadv2(file, &mut [IoSliceMut::new(&mut buffer[done..])], at, DONTCACHE) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => done += bytes,
            Err(Errno::INTR) => {}
            // Of the system or of the file system.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => return read_and_drop(file, &mut buffer[done..], at),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The same without the help of the system. Even to ask what is cached may bring it in, and an answer that came too fast
/// leaves a stretch in the cache: more is never dropped than was read here.
fn read_and_drop(file: &fs::File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut at = offset;
    for stretch in buffer.chunks_mut(STRETCH_BYTES) {
        // An error: nothing of it is cached, or the file system cannot say.
        let cached = preadv2(file, &mut [IoSliceMut::new(stretch)], at, ReadWriteFlags::NOWAIT).unwrap_or(0);
        let rest = &mut stretch[cached..];
        if !rest.is_empty() {
            let from = at + cached as u64;
            let read = file.read_exact_at(rest, from);
            let end = (from + rest.len() as u64).next_multiple_of(PAGE);
            let from = from / PAGE * PAGE;
            let _ = fadvise(file, from, NonZeroU64::new(end - from), Advice::DontNeed);
            read?;
        }
        at += stretch.len() as u64;
    }
    Ok(())
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
        for read in [read, read_and_drop] {
            // Cached, then dropped, then perhaps cached in part.
            for _ in 0..3 {
                for (from, length) in [(0, 700_000), (5, 10), (4095, 300_000), (699_999, 1)] {
                    let mut buffer = vec![0; length];
                    read(&file, &mut buffer, from as u64).unwrap();
                    assert!(buffer == bytes[from..from + length], "{from} {length}");
                }
                file.sync_all().unwrap();
                fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            }
            let behind = read(&file, &mut [0; 100], 699_950).unwrap_err();
            assert_eq!(behind.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    /// The system drops pages as well as it can, less well while it is busy: in one of a few tries it does it all.
    #[test]
    fn what_was_not_cached_is_not_cached_after_it() {
        let tries: Vec<(usize, usize)> = (0..8).map(|_| left_cached()).collect();
        assert!(tries.iter().any(|(cached, most)| cached <= most), "cached after it, and the most expected: {tries:?}");
    }

    /// How many pages a read of all leaves in the cache, of which one was there before; and how many it may.
    fn left_cached() -> (usize, usize) {
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
        assert!(cached.contains(&128), "what somebody else had read stays");
        let is_exact = preadv2(&file, &mut [IoSliceMut::new(&mut [0; 16])], 0, DONTCACHE).is_ok();
        // Two stretches may slip through where the system has to be asked.
        let most = if is_exact { 1 } else { 1 + 2 * STRETCH_BYTES / PAGE as usize };
        (cached.len(), most)
    }
}
