//! `headwater notify`: the CLI twin of the notifications API.

use anyhow::Result;
use clap::Subcommand;
use headwater_model::notification::check_name;
use http::Method;
use serde_json::{Value, json};

use crate::ops::{EventRef, Ops, OpsArgs};
use crate::table::table;

/// Sets, removes and lists notifications: facts that ride on an event's responses.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(flatten)]
    ops: OpsArgs,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    change: Option<Change>,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the latest set.
    List {
        /// The event, as TENANT/EVENT or EVENT.
        event: EventRef,
    },
}

#[derive(clap::Args)]
struct Change {
    /// The event, as TENANT/EVENT or EVENT (of the tenant `live`).
    event: EventRef,
    /// The notification's name.
    #[arg(value_parser = name)]
    name: String,
    /// A number, `true`, `false` or text; '"5"' is text.
    #[arg(required_unless_present = "remove", allow_negative_numbers = true)]
    value: Option<String>,
    /// The segment from which on it holds [default: the next one].
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Removes it, from the next segment on.
    #[arg(long, conflicts_with_all = ["value", "from"])]
    remove: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let ops = Ops::new(&args.ops)?;
    if let Some(Command::List { event }) = &args.command {
        ops.show(&ops.get(&event.path("/notifications"))?, list);
    }
    let Some(Change { event, name, value, from, remove }) = &args.change else { return Ok(()) };
    if *remove {
        ops.send(Method::DELETE, &event.path(&format!("/notifications/{name}")), Vec::new())?;
        ops.done("removed", name.as_str().into(), &format!("{name} is removed from the next segment on"));
    } else {
        let value = typed(value.as_deref().unwrap_or_default());
        let answer = ops.post(&event.path("/notifications"), &json!({"name": name, "value": value, "from": from}))?;
        ops.show(&answer, list);
    }
    Ok(())
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

/// What was typed, as JSON: text unless it is a number, a boolean or quoted.
fn typed(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_) | Value::String(_))) => value,
        _ => text.into(),
    }
}

fn list(notifications: &Value) -> String {
    table(&[("NAME", "name"), ("VALUE", "value"), ("FROM", "from"), ("REV", "rev")], notifications, "no notifications")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_unless_it_is_something_else() {
        for (text, value) in [
            ("30s", json!("30s")),
            ("5", json!(5)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("\"5\"", json!("5")),
            ("TV-14", json!("TV-14")),
            ("[1]", json!("[1]")),
            ("", json!("")),
        ] {
            assert_eq!(typed(text), value, "{text}");
        }
    }
}
