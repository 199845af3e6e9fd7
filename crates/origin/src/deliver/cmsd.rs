//! CMSD (CTA-5006): what a player's or an edge's own logic may want to know of a segment. Pure.

use std::fmt::Write;
use std::time::Duration;

use headwater_media::init::TrackKind;
use headwater_model::event::Event;
use headwater_model::row::{Object, Row};

/// `CMSD-Static`: what stays true of the object. `held` is how long the request was held.
#[must_use]
pub fn fixed(row: &Row, event: &Event, kind: Option<TrackKind>, held: Option<Duration>) -> String {
    let mut text = String::with_capacity(96);
    // Writing to a string cannot fail.
    let _ = write!(text, "at={}", row.published.millis());
    if matches!(row.key.object, Object::Segment { .. }) {
        let _ = write!(text, ",d={}", event.document.segment.millis().0);
    }
    if let Some(held) = held {
        let _ = write!(text, ",ht={}", held.as_millis());
    }
    // Segments are addressed by a template, as DASH does; an HLS player gets the same bytes.
    let stream = if event.document.end_number.is_some() { 'v' } else { 'l' };
    let _ = write!(text, ",n=\"headwater-{}\",ot={},sf=d,st={stream}", row.region, object_type(&row.key.object, kind));
    text
}

/// `CMSD-Dynamic`: how long this node took to answer.
#[must_use]
pub fn of_this_answer(row: &Row, spent: Duration) -> String {
    format!("\"headwater-{}\";rd={}", row.region, spent.as_millis())
}

const fn object_type(object: &Object, kind: Option<TrackKind>) -> &'static str {
    match (object, kind) {
        (Object::Init { .. }, _) => "i",
        (Object::Segment { .. }, Some(TrackKind::Video)) => "v",
        (Object::Segment { .. }, Some(TrackKind::Audio)) => "a",
        (Object::Segment { .. }, Some(TrackKind::Text)) => "c",
        _ => "o",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{live, segment_row};

    #[test]
    fn keys_are_sorted_and_typed() {
        let (row, event) = (segment_row("v", 7, "a", 1_790_000_002_123), live("{}").event());
        let held = Some(Duration::from_millis(850));
        assert_eq!(
            fixed(&row, &event, Some(TrackKind::Video), held),
            "at=1790000002123,d=2000,ht=850,n=\"headwater-local\",ot=v,sf=d,st=l"
        );
        assert_eq!(of_this_answer(&row, Duration::from_millis(12)), "\"headwater-local\";rd=12");
    }
}
