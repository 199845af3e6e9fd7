//! The cluster that all tests here share, and processes on it. Each test has its own tenant's events by name; the
//! keyspace is one, because making tables takes seconds.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use headwater_cluster::{Cluster, Guard, Options};
use headwater_store::broken::{Fault, VARIABLE};

use tempfile::TempDir;

use crate::support::server::folder;
use crate::support::{Server, now_ms};

/// Names the folder of a cluster that is up, to use that one: who works on the tests need not wait for each start.
const RUNNING: &str = "HEADWATER_TEST_CLUSTER";

/// The cluster; it starts with the first test and goes with the process.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Owned> = OnceLock::new();
    match CLUSTER.get_or_init(|| start("one", &parts())) {
        Owned::Ours(guard) => guard,
        Owned::Running(cluster) => cluster,
    }
}

enum Owned {
    Ours(Guard),
    Running(Cluster),
}

/// What the shared cluster consists of.
pub(crate) fn parts() -> Options {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("two folders below the root");
    Options::new(workspace.join(".tools/cassandra/jars"))
}

fn start(name: &str, parts: &Options) -> Owned {
    if let Some(folder) = std::env::var_os(RUNNING) {
        let cluster = Cluster::open(Path::new(&folder)).expect("a readable plan");
        return Owned::Running(cluster.unwrap_or_else(|| panic!("no cluster in {folder:?}")));
    }
    Owned::Ours(start_own(name, parts))
}

/// A cluster of a test's own, gone with it.
pub(crate) fn start_own(name: &str, parts: &Options) -> Guard {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fleet-{name}-{}", std::process::id()));
    let guard = Guard::start(&folder, parts, &mut |step| eprintln!("cluster: {step}"));
    guard.unwrap_or_else(|error| panic!("the cluster does not start: {error:#}"))
}

/// Starts again what a test has killed.
pub(crate) fn mend() {
    let up = Cluster::up(cluster().folder(), &parts(), &mut |step| eprintln!("cluster: {step}"));
    drop(up.unwrap_or_else(|error| panic!("the cluster does not start again: {error:#}")));
}

/// How processes are configured.
pub(crate) struct Fleet {
    /// What stands before the tables, but for the role.
    head: String,
    /// The `[store]` table, but for `feeds`.
    store: String,
    /// Where those that publish have their ops listeners.
    feeds: Vec<SocketAddr>,
    fault: Option<Fault>,
}

impl Fleet {
    /// Processes on the shared cluster, with memcached.
    pub(crate) fn new() -> Self {
        Self::with(cluster(), "dc1", "one", &[("dc1", 3)])
    }

    /// Processes in `datacentre` of `cluster`.
    pub(crate) fn with(cluster: &Cluster, datacentre: &str, keyspace: &str, copies: &[(&str, u8)]) -> Self {
        let texts = |all: &[SocketAddr]| format!("{:?}", all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let copies: Vec<String> = copies.iter().map(|(name, count)| format!("{name} = {count}")).collect();
        // Nodes, servers and tests share two cores: what is slow here is not broken.
        let mut store = format!(
            "[store]\nengine = 'cassandra'\ncontact_points = {}\ndatacentre = '{datacentre}'\nkeyspace = '{keyspace}'\n\
             replication = {{ {} }}\npublish_budget_ms = 10000\n",
            texts(&cluster.contact_points(datacentre)),
            copies.join(", ")
        );
        for zone in cluster.zones() {
            // By name here, and by address in the engine's own tests: both have to do.
            let servers: Vec<String> = zone.servers.iter().map(|server| named(*server)).collect();
            store.push_str(&format!("memcached.{} = {servers:?}\n", zone.name));
        }
        Self { head: format!("region = '{datacentre}'\n"), store, feeds: Vec::new(), fault: None }
    }

    /// The same, of a build that is broken.
    pub(crate) fn broken(self, fault: Option<Fault>) -> Self {
        Self { fault, ..self }
    }

    /// The same, whose processes look at the store and never hear of commits before.
    pub(crate) fn deaf(&self) -> Self {
        Self { head: self.head.clone(), store: self.store.clone(), feeds: Vec::new(), fault: self.fault }
    }

    /// A process that publishes; those that are started later follow it.
    pub(crate) fn publisher(&mut self) -> Node {
        let node = self.node("publish", &["--ops", &free_address().to_string()]);
        self.feeds.push(node.server.ops.trim_start_matches("http://").parse().expect("an address"));
        node
    }

    /// A process that delivers.
    pub(crate) fn deliverer(&self) -> Node {
        self.node("deliver", &[])
    }

    /// A process in `role` with these options.
    pub(crate) fn node(&self, role: &'static str, options: &[&str]) -> Node {
        let folder = Arc::new(folder());
        let feeds: Vec<String> = self.feeds.iter().map(|feed| named(*feed)).collect();
        let file = folder.path().join("headwater.toml");
        std::fs::write(&file, format!("role = '{role}'\n{}{}feeds = {feeds:?}\n", self.head, self.store))
            .expect("a file");
        let file = file.to_str().expect("plain names").to_owned();
        let mut all = vec!["--config", &file];
        all.extend(options);
        let server = start_process(&folder, &all, self.fault);
        let options = all.into_iter().map(ToOwned::to_owned).collect();
        Node { server, options, folder, fault: self.fault }
    }
}

/// The build that users get, or the one for tests with `fault`.
fn start_process(folder: &Arc<TempDir>, options: &[&str], fault: Option<Fault>) -> Server {
    let Some(fault) = fault else { return Server::start_on(folder, options) };
    let mut shell = Command::new("sh");
    // `$0` is the other build.
    shell.args(["-c", concat!("exec '", env!("CARGO_BIN_EXE_headwater"), "' \"$@\"")]);
    shell.env(VARIABLE, format!("{fault:?}"));
    Server::start_through(shell, folder, options)
}

/// A process of a fleet.
pub(crate) struct Node {
    /// The process.
    pub(crate) server: Server,
    options: Vec<String>,
    folder: Arc<TempDir>,
    fault: Option<Fault>,
}

impl Node {
    /// Its configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("headwater.toml")
    }

    /// SIGKILL, and another in its place.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.server.kill();
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.server = start_process(&self.folder, &options, self.fault);
        self
    }
}

fn named(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

/// An address that nobody has now: a node keeps its ops listener where the others look for it.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address")
}

/// A name that no other test and no run before has used.
pub(crate) fn fresh_name(test: &str) -> String {
    format!("{test}-{}", now_ms())
}
