//! Decides a request for a segment and waits as long as the decision table says so. On a store that processes share it
//! makes sure that what is served for ever is so on every node (architecture §4), and never says that nothing is there
//! where this node cannot know.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::decision::{Arrival, Clocks, Decision, Ttl, View, decide};
use headwater_model::event::Event;
use headwater_model::row::{Key, Object, Row};
use headwater_model::selection::{self, Selection};
use headwater_model::time::Now;
use headwater_model::{Outcome, Pipeline, Timestamp};
use headwater_store::StoreError;
use headwater_store::broken::{Fault, broken};

use crate::Origin;
use crate::live::Live;
use crate::route::Route;
use crate::tail::flight::Flight;
use crate::tail::{Candidate, Known, Slot, Tail};

/// Most records that a look at three segments can give: one a pipeline.
const ROWS_MAX: usize = 3 * headwater_model::document::PIPELINES_MAX;
/// How often a choice is made anew because one that was to be passed over had come meanwhile: each can do so once.
const FENCES_MAX: usize = headwater_model::document::PIPELINES_MAX + 1;

/// What a request for a segment came to, after any hold.
pub enum Settled {
    /// This candidate, for ever.
    Serve(Candidate),
    /// This candidate, for now.
    ServeDefective(Candidate, Ttl),
    /// This candidate, for now: the choice hangs on an upload that is still arriving.
    ServeForNow(Candidate, Ttl),
    /// This candidate, while it arrives.
    Follow(Arc<Flight>, Ttl),
    /// No media.
    Refuse(Outcome, Ttl),
    /// No such event or rendition (row 2).
    Unknown,
    /// This node cannot know (row 12).
    Unavailable,
}

/// Decides, holding the request where the table says so. `held` is set once it has been held.
pub async fn settle(
    origin: &Origin,
    route: &Route,
    rendition: &str,
    number: u64,
    arrived: Timestamp,
    held: &mut bool,
) -> Settled {
    let mut holding = Holding { origin, started: None };
    loop {
        let Some(live) = origin.catalog.live(route.tenant.as_str(), route.event.as_str()) else {
            return Settled::Unknown;
        };
        let Some(tail) = live.tail(rendition) else { return Settled::Unknown };
        // Most requests are answered at once: only those that are held join the waiters, and look again afterwards.
        match firm(origin, &live, &tail, number, Arrival { stamp: arrived, held: *held }).await {
            Look::Settled(settled) => return settled,
            Look::Hold(_) => {}
        }
        let (waiter, mut watermark) = (tail.wait(number), pin!(origin.catalog.watermark()));
        let mut news = pin!(waiter.news());
        news.as_mut().enable();
        watermark.as_mut().enable();
        *held = true;
        holding.start();
        let until = match firm(origin, &live, &tail, number, Arrival { stamp: arrived, held: true }).await {
            Look::Settled(settled) => return settled,
            Look::Hold(until) => until,
        };
        // A close that has come waits only for commits that were stamped before it.
        let may_lag = !rows_absent(&tail, number) || !tail.flights.is_empty();
        tokio::select! {
            () = news => {}
            () = watermark, if may_lag => {}
            () = sleep_until(origin, until) => {}
            () = origin.drain.started() => return Settled::Unavailable,
        }
    }
}

/// The choice of a segment of the live edge, if it is known to have closed: what [`settle`] would come to. Most
/// requests ask for what has been asked for before.
pub fn closed(event: &Event, tail: &Tail, number: u64, wall: Timestamp) -> Option<Candidate> {
    // What else rows 3 and 4 go by is in the event's revision.
    tail.closed(number, event.rev).filter(|_| wall <= event.document.expires(number))
}

/// A hold that is being counted.
struct Holding<'a> {
    origin: &'a Origin,
    started: Option<Duration>,
}

impl Holding<'_> {
    fn start(&mut self) {
        if self.started.is_none() {
            self.started = Some(self.origin.clock.monotonic());
            self.origin.metrics.hold_started();
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if let Some(started) = self.started {
            self.origin.metrics.hold_ended(self.origin.clock.monotonic().saturating_sub(started));
        }
    }
}

fn rows_absent(tail: &Tail, number: u64) -> bool {
    matches!(tail.slot(number), Known::Slot(None))
}

/// Sleeps until `stamp` on the stamp clock.
async fn sleep_until(origin: &Origin, stamp: Timestamp) {
    let nanos = stamp.nanos_since(origin.store.stamp()).clamp(0, 3_600_000_000_000);
    // A millisecond more, so that the moment has come when the timer fires, whatever its grain.
    origin.clock.sleep(Duration::from_nanos(nanos as u64) + Duration::from_millis(1)).await;
}

/// What a reader would get without waiting.
pub enum Glance {
    /// This candidate.
    Served(Candidate, Outcome),
    /// No media.
    Refused(Outcome),
    /// It would be held.
    Waiting,
}

/// Decides a segment as for a reader who comes now.
pub async fn glance(origin: &Origin, live: &Live, tail: &Tail, number: u64) -> Glance {
    let arrival = Arrival { stamp: origin.store.stamp(), held: false };
    match look(origin, live, tail, number, arrival, &mut None).await {
        Look::Hold(_) => Glance::Waiting,
        Look::Settled(Settled::Serve(row)) => Glance::Served(row, Outcome::Hit),
        Look::Settled(Settled::ServeForNow(row, _)) => Glance::Served(row, Outcome::Hit),
        Look::Settled(Settled::ServeDefective(row, _)) => Glance::Served(row, Outcome::Defective),
        Look::Settled(Settled::Follow(flight, _)) => Glance::Served(Candidate::alone(flight.row.clone()), Outcome::Hit),
        Look::Settled(Settled::Refuse(outcome, _)) => Glance::Refused(outcome),
        Look::Settled(Settled::Unknown) => Glance::Refused(Outcome::Unknown),
        Look::Settled(Settled::Unavailable) => Glance::Refused(Outcome::Unavailable),
    }
}

enum Look {
    Settled(Settled),
    Hold(Timestamp),
}

/// As [`look`], and whatever it comes to for ever holds on every node: nobody serves it before those that rank above it
/// are passed over.
async fn firm(origin: &Origin, live: &Live, tail: &Tail, number: u64, arrival: Arrival) -> Look {
    for _ in 0..FENCES_MAX {
        let mut closing = None;
        let look = look(origin, live, tail, number, arrival, &mut closing).await;
        let Some(Closing { row, rev, overtaken }) = closing else { return look };
        match pass_over(origin, live, &row, overtaken).await {
            Ok(true) => {
                row.close(rev);
                return look;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, rendition = %tail.rendition, number, "cannot pass over a missing candidate");
                return Look::Settled(Settled::Unavailable);
            }
        }
    }
    Look::Settled(Settled::Unavailable)
}

/// A choice that is about to be made for ever.
struct Closing {
    row: Candidate,
    rev: u64,
    /// Who must not come before it any more.
    overtaken: Vec<Pipeline>,
}

/// `false` if one of them has come, or the choice is no longer what it was.
async fn pass_over(
    origin: &Origin,
    live: &Live,
    row: &Candidate,
    overtaken: Vec<Pipeline>,
) -> Result<bool, StoreError> {
    let Some(shared) = origin.store.shared() else { return Ok(true) };
    for pipeline in overtaken {
        tracing::debug!(%pipeline, by = %row.key.pipeline, object = ?row.key.object, "passed over");
        let key = Key { event: live.event().id, object: row.key.object.clone(), pipeline };
        if !shared.pass_over(key, &row.key.pipeline, row.keep, origin.config.region.clone()).await? {
            return Ok(false);
        }
    }
    shared.hold_to(row).await
}

/// Decides by what is known now. A choice for ever is noted in `closing`.
async fn look(
    origin: &Origin,
    live: &Live,
    tail: &Tail,
    number: u64,
    arrival: Arrival,
    closing: &mut Option<Closing>,
) -> Look {
    // The watermark first, and whether others' commits are known: what is read after it may only be newer.
    let (settled, is_current) = (origin.store.settled(), is_current(origin));
    // Then what is in flight, and the records last: an upload is recorded before it is no longer in flight.
    let flights = tail.flights.around(number);
    let three = match three_slots(origin, live, tail, number).await {
        Ok(three) => three,
        Err(error) => {
            tracing::error!(%error, rendition = %tail.rendition, number, "cannot read records");
            return Look::Settled(Settled::Unavailable);
        }
    };
    let flying: Vec<Row> = flights.iter().map(|flight| flight.row.clone()).collect();
    let rows = |slot: usize| three[slot].as_deref().map_or(&[][..], |slot| &slot.rows);
    let event = live.event();
    let view = View {
        event: &event,
        rendition: &tail.rendition,
        number,
        rows: rows(0),
        before: [rows(1), rows(2)],
        flying: &flying,
        last_arrival: tail.last_arrival(),
        fenced: origin.store.shared().is_some(),
    };
    let clocks = Clocks { wall: origin.clock.wall(), stamp: origin.store.stamp(), settled };
    let by_arrival = broken(Fault::ByArrival);
    let first = rows(0).iter().find(|row| by_arrival && row.sound.is_some());
    Look::Settled(match decide(&view, clocks, arrival) {
        Decision::Hold(until) => return Look::Hold(until),
        Decision::Serve(chosen) => candidate(&three[0], first.unwrap_or(chosen)).map_or(Settled::Unavailable, |row| {
            let overtaken = if view.fenced && !by_arrival { overtaken(&view, chosen) } else { Vec::new() };
            *closing = Some(Closing { row: row.clone(), rev: event.rev, overtaken });
            Settled::Serve(row)
        }),
        Decision::ServeDefective(row, ttl) => {
            candidate(&three[0], row).map_or(Settled::Unavailable, |row| Settled::ServeDefective(row, ttl))
        }
        Decision::ServeForNow(row, ttl) => {
            candidate(&three[0], row).map_or(Settled::Unavailable, |row| Settled::ServeForNow(row, ttl))
        }
        Decision::Follow(row, ttl) => {
            let chosen = flights.iter().find(|flight| flight.row.key == row.key).cloned();
            chosen.map_or(Settled::Unavailable, |flight| Settled::Follow(flight, ttl))
        }
        Decision::Refuse(outcome, _) if counts_absence(outcome) && !is_current => Settled::Unavailable,
        // Another node knows more: it has passed somebody over for one that is not known here yet.
        Decision::Refuse(outcome, _) if counts_absence(outcome) && selection::is_promised(&view.question()) => {
            Settled::Unavailable
        }
        Decision::Refuse(outcome, ttl) => Settled::Refuse(outcome, ttl),
        Decision::Unavailable => Settled::Unavailable,
    })
}

/// Whether it is said because there is no record (contract §5, row 12).
fn counts_absence(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::TooEarly | Outcome::HeldTooLong | Outcome::Silent | Outcome::Missing | Outcome::Masked)
}

/// Whether this node knows what others have published; where nobody else does, it always knows.
pub(super) fn is_current(origin: &Origin) -> bool {
    origin.store.shared().is_none_or(headwater_store::Shared::is_current)
}

fn overtaken(view: &View<'_>, chosen: &Row) -> Vec<Pipeline> {
    selection::overtaken(&view.question(), chosen).cloned().collect()
}

/// For whom an upload of `pipeline` comes too late, as far as this node knows: then it says so itself, and no node takes
/// it for the choice. Empty where one process publishes: there the stamps tell.
pub async fn too_late_for(
    origin: &Origin,
    live: &Live,
    tail: &Tail,
    number: u64,
    pipeline: &Pipeline,
) -> Box<[Pipeline]> {
    let three = match three_slots(origin, live, tail, number).await {
        Ok(three) if origin.store.shared().is_some() => three,
        _ => return Box::default(),
    };
    let rows = |slot: usize| three[slot].as_deref().map_or(&[][..], |slot| &slot.rows);
    let (event, rendition) = (live.event(), &tail.rendition);
    let before = [rows(1), rows(2)];
    let view =
        View { event: &event, rendition, number, rows: rows(0), before, flying: &[], last_arrival: None, fenced: true };
    let question = view.question();
    let now = Now { wall: origin.clock.wall(), stamp: origin.store.stamp() };
    let Selection::Closed(chosen) = selection::select(&question, now) else { return Box::default() };
    let rank = |pipeline: &Pipeline| question.rules.pipelines.iter().position(|other| other == pipeline);
    if rank(pipeline) < rank(&chosen.key.pipeline) { [chosen.key.pipeline.clone()].into() } else { Box::default() }
}

/// The chosen record, shared instead of copied.
fn candidate(slot: &Option<Arc<Slot>>, row: &Row) -> Option<Candidate> {
    let slot = slot.as_ref()?;
    let index = slot.rows.iter().position(|other| other.key.pipeline == row.key.pipeline)?;
    Candidate::of(slot, index)
}

/// The records of a segment and of the two before it; one question to the store for those that have left the ring.
async fn three_slots(
    origin: &Origin,
    live: &Live,
    tail: &Tail,
    number: u64,
) -> Result<[Option<Arc<Slot>>; 3], StoreError> {
    let numbers = [Some(number), number.checked_sub(1), number.checked_sub(2)];
    let known = numbers.map(|number| number.map_or(Known::Slot(None), |number| tail.slot(number)));
    if let [Known::Slot(own), Known::Slot(one), Known::Slot(two)] = &known {
        return Ok([own.clone(), one.clone(), two.clone()]);
    }
    let event = live.event();
    // Beyond the event's numbers and its DVR window there is nothing to be asked for.
    if number < event.document.start_number || event.document.expires(number) < origin.clock.wall() {
        return Ok([None, None, None]);
    }
    let range = number.saturating_sub(2)..=number;
    let rows = origin.store.rows(event.id, &tail.rendition, range, ROWS_MAX).await?;
    // Of the others this node has heard what it knows, and nothing may be seen here before it was heard.
    Ok([0, 1, 2].map(|at| match &known[at] {
        Known::Slot(slot) => slot.clone(),
        Known::Beyond => slot_of(&rows, numbers[at]?),
    }))
}

/// The records of one segment.
pub async fn rows(origin: &Origin, live: &Live, tail: &Tail, number: u64) -> Result<Option<Arc<Slot>>, StoreError> {
    match tail.slot(number) {
        Known::Slot(slot) => Ok(slot),
        Known::Beyond => {
            let rows = origin.store.rows(live.event().id, &tail.rendition, number..=number, ROWS_MAX).await?;
            Ok(slot_of(&rows, number))
        }
    }
}

fn slot_of(rows: &[Row], number: u64) -> Option<Arc<Slot>> {
    let of = |row: &&Row| matches!(row.key.object, Object::Segment { number: other, .. } if other == number);
    let rows: Vec<Row> = rows.iter().filter(of).cloned().collect();
    (!rows.is_empty()).then(|| Arc::new(Slot::new(number, rows)))
}
