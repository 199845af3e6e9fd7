//! The timeline: per segment what each pipeline published, and which candidate is served (contract §8).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headwater_model::event::Published;
use headwater_model::mask::is_masked;
use headwater_model::row::Row;
use headwater_wire::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Origin;
use crate::deliver::hold::{self, Glance};
use crate::live::Live;
use crate::ops::events::found;
use crate::ops::{Path, Query, Refused};
use crate::publish::answer::store_problem;
use crate::tail::Tail;

/// Most segments of one answer: half an hour of 2 s segments.
const SEGMENTS_MAX: u64 = 1000;
/// Without a range: the last minute.
const LAST_MILLIS: u64 = 60_000;

pub(super) fn router() -> OpenApiRouter<Arc<Origin>> {
    OpenApiRouter::new().routes(routes!(timeline))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Range {
    /// Which rendition.
    rendition: String,
    /// The first segment; with neither bound, the last minute.
    from: Option<u64>,
    /// The last segment; without it, the next one that is due.
    to: Option<u64>,
}

/// One segment.
#[derive(Serialize, ToSchema)]
struct SegmentView {
    /// Its number.
    number: u64,
    /// When it is expected: `E(n)`.
    expected: String,
    /// What a reader would be told now: a word of `Headwater-Outcome`, `hold` or `closing`.
    outcome: &'static str,
    /// The pipeline that is served; absent if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<String>,
    /// What each pipeline has published, in the event's order.
    candidates: Vec<CandidateView>,
}

/// One pipeline's candidate.
#[derive(Serialize, ToSchema)]
struct CandidateView {
    /// Whose.
    pipeline: String,
    /// `sound`, `defective`, `masked`, `removed`, `arriving` or `absent`.
    state: &'static str,
    /// As in `Headwater-Defects`.
    #[serde(skip_serializing_if = "Option::is_none")]
    defects: Option<String>,
    /// First published so many milliseconds after `E(n)`; negative is early.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_ms: Option<i64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Of the bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

/// What was published and what is served.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/{event}/timeline", tag = "timeline",
    params(("tenant" = String, Path), ("event" = String, Path), Range),
    responses((status = 200, body = Vec<SegmentView>), (status = 404, description = "no such tenant, event or rendition"),
        (status = 422, description = "the range is empty or longer than 1,000 segments")))]
async fn timeline(
    State(origin): State<Arc<Origin>>,
    Path((tenant, event)): Path<(String, String)>,
    Query(range): Query<Range>,
) -> Result<Json<Vec<SegmentView>>, Refused> {
    let live = found(&origin, &tenant, &event)?;
    let Some(tail) = live.tail(&range.rendition) else {
        let detail = format!("the event has no rendition `{}`", range.rendition);
        return Err(Problem::new(404, "unknown-rendition", "Unknown rendition", detail).field("rendition").into());
    };
    let (from, to) = bounds(&origin, &live, &range)?;
    let mut segments = Vec::new();
    for number in from..=to {
        segments.push(segment(&origin, &live, &tail, number).await?);
    }
    Ok(Json(segments))
}

fn bounds(origin: &Origin, live: &Live, range: &Range) -> Result<(u64, u64), Refused> {
    let document = &live.event().document;
    let due = document.next_number(origin.clock.wall());
    // What was published early is shown too.
    let next = match live.published() {
        Published::Nothing => due,
        Published::UpTo(highest) => due.max(highest.saturating_add(1)),
    };
    let last = (LAST_MILLIS / document.segment.millis().0.max(1)).clamp(1, SEGMENTS_MAX);
    let to = range.to.unwrap_or(next);
    let from = range.from.unwrap_or_else(|| to.saturating_sub(last - 1).max(document.start_number));
    if from > to || to - from >= SEGMENTS_MAX {
        let detail = format!("`from` {from} and `to` {to}: ask for 1 to {SEGMENTS_MAX} segments at a time");
        return Err(Problem::new(422, "bad-range", "Bad range", detail).field("from").into());
    }
    Ok((from, to))
}

async fn segment(origin: &Origin, live: &Live, tail: &Tail, number: u64) -> Result<SegmentView, Refused> {
    let event = live.event();
    let refused = |error| Refused::from(store_problem(&error));
    let slot = hold::rows(origin, live, tail, number).await.map_err(refused)?;
    let (outcome, served) = match hold::glance(origin, live, tail, number).await {
        Glance::Served(row, outcome) => (outcome.word(), Some(row.key.pipeline.to_string())),
        Glance::Refused(outcome) => (outcome.word(), None),
        Glance::Waiting => (
            if slot.as_ref().is_some_and(|slot| !slot.rows.iter().all(Row::is_removed)) { "closing" } else { "hold" },
            None,
        ),
    };
    let expected = event.document.expected(number);
    let flights = tail.flights.around(number);
    let candidates = event.rules_at(number).pipelines.iter().map(|pipeline| {
        let rows = slot.as_ref().map_or(&[][..], |slot| &slot.rows);
        let row = rows.iter().find(|row| row.key.pipeline == *pipeline);
        let masked = is_masked(&event.masks, pipeline, &tail.rendition, number);
        CandidateView {
            pipeline: pipeline.to_string(),
            state: state(row, masked, flights.iter().any(|flight| flight.is_of(number, pipeline))),
            defects: row.filter(|row| !row.defects.is_empty()).map(|row| row.defects.to_string()),
            late_ms: row.map(|row| row.first.millis_since(expected) as i64),
            size: row.filter(|row| !row.is_removed()).map(|row| row.size),
            etag: row.filter(|row| !row.is_removed()).map(|row| format!("\"{}\"", row.digest)),
        }
    });
    Ok(SegmentView { number, expected: expected.to_rfc3339(), outcome, served, candidates: candidates.collect() })
}

fn state(row: Option<&Row>, masked: bool, arriving: bool) -> &'static str {
    match row {
        _ if masked => "masked",
        None if arriving => "arriving",
        None => "absent",
        Some(row) if row.is_removed() && arriving => "arriving",
        Some(row) if row.is_removed() => "removed",
        Some(row) if row.sound.is_some() => "sound",
        Some(_) => "defective",
    }
}
