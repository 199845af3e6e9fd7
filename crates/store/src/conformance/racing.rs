//! Publishers at once: who wins, what the listener hears in which order, up to where the watermark goes.

use std::time::Duration;

use headwater_model::Timestamp;
use headwater_model::row::Object;

use super::{Subject, body, claim, segment};
use crate::Published;

/// When a publish returns, the listener has heard of it, and it hears rows in stamp order.
pub async fn the_listener_hears_before_the_publisher(subject: Subject) {
    let publishes = (0..64).map(|number| {
        let (store, heard) = (subject.store.clone(), subject.heard.clone());
        tokio::spawn(async move {
            let bytes = body(number, 2000);
            let claim = claim(segment("v", number, "a"), &bytes, store.stamp());
            let published = store.publish(claim, bytes).await.expect("the store takes the publish");
            let Published::Stored(row) = published else { panic!("not stored: {published:?}") };
            assert!(heard.rows().contains(&row), "answered before it was announced");
            assert!(row.published <= store.stamp(), "a stamp that was told lies in the past");
        })
    });
    for publish in publishes.collect::<Vec<_>>() {
        publish.await.expect("a publisher succeeds");
    }
    let stamps: Vec<Timestamp> = subject.heard.rows().iter().map(|row| row.published).collect();
    assert_eq!(stamps.len(), 64);
    assert!(stamps.is_sorted_by(|one, next| one < next), "stamps are announced in order and never twice");
}

/// Everything stamped up to the watermark has been announced, whenever one looks; and it only moves forward.
pub async fn the_watermark_never_passes_what_is_untold(subject: Subject) {
    let mut looks = Vec::new();
    let publishers: Vec<_> = (0..4u64)
        .map(|publisher| {
            let store = subject.store.clone();
            tokio::spawn(async move {
                for number in 0..50 {
                    let bytes = body(number, 500);
                    let claim = claim(segment("v", publisher * 1000 + number, "a"), &bytes, store.stamp());
                    store.publish(claim, bytes).await.expect("the store takes the publish");
                }
            })
        })
        .collect();
    while publishers.iter().any(|publisher| !publisher.is_finished()) {
        let settled = subject.store.settled();
        looks.push((settled, subject.heard.0.lock().len()));
        tokio::task::yield_now().await;
    }
    for publisher in publishers {
        publisher.await.expect("a publisher succeeds");
    }
    let rows = subject.heard.rows();
    assert!(looks.is_sorted_by_key(|(settled, _)| *settled), "the watermark ran backwards");
    for (settled, told) in looks {
        let late = rows[told..].iter().find(|row| row.published <= settled);
        assert_eq!(late, None, "the watermark {settled:?} had passed a row that was not announced");
    }
    let last = rows.last().map(|row| row.published);
    assert!(last.is_some_and(|last| subject.store.settled() >= last), "the watermark stands still");
}

/// Of several uploads of one candidate at once, one is stored and all others are told so.
pub async fn of_concurrent_publishers_of_one_candidate_one_wins(subject: Subject) {
    for number in 0..20 {
        let publishes = (0..4).map(|seed| {
            let store = subject.store.clone();
            tokio::spawn(async move {
                let bytes = body(seed % 2, 3000);
                let claim = claim(segment("v", number, "a"), &bytes, store.stamp());
                store.publish(claim, bytes).await.expect("the store takes the publish")
            })
        });
        let mut stored = Vec::new();
        let mut others = Vec::new();
        for publish in publishes.collect::<Vec<_>>() {
            match publish.await.expect("a publisher succeeds") {
                Published::Stored(row) => stored.push(row),
                Published::Same(row) | Published::Final(row) => others.push(row),
                Published::Exists(row) => panic!("nobody asked to create {row:?}"),
            }
        }
        assert_eq!((stored.len(), others.len()), (1, 3));
        assert!(others.iter().all(|row| *row == stored[0]), "all are told of the row that won");
    }
}

/// Dropping the future of a publish undoes nothing and unannounces nothing.
pub async fn a_publish_whose_caller_went_away_counts_whole_or_not_at_all(subject: Subject) {
    for number in 0..20 {
        let bytes = body(number, 5000);
        let claim = claim(segment("v", number, "a"), &bytes, subject.store.stamp());
        // A time-out of nothing polls the publish once and drops it.
        let _ = tokio::time::timeout(Duration::ZERO, subject.store.publish(claim, bytes)).await;
    }
    // An engine may decide what was asked for before after what is asked for now, but not for ever.
    subject.stored(segment("w", 0, "a"), &body(1, 10)).await;
    let rows = subject.listed_and_told("v").await;
    for row in rows {
        let Object::Segment { number, .. } = row.key.object else { panic!("not a segment") };
        assert_eq!(subject.read(&row).await.to_bytes(), body(number, 5000).to_bytes());
    }
}
