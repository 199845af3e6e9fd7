//! What the datacentres have recorded of one candidate, and which of it counts here (DESIGN.md, "Two datacentres"). Each
//! datacentre compares and sets records of its own alone, so that none can lose what another has acknowledged. Pure.

use headwater_model::Pipeline;
use headwater_model::row::{Keep, Object, Row};
use headwater_store::Body;

/// What is recorded of one candidate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Copies {
    /// By this datacentre.
    pub own: Option<Row>,
    /// By the other one.
    pub other: Option<Row>,
}

impl Copies {
    /// What this datacentre has recorded, where no other is.
    #[must_use]
    pub fn own(own: Option<Row>) -> Self {
        Self { own, other: None }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.own.is_none() && self.other.is_none()
    }

    /// All of them.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.own.iter().chain(&self.other)
    }

    /// The record that counts here.
    #[must_use]
    pub fn counts(&self) -> Option<Row> {
        if !self.other_counts() {
            return self.record().cloned();
        }
        // Marks count where they were set. The own one of an own pipeline is what makes this record count.
        let marks = self.own.iter().flat_map(|own| own.passed.iter().filter(|by| **by != own.key.pipeline));
        self.record().map(|other| Row { passed: marks.cloned().collect(), ..other.clone() })
    }

    /// As [`Copies::counts`]; its marks are those of the datacentre that recorded it.
    #[must_use]
    pub fn record(&self) -> Option<&Row> {
        let counts = if self.other_counts() { &self.other } else { &self.own };
        counts.as_ref().filter(|row| !is_tombstone(row))
    }

    /// Whether it is what the other datacentre has recorded.
    #[must_use]
    pub fn other_counts(&self) -> bool {
        let Some(other) = &self.other else { return false };
        let Some(own) = &self.own else { return other.has_come() };
        if !matches!(own.key.object, Object::Segment { .. }) {
            // What may be replaced at any time: the latest, which may be that it was removed.
            return other.published > own.published;
        }
        let removes = |one: &Row, another: &Row| one.is_removed() && one.version == another.version;
        if !other.has_come() || removes(own, other) {
            return false;
        }
        // Once the other one's was served for ever here, it stays.
        let is_held = own.passed.contains(&own.key.pipeline);
        !own.has_come() || is_held || removes(other, own) || (own.sound.is_none() && other.sound.is_some())
    }
}

/// The own record of a segment after `row`, which counts, is removed: for both datacentres, so it names the other's upload
/// if there is one, or that would count from now on.
pub(crate) fn removed(row: &Row, other: Option<&Row>) -> Row {
    let removed = row.removed(Body::default().digest());
    match other.filter(|other| other.has_come()) {
        Some(other) => Row { version: other.version, ..removed },
        None => removed,
    }
}

/// Tells that an object that may be replaced was removed at `row.published` or later: an object that the other
/// datacentre may have recorded would otherwise come back.
pub(crate) fn tombstone(row: &Row, at: headwater_model::Timestamp, until: Keep) -> Row {
    let nothing = Body::default().digest();
    let absent = Row::absent(row.key.clone(), until, row.region.clone(), nothing, row.key.pipeline.clone());
    Row { published: at, passed: Box::default(), ..absent }
}

fn is_tombstone(row: &Row) -> bool {
    !row.has_come() && row.passed.is_empty()
}

/// `own` with the mark that the other datacentre's candidate was served for ever here, of which `record` is one.
pub(crate) fn held(own: Option<&Row>, record: &Row) -> Row {
    let pipeline: &Pipeline = &record.key.pipeline;
    let nothing = || Body::default().digest();
    let absent = || Row::absent(record.key.clone(), record.keep, record.region.clone(), nothing(), pipeline.clone());
    own.map_or_else(absent, |own| own.passed_over(pipeline))
}

#[cfg(test)]
mod tests {
    use headwater_model::row::{Claim, Verdict, Version, judge};
    use headwater_model::{
        Timestamp,
        defect::{Defect, DefectKind},
    };
    use headwater_store::conformance::{body, claim, loose, segment};

    use super::*;

    fn row(claim: &Claim, at: i64) -> Row {
        match judge(None, claim, Version(at as u128), Timestamp::from_seconds(at)) {
            Verdict::Store(row) => row,
            other => panic!("{other:?}"),
        }
    }

    fn sound(at: i64) -> Row {
        row(&claim(segment("v", 7, "a"), &body(at as u64, 10), Timestamp::from_seconds(at)), at)
    }

    fn defective(at: i64) -> Row {
        let defects = [Defect::new(DefectKind::Short, &[])].into_iter().collect();
        let claim = claim(segment("v", 7, "a"), &body(at as u64, 10), Timestamp::from_seconds(at));
        row(&Claim { defects, ..claim }, at)
    }

    fn manifest(at: i64) -> Row {
        row(&claim(loose("x.mpd", "a"), &body(at as u64, 10), Timestamp::from_seconds(at)), at)
    }

    fn counts(own: Option<&Row>, other: Option<&Row>) -> Option<u128> {
        let copies = Copies { own: own.cloned(), other: other.cloned() };
        copies.counts().filter(Row::has_come).map(|row| row.version.0)
    }

    fn nothing(row: &Row) -> Row {
        row.removed(Body::default().digest())
    }

    #[test]
    fn the_own_segment_counts_unless_only_the_others_is_sound() {
        let (own, other) = (sound(1), sound(2));
        assert_eq!(counts(Some(&own), None), Some(1));
        assert_eq!(counts(None, Some(&other)), Some(2));
        assert_eq!(counts(Some(&own), Some(&other)), Some(1));
        assert_eq!(counts(Some(&defective(1)), Some(&other)), Some(2));
        assert_eq!(counts(Some(&defective(1)), Some(&defective(2))), Some(1));
    }

    #[test]
    fn what_was_served_of_the_others_stays_whatever_comes() {
        let (own, other) = (sound(1), sound(2));
        assert_eq!(counts(Some(&held(None, &other)), Some(&other)), Some(2));
        assert_eq!(counts(Some(&held(Some(&own), &other)), Some(&other)), Some(2));
        // In the other datacentre its own one counts: marks are not for there.
        assert_eq!(counts(Some(&other), Some(&held(Some(&own), &other))), Some(2));
    }

    #[test]
    fn marks_count_where_they_were_set() {
        let by = Pipeline::new("b").unwrap();
        let other = sound(2).passed_over(&Pipeline::new("c").unwrap());
        let placed = held(None, &other).passed_over(&by);
        let copies = Copies { own: Some(placed), other: Some(other) };
        assert_eq!(*copies.counts().unwrap().passed, [by]);
    }

    #[test]
    fn a_removal_counts_wherever_it_was_made() {
        let (own, other) = (sound(1), sound(2));
        assert_eq!(counts(Some(&nothing(&other)), Some(&other)).map(|_| ()), Some(()));
        let copies = Copies { own: Some(nothing(&other)), other: Some(other.clone()) };
        assert!(copies.counts().unwrap().is_removed());
        let copies = Copies { own: Some(own.clone()), other: Some(nothing(&own)) };
        assert!(copies.counts().unwrap().is_removed());
        assert_eq!(counts(Some(&own), Some(&nothing(&other))), Some(1));
    }

    #[test]
    fn who_removes_a_candidate_removes_both_records_of_it() {
        let (own, other) = (sound(1), sound(2));
        let left = removed(&own, Some(&other));
        for (own, other) in [(&left, &other), (&other, &left)] {
            let copies = Copies { own: Some(own.clone()), other: Some(other.clone()) };
            assert!(copies.counts().unwrap().is_removed());
        }
        assert_eq!(removed(&own, None), nothing(&own));
        // What is published after it counts.
        assert_eq!(counts(Some(&left), Some(&sound(3))), Some(3));
    }

    #[test]
    fn of_what_may_be_replaced_the_latest_counts_and_a_removal_is_one() {
        let (older, newer) = (manifest(1), manifest(2));
        assert_eq!(counts(Some(&older), Some(&newer)), Some(2));
        assert_eq!(counts(Some(&newer), Some(&older)), Some(2));
        let gone = tombstone(&newer, Timestamp::from_seconds(3), Keep::Standing);
        for (own, other) in [(&gone, &newer), (&newer, &gone)] {
            assert_eq!(counts(Some(own), Some(other)), None);
        }
        assert_eq!(counts(Some(&gone), Some(&manifest(4))), Some(4));
        assert_eq!(counts(None, Some(&gone)), None);
    }
}
