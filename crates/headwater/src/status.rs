//! `headwater status`: what runs on a server.

use anyhow::Result;
use serde_json::Value;

use crate::ops::{Ops, OpsArgs};
use crate::table::{lines, table, text};

/// Shows what runs on a server.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ops: OpsArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let ops = Ops::new(&args.ops)?;
    ops.show(&ops.get("/v1/status")?, show);
    Ok(())
}

fn show(status: &Value) -> String {
    let state = if status["draining"] == true { "draining: no new work" } else { "serving" };
    let facts = lines(&[
        ("state", state.to_owned()),
        ("region", text(&status["region"])),
        ("role", text(&status["role"])),
        ("engine", text(&status["engine"])),
        ("publish", text(&status["publish"])),
        ("deliver", text(&status["deliver"])),
        ("ops", text(&status["ops"])),
        ("tenants", text(&status["tenants"])),
        ("events", text(&status["events"])),
        ("buffers", format!("{} bytes in use", status["slab_bytes"])),
        ("time", text(&status["time"])),
    ]);
    format!("Headwater {}\n{facts}\n{}", text(&status["version"]), usage(&status["usage"]))
}

/// A line for each tenant: what it uses, of how much where there is a quota.
fn usage(tenants: &Value) -> String {
    let of = |used: &Value, most: &Value| match most {
        Value::Null => text(used),
        most => format!("{} of {}", text(used), text(most)),
    };
    let line = |tenant: &Value| {
        let quotas = &tenant["quotas"];
        serde_json::json!({
            "tenant": tenant["tenant"],
            "events": of(&tenant["events"], &quotas["max_events"]),
            "objects": of(&tenant["objects"], &quotas["max_objects"]),
            "bytes": of(&tenant["bytes"], &quotas["max_bytes"]),
        })
    };
    let lines = tenants.as_array().into_iter().flatten().map(line).collect();
    let columns = [("TENANT", "tenant"), ("EVENTS", "events"), ("OBJECTS", "objects"), ("BYTES", "bytes")];
    table(&columns, &Value::Array(lines), "no tenants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_shown_beside_its_quota() {
        let tenants = serde_json::json!([
            {"tenant": "sport", "events": 1, "objects": 2, "bytes": 30, "quotas": {"max_objects": 10}},
        ]);
        let shown = usage(&tenants);
        assert_eq!(shown, "TENANT  EVENTS  OBJECTS  BYTES\nsport   1       2 of 10  30\n");
    }

    #[test]
    fn a_draining_server_says_so() {
        let status = serde_json::json!({"version": "1", "draining": true, "tenants": ["live", "sport"]});
        let shown = show(&status);
        assert!(shown.contains("draining") && shown.contains("live sport"), "{shown}");
    }
}
