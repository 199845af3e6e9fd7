//! What `headwater store check` prints. Pure.

use headwater_store::log::survey::{Damage, Report, Standing, Subject, What};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use crate::table::{lines, table};

/// The report for a person.
pub(super) fn text(report: &Report) -> String {
    let mut text = format!("{}: {}\n{}", report.directory, verdict(report), facts(report));
    if !report.damage.is_empty() {
        let damage = report.damage.iter().map(line).collect();
        let columns = [
            ("FILE", "file"),
            ("OFFSET", "offset"),
            ("WHAT", "what"),
            ("OF", "of"),
            ("COUNTS", "counts"),
            ("INTACT", "intact"),
        ];
        text.push_str(&format!("\n{}", table(&columns, &Value::Array(damage), "")));
    }
    let notes = notes(report);
    if !notes.is_empty() {
        text.push('\n');
        notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
    }
    text
}

fn verdict(report: &Report) -> String {
    let losses = report.damage.iter().filter(|damage| damage.standing == Standing::Counts).count();
    let harmless = report.damage.len() - losses;
    let mut parts = Vec::new();
    if losses > 0 {
        parts.push(things(losses, "damaged place that counts", "damaged places that count"));
    }
    if !report.missing.is_empty() {
        parts.push(things(report.missing.len(), "missing file", "missing files"));
    }
    if !report.later.is_empty() {
        parts.push(things(report.later.len(), "file of a later version", "files of a later version"));
    }
    if parts.is_empty() {
        parts.push("intact".to_owned());
    }
    if harmless > 0 {
        parts.push(things(harmless, "damaged place that no longer counts", "damaged places that no longer count"));
    }
    parts.join(", ")
}

pub(super) fn things(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn facts(report: &Report) -> String {
    let amount = |objects: u64, bytes: u64| format!("{objects} payloads, {}", HumanBytes(bytes));
    let mut facts = vec![
        ("server", if report.online { "is running on it" } else { "none is running on it" }.to_owned()),
        ("checked", format!("{}, {} records", files(report.files), report.records)),
        ("verified", amount(report.payloads.objects, report.payloads.bytes)),
    ];
    if report.freed.objects > 0 {
        let freed = amount(report.freed.objects, report.freed.bytes);
        facts.push(("freed", format!("{freed}: deleted or replaced, their space is given back")));
    }
    if report.vanished > 0 {
        facts.push(("expired", format!("{} while being read", files(report.vanished))));
    }
    lines(&facts)
}

fn line(damage: &Damage) -> Value {
    let counts = match damage.standing {
        Standing::Counts => "yes",
        Standing::Expired => "no: expired",
        Standing::Superseded => "no: superseded",
        Standing::Deleted => "no: event deleted",
    };
    let what = match &damage.error {
        None => damage.what.words().to_owned(),
        Some(error) => format!("{} ({error})", damage.what.words()),
    };
    let intact = match damage.what {
        What::Payload if damage.standing == Standing::Counts && damage.intact.is_empty() => json!("none"),
        _ => json!(damage.intact),
    };
    let probably = if damage.what == What::Stretch { " (probably)" } else { "" };
    let of = damage.subject.as_ref().map(|subject| format!("{}{probably}", of(subject)));
    json!({"file": damage.file, "offset": damage.offset, "what": what, "of": of, "counts": counts, "intact": intact})
}

/// `live/game v 10 of a`, in the order of a path.
pub(super) fn of(subject: &Subject) -> String {
    let id = subject.event_id.map(|id| format!("event {}", id.0));
    let mut words: Vec<String> = subject.event.clone().or(id).into_iter().collect();
    if !matches!(subject.record, "segment" | "object") {
        words.push(subject.record.to_owned());
    }
    words.extend(subject.rendition.as_ref().map(ToString::to_string));
    words.extend(subject.number.map(|number| number.to_string()));
    words.extend(subject.path.clone());
    words.extend(subject.pipeline.as_ref().map(|pipeline| format!("of {pipeline}")));
    words.join(" ")
}

/// What else there is to say, and what to do.
fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    for torn in &report.torn {
        let (file, offset, bytes) = (&torn.file, torn.offset, torn.bytes);
        notes.push(format!(
            "{file} has {bytes} bytes behind its last whole record, at {offset}: what was being written when the server \
             or the machine died. Nobody was told that it is stored; the next start cuts it off."
        ));
    }
    for later in &report.later {
        notes.push(format!("{} has format version {}: check it with the newer build.", later.file, later.version));
    }
    for file in &report.missing {
        notes.push(format!("{file} is missing: somebody or something has removed it."));
    }
    if report.has_losses() {
        notes.push("A server never serves damaged bytes. What to do about them is in docs/store.md.".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use headwater_model::{Pipeline, Rendition};

    use super::*;

    fn damage() -> Damage {
        let subject = Subject {
            record: "segment",
            event: Some("live/game".into()),
            rendition: Some(Rendition::new("v").unwrap()),
            number: Some(10),
            pipeline: Some(Pipeline::new("a").unwrap()),
            ..Subject::default()
        };
        Damage {
            file: "0000000000000002.hwl".into(),
            offset: 8192,
            bytes: 5000,
            what: What::Payload,
            error: None,
            standing: Standing::Counts,
            subject: Some(subject),
            intact: vec![Pipeline::new("b").unwrap()],
        }
    }

    #[test]
    fn damage_is_a_line_with_what_is_intact_instead() {
        let report = Report { directory: "data".into(), damage: vec![damage()], ..Report::default() };
        let text = text(&report);
        assert!(text.starts_with("data: 1 damaged place that counts\n"), "{text}");
        assert!(text.contains("0000000000000002.hwl  8192    payload  live/game v 10 of a  yes     b\n"), "{text}");
        assert!(text.contains("docs/store.md"), "{text}");
    }

    #[test]
    fn what_no_longer_counts_leaves_a_directory_intact() {
        let harmless = Damage { standing: Standing::Expired, intact: vec![], ..damage() };
        let report = Report { directory: "data".into(), damage: vec![harmless], ..Report::default() };
        let text = text(&report);
        assert!(text.starts_with("data: intact, 1 damaged place that no longer counts\n"), "{text}");
        assert!(text.contains("no: expired") && !text.contains("docs/store.md"), "{text}");
    }
}
