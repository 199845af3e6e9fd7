//! Bodies. An upload's bytes are copied once, from the socket's buffer into slabs; the log writes from the slabs,
//! and the live window and every response share them.
//!
//! The pool recycles slabs, because first writes to fresh pages cost more than everything else about an upload. It
//! also holds the budget of uploads in progress. Uploads pay for what has arrived, never for what they announce: a
//! large announcement and no bytes would keep the others out. What is left over for the largest upload is a reserve
//! that one upload at a time may draw on when the rest is used up, the oldest waiter first, so that uploads that have
//! each got half of what they need cannot wait for each other for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use headwater_model::row::Digest;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use twox_hash::XxHash3_128;

/// Bytes of one slab: large enough that a MiB is few writes, small enough that the last one wastes little.
pub const SLAB_BYTES: usize = 64 * 1024;
/// A rest of up to this many bytes gets a buffer of its own size instead of a slab: manifests and short audio segments
/// would otherwise pin ten times their size in the live window.
const EXACT_BYTES_MAX: usize = 32 * 1024;

/// Recycles slabs and limits how much uploads in progress may hold.
pub struct Pool {
    shared: Arc<Shared>,
    budget: Arc<Budget>,
}

/// Slabs that uploads in progress may hold.
struct Budget {
    /// For everyone, one by one.
    common: Arc<Semaphore>,
    /// One place: whoever has it may draw on the reserve.
    turn: Arc<Semaphore>,
    /// Slabs of the reserve.
    reserve: usize,
}

struct Shared {
    free: Mutex<Vec<Vec<u8>>>,
    /// Free slabs kept for reuse; past that they go back to the allocator.
    free_max: usize,
    /// Slabs in use, whoever holds them.
    used: AtomicUsize,
}

impl Pool {
    /// A pool whose uploads in progress hold at most `upload_bytes` in all. Half of it, but not more than the largest
    /// upload of `body_bytes_max` needs, is the reserve.
    #[must_use]
    pub fn new(upload_bytes: usize, body_bytes_max: u64) -> Self {
        let slabs = upload_bytes.div_ceil(SLAB_BYTES).max(2);
        // Recycling a quarter of the budget covers the uploads of a usual second; a burst beyond it pays for pages.
        let free_max = (slabs / 4).max(16);
        let shared = Shared { free: Mutex::default(), free_max, used: AtomicUsize::new(0) };
        let largest = usize::try_from(body_bytes_max.div_ceil(SLAB_BYTES as u64)).unwrap_or(usize::MAX).max(1);
        let reserve = largest.min(slabs / 2);
        let common = Arc::new(Semaphore::new(slabs - reserve));
        let budget = Budget { common, turn: Arc::new(Semaphore::new(1)), reserve };
        Self { shared: Arc::new(shared), budget: Arc::new(budget) }
    }

    /// A writer for a body of `length` bytes, if that is known, once the budget has room for its first slab. Waits in
    /// order of arrival.
    pub async fn writer(&self, length: Option<u64>) -> Writer {
        let mut share = Share { budget: Arc::clone(&self.budget), common: None, turn: None, reserve_left: 0 };
        share.grow().await;
        Writer {
            shared: Arc::clone(&self.shared),
            share,
            permitted: SLAB_BYTES,
            expected: length,
            chunks: Vec::new(),
            current: Slab { bytes: Vec::new(), home: None },
            length: 0,
            hasher: XxHash3_128::new(),
        }
    }

    /// Bytes of slabs in use: by uploads, the live window and slow readers together.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed) * SLAB_BYTES
    }
}

/// A buffer that goes back to its pool when the last holder lets go.
struct Slab {
    bytes: Vec<u8>,
    /// `None` for a buffer of its own size.
    home: Option<Arc<Shared>>,
}

impl AsRef<[u8]> for Slab {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        home.used.fetch_sub(1, Ordering::Relaxed);
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut free = home.free.lock();
        if free.len() < home.free_max {
            bytes.clear();
            free.push(bytes);
        }
    }
}

impl Shared {
    fn slab(self: &Arc<Self>) -> Slab {
        self.used.fetch_add(1, Ordering::Relaxed);
        let recycled = self.free.lock().pop();
        let bytes = recycled.unwrap_or_else(|| Vec::with_capacity(SLAB_BYTES));
        Slab { bytes, home: Some(Arc::clone(self)) }
    }
}

/// What one upload holds of the budget.
struct Share {
    budget: Arc<Budget>,
    common: Option<OwnedSemaphorePermit>,
    /// The right to the reserve.
    turn: Option<OwnedSemaphorePermit>,
    /// Slabs of the reserve that it has not drawn yet.
    reserve_left: usize,
}

impl Share {
    /// One slab more: of the reserve for who has the turn, else of the common part, or the turn if that is used up.
    async fn grow(&mut self) {
        if self.reserve_left > 0 {
            self.reserve_left -= 1;
            return;
        }
        let common = Arc::clone(&self.budget.common).acquire_owned();
        if self.turn.is_some() {
            return self.merge(common.await.ok());
        }
        let turn = Arc::clone(&self.budget.turn).acquire_owned();
        tokio::select! {
            biased;
            more = common => self.merge(more.ok()),
            turn = turn => (self.turn, self.reserve_left) = (turn.ok(), self.budget.reserve - 1),
        }
    }

    fn merge(&mut self, more: Option<OwnedSemaphorePermit>) {
        match (&mut self.common, more) {
            (Some(held), Some(more)) => held.merge(more),
            (held, more) => *held = more,
        }
    }
}

/// Takes in the body of one upload: copies and hashes each frame while it is warm.
pub struct Writer {
    shared: Arc<Shared>,
    share: Share,
    permitted: usize,
    expected: Option<u64>,
    chunks: Vec<Bytes>,
    current: Slab,
    length: u64,
    hasher: XxHash3_128,
}

impl Writer {
    /// Whether the upload draws on the reserve, for which others may be waiting.
    #[must_use]
    pub fn has_turn(&self) -> bool {
        self.share.turn.is_some()
    }

    /// Appends `frame`; waits for the budget if that needs another slab and there is none.
    pub async fn push(&mut self, frame: &[u8]) {
        self.hasher.write(frame);
        let mut rest = frame;
        while !rest.is_empty() {
            if self.current.bytes.len() == self.current.bytes.capacity() {
                self.turn().await;
            }
            let room = self.current.bytes.capacity() - self.current.bytes.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.current.bytes.extend_from_slice(now);
            self.length += now.len() as u64;
            rest = later;
        }
    }

    /// Closes the piece that is being filled, so that it can be shared while more comes. Costs the rest of a slab, or
    /// the copy of up to half of one: for uploads that are followed.
    pub fn seal(&mut self) {
        let full = std::mem::replace(&mut self.current, Slab { bytes: Vec::new(), home: None });
        if full.bytes.is_empty() {
            return;
        }
        let is_part = full.home.is_some() || full.bytes.len() < full.bytes.capacity();
        let small = is_part && full.bytes.len() <= EXACT_BYTES_MAX;
        // The short end of a body of unknown length, or a piece of one that is followed, moves out of its buffer: it
        // will live long, and a slab is worth keeping warm.
        self.chunks.push(if small { Bytes::copy_from_slice(&full.bytes) } else { Bytes::from_owner(full) });
    }

    /// The closed pieces so far.
    #[must_use]
    pub fn sealed(&self) -> &[Bytes] {
        &self.chunks
    }

    /// What has come since the last closed piece.
    #[must_use]
    pub fn unsealed(&self) -> &[u8] {
        &self.current.bytes
    }

    /// Bytes taken in so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing has been taken in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The whole body and the digest of its bytes. The budget is given back when the returned [`Admission`] drops.
    #[must_use]
    pub fn finish(mut self) -> (Body, Digest, Admission) {
        self.seal();
        let digest = Digest(self.hasher.finish_128());
        (Body { chunks: self.chunks.into(), length: self.length }, digest, Admission { _share: self.share })
    }

    /// Seals the full buffer and opens the next.
    async fn turn(&mut self) {
        self.seal();
        let taken = usize::try_from(self.length).unwrap_or(usize::MAX);
        if taken >= self.permitted {
            self.share.grow().await;
            self.permitted += SLAB_BYTES;
        }
        let rest = self.expected.map(|length| length.saturating_sub(self.length));
        self.current = match rest {
            Some(rest) if rest > 0 && rest <= EXACT_BYTES_MAX as u64 => {
                Slab { bytes: Vec::with_capacity(rest as usize), home: None }
            }
            _ => self.shared.slab(),
        };
    }
}

/// An upload's share of the budget, held until the store has its bytes.
pub struct Admission {
    _share: Share,
}

/// The bytes of an object, in pieces that are shared and never copied. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub struct Body {
    chunks: Arc<[Bytes]>,
    length: u64,
}

impl Body {
    /// The bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes of memory that the pieces keep from being freed: a slab counts whole, however little of it is used.
    #[must_use]
    pub fn memory(&self) -> usize {
        let pinned = |length: usize| if length <= EXACT_BYTES_MAX { length } else { length.max(SLAB_BYTES) };
        self.chunks.iter().map(|chunk| pinned(chunk.len())).sum()
    }

    /// The pieces, none of them empty.
    #[must_use]
    pub fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// `range` of the bytes, shared. Clamped to what there is.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<u64>) -> Self {
        if range.start == 0 && range.end >= self.length {
            return self.clone();
        }
        let (mut chunks, mut offset) = (Vec::new(), 0u64);
        for chunk in self.chunks.iter() {
            let length = chunk.len() as u64;
            let from = range.start.clamp(offset, offset + length) - offset;
            let to = range.end.clamp(offset, offset + length) - offset;
            if from < to {
                chunks.push(chunk.slice(from as usize..to as usize));
            }
            offset += length;
        }
        chunks.into()
    }

    /// All bytes in one piece: copies unless there is only one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match &*self.chunks {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }

    /// XXH3-128 of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = XxHash3_128::new();
        self.chunks.iter().for_each(|chunk| hasher.write(chunk));
        Digest(hasher.finish_128())
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(mut chunks: Vec<Bytes>) -> Self {
        chunks.retain(|chunk| !chunk.is_empty());
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { chunks: chunks.into(), length }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        vec![bytes].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(pool: &Pool, length: Option<u64>, bytes: &[u8], frame: usize) -> (Body, Digest) {
        let mut writer = pool.writer(length).await;
        for piece in bytes.chunks(frame) {
            writer.push(piece).await;
        }
        let (body, digest, _) = writer.finish();
        (body, digest)
    }

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index * 31 % 251) as u8).collect()
    }

    #[tokio::test]
    async fn what_is_pushed_is_what_the_body_holds() {
        let pool = Pool::new(1 << 20, 1 << 19);
        for length in [0, 1, 1000, 32_768, 65_535, 65_536, 65_537, 200_000] {
            for known in [None, Some(length as u64)] {
                let bytes = sample(length);
                let (body, digest) = written(&pool, known, &bytes, 7001).await;
                assert_eq!(body.to_bytes(), bytes, "{length} {known:?}");
                assert_eq!((body.len(), digest), (length as u64, body.digest()));
            }
        }
        assert_eq!(pool.used_bytes(), 0);
    }

    #[tokio::test]
    async fn slices_share_and_agree_with_the_bytes() {
        let pool = Pool::new(1 << 20, 1 << 19);
        let bytes = sample(150_000);
        let (body, _) = written(&pool, None, &bytes, 10_000).await;
        for (from, to) in [(0, 150_000), (0, 1), (65_535, 65_537), (140_000, 150_000), (5, 5), (149_999, 1 << 40)] {
            let want = &bytes[from.min(bytes.len())..to.min(bytes.len())];
            assert_eq!(body.slice(from as u64..to as u64).to_bytes(), want, "{from}..{to}");
        }
    }

    #[tokio::test]
    async fn a_body_sealed_in_between_holds_the_same_bytes() {
        let pool = Pool::new(1 << 20, 1 << 19);
        for known in [None, Some(200_000)] {
            let bytes = sample(200_000);
            let mut writer = pool.writer(known).await;
            for piece in bytes.chunks(7001) {
                writer.push(piece).await;
                writer.seal();
                assert_eq!((writer.sealed().concat().len() as u64, writer.unsealed().len()), (writer.len(), 0));
            }
            let sealed = writer.sealed().to_vec();
            let (body, digest, _) = writer.finish();
            assert_eq!((body.to_bytes(), digest), (bytes.into(), body.digest()));
            assert_eq!(body.chunks(), sealed);
        }
    }

    #[tokio::test]
    async fn slabs_are_recycled() {
        let pool = Pool::new(1 << 20, 1 << 19);
        let (body, _) = written(&pool, Some(65_536), &sample(65_536), 65_536).await;
        let address = body.chunks()[0].as_ptr();
        assert_eq!(pool.used_bytes(), SLAB_BYTES);
        drop(body);
        let (again, _) = written(&pool, Some(65_536), &sample(65_536), 65_536).await;
        assert_eq!(again.chunks()[0].as_ptr(), address);
    }

    /// A pool of four slabs, two of them the reserve.
    fn small_pool() -> Arc<Pool> {
        Arc::new(Pool::new(4 * SLAB_BYTES, 2 * SLAB_BYTES as u64))
    }

    #[tokio::test]
    async fn uploads_past_the_budget_wait_for_others_to_end() {
        let pool = small_pool();
        let mut first = pool.writer(Some(4 * SLAB_BYTES as u64)).await;
        first.push(&sample(4 * SLAB_BYTES)).await;
        let waiting = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.writer(Some(1)).await.len() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && first.has_turn());
        let (_, _, admission) = first.finish();
        drop(admission);
        assert_eq!(waiting.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn announcements_keep_nobody_out() {
        let pool = small_pool();
        let _silent = pool.writer(Some(1 << 40)).await;
        let mut other = pool.writer(Some(3 * SLAB_BYTES as u64)).await;
        other.push(&sample(3 * SLAB_BYTES)).await;
        assert_eq!(other.len(), 3 * SLAB_BYTES as u64);
    }

    #[tokio::test]
    async fn uploads_that_need_more_than_there_is_end_one_after_another() {
        let pool = small_pool();
        let bytes = sample(2 * SLAB_BYTES);
        let mut uploads = Vec::new();
        for _ in 0..8 {
            let (pool, bytes) = (Arc::clone(&pool), bytes.clone());
            uploads.push(tokio::spawn(async move {
                let mut writer = pool.writer(None).await;
                for piece in bytes.chunks(5000) {
                    writer.push(piece).await;
                    tokio::task::yield_now().await;
                }
                writer.len()
            }));
        }
        for upload in uploads {
            assert_eq!(upload.await.unwrap(), bytes.len() as u64);
        }
        assert_eq!((pool.used_bytes(), pool.budget.common.available_permits()), (0, 2));
    }

    #[tokio::test]
    async fn an_upload_that_gives_up_waiting_gives_back_what_it_has() {
        let pool = small_pool();
        let mut first = pool.writer(None).await;
        first.push(&sample(4 * SLAB_BYTES)).await;
        let wait = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(wait, pool.writer(None)).await.is_err());
        drop(first);
        let mut next = pool.writer(None).await;
        next.push(&sample(4 * SLAB_BYTES)).await;
        assert_eq!(next.len(), 4 * SLAB_BYTES as u64);
    }
}
