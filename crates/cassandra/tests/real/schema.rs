//! The schema is made once, whoever comes first, and only used by builds that know it.

use std::sync::Arc;

use futures_util::future::join_all;
use headwater_cassandra::survey::{Mend, Progress, Rate, Survey};
use headwater_cassandra::{Cassandra, OpenError, Options, init};
use headwater_model::event::{Counters, Entry};
use headwater_model::row::{Key, Row};
use headwater_store::conformance::{EVENT, Heard, body, claim, event, loose, segment};
use headwater_store::stamp::SystemClock;
use headwater_store::{Published, Store};
use scylla::client::session::Session;
use scylla::value::{CqlValue, Row as CqlRow};

use crate::support::{self, cluster, fresh, restart, session};

const KEYSPACE: &str = "test_schema";

struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _what: &'static str, _steps: u64) {}
    fn done(&self, _steps: u64) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_made_once_and_only_used_by_builds_that_know_it() {
    restart();
    let options = Options::new(cluster().contact_points("dc1"), "dc1");
    let options = Options { keyspace: KEYSPACE.into(), ..options };
    let session = session().await;
    let drop = async || {
        for plane in ["control", "media"] {
            let statement = format!("DROP KEYSPACE IF EXISTS {KEYSPACE}_{plane}");
            support::run(&session, &statement, ()).await;
        }
    };
    drop().await;
    let clock = || Arc::new(SystemClock::default());
    let looked = Survey::open(options.clone(), Rate::default(), clock(), Arc::new(Quiet)).await.map(|_| ());
    assert!(matches!(looked, Err(OpenError::Nothing { .. })), "a look makes nothing: {looked:?}");

    let made = join_all((0..4).map(|_| init(&options))).await;
    let made: Vec<_> = made.into_iter().map(|made| made.expect("all succeed")).collect();
    assert!(made.iter().all(|schema| schema.version == 3 && schema.unlike.is_empty()), "{made:?}");
    let all = made.iter().flat_map(|schema| schema.made.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(all.len(), 11, "two keyspaces and nine tables: {all:?}");
    let again = init(&options).await.expect("it is there");
    assert!(again.made.is_empty(), "{again:?}");

    let two = Options { replication: vec![("dc1".into(), 2)], ..options.clone() };
    let unlike = init(&two).await.expect("nothing is changed").unlike;
    assert_eq!(unlike.len(), 2);
    assert_eq!((&*unlike[0].stands["dc1"], &*unlike[0].wanted["dc1"]), ("3", "2"));
    assert!(unlike[0].alter.starts_with("ALTER KEYSPACE test_schema_control WITH"), "{unlike:?}");

    let version =
        |version: i32| format!("UPDATE {KEYSPACE}_control.\"schema\" SET version = {version} WHERE part = 'store'");
    support::run(&session, &version(2), ()).await;
    let refused = Cassandra::open(options.clone(), clock(), Arc::new(Heard::default())).await.map(|_| ());
    assert!(matches!(refused, Err(OpenError::Earlier { version: 2 })), "{refused:?}");
    let both = Options { replication: vec![("dc1".into(), 3), ("dc2".into(), 0)], ..options.clone() };
    let brought = init(&both).await.expect("it is brought there");
    assert_eq!((brought.version, brought.migrated, brought.unlike.len()), (3, 0, 0));
    support::run(&session, &version(4), ()).await;
    let opened = Cassandra::open(options.clone(), clock(), Arc::new(Heard::default())).await.map(|_| ());
    let looked = Survey::open(options.clone(), Rate::default(), clock(), Arc::new(Quiet)).await.map(|_| ());
    for refused in [opened, looked, init(&options).await.map(|_| ())] {
        match refused {
            Err(error @ OpenError::Later { version: 4 }) => {
                assert!(error.to_string().contains("newer build"), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
    drop().await;
}

/// Publishes 1000 bytes as each of `keys`.
async fn stored<const N: usize>(store: &Cassandra, keys: [Key; N]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, key) in keys.into_iter().enumerate() {
        let bytes = body(number as u64, 1000);
        match store.publish(claim(key, &bytes, store.stamp()), bytes).await.expect("it is stored") {
            Published::Stored(row) => rows.push(row),
            other => panic!("{other:?}"),
        }
    }
    rows
}

/// Writes what is recorded as another datacentre would have, or an earlier version: under the name that `of` makes of each.
async fn rename(session: &Session, keyspace: &str, of: fn(&str) -> String) {
    let run = async |statement: String| support::run(session, &statement, ()).await;
    let tables =
        [("rows", "event, shelf, number, name, pipeline, row", 4), ("events", "tenant, name, rev, entry, ended", 1)];
    for (table, columns, name) in tables {
        let all =
            run(format!("SELECT {columns} FROM {keyspace}_control.{table}")).await.into_rows_result().expect("rows");
        let all: Vec<CqlRow> = all.rows::<CqlRow>().expect("rows").map(|row| row.expect("a row")).collect();
        run(format!("TRUNCATE {keyspace}_control.{table}")).await;
        let marks = vec!["?"; columns.split(", ").count()].join(", ");
        let insert = format!("INSERT INTO {keyspace}_control.{table} ({columns}) VALUES ({marks}) USING TTL 5000");
        for CqlRow { mut columns } in all {
            let Some(CqlValue::Text(text)) = &columns[name] else { panic!("{columns:?}") };
            columns[name] = Some(CqlValue::Text(of(text.split_once('@').expect("a datacentre").0)));
            support::run(session, &insert, columns).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datacentre_that_was_given_up_counts_while_it_is_named() {
    let options = fresh().await;
    let open = async |options: &Options| support::open(options, Arc::new(Heard::default())).await;
    let store = open(&options).await;
    let entry = Entry::Alive(Box::new(event(EVENT, "game", Counters::default())));
    store.write_entry(entry.clone(), 0).await.expect("an event");
    let rows = stored(&store, [segment("v", 7, "a"), loose("x.mpd", "a")]).await;
    drop(store);
    rename(&session().await, &options.keyspace, |name| format!("{name}@dc2")).await;
    let survey = async |options: &Options| {
        let clock = Arc::new(SystemClock::default());
        Survey::open(options.clone(), Rate::default(), clock, Arc::new(Quiet)).await.expect("it connects")
    };

    let store = open(&options).await;
    assert_eq!(store.entries().await, Ok(vec![]));
    assert_eq!(store.standing(EVENT, 9).await, Ok(vec![]));
    drop(store);
    let mend = Mend { drop_lost: true, ..Mend::default() };
    let refused = survey(&options).await.repair(false, mend).await.map(drop);
    assert!(refused.as_ref().is_err_and(|error| error.to_string().contains("store.replication")), "{refused:?}");

    let both = Options { replication: vec![("dc1".into(), 3), ("dc2".into(), 0)], ..options.clone() };
    let store = open(&both).await;
    assert_eq!(store.entries().await, Ok(vec![entry.clone()]));
    let mut standing = store.standing(EVENT, 9).await.expect("records");
    standing.sort_by_key(|row| row.published);
    assert_eq!(standing, rows);
    for row in &rows {
        assert_eq!(store.read(row, 0..row.size).await.expect("its bytes").0.len(), 1000);
    }
    let changed = Entry::Alive(Box::new(event(EVENT, "game", entry.counters())));
    store.write_entry(changed.clone(), entry.counters().rev).await.expect("it can be changed");
    assert_eq!(store.entries().await, Ok(vec![changed]));
    let report = survey(&both).await.check(true).await.expect("the cluster answers");
    assert!(report.whole && report.findings.is_empty(), "{report:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_the_first_version_is_brought_to_this_one() {
    let options = fresh().await;
    let keyspace = &options.keyspace;
    let (session, clock) = (session().await, || Arc::new(SystemClock::default()));
    let open = async || Cassandra::open(options.clone(), clock(), Arc::new(Heard::default())).await;
    let store = open().await.expect("it opens");
    let counters = Counters { rev: 1, cache_version: 1 };
    let entry = Entry::Alive(Box::new(event(EVENT, "game", counters)));
    store.write_entry(entry.clone(), 0).await.expect("an event");
    let rows = stored(&store, [segment("v", 7, "a"), segment("v", 7, "b"), loose("x.mpd", "a")]).await;
    std::mem::drop(store);
    rename(&session, keyspace, |name| name.to_owned()).await;
    let run = async |statement: String| support::run(&session, &statement, ()).await;
    run(format!("UPDATE {keyspace}_control.\"schema\" SET version = 1 WHERE part = 'store'")).await;

    let refused = open().await.map(drop);
    assert!(
        matches!(&refused, Err(error @ OpenError::Earlier { version: 1 }) if error.to_string().contains("store init")),
        "{refused:?}"
    );
    // Whose they are only a configuration can tell that names one.
    let both = Options { replication: vec![("dc1".into(), 3), ("dc2".into(), 3)], ..options.clone() };
    let refused = init(&both).await;
    assert!(
        matches!(&refused, Err(error @ OpenError::Option { field: "replication", .. }) if error.to_string().contains("name both")),
        "{refused:?}"
    );
    let schema = init(&options).await.expect("it is brought there");
    assert_eq!((schema.version, schema.migrated), (3, 4));
    assert_eq!(init(&options).await.expect("it is there").migrated, 0);
    let store = open().await.expect("it opens");
    assert_eq!(store.entries().await, Ok(vec![entry.clone()]));
    let mut standing = store.standing(EVENT, 9).await.expect("records");
    standing.sort_by_key(|row| row.published);
    assert_eq!(standing, rows);
    for row in &rows {
        assert_eq!(store.read(row, 0..row.size).await.expect("its bytes").0.len(), 1000);
    }
    // A record that lived for a time still does.
    let ttl = format!("SELECT TTL(row) FROM {keyspace}_control.rows");
    let left = run(ttl).await.into_rows_result().expect("rows");
    let left: Vec<_> = left.rows::<(Option<i32>,)>().expect("rows").map(|row| row.expect("a row").0).collect();
    assert!(
        left.len() == 3 && left.iter().all(|left| left.is_some_and(|left| (4000..=5000).contains(&left))),
        "{left:?}"
    );
}
