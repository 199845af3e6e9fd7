//! Which document an imported event has while it receives its past, and which afterwards.
//!
//! While it receives, our inspection is off: the defects are those that were recorded, not those that another version
//! would find. Every pipeline that a segment or a mask names may publish. Afterwards the event has the document that
//! it was exported with. Only the DVR window differs: it has to reach back to the oldest segment.

use anyhow::{Context, Result, bail, ensure};
use headwater_model::document::{Document, WINDOW_SECONDS_MAX};
use headwater_model::{EventName, Pipeline, Tenant, Timestamp};
use serde_json::{Value, json};

use crate::manifest::{Manifest, Segment};
use crate::{Origin, Progress};

/// The shortest time for which an imported event stays if nobody says otherwise: a day to look at it.
const STAY_SECONDS: u64 = 86_400;
/// What must be left of an existing window for it to be kept: long enough to publish everything.
const LEFT_SECONDS: u64 = 3_600;

/// The two documents.
pub(super) struct Steps {
    /// While media is published.
    pub(super) receiving: Value,
    /// Afterwards.
    pub(super) lasting: Value,
    pub(super) dvr_window_s: u64,
}

impl Steps {
    /// For an origin that has no such event, or has it already from this export.
    ///
    /// # Errors
    /// There is a different event of this name, or no window reaches back so far.
    pub(super) async fn plan(
        origin: &Origin,
        name: (&Tenant, &EventName),
        manifest: &Manifest,
        asked: Option<u64>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let document = manifest.checked_document()?;
        let existing = origin.event(name.0, name.1).await?.map(|view| view.document);
        let standing = existing.as_ref().and_then(|document| document["dvr_window_s"].as_u64());
        let age = age(manifest, &document, origin.clock().wall());
        let window = window(age, document.dvr_window_s, standing, asked)?;
        let steps = Self::new(manifest, window);
        if let Some(existing) = existing {
            steps.check_same(name, &existing)?;
        }
        if window != document.dvr_window_s && standing != Some(window) {
            let was = document.dvr_window_s;
            progress.note(&format!("dvr_window_s is {window} instead of {was}, so that the oldest segment is served"));
        }
        Ok(steps)
    }

    fn new(manifest: &Manifest, window: u64) -> Self {
        let mut lasting = manifest.document.clone();
        lasting["dvr_window_s"] = json!(window);
        let mut receiving = lasting.clone();
        receiving["inspect"] = json!("off");
        receiving["pipelines"] = json!(pipelines(manifest));
        Self { receiving, lasting, dvr_window_s: window }
    }

    /// The window may differ: it is chosen anew by each import.
    fn check_same(&self, (tenant, event): (&Tenant, &EventName), existing: &Value) -> Result<()> {
        let differing = |wanted: &Value| {
            let fields = wanted.as_object().into_iter().flatten();
            let mut fields = fields.filter(|(field, value)| *field != "dvr_window_s" && existing[*field] != **value);
            fields.next().map(|(field, _)| field.clone())
        };
        match differing(&self.lasting).filter(|_| differing(&self.receiving).is_some()) {
            None => Ok(()),
            Some(field) => bail!(
                "{tenant}/{event} exists and is a different event (`{field}` is {}, the export has {}); choose another \
                 name with --as TENANT/EVENT",
                existing[&field],
                self.lasting[&field]
            ),
        }
    }
}

/// The document's, and then those that it had before.
fn pipelines(manifest: &Manifest) -> Vec<Value> {
    let mut all: Vec<Value> = manifest.document["pipelines"].as_array().cloned().unwrap_or_default();
    let media = manifest.renditions.iter().flat_map(|entry| entry.segments.iter().filter_map(Segment::media));
    let inits = manifest.renditions.iter().filter_map(|entry| entry.init.as_ref());
    let named = media.chain(inits).map(|object| &object.pipeline);
    for pipeline in named.chain(manifest.masks.iter().map(|mask| &mask.pipeline)).map(Pipeline::as_str) {
        if !all.iter().any(|known| known == pipeline) {
            all.push(json!(pipeline));
        }
    }
    all
}

/// Seconds since the oldest segment was due.
fn age(manifest: &Manifest, document: &Document, now: Timestamp) -> u64 {
    let media = manifest.renditions.iter().flat_map(|entry| entry.segments.iter());
    let oldest = media.filter(|segment| segment.media().is_some()).map(|segment| segment.number).min();
    let due = document.expected(oldest.unwrap_or(manifest.from));
    u64::try_from(now.millis_since(due).max(0) / 1000 + 1).unwrap_or(u64::MAX)
}

fn window(age: u64, recorded: u64, standing: Option<u64>, asked: Option<u64>) -> Result<u64> {
    let least = age.saturating_add(LEFT_SECONDS);
    if let Some(asked) = asked {
        ensure!(asked >= age, "--dvr-window {asked}: the oldest segment was due {age} s ago; give more than that");
        return Ok(asked);
    }
    if let Some(standing) = standing.filter(|standing| *standing >= least) {
        return Ok(standing);
    }
    let window = age.saturating_add(recorded.max(STAY_SECONDS)).min(WINDOW_SECONDS_MAX);
    let window = Some(window).filter(|window| *window >= least);
    window.with_context(|| {
        format!("the oldest segment was due {age} s ago, and no DVR window is longer than {WINDOW_SECONDS_MAX} s")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_reaches_back_to_the_oldest_segment_and_leaves_as_long_again() {
        assert_eq!(window(1_000, 200_000, None, None).unwrap(), 201_000);
        assert_eq!(window(1_000, 60, None, None).unwrap(), 1_000 + STAY_SECONDS);
        assert_eq!(window(1_000, 60, None, Some(5_000)).unwrap(), 5_000);
        assert!(window(1_000, 60, None, Some(999)).unwrap_err().to_string().contains("--dvr-window 999"));
    }

    #[test]
    fn a_window_that_stands_is_kept_while_it_reaches() {
        assert_eq!(window(1_000, 60, Some(90_000), None).unwrap(), 90_000);
        assert_eq!(window(90_000, 60, Some(90_000), None).unwrap(), 90_000 + STAY_SECONDS);
    }

    #[test]
    fn older_than_any_window_is_an_error() {
        let error = window(WINDOW_SECONDS_MAX, 60, None, None).unwrap_err();
        assert!(error.to_string().contains("no DVR window"), "{error}");
    }
}
