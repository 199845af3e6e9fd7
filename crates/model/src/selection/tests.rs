use super::*;
use crate::defect::{Defect, DefectKind, Defects};
use crate::document::Document;
use crate::row::{Digest, EventId, Keep, Key, Object, Version};
use crate::{Millis, Region};
use proptest::prelude::*;

fn name(pipeline: &str) -> Pipeline {
    Pipeline::new(pipeline).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A candidate of `pipeline`, first published at `first`, sound since `sound`; defective where that is `None`.
fn row(pipeline: &str, number: u64, first: i64, sound: Option<i64>, kinds: &[DefectKind]) -> Row {
    let defects: Defects = kinds.iter().map(|kind| Defect::new(*kind, &[])).collect();
    let rendition = Rendition::new("v").unwrap();
    Row {
        key: Key { event: EventId(1), object: Object::Segment { rendition, number }, pipeline: name(pipeline) },
        version: Version(first as u128),
        size: 1,
        digest: Digest(u128::from(number)),
        content_type: "video/mp4".into(),
        defects,
        region: Region::new("local").unwrap(),
        keep: Keep::Standing,
        first: at(first),
        sound: sound.map(at),
        published: at(sound.unwrap_or(first)),
        passed: Box::default(),
    }
}

fn sound(pipeline: &str, first: i64) -> Row {
    row(pipeline, 9, first, Some(first), &[])
}

fn bad(pipeline: &str, first: i64, kinds: &[DefectKind]) -> Row {
    row(pipeline, 9, first, None, kinds)
}

fn before(pipelines: &[&str]) -> Vec<Row> {
    pipelines.iter().map(|pipeline| row(pipeline, 8, 0, Some(0), &[])).collect()
}

/// Selects with prefer_wait 250 ms, defect_wait 1 s, pipelines a, b, c and a deadline of 5 s.
fn selected(rows: &[Row], healthy: &[Row], masks: &[Mask], stamp: i64) -> Result<(String, bool), i64> {
    let rules = Rules { pipelines: ["a", "b", "c"].map(name).into(), ..Document::default().rules };
    let rendition = Rendition::new("v").unwrap();
    let question = Question {
        rendition: &rendition,
        number: 9,
        rules: &rules,
        masks,
        rows,
        before: [healthy, &[]],
        deadline: at(5000),
        fenced: false,
    };
    let text = |row: &Row| row.key.pipeline.to_string();
    match select(&question, Now { wall: at(stamp), stamp: at(stamp) }) {
        Selection::Closed(row) => Ok((text(row), true)),
        Selection::Provisional(row) => Ok((text(row), false)),
        Selection::Absent => Err(0),
        Selection::Closing(until) | Selection::Hoping { until, .. } => Err(until.millis() as i64),
    }
}

fn closed(pipeline: &str) -> Result<(String, bool), i64> {
    Ok((pipeline.into(), true))
}

fn provisional(pipeline: &str) -> Result<(String, bool), i64> {
    Ok((pipeline.into(), false))
}

#[test]
fn the_best_ranked_sound_candidate_closes_the_choice_at_once() {
    assert_eq!(selected(&[sound("a", 100)], &before(&["a", "b"]), &[], 100), closed("a"));
}

#[test]
fn a_worse_ranked_one_waits_for_a_healthy_better_one() {
    let (rows, healthy) = ([sound("b", 100)], before(&["a", "b"]));
    assert_eq!(selected(&rows, &healthy, &[], 349), Err(350));
    assert_eq!(selected(&rows, &healthy, &[], 350), closed("b"));
}

#[test]
fn a_better_one_that_comes_within_the_wait_is_chosen() {
    let rows = [sound("b", 100), sound("a", 340)];
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 340), closed("a"));
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 339), Err(350));
}

#[test]
fn a_better_one_that_comes_after_the_close_changes_nothing() {
    let rows = [sound("b", 100), sound("a", 351)];
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 100_000), closed("b"));
}

#[test]
fn a_removed_candidate_is_not_waited_for_and_its_pipeline_was_healthy_all_the_same() {
    let removed = sound("a", 100).removed(Digest(0));
    assert_eq!(selected(&[removed.clone(), sound("b", 200)], &before(&["a", "b"]), &[], 200), closed("b"));
    assert_eq!(selected(&[removed], &before(&["a", "b"]), &[], 200), Err(0));
    let healthy: Vec<Row> = before(&["a", "b"]).iter().map(|row| row.removed(Digest(0))).collect();
    assert_eq!(selected(&[sound("b", 100)], &healthy, &[], 349), Err(350));
}

#[test]
fn nobody_waits_for_a_pipeline_that_is_not_healthy() {
    assert_eq!(selected(&[sound("b", 100)], &before(&["b"]), &[], 100), closed("b"));
    assert_eq!(selected(&[sound("c", 100)], &before(&["b"]), &[], 100), Err(350));
}

#[test]
fn at_the_first_segment_everybody_is_healthy() {
    assert_eq!(selected(&[sound("b", 100)], &[], &[], 100), Err(350));
}

#[test]
fn health_is_judged_when_the_first_sound_one_came() {
    let healthy = [row("b", 8, 0, Some(0), &[]), row("a", 8, 101, Some(101), &[])];
    assert_eq!(selected(&[sound("b", 100)], &healthy, &[], 200), closed("b"));
}

#[test]
fn a_better_one_that_is_defective_is_not_waited_for() {
    let rows = [bad("a", 50, &[DefectKind::Short]), sound("b", 100)];
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 100), closed("b"));
}

#[test]
fn a_defective_one_replaced_before_the_close_counts_from_then() {
    let rows = [row("a", 9, 50, Some(200), &[]), sound("b", 100)];
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 300), closed("b"), "a had published when b was sound");
}

#[test]
fn masked_candidates_are_dropped_and_not_waited_for() {
    let mask = Mask { id: 1, pipeline: name("a"), renditions: None, from: 9, to: Some(9), reason: String::new() };
    let rows = [sound("a", 90), sound("b", 100)];
    assert_eq!(selected(&rows, &before(&["a", "b"]), std::slice::from_ref(&mask), 100), closed("b"));
    assert_eq!(selected(&rows[..1], &before(&["a", "b"]), &[mask], 100), Err(0));
}

#[test]
fn the_least_bad_is_served_once_every_healthy_pipeline_has_published() {
    let rows = [bad("a", 100, &[DefectKind::Short, DefectKind::NoSync]), bad("b", 200, &[DefectKind::Short])];
    assert_eq!(selected(&rows[..1], &before(&["a", "b"]), &[], 150), Err(1100));
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 200), provisional("b"));
    let broken = [bad("a", 100, &[DefectKind::Malformed]), rows[0].clone()];
    assert_eq!(
        selected(&[broken[0].clone(), bad("b", 101, &[DefectKind::Short])], &before(&["a", "b"]), &[], 200),
        provisional("b")
    );
}

#[test]
fn equals_in_badness_go_by_rank() {
    let rows = [bad("b", 100, &[DefectKind::Short]), bad("a", 200, &[DefectKind::NoSync])];
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 200), provisional("a"));
}

#[test]
fn the_hope_for_a_better_one_ends_with_defect_wait_and_with_the_deadline() {
    let healthy = before(&["a", "b"]);
    assert_eq!(selected(&[bad("a", 100, &[DefectKind::Short])], &healthy, &[], 1100), provisional("a"));
    assert_eq!(selected(&[bad("a", 4900, &[DefectKind::Short])], &healthy, &[], 4950), Err(5000));
    assert_eq!(selected(&[bad("a", 4900, &[DefectKind::Short])], &healthy, &[], 5000), provisional("a"));
}

#[test]
fn a_sound_one_takes_the_place_of_a_provisional_choice() {
    let rows = [bad("a", 100, &[DefectKind::Short]), sound("b", 60_000)];
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 59_999), provisional("a"));
    assert_eq!(selected(&rows, &before(&["a", "b"]), &[], 60_000), closed("b"));
}

/// A row of segment `number`, with any of the stamps that a run can give it.
fn any_row(pipeline: &'static str, number: u64) -> impl Strategy<Value = Option<Row>> {
    (any::<bool>(), 0i64..1000, 0i64..1000, any::<bool>()).prop_map(move |(there, first, later, is_sound)| {
        let kinds: &[DefectKind] = if is_sound { &[] } else { &[DefectKind::Short] };
        there.then(|| row(pipeline, number, first, is_sound.then_some(first + later % 300), kinds))
    })
}

fn any_rows(number: u64) -> impl Strategy<Value = Vec<Row>> {
    let all = (any_row("a", number), any_row("b", number), any_row("c", number));
    all.prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

/// The records as they stood at `stamp`: what came later is not there, a replaced one is still defective.
fn as_of(rows: &[Row], stamp: i64) -> Vec<Row> {
    let known = rows.iter().filter(|row| row.first <= at(stamp)).cloned();
    known
        .map(|row| {
            let sound = row.sound.filter(|sound| *sound <= at(stamp));
            let defects = if sound.is_some() {
                row.defects.clone()
            } else {
                [Defect::new(DefectKind::Short, &[])].into_iter().collect()
            };
            Row { sound, defects, ..row }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_order_of_arrival_gives_the_same_choice(rows in any_rows(9), healthy in any_rows(8), stamp in 0i64..2500, turn in 0usize..3) {
        let mut turned = rows.clone();
        turned.rotate_left(turn.min(rows.len()));
        let mut healthy_turned = healthy.clone();
        healthy_turned.reverse();
        prop_assert_eq!(selected(&rows, &healthy, &[], stamp), selected(&turned, &healthy_turned, &[], stamp));
    }

    #[test]
    fn a_closed_choice_never_changes(rows in any_rows(9), healthy in any_rows(8), early in 0i64..2500, wait in 0i64..5000) {
        let then = selected(&as_of(&rows, early), &as_of(&healthy, early), &[], early);
        if let Ok((pipeline, true)) = then {
            let late = early + wait;
            let now = selected(&as_of(&rows, late), &as_of(&healthy, late), &[], late);
            prop_assert_eq!(now, closed(&pipeline));
        }
    }

    #[test]
    fn records_that_came_later_do_not_show(rows in any_rows(9), healthy in any_rows(8), stamp in 0i64..2500) {
        let then = selected(&as_of(&rows, stamp), &as_of(&healthy, stamp), &[], stamp);
        if matches!(then, Ok((_, true))) {
            prop_assert_eq!(selected(&rows, &healthy, &[], stamp), then);
        }
    }

    #[test]
    fn a_wait_ends(rows in any_rows(9), healthy in any_rows(8)) {
        let ends = Millis(10_000).0 as i64;
        let end = selected(&rows, &healthy, &[], ends);
        prop_assert_eq!(end.is_ok(), !rows.is_empty());
    }
}

/// As [`selected`], where other processes publish too.
fn fenced(rows: &[Row], masks: &[Mask]) -> (Selection<'static>, Vec<String>) {
    let rules = Rules { pipelines: ["a", "b", "c"].map(name).into(), ..Document::default().rules };
    let rendition = Rendition::new("v").unwrap();
    let question = Question {
        rendition: &rendition,
        number: 9,
        rules: &rules,
        masks,
        rows,
        before: [&[], &[]],
        deadline: at(5000),
        fenced: true,
    };
    match select(&question, Now { wall: at(4000), stamp: at(4000) }) {
        Selection::Closed(row) => {
            let above = overtaken(&question, row).map(ToString::to_string).collect();
            let row: &'static Row = Box::leak(Box::new(row.clone()));
            (Selection::Closed(row), above)
        }
        Selection::Absent => (Selection::Absent, vec![]),
        other => panic!("{other:?}"),
    }
}

/// The choice and who has to be passed over for it.
fn fenced_choice(rows: &[Row], masks: &[Mask]) -> Option<(String, Vec<String>)> {
    match fenced(rows, masks) {
        (Selection::Closed(row), above) => Some((row.key.pipeline.to_string(), above)),
        _ => None,
    }
}

fn choice(pipeline: &str, above: &[&str]) -> Option<(String, Vec<String>)> {
    Some((pipeline.to_owned(), above.iter().map(ToString::to_string).collect()))
}

#[test]
fn across_processes_the_best_ranked_counts_whenever_it_came_unless_it_was_passed_over() {
    let late = sound("a", 3000);
    assert_eq!(fenced_choice(&[late.clone(), sound("b", 100)], &[]), choice("a", &[]));
    let ahead = sound("a", 4500);
    assert_eq!(fenced_choice(&[ahead, sound("b", 100)], &[]), choice("a", &[]), "its process's clock is ahead of ours");
    let passed = late.passed_over(&name("b"));
    assert_eq!(fenced_choice(&[passed.clone(), sound("b", 100)], &[]), choice("b", &[]));
    assert_eq!(fenced_choice(std::slice::from_ref(&passed), &[]), None, "b is sound, and not known here yet");
    let b = Mask { id: 1, pipeline: name("b"), renditions: None, from: 0, to: None, reason: String::new() };
    assert_eq!(fenced_choice(&[passed.clone(), sound("b", 100)], &[b]), choice("a", &[]));
    let removed = sound("b", 100).removed(Digest(0));
    assert_eq!(fenced_choice(&[passed, removed], &[]), choice("a", &[]));
}

#[test]
fn whoever_ranks_above_the_choice_is_passed_over_for_it() {
    assert_eq!(fenced_choice(&[sound("c", 100)], &[]), choice("c", &["a", "b"]));
    let bad = bad("a", 50, &[DefectKind::Short]);
    assert_eq!(fenced_choice(&[bad.clone(), sound("c", 100)], &[]), choice("c", &["a", "b"]));
    let passed = bad.passed_over(&name("c"));
    let absent = Row::absent(sound("b", 1).key, Keep::Standing, passed.region.clone(), Digest(0), name("c"));
    assert_eq!(fenced_choice(&[passed, absent, sound("c", 100)], &[]), choice("c", &[]));
    let a = Mask { id: 1, pipeline: name("a"), renditions: None, from: 0, to: None, reason: String::new() };
    assert_eq!(fenced_choice(&[sound("c", 100)], &[a]), choice("c", &["b"]));
    let removed = sound("a", 1).removed(Digest(0));
    assert_eq!(fenced_choice(&[removed, sound("b", 100)], &[]), choice("b", &["a"]), "it may be published again");
}

#[test]
fn who_was_passed_over_tells_of_a_candidate_that_is_not_known_here() {
    let rules = Rules { pipelines: ["a", "b", "c"].map(name).into(), ..Document::default().rules };
    let rendition = Rendition::new("v").unwrap();
    let promised = |rows: &[Row], masks: &[Mask]| {
        let (number, before, deadline) = (9, [&[][..], &[]], at(5000));
        is_promised(&Question {
            rendition: &rendition,
            number,
            rules: &rules,
            masks,
            rows,
            before,
            deadline,
            fenced: true,
        })
    };
    let passed = bad("a", 50, &[DefectKind::Short]).passed_over(&name("b"));
    assert!(promised(std::slice::from_ref(&passed), &[]));
    assert!(!promised(&[passed.clone(), sound("b", 100)], &[]), "it is known");
    let b = Mask { id: 1, pipeline: name("b"), renditions: None, from: 0, to: None, reason: String::new() };
    assert!(!promised(&[passed], &[b]));
    assert!(!promised(&[bad("a", 50, &[DefectKind::Short])], &[]));
}
