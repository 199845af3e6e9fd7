//! One cluster for all tests of this binary, and engines with keyspaces of their own on it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_cassandra::{Cassandra, Options};
use headwater_cluster::{Cluster, Guard};
use headwater_store::Listener;
use headwater_store::stamp::SystemClock;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;

/// Names the folder of a cluster that is up, to use that one: who works on the engine need not wait for each start.
const RUNNING: &str = "HEADWATER_TEST_CLUSTER";

/// How often nodes are asked again that fail.
const TRIES: u32 = 20;
const TRY_EVERY: Duration = Duration::from_secs(1);

/// The cluster; it starts with the first test and goes with the process.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Owned> = OnceLock::new();
    match CLUSTER.get_or_init(start) {
        Owned::Ours(guard) => guard,
        Owned::Running(cluster) => cluster,
    }
}

enum Owned {
    Ours(Guard),
    Running(Cluster),
}

fn start() -> Owned {
    if let Some(folder) = std::env::var_os(RUNNING) {
        let cluster = Cluster::open(Path::new(&folder)).expect("a readable plan");
        return Owned::Running(cluster.unwrap_or_else(|| panic!("no cluster in {folder:?}")));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cassandra-{}", std::process::id()));
    let guard = Guard::start(&folder, &parts(), &mut |step| eprintln!("cluster: {step}"));
    Owned::Ours(guard.unwrap_or_else(|error| panic!("the cluster does not start: {error:#}")))
}

fn parts() -> headwater_cluster::Options {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders below the root");
    headwater_cluster::Options::new(workspace.join(".tools/cassandra/jars"))
}

/// Starts again what a test has killed.
pub fn restart() {
    let up = Cluster::up(cluster().folder(), &parts(), &mut |step| eprintln!("cluster: {step}"));
    drop(up.unwrap_or_else(|error| panic!("the cluster does not start again: {error:#}")));
}

/// Options for keyspaces in which nothing is stored: the same ones each time, emptied, because making tables takes a
/// cluster seconds, and longer the more there are. Engines that were opened before must have been dropped.
pub async fn fresh() -> Options {
    // What a test that failed has killed.
    restart();
    let options = Options::new(cluster().contact_points("dc1"), "dc1");
    // Nodes, tests and other work share a few cores: what is slow here is not broken.
    let patient = Options { publish_budget: Duration::from_secs(10), hedge: Some(Duration::from_secs(1)), ..options };
    let options = Options { keyspace: KEYSPACE.into(), window_bytes: 16 << 20, dvr_bytes: 16 << 20, ..patient };
    let session = session().await;
    let all = run(&session, "SELECT keyspace_name, table_name FROM system_schema.tables", ()).await;
    let all = all.into_rows_result().expect("rows");
    let all = all.rows::<(String, String)>().expect("rows").map(|row| row.expect("a row"));
    let made: BTreeSet<String> = all.map(|(keyspace, table)| format!("{keyspace}.{table}")).collect();
    for table in TABLES.map(|table| format!("{KEYSPACE}_{table}")).iter().filter(|table| made.contains(*table)) {
        run(&session, &format!("TRUNCATE {table}"), ()).await;
    }
    options
}

const KEYSPACE: &str = "test";
const TABLES: [&str; 8] = [
    "control.rows",
    "control.listing",
    "control.blocks",
    "control.shelves",
    "control.events",
    "control.changes",
    "media.chunks",
    "media.standing",
];

/// A session of the test's own, for what the engine never does.
pub async fn session() -> Session {
    let points = cluster().contact_points("dc1");
    patiently("the nodes", async || SessionBuilder::new().known_nodes_addr(&points).build().await).await
}

/// What nodes answer to a statement that can be run twice.
pub async fn run(session: &Session, statement: &str, values: impl SerializeRow) -> QueryResult {
    patiently(statement, async || session.query_unpaged(statement, &values).await).await
}

/// Tries again what nodes fail that have just started, or are busy.
async fn patiently<T, E: std::fmt::Display>(what: &str, ask: impl AsyncFn() -> Result<T, E>) -> T {
    let mut tries = 0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(tries < TRIES, "{what}: {error}"),
        }
        tries += 1;
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// An engine.
pub async fn open(options: &Options, listener: Arc<dyn Listener>) -> Arc<Cassandra> {
    let opened = Cassandra::open(options.clone(), Arc::new(SystemClock::default()), listener).await;
    opened.unwrap_or_else(|error| panic!("the engine does not open: {error}"))
}
