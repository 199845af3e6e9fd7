//! Where programs run: a network of their own with a congestion control that does not pace, one core for the server
//! and one for the load, and both cores kept awake. Each of these moved results more than the servers differ.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core of the server under test.
pub(crate) const SERVER: usize = 0;
/// The core of the load.
pub(crate) const LOAD: usize = 1;

/// In a namespace of its own: loopback up, and Reno, because BBR paces loopback with timers.
const PREPARE: &str = r#"ip link set lo up && sysctl -qw net.ipv4.tcp_congestion_control=reno && exec "$0" "$@""#;

/// Runs this program again with the same arguments and `server`, in a network of its own where that can be had.
pub(crate) fn isolate(server: &Path) -> Result<()> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    let prepared = |way: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(way).args(["sh", "-c", PREPARE]);
        command
    };
    let works = |way: &&&[&str]| {
        let tried = prepared(way).arg("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    let (mut command, role) = match ways.iter().find(works) {
        Some(way) => {
            let mut command = prepared(way);
            command.arg(&this);
            (command, "inside")
        }
        None => (Command::new(&this), "exposed"),
    };
    let status = command.args(arguments).args(["--role", role, "--server"]).arg(server).status()?;
    ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}

/// Helpers that end with this value.
pub(crate) struct Awake(Vec<Child>);

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A spinner of the idle class on each core: a halted virtual core wakes slowly.
pub(crate) fn keep_awake() -> Result<Awake> {
    let this = std::env::current_exe()?;
    let mut spinners = Awake(Vec::new());
    for core in [SERVER, LOAD] {
        let mut command = Command::new("chrt");
        command.args(["--idle", "0"]).arg(&this).args(["--role", "spin"]);
        spinners.0.push(on_core(core, || command.spawn()).context("cannot start `chrt` (package util-linux)")?);
    }
    Ok(spinners)
}

/// Spins until the parent kills it, or has gone.
pub(crate) fn spin() -> Result<()> {
    let parent = rustix::process::getppid();
    loop {
        for _ in 0..50_000_000 {
            std::hint::spin_loop();
        }
        if rustix::process::getppid() != parent {
            return Ok(());
        }
    }
}

/// Does `work`, and starts the processes and threads that it starts, on one core.
pub(crate) fn on_core<T>(core: usize, work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None);
    let mut one = CpuSet::new();
    one.set(core);
    if let Err(error) = sched_setaffinity(None, &one) {
        eprintln!("cannot stay on core {core}: {error}; the figures include moves between cores");
    }
    let result = work();
    if let Ok(before) = before {
        let _ = sched_setaffinity(None, &before);
    }
    result
}
