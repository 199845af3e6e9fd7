//! The short way of most requests: a segment of the live edge whose choice has closed and whose bytes are in memory.
//! What it answers is what the long way would, at a third of the work; what it does not know, it leaves to that.

use headwater_model::template::Position;

use crate::Origin;
use crate::deliver::answer::Answer;
use crate::deliver::{class, hold, track_kind};
use crate::route;
use crate::surrogate::Subject;

/// The answer to a GET or HEAD for `path`, if it is one of those.
pub(super) fn answer(origin: &Origin, path: &str) -> Option<Answer> {
    let decoded = route::decode(path).ok()?;
    let split = route::split(&decoded).ok().filter(|split| split.pipeline.is_none())?;
    let live = origin.catalog.live(split.tenant, split.event)?;
    let event = live.event();
    let fit = event.document.media.fit(split.path)?;
    let tail = match fit.rendition {
        Some(name) => live.tail(name)?,
        None => live.tail(event.document.only_rendition().as_str())?,
    };
    let position = fit.position?;
    let scale = matches!(position, Position::Time(_)).then(|| live.timescale(&tail.rendition)).flatten();
    let number = event.document.number_of(position, scale)?;
    let wall = origin.clock.wall();
    let row = hold::closed(&event, &tail, number, wall)?;
    let body = origin.store.hot(&row)?;
    origin.metrics.selected(Some(&row.key.pipeline));
    let answer = Answer::hit(row, body, track_kind(&tail), class(&event.document, number, wall));
    let about = Subject::segment(origin.config.surrogate_keys, &event, &tail.rendition, number);
    Some(answer.of_event(&event).about(about))
}
