//! `headwater event`: the CLI twin of the events API.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use headwater_model::Tenant;
use http::Method;
use serde_json::Value;

use crate::archive;
use crate::ops::{EventRef, Ops, OpsArgs};
use crate::table::{lines, table, text};

/// Puts, shows, lists, ends, deletes, exports and imports events.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ops: OpsArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an event or replaces its document.
    Put {
        /// The event, as TENANT/EVENT or EVENT (of the tenant `live`).
        event: EventRef,
        /// The document as JSON; `-` reads standard input. Without it, the default document.
        document: Option<PathBuf>,
    },
    /// Shows an event.
    Show {
        /// The event, as TENANT/EVENT or EVENT.
        event: EventRef,
    },
    /// Lists the events of a tenant.
    List {
        /// The tenant.
        #[arg(default_value = "live")]
        tenant: Tenant,
    },
    /// Ends an event with its highest stored segment.
    End {
        /// The event, as TENANT/EVENT or EVENT.
        event: EventRef,
    },
    /// Deletes an event with its media.
    Delete {
        /// The event, as TENANT/EVENT or EVENT.
        event: EventRef,
    },
    /// Writes what was served of an event to a directory or bucket, playable as DASH and HLS.
    ///
    /// Run it again after an interruption: what is there is checked and kept. Numbers that were not served are listed as
    /// gaps with the reason; defective segments are exported with their defects. Of a running event, the choices that
    /// have closed are exported.
    Export(archive::ExportArgs),
    /// Brings an exported event into the store of a running server: same bytes, same choices.
    ///
    /// Every digest is checked before anything is sent. Run it again after an interruption.
    Import(archive::ImportArgs),
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<()> {
    let ops = Ops::new(&args.ops)?;
    match args.command {
        Command::Export(export) => archive::export(&args.ops, &export)?,
        Command::Import(import) => archive::import(&args.ops, &import)?,
        Command::Put { event, document } => {
            let json = read_document(document)?;
            ops.show(&ops.send(Method::PUT, &event.path(""), json)?, show);
        }
        Command::Show { event } => ops.show(&ops.get(&event.path(""))?, show),
        Command::List { tenant } => ops.show(&ops.get(&format!("/v1/tenants/{tenant}/events"))?, list),
        Command::End { event } => ops.show(&ops.send(Method::POST, &event.path("/end"), Vec::new())?, show),
        Command::Delete { event } => {
            ops.send(Method::DELETE, &event.path(""), Vec::new())?;
            ops.done("deleted", event.to_string().into(), &format!("{event} is deleted"));
        }
    }
    Ok(())
}

fn read_document(document: Option<PathBuf>) -> Result<Vec<u8>> {
    match document {
        None => Ok(b"{}".to_vec()),
        Some(path) if path.as_os_str() == "-" => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).context("cannot read the document from standard input")?;
            Ok(text)
        }
        Some(path) => std::fs::read(&path).with_context(|| format!("cannot read the document {}", path.display())),
    }
}

fn show(event: &Value) -> String {
    let document = &event["document"];
    let start = format!("segment {} at {}", document["start_number"], text(&document["availability_start_time"]));
    let facts = lines(&[
        ("rev", text(&event["rev"])),
        ("cache", format!("version {}", event["cache_version"])),
        ("start", start),
        ("end", text(&document["end_number"])),
        ("highest", text(&event["highest_number"])),
        ("segment", format!("{}/{} s", document["segment"]["duration"], document["segment"]["timescale"])),
        ("pipelines", format!("{} (from segment {} on)", text(&document["pipelines"]), event["effective_from"])),
        ("renditions", text(&event["renditions"])),
        ("init", text(&document["init"])),
        ("media", text(&document["media"])),
        ("window", format!("{} s", document["dvr_window_s"])),
        ("inspect", text(&document["inspect"])),
    ]);
    format!("{}/{}\n{facts}", text(&event["tenant"]), text(&event["event"]))
}

fn list(events: &Value) -> String {
    let columns = [("EVENT", "event"), ("REV", "rev"), ("HIGHEST", "highest_number"), ("RENDITIONS", "renditions")];
    table(&columns, events, "no events")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_shown_with_its_document() {
        let event = json!({"tenant": "live", "event": "game", "rev": 3, "cache_version": 1, "effective_from": 10,
            "renditions": ["v", "a"], "document": {"segment": {"duration": 48, "timescale": 25},
            "pipelines": ["a", "b"], "start_number": 0, "end_number": null}});
        let shown = show(&event);
        for line in
            ["live/game\n", "  segment     48/25 s\n", "  pipelines   a b (from segment 10 on)\n", "  end         -\n"]
        {
            assert!(shown.contains(line), "{line}: {shown}");
        }
    }
}
