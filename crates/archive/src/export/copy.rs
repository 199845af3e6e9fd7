//! Copies what the plan names and the place does not have yet.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Earlier, plan};
use crate::digest::{etag, hex, sha256};
use crate::manifest::{Manifest, Mask, Object, Segment, What};
use crate::origin::Delivered;
use crate::{Origin, Place, Progress};

pub(super) struct Copier<'a> {
    origin: &'a Origin,
    place: &'a Place,
    plan: &'a Manifest,
    earlier: &'a Earlier,
    /// What the place had before this run.
    sizes: HashMap<String, u64>,
}

/// What has come of the plan.
pub(super) struct Copied {
    pub(super) manifest: Manifest,
    pub(super) copied: usize,
    pub(super) kept: usize,
}

/// A rendition's position and a segment's, or none for the init segment.
type Slot = (usize, Option<usize>);

/// What has become of one slot.
enum Done {
    Kept(What),
    Copied(What),
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        origin: &'a Origin,
        place: &'a Place,
        plan: &'a Manifest,
        earlier: &'a Earlier,
        sizes: HashMap<String, u64>,
    ) -> Self {
        Self { origin, place, plan, earlier, sizes }
    }

    pub(super) async fn run(&self, jobs: NonZeroUsize, progress: &dyn Progress) -> Result<Copied> {
        let (objects, bytes) = self.plan.objects().fold((0, 0), |(count, sum), object| (count + 1, sum + object.size));
        progress.begin("export", objects, bytes);
        let work = self.slots().map(|slot| async move { Ok::<_, anyhow::Error>((slot, self.slot(slot).await?)) });
        let mut results = stream::iter(work).buffer_unordered(jobs.get());
        let mut done = Copied { manifest: self.plan.clone(), copied: 0, kept: 0 };
        while let Some(((rendition, index), result)) = results.try_next().await? {
            let what = match result {
                Done::Kept(what) => {
                    done.kept += usize::from(matches!(what, What::Media(_)));
                    what
                }
                Done::Copied(what) => {
                    done.copied += 1;
                    what
                }
            };
            let entry = &mut done.manifest.renditions[rendition];
            self.tell((rendition, index), &what, progress);
            match (index, what) {
                (Some(index), what) => entry.segments[index].what = what,
                (None, What::Media(object)) => entry.init = Some(object),
                (None, What::Gap(_)) => entry.init = None,
            }
        }
        Ok(done)
    }

    /// Init segments, then by number over all renditions: the oldest are the next to expire.
    fn slots(&self) -> impl Iterator<Item = Slot> {
        let renditions = self.plan.renditions.len();
        let inits = (0..renditions).filter(|index| self.plan.renditions[*index].init.is_some());
        let numbers = self.plan.renditions.iter().map(|entry| entry.segments.len()).max().unwrap_or(0);
        let segments = (0..numbers).flat_map(move |index| (0..renditions).map(move |one| (one, Some(index))));
        inits.map(|index| (index, None)).chain(segments)
    }

    fn tell(&self, (rendition, index): Slot, what: &What, progress: &dyn Progress) {
        let entry = &self.plan.renditions[rendition];
        let planned = match index {
            Some(index) => entry.segments[index].media(),
            None => entry.init.as_ref(),
        };
        // What was no part of the total when it was announced does not count.
        if let Some(planned) = planned {
            progress.done(planned.size);
        }
        if let (Some(planned), What::Gap(gap)) = (planned, what) {
            progress.note(&format!("{} was there and is gone: {}", planned.path, gap.outcome));
        }
    }

    async fn slot(&self, (rendition, index): Slot) -> Result<Done> {
        let entry = &self.plan.renditions[rendition];
        let Some(index) = index else {
            let init = entry.init.as_ref().context("a slot without an init segment")?;
            return self.object(init, &init.candidate_path(), None).await;
        };
        let segment = &entry.segments[index];
        match &segment.what {
            What::Media(object) => self.object(object, &object.path, Some((rendition, segment))).await,
            What::Gap(gap) => Ok(Done::Kept(self.without(rendition, segment, &gap.outcome).await?)),
        }
    }

    /// An object that is to be there; `asked` is where the origin has it.
    async fn object(&self, object: &Object, asked: &str, segment: Option<(usize, &Segment)>) -> Result<Done> {
        if let Some(kept) = self.kept(object).await? {
            return Ok(Done::Kept(What::Media(kept)));
        }
        match self.origin.read(&self.plan.tenant, &self.plan.event, asked).await? {
            Delivered::Object { bytes, pipeline, defects } => {
                let (size, etag) = (bytes.len() as u64, etag(&bytes));
                // A defective candidate gives way to a sound one that comes later, and a mask changes choices too: what
                // is served now is the choice.
                let read = Object { path: object.path.clone(), size, etag, sha256: None, pipeline, defects };
                Ok(Done::Copied(What::Media(self.put(read, bytes).await?)))
            }
            Delivered::Nothing(outcome) => match segment {
                Some((rendition, segment)) => Ok(Done::Kept(self.without(rendition, segment, &outcome).await?)),
                None => bail!("{asked} was there and is gone: {outcome}; run it again"),
            },
        }
    }

    async fn put(&self, object: Object, bytes: Bytes) -> Result<Object> {
        let sha256 = Some(hex(&sha256(&bytes)));
        self.place.put(&object.path, bytes).await?;
        Ok(Object { sha256, ..object })
    }

    /// The object, if the place has exactly these bytes already.
    async fn kept(&self, object: &Object) -> Result<Option<Object>> {
        if self.sizes.get(&object.path) != Some(&object.size) {
            return Ok(None);
        }
        let bytes = self.place.get(&object.path).await?.filter(|bytes| etag(bytes) == object.etag);
        Ok(bytes.map(|bytes| Object { sha256: Some(hex(&sha256(&bytes))), ..object.clone() }))
    }

    /// A number for which the origin has nothing. What an earlier run has copied outlives its expiry in the origin, and
    /// the origin's data too; what has been masked since has to go, even if it would have expired by now.
    async fn without(&self, rendition: usize, segment: &Segment, outcome: &str) -> Result<What> {
        let (id, number) = (&self.plan.renditions[rendition].id, segment.number);
        ensure!(outcome != "unknown", "the event or rendition {id} has been deleted while it was being exported");
        let known: Vec<&Object> = self.earlier.segments(id.as_str(), number).filter_map(Segment::media).collect();
        let mut outcome = outcome;
        for object in known {
            let hides = |mask: &Mask| mask.pipeline == object.pipeline && mask.hides(id, number);
            if outcome == "masked" || self.plan.masks.iter().any(hides) {
                self.place.remove(&object.path).await?;
                outcome = "masked";
            } else if let Some(kept) = self.kept(object).await? {
                return Ok(What::Media(kept));
            }
        }
        // Why there was nothing says more than that the origin does not know any more.
        let mut told = self.earlier.segments(id.as_str(), number).filter_map(Segment::gap);
        match told.next().filter(|_| outcome == "expired") {
            Some(gap) => Ok(What::Gap(gap.clone())),
            None => Ok(What::Gap(plan::gap(outcome, id, number, &self.plan.masks))),
        }
    }
}
