//! The event document (contract §3): what an operator has written, with every rule kept (`raw` checks them), and when by it
//! each segment is due.

mod raw;

use serde::{Deserialize, Serialize};

use crate::name::{Pipeline, Rendition};
use crate::template::{Position, Template};
use crate::time::{Millis, SegmentDuration, Timestamp};

use raw::Raw;

/// Most pipelines of one event. Two is usual; the selection is linear in them.
pub const PIPELINES_MAX: usize = 8;
/// Most renditions of one event: an order above what a full ladder with languages and subtitles has.
pub const RENDITIONS_MAX: usize = 1000;
/// Longest hold: longer than any player waits (hls.js gives up on a silent fragment after 10 s).
pub const HOLD_MAX: Millis = Millis(60_000);
/// Longest wait for another pipeline: past that a live viewer has stalled anyway.
pub const WAIT_MAX: Millis = Millis(60_000);
/// Longest retry deadline and publish delay: a day, far beyond live.
pub const DEADLINE_MAX: Millis = Millis(86_400_000);
/// Longest window: ten years, so that a typing error in a unit is caught.
pub const WINDOW_SECONDS_MAX: u64 = 315_360_000;

/// A document that breaks a rule: 422, naming the field (contract §3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct Invalid {
    /// The field's path, like `segment.duration` or `renditions[1].id`.
    pub field: String,
    /// What is wrong with it and what to write.
    pub problem: String,
}

impl Invalid {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// What our own inspection of published media leads to (contract §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inspect {
    /// Only the packager's report counts.
    Off,
    /// What we find is added to the report.
    #[default]
    Mark,
    /// A defective segment is refused with 422.
    Reject,
}

/// One rendition of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenditionSpec {
    /// What `$RepresentationID$` stands for.
    pub id: Rendition,
    /// Units a second of its media timeline; `None` until its init segment tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timescale: Option<u32>,
    /// Whether a segment is served while it is still being uploaded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub low_latency: bool,
}

/// The part of a document that goes by segment: a change applies from a number on (contract §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The pipelines in the order of preference.
    pub pipelines: Vec<Pipeline>,
    /// How long a choice waits for a better-ranked healthy pipeline once a sound candidate is there.
    pub prefer_wait_ms: Millis,
    /// How long a defective candidate waits for another pipeline's.
    pub defect_wait_ms: Millis,
    /// How long after `E(n)` a segment may still come before readers are told that it will not.
    pub retry_deadline_ms: Millis,
    /// What our inspection leads to.
    pub inspect: Inspect,
}

/// A checked event document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Where the numbering starts in time.
    pub availability_start_time: Timestamp,
    /// How long a segment lasts.
    pub segment: SegmentDuration,
    /// The number of the first segment.
    pub start_number: u64,
    /// The number of the last segment, if the event has an end.
    pub end_number: Option<u64>,
    /// Path of init segments.
    pub init: Template,
    /// Path of media segments.
    pub media: Template,
    /// The declared renditions.
    pub renditions: Vec<RenditionSpec>,
    /// How long after its end a segment is expected.
    pub publish_delay_ms: Millis,
    /// Longest hold of a request.
    pub hold_max_ms: Millis,
    /// How long before `E(n)` the TTL of an early 404 ends.
    pub early_guard_ms: Millis,
    /// How long before `E(n) - d` a segment may be published.
    pub publish_ahead_max_s: u64,
    /// How long after `E(n)` a segment is served.
    pub dvr_window_s: u64,
    /// How long after `E(n)` a segment counts as live edge.
    pub live_window_s: u64,
    /// What goes by segment.
    pub rules: Rules,
}

/// The rendition of an event whose templates have no `$RepresentationID$` and whose document declares none.
pub const ONLY_RENDITION: &str = "main";

impl Document {
    /// Reads and checks a JSON document.
    ///
    /// # Errors
    /// [`Invalid`] naming the first field that breaks a rule.
    pub fn from_json(json: &[u8]) -> Result<Self, Invalid> {
        if !json.trim_ascii_start().starts_with(b"{") {
            return Err(Invalid::new("document", "is no JSON object; write {\"segment\": ...}"));
        }
        let mut reader = serde_json::Deserializer::from_slice(json);
        let raw: Raw = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let path = error.path().to_string();
            let field = if path == "." || path == "?" { "document".to_owned() } else { path };
            Invalid::new(field, error.into_inner().to_string())
        })?;
        reader.end().map_err(|error| Invalid::new("document", error.to_string()))?;
        raw.check()
    }

    /// Checks a document that was read from another format (TOML in the config file).
    ///
    /// # Errors
    /// [`Invalid`] naming the first field that breaks a rule.
    pub fn from_value(value: serde_json::Value) -> Result<Self, Invalid> {
        Self::from_json(value.to_string().as_bytes())
    }

    /// The document as JSON, every field written out.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(Raw::from(self)).unwrap_or_default()
    }

    /// When segment `number` is expected to be published: `E(n)` of contract §3.
    #[must_use]
    pub fn expected(&self, number: u64) -> Timestamp {
        let count = i128::from(number) - i128::from(self.start_number) + 1;
        self.availability_start_time.offset_nanos(self.segment.nanos(count)) + self.publish_delay_ms
    }

    /// When segment `number` becomes the next one: `E(n) - d`.
    #[must_use]
    pub fn becomes_next(&self, number: u64) -> Timestamp {
        let count = i128::from(number) - i128::from(self.start_number);
        self.availability_start_time.offset_nanos(self.segment.nanos(count)) + self.publish_delay_ms
    }

    /// The segment that is next at `wall`: the one for which `E(n) - d <= wall < E(n)`.
    #[must_use]
    pub fn next_number(&self, wall: Timestamp) -> u64 {
        let elapsed = (wall - self.publish_delay_ms).nanos_since(self.availability_start_time).max(0);
        let scaled = elapsed.saturating_mul(i128::from(self.segment.timescale()));
        let count = scaled / (i128::from(self.segment.duration()) * 1_000_000_000);
        self.start_number.saturating_add(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// When a segment is no longer served: `E(n) + dvr_window`.
    #[must_use]
    pub fn expires(&self, number: u64) -> Timestamp {
        self.expected(number) + Millis::from_seconds(self.dvr_window_s)
    }

    /// After which moment a segment counts as missing: `E(n) + retry_deadline`, by the rules that hold for it.
    #[must_use]
    pub fn deadline(&self, number: u64, rules: &Rules) -> Timestamp {
        self.expected(number) + rules.retry_deadline_ms
    }

    /// Where segment `number` begins on a media timeline of `timescale` units a second (contract §3).
    #[must_use]
    pub fn media_start(&self, number: u64, timescale: u32) -> i128 {
        self.segment.media_time(i128::from(number) - i128::from(self.start_number), timescale)
    }

    /// The segment that a media path's position means; `timescale` is needed for `$Time$`. `None` without it.
    #[must_use]
    pub fn number_of(&self, position: Position, timescale: Option<u32>) -> Option<u64> {
        match position {
            Position::Number(number) => Some(number),
            Position::Time(time) => {
                let count = self.segment.nearest(time, timescale.filter(|scale| *scale > 0)?);
                Some(self.start_number.saturating_add(count))
            }
        }
    }

    /// The rendition of a template without `$RepresentationID$`: the only one that there can be.
    #[must_use]
    pub fn only_rendition(&self) -> Rendition {
        let declared = self.renditions.first().map(|spec| spec.id.clone());
        declared.unwrap_or_else(|| Rendition::new(ONLY_RENDITION).unwrap_or_else(|_| unreachable!("a constant name")))
    }

    /// The declared facts of a rendition.
    #[must_use]
    pub fn rendition(&self, id: &Rendition) -> Option<&RenditionSpec> {
        self.renditions.iter().find(|spec| spec.id == *id)
    }

    /// The first field of timing or template in which `other` differs; none may change once media is stored.
    #[must_use]
    pub fn timing_change(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("availability_start_time", self.availability_start_time == other.availability_start_time),
            ("segment", self.segment == other.segment),
            ("start_number", self.start_number == other.start_number),
            ("init", self.init == other.init),
            ("media", self.media == other.media),
        ];
        fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
    }
}

impl Default for Document {
    fn default() -> Self {
        Raw::default().check().unwrap_or_else(|_| unreachable!("the default document is valid"))
    }
}

#[cfg(test)]
#[path = "document/tests.rs"]
mod tests;
