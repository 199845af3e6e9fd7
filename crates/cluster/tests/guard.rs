//! What a cluster's owner can rely on, with memcached alone: its processes start in a moment.
#![expect(clippy::disallowed_methods, reason = "a test: it starts itself a second time and waits for processes to end")]

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater_cluster::{Cluster, Guard, Options, Standing};

/// Set for the second process of [`an_owner_that_is_killed_leaves_nothing_running`]: the folder of its cluster.
const OWNED: &str = "HEADWATER_TEST_CLUSTER";
const PATIENCE: Duration = Duration::from_secs(20);

fn caches() -> Options {
    Options { nodes: 0, ..Options::new(PathBuf::new()) }
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn eventually(what: &str, ask: impl Fn() -> bool) {
    let started = Instant::now();
    while !ask() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn up_starts_what_is_missing_and_down_removes_all() {
    let folder = folder("up");
    let mut said = Vec::new();
    let cluster = Cluster::up(&folder, &caches(), &mut |step| said.push(step.to_owned())).unwrap();
    assert_eq!(cluster.status().iter().filter(|(_, standing)| *standing == Standing::Running).count(), 4);
    cluster.kill("a2").unwrap();
    assert!(cluster.kill("a2").unwrap_err().to_string().contains("does not run"));
    assert!(cluster.kill("7").unwrap_err().to_string().contains("a1, a2, b1, b2"));
    said.clear();
    let again = Cluster::up(&folder, &caches(), &mut |step| said.push(step.to_owned())).unwrap();
    assert_eq!(said.iter().filter(|step| step.contains("starting")).count(), 1, "{said:?}");
    assert_eq!(again.zones()[0].servers, cluster.zones()[0].servers, "on the same ports");
    let other = Cluster::up(&folder, &Options { zones: 3, ..caches() }, &mut |_| {});
    assert!(other.err().unwrap().to_string().contains("another size"));
    again.down(false).unwrap();
    assert!(!folder.exists());
    assert!(Cluster::open(&folder).unwrap().is_none());
}

#[test]
fn a_guard_that_is_dropped_leaves_nothing() {
    let folder = folder("dropped");
    let guard = Guard::start(&folder, &caches(), &mut |_| {}).unwrap();
    let server = guard.zones()[0].servers[0];
    assert!(TcpStream::connect(server).is_ok());
    drop(guard);
    assert!(TcpStream::connect(server).is_err() && !folder.exists());
}

#[test]
fn an_owner_that_is_killed_leaves_nothing_running() {
    if let Some(folder) = std::env::var_os(OWNED) {
        let _guard = Guard::start(Path::new(&folder), &caches(), &mut |_| {}).unwrap();
        std::thread::sleep(PATIENCE);
        return;
    }
    let folder = folder("killed");
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args(["--exact", "an_owner_that_is_killed_leaves_nothing_running"]).env(OWNED, &folder);
    let mut owner = owner.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let up = || Cluster::open(&folder).unwrap().is_some_and(|cluster| all(&cluster, Standing::Running));
    eventually("the cluster is up", up);
    let cluster = Cluster::open(&folder.canonicalize().unwrap()).unwrap().unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("its processes end", || all(&cluster, Standing::Stopped));
    eventually("its folder goes", || !folder.exists());
}

fn all(cluster: &Cluster, standing: Standing) -> bool {
    cluster.status().iter().all(|(_, each)| *each == standing)
}
