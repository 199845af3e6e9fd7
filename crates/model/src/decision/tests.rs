use super::*;
use crate::defect::{Defect, DefectKind};
use crate::event::Counters;
use crate::mask::Mask;
use crate::name::{EventName, Pipeline, Region, Tenant};
use crate::row::{Digest, EventId, Keep, Key, Object, Version};
use proptest::prelude::*;

/// 2 s segments from the epoch: E(n) = 2 (n + 1) s.
fn event(json: &str) -> Event {
    let document = Document::from_json(json.as_bytes()).unwrap();
    let (tenant, name) = (Tenant::new("live").unwrap(), EventName::new("game").unwrap());
    Event::new(EventId(1), tenant, name, document, Counters::default())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn row(pipeline: &str, number: u64, first: i64, is_sound: bool) -> Row {
    let defects = (!is_sound).then(|| Defect::new(DefectKind::Short, &[]));
    Row {
        key: Key {
            event: EventId(1),
            object: Object::Segment { rendition: Rendition::new("v").unwrap(), number },
            pipeline: Pipeline::new(pipeline).unwrap(),
        },
        version: Version(1),
        size: 1,
        digest: Digest(1),
        content_type: "video/mp4".into(),
        defects: defects.into_iter().collect(),
        region: Region::new("local").unwrap(),
        keep: Keep::Standing,
        first: at(first),
        sound: is_sound.then_some(at(first)),
        published: at(first),
        passed: Box::default(),
    }
}

fn mask(pipeline: &str) -> Mask {
    let pipeline = Pipeline::new(pipeline).unwrap();
    Mask { id: 1, pipeline, renditions: None, from: 0, to: None, reason: String::new() }
}

struct Case {
    event: Event,
    rows: Vec<Row>,
    before: Vec<Row>,
    flying: Vec<Row>,
    last_arrival: Option<i64>,
    arrived: i64,
    held: bool,
}

/// A request for a segment of an event whose publishers are alive.
fn case(json: &str) -> Case {
    Case {
        event: event(json),
        rows: vec![],
        before: vec![],
        flying: vec![],
        last_arrival: Some(i64::MAX / 4),
        arrived: 0,
        held: false,
    }
}

impl Case {
    fn rows(mut self, rows: Vec<Row>) -> Self {
        self.rows = rows;
        self
    }

    fn held_since(mut self, arrived: i64) -> Self {
        (self.arrived, self.held) = (arrived, true);
        self
    }

    fn masks(mut self, pipelines: &[&str]) -> Self {
        self.event.masks = pipelines.iter().map(|pipeline| mask(pipeline)).collect();
        self
    }

    fn last_arrival(mut self, last: Option<i64>) -> Self {
        self.last_arrival = last;
        self
    }

    /// What a request for segment `number` gets at `now`.
    fn at(&self, number: u64, now: i64) -> String {
        let rendition = Rendition::new("v").unwrap();
        let view = View {
            event: &self.event,
            rendition: &rendition,
            number,
            rows: &self.rows,
            before: [&self.before, &[]],
            flying: &self.flying,
            last_arrival: self.last_arrival.map(at),
            fenced: false,
        };
        let clocks = Clocks { wall: at(now), stamp: at(now), settled: at(now) };
        let arrived = if self.held { self.arrived } else { now };
        match decide(&view, clocks, Arrival { stamp: at(arrived), held: self.held }) {
            Decision::Refuse(outcome, Ttl::Seconds(ttl)) => format!("{} {ttl}", outcome.word()),
            Decision::Refuse(outcome, Ttl::Exact(ttl)) => format!("{} {}ms", outcome.word(), ttl.0),
            Decision::Serve(row) => format!("serve {}", row.key.pipeline),
            Decision::ServeDefective(row, Ttl::Seconds(ttl)) => format!("defective {} {ttl}", row.key.pipeline),
            Decision::Follow(row, Ttl::Seconds(ttl)) => format!("follow {} {ttl}", row.key.pipeline),
            Decision::ServeForNow(row, Ttl::Seconds(ttl)) => format!("for now {} {ttl}", row.key.pipeline),
            Decision::ServeDefective(..) | Decision::Follow(..) | Decision::ServeForNow(..) => "an odd ttl".into(),
            Decision::Hold(until) => format!("hold {}", until.millis()),
            Decision::Unavailable => "unavailable".into(),
        }
    }
}

#[test]
fn row_3_outside_of_the_numbers() {
    let case = case(r#"{"start_number":100,"end_number":200}"#);
    assert_eq!(case.at(99, 0), "never 3600");
    // E(201) = 204 s, less 50 ms of guard.
    assert_eq!(case.at(201, 100_000), "never 103950ms");
    assert_eq!(case.at(201, 203_900), "never 50ms");
    assert_eq!(case.at(201, 203_950), "never 3600");
    assert_eq!(case.at(1_000_000, 0), "never 3600");
}

#[test]
fn row_4_older_than_the_dvr_window() {
    let case = case(r#"{"dvr_window_s":10}"#);
    assert_eq!(case.at(0, 12_001), "expired 3600");
    assert_eq!(case.at(0, 12_000), "missing 2");
}

#[test]
fn row_5_has_the_exact_ttl() {
    let case = case("{}");
    // E(10) = 22 s, next from 20 s on.
    assert_eq!(case.at(10, 19_999), "too-early 1951ms");
    assert_eq!(case.at(10, 0), "too-early 21950ms");
    assert_eq!(case.at(10, 20_000), "hold 24000");
    let huge_guard = self::case(r#"{"early_guard_ms":60000}"#);
    assert_eq!(huge_guard.at(10, 0), "too-early 0ms");
}

#[test]
fn row_5_serves_what_is_there_early() {
    assert_eq!(case("{}").rows(vec![row("a", 10, 5, true)]).at(10, 10), "serve a");
}

#[test]
fn row_6_holds_up_to_hold_max_and_never_past_the_deadline() {
    let case = case(r#"{"hold_max_ms":4000,"retry_deadline_ms":1000}"#);
    assert_eq!(case.at(10, 20_500), "hold 23000", "E + 1 s comes first");
    assert_eq!(self::case("{}").at(10, 20_500), "hold 24500");
}

#[test]
fn row_6_ends_in_a_404_without_ttl() {
    assert_eq!(case("{}").held_since(20_000).at(10, 23_999), "hold 24000");
    assert_eq!(case("{}").held_since(20_000).at(10, 24_000), "held-too-long 0");
    let short = case(r#"{"retry_deadline_ms":1000}"#).held_since(20_000);
    assert_eq!(short.at(10, 23_001), "held-too-long 0", "who was held is not told 410");
    assert_eq!(case(r#"{"retry_deadline_ms":1000}"#).at(10, 23_001), "missing 2");
}

#[test]
fn row_6_does_not_hold_for_silent_publishers() {
    let case = case("{}").last_arrival(Some(14_000));
    assert_eq!(case.at(10, 20_000), "hold 24000");
    assert_eq!(case.at(10, 20_001), "silent 2000ms");
    assert_eq!(self::case("{}").last_arrival(None).at(10, 20_001), "silent 2000ms");
    assert_eq!(self::case("{}").last_arrival(Some(14_000)).held_since(20_000).at(10, 21_000), "hold 24000");
}

#[test]
fn row_7_waits_for_the_close_within_the_patience() {
    let case = case("{}").rows(vec![row("b", 10, 21_000, true)]);
    assert_eq!(case.at(10, 21_100), "hold 21250");
    assert_eq!(case.at(10, 21_250), "serve b");
}

#[test]
fn row_8_serves_the_least_bad_for_one_segment() {
    let case = case("{}").rows(vec![row("b", 10, 21_000, false)]);
    assert_eq!(case.at(10, 21_100), "hold 22000");
    assert_eq!(case.at(10, 22_000), "defective b 2");
}

#[test]
fn a_hold_ends_with_what_is_in_hand() {
    let json = r#"{"hold_max_ms":1000,"defect_wait_ms":5000}"#;
    let case = case(json).rows(vec![row("b", 10, 20_900, false)]).held_since(20_000);
    assert_eq!(case.at(10, 21_249), "hold 21250");
    assert_eq!(case.at(10, 21_250), "defective b 2");
}

#[test]
fn what_is_still_arriving_is_followed_with_the_ttl_of_row_8() {
    let mut case = case("{}");
    case.flying = vec![row("a", 10, 21_000, true)];
    assert_eq!(case.at(10, 20_999), "hold 24999", "its first chunk lies ahead");
    assert_eq!(case.at(10, 21_000), "follow a 2");
    case.flying = vec![row("b", 10, 21_000, true)];
    assert_eq!(case.at(10, 21_100), "hold 21250");
    assert_eq!(case.at(10, 21_250), "follow b 2");
}

#[test]
fn a_choice_that_was_followed_stays_with_its_defects_by_row_8() {
    let mut followed = row("a", 10, 21_000, false);
    followed.sound = Some(followed.first);
    let case = case("{}").rows(vec![followed, row("b", 10, 21_001, true)]);
    assert_eq!(case.at(10, 21_500), "defective a 2");
    assert_eq!(case.at(10, 100_000), "defective a 2");
}

#[test]
fn row_9_past_the_deadline() {
    assert_eq!(case("{}").at(10, 26_000), "hold 26000");
    assert_eq!(case("{}").at(10, 26_001), "missing 2");
    let short = case(r#"{"segment":{"duration":1,"timescale":2}}"#);
    assert_eq!(short.at(10, 60_000), "missing 1");
}

#[test]
fn row_10_masks() {
    assert_eq!(case("{}").masks(&["a", "b"]).at(10, 21_000), "masked 5");
    assert_eq!(case("{}").masks(&["a", "b"]).at(10, 19_000), "too-early 2950ms");
    assert_eq!(case("{}").masks(&["a"]).at(10, 21_000), "hold 25000");
    assert_eq!(case("{}").masks(&["a"]).at(10, 26_001), "masked 5");
    let only_masked = case("{}").masks(&["a"]).rows(vec![row("a", 10, 21_000, true)]);
    assert_eq!(only_masked.at(10, 21_500), "hold 25500");
    let both = case("{}").masks(&["a"]).rows(vec![row("a", 10, 21_000, true), row("b", 10, 21_100, true)]);
    assert_eq!(both.at(10, 26_001), "serve b");
}

#[test]
fn records_that_lag_are_waited_for_and_then_admitted() {
    let rows = vec![row("b", 10, 21_000, true)];
    let (event, rendition) = (event("{}"), Rendition::new("v").unwrap());
    let before: [&[Row]; 2] = [&[], &[]];
    let view = View {
        event: &event,
        rendition: &rendition,
        number: 10,
        rows: &rows,
        before,
        flying: &[],
        last_arrival: None,
        fenced: false,
    };
    let decided = |now, settled| {
        let clocks = Clocks { wall: at(now), stamp: at(now), settled: at(settled) };
        decide(&view, clocks, Arrival { stamp: at(21_000), held: true })
    };
    assert_eq!(decided(22_000, 21_240), Decision::Hold(at(25_250)), "the close has come, a slow commit has not");
    assert_eq!(decided(25_250, 21_240), Decision::Unavailable);
    assert_eq!(decided(25_250, 21_250), Decision::Serve(&rows[0]));
}

proptest! {
    #[test]
    fn no_panic_for_any_number_and_time(number in any::<u64>(), now in any::<i64>(), start in any::<u64>(), held in any::<bool>()) {
        let json = format!(r#"{{"start_number":{start}}}"#);
        let mut case = case(&json);
        case.held = held;
        let _ = case.at(number, now);
    }

    #[test]
    fn an_early_404_ends_before_the_segment_is_due(number in 0u64..=1 << 53, early in 1i64..1_000_000_000) {
        let case = case("{}");
        let due = i128::from(number + 1) * 2000;
        prop_assume!(due - 2000 > i128::from(early));
        let answer = case.at(number, early);
        let ttl: i128 = answer.strip_prefix("too-early ").and_then(|rest| rest.strip_suffix("ms")).unwrap().parse().unwrap();
        prop_assert_eq!(i128::from(early) + ttl + 50, due);
    }
}
