//! Media as bytes from strangers: an ISO BMFF walker, the inspection of CMAF segments, init segments, content types,
//! and the built-in test content. No async, no clock, no I/O; no input makes it panic, allocate without bound or
//! read media payload.
//!
//! Read in this order: [`source`], [`boxes`], [`fragment`], [`mod@inspect`], [`init`], [`kind`], [`content`].

pub mod boxes;
#[cfg(test)]
mod build;
pub mod chunk;
mod codec;
pub mod content;
pub mod fragment;
pub mod init;
pub mod inspect;
pub mod kind;
pub mod source;

pub use content::{Clip, ClipRendition, Letter};
pub use init::{Init, Track, TrackKind};
pub use inspect::{Expectation, Inspection, TrackFacts, inspect};
pub use kind::{Container, content_type, is_media_segment};
pub use source::{Pieces, Source};
