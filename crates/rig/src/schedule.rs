//! Which segment is published next, and when. Epoch locked: the numbers follow from the wall clock alone, so that two
//! pipelines that never heard of each other give the same segment the same number.

use std::sync::Arc;
use std::time::Duration;

use headwater_model::document::Document;
use headwater_model::{Millis, Timestamp};
use headwater_store::stamp::Clock;

/// Longest sleep before the wall clock is looked at again: it may have been set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The segment to publish after `last`, for an encoder that has media up to `wall`. One that joins begins with the
/// segment that is being made; one that was held up skips what is older than one segment.
#[must_use]
pub fn next(document: &Document, wall: Timestamp, last: Option<u64>) -> u64 {
    let current = document.next_number(wall);
    match last {
        None => current,
        Some(last) => last.saturating_add(1).max(current.saturating_sub(1)),
    }
}

/// When segment `number` is given up: one segment after it was due, when the next one takes the connection.
#[must_use]
pub fn given_up(document: &Document, number: u64, latency: Millis) -> Timestamp {
    document.expected(number.saturating_add(1)) + latency
}

/// Returns once the wall clock shows `wall`.
pub async fn sleep_until(clock: &Arc<dyn Clock>, wall: Timestamp) {
    loop {
        let left = wall.nanos_since(clock.wall());
        if left <= 0 {
            return;
        }
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX));
        clock.sleep(left.min(LOOK_AGAIN)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        crate::testing::document(&["a"])
    }

    #[test]
    fn a_pipeline_joins_with_the_segment_that_is_being_made() {
        let document = document();
        let wall = document.expected(99) + Millis(1);
        assert_eq!(next(&document, wall, None), 100);
    }

    #[test]
    fn numbers_follow_each_other_without_a_gap() {
        let document = document();
        for late in [1, 1000, 1900] {
            assert_eq!(next(&document, document.expected(100) + Millis(late), Some(100)), 101);
        }
        assert_eq!(next(&document, document.expected(101) + Millis(1000), Some(100)), 101, "just due");
    }

    #[test]
    fn after_a_pause_old_segments_are_skipped() {
        let document = document();
        assert_eq!(next(&document, document.expected(150) + Millis(10), Some(100)), 150);
    }

    #[test]
    fn a_segment_is_given_up_when_the_next_one_is_due() {
        let document = document();
        assert_eq!(given_up(&document, 7, Millis(40)), document.expected(8) + Millis(40));
    }
}
