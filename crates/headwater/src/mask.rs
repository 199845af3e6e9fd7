//! `headwater mask`: the CLI twin of the masks API.

use anyhow::Result;
use clap::Subcommand;
use headwater_model::{Pipeline, Rendition};
use http::Method;
use serde::Serialize;

use crate::ops::{EventRef, Ops, OpsArgs};
use crate::table::{table, text};

/// Hides a range of one pipeline's segments, lists and lifts masks.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ops: OpsArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hides a range of one pipeline's segments; in force at once, held requests included.
    Add(Add),
    /// Lists the masks in force.
    List {
        /// The event, as TENANT/EVENT or EVENT.
        event: EventRef,
    },
    /// Lifts a mask; the old choice is back at once.
    Remove {
        /// The event, as TENANT/EVENT or EVENT.
        event: EventRef,
        /// The mask, as `mask list` shows it.
        id: u64,
    },
}

/// What to hide; on the wire it is the same.
#[derive(clap::Args, Serialize)]
struct Add {
    /// The event, as TENANT/EVENT or EVENT (of the tenant `live`).
    #[serde(skip)]
    event: EventRef,
    /// Whose segments.
    #[arg(long)]
    pipeline: Pipeline,
    /// Only this rendition; may be repeated [default: all].
    #[arg(long = "rendition", value_name = "RENDITION")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    renditions: Vec<Rendition>,
    /// The first segment number.
    #[arg(long, value_name = "N")]
    from: u64,
    /// The last segment number [default: open].
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Why, for people.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<()> {
    let ops = Ops::new(&args.ops)?;
    match args.command {
        Command::Add(add) => {
            let answer = ops.post(&add.event.path("/masks"), &add)?;
            ops.show(&answer, |mask| {
                let next = "what caches hold already goes with `headwater invalidate`";
                format!("mask {} is in force; {next}", text(&mask["id"]))
            });
        }
        Command::List { event } => {
            let columns = [
                ("ID", "id"),
                ("PIPELINE", "pipeline"),
                ("RENDITIONS", "renditions"),
                ("FROM", "from"),
                ("TO", "to"),
                ("REASON", "reason"),
            ];
            ops.show(&ops.get(&event.path("/masks"))?, |masks| table(&columns, masks, "no masks"));
        }
        Command::Remove { event, id } => {
            ops.send(Method::DELETE, &event.path(&format!("/masks/{id}")), Vec::new())?;
            ops.done("removed", id.into(), &format!("mask {id} is lifted"));
        }
    }
    Ok(())
}
