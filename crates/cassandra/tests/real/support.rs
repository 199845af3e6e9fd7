//! One cluster for all tests of this binary, and engines with keyspaces of their own on it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_cassandra::{Cassandra, Options};
use headwater_cluster::{Cluster, Guard};
use headwater_store::Listener;
use headwater_store::stamp::SystemClock;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

/// Names the folder of a cluster that is up, to use that one: who works on the engine need not wait for each start.
const RUNNING: &str = "HEADWATER_TEST_CLUSTER";

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
    let nodes = options.contact_points.iter();
    let session = SessionBuilder::new().known_nodes(nodes).build().await.expect("the nodes answer");
    let made = session.query_unpaged(format!("USE {KEYSPACE}_control"), ()).await.is_ok();
    for table in TABLES.into_iter().filter(|_| made) {
        let statement = format!("TRUNCATE {KEYSPACE}_{table}");
        session.query_unpaged(statement, ()).await.unwrap_or_else(|error| panic!("{table}: {error}"));
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
    SessionBuilder::new().known_nodes_addr(&points).build().await.expect("the nodes answer")
}

/// An engine.
pub async fn open(options: &Options, listener: Arc<dyn Listener>) -> Arc<Cassandra> {
    let opened = Cassandra::open(options.clone(), Arc::new(SystemClock::default()), listener).await;
    opened.unwrap_or_else(|error| panic!("the engine does not open: {error}"))
}
