//! An export back into an origin: the same bytes under the same names by the same pipelines, and so the same choices.
//!
//! Every digest is checked before anything is sent, and every `ETag` that the origin answers with afterwards. Publishing
//! the same bytes again changes nothing, so an import that was interrupted is simply run again.

mod document;
mod verify;

use std::num::NonZeroUsize;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use headwater_model::{EventName, Tenant};
use http::Method;
use serde::Serialize;

use crate::digest::{etag, hex, sha256};
use crate::manifest::{Manifest, Object, PATH, PLAN_PATH};
use crate::{Origin, Place, Progress};

/// How to import.
#[derive(Clone, Debug)]
pub struct Options {
    /// Another name for it than it was exported under.
    pub name: Option<(Tenant, EventName)>,
    /// Seconds for which the origin is to serve segments after they were due; without it, as many as all of them need
    /// to be served for as long again as in the origin that they came from.
    pub dvr_window_s: Option<u64>,
    /// How many objects are sent at once; each takes its size in memory.
    pub jobs: NonZeroUsize,
}

/// What has been imported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// TENANT/EVENT.
    pub event: String,
    /// The first number.
    pub from: u64,
    /// The last number.
    pub to: u64,
    /// Objects published, init segments too.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The event's DVR window now, in seconds.
    pub dvr_window_s: u64,
    /// Whether the event has an end.
    pub ended: bool,
}

/// Imports an event.
///
/// # Errors
/// An object is missing or not what the manifest says, the origin has a different event of this name, or refuses
/// something. Nothing has been sent in the first two cases; in the last, the same call takes it up again.
pub async fn run(origin: &Origin, place: &Place, options: &Options, progress: &dyn Progress) -> Result<Report> {
    let manifest = read_manifest(place).await?;
    let (tenant, event) = options.name.clone().unwrap_or((manifest.tenant.clone(), manifest.event.clone()));
    let steps = document::Steps::plan(origin, (&tenant, &event), &manifest, options.dvr_window_s, progress).await?;
    check_all(place, &manifest, options.jobs, progress).await?;
    let name = (&tenant, &event);
    origin.ops_send(Method::PUT, name, "", &steps.receiving).await.context("cannot create the event")?;
    publish_all(origin, place, name, &manifest, options.jobs, progress).await?;
    restore_facts(origin, name, &manifest).await?;
    origin.ops_send(Method::PUT, name, "", &steps.lasting).await.context("cannot give the event its document")?;
    verify::choices(origin, name, &manifest).await?;
    Ok(Report {
        event: format!("{tenant}/{event}"),
        from: manifest.from,
        to: manifest.to,
        objects: manifest.objects().count(),
        bytes: manifest.objects().map(|object| object.size).sum(),
        dvr_window_s: steps.dvr_window_s,
        ended: manifest.document["end_number"].is_u64(),
    })
}

async fn read_manifest(place: &Place) -> Result<Manifest> {
    if let Some(json) = place.get(PATH).await? {
        let read = Manifest::read(&json);
        return read.map_err(|error| error.context(format!("{PATH} in {}", place.name())));
    }
    if place.get(PLAN_PATH).await?.is_some() {
        bail!("the export in {} was interrupted; run `headwater event export` into it again first", place.name());
    }
    bail!("{} has no {PATH}: it is no export", place.name())
}

/// Reads every object and holds it against the manifest.
async fn check_all(place: &Place, manifest: &Manifest, jobs: NonZeroUsize, progress: &dyn Progress) -> Result<()> {
    let (count, bytes) = manifest.objects().fold((0, 0), |(count, sum), object| (count + 1, sum + object.size));
    progress.begin("check", count, bytes);
    let work = manifest.objects().map(|object| async move { checked(place, object).await.map(|_| object.size) });
    let mut results = stream::iter(work).buffer_unordered(jobs.get());
    while let Some(size) = results.try_next().await? {
        progress.done(size);
    }
    Ok(())
}

/// The bytes of an object, if they are what the manifest says, and their SHA-256.
async fn checked(place: &Place, object: &Object) -> Result<(Bytes, [u8; 32])> {
    let remedy = || format!("run `headwater event export` into {} again, or restore it", place.name());
    let bytes = place.get(&object.path).await?;
    let bytes = bytes.with_context(|| format!("{} is missing; {}", object.path, remedy()))?;
    let digest = sha256(&bytes);
    let is_whole = bytes.len() as u64 == object.size;
    let is_same = object.sha256.as_deref() == Some(&*hex(&digest)) && object.etag == etag(&bytes);
    ensure!(is_whole && is_same, "{} is not what the manifest says (size or digest); {}", object.path, remedy());
    Ok((bytes, digest))
}

async fn publish_all(
    origin: &Origin,
    place: &Place,
    name: (&Tenant, &EventName),
    manifest: &Manifest,
    jobs: NonZeroUsize,
    progress: &dyn Progress,
) -> Result<()> {
    let (count, bytes) = manifest.objects().fold((0, 0), |(count, sum), object| (count + 1, sum + object.size));
    progress.begin("import", count, bytes);
    let publish = |object| async move {
        let (bytes, digest) = checked(place, object).await?;
        origin.publish(name, object, bytes, &digest).await?;
        Ok::<_, anyhow::Error>(object.size)
    };
    // Init segments first and all of them: they tell the timescale by which `$Time$` names segments.
    let (inits, segments): (Vec<_>, Vec<_>) = manifest
        .objects()
        .partition(|object| manifest.renditions.iter().any(|entry| entry.init.as_ref() == Some(object)));
    for stretch in [inits, segments] {
        let mut results = stream::iter(stretch.into_iter().map(publish)).buffer_unordered(jobs.get());
        while let Some(size) = results.try_next().await? {
            progress.done(size);
        }
    }
    Ok(())
}

/// Masks and notifications, those that are not there yet. Masks come after the media that they say something about.
async fn restore_facts(origin: &Origin, name: (&Tenant, &EventName), manifest: &Manifest) -> Result<()> {
    let there = origin.masks(name.0, name.1).await?;
    for mask in manifest.masks.iter().filter(|mask| !there.contains(mask)) {
        origin.ops_send(Method::POST, name, "/masks", mask).await.context("cannot restore a mask")?;
    }
    let there = origin.notifications(name.0, name.1).await?;
    for notification in manifest.notifications.iter().filter(|one| !there.contains(one)) {
        let sent = origin.ops_send(Method::POST, name, "/notifications", notification).await;
        sent.with_context(|| format!("cannot restore the notification {}", notification.name))?;
    }
    Ok(())
}
