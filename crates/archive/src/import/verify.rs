//! Whether the origin has made the choices that the manifest records.

use std::time::Duration;

use anyhow::{Result, bail};
use headwater_model::{EventName, Tenant};

use crate::Origin;
use crate::manifest::{Manifest, RenditionEntry, Segment};
use crate::origin::{PAGE, SegmentView};

/// Pause between two looks at choices that have not closed.
const PAUSE: Duration = Duration::from_millis(250);
/// Most looks: more than the longest wait for another pipeline that a document may ask for, a minute.
const LOOKS_MAX: u32 = 300;

/// Looks at every segment's choice, and again at those that have not closed yet.
///
/// # Errors
/// A choice differs, or does not close.
pub(super) async fn choices(origin: &Origin, name: (&Tenant, &EventName), manifest: &Manifest) -> Result<()> {
    for entry in &manifest.renditions {
        let mut from = manifest.from;
        while from <= manifest.to {
            let to = manifest.to.min(from + PAGE - 1);
            page(origin, name, manifest, entry, (from, to)).await?;
            from = to + 1;
        }
    }
    Ok(())
}

async fn page(
    origin: &Origin,
    name: (&Tenant, &EventName),
    manifest: &Manifest,
    entry: &RenditionEntry,
    (from, to): (u64, u64),
) -> Result<()> {
    for _ in 0..LOOKS_MAX {
        let views = origin.timeline(name, &entry.id, from, to).await?;
        let mut is_open = false;
        for view in &views {
            let index = usize::try_from(view.number - manifest.from)?;
            let Some(segment) = entry.segments.get(index) else { bail!("the timeline of {} skips numbers", entry.id) };
            match compare(segment, view) {
                Compared::Same => {}
                Compared::Open => is_open = true,
                Compared::Different(how) => bail!("segment {} of {}: {how}", view.number, entry.id),
            }
        }
        if !is_open {
            return Ok(());
        }
        origin.clock().sleep(PAUSE).await;
    }
    bail!("the choices from {from} to {to} of {} do not close; look with `headwater timeline`", entry.id)
}

enum Compared {
    Same,
    Open,
    Different(String),
}

fn compare(segment: &Segment, view: &SegmentView) -> Compared {
    let Some(media) = segment.media() else {
        let different = || format!("it is a gap in the export, and {} is served", view.outcome);
        return if view.served.is_some() { Compared::Different(different()) } else { Compared::Same };
    };
    let Some(served) = &view.served else {
        let is_lost = matches!(&*view.outcome, "missing" | "masked" | "expired" | "never");
        let lost = || format!("it was published and is not served: {}", view.outcome);
        return if is_lost { Compared::Different(lost()) } else { Compared::Open };
    };
    let candidate = view.candidates.iter().find(|candidate| candidate.pipeline == *served);
    let etag = candidate.and_then(|candidate| candidate.etag.as_deref()).unwrap_or_default().trim_matches('"');
    let defects = candidate.and_then(|candidate| candidate.defects.as_ref());
    if (served, etag, defects) == (&media.pipeline, &*media.etag, media.defects.as_ref()) {
        return Compared::Same;
    }
    let (was, pipeline) = (&media.etag, &media.pipeline);
    Compared::Different(format!("{served}'s {etag} is served, and {pipeline}'s {was} was exported"))
}
