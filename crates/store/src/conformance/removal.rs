//! What is removed, and what is counted.

use headwater_model::row::{EventId, Key};

use super::{EVENT, Subject, body, loose, segment};
use crate::StoreError;
use crate::slab::Body;

/// A removed segment is no candidate and has no bytes; anything may be published in its place.
pub async fn of_a_removed_segment_nothing_but_its_first_stamp_stays(subject: Subject) {
    let key = segment("v", 1, "a");
    subject.store.remove(key.clone()).await.expect("removing nothing succeeds");
    assert_eq!(subject.all_rows("v").await, [], "and leaves nothing");
    let was = subject.stored(key.clone(), &body(1, 5000)).await;
    let other = subject.stored(segment("v", 1, "b"), &body(2, 100)).await;
    for _ in 0..2 {
        subject.store.remove(key.clone()).await.expect("removing twice succeeds");
    }
    let left = was.removed(Body::default().digest());
    assert_eq!(subject.all_rows("v").await, [left.clone(), other]);
    assert_eq!(subject.heard.rows().last(), Some(&left));
    assert_eq!(subject.heard.all().len(), 3, "what changed nothing is not announced");
    assert!(matches!(subject.store.read(&was, 0..was.size).await, Err(StoreError::Gone)));
    assert!(subject.store.hot(&was).is_none());
    let again = subject.stored(key, &body(3, 700)).await;
    assert_eq!((again.first, again.sound), (was.first, Some(again.published)));
    assert_eq!(subject.read(&again).await.to_bytes(), body(3, 700).to_bytes());
}

/// What is replaced, refused or removed does not count, nor what belongs to another event.
pub async fn usage_counts_what_is_there_once(subject: Subject) {
    let usage = || {
        let usage = subject.store.usage(&[EVENT, EventId(8)]);
        (usage.objects, usage.bytes)
    };
    assert_eq!(usage(), (0, 0));
    subject.stored(loose("m", "a"), &body(1, 100)).await;
    subject.stored(loose("m", "a"), &body(2, 300)).await;
    subject.stored(segment("v", 1, "a"), &body(3, 50)).await;
    subject.publish(segment("v", 1, "a"), &body(4, 70)).await;
    subject.stored(segment("v", 1, "b"), &body(5, 7)).await;
    let other = Key { event: EventId(9), ..loose("m", "a") };
    subject.stored(other, &body(6, 1000)).await;
    assert_eq!(usage(), (3, 357));
    subject.store.remove(segment("v", 1, "a")).await.expect("removing succeeds");
    subject.store.remove(loose("m", "a")).await.expect("removing succeeds");
    assert_eq!(usage(), (1, 7));
}
