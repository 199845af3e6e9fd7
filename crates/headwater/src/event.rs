//! `headwater event`: the CLI twin of the events API.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use http::Method;
use serde_json::Value;

use crate::ops::{OpsArgs, call};

/// Puts, shows, lists, ends and deletes events.
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
        event: String,
        /// The document as JSON; `-` reads standard input. Without it, the default document.
        document: Option<PathBuf>,
    },
    /// Shows an event.
    Show {
        /// The event, as TENANT/EVENT or EVENT.
        event: String,
    },
    /// Lists the events of a tenant.
    List {
        /// The tenant.
        #[arg(default_value = "live")]
        tenant: String,
    },
    /// Ends an event with its highest stored segment.
    End {
        /// The event, as TENANT/EVENT or EVENT.
        event: String,
    },
    /// Deletes an event with its media.
    Delete {
        /// The event, as TENANT/EVENT or EVENT.
        event: String,
    },
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Result<()> {
    let ops = &args.ops;
    match args.command {
        Command::Put { event, document } => {
            let json = read_document(document)?;
            print_event(ops, &call(ops, Method::PUT, &path(&event)?, json)?)
        }
        Command::Show { event } => print_event(ops, &call(ops, Method::GET, &path(&event)?, Vec::new())?),
        Command::List { tenant } => {
            print_list(ops, &call(ops, Method::GET, &format!("/v1/tenants/{tenant}/events"), Vec::new())?)
        }
        Command::End { event } => {
            print_event(ops, &call(ops, Method::POST, &format!("{}/end", path(&event)?), Vec::new())?)
        }
        Command::Delete { event } => {
            call(ops, Method::DELETE, &path(&event)?, Vec::new())?;
            if ops.json {
                println!("{}", serde_json::json!({"deleted": event}));
            } else {
                println!("{event} is deleted");
            }
            Ok(())
        }
    }
}

fn path(event: &str) -> Result<String> {
    let (tenant, name) = event.trim_matches('/').split_once('/').unwrap_or(("live", event));
    if name.is_empty() || name.contains('/') {
        bail!("`{event}` is no event; write TENANT/EVENT, or EVENT for the tenant `live`");
    }
    Ok(format!("/v1/tenants/{tenant}/events/{name}"))
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

fn print_event(ops: &OpsArgs, event: &Value) -> Result<()> {
    if ops.json {
        println!("{}", serde_json::to_string_pretty(event)?);
        return Ok(());
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let document = &event["document"];
    println!("{}/{}", text(&event["tenant"]), text(&event["event"]));
    let segment = format!("{}/{} s", document["segment"]["duration"], document["segment"]["timescale"]);
    let names = |list: &Value| {
        list.as_array().map_or_else(String::new, |all| all.iter().map(text).collect::<Vec<_>>().join(" "))
    };
    for (label, value) in [
        ("rev", text(&event["rev"])),
        ("start", format!("segment {} at {}", document["start_number"], text(&document["availability_start_time"]))),
        ("end", text(&document["end_number"])),
        ("highest", text(&event["highest_number"])),
        ("segment", segment),
        ("pipelines", format!("{} (from segment {} on)", names(&document["pipelines"]), event["effective_from"])),
        ("renditions", names(&event["renditions"])),
        ("init", text(&document["init"])),
        ("media", text(&document["media"])),
        ("window", format!("{} s", document["dvr_window_s"])),
        ("inspect", text(&document["inspect"])),
    ] {
        println!("  {label:<11}{}", if value == "null" { "-".into() } else { value });
    }
    Ok(())
}

fn print_list(ops: &OpsArgs, list: &Value) -> Result<()> {
    if ops.json {
        println!("{}", serde_json::to_string_pretty(list)?);
        return Ok(());
    }
    let events = list.as_array().map(Vec::as_slice).unwrap_or_default();
    if events.is_empty() {
        println!("no events");
    }
    for event in events {
        let name = format!("{}/{}", event["tenant"].as_str().unwrap_or(""), event["event"].as_str().unwrap_or(""));
        let highest = event["highest_number"].as_u64().map_or_else(|| "-".into(), |number| number.to_string());
        let renditions = event["renditions"].as_array().map_or(0, Vec::len);
        println!("{name:<40} rev {:<6} highest {highest:<14} renditions {renditions}", event["rev"]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_with_or_without_its_tenant() {
        assert_eq!(path("game").unwrap(), "/v1/tenants/live/events/game");
        assert_eq!(path("sport/game").unwrap(), "/v1/tenants/sport/events/game");
        assert!(path("a/b/c").is_err() && path("a/").is_err());
    }
}
