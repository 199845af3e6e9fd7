//! The rules of a live origin as pure functions of their arguments: no clock, no I/O, no async. Time, records and
//! masks come in as values, so that every rule of the contract can be tested without waiting for it.
//!
//! Read in this order: [`name`], [`time`], [`template`], [`document`], [`event`], [`row`], [`selection`],
//! [`in_flight`], [`decision`].

pub mod decision;
pub mod defect;
pub mod document;
pub mod event;
pub mod in_flight;
pub mod invalidation;
pub mod mask;
pub mod name;
pub mod notification;
pub mod outcome;
pub mod row;

pub mod selection;
pub mod template;
pub mod time;

pub use name::{EventName, Pipeline, Region, Rendition, Tenant};
pub use outcome::Outcome;
pub use row::{Key, Object, Row};
pub use time::{Millis, Now, SegmentDuration, Timestamp};
