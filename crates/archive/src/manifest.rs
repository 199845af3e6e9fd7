//! `manifest.json`: what an export holds, object by object, with what an import needs to make the same choices again.
//!
//! It has no time of writing and no name of a machine: the same event gives the same bytes, however often the export
//! was interrupted.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use headwater_model::document::Document;
use headwater_model::{EventName, Pipeline, Rendition, Tenant};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Says what the file is.
pub const FORMAT: &str = "headwater-export";
/// Grows when an older reader would misread the file.
pub const VERSION: u32 = 1;

/// Where the manifest of a whole export is.
pub const PATH: &str = "manifest.json";
/// Where the plan of an export is that is not done yet: a manifest without SHA-256 digests.
pub const PLAN_PATH: &str = "manifest.partial.json";
/// The DASH manifest.
pub const DASH_PATH: &str = "manifest.mpd";
/// The HLS multivariant playlist.
pub const HLS_PATH: &str = "master.m3u8";

/// The HLS media playlist of a rendition. A rendition may be called `master`; this is none of its names.
#[must_use]
pub fn media_playlist_path(rendition: &Rendition) -> String {
    format!("media-{rendition}.m3u8")
}

/// A whole export, or the plan of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Whose event.
    pub tenant: Tenant,
    /// Its name.
    pub event: EventName,
    /// The event's revision when the export was planned.
    pub rev: u64,
    /// Whether the event had ended, and its last segment is here or listed as a gap.
    pub whole: bool,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
    /// The event's newest document, every field written out.
    pub document: Value,
    /// The masks in force, as the ops API takes them.
    pub masks: Vec<Mask>,
    /// The latest notifications, as the ops API takes them.
    pub notifications: Vec<Notification>,
    /// Every rendition, the document's first.
    pub renditions: Vec<RenditionEntry>,
}

/// A mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Whose segments.
    pub pipeline: Pipeline,
    /// Of which renditions; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renditions: Option<Vec<Rendition>>,
    /// The first number.
    pub from: u64,
    /// The last number; open if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

impl Mask {
    /// Whether it hides segment `number` of `rendition`.
    #[must_use]
    pub fn hides(&self, rendition: &Rendition, number: u64) -> bool {
        self.renditions.as_ref().is_none_or(|all| all.contains(rendition))
            && self.from <= number
            && self.to.is_none_or(|to| number <= to)
    }
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Its name.
    pub name: String,
    /// A string, a number or a boolean.
    pub value: Value,
    /// The segment from which on it holds.
    pub from: u64,
}

/// One rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenditionEntry {
    /// Its name.
    pub id: Rendition,
    /// Its init segment: the one that is served at the end, of which an origin keeps the newest alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Object>,
    /// Every number from `from` to `to`.
    pub segments: Vec<Segment>,
}

/// One number of a rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// What there is.
    #[serde(flatten)]
    pub what: What,
}

/// What there is under a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The chosen candidate.
    Media(Object),
    /// Nothing.
    Gap(Gap),
}

/// An object of the export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Below the event's URL and below the export's root alike.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// The origin's `ETag`, without quotes.
    pub etag: String,
    /// In hexadecimal digits; absent in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whose candidate it is.
    pub pipeline: Pipeline,
    /// As in `Headwater-Defects`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub defects: Option<String>,
}

/// Why there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// A word of `Headwater-Outcome`.
    pub outcome: String,
    /// What the masks say that hide it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Object {
    /// Where the origin delivers this pipeline's candidate, whatever it has chosen.
    #[must_use]
    pub fn candidate_path(&self) -> String {
        format!("@{}/{}", self.pipeline, self.path)
    }
}

impl Segment {
    /// Its media, if there is any.
    #[must_use]
    pub fn media(&self) -> Option<&Object> {
        match &self.what {
            What::Media(object) => Some(object),
            What::Gap(_) => None,
        }
    }

    /// Why there is none.
    #[must_use]
    pub fn gap(&self) -> Option<&Gap> {
        match &self.what {
            What::Gap(gap) => Some(gap),
            What::Media(_) => None,
        }
    }
}

impl Manifest {
    /// Reads a manifest or a plan. What it names is safe to be used as paths below a root afterwards.
    ///
    /// # Errors
    /// It is none, of a newer version, or names paths that do not follow from its document.
    pub fn read(json: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(json).context("it is no JSON")?;
        ensure!(value["format"] == FORMAT, "it is no manifest of an export: `format` is not `{FORMAT}`");
        let version = value["version"].as_u64().unwrap_or(0);
        if version != u64::from(VERSION) {
            bail!("it has version {version}, and this headwater reads version {VERSION}; use the one that wrote it");
        }
        let manifest: Self = serde_json::from_value(value).context("it does not follow the format")?;
        manifest.check()?;
        Ok(manifest)
    }

    /// As bytes, ending with a line's end.
    ///
    /// # Errors
    /// Never for a manifest that was built here.
    pub fn write(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// The document, checked.
    ///
    /// # Errors
    /// It breaks a rule.
    pub fn checked_document(&self) -> Result<Document> {
        Document::from_value(self.document.clone()).context("the event's document in the manifest")
    }

    /// Every object, init segments first, then by number over all renditions: the oldest are the next to expire.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        let inits = self.renditions.iter().filter_map(|rendition| rendition.init.as_ref());
        let count = usize::try_from(self.to - self.from).unwrap_or(usize::MAX).saturating_add(1);
        let row = |index: usize| self.renditions.iter().filter_map(move |rendition| rendition.segments.get(index));
        inits.chain((0..count).flat_map(row).filter_map(Segment::media))
    }

    /// Every gap with its rendition.
    pub fn gaps(&self) -> impl Iterator<Item = (&Rendition, u64, &Gap)> {
        self.renditions.iter().flat_map(|rendition| {
            let gaps = rendition.segments.iter().filter_map(|segment| Some((segment.number, segment.gap()?)));
            gaps.map(|(number, gap)| (&rendition.id, number, gap))
        })
    }

    fn check(&self) -> Result<()> {
        let document = self.checked_document()?;
        ensure!(self.from <= self.to, "`from` {} lies after `to` {}", self.from, self.to);
        let mut paths = reserved(&self.renditions);
        for rendition in &self.renditions {
            let numbers = rendition.segments.iter().map(|segment| segment.number);
            ensure!(numbers.eq(self.from..=self.to), "rendition {} does not list every number once", rendition.id);
            for object in rendition.init.iter() {
                let fits = document.init.fit(&object.path).is_some();
                ensure!(fits, "`{}` does not fit the event's `init` template {}", object.path, document.init);
            }
            for object in rendition.segments.iter().filter_map(Segment::media) {
                let fits = document.media.fit(&object.path).is_some();
                ensure!(fits, "`{}` does not fit the event's `media` template {}", object.path, document.media);
            }
            for object in rendition.init.iter().chain(rendition.segments.iter().filter_map(Segment::media)) {
                ensure!(paths.insert(object.path.clone()), "`{}` is needed twice", object.path);
            }
        }
        Ok(())
    }
}

/// The paths that an export needs for itself.
fn reserved(renditions: &[RenditionEntry]) -> BTreeSet<String> {
    let own = [PATH, PLAN_PATH, DASH_PATH, HLS_PATH].map(str::to_owned);
    own.into_iter().chain(renditions.iter().map(|rendition| media_playlist_path(&rendition.id))).collect()
}

#[cfg(test)]
#[path = "manifest/tests.rs"]
mod tests;
