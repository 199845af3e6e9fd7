//! Uploads of a low-latency rendition that are still arriving: candidates that readers may follow (contract §5). Apart
//! from the ring, which only knows what is durable; a rendition without low latency has none and pays for none.
//!
//! The order that keeps a choice: an upload takes off under the lock of the stamps, and lands after its record has come
//! into the ring. So who reads first the watermark, then this, then the ring, sees every upload in one of the two.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use headwater_model::Pipeline;
use headwater_model::row::{Object, Row};
use headwater_store::{Body, Flow};

use crate::catalog::Catalog;
use crate::tail::Tail;

/// Most uploads of one rendition that are followed at once: a few segments of every pipeline. More are stored as usual.
const FLIGHTS_MAX: usize = 32;

/// One upload that is still arriving.
pub struct Flight {
    /// As it will be recorded, but for size, digest, version and the defects that are still to be found.
    pub row: Row,
    /// Its bytes.
    pub flow: Arc<Flow>,
}

impl Flight {
    /// Of which segment.
    #[must_use]
    pub fn number(&self) -> u64 {
        match self.row.key.object {
            Object::Segment { number, .. } => number,
            Object::Init { .. } | Object::Loose { .. } => u64::MAX,
        }
    }

    /// Whether it is `pipeline`'s upload of segment `number`.
    #[must_use]
    pub fn is_of(&self, number: u64, pipeline: &Pipeline) -> bool {
        self.number() == number && self.row.key.pipeline == *pipeline
    }
}

/// The uploads of one rendition that are still arriving.
#[derive(Default)]
pub struct Flights(ArcSwap<Vec<Arc<Flight>>>);

impl Flights {
    /// Whether there are none: nearly always.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// Those of segment `number` and of the two before it.
    #[must_use]
    pub fn around(&self, number: u64) -> Vec<Arc<Flight>> {
        let range = number.saturating_sub(2)..=number;
        self.0.load().iter().filter(|flight| range.contains(&flight.number())).cloned().collect()
    }

    /// Adds one; `false` if its pipeline has one of that segment already, or there are too many.
    pub fn take_off(&self, fresh: &Arc<Flight>) -> bool {
        let mut added = false;
        self.0.rcu(|flights| {
            added = flights.len() < FLIGHTS_MAX && flights.iter().all(|flight| flight.row.key != fresh.row.key);
            if added { Arc::new([&flights[..], &[Arc::clone(fresh)]].concat()) } else { Arc::clone(flights) }
        });
        added
    }

    /// Takes one out: it is recorded, or it died.
    pub fn land(&self, landed: &Arc<Flight>) {
        self.0.rcu(|flights| flights.iter().filter(|flight| !Arc::ptr_eq(flight, landed)).cloned().collect::<Vec<_>>());
    }
}

/// A candidate until its upload ends, one way or the other. Dropping it is its death.
pub struct InFlight {
    catalog: Arc<Catalog>,
    tail: Arc<Tail>,
    flight: Arc<Flight>,
}

impl InFlight {
    /// `flight` has taken off from `tail`: there is news for who waits.
    #[must_use]
    pub fn new(catalog: &Arc<Catalog>, tail: &Arc<Tail>, flight: &Arc<Flight>) -> Self {
        catalog.news(tail, flight.number());
        Self { catalog: Arc::clone(catalog), tail: Arc::clone(tail), flight: Arc::clone(flight) }
    }

    /// Its record while it arrives.
    #[must_use]
    pub fn row(&self) -> &Row {
        &self.flight.row
    }

    /// Followers may see all bytes up to `border`; `pieces` are all of them from the first.
    pub fn show(&self, pieces: &[Bytes], border: u64) {
        let flow = &self.flight.flow;
        flow.show(pieces.get(flow.pieces()..).unwrap_or_default(), border);
        self.catalog.flowed(flow);
    }

    /// Recorded: out of the flights before any follower sees the end, and looks for more.
    pub fn land(&self, body: &Body) {
        self.tail.flights.land(&self.flight);
        self.flight.flow.finish(body);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.tail.flights.land(&self.flight);
        // Nothing dies that has been finished.
        self.flight.flow.die();
        self.catalog.flowed(&self.flight.flow);
        self.catalog.news(&self.tail, self.flight.number());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::segment_row;

    fn flight(number: u64, pipeline: &str) -> Arc<Flight> {
        Arc::new(Flight { row: segment_row("v", number, pipeline, 1), flow: Arc::default() })
    }

    #[test]
    fn a_pipeline_has_one_upload_of_a_segment_in_flight() {
        let flights = Flights::default();
        let (first, again) = (flight(7, "a"), flight(7, "a"));
        assert!(flights.take_off(&first) && flights.take_off(&flight(7, "b")) && !flights.take_off(&again));
        flights.land(&again);
        assert_eq!(flights.around(7).len(), 2, "what never took off takes nobody down");
        flights.land(&first);
        assert!(flights.take_off(&again));
    }

    #[test]
    fn a_segment_and_the_two_before_it_are_of_interest() {
        let flights = Flights::default();
        (0..9).for_each(|number| assert!(flights.take_off(&flight(number, "a"))));
        let around: Vec<u64> = flights.around(7).iter().map(|flight| flight.number()).collect();
        assert_eq!(around, [5, 6, 7]);
        assert_eq!(flights.around(0).len(), 1);
    }

    #[test]
    fn their_number_is_limited() {
        let flights = Flights::default();
        let added = (0..1000).filter(|number| flights.take_off(&flight(*number, "a"))).count();
        assert_eq!(added, FLIGHTS_MAX);
    }
}
