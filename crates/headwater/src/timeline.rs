//! `headwater timeline`: the last minute of an event in the terminal, one row a pipeline, one cell a segment.

mod draw;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use headwater_model::{Millis, Rendition};
use headwater_store::stamp::{Clock, SystemClock};
use serde_json::Value;

use crate::ops::{Answer, EventRef, Ops, OpsArgs, say};
use crate::table::text;
use draw::{Paint, Segment, View};

/// How often `--watch` draws: the shortest segments are not much shorter.
const REDRAW: Duration = Duration::from_secs(1);
/// Columns of a line where there is no terminal to ask.
const COLUMNS: usize = 100;
/// The cursor to the corner, and all below it erased.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Draws what each pipeline published and which candidate is served.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ops: OpsArgs,
    /// The event, as TENANT/EVENT or EVENT (of the tenant `live`).
    event: EventRef,
    /// Which rendition [default: the event's first].
    #[arg(long)]
    rendition: Option<Rendition>,
    /// The first segment number [default: a minute before the last].
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// The last segment number [default: the next one that is due].
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// Draw again every second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// No colours, on a terminal either.
    #[arg(long, env = "NO_COLOR", num_args = 0..=1, default_missing_value = "1", value_name = "ANY")]
    no_color: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let ops = Ops::new(&args.ops)?;
    let screen = Screen::of(args);
    let mut frame = frame(&ops, args, &screen)?;
    if !args.watch {
        say(frame.trim_end());
        return Ok(());
    }
    loop {
        let clear = if screen.is_terminal && !ops.wants_json() { CLEAR } else { "" };
        say(&format!("{clear}{frame}"));
        ops.pause(REDRAW);
        // A server that is restarted is no reason to stop watching.
        frame = self::frame(&ops, args, &screen).unwrap_or_else(|error| format!("error: {error:#}\n"));
    }
}

/// What is drawn on.
struct Screen {
    is_terminal: bool,
    columns: usize,
    paint: Paint,
}

impl Screen {
    fn of(args: &Args) -> Self {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let size = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
        let columns = size.filter(|columns| is_terminal && *columns > 0).unwrap_or(COLUMNS);
        // An empty NO_COLOR counts as unset (no-color.org).
        let plain = !is_terminal || args.no_color.as_ref().is_some_and(|value| !value.is_empty());
        Self { is_terminal, columns, paint: if plain { Paint::Plain } else { Paint::Colours } }
    }
}

fn frame(ops: &Ops, args: &Args, screen: &Screen) -> Result<String> {
    let event = ops.get(&args.event.path(""))?.json;
    let rendition = match &args.rendition {
        Some(rendition) => rendition.to_string(),
        None => first_rendition(&event).with_context(|| format!("{} has no rendition yet", args.event))?,
    };
    let answer = segments(ops, args, &rendition)?;
    if ops.wants_json() {
        return Ok(answer.text().trim_end().to_owned());
    }
    let segments: Vec<Segment> = serde_json::from_value(answer.json).context("the server's answer is no timeline")?;
    let document = &event["document"];
    let view = View {
        event: args.event.to_string(),
        rendition,
        duration: (as_number(&document["segment"]["duration"]), as_number(&document["segment"]["timescale"])),
        retry_deadline: Millis(document["retry_deadline_ms"].as_u64().unwrap_or(0)),
        now: SystemClock::default().wall(),
        columns: screen.columns,
        paint: screen.paint,
    };
    Ok(draw::timeline(&segments, &view))
}

fn segments(ops: &Ops, args: &Args, rendition: &str) -> Result<Answer> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        bail!("--from {from} lies after --to {to}");
    }
    let mut path = args.event.path(&format!("/timeline?rendition={rendition}"));
    for (name, bound) in [("from", args.from), ("to", args.to)] {
        if let Some(number) = bound {
            path.push_str(&format!("&{name}={number}"));
        }
    }
    ops.get(&path)
}

/// The first that the document declares, else the first that was published.
fn first_rendition(event: &Value) -> Option<String> {
    let declared = event["document"]["renditions"].get(0).map(|spec| text(&spec["id"]));
    declared.or_else(|| event["renditions"].get(0).map(text))
}

fn as_number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_rendition_is_the_first_declared_one() {
        let event = json!({"renditions": ["audio", "v"], "document": {"renditions": [{"id": "v"}]}});
        assert_eq!(first_rendition(&event).unwrap(), "v");
        let undeclared = json!({"renditions": ["audio", "v"], "document": {"renditions": []}});
        assert_eq!(first_rendition(&undeclared).unwrap(), "audio");
        assert_eq!(first_rendition(&json!({"renditions": [], "document": {"renditions": []}})), None);
    }
}
