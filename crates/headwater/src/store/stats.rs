//! What `headwater store stats` prints. Pure.

use headwater_model::Timestamp;
use headwater_store::log::survey::{EventUse, Holdings, RetentionUse};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use crate::table::{lines, table};

/// The columns of [`event`].
const EVENTS: [(&str, &str); 8] = [
    ("TENANT", "tenant"),
    ("EVENT", "event"),
    ("OBJECTS", "objects"),
    ("BYTES", "bytes"),
    ("RENDITIONS", "renditions"),
    ("PIPELINES", "pipelines"),
    ("OLDEST", "oldest"),
    ("NEWEST", "newest"),
];

/// What a directory holds, for a person.
pub(super) fn text(holdings: &Holdings) -> String {
    let server = if holdings.online { "a server is running on it" } else { "no server is running on it" };
    let mut events: Vec<Value> = holdings.events.iter().map(event).collect();
    let rest = holdings.no_longer_counted.total();
    events.push(json!({"tenant": "no longer counted", "objects": rest.objects, "bytes": bytes(rest.bytes)}));
    let events = table(&EVENTS, &Value::Array(events), "");
    let columns =
        [("KEPT", "kept"), ("OPEN", "open"), ("SEALED", "sealed"), ("ON DISK", "bytes"), ("NEXT EXPIRES", "next")];
    let buckets = holdings.retention.iter().map(retention).collect();
    let buckets = table(&columns, &Value::Array(buckets), "no buckets");
    let mut facts = vec![
        ("on disk", format!("{} in files of {}", HumanBytes(holdings.disk_bytes), HumanBytes(holdings.file_bytes))),
        ("free", format!("{} of {}", HumanBytes(holdings.free_bytes), HumanBytes(holdings.volume_bytes))),
        ("next expires", moment(holdings.next_expiry)),
    ];
    if holdings.unreadable > 0 {
        let count = holdings.unreadable;
        facts.push(("unreadable", format!("{count} files are not counted; `headwater store check` names them")));
    }
    format!("{}: {server}\n\n{events}\n{buckets}\n{}", holdings.directory, lines(&facts))
}

/// A line for a table of [`EVENTS`].
fn event(used: &EventUse) -> Value {
    let name = used.event.clone().unwrap_or_else(|| format!("(life {})", used.id.0));
    json!({
        "tenant": used.tenant,
        "event": name,
        "objects": used.amount.objects,
        "bytes": bytes(used.amount.bytes),
        "renditions": used.renditions,
        "pipelines": used.pipelines,
        "oldest": moment(used.oldest),
        "newest": moment(used.newest),
    })
}

/// What a cluster holds, for a person.
pub(super) fn cluster(holdings: &headwater_cassandra::survey::Holdings) -> String {
    let mut events: Vec<Value> = holdings.events.iter().map(event).collect();
    let rest = holdings.no_longer_counted;
    events.push(json!({"tenant": "no longer counted", "objects": rest.objects, "bytes": bytes(rest.bytes)}));
    format!("{}: each once, without the copies\n\n{}", holdings.keyspace, table(&EVENTS, &Value::Array(events), ""))
}

fn retention(class: &RetentionUse) -> Value {
    json!({
        "kept": class.kept_seconds.map_or_else(|| "until replaced".to_owned(), kept),
        "open": class.open,
        "sealed": class.sealed,
        "bytes": bytes(class.disk_bytes),
        "next": moment(class.next_expiry),
    })
}

fn bytes(count: u64) -> String {
    HumanBytes(count).to_string()
}

/// `up to 68 min`: in the largest unit of which there are ten.
fn kept(seconds: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(length, _)| seconds >= 10 * length).unwrap_or((1, "s"));
    format!("up to {} {}", seconds / unit.0, unit.1)
}

/// To the second; `-` for none.
fn moment(at: Option<Timestamp>) -> String {
    let whole = |at: Timestamp| Timestamp::from_nanos(at.seconds() * 1_000_000_000).to_rfc3339();
    at.map_or_else(|| "-".to_owned(), whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_told_in_a_unit_that_fits() {
        assert_eq!([16, 4096, 131_072, 1 << 21].map(kept), ["up to 16 s", "up to 68 min", "up to 36 h", "up to 24 d"]);
    }

    #[test]
    fn moments_are_told_to_the_second() {
        assert_eq!(moment(Some(Timestamp::from_nanos(1_790_000_000_123_456_789))), "2026-09-21T14:13:20Z");
        assert_eq!(moment(None), "-");
    }
}
