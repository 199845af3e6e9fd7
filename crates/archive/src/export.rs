//! An event out of an origin into a place.
//!
//! The plan is written first and fixes the range and the choices; then what is missing is copied, oldest first;
//! playlists and manifest come last. What lies in the place is believed only after it has been read and its digest
//! compared, so a run that was killed at any moment is taken up by the next one, and nothing else has to be kept.

mod copy;
mod finish;
mod plan;

use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use headwater_model::{EventName, Tenant};
use serde::Serialize;

use crate::manifest::{Manifest, PATH, PLAN_PATH, Segment};
use crate::{Origin, Place, Progress};

/// What to export.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose event.
    pub tenant: Tenant,
    /// Its name.
    pub event: EventName,
    /// The first number; without it, the first that an earlier run has or that the origin still has.
    pub from: Option<u64>,
    /// The last number; without it, that of the plan that is taken up, or the last closed choice.
    pub to: Option<u64>,
    /// How many objects are copied at once; each takes its size in memory.
    pub jobs: NonZeroUsize,
}

/// What has been exported.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// TENANT/EVENT.
    pub event: String,
    /// The place.
    pub place: String,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
    /// Whether that is all of an event that has ended.
    pub whole: bool,
    /// Renditions.
    pub renditions: usize,
    /// Segments in the place.
    pub segments: usize,
    /// Bytes of media in the place.
    pub bytes: u64,
    /// Objects that this run copied.
    pub copied: usize,
    /// Objects that were there already.
    pub kept: usize,
    /// Segments served although defective.
    pub defective: usize,
    /// Numbers without media, by the word for the reason.
    pub gaps: std::collections::BTreeMap<String, usize>,
}

/// Exports an event.
///
/// # Errors
/// The event is not there or has nothing to export, or origin or place fail; the same call takes the work up again.
pub async fn run(origin: &Origin, place: &Place, options: &Options, progress: &dyn Progress) -> Result<Report> {
    let sizes = place.sizes().await?;
    let earlier = Earlier::read(place, options, !sizes.is_empty()).await?;
    if earlier.is_ours() {
        place.sweep()?;
    }
    let plan = plan::make(origin, options, &earlier, progress).await?;
    place.put(PLAN_PATH, plan.write()?.into()).await?;
    let copier = copy::Copier::new(origin, place, &plan, &earlier, sizes);
    let copied = copier.run(options.jobs, progress).await?;
    finish::write(place, &copied.manifest, progress).await?;
    Ok(report(place, &copied))
}

/// What earlier runs into the same place have left.
struct Earlier {
    /// A whole export.
    manifest: Option<Manifest>,
    /// One that was interrupted.
    plan: Option<Manifest>,
}

impl Earlier {
    async fn read(place: &Place, options: &Options, is_used: bool) -> Result<Self> {
        let mut earlier = Self { manifest: None, plan: None };
        for (path, slot) in [(PATH, &mut earlier.manifest), (PLAN_PATH, &mut earlier.plan)] {
            let Some(json) = place.get(path).await? else { continue };
            let read = Manifest::read(&json);
            let manifest = read.map_err(|error| error.context(format!("{path} in {}", place.name())))?;
            if (&manifest.tenant, &manifest.event) != (&options.tenant, &options.event) {
                let (name, tenant, event) = (place.name(), &manifest.tenant, &manifest.event);
                bail!("{name} has an export of {tenant}/{event}; choose another place for this event");
            }
            *slot = Some(manifest);
        }
        if is_used && !earlier.is_ours() {
            bail!("{} is not empty and has no export of ours; choose an empty place", place.name());
        }
        Ok(earlier)
    }

    fn is_ours(&self) -> bool {
        self.plan.is_some() || self.manifest.is_some()
    }

    /// The newest.
    fn newest(&self) -> Option<&Manifest> {
        self.plan.as_ref().or(self.manifest.as_ref())
    }

    /// What was exported, or was to be, under a number.
    fn segments(&self, rendition: &str, number: u64) -> impl Iterator<Item = &Segment> {
        [&self.plan, &self.manifest].into_iter().flatten().filter_map(move |manifest| {
            let entry = manifest.renditions.iter().find(|entry| entry.id.as_str() == rendition)?;
            let index = number.checked_sub(manifest.from)?;
            entry.segments.get(usize::try_from(index).ok()?)
        })
    }
}

fn report(place: &Place, copied: &copy::Copied) -> Report {
    let manifest = &copied.manifest;
    let mut report = Report {
        event: format!("{}/{}", manifest.tenant, manifest.event),
        place: place.name().to_owned(),
        from: manifest.from,
        to: manifest.to,
        whole: manifest.whole,
        renditions: manifest.renditions.len(),
        copied: copied.copied,
        kept: copied.kept,
        bytes: manifest.objects().map(|object| object.size).sum(),
        ..Report::default()
    };
    for media in manifest.renditions.iter().flat_map(|entry| &entry.segments).filter_map(Segment::media) {
        report.segments += 1;
        report.defective += usize::from(media.defects.is_some());
    }
    for (_, _, gap) in manifest.gaps() {
        *report.gaps.entry(gap.outcome.clone()).or_default() += 1;
    }
    report
}
