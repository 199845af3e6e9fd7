//! What the kernel says of another process: processor time and memory.

use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time of all living threads, user and system, to the nanosecond.
///
/// # Errors
/// If the process has gone.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).context("the process has gone")? {
        // A thread that ends in between takes microseconds along.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory of the process's own, in bytes.
///
/// # Errors
/// If the process has gone.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    status(pid, "RssAnon:")
}

fn status(pid: u32, key: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process has gone")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)).context("no such line in its status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Processor time of the calling thread.
pub(crate) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Processor time of this process.
pub(crate) fn whole_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
