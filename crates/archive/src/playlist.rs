//! Playlists of what was exported: DASH (ISO/IEC 23009-1) and HLS (RFC 8216 and its second edition). Pure: the same
//! export gives the same text.
//!
//! Both tell the event's own schedule, in which segment *n* begins at (n - start_number) * d; the origin marks what
//! does not follow it as a discontinuity.

pub mod dash;
pub mod hls;
mod uri;

use headwater_media::{Init, Track, TrackKind};
use headwater_model::document::Document;

use crate::manifest::{Object, RenditionEntry, Segment};

/// What is to be played.
pub struct Presentation<'a> {
    /// The event's document.
    pub document: &'a Document,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
    /// In the manifest's order.
    pub renditions: Vec<Shown<'a>>,
}

/// A rendition with what its init segment says.
pub struct Shown<'a> {
    /// What there is.
    pub entry: &'a RenditionEntry,
    /// `None` if it has none that can be read.
    pub init: Option<Init>,
}

impl Presentation<'_> {
    /// Seconds of one segment.
    fn segment_seconds(&self) -> f64 {
        f64::from(self.document.segment.duration()) / f64::from(self.document.segment.timescale())
    }

    /// Seconds from the first segment to the end of the last.
    fn seconds(&self) -> f64 {
        self.segment_seconds() * (self.to - self.from + 1) as f64
    }
}

impl Shown<'_> {
    fn track(&self) -> Option<&Track> {
        self.init.as_ref().map(Init::main)
    }

    fn kind(&self) -> TrackKind {
        self.track().map_or(TrackKind::Unknown, |track| track.kind)
    }

    /// Every track's codec, in RFC 6381's order.
    fn codecs(&self) -> Vec<&str> {
        let tracks = self.init.iter().flat_map(Init::tracks);
        tracks.filter_map(|track| track.codec.as_deref()).collect()
    }

    fn media(&self) -> impl Iterator<Item = &Object> {
        self.entry.segments.iter().filter_map(Segment::media)
    }

    /// Bits a second of the largest segment.
    fn peak(&self, presentation: &Presentation<'_>) -> u64 {
        let largest = self.media().map(|object| object.size).max().unwrap_or(0);
        (largest as f64 * 8.0 / presentation.segment_seconds()).ceil() as u64
    }

    /// Bits a second on average.
    fn average(&self, presentation: &Presentation<'_>) -> u64 {
        let (count, sum) = self.media().fold((0u64, 0u64), |(count, sum), object| (count + 1, sum + object.size));
        (sum as f64 * 8.0 / (presentation.segment_seconds() * count.max(1) as f64)).ceil() as u64
    }
}

#[cfg(test)]
#[path = "playlist/tests.rs"]
mod tests;
