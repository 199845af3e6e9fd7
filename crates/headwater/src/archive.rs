//! `headwater event export` and `headwater event import`: flags, environment and words for people around
//! `headwater-archive`.

mod place;

use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Result;
use headwater_archive::origin::Listeners;
use headwater_archive::{Origin, export, import};
use headwater_store::stamp::SystemClock;

use crate::bar::Bar;
use crate::ops::{EventRef, OpsArgs, base_url, say};
use place::{PlaceArgs, PlaceRef};

/// Exports an event.
#[derive(clap::Args)]
pub(crate) struct ExportArgs {
    /// The event, as TENANT/EVENT or EVENT (of the tenant `live`).
    event: EventRef,
    /// A directory, or s3://BUCKET/PREFIX.
    place: PlaceRef,
    /// The deliver listener of the server, from which the media comes.
    #[arg(long, env = "HEADWATER_DELIVER", default_value = "http://127.0.0.1:7080", value_name = "URL")]
    deliver: String,
    /// The first segment number [default: the oldest that there is].
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// The last segment number [default: the last of an ended event, or the newest that has been chosen].
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    #[command(flatten)]
    work: WorkArgs,
}

/// Imports an event.
#[derive(clap::Args)]
pub(crate) struct ImportArgs {
    /// A directory, or s3://BUCKET/PREFIX.
    place: PlaceRef,
    /// Import it under this name, as TENANT/EVENT or EVENT [default: the name that it had].
    #[arg(long = "as", value_name = "EVENT")]
    name: Option<EventRef>,
    /// The publish listener of the server, to which the media goes.
    #[arg(long, env = "HEADWATER_PUBLISH", default_value = "http://127.0.0.1:7070", value_name = "URL")]
    publish: String,
    /// A publisher of the tenant that may publish for every pipeline, if the tenant has publishers.
    #[arg(long, env = "HEADWATER_CREDENTIAL", value_name = "USER:SECRET", hide_env_values = true)]
    credential: Option<String>,
    /// The event's DVR window [default: long enough that every segment is served as long again as where it came from,
    /// and a day at least].
    #[arg(long, value_name = "SECONDS")]
    dvr_window: Option<u64>,
    #[command(flatten)]
    work: WorkArgs,
}

/// What both have.
#[derive(clap::Args)]
struct WorkArgs {
    /// How many objects are copied at once.
    #[arg(long, default_value = "4", value_name = "N", value_parser = jobs)]
    jobs: NonZeroUsize,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Most at once: each takes the memory of its object, and a server has better things to do.
const JOBS_MAX: usize = 64;

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.parse().ok().filter(|number: &NonZeroUsize| number.get() <= JOBS_MAX);
    number.ok_or_else(|| format!("write a number from 1 to {JOBS_MAX}"))
}

/// Runs `event export`.
pub(crate) fn export(ops: &OpsArgs, args: &ExportArgs) -> Result<()> {
    let at = Listeners { ops: base_url(&ops.ops), deliver: base_url(&args.deliver), ..Listeners::default() };
    let origin = Origin::new(at, None, Arc::new(SystemClock::default()))?;
    let (tenant, event) = args.event.names();
    let options = export::Options { tenant, event, from: args.from, to: args.to, jobs: args.work.jobs };
    let bar = Bar::new(ops.json);
    let report = runtime()?.block_on(async {
        let place = args.place.open(&args.work.place, true)?;
        export::run(&origin, &place, &options, &bar).await
    })?;
    bar.end();
    if ops.json {
        say(&serde_json::to_string(&report)?);
    } else {
        say(&exported(&report));
    }
    Ok(())
}

/// Runs `event import`.
pub(crate) fn import(ops: &OpsArgs, args: &ImportArgs) -> Result<()> {
    let at = Listeners { ops: base_url(&ops.ops), publish: base_url(&args.publish), ..Listeners::default() };
    let origin = Origin::new(at, args.credential.as_deref(), Arc::new(SystemClock::default()))?;
    let name = args.name.as_ref().map(EventRef::names);
    let options = import::Options { name, dvr_window_s: args.dvr_window, jobs: args.work.jobs };
    let bar = Bar::new(ops.json);
    let report = runtime()?.block_on(async {
        let place = args.place.open(&args.work.place, false)?;
        import::run(&origin, &place, &options, &bar).await
    })?;
    bar.end();
    if ops.json {
        say(&serde_json::to_string(&report)?);
    } else {
        say(&imported(&report));
    }
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn exported(report: &export::Report) -> String {
    let export::Report { event, place, from, to, segments, renditions, bytes, .. } = report;
    let mut text = format!("{event}, segments {from} to {to}, is in {place}\n");
    let amount = indicatif::HumanBytes(*bytes);
    text.push_str(&format!("  {segments} segments of {renditions} renditions, {amount}: "));
    text.push_str(&format!("{} copied, {} there already\n", report.copied, report.kept));
    if report.defective > 0 {
        text.push_str(&format!("  {} segments are defective; manifest.json says how\n", report.defective));
    }
    for (outcome, count) in &report.gaps {
        text.push_str(&format!("  {count} numbers without media: {outcome}\n"));
    }
    if !report.whole {
        text.push_str("  this is not all of an ended event; run it again to extend it\n");
    }
    text.push_str("  play manifest.mpd or master.m3u8; `headwater event import` brings it back");
    text
}

fn imported(report: &import::Report) -> String {
    let import::Report { event, from, to, objects, bytes, dvr_window_s, ended } = report;
    let amount = indicatif::HumanBytes(*bytes);
    let mut text =
        format!("{event}, segments {from} to {to}, is imported: {objects} objects, {amount}, every ETag the same\n");
    text.push_str(&format!("  it is served for {dvr_window_s} s after each segment was due (dvr_window_s)"));
    if !ended {
        text.push_str("\n  it has no end yet; `headwater event end` gives it one");
    }
    text
}
