//! Many viewers at once.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::shield::{KINDS, Kind, Shield};
use crate::support::event::NEXT;
use crate::support::{self, Event, eventually, get, let_pass, put};
use crate::{event_at, metric, now_ms, origin};

/// The origin's answers so far.
const ANSWERS: &str = "headwater_responses_total{listener=\"deliver\"";
/// Those that it holds now.
const HELD: &str = "headwater_held_requests ";

/// A segment of video.
fn media() -> Vec<u8> {
    support::media::segment(&support::media::rendition("v360"), NEXT)
}

#[test]
fn a_crowd_costs_one_held_request() {
    const CROWD: usize = 100;
    let (server, media) = (origin(), media());
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let name = format!("{kind:?}").to_lowercase();
        let event = event_at(&server, &name, now_ms() - 60_000 - 1_000, 4_000);
        let next = u64::try_from((now_ms() - event.expected_ms(0)) / 4_000 + 1).expect("after its start");
        event.put("a", next - 1, "before").expect(201);
        let before = metric(&server, ANSWERS);
        let replies: Vec<_> = std::thread::scope(|scope| {
            let ask = || get(shield.segment(&event, next));
            let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(ask)).collect();
            eventually("one is held", || (metric(&server, HELD) == 1.0).then_some(()));
            // All others have come to the cache too.
            let_pass(Duration::from_millis(700));
            assert_eq!(metric(&server, HELD), 1.0, "{kind:?}");
            put(event.candidate("a", next), &media[..]).expect(201);
            crowd.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        assert!(replies.iter().all(|reply| reply.status == 200 && reply.body == media), "{kind:?}");
        assert_eq!(metric(&server, ANSWERS) - before, 1.0, "{kind:?}: requests at the origin");
    }
}

#[test]
fn a_crowd_that_waits_for_a_late_segment_costs_one_held_request_at_a_time() {
    const CROWD: usize = 40;
    let (server, media) = (origin(), media());
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        // Held for a second, then 404 with `max-age=0`; the segment comes in the fourth hold or so.
        let changes = json!({"pipelines": ["a"], "hold_max_ms": 1_000, "retry_deadline_ms": 60_000});
        let event = Event::new(&server, &format!("{kind:?}.late").to_lowercase(), changes);
        event.put("a", NEXT - 1, "before").expect(201);
        let before = metric(&server, ANSWERS);
        let viewer = || {
            eventually("the segment", || {
                let reply = get(shield.segment(&event, NEXT));
                (reply.status == 200).then_some(reply.body)
            })
        };
        let most_held = std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(viewer)).collect();
            let (started, mut most) = (Instant::now(), 0.0_f64);
            while started.elapsed() < Duration::from_millis(3_500) {
                most = most.max(metric(&server, HELD));
                let_pass(Duration::from_millis(50));
            }
            put(event.candidate("a", NEXT), &media[..]).expect(201);
            assert!(crowd.into_iter().all(|one| one.join().expect("an answer") == media), "{kind:?}");
            most
        });
        let asked = metric(&server, ANSWERS) - before;
        println!("{kind:?}: {CROWD} viewers of a late segment cost {asked} requests, {most_held} held at once");
        // Once an answer that may not be kept has come, Traffic Server has all who waited ask for themselves.
        let is_collapsed = !matches!(kind, Kind::TrafficServer);
        assert!(
            !is_collapsed || (most_held <= 2.0 && asked <= 8.0),
            "{kind:?}: {asked} requests, {most_held} held at once"
        );
    }
}
