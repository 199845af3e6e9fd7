//! What publishers and readers of some nodes did and saw, on one clock, and whether it is allowed. Knows nothing of how
//! the nodes work: only what a client can see counts. Pure.

mod check;
mod told;

use headwater_model::Pipeline;
use headwater_model::mask::Mask;
use headwater_model::row::Digest;

pub use check::{Bounds, Rule, Violation, check};

/// A moment, in microseconds since the recording began, on one monotonic clock for all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub u64);

impl Micros {
    /// When a call ends whose effect may come at any time.
    pub const NEVER: Self = Self(u64::MAX);
}

/// From the first byte of a request to the last of its answer, as its client measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The request began.
    pub begin: Micros,
    /// The answer had come, or the client gave up.
    pub end: Micros,
}

/// A segment's URL, whoever published it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    /// Of which event: any name that is the same for all of it.
    pub event: String,
    /// Of which rendition.
    pub rendition: String,
    /// Which segment.
    pub number: u64,
}

/// Whether an upload was said, or found, to have defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Free of them.
    Sound,
    /// It has some.
    Defective,
}

/// How a write ended, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: 201 of a publish, 200 of a change.
    Done,
    /// The same bytes were there: 200 of a publish.
    Same,
    /// Refused for good, and nothing has changed: 409, 410, 412, 422.
    Refused,
    /// No answer, or one that tells nothing (503): it may have happened, or may yet.
    Unknown,
}

/// An upload.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// To which node.
    pub node: String,
    /// When.
    pub span: Span,
    /// Of what.
    pub url: Url,
    /// By whom.
    pub pipeline: Pipeline,
    /// Of the bytes that were sent.
    pub digest: Digest,
    /// With or without defects.
    pub quality: Quality,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a read asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The chosen candidate: the plain URL.
    Chosen,
    /// This pipeline's own: `@pipeline` in the path.
    Own(Pipeline),
}

/// For how long a media answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// `Cache-Control` says `immutable`.
    Immutable,
    /// It does not.
    ForNow,
}

/// Media that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// Whose it is, as the answer says.
    pub pipeline: Pipeline,
    /// What the answer's `ETag` says.
    pub etag: Digest,
    /// Of the bytes that came; `None` if none were to come (HEAD, 304).
    pub body: Option<Digest>,
    /// For how long it holds.
    pub lasting: Lasting,
}

/// What a read came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    /// 200, 206 of the whole, 304.
    Media(Media),
    /// It was said that there is nothing, with this status. Not for what has left the DVR window or lies outside of the
    /// event's numbers: leave such reads out.
    Nothing(u16),
    /// Nothing was said: 503, an answer that was cut off, or none.
    Silence,
}

/// A read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Who reads: one client, whatever nodes it asks.
    pub reader: String,
    /// Which node was asked.
    pub node: String,
    /// When.
    pub span: Span,
    /// For what.
    pub url: Url,
    /// In which way.
    pub asked: Asked,
    /// What came.
    pub got: Got,
}

/// A change of an event's masks. Changes of one event must not overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Remask {
    /// When.
    pub span: Span,
    /// Of which event.
    pub event: String,
    /// All masks that are in force from then on.
    pub masks: Vec<Mask>,
    /// How it ended.
    pub outcome: Outcome,
}

/// A candidate was removed, or its removal was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// When; one without an answer ends [`Micros::NEVER`].
    pub span: Span,
    /// Of what.
    pub url: Url,
    /// Whose.
    pub pipeline: Pipeline,
}

/// Everything that clients did and saw, in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Uploads.
    pub publishes: Vec<Publish>,
    /// Reads.
    pub reads: Vec<Read>,
    /// Changes of masks.
    pub remasks: Vec<Remask>,
    /// Removals.
    pub removals: Vec<Removal>,
}

impl Span {
    /// From `begin` to `end`, in microseconds.
    #[must_use]
    pub fn micros(begin: u64, end: u64) -> Self {
        Self { begin: Micros(begin), end: Micros(end) }
    }
}

impl Outcome {
    /// Whether what was sent is now there, by this write or an earlier one.
    #[must_use]
    pub fn is_acked(self) -> bool {
        matches!(self, Self::Done | Self::Same)
    }
}

/// The digest that an `ETag` field names; `None` if it is none of ours.
#[must_use]
pub fn etag(field: &str) -> Option<Digest> {
    let hex = field.trim().strip_prefix('"')?.strip_suffix('"')?;
    (hex.len() == 32).then(|| u128::from_str_radix(hex, 16).ok().map(Digest))?
}

#[cfg(test)]
mod tests;
