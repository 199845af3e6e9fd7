//! When the chosen candidate's bytes turn out to be damaged: another pipeline's are served for now. Not for ever, because
//! a copy of the chosen one may be cached for ever already, and the bytes may come back with the disk.

use headwater_model::Outcome;
use headwater_model::decision::Ttl;
use headwater_model::mask::is_masked;
use headwater_model::row::Row;
use headwater_store::StoreError;
use http::Method;

use crate::deliver::answer::{Answer, Freshness, ReadError};
use crate::deliver::{Segment, hold};
use crate::metrics::Class;
use crate::tail::Candidate;

/// The best other candidate than `damaged` that can be read: sound ones first, in the event's order.
///
/// # Errors
/// If the next best may not be read now (rows 11 and 12). `None`: there is no other.
pub(super) async fn of(
    segment: &Segment<'_>,
    damaged: &Row,
    method: &Method,
    class: Class,
) -> Result<Option<Answer>, ReadError> {
    let (event, number) = (segment.event, segment.number);
    let Some(slot) = hold::rows(segment.origin, segment.live, &segment.tail, number).await? else { return Ok(None) };
    let is_other = |row: &Row| row.key.pipeline != damaged.key.pipeline && !row.is_removed();
    let ranked = event.rules_at(number).pipelines.iter().filter_map(|pipeline| {
        let index = slot.rows.iter().position(|row| row.key.pipeline == *pipeline && is_other(row))?;
        let masked = is_masked(&event.masks, pipeline, &segment.tail.rendition, number);
        Candidate::of(&slot, index).filter(|_| !masked)
    });
    let mut others: Vec<Candidate> = ranked.collect();
    // Equals stay in the event's order.
    others.sort_by_key(|row| (row.sound.is_none(), row.defects.badness()));
    let ttl = Ttl::Seconds(event.document.segment.seconds_at_least(1));
    for row in others {
        let outcome = if row.defects.is_empty() { Outcome::Hit } else { Outcome::Defective };
        match segment.media(row, outcome, Freshness::PublicFor(ttl), method, class).await {
            Ok(answer) => return Ok(Some(answer)),
            Err(ReadError::Store(StoreError::Damaged(_) | StoreError::Gone)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
