//! The deliver listener (contract §5): route, decide, hold, read, answer. A request for the live edge or for what is
//! not there never touches the store, but for the fence of a shared one: once for a segment whose best pipeline is missing.

pub mod answer;
pub mod cmcd;
pub mod cmsd;
mod edge;
mod follow;
pub mod hold;
mod hot;
mod instead;
#[cfg(test)]
mod interleavings;

use std::sync::Arc;

use headwater_media::init::TrackKind;
use headwater_model::decision::Ttl;
use headwater_model::document::Document;
use headwater_model::event::Event;
use headwater_model::row::Row;
use headwater_model::{Outcome, Pipeline, Timestamp};
use headwater_store::StoreError;
use headwater_wire::{Handler, Problem, Request, Response};
use http::{HeaderValue, Method, header};

use crate::Origin;
use crate::admit::Refusal;
use crate::deliver::answer::{Answer, Freshness, ReadError};
use crate::deliver::cmcd::Cmcd;
use crate::deliver::hold::Settled;
use crate::live::Live;
use crate::metrics::Class;
use crate::route::{self, Route, Target};
use crate::surrogate::Subject;
use crate::tail::{Candidate, Tail};

/// How long a bad path may be cached (contract §5, row 1).
const BAD_REQUEST_TTL: Ttl = Ttl::Seconds(60);
/// How long an unknown name may be cached (row 2).
const UNKNOWN_TTL: Ttl = Ttl::Seconds(5);
/// How long an absent loose object may be cached (contract §2).
const ABSENT_TTL: Ttl = Ttl::Seconds(1);
/// How long a shed answer may be cached (row 11).
const SHED_TTL: Ttl = Ttl::Seconds(5);
/// How often a segment is decided anew because its bytes went away between decision and read.
const READ_TRIES: u32 = 3;

/// Answers caches and players.
pub struct Deliver(pub Arc<Origin>);

impl Handler for Deliver {
    async fn handle(&self, mut request: Request) -> Response {
        respond(&self.0, &mut request.head).await
    }
}

/// The answer to a request, whose body does not matter.
pub async fn respond(origin: &Origin, head: &mut http::request::Parts) -> Response {
    let started = origin.clock.monotonic();
    let cmcd = Cmcd::of(head);
    let answer = match head.method {
        Method::GET | Method::HEAD => match hot::answer(origin, head.uri.path()) {
            Some(answer) => answer,
            None => knowing(origin, get(origin, head)).await,
        },
        Method::OPTIONS => return answer::preflight(),
        _ => return wrong_method(&head.method),
    };
    let spent = origin.clock.monotonic().saturating_sub(started);
    origin.metrics.cmcd(cmcd);
    origin.metrics.delivered(answer.outcome, answer.class, spent);
    answer.into_response(&head.method, &head.headers, spent)
}

/// Leaves of a head that may be held only what an answer goes by. Ten thousand others may be held with it, and each of
/// its parts keeps the whole buffer that it came in, 8 KiB, from being freed.
fn thin(head: &mut http::request::Parts) {
    let conditions =
        [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_MATCH];
    let kept = head.headers.iter().filter(|(name, _)| conditions.contains(name));
    let copied = kept.filter_map(|(name, value)| Some((name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?)));
    head.headers = copied.collect();
    if !head.uri.path().ends_with(route::EVENT_JSON) {
        head.uri = http::Uri::default();
    }
}

fn wrong_method(method: &Method) -> Response {
    let detail = format!("{method} is not for readers; use GET or HEAD, and PUT on the publish listener");
    Problem::new(405, "wrong-method", "Wrong method", detail).header(header::ALLOW, answer::ALLOWED).into()
}

/// `answer`, unless it says that something is not there and this node could not know when it was asked (row 12).
async fn knowing(origin: &Origin, answer: impl Future<Output = Answer>) -> Answer {
    let is_current = hold::is_current(origin);
    let answer = answer.await;
    let is_none = matches!(answer.outcome, Outcome::Unknown | Outcome::Absent);
    if is_none && !is_current { unavailable() } else { answer }
}

async fn get(origin: &Origin, head: &mut http::request::Parts) -> Answer {
    let route = route::parse(head.uri.path());
    thin(head);
    let Ok(route) = route else { return Answer::refusal(Outcome::BadRequest, BAD_REQUEST_TTL) };
    let Some(live) = origin.catalog.live(route.tenant.as_str(), route.event.as_str()) else {
        let about = Subject::of(origin.config.surrogate_keys, &route, None);
        return Answer::refusal(Outcome::Unknown, UNKNOWN_TTL).about(about);
    };
    let event = live.event();
    let target = route::target(&event.document, &route.path, |rendition| live.timescale(rendition));
    let about = Subject::of(origin.config.surrogate_keys, &route, Some(&target));
    let answer = match target {
        Target::Segment { rendition, number: Some(number) } => match &route.pipeline {
            Some(pipeline) => own_segment(origin, &live, pipeline, rendition.as_str(), number).await,
            None => match live.tail(rendition.as_str()) {
                Some(tail) => Segment { origin, live: &live, event: &event, tail, number }.get(&route, head).await,
                None => Answer::refusal(Outcome::Unknown, UNKNOWN_TTL),
            },
        },
        Target::Segment { number: None, .. } => Answer::refusal(Outcome::Unknown, UNKNOWN_TTL),
        Target::Init { rendition } => {
            let inits = live.tail(rendition.as_str()).map(|tail| tail.inits());
            let rows =
                inits.into_iter().flat_map(|inits| inits.iter().map(|init| init.row.clone()).collect::<Vec<_>>());
            let ttl = Ttl::Seconds(event.document.segment.seconds_at_least(1));
            unnumbered(origin, &live, &route, rows.collect(), ttl).await
        }
        Target::Loose { path } => {
            let ttl = Ttl::Seconds(half_segment_seconds(&event.document));
            unnumbered(origin, &live, &route, live.loose(&path), ttl).await
        }
        Target::EventJson => return edge::event_json(origin, &route, live, head.uri.query()).await,
        Target::Base => Answer::refusal(Outcome::Absent, ABSENT_TTL),
    };
    answer.of_event(&event).about(about)
}

/// `max(1, floor(d / 2))`.
fn half_segment_seconds(document: &Document) -> u64 {
    u64::from(document.segment.duration() / (document.segment.timescale().saturating_mul(2)).max(1)).max(1)
}

/// A segment that is asked for.
struct Segment<'a> {
    origin: &'a Origin,
    live: &'a Live,
    event: &'a Event,
    tail: Arc<Tail>,
    number: u64,
}

impl Segment<'_> {
    /// As the decision table says.
    async fn get(&self, route: &Route, head: &http::request::Parts) -> Answer {
        let (origin, number, rendition) = (self.origin, self.number, self.tail.rendition.as_str());
        let (arrived, mut held) = (origin.store.stamp(), false);
        for _ in 0..READ_TRIES {
            let decided = follow::settle(origin, route, (rendition, number), arrived, head, &mut held).await;
            let patient = if held { Outcome::Held } else { Outcome::Hit };
            let class = self.class();
            let (row, outcome, freshness) = match decided {
                Settled::Refuse(outcome, ttl) => return Answer::refusal(outcome, ttl).class(class),
                Settled::Unknown => return Answer::refusal(Outcome::Unknown, UNKNOWN_TTL),
                Settled::Unavailable => return unavailable().class(class),
                Settled::Follow(flight, ttl) => {
                    origin.metrics.selected(Some(&flight.row.key.pipeline));
                    return Answer::following(flight, patient, ttl).class(class).kind(track_kind(&self.tail));
                }
                Settled::Serve(row) => (row, patient, Freshness::Immutable),
                Settled::ServeForNow(row, ttl) => (row, patient, Freshness::PublicFor(ttl)),
                Settled::ServeDefective(row, ttl) => (row, Outcome::Defective, Freshness::PublicFor(ttl)),
            };
            match self.media(row.clone(), outcome, freshness, &head.method, class).await {
                Ok(answer) => return answer,
                // It expired or was replaced meanwhile: decide anew.
                Err(ReadError::Store(StoreError::Gone)) => {}
                Err(damaged @ ReadError::Store(StoreError::Damaged(_))) => {
                    let answer = match instead::of(self, &row, &head.method, class).await {
                        Ok(another) => another.unwrap_or_else(|| unread(origin, route, &damaged)),
                        Err(error) => unread(origin, route, &error),
                    };
                    return answer.class(class);
                }
                Err(error) => return unread(origin, route, &error).class(class),
            }
        }
        unavailable().class(self.class())
    }

    /// The bytes of a candidate.
    async fn media(
        &self,
        row: Candidate,
        outcome: Outcome,
        freshness: Freshness,
        method: &Method,
        class: Class,
    ) -> Result<Answer, ReadError> {
        let answer = Answer::media(self.origin, row, outcome, freshness, method, class).await?;
        self.origin.metrics.selected(answer.pipeline());
        Ok(answer.kind(track_kind(&self.tail)))
    }

    /// Whether it belongs to the live edge now.
    fn class(&self) -> Class {
        class(&self.event.document, self.number, self.origin.clock.wall())
    }
}

/// Whether a segment belongs to the live edge.
fn class(document: &Document, number: u64, wall: Timestamp) -> Class {
    let edge = document.expected(number) + headwater_model::Millis::from_seconds(document.live_window_s);
    if wall <= edge { Class::Live } else { Class::Dvr }
}

/// One pipeline's own candidate, for debugging: no choice, no hold, never cached.
async fn own_segment(origin: &Origin, live: &Live, pipeline: &Pipeline, rendition: &str, number: u64) -> Answer {
    let Some(tail) = live.tail(rendition) else { return Answer::refusal(Outcome::Unknown, UNKNOWN_TTL).uncached() };
    let slot = match hold::rows(origin, live, &tail, number).await {
        Ok(slot) => slot,
        Err(_) => return unavailable(),
    };
    let index = slot
        .as_ref()
        .and_then(|slot| slot.rows.iter().position(|row| row.key.pipeline == *pipeline && !row.is_removed()));
    let row = slot.zip(index).and_then(|(slot, index)| Candidate::of(&slot, index));
    own(origin, row).await
}

async fn own(origin: &Origin, row: Option<Candidate>) -> Answer {
    let Some(row) = row else { return Answer::refusal(Outcome::Absent, ABSENT_TTL).uncached() };
    let outcome = if row.defects.is_empty() { Outcome::Hit } else { Outcome::Defective };
    match Answer::media(origin, row, outcome, Freshness::Never, &Method::GET, Class::Dvr).await {
        Ok(answer) => answer,
        Err(ReadError::Store(StoreError::Gone)) => Answer::refusal(Outcome::Absent, ABSENT_TTL).uncached(),
        Err(_) => unavailable(),
    }
}

/// A loose object or an init segment: from the first healthy pipeline that has one (contract §2).
async fn unnumbered(origin: &Origin, live: &Live, route: &Route, rows: Vec<Row>, ttl: Ttl) -> Answer {
    let of = |pipeline: &Pipeline| rows.iter().find(|row| row.key.pipeline == *pipeline).cloned().map(Candidate::alone);
    if let Some(pipeline) = &route.pipeline {
        return own(origin, of(pipeline)).await;
    }
    let stamp: Timestamp = origin.store.stamp();
    let mut damaged = None;
    for row in live.preference(stamp).iter().filter_map(of) {
        let freshness = Freshness::PublicFor(ttl);
        match Answer::media(origin, row, Outcome::Hit, freshness, &Method::GET, Class::Live).await {
            Ok(answer) => return answer,
            Err(ReadError::Store(StoreError::Gone)) => {}
            // Another pipeline's may do.
            Err(error @ ReadError::Store(StoreError::Damaged(_))) => damaged = Some(error),
            Err(error) => return unread(origin, route, &error),
        }
    }
    match damaged {
        Some(error) => unread(origin, route, &error),
        None => Answer::refusal(Outcome::Absent, ABSENT_TTL),
    }
}

/// What a reader gets whose bytes were not read (rows 11 and 12).
fn unread(origin: &Origin, route: &Route, error: &ReadError) -> Answer {
    match error {
        ReadError::Refused(Refusal::Shed) => {
            origin.metrics.shed(Class::Dvr);
            Answer::refusal(Outcome::Shed, SHED_TTL)
        }
        ReadError::Refused(Refusal::Overloaded) => {
            origin.metrics.shed(Class::Live);
            unavailable()
        }
        ReadError::Store(error) => {
            tracing::error!(%error, tenant = %route.tenant, event = %route.event, path = route.path, "cannot read");
            unavailable()
        }
    }
}

/// What a rendition's init segment says it is.
fn track_kind(tail: &Tail) -> Option<TrackKind> {
    tail.inits().iter().find_map(|init| init.facts.as_ref()).map(|facts| facts.main().kind)
}

fn unavailable() -> Answer {
    Answer::refusal(Outcome::Unavailable, Ttl::Seconds(0)).uncached()
}
