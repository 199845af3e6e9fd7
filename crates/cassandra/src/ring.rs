//! Whole tables, in equal ranges of the ring of tokens. A question that passes over too much that has expired is refused by
//! Cassandra (`tombstone_failure_threshold`), and of a channel at work more has expired within the last hours than lives: so
//! no question may be about all of a table in which things expire. Events do not.

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use headwater_store::StoreError;
use scylla::deserialize::row::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;

use crate::error::{damaged, unavailable};
use crate::session::Cluster;

/// Ranges of one read of everything: 100,000 expired records in each are 6 million within [`GRACE_S`], of 590 segments a
/// second.
///
/// [`GRACE_S`]: crate::schema::GRACE_S
const RANGES: u64 = 64;
/// Ranges that are read at once.
const RANGES_AT_ONCE: usize = 4;

impl Cluster {
    /// Everything in a table, as `statement` reads it of the tokens behind one and up to another.
    pub(crate) fn whole<T>(
        &self,
        what: &'static str,
        statement: &PreparedStatement,
    ) -> impl Stream<Item = Result<Vec<T>, StoreError>> + Send
    where
        T: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + Send + 'static,
    {
        let range = move |range: u64| async move {
            let borders = (border(range, RANGES), border(range + 1, RANGES));
            let pages = self.session.execute_iter(statement.clone(), borders).await;
            let pages = pages.map_err(|error| unavailable(what, error))?;
            let rows = pages.rows_stream::<T>().map_err(|error| damaged(what, error))?;
            rows.map_err(|error| unavailable(what, error)).try_collect().await
        };
        stream::iter(0..RANGES).map(range).buffer_unordered(RANGES_AT_ONCE)
    }
}

/// Where a range of `ranges` begins: behind this token. The lowest token belongs to no partition.
pub(crate) fn border(range: u64, ranges: u64) -> i64 {
    let span = u64::MAX / ranges;
    if range == ranges { i64::MAX } else { i64::MIN.wrapping_add_unsigned(range * span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_ring_once() {
        for ranges in [1, RANGES, 128] {
            assert_eq!((border(0, ranges), border(ranges, ranges)), (i64::MIN, i64::MAX));
            assert!((0..ranges).all(|range| border(range, ranges) < border(range + 1, ranges)));
        }
    }
}
