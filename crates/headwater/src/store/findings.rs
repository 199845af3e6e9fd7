//! What `headwater store check` and `repair` print of a cluster. Pure.

use headwater_cassandra::survey::{Finding, Repaired, Report, What};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::check::{of, things};
use crate::table::{lines, table};

/// Of more chunks only the first are named.
const PARTS_NAMED: usize = 5;

/// The report for a person.
pub(super) fn text(report: &Report) -> String {
    let mut text = format!("{}: {}\n{}", report.keyspace, verdict(&report.findings), facts(report));
    if !report.findings.is_empty() {
        let columns =
            [("WHAT", "what"), ("OF", "of"), ("DETAIL", "detail"), ("COUNTS", "counts"), ("INTACT", "intact")];
        text.push_str(&format!("\n{}", table(&columns, &report.findings.iter().map(line).collect(), "")));
    }
    if report.more {
        text.push_str("\nThere is more than is listed: mend this first, then check again.\n");
    }
    if report.findings.iter().any(|finding| finding.what != What::MissingChunks && finding.what != What::DamagedBytes) {
        text.push_str("\n`headwater store repair` mends what can be mended without a loss.\n");
    }
    if !report.whole {
        text.push_str("\nA server never serves damaged bytes. What to do about them is in docs/store.md.\n");
    }
    text
}

/// What was done, for a person.
pub(super) fn repaired(repaired: &Repaired) -> String {
    let mended = repaired.deeds.iter().filter(|deed| deed.mended).count();
    let left = repaired.deeds.len() - mended;
    let what = if repaired.dry_run { "would be mended" } else { "mended" };
    let mut text = format!("{}: {}", repaired.keyspace, things(mended, "finding", "findings"));
    text.push_str(&format!(" {what}, {left} left\n{}", facts(&repaired.report)));
    if !repaired.deeds.is_empty() {
        let lines = repaired.deeds.iter().map(|deed| {
            let mut line = line(&deed.finding);
            let would = if repaired.dry_run && deed.mended { "would have: " } else { "" };
            line["told"] = json!(format!("{would}{}", deed.told));
            line
        });
        let columns = [("WHAT", "what"), ("OF", "of"), ("DETAIL", "detail"), ("DONE", "told")];
        text.push_str(&format!("\n{}", table(&columns, &lines.collect(), "")));
    }
    if repaired.more {
        text.push_str("\nThere was more than one repair takes on: repair again.\n");
    }
    text
}

fn verdict(findings: &[Finding]) -> String {
    let losses = findings.iter().filter(|finding| finding.counts).count();
    let mut parts = Vec::new();
    match losses {
        0 => parts.push("whole".to_owned()),
        count => parts.push(things(count, "thing that counts is damaged", "things that count are damaged")),
    }
    if findings.len() > losses {
        parts.push(things(findings.len() - losses, "thing is left over", "things are left over"));
    }
    parts.join(", ")
}

fn facts(report: &Report) -> String {
    let mut facts = vec![(
        "checked",
        format!("{} records of {}, {} chunks", report.records, HumanBytes(report.bytes), report.chunks),
    )];
    if report.payloads.objects > 0 {
        let payloads = report.payloads;
        facts.push(("verified", format!("{} payloads, {}", payloads.objects, HumanBytes(payloads.bytes))));
    }
    if report.expiring > 0 {
        facts.push(("expiring", format!("{} chunks that no record names go by themselves", report.expiring)));
    }
    lines(&facts)
}

fn line(finding: &Finding) -> Value {
    let intact = match finding.what {
        What::MissingChunks | What::DamagedBytes if finding.intact.is_empty() => json!("none"),
        _ => json!(finding.intact),
    };
    let of = match (&finding.subject, &finding.version) {
        (Some(subject), _) => Some(of(subject)),
        (None, version) => version.clone(),
    };
    let counts = if finding.counts { "yes" } else { "no" };
    json!({"what": finding.what.words(), "of": of, "detail": detail(finding), "counts": counts, "intact": intact})
}

fn detail(finding: &Finding) -> Option<String> {
    match finding.what {
        What::MissingChunks => {
            let named: Vec<_> = finding.missing.iter().take(PARTS_NAMED).map(ToString::to_string).collect();
            let more = if finding.missing.len() > PARTS_NAMED { " …" } else { "" };
            let unsure = if finding.confirmed == Some(false) { ", not all nodes answered" } else { "" };
            let (missing, parts) = (finding.missing.len(), finding.parts.unwrap_or(0));
            Some(format!("{missing} of {parts}: {}{more}{unsure}", named.join(" ")))
        }
        What::ChunksWithoutRecord => {
            let staged = finding.staged.map(|staged| staged.to_rfc3339());
            Some(format!("{} staged {}", finding.parts.unwrap_or(0), staged.unwrap_or_default()))
        }
        What::EventOver => finding.records.map(|records| format!("{records} records")),
        What::UnreadableRecord => finding.error.clone(),
        What::DamagedBytes | What::UnlistedRecord | What::ExpiredRecord | What::ListingWithoutRecord => None,
    }
}

#[cfg(test)]
mod tests {
    use headwater_cassandra::survey::Deed;
    use headwater_model::{Pipeline, Rendition};
    use headwater_store::log::survey::Subject;

    use super::*;

    fn lost() -> Finding {
        let subject = Subject {
            record: "segment",
            event: Some("live/game".into()),
            rendition: Some(Rendition::new("v").unwrap()),
            number: Some(10),
            pipeline: Some(Pipeline::new("a").unwrap()),
            ..Subject::default()
        };
        let (subject, intact) = (Some(subject), vec![Pipeline::new("b").unwrap()]);
        let (parts, missing) = (Some(9), vec![0, 1, 2, 3, 4, 5]);
        Finding { counts: true, subject, intact, parts, missing, confirmed: Some(false), ..Finding::default() }
    }

    #[test]
    fn what_is_missing_is_named_with_what_stands_in() {
        let over = Finding { what: What::EventOver, records: Some(7), ..Finding::default() };
        let findings = vec![lost(), over];
        let text = text(&Report { keyspace: "headwater".into(), findings, ..Report::default() });
        for words in [
            "headwater: 1 thing that counts is damaged, 1 thing is left over\n",
            "chunks missing  live/game v 10 of a  6 of 9: 0 1 2 3 4 …, not all nodes answered  yes     b\n",
            "event is gone   -                    7 records",
            "docs/store.md",
        ] {
            assert!(text.contains(words), "no `{words}`: {text}");
        }
    }

    #[test]
    fn a_repair_says_what_it_did_and_what_is_left() {
        let deed = |mended, told: &str| Deed { finding: lost(), mended, told: told.into() };
        let deeds = vec![deed(true, "removed the candidate"), deed(false, "give it up with --drop-lost")];
        let (report, keyspace) = (Report::default(), "headwater".to_owned());
        let done = Repaired { report, keyspace, dry_run: true, whole: false, more: false, deeds };
        let text = repaired(&done);
        assert!(text.starts_with("headwater: 1 finding would be mended, 1 left\n"), "{text}");
        assert!(text.contains("would have: removed") && text.contains("--drop-lost"), "{text}");
    }
}
