//! Bodies in pieces. A body is staged chunk by chunk under a token that nobody knows yet; the record that names the
//! token commits them. Sending a chunk again is safe. Chunks of segments expire a little after their record would;
//! those of init segments and manifests stay until they are replaced, in a table of their own, which their token tells.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use headwater_model::row::{Row, Version};
use headwater_store::{Body, StoreError, Tier};

use crate::error::{damaged, unavailable};
use crate::options::CHUNKS_IN_FLIGHT;
use crate::session::Cluster;
use crate::version;

/// Chunks live this much longer than their record, whose time runs from its commit.
const OUTLIVE_S: i32 = 120;

/// Names a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chunk {
    /// The upload.
    pub version: Version,
    /// Which piece of it, from 0.
    pub part: u32,
}

/// From where a chunk is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The nearest that has it.
    Nearest,
    /// Where it is durable.
    Durable,
    /// Where it is durable, in both datacentres. What is found is put back where it is missing.
    Both,
}

/// Where chunks are kept.
#[async_trait]
pub trait Chunks: Send + Sync {
    /// Keeps `bytes` for `ttl_s` seconds, 0 for ever. Durable when it returns.
    async fn put(&self, chunk: Chunk, bytes: Bytes, ttl_s: i32) -> Result<(), StoreError>;

    /// The bytes, `length` of them, and where they were; `None` if there are none.
    async fn get(&self, chunk: Chunk, length: usize, from: Source) -> Result<Option<(Bytes, Tier)>, StoreError>;

    /// Removes them.
    async fn delete(&self, chunk: Chunk) -> Result<(), StoreError>;
}

/// Writes the chunks of `body` under `version`.
pub(crate) async fn stage(chunks: &dyn Chunks, version: Version, body: &Body, ttl_s: i32) -> Result<(), StoreError> {
    let ttl_s = if ttl_s == 0 { 0 } else { ttl_s.saturating_add(OUTLIVE_S) };
    let puts = pieces(version, body.len()).into_iter().map(|piece| {
        let bytes = body.slice(piece.from..piece.to).to_bytes();
        chunks.put(Chunk { version, part: piece.part }, bytes, ttl_s)
    });
    // Made as they are sent: of a large body only what is on its way is copied.
    stream::iter(puts).buffer_unordered(CHUNKS_IN_FLIGHT).try_collect().await
}

/// Reads the bytes of `row` and verifies them; `None` if a chunk is missing.
pub(crate) async fn fetch(chunks: &dyn Chunks, row: &Row) -> Result<Option<(Body, Tier)>, StoreError> {
    match gather(chunks, row, Source::Nearest).await {
        Ok(Some((body, tier))) if body.digest() == row.digest => return Ok(Some((body, tier))),
        Ok(Some(_)) => tracing::warn!(key = ?row.key, "cached chunks are damaged; they are read again"),
        Ok(None) | Err(_) => {}
    }
    verified(gather(chunks, row, Source::Durable).await?, row)
}

/// The same, of what the nodes here have not got: it is on its way, or died with them before it was on their disks.
pub(crate) async fn fetch_far(chunks: &dyn Chunks, row: &Row) -> Result<Option<(Body, Tier)>, StoreError> {
    verified(gather(chunks, row, Source::Both).await?, row)
}

fn verified(found: Option<(Body, Tier)>, row: &Row) -> Result<Option<(Body, Tier)>, StoreError> {
    match found {
        Some((body, _)) if body.digest() != row.digest => Err(damaged("a body", "wrong checksum")),
        found => Ok(found),
    }
}

async fn gather(chunks: &dyn Chunks, row: &Row, from: Source) -> Result<Option<(Body, Tier)>, StoreError> {
    let gets = pieces(row.version, row.size).into_iter().map(|piece| {
        let length = (piece.to - piece.from) as usize;
        chunks.get(Chunk { version: row.version, part: piece.part }, length, from)
    });
    let parts: Vec<Option<(Bytes, Tier)>> = stream::iter(gets).buffered(CHUNKS_IN_FLIGHT).try_collect().await?;
    let Some(parts) = parts.into_iter().collect::<Option<Vec<_>>>() else { return Ok(None) };
    let is_cached = parts.iter().all(|(_, tier)| *tier == Tier::Memcached);
    let body = Body::from(parts.into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>());
    let tier = if is_cached { Tier::Memcached } else { Tier::Store };
    Ok((body.len() == row.size).then_some((body, tier)))
}

/// Removes the chunks of `length` bytes that were staged under `version`.
pub(crate) async fn delete(chunks: &dyn Chunks, version: Version, length: u64) -> Result<(), StoreError> {
    for piece in pieces(version, length) {
        chunks.delete(Chunk { version, part: piece.part }).await?;
    }
    Ok(())
}

/// Into how many chunks the bytes of `row` are cut.
pub(crate) fn parts(row: &Row) -> u32 {
    pieces(row.version, row.size).len() as u32
}

/// A chunk of a body: which, and where it begins and ends.
struct Piece {
    part: u32,
    from: u64,
    to: u64,
}

fn pieces(version: Version, length: u64) -> Vec<Piece> {
    // A record of another engine has no chunks here, which is what reading it will find.
    let size = version::chunk_bytes(version).unwrap_or(1 << 16);
    let starts = (0..length).step_by(size as usize).enumerate();
    starts.map(|(part, from)| Piece { part: part as u32, from, to: (from + size).min(length) }).collect()
}

#[async_trait]
impl Chunks for Arc<Cluster> {
    async fn put(&self, chunk: Chunk, bytes: Bytes, ttl_s: i32) -> Result<(), StoreError> {
        let values = (chunk.version.0.to_be_bytes(), chunk.part.cast_signed(), bytes, ttl_s);
        let statement = &self.statements.chunks.of(chunk.version).insert;
        let result = self.session.execute_unpaged(statement, values).await;
        result.map(drop).map_err(|error| unavailable("staging a chunk", error))
    }

    async fn get(&self, chunk: Chunk, _length: usize, from: Source) -> Result<Option<(Bytes, Tier)>, StoreError> {
        let values = (chunk.version.0.to_be_bytes(), chunk.part.cast_signed());
        let table = self.statements.chunks.of(chunk.version);
        let read = if from == Source::Both { &table.read_far } else { &table.read };
        let result = self.session.execute_unpaged(read, values).await;
        let result = result.map_err(|error| unavailable("reading a chunk", error))?;
        let rows = result.into_rows_result().map_err(|error| damaged("a chunk", error))?;
        let row = rows.maybe_first_row::<(Option<Bytes>,)>().map_err(|error| damaged("a chunk", error))?;
        Ok(row.and_then(|(bytes,)| Some((bytes?, Tier::Store))))
    }

    async fn delete(&self, chunk: Chunk) -> Result<(), StoreError> {
        let values = (chunk.version.0.to_be_bytes(), chunk.part.cast_signed());
        let statement = &self.statements.chunks.of(chunk.version).delete;
        let result = self.session.execute_unpaged(statement, values).await;
        result.map(drop).map_err(|error| unavailable("removing a chunk", error))
    }
}

#[cfg(test)]
mod tests {
    use headwater_model::Timestamp;

    use super::*;
    use crate::options::ChunkSize;

    #[test]
    fn pieces_cover_a_body_once() {
        for size in ChunkSize::ALL {
            let version = version::draw(Timestamp::from_seconds(1), size, false, version::chance());
            for length in [0, 1, size.bytes() - 1, size.bytes(), size.bytes() + 1, 5 * size.bytes()] {
                let pieces = pieces(version, length);
                assert_eq!(pieces.len() as u64, length.div_ceil(size.bytes()));
                assert_eq!(pieces.iter().map(|piece| piece.to - piece.from).sum::<u64>(), length);
                assert!(pieces.windows(2).all(|two| two[0].to == two[1].from));
            }
        }
    }
}
