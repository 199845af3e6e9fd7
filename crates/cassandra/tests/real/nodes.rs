//! What happens to publishes, reads and other processes while nodes die and freeze.

use std::sync::Arc;
use std::time::Duration;

use headwater_cassandra::{OpenError, Options};
use headwater_model::row::Row;
use headwater_store::conformance::{EVENT, Heard, body, claim, loose, segment};
use headwater_store::{Published, Store, StoreError};

use crate::support::{cluster, fresh, open, restart, run, session};

async fn try_publish(store: &dyn Store, number: u64) -> Result<Published, StoreError> {
    let bytes = body(number, 150_000);
    let claim = claim(segment("v", number, "a"), &bytes, store.stamp());
    store.publish(claim, bytes).await
}

async fn publish(store: &dyn Store, number: u64) -> Result<Row, StoreError> {
    match try_publish(store, number).await? {
        Published::Stored(row) => Ok(row),
        other => panic!("not stored: {other:?}"),
    }
}

async fn check(store: &dyn Store, rows: &[Row]) {
    for (number, row) in rows.iter().enumerate() {
        let (read, _) = store.read(row, 0..row.size).await.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(read.to_bytes(), body(number as u64, 150_000).to_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_fails_no_publish_and_loses_nothing() {
    let options = Options { window_bytes: 0, dvr_bytes: 0, ..fresh().await };
    let store = open(&options, Arc::new(Heard::default())).await;
    let mut rows = Vec::new();
    for number in 0..60 {
        if number == 20 {
            cluster().kill("3").expect("a node that runs");
        }
        rows.push(publish(&*store, number).await.unwrap_or_else(|error| panic!("{number}: {error}")));
    }
    check(&*store, &rows).await;
    restart();
    // Of what it missed it has hints or nothing: a quorum has all of it whichever other node is away.
    cluster().kill("2").expect("a node that runs");
    let again = open(&options, Arc::new(Heard::default())).await;
    check(&*again, &rows).await;
    assert_eq!(again.usage(&[EVENT]).objects, 60);
    restart();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_stored_and_later_everything_is() {
    let heard = Arc::new(Heard::default());
    let patient = fresh().await;
    let options = Options { publish_budget: Duration::from_secs(3), ..patient };
    let store = open(&options, heard.clone()).await;
    publish(&*store, 0).await.expect("the store takes the publish");
    ["2", "3"].into_iter().for_each(|node| cluster().kill(node).expect("a node that runs"));
    match publish(&*store, 1).await {
        Err(StoreError::Unavailable(told)) => assert!(told.contains("Cassandra nodes"), "{told}"),
        other => panic!("{other:?}"),
    }
    restart();
    // Until the driver has found the nodes again. What was refused may have been stored after all; then it is told.
    let mut tries = 0;
    loop {
        match try_publish(&*store, 2).await {
            Ok(Published::Stored(_) | Published::Same(_)) => break,
            Ok(other) => panic!("not stored: {other:?}"),
            Err(error) => assert!(tries < 60, "{error}"),
        }
        tries += 1;
    }
    assert_eq!(store.entries().await, Ok(vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_finds_at_its_start_is_what_was_stored() {
    let options = Options { window_bytes: 0, dvr_bytes: 0, ..fresh().await };
    let store = open(&options, Arc::new(Heard::default())).await;
    let mut rows = Vec::new();
    for number in 0..5 {
        rows.push(publish(&*store, number).await.expect("the store takes the publish"));
    }
    let (usage, last) = (store.usage(&[EVENT]), rows[4].published);
    drop(store);
    let heard = Arc::new(Heard::default());
    let again = open(&options, heard.clone()).await;
    assert_eq!(again.usage(&[EVENT]), usage);
    assert_eq!(again.standing(EVENT, 2).await.expect("standing rows"), rows[3..]);
    assert!(again.stamp() > last, "stamps never run backwards");
    check(&*again, &rows).await;
    assert_eq!(heard.all(), [], "what was told before is not told again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_and_records_of_segments_expire_by_themselves() {
    let options = fresh().await;
    let store = open(&options, Arc::new(Heard::default())).await;
    publish(&*store, 0).await.expect("the store takes the publish");
    let session = session().await;
    let ttl = async |what: &str, table: &str| {
        let question = format!("SELECT TTL({what}) FROM {}_{table}", options.keyspace);
        let rows = run(&session, &question, ()).await.into_rows_result().expect("rows");
        let (ttl,) = rows.first_row::<(Option<i32>,)>().expect("a row");
        ttl.unwrap_or_else(|| panic!("{table} never expires"))
    };
    let (row, chunk) = (ttl("row", "control.rows").await, ttl("bytes", "media.chunks").await);
    // Never among those that expire: one that stays would keep their files.
    let bytes = body(1, 1000);
    store.publish(claim(loose("x.mpd", "a"), &bytes, store.stamp()), bytes).await.expect("the store takes the publish");
    for (table, expire) in [("chunks", true), ("standing", false)] {
        let question = format!("SELECT TTL(bytes) FROM {}_media.{table}", options.keyspace);
        let rows = run(&session, &question, ()).await.into_rows_result().expect("rows");
        let ttls: Vec<_> = rows.rows::<(Option<i32>,)>().expect("rows").map(|row| row.expect("a row").0).collect();
        assert!(!ttls.is_empty() && ttls.iter().all(|ttl| ttl.is_some() == expire), "{table}: {ttls:?}");
    }
    // An hour, and the grace of two minutes.
    assert!((3600..=3721).contains(&row), "{row}");
    assert!(chunk > row, "a chunk outlives its record: {chunk} and {row}");
}

#[tokio::test]
async fn what_cannot_be_opened_says_what_to_do() {
    let options = fresh().await;
    let wrong = [
        Options { keyspace: "Live-7".into(), ..options.clone() },
        Options { replication: vec![("dc1'".into(), 3)], ..options.clone() },
        Options { contact_points: Vec::new(), ..options.clone() },
    ];
    for (options, field) in wrong.into_iter().zip(["keyspace", "replication", "contact_points"]) {
        let clock = Arc::new(headwater_store::stamp::SystemClock::default());
        let opened = headwater_cassandra::Cassandra::open(options, clock, Arc::new(Heard::default())).await;
        match opened.map(drop) {
            Err(error @ OpenError::Option { .. }) => assert!(error.to_string().contains(field), "{error}"),
            other => panic!("{other:?}"),
        }
    }
}
