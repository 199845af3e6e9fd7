//! The schema is made once, whoever comes first, and only used by builds that know it.

use std::sync::Arc;

use futures_util::future::join_all;
use headwater_cassandra::survey::{Progress, Rate, Survey};
use headwater_cassandra::{Cassandra, OpenError, Options, init};
use headwater_store::conformance::Heard;
use headwater_store::stamp::SystemClock;

use crate::support::{cluster, restart, session};

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
            session.query_unpaged(statement, ()).await.expect("a keyspace can be dropped");
        }
    };
    drop().await;
    let clock = || Arc::new(SystemClock::default());
    let looked = Survey::open(options.clone(), Rate::default(), clock(), Arc::new(Quiet)).await.map(|_| ());
    assert!(matches!(looked, Err(OpenError::Nothing { .. })), "a look makes nothing: {looked:?}");

    let made = join_all((0..4).map(|_| init(&options))).await;
    let made: Vec<_> = made.into_iter().map(|made| made.expect("all succeed")).collect();
    assert!(made.iter().all(|schema| schema.version == 1 && schema.unlike.is_empty()), "{made:?}");
    let all = made.iter().flat_map(|schema| schema.made.clone()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(all.len(), 10, "two keyspaces and eight tables: {all:?}");
    let again = init(&options).await.expect("it is there");
    assert!(again.made.is_empty(), "{again:?}");

    let two = Options { replication: vec![("dc1".into(), 2)], ..options.clone() };
    let unlike = init(&two).await.expect("nothing is changed").unlike;
    assert_eq!(unlike.len(), 2);
    assert_eq!((&*unlike[0].stands["dc1"], &*unlike[0].wanted["dc1"]), ("3", "2"));
    assert!(unlike[0].alter.starts_with("ALTER KEYSPACE test_schema_control WITH"), "{unlike:?}");

    let version =
        |version: i32| format!("UPDATE {KEYSPACE}_control.\"schema\" SET version = {version} WHERE part = 'store'");
    session.query_unpaged(version(2), ()).await.expect("a version");
    let opened = Cassandra::open(options.clone(), clock(), Arc::new(Heard::default())).await.map(|_| ());
    let looked = Survey::open(options.clone(), Rate::default(), clock(), Arc::new(Quiet)).await.map(|_| ());
    for refused in [opened, looked, init(&options).await.map(|_| ())] {
        match refused {
            Err(error @ OpenError::Later { version: 2 }) => {
                assert!(error.to_string().contains("newer build"), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
    // A cluster of a build that knew no versions.
    session.query_unpaged(format!("DROP TABLE {KEYSPACE}_control.\"schema\""), ()).await.expect("a table");
    assert!(Survey::open(options.clone(), Rate::default(), clock(), Arc::new(Quiet)).await.is_ok());
    let adopted = init(&options).await.expect("it is taken over");
    assert_eq!((adopted.version, adopted.made), (1, vec![format!("{KEYSPACE}_control.schema")]));
    drop().await;
}
