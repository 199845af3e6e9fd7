//! The two servers under test, each in a process of its own on the server's core: the real binary and the bare one.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::connection;
use crate::place::{SERVER, on_core};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Builds the server unless `server` names one.
pub(crate) fn build(server: &mut Option<PathBuf>) -> Result<()> {
    if server.is_some() {
        return Ok(());
    }
    if let Some(cargo) = std::env::var_os("CARGO") {
        let built = Command::new(cargo).args(["build", "--release", "--quiet", "--package", "headwater"]).status()?;
        ensure!(built.success(), "the server does not build");
    }
    let beside = std::env::current_exe()?.with_file_name("headwater");
    ensure!(beside.exists(), "no server beside this program; run `cargo xtask bench` or name one with --server");
    *server = Some(beside);
    Ok(())
}

/// A running server; killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    /// Where it takes uploads.
    pub(crate) publish: SocketAddr,
    /// Where it answers readers.
    pub(crate) deliver: SocketAddr,
    ops: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// The bare hyper server.
    pub(crate) fn bare() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--role", "bare"]).stdout(Stdio::piped());
        let mut child = on_core(SERVER, || command.spawn())?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let address = SocketAddr::from(([127, 0, 0, 1], line.trim().parse()?));
        Ok(Self { child, publish: address, deliver: address, ops: address })
    }

    /// `program serve` with `options`, its data in `dir`.
    pub(crate) fn headwater(program: &Path, dir: &Path, options: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (ready_file, any) = (dir.join("ready.json"), "127.0.0.1:0");
        let mut command = Command::new(program);
        command.args(["--log", "warn", "serve", "--publish", any, "--deliver", any, "--ops", any]).args(options);
        command.arg("--data").arg(dir.join("data")).arg("--ready-file").arg(&ready_file).stdout(Stdio::null());
        let mut child = on_core(SERVER, || command.spawn()).with_context(|| format!("cannot run {program:?}"))?;
        let started = Instant::now();
        let ready: Value = loop {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status} at once");
            }
            if let Ok(text) = std::fs::read(&ready_file) {
                break serde_json::from_slice(&text)?;
            }
            ensure!(started.elapsed() < PATIENCE, "the server does not become ready");
            std::thread::sleep(Duration::from_millis(20));
        };
        let address = |name: &str| -> Result<SocketAddr> {
            let url = ready[name].as_str().context("the ready file lacks an address")?;
            Ok(url.trim_start_matches("http://").parse()?)
        };
        Ok(Self { child, publish: address("publish")?, deliver: address("deliver")?, ops: address("ops")? })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts the event `live/NAME`.
    pub(crate) fn put_event(&self, name: &str, document: &Value) -> Result<()> {
        let path = format!("/v1/tenants/live/events/{name}");
        let status = self.send(self.ops, "PUT", &path, document.to_string().as_bytes())?;
        ensure!(matches!(status, 200 | 201), "the event was answered {status}");
        Ok(())
    }

    /// Publishes `body` at `path`.
    pub(crate) fn publish(&self, path: &str, body: &[u8]) -> Result<()> {
        let status = self.send(self.publish, "PUT", path, body)?;
        ensure!(matches!(status, 200 | 201), "{path} was answered {status}");
        Ok(())
    }

    fn send(&self, to: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<u16> {
        connection::exchange(&mut TcpStream::connect(to)?, method, path, body)
    }
}

/// Seconds of UTC.
pub(crate) fn wall() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
