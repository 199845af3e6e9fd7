use headwater_model::Millis;

use crate::fault::Fault;
use crate::testing::{FIRST, World};

#[tokio::test]
async fn the_init_segment_comes_first_then_every_segment_at_its_time() {
    let world = World::start(&["a"], &["v180"], |_| 201);
    world.acknowledged("a", 1).await;
    for (done, number) in (FIRST..FIRST + 3).enumerate() {
        world.go_to(number);
        world.acknowledged("a", done as u64 + 2).await;
    }
    assert_eq!(world.paths("a"), ["v180/init.mp4", "v180/1000.m4s", "v180/1001.m4s", "v180/1002.m4s"]);
}

#[tokio::test]
async fn nothing_is_published_before_its_time() {
    let world = World::start(&["a"], &["v180"], |_| 201);
    world.acknowledged("a", 1).await;
    world.clock.go_to(world.rig.document().expected(FIRST));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.paths("a").len(), 1);
}

#[tokio::test]
async fn a_killed_pipeline_is_silent_and_joins_at_the_live_edge_again() {
    let world = World::start(&["a", "b"], &["v180"], |_| 201);
    let a = world.rig.pipeline("a").unwrap();
    world.acknowledged("a", 1).await;
    world.acknowledged("b", 1).await;
    a.kill();
    assert!(!a.status().alive);
    for number in FIRST..FIRST + 5 {
        world.go_to(number);
        world.acknowledged("b", number - FIRST + 2).await;
    }
    a.revive();
    world.acknowledged("a", 2).await;
    world.go_to(FIRST + 5);
    world.acknowledged("a", 3).await;
    assert_eq!(world.paths("a"), ["v180/init.mp4", "v180/init.mp4", "v180/1005.m4s"]);
    assert_eq!(a.status().tally.last_number, Some(FIRST + 5));
}

#[tokio::test]
async fn after_a_pause_of_the_machine_no_old_segment_is_published() {
    let world = World::start(&["a"], &["v180"], |_| 201);
    world.acknowledged("a", 1).await;
    world.go_to(FIRST);
    world.acknowledged("a", 2).await;
    world.go_to(FIRST + 20);
    world.until(|rig| rig.status().pipelines[0].tally.last_number >= Some(FIRST + 20)).await;
    let paths = world.paths("a");
    assert!(paths.len() <= 4 && paths.contains(&"v180/1020.m4s".to_owned()), "{paths:?}");
    assert!(world.rig.status().pipelines[0].tally.skipped >= 18);
}

#[tokio::test]
async fn damage_hits_the_next_segments_of_every_rendition_and_ends() {
    let world = World::start(&["a"], &["v180", "audio"], |_| 201);
    world.acknowledged("a", 2).await;
    world.rig.pipeline("a").unwrap().damage(Fault::Missing, Some(2));
    for number in FIRST..FIRST + 2 {
        world.go_to(number);
        world.until(|rig| rig.status().pipelines[0].tally.withheld == 2 * (number - FIRST + 1)).await;
    }
    world.go_to(FIRST + 2);
    world.acknowledged("a", 4).await;
    let mut paths = world.paths("a");
    paths.sort();
    assert_eq!(paths, ["audio/1002.m4s", "audio/init.mp4", "v180/1002.m4s", "v180/init.mp4"]);
    assert_eq!(world.rig.status().pipelines[0].damage, None);
}

#[tokio::test]
async fn a_late_segment_does_not_hold_up_the_next() {
    let world = World::start(&["a"], &["v180"], |_| 201);
    world.acknowledged("a", 1).await;
    world.rig.pipeline("a").unwrap().damage(Fault::Late(Millis(3000)), Some(1));
    world.go_to(FIRST);
    // Told apart from a segment that is merely slow: its successor is through first.
    world.until(|rig| rig.status().pipelines[0].damage.is_none()).await;
    world.go_to(FIRST + 1);
    world.acknowledged("a", 2).await;
    world.go_to(FIRST + 2);
    world.acknowledged("a", 4).await;
    let mut paths = world.paths("a");
    assert_eq!(paths[1], "v180/1001.m4s");
    paths.sort();
    assert_eq!(paths[..3], ["v180/1000.m4s", "v180/1001.m4s", "v180/1002.m4s"]);
}

#[tokio::test]
async fn a_truncated_upload_never_arrives_whole() {
    let world = World::start(&["a"], &["v180"], |_| 201);
    world.acknowledged("a", 1).await;
    world.rig.pipeline("a").unwrap().damage(Fault::Truncated, Some(1));
    world.go_to(FIRST);
    world.until(|rig| rig.status().pipelines[0].tally.unanswered >= 1).await;
    world.go_to(FIRST + 1);
    world.acknowledged("a", 2).await;
    assert_eq!(world.paths("a"), ["v180/init.mp4", "v180/1001.m4s"]);
    while !world.seen().iter().any(|seen| seen.path.ends_with("/1000.m4s") && seen.bytes.is_none()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_refusal_is_counted_and_given_up() {
    let world = World::start(&["a"], &["v180"], |seen| if seen.path.ends_with(".m4s") { 409 } else { 201 });
    world.acknowledged("a", 1).await;
    world.go_to(FIRST);
    world.until(|rig| rig.status().pipelines[0].tally.given_up == 1).await;
    let status = world.rig.pipeline("a").unwrap().status();
    assert_eq!((status.tally.answers[&409], status.tally.last_number), (1, None));
    assert!(status.tally.last_error.unwrap().starts_with("409"));
}
