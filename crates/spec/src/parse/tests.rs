use super::*;
use crate::case::{Body, Check, Compare, Part, Precision, Span};

const CASE: &str = "\
# A comment.
case hold-ends: a hold ends
section §5 row 6
event segment = {\"duration\": 1, \"timescale\": 1}
clock since 0.2d

PUT {event}/@a/v/{next}.m4s <- of a
  Headwater-Defects: short
  send chunked
expect 201
hold r1 GET {event}/v/{next}.m4s
at E(next) + 500ms
expect r1 404 held-too-long, max-age=0
expect r1 header headwater-max-age-ms = ms until E(next+1) - 50ms
expect json masks.# = 2
expect no header etag
";

#[test]
fn a_case_is_read_line_by_line() {
    let case = cases("spec/x.case", CASE).unwrap().remove(0);
    assert_eq!((case.id.as_str(), case.section.as_str()), ("hold-ends", "§5 row 6"));
    assert_eq!(case.event.since, Some(Span::Segments(0.2)));
    let Action::Ask(put) = &case.steps[0].action else { panic!() };
    assert!(matches!(&put.body, Body::Text(text) if text == "of a"));
    assert_eq!(put.headers[0].1, "short");
    let Action::Expect(Some(held), Check::Status(404, Some(outcome), Some(cache))) = &case.steps[4].action else {
        panic!()
    };
    assert_eq!((held.as_str(), outcome.as_str(), cache.as_str()), ("r1", "held-too-long", "max-age=0"));
    assert!(matches!(
        &case.steps[5].action,
        Action::Expect(_, Check::Part(Part::Header(_), Compare::Until(Precision::Millis, _)))
    ));
    assert!(matches!(&case.steps[7].action, Action::Expect(None, Check::Part(_, Compare::Absent))));
}

#[test]
fn every_bad_line_is_told_with_its_place() {
    let text =
        "case x: a rule\nsection §2\nput it\nexpect header\nat noon\n  Header: of nothing\nexpect 200 hit or miss\n";
    let errors = cases("spec/x.case", text).unwrap_err();
    for (error, line) in errors.iter().zip([3, 4, 5, 6, 7]) {
        assert!(error.starts_with(&format!("spec/x.case:{line}: ")), "{error}");
    }
    assert_eq!(errors.len(), 6, "{errors:?}");
}
