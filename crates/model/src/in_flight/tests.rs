use super::*;
use crate::document::{Document, Rules};
use crate::row::{Claim, Digest, EventId, Keep, Key, Verdict, Version, judge};
use crate::{Millis, Region, Rendition, Timestamp};
use proptest::prelude::*;

/// The segment in question.
const NUMBER: u64 = 9;
/// When everything has closed.
const END: i64 = 10_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn key(pipeline: &str, number: u64) -> Key {
    let object = Object::Segment { rendition: Rendition::new("v").unwrap(), number };
    Key { event: EventId(1), object, pipeline: Pipeline::new(pipeline).unwrap() }
}

/// An upload of a low-latency rendition: its first chunk comes at `arrives`, its end at `ends`.
#[derive(Clone, Debug)]
struct Upload {
    pipeline: &'static str,
    number: u64,
    arrives: i64,
    ends: i64,
    dies: bool,
}

fn upload(pipeline: &'static str, arrives: i64, ends: i64) -> Upload {
    Upload { pipeline, number: NUMBER, arrives, ends, dies: false }
}

fn before(pipeline: &'static str, arrives: i64, ends: i64) -> Upload {
    Upload { number: NUMBER - 1, ..upload(pipeline, arrives, ends) }
}

impl Upload {
    fn dies(self) -> Self {
        Self { dies: true, ..self }
    }

    fn row(&self) -> Row {
        let claim = Claim {
            key: key(self.pipeline, self.number),
            size: 1,
            digest: Digest(1),
            content_type: "video/mp4".into(),
            defects: Default::default(),
            region: Region::new("local").unwrap(),
            keep: Keep::Standing,
            create_only: false,
            arrived: Some(at(self.arrives)),
            passed: Box::default(),
        };
        match judge(None, &claim, Version(1), at(self.ends)) {
            Verdict::Store(row) => row,
            other => panic!("{other:?}"),
        }
    }
}

/// What `select` says at `now` of a history of uploads: the choice and how firm it is.
fn chosen(history: &[Upload], now: i64) -> (String, &'static str) {
    let rules = Rules {
        pipelines: ["a", "b", "c"].map(|name| Pipeline::new(name).unwrap()).into(),
        prefer_wait_ms: Millis(250),
        ..Document::default().rules
    };
    let rendition = Rendition::new("v").unwrap();
    let come = |upload: &&Upload| upload.arrives <= now;
    let stored = |number| {
        let whole = history.iter().filter(come).filter(|upload| upload.ends <= now && !upload.dies);
        whole.filter(|upload| upload.number == number).map(Upload::row).collect::<Vec<_>>()
    };
    let flying: Vec<Row> = history.iter().filter(come).filter(|upload| now < upload.ends).map(Upload::row).collect();
    let (rows, one, two) = (stored(NUMBER), stored(NUMBER - 1), stored(NUMBER - 2));
    let question = Question {
        rendition: &rendition,
        number: NUMBER,
        rules: &rules,
        masks: &[],
        rows: &rows,
        before: [&one, &two],
        deadline: at(5000),
        fenced: false,
    };
    let name = |row: &Row| row.key.pipeline.to_string();
    match select(&question, &flying, Now { wall: at(now), stamp: at(now) }) {
        Chosen::Follow(row) => (name(row), "follow"),
        Chosen::Hanging(row) => (name(row), "hanging"),
        Chosen::Settled(Selection::Closed(row)) => (name(row), "closed"),
        Chosen::Settled(Selection::Closing(_)) => (String::new(), "closing"),
        Chosen::Settled(Selection::Absent) => (String::new(), "absent"),
        Chosen::Settled(other) => panic!("nobody is unsound here: {other:?}"),
    }
}

fn is(pipeline: &str, word: &'static str) -> (String, &'static str) {
    (pipeline.to_owned(), word)
}

#[test]
fn an_upload_is_chosen_with_its_first_chunk_and_stays_when_it_is_whole() {
    let history = [before("a", 0, 10), before("b", 0, 10), upload("a", 100, 900), upload("b", 90, 800)];
    assert_eq!(chosen(&history, 99), is("", "closing"), "a is healthy and ranks first");
    assert_eq!(chosen(&history, 100), is("a", "follow"));
    assert_eq!(chosen(&history, 850), is("a", "follow"), "b is whole, and not the choice");
    assert_eq!(chosen(&history, 900), is("a", "closed"));
}

#[test]
fn an_upload_that_dies_never_was() {
    let history = [before("a", 0, 10), before("b", 0, 10), upload("a", 100, 900).dies(), upload("b", 120, 800)];
    assert_eq!(chosen(&history, 850), is("a", "follow"));
    assert_eq!(chosen(&history, 900), is("b", "closed"));
}

#[test]
fn of_two_in_flight_the_better_ranked_one_is_followed_if_it_comes_within_the_wait() {
    let healthy = [before("a", 0, 10), before("b", 0, 10)];
    let with = |a| [healthy.to_vec(), vec![upload("b", 100, 900), upload("a", a, 900)]].concat();
    assert_eq!(chosen(&with(340), 340), is("a", "follow"));
    assert_eq!(chosen(&with(351), 500), is("b", "follow"));
}

#[test]
fn a_choice_that_the_death_of_another_would_change_is_not_for_ever() {
    // c's first chunk starts the wait for a; without c it would last until 450 and a would be in time.
    let history = [before("a", 0, 10), upload("c", 100, 900), upload("b", 200, 300), upload("a", 400, 1000)];
    assert_eq!(chosen(&history, 360), is("b", "hanging"));
    let died = [before("a", 0, 10), upload("c", 100, 900).dies(), upload("b", 200, 300), upload("a", 400, 1000)];
    assert_eq!(chosen(&died, 360), is("b", "hanging"));
    assert_eq!(chosen(&died, 1000), is("a", "closed"));
    assert_eq!(chosen(&history, 1000), is("b", "closed"));
}

#[test]
fn a_choice_that_hangs_on_the_health_of_a_pipeline_in_flight_is_not_for_ever() {
    let history = [before("b", 0, 10), before("a", 20, 500), upload("b", 100, 110), upload("a", 200, 300)];
    assert_eq!(chosen(&history, 300), is("a", "hanging"), "if a's last upload dies, b had not to wait for it");
    assert_eq!(chosen(&history, 500), is("a", "closed"));
}

fn any_uploads(number: u64) -> impl Strategy<Value = Vec<Upload>> {
    let any = |pipeline: &'static str| {
        (any::<bool>(), 0i64..800, 1i64..800, any::<bool>()).prop_map(move |(there, arrives, takes, dies)| {
            there.then_some(Upload { pipeline, number, arrives, ends: arrives + takes, dies })
        })
    };
    (any("a"), any("b"), any("c")).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

fn any_history() -> impl Strategy<Value = Vec<Upload>> {
    (any_uploads(NUMBER), any_uploads(NUMBER - 1), any_uploads(NUMBER - 2))
        .prop_map(|(own, one, two)| [own, one, two].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_closed_choice_never_changes_whatever_dies(history in any_history(), early in 0i64..2500, wait in 0i64..2500) {
        let then = chosen(&history, early);
        if then.1 == "closed" {
            prop_assert_eq!(&chosen(&history, early + wait), &then);
            // A crash: nothing that was in flight comes to an end, and nothing comes after it.
            let survives = |upload: &&Upload| upload.ends <= early;
            let crashed: Vec<Upload> = history.iter().filter(survives).cloned().collect();
            prop_assert_eq!(&chosen(&crashed, early + wait), &then);
        }
    }

    #[test]
    fn a_choice_never_changes_if_nothing_dies(history in any_history(), early in 0i64..2500, wait in 0i64..2500) {
        let history: Vec<Upload> = history.into_iter().map(|upload| Upload { dies: false, ..upload }).collect();
        let (pipeline, _) = chosen(&history, early);
        if !pipeline.is_empty() {
            prop_assert_eq!(chosen(&history, early + wait).0, pipeline);
        }
    }

    #[test]
    fn once_all_uploads_have_ended_it_is_the_selection_among_those_that_live(history in any_history()) {
        let end = chosen(&history, END);
        let lived = history.iter().any(|upload| upload.number == NUMBER && !upload.dies);
        prop_assert_eq!(end.1, if lived { "closed" } else { "absent" });
    }

    #[test]
    fn only_what_is_in_flight_is_followed(history in any_history(), now in 0i64..2500) {
        if let (pipeline, "follow") = chosen(&history, now) {
            let is_flying = |upload: &&Upload| upload.number == NUMBER && (upload.arrives..upload.ends).contains(&now);
            let flying: Vec<&str> = history.iter().filter(is_flying).map(|upload| upload.pipeline).collect();
            prop_assert!(flying.contains(&&*pipeline));
        }
    }
}
