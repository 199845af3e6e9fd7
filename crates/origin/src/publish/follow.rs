//! Shows an upload of a low-latency rendition to readers while it arrives (contract §5): chunk by chunk, as a candidate
//! since its first one. Dropping it is the death of the upload: whoever follows it is told, and it never was.
//!
//! Bytes are shown up to the borders of CMAF chunks only. What is no sequence of boxes is not followed further, and
//! shown when it is whole.

use std::sync::Arc;

use headwater_media::chunk::last_chunk_end;
use headwater_media::kind::content_type;
use headwater_media::source::Pieces;
use headwater_model::Timestamp;
use headwater_model::defect::Defects;
use headwater_model::document::Inspect;
use headwater_model::row::{Digest, Keep, Key, Object, Row, Version};
use headwater_store::slab::Writer;
use headwater_store::{Body, Flow, Published};
use http::HeaderMap;

use crate::Origin;
use crate::feed::tell::Telling;
use crate::publish::{Upload, inspect};
use crate::tail::flight::{Flight, InFlight};
use crate::tail::{Known, Tail};

/// Most pieces that are shown before the end: a 60 s segment of one-frame chunks at 120 frames a second has 7,200. A
/// sender of smaller ones is no packager, and each piece costs more than its bytes.
const PIECES_MAX: usize = 8192;

/// An upload that readers may follow.
pub struct Followed {
    origin: Arc<Origin>,
    tail: Arc<Tail>,
    key: Key,
    path: String,
    reported: Defects,
    keep: Keep,
    create_only: bool,
    /// Up to where chunks are complete, and shown.
    border: u64,
    /// The closed piece in which the border lies, and where that piece begins.
    piece: (usize, u64),
    /// Nothing more is shown before the end.
    is_opaque: bool,
    flight: Option<InFlight>,
    /// Other nodes hear of it too.
    telling: Option<Telling>,
}

impl Followed {
    /// `None` if nobody may follow this upload: its rendition has no low latency, its event is only being made, or what
    /// its packager reports will be refused.
    pub(super) fn of(origin: &Arc<Origin>, upload: &Upload, headers: &HeaderMap) -> Option<Self> {
        let (Some(live), Object::Segment { rendition, number }) = (&upload.live, &upload.object) else { return None };
        if !upload.event.document.rendition(rendition)?.low_latency {
            return None;
        }
        let reported = inspect::reported(headers);
        if upload.event.rules_at(*number).inspect == Inspect::Reject && !reported.is_empty() {
            return None;
        }
        let key = Key { event: live.event().id, object: upload.object.clone(), pipeline: upload.pipeline.clone() };
        Some(Self {
            origin: Arc::clone(origin),
            tail: live.tail_or_new(rendition),
            key,
            path: upload.route.path.clone(),
            reported,
            keep: Keep::Until(upload.event.document.expires(*number)),
            create_only: upload.create_only,
            border: 0,
            piece: (0, 0),
            is_opaque: false,
            flight: None,
            telling: None,
        })
    }

    /// When its first chunk came, if readers know of it.
    pub(super) fn arrived(&self) -> Option<Timestamp> {
        self.flight.as_ref().map(|flying| flying.row().first)
    }

    /// A frame has come: shows what it makes complete.
    pub(super) fn grown(&mut self, writer: &mut Writer) {
        if self.is_opaque {
            return;
        }
        let (first, start) = self.piece;
        let closed = writer.sealed().get(first..).unwrap_or_default();
        let pieces: Vec<&[u8]> = closed.iter().map(|piece| &piece[..]).chain([writer.unsealed()]).collect();
        match last_chunk_end(&Pieces::new(&pieces), self.border - start) {
            Ok(Some(end)) => self.show(writer, start + end),
            Ok(None) => {}
            Err(_) => self.is_opaque = true,
        }
    }

    fn show(&mut self, writer: &mut Writer, border: u64) {
        writer.seal();
        let pieces = writer.sealed();
        self.border = border;
        while let Some(piece) = pieces.get(self.piece.0)
            && self.piece.1 + piece.len() as u64 <= border
        {
            self.piece = (self.piece.0 + 1, self.piece.1 + piece.len() as u64);
        }
        match &self.flight {
            Some(flying) => flying.show(pieces, border),
            None => self.take_off(writer),
        }
        if let Some(telling) = &mut self.telling {
            telling.show(writer.sealed(), border);
        }
        self.is_opaque |= writer.sealed().len() >= PIECES_MAX || self.flight.is_none();
    }

    /// The first chunk is complete: from now on this is a candidate, unless there is one that it cannot replace.
    fn take_off(&mut self, writer: &Writer) {
        if !self.may_be_stored() {
            return;
        }
        let flow = Arc::new(Flow::default());
        flow.show(writer.sealed(), self.border);
        let content_type: Arc<str> = content_type(&self.path, &Pieces::new(writer.sealed())).into();
        let mut flying = None;
        self.origin.store.arrive(&mut |stamp| {
            let row = self.row(stamp, Arc::clone(&content_type));
            let flight = Arc::new(Flight { row, flow: Arc::clone(&flow) });
            if self.tail.take_off(&flight) {
                flying = Some(flight);
            }
        });
        let Some(flight) = flying else { return };
        self.telling = self.origin.feed.as_ref().map(|feed| Telling::begin(feed, &flight.row));
        self.flight = Some(InFlight::new(&self.origin.catalog, &self.tail, &flight));
    }

    /// Whether the record that stands would give way; one that only the store knows is too old to be followed.
    fn may_be_stored(&self) -> bool {
        let Object::Segment { number, .. } = self.key.object else { return false };
        let Known::Slot(slot) = self.tail.slot(number) else { return false };
        let rows = slot.as_deref().map_or(&[][..], |slot| &slot.rows);
        let own = rows.iter().find(|row| row.key.pipeline == self.key.pipeline);
        own.is_none_or(|row| row.is_removed() || (row.sound.is_none() && !self.create_only))
    }

    fn row(&self, stamp: Timestamp, content_type: Arc<str>) -> Row {
        Row {
            key: self.key.clone(),
            version: Version(0),
            size: 0,
            digest: Digest(0),
            content_type,
            defects: self.reported.clone(),
            region: self.origin.config.region.clone(),
            keep: self.keep,
            first: stamp,
            sound: Some(stamp),
            published: stamp,
            passed: Box::default(),
        }
    }

    /// The store has judged it: followers get the rest if these bytes are what is stored, and else are cut off.
    pub(super) fn end(mut self, published: &Published, body: &Body) {
        let (Published::Stored(row) | Published::Same(row)) = published else { return };
        if let Some(flying) = &mut self.flight {
            flying.land(body);
        }
        if let Some(telling) = &mut self.telling {
            telling.land(body.chunks(), row);
        }
    }
}
