//! Invalidations (contract §7): ranges of segments that edges must fetch anew.

use serde::{Deserialize, Serialize};

use crate::name::{Pipeline, Region, Rendition};

/// Most invalidations of an event between two flushes; a flush does the work of all before it.
pub const INVALIDATIONS_MAX: usize = 1000;

/// What caches hold of these segments is not to be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalidation {
    /// The event's revision by which it came: its name.
    pub rev: u64,
    /// The first number.
    pub from: u64,
    /// The last number; open if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Only what came from this pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Pipeline>,
    /// Only what came through this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Only these renditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renditions: Option<Vec<Rendition>>,
}
