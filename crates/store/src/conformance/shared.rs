//! What must hold where several processes have one store open: `conformance::run_shared(make)`. Each property gets two
//! handles, with a listener each, on one fresh, empty store. What one was told is durable the other can list and read
//! at once; its listener hears of it soon after.

use std::sync::Arc;

use headwater_model::event::{Counters, Entry, Event};
use headwater_model::row::Row;

use super::{EVENT, Heard, LOOKS_MAX, Subject, body, claim, defective, event, loose, segment};
use crate::slab::Body;
use crate::{Listener, Notice, Published, Store, StoreError};

/// Runs every property, each on a store of its own that two handles share.
pub async fn run(make: impl AsyncFn([Arc<dyn Listener>; 2]) -> [Arc<dyn Store>; 2]) {
    let fresh = async || {
        let heard = [Arc::new(Heard::default()), Arc::new(Heard::default())];
        let [one, two] = make([heard[0].clone(), heard[1].clone()]).await;
        let [first, second] = heard;
        [Subject { store: one, heard: first }, Subject { store: two, heard: second }]
    };
    what_one_has_stored_the_other_has_at_once(fresh().await).await;
    what_one_has_removed_the_other_has_not(fresh().await).await;
    of_two_who_publish_one_candidate_at_once_one_wins(fresh().await).await;
    each_listener_hears_everything_once(fresh().await).await;
    of_two_who_write_an_entry_at_once_one_conflicts(fresh().await).await;
    a_replacement_is_judged_by_what_the_other_stored(fresh().await).await;
}

/// Read-your-write, whoever wrote.
pub async fn what_one_has_stored_the_other_has_at_once([one, two]: [Subject; 2]) {
    for number in 0..10 {
        let bytes = body(number, 100_000);
        let row = one.stored(segment("v", number, "a"), &bytes).await;
        assert_eq!(two.all_rows("v").await.last(), Some(&row));
        assert_eq!(two.read(&row).await.to_bytes(), bytes.to_bytes());
        heard(&two, "a row", |notice| *notice == Notice::Published(row.clone())).await;
        assert!(row.published <= two.store.stamp(), "a stamp that was heard lies in the past");
    }
}

/// A removal counts everywhere.
pub async fn what_one_has_removed_the_other_has_not([one, two]: [Subject; 2]) {
    let (key, manifest) = (segment("v", 1, "a"), loose("x.mpd", "a"));
    let row = one.stored(key.clone(), &body(1, 5000)).await;
    let loose = one.stored(manifest.clone(), &body(2, 500)).await;
    heard(&two, "a manifest", |notice| *notice == Notice::Published(loose.clone())).await;
    two.store.remove(key).await.expect("removing succeeds");
    two.store.remove(manifest.clone()).await.expect("removing succeeds");
    let left = row.removed(Body::default().digest());
    assert_eq!(one.all_rows("v").await, std::slice::from_ref(&left));
    heard(&one, "a removed segment", |notice| *notice == Notice::Published(left.clone())).await;
    heard(&one, "a removed manifest", |notice| *notice == Notice::Removed(manifest.clone())).await;
    assert_eq!(one.store.standing(EVENT, 0).await, Ok(vec![]));
    assert_eq!(one.store.read(&row, 0..row.size).await.err(), Some(StoreError::Gone));
    assert!(one.store.hot(&row).is_none());
}

/// Finality: what a node was told is stored never gives way to what another one publishes at the same moment.
pub async fn of_two_who_publish_one_candidate_at_once_one_wins([one, two]: [Subject; 2]) {
    for number in 0..20 {
        let publishes = [&one, &two].map(|subject| {
            let store = subject.store.clone();
            let bytes = body(number % 3 + store.stamp().nanos() as u64, 3000);
            tokio::spawn(async move {
                let claim = claim(segment("v", number, "a"), &bytes, store.stamp());
                store.publish(claim, bytes).await.expect("the store takes the publish")
            })
        });
        let (mut stored, mut others) = (Vec::new(), Vec::new());
        for publish in publishes {
            match publish.await.expect("a publisher succeeds") {
                Published::Stored(row) => stored.push(row),
                Published::Same(row) | Published::Final(row) => others.push(row),
                Published::Exists(row) => panic!("nobody asked to create {row:?}"),
            }
        }
        assert_eq!((stored.len(), &others), (1, &stored), "one is stored, and the other is told of it");
    }
    let rows = one.all_rows("v").await;
    assert_eq!((rows.len(), &rows), (20, &two.all_rows("v").await));
}

/// Both publish side by side; each hears all of it, its own in the order of stamps.
pub async fn each_listener_hears_everything_once([one, two]: [Subject; 2]) {
    let publishes = (0..40).map(|number| {
        let store = [&one, &two][number as usize % 2].store.clone();
        tokio::spawn(async move {
            let bytes = body(number, 2000);
            let claim = claim(segment("v", number, "a"), &bytes, store.stamp());
            store.publish(claim, bytes).await.expect("the store takes the publish")
        })
    });
    for publish in publishes.collect::<Vec<_>>() {
        assert!(matches!(publish.await, Ok(Published::Stored(_))));
    }
    let (first, second) = (one.listed_and_told("v").await, two.listed_and_told("v").await);
    assert_eq!((first.len(), &first), (40, &second));
}

/// An entry is written only over the revision that its writer knew, wherever it was written.
pub async fn of_two_who_write_an_entry_at_once_one_conflicts([one, two]: [Subject; 2]) {
    let alive = event(EVENT, "game", Counters::default());
    let mut last = 0;
    for rev in 1..=5 {
        let entry = Entry::Alive(Box::new(Event { rev, ..alive.clone() }));
        let (first, second) =
            tokio::join!(one.store.write_entry(entry.clone(), last), two.store.write_entry(entry.clone(), last));
        let conflicts = [first, second].into_iter().filter_map(Result::err).collect::<Vec<_>>();
        // Of two equal entries both may be told that theirs stands.
        assert!(conflicts.is_empty() || conflicts == [StoreError::Conflict { current: rev }], "{conflicts:?}");
        let other = Entry::Alive(Box::new(Event { rev: rev + 10, ..alive.clone() }));
        assert_eq!(two.store.write_entry(other, last).await, Err(StoreError::Conflict { current: rev }));
        for subject in [&one, &two] {
            assert_eq!(subject.store.entries().await, Ok(vec![entry.clone()]));
            heard(subject, "an entry", |notice| *notice == Notice::Entry(entry.clone())).await;
        }
        last = rev;
    }
}

/// A defective candidate of one gives way to a sound one of the other, and keeps its first stamp.
pub async fn a_replacement_is_judged_by_what_the_other_stored([one, two]: [Subject; 2]) {
    let (bad, good) = (body(1, 1000), body(2, 2000));
    let claim = defective(claim(segment("v", 1, "a"), &bad, one.store.stamp()));
    let Published::Stored(was) = one.publish_as(claim, &bad).await else { panic!("not stored") };
    let row: Row = two.stored(segment("v", 1, "a"), &good).await;
    assert_eq!((row.first, row.sound), (was.first, Some(row.published)));
    assert!(row.published > was.published);
    assert_eq!(one.publish(segment("v", 1, "a"), &bad).await, Published::Final(row.clone()));
    assert_eq!(one.all_rows("v").await, [row]);
}

/// Waits until `subject` has heard what `is` says.
async fn heard(subject: &Subject, what: &str, is: impl Fn(&Notice) -> bool) {
    for _ in 0..LOOKS_MAX {
        if subject.heard.all().iter().any(&is) {
            return;
        }
        // Takes a moment, in which the store looks for itself.
        let _ = subject.store.entries().await;
        tokio::task::yield_now().await;
    }
    panic!("{what} was not heard of: {:#?}", subject.heard.all());
}
