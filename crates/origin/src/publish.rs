//! The publish listener (contract §4): route, authorize, receive, inspect, record, answer.
//!
//! A refusal is told after the body has been drained, because packagers only listen then; 401, 403, 413 and 431 are
//! told at once. An upload whose client has gone is still recorded once its body is whole.

pub mod answer;
pub mod authorize;
pub mod follow;
pub mod inspect;
mod notify;
mod quota;
pub mod receive;
mod remove;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_media::init::Init;
use headwater_media::kind::{content_type, is_media_segment};
use headwater_media::source::Pieces;
use headwater_model::document::Inspect;
use headwater_model::event::{Counters, Event};
use headwater_model::row::{Claim, EventId, Keep, Key, Object};
use headwater_model::{Millis, Pipeline, Timestamp};
use headwater_store::{Body, Published, StoreError};
use headwater_wire::limits::DRAIN_BYTES_MAX;
use headwater_wire::{Handler, Inbound, Outbound, Problem, Request, Response};
use http::{HeaderMap, HeaderValue, Method, header};

use crate::Origin;
use crate::control::ControlError;
use crate::deliver::hold;
use crate::live::Live;
use crate::publish::authorize::forbidden;
use crate::publish::follow::Followed;
use crate::publish::receive::Received;
use crate::quota::Reservation;
use crate::route::{self, Route, Target};

/// Most renditions of one event, the declared ones included: each costs a ring of its own.
pub const RENDITIONS_MAX: usize = headwater_model::document::RENDITIONS_MAX;

/// Answers publishers.
pub struct Publish(pub Arc<Origin>);

impl Handler for Publish {
    async fn handle(&self, request: Request) -> Response {
        let started = self.0.clock.monotonic();
        let method = request.head.method.clone();
        let response = match method {
            Method::PUT | Method::POST => put(&self.0, request).await,
            Method::DELETE => remove::delete(&self.0, request).await,
            Method::OPTIONS => options(),
            other => {
                let detail =
                    format!("{other} is not for publishers; use PUT, POST or DELETE, and GET on the deliver listener");
                Problem::new(405, "wrong-method", "Wrong method", detail).header(header::ALLOW, ALLOWED).into()
            }
        };
        self.0.metrics.published(response.status(), self.0.clock.monotonic().saturating_sub(started));
        response
    }
}

const ALLOWED: &str = "PUT, POST, DELETE, OPTIONS";

fn options() -> Response {
    let mut response = Response::new(Outbound::Empty);
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    response
}

/// An upload that may be received.
struct Upload {
    route: Route,
    /// The event as it is, or as the upload will make it.
    event: Arc<Event>,
    /// The event in memory, if it is there.
    live: Option<Arc<Live>>,
    object: Object,
    pipeline: Pipeline,
    create_only: bool,
    /// Its share of the tenant's quota, until the store counts it.
    reservation: Option<Reservation>,
}

async fn put(origin: &Arc<Origin>, mut request: Request) -> Response {
    let head = &request.head;
    let (route, pipeline) = match admit(origin, head, request.body.length(), request.peer.ip()) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(refusal, &request.head.headers, &mut request.body).await,
    };
    let planned = quota::pass(origin, &route)
        .and_then(|()| plan(origin, route, pipeline, &request.head.headers, request.body.length()));
    let mut upload = match planned {
        Ok(Some(upload)) => upload,
        Ok(None) => return probe(&request.head.headers, &mut request.body).await,
        Err(refusal) => return refuse(refusal, &request.head.headers, &mut request.body).await,
    };
    let limit = quota::limit(origin, &upload.route);
    let (headers, followed) = (&request.head.headers, Followed::of(origin, &upload, &request.head.headers));
    let received = match receive::receive(&mut request.body, headers, &origin.pool, limit, followed).await {
        Ok(received) => received,
        Err(problem) => {
            let problem = quota::explain(origin, &upload.route, problem);
            return refuse(problem, &request.head.headers, &mut request.body).await;
        }
    };
    if let Some(Err(exceeded)) = upload.reservation.as_mut().map(|reserved| reserved.grow(received.body.len())) {
        return exceeded.problem().into();
    }
    let budget_ms = origin.config.store.publish_budget_ms;
    let (origin, headers) = (Arc::clone(origin), request.head.headers);
    // A task of its own: the client may go away, what it sent whole is recorded and learnt from all the same.
    let recording = tokio::spawn(async move { record(&origin, upload, received, &headers).await });
    // A commit that ends later still counts: the same bytes again get 200 (contract §4).
    let budget = Duration::from_millis(budget_ms);
    match tokio::time::timeout(budget, recording).await {
        Ok(Ok(Ok(response))) => response,
        Ok(Ok(Err(problem))) => problem.into(),
        Ok(Err(_)) => {
            Problem::new(500, "internal", "Internal error", "the upload was not recorded; send it again").into()
        }
        Err(_) => {
            let detail = format!("the store has not answered within {budget_ms} ms; send it again");
            answer::store_problem(&StoreError::Unavailable(detail)).into()
        }
    }
}

/// Refuses with the body drained, except where the client must not send it, or does not (contract §4).
async fn refuse(problem: Problem, headers: &HeaderMap, body: &mut Inbound) -> Response {
    let waits = headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    // Draining would ask a client that waits for 100 to send what is refused.
    if !waits && !matches!(problem.status.as_u16(), 401 | 403 | 408 | 413 | 431) {
        body.discard(DRAIN_BYTES_MAX).await;
    }
    problem.into()
}

/// What the head alone decides: the path, the tenant, the credential, the size.
fn admit(
    origin: &Origin,
    head: &http::request::Parts,
    length: Option<u64>,
    peer: IpAddr,
) -> Result<(Route, Option<Pipeline>), Problem> {
    let route = route::parse(head.uri.path())
        .map_err(|error| Problem::new(400, "bad-path", "Bad path", error.to_string()).field("path"))?;
    let Some((_, tenant)) = origin.control.tenant(route.tenant.as_str()) else {
        return Err(answer::control_problem(&ControlError::UnknownTenant(route.tenant.to_string())));
    };
    let credential = authorize::credential(tenant, &head.headers, peer)?;
    let pipeline = authorize::pipeline(credential, &head.headers, route.pipeline.as_ref())?;
    if head.headers.contains_key(header::CONTENT_RANGE) {
        let detail = "an object is stored whole; send all of it without Content-Range (RFC 9110 §14.5)";
        return Err(Problem::new(400, "content-range", "Partial upload", detail).field("content-range"));
    }
    quota::check_size(origin, &route, tenant, length)?;
    Ok((route, pipeline))
}

/// What will be stored for whom; `None` for the event's base path.
fn plan(
    origin: &Origin,
    route: Route,
    pipeline: Option<Pipeline>,
    headers: &HeaderMap,
    length: Option<u64>,
) -> Result<Option<Upload>, Problem> {
    let live = origin.catalog.live(route.tenant.as_str(), route.event.as_str());
    let event = match &live {
        Some(live) => live.event(),
        None => {
            quota::check_events(origin, &route)?;
            Arc::new(coming(origin, &route)?)
        }
    };
    let timescale = |rendition: &_| match &live {
        Some(live) => live.timescale(rendition),
        None => event.document.rendition(rendition).and_then(|spec| spec.timescale),
    };
    let object = match route::target(&event.document, &route.path, timescale) {
        Target::Base => return Ok(None),
        Target::EventJson => {
            let detail = "`event.json` tells edges about the event; publish under another name";
            return Err(Problem::new(400, "reserved-path", "Reserved path", detail).field("path"));
        }
        target => target.object().ok_or_else(|| no_timescale(&route.path))?,
    };
    if let Object::Segment { number, .. } = object {
        check_number(&event, number, origin.clock.wall())?;
    }
    let rules = match object {
        Object::Segment { number, .. } => event.rules_at(number),
        _ => &event.document.rules,
    };
    let pipeline = pipeline.unwrap_or_else(|| rules.pipelines[0].clone());
    if !rules.pipelines.contains(&pipeline) {
        let listed = rules.pipelines.iter().map(Pipeline::as_str).collect::<Vec<_>>().join(", ");
        return Err(forbidden(format!("the event has no pipeline `{pipeline}`; it lists {listed}")));
    }
    let create_only = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes().trim_ascii() == b"*");
    let mut upload = Upload { route, event, live, object, pipeline, create_only, reservation: None };
    quota::check_renditions(origin, &upload)?;
    upload.reservation = quota::reserve(origin, &upload, length)?;
    Ok(Some(upload))
}

/// The event that the upload would create.
fn coming(origin: &Origin, route: &Route) -> Result<Event, Problem> {
    let document = origin.control.tenant(route.tenant.as_str()).and_then(|(_, spec)| spec.auto_document.clone());
    let Some(document) = document else {
        let (tenant, event) = (route.tenant.to_string(), route.event.to_string());
        return Err(answer::control_problem(&ControlError::UnknownEvent { tenant, event }));
    };
    Ok(Event::new(EventId(0), route.tenant.clone(), route.event.clone(), document, Counters::default()))
}

fn no_timescale(path: &str) -> Problem {
    let detail = format!(
        "`{path}` names a media time, but the timescale of its rendition is not known; declare renditions[].timescale or publish the init segment first"
    );
    Problem::new(422, "unknown-timescale", "Unknown timescale", detail).field("timescale")
}

/// Whether a segment of that number may be published now (contract §4).
fn check_number(event: &Event, number: u64, wall: Timestamp) -> Result<(), Problem> {
    let document = &event.document;
    let refused = |status, code, title, detail: String| Err(Problem::new(status, code, title, detail).field("number"));
    if number < document.start_number {
        let detail = format!("segment {number} lies before start_number {}", document.start_number);
        return refused(422, "before-start", "Before the event's start", detail);
    }
    if let Some(end) = document.end_number.filter(|end| number > *end) {
        let detail = format!("segment {number} lies after end_number {end}; put a document with a later end first");
        return refused(422, "after-end", "After the event's end", detail);
    }
    let ahead = document.becomes_next(number).millis_since(wall);
    let most = i128::from(document.publish_ahead_max_s) * 1000;
    if ahead > most {
        let detail = format!(
            "segment {number} begins {}.{:03} s from now, and publish_ahead_max_s is {}; a clock is wrong, or the numbering does not start at availability_start_time",
            ahead / 1000,
            ahead % 1000,
            document.publish_ahead_max_s
        );
        return refused(422, "too-early", "Published too early", detail);
    }
    if document.expires(number) < wall {
        let late = wall.millis_since(document.expected(number)) / 1000;
        let detail = format!(
            "segment {number} was due {late} s ago, and dvr_window_s is {}; a clock is wrong, or the numbering does not start at availability_start_time",
            document.dvr_window_s
        );
        return refused(410, "expired", "Older than the DVR window", detail);
    }
    Ok(())
}

/// An empty body on the event's base path tests the publishing point and creates nothing.
async fn probe(headers: &HeaderMap, body: &mut Inbound) -> Response {
    match body.collect(0).await {
        Ok(Some(_)) => Response::new(Outbound::Empty),
        _ => {
            let detail = "the event's base path takes no media; add the object's path";
            refuse(Problem::new(400, "no-object", "No object named", detail).field("path"), headers, body).await
        }
    }
}

/// Judges and stores a whole upload.
async fn record(origin: &Origin, upload: Upload, received: Received, headers: &HeaderMap) -> Result<Response, Problem> {
    let Received { body, digest, admission, followed } = received;
    if body.is_empty() {
        let detail = "there are no bytes to store; to test the publishing point, use the event's base path";
        return Err(Problem::new(400, "empty-body", "Empty body", detail));
    }
    let live = match &upload.live {
        Some(live) => Arc::clone(live),
        None => {
            let made = origin.control.ensure(&upload.route.tenant, &upload.route.event).await;
            made.map_err(|error| answer::control_problem(&error))?
        }
    };
    quota::claim_rendition(origin, &upload, &live)?;
    let claim = Claim {
        key: Key { event: live.event().id, object: upload.object.clone(), pipeline: upload.pipeline.clone() },
        size: body.len(),
        digest,
        content_type: content_type(&upload.route.path, &Pieces::new(body.chunks())).into(),
        defects: defects(&upload, &live, headers, &body)?,
        region: origin.config.region.clone(),
        keep: keep(origin, &upload, &body),
        create_only: upload.create_only,
        arrived: followed.as_ref().and_then(Followed::arrived),
        passed: passed(origin, &upload, &live).await,
    };
    let refused = notify::apply(origin, &upload, &live, &claim, headers).await;
    let gate = live.gate.read().await;
    let commit = origin.admission.commit(origin.clock.monotonic());
    let published = origin.store.publish(claim, body.clone()).await.map_err(|error| answer::store_problem(&error))?;
    commit.end(origin.clock.monotonic());
    drop((gate, admission));
    if let Some(followed) = followed {
        followed.end(&published, &body);
    }
    learn(&live, &published, &body);
    let late = lateness(origin, &upload);
    if let Published::Stored(row) = &published {
        row.defects.iter().for_each(|defect| origin.metrics.defect(&upload.pipeline, defect.kind));
        if let Some(late) = late {
            origin.metrics.lateness(&upload.pipeline, late.millis_late);
        }
    }
    let mut response = answer::published(&published, late.is_some_and(|late| late.past_deadline));
    if let Some(refused) = refused {
        refused.tell(&mut response);
    }
    Ok(response)
}

/// For whom a segment comes too late, on a store that other processes publish into.
async fn passed(origin: &Origin, upload: &Upload, live: &Live) -> Box<[Pipeline]> {
    let Object::Segment { rendition, number } = &upload.object else { return Box::default() };
    match live.tail(rendition.as_str()) {
        Some(tail) if origin.store.shared().is_some() => {
            hold::too_late_for(origin, live, &tail, *number, &upload.pipeline).await
        }
        _ => Box::default(),
    }
}

/// All that is wrong with the upload; none for what is no segment.
fn defects(
    upload: &Upload,
    live: &Live,
    headers: &HeaderMap,
    body: &Body,
) -> Result<headwater_model::defect::Defects, Problem> {
    let Object::Segment { rendition, number } = &upload.object else { return Ok(Default::default()) };
    let mode = upload.event.rules_at(*number).inspect;
    let facts = live.tail(rendition.as_str()).and_then(|tail| tail.facts(&upload.pipeline));
    let declared = upload.event.document.rendition(rendition).and_then(|spec| spec.timescale);
    let track = inspect::track(facts.as_deref(), declared);
    let reported = inspect::reported(headers);
    let all = inspect::judged(reported, mode, &upload.event.document, &upload.route.path, *number, track, body);
    if mode == Inspect::Reject && !all.is_empty() {
        let detail =
            format!("the segment is defective ({all}) and the event's inspect is `reject`; nothing was stored");
        return Err(Problem::new(422, "defective", "Defective segment", detail)
            .field("body")
            .header(http::HeaderName::from_static(inspect::DEFECTS_HEADER), &all.to_string()));
    }
    Ok(all)
}

/// How long the store keeps the upload: segments for the DVR window, a packager's own media as long from now on, and
/// manifests and init segments for good, because some are written only once.
fn keep(origin: &Origin, upload: &Upload, body: &Body) -> Keep {
    let document = &upload.event.document;
    match &upload.object {
        Object::Segment { number, .. } => Keep::Until(document.expires(*number)),
        Object::Loose { path } if is_media_segment(path, &Pieces::new(body.chunks())) => {
            Keep::Until(origin.clock.wall() + Millis::from_seconds(document.dvr_window_s))
        }
        Object::Loose { .. } | Object::Init { .. } => Keep::Standing,
    }
}

/// Reads what an init segment says about its rendition.
fn learn(live: &Live, published: &Published, body: &Body) {
    let Published::Stored(row) = published else { return };
    let Object::Init { rendition } = &row.key.object else { return };
    match Init::read(&Pieces::new(body.chunks())) {
        Ok(facts) => live.tail_or_new(rendition).learn(row, &Arc::new(facts)),
        Err(error) => {
            tracing::warn!(%rendition, pipeline = %row.key.pipeline, %error, "stored an init segment that says nothing")
        }
    }
}

/// How late a segment came.
#[derive(Clone, Copy)]
struct Lateness {
    millis_late: i128,
    past_deadline: bool,
}

fn lateness(origin: &Origin, upload: &Upload) -> Option<Lateness> {
    let Object::Segment { number, .. } = upload.object else { return None };
    let (document, wall) = (&upload.event.document, origin.clock.wall());
    let past_deadline = wall > document.deadline(number, upload.event.rules_at(number));
    Some(Lateness { millis_late: wall.millis_since(document.expected(number)), past_deadline })
}
