//! Event documents from operators.

use headwater_fuzz::{Edit, TIME, spoil};
use headwater_model::Timestamp;
use headwater_model::document::Document;

fn look_at(bytes: &[u8]) {
    let Ok(document) = Document::from_json(bytes) else { return };
    assert_eq!(Document::from_value(document.to_value()).as_ref(), Ok(&document), "it is read as it is written");
    for number in [0, document.start_number, 1 << 53, u64::MAX] {
        assert!(document.becomes_next(number) < document.expected(number));
        let _ = document.media_start(number, 90_000);
        let _ = document.deadline(number, &document.rules);
        let _ = document.expires(number);
    }
    for wall in [Timestamp::MIN, Timestamp::from_nanos(0), Timestamp::MAX] {
        assert!(document.next_number(wall) >= document.start_number);
    }
}

#[test]
fn any_bytes() {
    bolero::check!().with_test_time(TIME).for_each(look_at);
}

#[test]
fn spoilt_documents() {
    let full = Document::default().to_value();
    let other = r#"{"segment": {"duration": 1001, "timescale": 500}, "start_number": 7, "end_number": 9, "pipelines": ["x"],
        "media": "$RepresentationID$/$Time$.m4s", "renditions": [{"id": "v1", "timescale": 60000, "low_latency": true}]}"#;
    let seeds = [full.to_string().into_bytes(), other.as_bytes().to_vec()];
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .with_test_time(TIME)
        .for_each(|(which, edits)| look_at(&spoil(&seeds, *which, edits)));
}
