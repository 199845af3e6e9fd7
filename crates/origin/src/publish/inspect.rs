//! What is wrong with an upload: the packager's report, and what our own look at the boxes adds (contract §4).

use headwater_media::init::Init;
use headwater_media::inspect::{Expectation, TrackFacts, inspect};
use headwater_media::source::Pieces;
use headwater_model::defect::{Defect, DefectKind, Defects};
use headwater_model::document::{Document, Inspect};
use headwater_store::Body;
use http::HeaderMap;
use sfv::{BareItem, ListEntry, Parser};

/// The header of a packager's report and of our answer.
pub const DEFECTS_HEADER: &str = "headwater-defects";

/// What the packager reports. Unknown tokens are ignored; a field that does not parse counts as absent (RFC 9651),
/// because a packager's spelling must not cost a segment.
#[must_use]
pub fn reported(headers: &HeaderMap) -> Defects {
    let mut joined = Vec::new();
    for value in headers.get_all(DEFECTS_HEADER) {
        if !joined.is_empty() {
            joined.extend_from_slice(b", ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    if joined.is_empty() {
        return Defects::default();
    }
    let Ok(list) = Parser::new(&joined).parse::<sfv::List>() else {
        tracing::warn!(field = %String::from_utf8_lossy(&joined), "ignored a Headwater-Defects that does not parse");
        return Defects::default();
    };
    list.iter().filter_map(defect).collect()
}

fn defect(entry: &ListEntry) -> Option<Defect> {
    let ListEntry::Item(item) = entry else { return None };
    let BareItem::Token(token) = &item.bare_item else { return None };
    let kind = DefectKind::from_word(token.as_str())?;
    let facts = item.params.iter().filter_map(|(key, value)| match value {
        BareItem::Integer(value) => Some((key.as_str().to_owned(), i64::from(*value))),
        _ => None,
    });
    Some(Defect { kind, facts: facts.collect() })
}

/// Adds to `reported` what the boxes of segment `number` show, unless the event is not inspected.
#[must_use]
pub fn judged(
    mut reported: Defects,
    mode: Inspect,
    document: &Document,
    path: &str,
    number: u64,
    track: TrackFacts,
    body: &Body,
) -> Defects {
    if mode == Inspect::Off {
        return reported;
    }
    let found = inspect(&Pieces::new(body.chunks()), &Expectation::new(document, path, number, track));
    found.defects.iter().cloned().for_each(|defect| reported.add(defect));
    reported
}

/// What is known of a rendition's track: its init segment, else the declared timescale.
#[must_use]
pub fn track(facts: Option<&Init>, declared: Option<u32>) -> TrackFacts {
    match facts {
        Some(init) => TrackFacts::of(init.main()),
        None => TrackFacts { timescale: declared, ..TrackFacts::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        values.iter().for_each(|value| {
            headers.append(DEFECTS_HEADER, value.parse().unwrap());
        });
        reported(&headers).to_string()
    }

    #[test]
    fn a_report_is_a_list_of_known_tokens() {
        assert_eq!(
            report(&["short;have=48;want=50, discontinuity;offset=3003"]),
            "short;have=48;want=50, discontinuity;offset=3003"
        );
        assert_eq!(report(&["sparkly, filler;note=\"x\"", "no-sync"]), "filler, no-sync");
        assert_eq!(report(&["short, short;have=1"]), "short");
        assert_eq!(report(&["short;;"]), "");
        assert_eq!(report(&[]), "");
    }
}
