//! The server under test: the real binary, on free ports of loopback.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::program::Program;
use super::{PATIENCE, within};

/// Until a server that has not ended is ready: it syncs what it makes, reads what it has, and a cluster makes tables.
const READY: Duration = Duration::from_secs(180);
/// The configuration of a server whose test is not about a slow disk: one sync may take longer than the usual budget.
pub const PATIENT: &str = "[store]\npublish_budget_ms = 20000\n";

/// A running server with its data. Killed when it goes out of scope.
pub struct Server {
    /// Base URL of the publish listener, without a slash at its end; empty if the process only delivers.
    pub publish: String,
    /// Base URL of the deliver listener; empty if the process only publishes.
    pub deliver: String,
    /// Base URL of the ops listener.
    pub ops: String,
    /// What the ready file says.
    pub ready: Value,
    program: Program,
    /// Holds data and logs; shared with those that follow after a restart.
    folder: std::sync::Arc<TempDir>,
}

impl Server {
    /// `headwater serve` with nothing stored.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// `headwater serve` with nothing stored and these options.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_in(std::sync::Arc::new(folder()), "serve", options)
    }

    /// `headwater serve` with nothing stored and few descriptors.
    pub fn start_with_descriptors(most: usize) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]).arg(binary());
        Self::start_as(shell, std::sync::Arc::new(folder()), "serve", &[])
    }

    /// `headwater demo`.
    pub fn demo() -> Self {
        Self::start_in(std::sync::Arc::new(folder()), "demo", &[])
    }

    /// `headwater serve` on the data in `folder`, where a test has prepared it.
    pub fn start_on(folder: &std::sync::Arc<TempDir>, options: &[&str]) -> Self {
        Self::start_in(folder.clone(), "serve", options)
    }

    /// `headwater serve` as `shell` starts it: its last words are the program and its arguments.
    pub fn start_through(mut shell: Command, folder: &std::sync::Arc<TempDir>, options: &[&str]) -> Self {
        shell.arg(binary());
        Self::start_as(shell, folder.clone(), "serve", options)
    }

    fn start_in(folder: std::sync::Arc<TempDir>, command: &str, options: &[&str]) -> Self {
        Self::start_as(Command::new(binary()), folder, command, options)
    }

    fn start_as(mut server: Command, folder: std::sync::Arc<TempDir>, command: &str, options: &[&str]) -> Self {
        let ready_file = folder.path().join("ready.json");
        let _ = std::fs::remove_file(&ready_file);
        server.arg(command).arg("--data").arg(folder.path().join("data")).arg("--ready-file").arg(&ready_file);
        for listener in ["--publish", "--deliver", "--ops"] {
            if !options.contains(&listener) {
                server.args([listener, "127.0.0.1:0"]);
            }
        }
        if !options.contains(&"--config") {
            let config = folder.path().join("patient.toml");
            std::fs::write(&config, PATIENT).expect("a file");
            server.arg("--config").arg(config);
        }
        server.args(options);
        let mut program = Program::start(&mut server, &folder.path().join("headwater.log"));
        let ready = within(READY, "the ready file", || {
            if let Some(status) = program.ended() {
                panic!("the server ended with {status} at once:\n{}", program.said());
            }
            serde_json::from_slice::<Value>(&std::fs::read(&ready_file).ok()?).ok()
        });
        assert!(ready["ops"].is_string(), "the ready file names no `ops`: {ready}");
        let url = |name: &str| ready[name].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        Self { publish: url("publish"), deliver: url("deliver"), ops: url("ops"), ready, program, folder }
    }

    /// Kills it as a power cut would, and starts another on the same data.
    pub fn kill_and_restart(mut self) -> Self {
        self.program.kill();
        Self::start_in(self.folder.clone(), "serve", &[])
    }

    /// As [`Server::kill_and_restart`], with these options.
    pub fn kill_and_restart_with(mut self, options: &[&str]) -> Self {
        self.program.kill();
        self.restart_with(options)
    }

    /// Starts another on the same data, after this one has ended, with these options.
    pub fn restart_with(self, options: &[&str]) -> Self {
        Self::start_in(self.folder.clone(), "serve", options)
    }

    /// Starts another on the same data, after this one has ended.
    pub fn restart(self) -> Self {
        Self::start_in(self.folder.clone(), "serve", &[])
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// SIGTERM: drain.
    pub fn terminate(&self) {
        self.program.terminate();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.program.wait(PATIENCE)
    }

    /// What it has printed.
    pub fn said(&self) -> String {
        self.program.said()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Bytes of its resident memory.
    pub fn memory(&self) -> usize {
        let path = format!("/proc/{}/status", self.id());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of KiB") << 10
    }

    /// A folder that lives as long as the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `host:port` of the publish listener.
    pub fn publish_address(&self) -> &str {
        address(&self.publish)
    }

    /// `host:port` of the deliver listener.
    pub fn deliver_address(&self) -> &str {
        address(&self.deliver)
    }
}

fn address(url: &str) -> &str {
    url.strip_prefix("http://").unwrap_or(url)
}

/// In the system's folder for such, which tests may fill.
pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("headwater-test-").tempdir().expect("a folder for the server's data")
}

/// What users get if `cargo xtask` has built it, else what cargo has built beside the test.
pub fn binary() -> PathBuf {
    std::env::var_os("HEADWATER_BIN").map_or_else(|| env!("CARGO_BIN_EXE_headwater").into(), PathBuf::from)
}
