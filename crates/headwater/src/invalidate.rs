//! `headwater flush` and `headwater invalidate`: what caches must fetch anew.

use anyhow::Result;
use clap::Subcommand;
use headwater_model::{Pipeline, Region, Rendition};
use http::Method;
use serde::Serialize;

use crate::ops::{EventRef, Ops, OpsArgs};
use crate::table::{table, text};

/// Everything of an event is to be fetched anew.
#[derive(clap::Args)]
pub(crate) struct FlushArgs {
    #[command(flatten)]
    ops: OpsArgs,
    /// The event, as TENANT/EVENT or EVENT (of the tenant `live`).
    event: EventRef,
}

/// A range of segments is to be fetched anew.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(flatten)]
    ops: OpsArgs,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    add: Option<Add>,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the invalidations since the last flush.
    List {
        /// The event, as TENANT/EVENT or EVENT.
        event: EventRef,
    },
}

/// What is to be fetched anew; on the wire it is the same.
#[derive(clap::Args, Serialize)]
struct Add {
    /// The event, as TENANT/EVENT or EVENT (of the tenant `live`).
    #[serde(skip)]
    event: EventRef,
    /// The first segment number.
    #[arg(long, value_name = "N")]
    from: u64,
    /// The last segment number [default: open].
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Only what came from this pipeline.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<Pipeline>,
    /// Only what came through this region.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
    /// Only this rendition; may be repeated [default: all].
    #[arg(long = "rendition", value_name = "RENDITION")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    renditions: Vec<Rendition>,
}

/// Runs `headwater flush`.
pub(crate) fn flush(args: &FlushArgs) -> Result<()> {
    let ops = Ops::new(&args.ops)?;
    let answer = ops.send(Method::POST, &args.event.path("/flush"), Vec::new())?;
    ops.show(&answer, |flushed| {
        format!("{} is flushed: cache version {}", args.event, text(&flushed["cache_version"]))
    });
    Ok(())
}

/// Runs `headwater invalidate`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let ops = Ops::new(&args.ops)?;
    if let Some(Command::List { event }) = &args.command {
        let columns = [
            ("REV", "rev"),
            ("FROM", "from"),
            ("TO", "to"),
            ("PIPELINE", "pipeline"),
            ("REGION", "region"),
            ("RENDITIONS", "renditions"),
        ];
        let empty = "no invalidations since the last flush";
        ops.show(&ops.get(&event.path("/invalidations"))?, |list| table(&columns, list, empty));
    }
    if let Some(add) = &args.add {
        let answer = ops.post(&add.event.path("/invalidations"), add)?;
        ops.show(&answer, |made| {
            format!("invalidated from segment {} on, rev {}", text(&made["from"]), text(&made["rev"]))
        });
    }
    Ok(())
}
