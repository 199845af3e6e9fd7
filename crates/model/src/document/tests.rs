use super::*;
use proptest::prelude::*;
use serde_json::json;

fn invalid(json: &str) -> Invalid {
    Document::from_json(json.as_bytes()).unwrap_err()
}

#[test]
fn an_empty_document_is_the_default_of_the_contract() {
    let document = Document::from_json(b"{}").unwrap();
    assert_eq!(document, Document::default());
    assert_eq!(document.to_value()["segment"], json!({"duration": 2, "timescale": 1}));
    assert_eq!(document.to_value()["early_guard_ms"], 50);
}

#[test]
fn what_is_written_is_read_back() {
    let text = r#"{"availability_start_time":"2026-11-24T18:00:00.5Z","segment":{"duration":1001,"timescale":500},
        "start_number":7,"end_number":9,"pipelines":["x"],"media":"$RepresentationID$-$Time$.m4s","init":"i/$RepresentationID$.mp4",
        "renditions":[{"id":"v","timescale":90000,"low_latency":true},{"id":"a"}],"inspect":"reject"}"#;
    let document = Document::from_json(text.as_bytes()).unwrap();
    assert_eq!(Document::from_value(document.to_value()).unwrap(), document);
}

#[test]
fn each_broken_rule_names_its_field() {
    for (json, field) in [
        (r#"{"segment":{"duration":0,"timescale":1}}"#, "segment.duration"),
        (r#"{"segment":{"duration":2,"timescale":0}}"#, "segment.timescale"),
        (r#"{"segment":{"duration":4294967296,"timescale":1}}"#, "segment.duration"),
        (r#"{"segment":{"duration":-2,"timescale":1}}"#, "segment.duration"),
        (r#"{"segment":{"duration":2.0,"timescale":1}}"#, "segment.duration"),
        (r#"{"segment":{"duration":61,"timescale":1}}"#, "segment.duration"),
        (r#"{"segment":{"duration":99,"timescale":1000}}"#, "segment.duration"),
        (r#"{"media":"$RepresentationID$/x.m4s"}"#, "media"),
        (r#"{"init":"$RepresentationID$/$Number$.m4s"}"#, "init"),
        (r#"{"init":"$RepresentationID$/7.m4s"}"#, "init"),
        (r#"{"media":"$Number$.m4s","renditions":[{"id":"a"},{"id":"b"}]}"#, "media"),
        (r#"{"init":"init.mp4","renditions":[{"id":"a"},{"id":"b"}]}"#, "init"),
        (r#"{"start_number":5,"end_number":4}"#, "end_number"),
        (r#"{"colour":1}"#, "colour"),
        (r#"{"segment":{"duration":2,"timescale":1,"x":1}}"#, "segment.x"),
        (r#"{"renditions":[{"id":"a"},{"id":"b c"}]}"#, "renditions[1].id"),
        (r#"{"renditions":[{"id":"a"},{"id":"a"}]}"#, "renditions[1].id"),
        (r#"{"renditions":[{"id":"a","timescale":0}]}"#, "renditions[0].timescale"),
        (r#"{"pipelines":[]}"#, "pipelines"),
        (r#"{"pipelines":["a","a"]}"#, "pipelines[1]"),
        (r#"{"pipelines":["A"]}"#, "pipelines[0]"),
        (r#"{"availability_start_time":"yesterday"}"#, "availability_start_time"),
        (r#"{"hold_max_ms":600000}"#, "hold_max_ms"),
        (r#"{"inspect":"maybe"}"#, "inspect"),
        (r#"{"dvr_window_s":-1}"#, "dvr_window_s"),
        ("[]", "document"),
        ("{", "document"),
        ("{} x", "document"),
    ] {
        let invalid = invalid(json);
        assert_eq!(invalid.field, field, "{json}: {invalid}");
    }
}

#[test]
fn the_expected_time_follows_the_formula() {
    let document = Document::from_json(
        br#"{"availability_start_time":"2026-01-01T00:00:00Z","start_number":10,"publish_delay_ms":300,
            "segment":{"duration":48,"timescale":25}}"#,
    )
    .unwrap();
    let start = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
    assert_eq!(document.expected(10), start + Millis(2220));
    assert_eq!(document.becomes_next(10), start + Millis(300));
    assert_eq!(document.expected(9), start + Millis(300));
    assert_eq!(document.media_start(12, 12_800), 2 * 24_576);
    assert_eq!(document.next_number(start + Millis(300)), 10);
    assert_eq!(document.next_number(start + Millis(2219)), 10);
    assert_eq!(document.next_number(start + Millis(2220)), 11);
    assert_eq!(document.next_number(Timestamp::MIN), 10);
}

#[test]
fn a_time_path_means_the_nearest_segment() {
    let document = Document::from_json(br#"{"start_number":3,"media":"$Time$.m4s","init":"init.mp4"}"#).unwrap();
    for (time, number) in [(0, 3), (89_999, 3), (90_001, 4), (180_000, 4), (180_090, 4)] {
        assert_eq!(document.number_of(Position::Time(time), Some(90_000)), Some(number), "{time}");
    }
    assert_eq!(document.number_of(Position::Time(0), None), None);
}

#[test]
fn timing_and_templates_are_what_cannot_change() {
    let old = Document::default();
    let changed = |json: &str| old.timing_change(&Document::from_json(json.as_bytes()).unwrap());
    assert_eq!(changed(r#"{"segment":{"duration":4,"timescale":2}}"#), Some("segment"));
    assert_eq!(changed(r#"{"start_number":1}"#), Some("start_number"));
    assert_eq!(changed(r#"{"media":"x/$RepresentationID$/$Number$.m4s"}"#), Some("media"));
    assert_eq!(changed(r#"{"pipelines":["z"],"hold_max_ms":1,"end_number":10,"dvr_window_s":9}"#), None);
}

proptest! {
    #[test]
    fn no_document_panics(text in ".{0,200}") {
        let _ = Document::from_json(text.as_bytes());
    }

    #[test]
    fn the_next_number_is_the_one_whose_interval_holds_now(seconds in 0i64..=4_000_000_000, nanos in 0i128..1_000_000_000, ticks in 100u32..=6000, scale in 100u32..=1000) {
        let Ok(segment) = SegmentDuration::new(ticks, scale) else { return Ok(()) };
        let document = Document { segment, ..Document::default() };
        let now = Timestamp::from_seconds(seconds).offset_nanos(nanos);
        let next = document.next_number(now);
        prop_assert!(document.becomes_next(next) <= now, "next {next}");
        prop_assert!(now < document.expected(next).offset_nanos(1), "next {next}");
    }

    #[test]
    fn every_number_has_its_times(number in any::<u64>(), start in any::<u64>(), scale in 1..=u32::MAX) {
        let document = Document { start_number: start, ..Document::default() };
        prop_assert!(document.becomes_next(number) < document.expected(number));
        prop_assert!(document.expected(number) < document.expires(number));
        let _ = document.media_start(number, scale);
        let _ = document.next_number(document.expected(number));
    }
}
