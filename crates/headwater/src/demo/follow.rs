//! The demo's own viewer: asks for every segment while it is being made, as a player or an edge would, and tells what
//! came of it beside what the pipelines did.

use std::sync::Arc;
use std::time::Duration;

use headwater_model::{Millis, Timestamp};
use headwater_origin::Origin;
use headwater_rig::schedule::sleep_until;
use headwater_rig::{LineStatus, Rig};
use headwater_wire::client::{Answer, Client};
use http::Method;
use serde::Serialize;

/// The rendition that is followed: the largest, so that what it tells is what a viewer sees.
const RENDITION: &str = "v360";
/// After a segment's time every pipeline has had its say by then.
const SETTLED: Millis = Millis(600);
/// People are told every so many segments, and whenever something changes.
const REMARK_EVERY: u64 = 4;
/// Pause after an answer that says nothing about when to ask again.
const PAUSE: Duration = Duration::from_millis(250);
/// Largest segment of the clip, with room.
const SEGMENT_BYTES_MAX: usize = 8 << 20;

/// What came of one segment.
#[derive(Serialize)]
struct Seen {
    number: u64,
    /// The word of the last answer.
    outcome: String,
    /// Whose candidate was served.
    pipeline: Option<String>,
    /// What is wrong with it.
    defects: Option<String>,
    /// When it was there, after its time `E(n)`.
    late_ms: i128,
    /// What the pipelines did.
    pipelines: Vec<LineStatus>,
}

/// Follows the live edge until the server drains.
pub(super) async fn follow(origin: Arc<Origin>, rig: Rig, event: String, json: bool) {
    tokio::select! {
        () = watch(&origin, &rig, &event, json) => {}
        () = origin.drain.started() => {}
    }
}

async fn watch(origin: &Origin, rig: &Rig, event: &str, json: bool) {
    let client = Client::default();
    let document = rig.document();
    let mut number = document.next_number(origin.clock.wall()) + 1;
    let mut remarks = Remarks::default();
    loop {
        sleep_until(&origin.clock, document.becomes_next(number)).await;
        let url = format!("{event}/{RENDITION}/{number}.m4s");
        let mut seen = fetch(origin, &client, &url, number, document.expected(number)).await;
        sleep_until(&origin.clock, document.expected(number) + SETTLED).await;
        seen.pipelines = rig.status().pipelines;
        if json {
            super::say(&serde_json::to_string(&seen).unwrap_or_default());
        } else if let Some(line) = remarks.line(&seen) {
            super::say(&line);
        }
        // Not those that a pause of the machine has made old.
        number = (number + 1).max(document.next_number(origin.clock.wall()));
    }
}

/// Asks until there is media or it is said that there will be none.
async fn fetch(origin: &Origin, client: &Client, url: &str, number: u64, due: Timestamp) -> Seen {
    loop {
        let answer = client.send(Method::GET, url, Default::default(), Default::default(), SEGMENT_BYTES_MAX).await;
        let answer = match answer {
            Ok(answer) if matches!(answer.status.as_u16(), 404 | 503) => Err(pause(&answer)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(PAUSE),
        };
        match answer {
            Ok(answer) => {
                let header = |name: &str| answer.headers.get(name)?.to_str().ok().map(str::to_owned);
                return Seen {
                    number,
                    outcome: header("headwater-outcome").unwrap_or_else(|| answer.status.to_string()),
                    pipeline: header("headwater-pipeline"),
                    defects: header("headwater-defects"),
                    late_ms: origin.clock.wall().millis_since(due),
                    pipelines: Vec::new(),
                };
            }
            Err(pause) => origin.clock.sleep(pause).await,
        }
    }
}

/// When an answer without media may be asked for again.
fn pause(answer: &Answer) -> Duration {
    let millis = answer.headers.get("headwater-max-age-ms").and_then(|value| value.to_str().ok()?.parse().ok());
    millis.map_or(PAUSE, Duration::from_millis).clamp(PAUSE / 5, PAUSE * 8)
}

/// Decides what is worth a line for people.
#[derive(Default)]
struct Remarks {
    last: String,
    silent: u64,
}

impl Remarks {
    fn line(&mut self, seen: &Seen) -> Option<String> {
        let told = told(seen);
        self.silent += 1;
        if told == self.last && self.silent < REMARK_EVERY {
            return None;
        }
        (self.last, self.silent) = (told, 0);
        let when = if seen.pipeline.is_some() { format!("{:+} ms", seen.late_ms) } else { String::new() };
        Some(format!("  {}  {:<64} {when}", seen.number, self.last))
    }
}

/// What happened, without what differs from segment to segment.
fn told(seen: &Seen) -> String {
    let lines: String = seen.pipelines.iter().map(|line| format!("{:<16}", state(line, seen.number))).collect();
    let served = match (&seen.pipeline, &seen.defects) {
        (Some(pipeline), None) => format!("viewers get {}", pipeline.to_uppercase()),
        (Some(pipeline), Some(defects)) => format!("viewers get {} ({defects})", pipeline.to_uppercase()),
        (None, _) => format!("viewers are told: {}", seen.outcome),
    };
    format!("{lines}{served}")
}

fn state(line: &LineStatus, number: u64) -> String {
    let name = line.pipeline.to_uppercase();
    let damage = line.damage.filter(|damage| damage.hits(number));
    match (line.alive, damage) {
        (false, _) => format!("{name} killed"),
        (true, Some(damage)) => format!("{name} {}", damage.fault.word()),
        (true, None) if line.tally.last_number >= Some(number) => format!("{name} ok"),
        (true, None) => format!("{name} behind"),
    }
}

#[cfg(test)]
mod tests {
    use headwater_rig::{Damage, Fault};

    use super::*;

    fn line(pipeline: &str, alive: bool, last: u64) -> LineStatus {
        let tally = headwater_rig::status::Tally { last_number: Some(last), ..Default::default() };
        LineStatus { pipeline: pipeline.into(), alive, damage: None, tally }
    }

    fn seen(number: u64, pipeline: Option<&str>, pipelines: Vec<LineStatus>) -> Seen {
        let pipeline = pipeline.map(str::to_owned);
        Seen { number, outcome: "missing".into(), pipeline, defects: None, late_ms: 50, pipelines }
    }

    #[test]
    fn a_change_is_told_at_once_and_sameness_now_and_then() {
        let mut remarks = Remarks::default();
        let told: Vec<bool> = (0..10)
            .map(|number| {
                let lines = vec![line("a", number < 6, number), line("b", true, number)];
                remarks.line(&seen(number, Some(if number < 6 { "a" } else { "b" }), lines)).is_some()
            })
            .collect();
        assert_eq!(told, [true, false, false, false, true, false, true, false, false, false]);
    }

    #[test]
    fn a_line_names_what_each_pipeline_did() {
        let mut hurt = line("b", true, 7);
        hurt.damage = Damage::new(Fault::Short, 7, None);
        let told = told(&seen(7, None, vec![line("a", false, 3), hurt, line("c", true, 6)]));
        for words in ["A killed", "B short", "C behind", "viewers are told: missing"] {
            assert!(told.contains(words), "{told}");
        }
    }
}
