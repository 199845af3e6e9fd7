//! `headwater status`: what runs on a server.

use anyhow::Result;
use serde_json::Value;

use crate::ops::{Ops, OpsArgs};
use crate::table::{lines, text};

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
        ("publish", text(&status["publish"])),
        ("deliver", text(&status["deliver"])),
        ("ops", text(&status["ops"])),
        ("tenants", text(&status["tenants"])),
        ("events", text(&status["events"])),
        ("buffers", format!("{} bytes in use", status["slab_bytes"])),
        ("time", text(&status["time"])),
    ]);
    format!("Headwater {}\n{facts}", text(&status["version"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draining_server_says_so() {
        let status = serde_json::json!({"version": "1", "draining": true, "tenants": ["live", "sport"]});
        let shown = show(&status);
        assert!(shown.contains("draining") && shown.contains("live sport"), "{shown}");
    }
}
