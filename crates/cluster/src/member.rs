//! One process of a cluster: its folder, its process id, whether it runs. A process is known by its id and by its
//! command line, which names its folder, so that an id that went to another process is not mistaken for it.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::cassandra::Launch;
use crate::plan::{Node, Plan};
use crate::{memcached, probe};

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It runs (or is frozen).
    Running,
    /// It does not.
    Stopped,
}

/// One process.
pub(crate) struct Member {
    folder: PathBuf,
    kind: Kind,
}

enum Kind {
    Node { node: Node, address: SocketAddr },
    Cache { name: String, address: SocketAddr },
}

impl Member {
    /// All of a plan: caches, then nodes, the seed first.
    pub(crate) fn all(plan: &Plan, folder: &Path) -> Vec<Self> {
        let mut members = Vec::new();
        for zone in &plan.zones {
            for (index, address) in zone.servers.iter().enumerate() {
                let name = format!("{}{}", zone.name, index + 1);
                members.push(Self { folder: folder.join(&name), kind: Kind::Cache { name, address: *address } });
            }
        }
        for node in &plan.nodes {
            let address = SocketAddr::from((node.address, plan.cql_port));
            let kind = Kind::Node { node: node.clone(), address };
            members.push(Self { folder: folder.join(&node.name), kind });
        }
        members
    }

    pub(crate) fn name(&self) -> &str {
        match &self.kind {
            Kind::Node { node, .. } => &node.name,
            Kind::Cache { name, .. } => name,
        }
    }

    pub(crate) fn is_node(&self) -> bool {
        matches!(self.kind, Kind::Node { .. })
    }

    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Node { node, address } => format!("{}: Cassandra, {}, CQL on {address}", node.name, node.datacentre),
            Kind::Cache { name, address } => format!("{name}: memcached on {address}"),
        }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Starts it, detached: it outlives whoever starts it. `beside`: others are at work.
    pub(crate) fn start(&self, launch: &Launch<'_>, beside: bool) -> Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut command = match &self.kind {
            Kind::Node { node, .. } => launch.node(node, &self.folder)?,
            Kind::Cache { address, .. } => memcached::command(*address, &self.folder),
        };
        let log = std::fs::File::create(self.log())?;
        let said = log.try_clone()?;
        // In a group of its own, if not in a session: what a terminal interrupts is the command that started it.
        if beside {
            command = apart(&command);
        } else {
            command.process_group(0);
        }
        let id = spawn(command.stdin(Stdio::null()).stdout(log).stderr(said))?;
        std::fs::write(self.folder.join("pid"), id.to_string()).context("cannot note the process id")
    }

    pub(crate) fn standing(&self) -> Standing {
        if self.id().is_some() { Standing::Running } else { Standing::Stopped }
    }

    /// Whether it answers: a node CQL, a cache a connection.
    pub(crate) fn answers(&self) -> bool {
        match &self.kind {
            Kind::Node { address, .. } => probe::query(*address, probe::Consistency::One),
            Kind::Cache { address, .. } => std::net::TcpStream::connect(address).is_ok(),
        }
    }

    /// Whether a node answers what takes all nodes.
    pub(crate) fn sees_all(&self) -> bool {
        match &self.kind {
            Kind::Node { address, .. } => probe::query(*address, probe::Consistency::All),
            Kind::Cache { .. } => true,
        }
    }

    /// Sends `signal`; whether there was a process to send it to.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(id) = self.id() else { return Ok(false) };
        match kill_process(id, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot signal {}", self.describe())),
        }
    }

    fn id(&self) -> Option<Pid> {
        let id: i32 = std::fs::read_to_string(self.folder.join("pid")).ok()?.trim().parse().ok()?;
        // Of a process that has ended and was not waited for, this is empty.
        let line = std::fs::read(format!("/proc/{id}/cmdline")).ok()?;
        let folder = self.folder.to_string_lossy();
        String::from_utf8_lossy(&line).contains(&*folder).then(|| Pid::from_raw(id)).flatten()
    }
}

/// `command` in a session of its own. Cores are shared out by session first, so what starts beside nodes that are busy, with
/// their hundreds of threads, gets on. The nodes do not need it among themselves, and answer later by it.
fn apart(command: &Command) -> Command {
    let mut own = Command::new("setsid");
    own.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        own.current_dir(folder);
    }
    own
}

/// Starts `command` and returns its process id.
fn spawn(command: &mut Command) -> Result<u32> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| format!("cannot start {name}; run `cargo xtask setup`"))?;
    let id = child.id();
    // Who waits for it keeps it from lingering as a zombie for as long as the starter lives.
    std::thread::spawn(move || child.wait());
    Ok(id)
}
