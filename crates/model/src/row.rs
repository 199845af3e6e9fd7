//! Candidate records: what the control plane knows of one stored object, and the one rule by which an upload may take
//! the place of another. Every engine calls [`judge`]; none has a rule of its own.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::defect::Defects;
use crate::name::{Pipeline, Region, Rendition};
use crate::time::Timestamp;

/// Longest path within an event, in bytes (contract §2).
pub const PATH_LEN_MAX: usize = 1024;

/// One life of an event. Deleting and re-creating an event gives another, so that nothing of the old one shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub u64);

/// XXH3-128 of an object's bytes: its `ETag`, the same on every node, and its checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Addresses one upload's bytes within a store: never used again for other bytes, so it may be cached for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u128);

/// What an object is within its event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A media segment.
    Segment {
        /// Of which rendition.
        rendition: Rendition,
        /// Which segment.
        number: u64,
    },
    /// The initialisation segment of a rendition.
    Init {
        /// Of which rendition.
        rendition: Rendition,
    },
    /// Anything else: a packager's own manifest, say.
    Loose {
        /// The path within the event, without `@pipeline`.
        path: Arc<str>,
    },
}

/// Names one candidate: one pipeline's upload of one object of one event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The event.
    pub event: EventId,
    /// The object.
    pub object: Object,
    /// Whose candidate.
    pub pipeline: Pipeline,
}

/// How long an object is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until its event is deleted or it is removed: init segments, manifests, documents.
    Standing,
    /// Until this moment: media segments.
    Until(Timestamp),
}

/// What a publisher asks the store to record, before the store has stamped it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Whose candidate of what.
    pub key: Key,
    /// Bytes.
    pub size: u64,
    /// Of the bytes.
    pub digest: Digest,
    /// Served as `Content-Type`.
    pub content_type: Arc<str>,
    /// Reported and found.
    pub defects: Defects,
    /// Where it was published.
    pub region: Region,
    /// How long to keep it.
    pub keep: Keep,
    /// Refuse if the object exists (`If-None-Match: *`).
    pub create_only: bool,
    /// When its first chunk came, if readers could follow it from then on (low latency, contract §5): it counts as
    /// sound since then, whatever is wrong with it. A stamp that was handed out before this claim's own.
    pub arrived: Option<Timestamp>,
    /// In whose favour it is passed over because it comes too late: see [`Row::passed`].
    pub passed: Box<[Pipeline]>,
}

/// The record of a stored candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Whose candidate of what.
    pub key: Key,
    /// Where its bytes are.
    pub version: Version,
    /// Bytes.
    pub size: u64,
    /// Of the bytes.
    pub digest: Digest,
    /// Served as `Content-Type`.
    pub content_type: Arc<str>,
    /// Reported and found, of these bytes.
    pub defects: Defects,
    /// Where it was published.
    pub region: Region,
    /// How long it is kept.
    pub keep: Keep,
    /// Stamp of the pipeline's first upload of this object; a replacement does not change it.
    pub first: Timestamp,
    /// Stamp of the upload that was free of defects, or of the first chunk of one that was followed while it arrived
    /// and may have defects; `None` while there is none. What has this is final.
    pub sound: Option<Timestamp>,
    /// Stamp of these bytes.
    pub published: Timestamp,
    /// The pipelines in whose favour the candidate was passed over before it was sound: while one of them has a
    /// candidate that is not masked, this one is not chosen. Only where several processes publish (the fence of
    /// architecture §4); in one process the stamps tell the same.
    pub passed: Box<[Pipeline]>,
}

impl Row {
    /// Holds the place of a candidate that has not come and was passed over in favour of `by`; `nothing` is the digest of
    /// no bytes. Looks removed, and was never there: see [`Row::has_come`].
    #[must_use]
    pub fn absent(key: Key, keep: Keep, region: Region, nothing: Digest, by: Pipeline) -> Self {
        Self {
            key,
            version: Version(0),
            size: 0,
            digest: nothing,
            content_type: "".into(),
            defects: Defects::default(),
            region,
            keep,
            first: Timestamp::MAX,
            sound: None,
            published: Timestamp::MIN,
            passed: [by].into(),
        }
    }

    /// Whether the pipeline has published the object; if not, this only tells that it was passed over.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.first < Timestamp::MAX
    }

    /// Whether it is of the same bytes of the same upload: a removal keeps the version, a mark keeps both.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.version == other.version && self.digest == other.digest
    }

    /// The same record, passed over in favour of `by` too.
    #[must_use]
    pub fn passed_over(&self, by: &Pipeline) -> Self {
        Self { passed: union(&self.passed, std::slice::from_ref(by)), ..self.clone() }
    }

    /// Whether the candidate was removed: it is none any more, but its `first` still tells that the pipeline was there.
    /// A candidate has come sound, or has defects, so what has neither is one that was removed.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.sound.is_none() && self.defects.is_empty()
    }

    /// What is left of a segment's record when its candidate is removed; `nothing` is the digest of no bytes. Nothing
    /// but the candidate changes: the choices of the next two segments were made by `first`, and were told.
    #[must_use]
    pub fn removed(&self, nothing: Digest) -> Self {
        Self { size: 0, digest: nothing, defects: Defects::default(), sound: None, ..self.clone() }
    }
}

/// What an upload leads to, given what is there.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Record this row.
    Store(Row),
    /// The same bytes are there: nothing to do.
    Same(Row),
    /// Other bytes are there and final: they stay (409).
    Final(Row),
    /// The object exists and the publisher wanted to create it (412).
    Exists(Row),
}

/// Whether `claim`, stamped `stamp`, takes the place of `existing` (contract §4). `version` addresses its bytes.
#[must_use]
pub fn judge(existing: Option<&Row>, claim: &Claim, version: Version, stamp: Timestamp) -> Verdict {
    let segment = matches!(claim.key.object, Object::Segment { .. });
    if let Some(row) = existing.filter(|row| !segment || !row.is_removed()) {
        if claim.create_only {
            return Verdict::Exists(row.clone());
        }
        if segment && row.digest == claim.digest && row.size == claim.size {
            return Verdict::Same(row.clone());
        }
        if segment && row.sound.is_some() {
            return Verdict::Final(row.clone());
        }
    }
    Verdict::Store(Row {
        key: claim.key.clone(),
        version,
        size: claim.size,
        digest: claim.digest,
        content_type: claim.content_type.clone(),
        defects: claim.defects.clone(),
        region: claim.region.clone(),
        keep: claim.keep,
        first: first(existing, claim.arrived.unwrap_or(stamp)),
        sound: claim.arrived.or(claim.defects.is_empty().then_some(stamp)),
        published: stamp,
        // Once passed over, it stays so.
        passed: union(existing.map_or(&[], |row| &row.passed), &claim.passed),
    })
}

fn union(some: &[Pipeline], more: &[Pipeline]) -> Box<[Pipeline]> {
    some.iter().chain(more.iter().filter(|one| !some.contains(one))).cloned().collect()
}

/// When the pipeline first published the object, if it does so at `stamp` too. What was followed has an earlier stamp
/// than a defective upload that overtook it.
#[must_use]
pub fn first(existing: Option<&Row>, stamp: Timestamp) -> Timestamp {
    existing.map_or(stamp, |row| row.first.min(stamp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defect::{Defect, DefectKind};

    fn claim(object: Object, digest: u128, defects: &[DefectKind]) -> Claim {
        Claim {
            key: Key { event: EventId(1), object, pipeline: Pipeline::new("a").unwrap() },
            size: 10,
            digest: Digest(digest),
            content_type: "video/mp4".into(),
            defects: defects.iter().map(|kind| Defect::new(*kind, &[])).collect(),
            region: Region::new("local").unwrap(),
            keep: Keep::Standing,
            create_only: false,
            arrived: None,
            passed: Box::default(),
        }
    }

    fn segment() -> Object {
        Object::Segment { rendition: Rendition::new("v").unwrap(), number: 1 }
    }

    fn stored(existing: Option<&Row>, claim: &Claim, millis: i64) -> Row {
        match judge(existing, claim, Version(millis as u128), Timestamp::from_millis(millis)) {
            Verdict::Store(row) => row,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sound_segment_is_final() {
        let row = stored(None, &claim(segment(), 7, &[]), 1);
        assert_eq!(row.sound, Some(Timestamp::from_millis(1)));
        let (same, other) = (claim(segment(), 7, &[DefectKind::Short]), claim(segment(), 8, &[]));
        let judged = |claim| judge(Some(&row), claim, Version(2), Timestamp::from_millis(2));
        assert_eq!(judged(&same), Verdict::Same(row.clone()));
        assert_eq!(judged(&other), Verdict::Final(row.clone()));
    }

    #[test]
    fn a_defective_segment_may_be_replaced_and_keeps_its_first_stamp() {
        let bad = stored(None, &claim(segment(), 7, &[DefectKind::Short]), 1);
        assert_eq!(bad.sound, None);
        let good = stored(Some(&bad), &claim(segment(), 8, &[]), 5);
        assert_eq!((good.first, good.sound), (Timestamp::from_millis(1), Some(Timestamp::from_millis(5))));
    }

    #[test]
    fn after_a_removal_anything_is_stored_and_the_first_stamp_stays() {
        let row = stored(None, &claim(segment(), 7, &[]), 1);
        let removed = row.removed(Digest(0));
        assert!(removed.is_removed() && !row.is_removed());
        assert!(!stored(None, &claim(segment(), 7, &[DefectKind::Short]), 1).is_removed());
        for create_only in [false, true] {
            let again = stored(Some(&removed), &Claim { create_only, ..claim(segment(), 8, &[]) }, 9);
            assert_eq!((again.first, again.sound), (row.first, Some(Timestamp::from_millis(9))));
        }
    }

    #[test]
    fn what_was_followed_is_sound_since_its_first_chunk_and_final_with_its_defects() {
        let arrived = Some(Timestamp::from_millis(3));
        let followed = Claim { arrived, ..claim(segment(), 7, &[DefectKind::Short]) };
        let row = stored(None, &followed, 9);
        assert_eq!((Some(row.first), row.sound), (arrived, arrived));
        assert_eq!((row.published, row.defects.is_empty()), (Timestamp::from_millis(9), false));
        let other = judge(Some(&row), &claim(segment(), 8, &[]), Version(2), Timestamp::from_millis(10));
        assert_eq!(other, Verdict::Final(row));
    }

    #[test]
    fn the_first_stamp_is_the_earlier_one_of_a_followed_upload_and_a_defective_one() {
        for (bad, first) in [(1, 1), (5, 3)] {
            let bad = stored(None, &claim(segment(), 7, &[DefectKind::Short]), bad);
            let followed = Claim { arrived: Some(Timestamp::from_millis(3)), ..claim(segment(), 8, &[]) };
            let row = stored(Some(&bad), &followed, 9);
            assert_eq!((row.first, row.sound), (Timestamp::from_millis(first), followed.arrived));
        }
    }

    #[test]
    fn the_first_report_of_the_same_bytes_stays() {
        let bad = stored(None, &claim(segment(), 7, &[DefectKind::Short]), 1);
        let again = judge(Some(&bad), &claim(segment(), 7, &[]), Version(2), Timestamp::from_millis(2));
        assert_eq!(again, Verdict::Same(bad));
    }

    #[test]
    fn init_segments_and_loose_objects_are_always_replaced() {
        for object in [Object::Init { rendition: Rendition::new("v").unwrap() }, Object::Loose { path: "x.mpd".into() }]
        {
            let row = stored(None, &claim(object.clone(), 7, &[]), 1);
            assert_eq!(stored(Some(&row), &claim(object, 7, &[]), 2).published, Timestamp::from_millis(2));
        }
    }

    #[test]
    fn who_was_passed_over_before_it_came_stays_so() {
        let (b, c) = (Pipeline::new("b").unwrap(), Pipeline::new("c").unwrap());
        let Claim { key, region, keep, .. } = claim(segment(), 7, &[]);
        let absent = Row::absent(key, keep, region, Digest(0), b.clone());
        assert!(absent.is_removed() && !absent.has_come());
        let bad = stored(Some(&absent), &claim(segment(), 7, &[DefectKind::Short]), 5);
        assert_eq!((bad.first, bad.passed.clone()), (Timestamp::from_millis(5), Box::from([b.clone()])));
        let late = Claim { passed: [c.clone(), b.clone()].into(), ..claim(segment(), 8, &[]) };
        let good = stored(Some(&bad), &late, 6);
        assert_eq!(*good.passed, [b.clone(), c]);
        assert_eq!(good.passed_over(&b), good);
    }

    #[test]
    fn create_only_refuses_what_exists() {
        let row = stored(None, &claim(segment(), 7, &[]), 1);
        let again = Claim { create_only: true, ..claim(segment(), 7, &[]) };
        assert_eq!(judge(Some(&row), &again, Version(2), Timestamp::from_millis(2)), Verdict::Exists(row));
    }
}
