//! Real Cassandra nodes and memcached zones on loopback: what `cargo xtask cluster` shows to people and what tests
//! start. A cluster is a folder with the plan (ports, names) and the data of each process. Must never leave a process
//! behind whose starter wanted it gone: see [`Guard`].
#![expect(clippy::disallowed_methods, reason = "a tool, no part of the server: it waits for other people's programs")]

mod cassandra;
mod guard;
mod member;
mod memcached;
mod plan;
mod probe;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

pub use cassandra::CommitLog;
pub use guard::Guard;
pub use member::Standing;
pub use plan::Zone;

use member::Member;
use plan::Plan;

/// How long one process may take from its start to its first answer: a node needs 6 s on an idle machine.
const START_MAX: Duration = Duration::from_secs(120);
/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a cluster consists of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `cargo xtask setup` put Cassandra's jars.
    pub jars: PathBuf,
    /// Cassandra datacentres, `dc1` and on; 1 or 2.
    pub datacentres: usize,
    /// Nodes in each; 0 for memcached alone.
    pub nodes: usize,
    /// memcached zones, `a` and on.
    pub zones: usize,
    /// Servers in each zone.
    pub servers: usize,
    /// When an acked write is on disk.
    pub commit_log: CommitLog,
}

impl Options {
    /// Three nodes in one datacentre, two zones of two servers each.
    #[must_use]
    pub fn new(jars: PathBuf) -> Self {
        Self { jars, datacentres: 1, nodes: 3, zones: 2, servers: 2, commit_log: CommitLog::Periodic }
    }
}

/// A cluster in its folder. Dropping this stops nothing.
pub struct Cluster {
    folder: PathBuf,
    plan: Plan,
    members: Vec<Member>,
}

impl Cluster {
    /// Starts what does not run yet, in a new cluster or in the one that `folder` holds, and waits until each node
    /// answers CQL and sees all others. `say` hears of each step. The processes outlive the caller.
    ///
    /// # Errors
    /// If a program is missing or does not come up; the message says what to look at.
    pub fn up(folder: &Path, options: &Options, say: &mut dyn FnMut(&str)) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        if let Some(there) = Plan::read(&folder)? {
            let same = there.is_of(options);
            ensure!(same, "{} holds a cluster of another size; run `cargo xtask cluster down` first", folder.display());
        } else {
            Plan::draw(options)?.write(&folder)?;
        }
        let cluster = Self::open(&folder)?.context("the plan that was just written is gone")?;
        let runs = |member: &Member| member.is_node() && member.standing() == Standing::Running;
        let beside = cluster.members.iter().any(runs);
        for member in cluster.members.iter().filter(|member| member.standing() != Standing::Running) {
            say(&format!("starting {}", member.describe()));
            let launch = cassandra::Launch { jars: &options.jars, plan: &cluster.plan, folder: &cluster.folder };
            member.start(&launch, beside)?;
            cluster.until(member, || member.answers())?;
        }
        say("waiting until all nodes see each other");
        let nodes = || cluster.members.iter().filter(|member| member.is_node());
        // One alone has nobody to see.
        for member in nodes().filter(|_| nodes().count() > 1) {
            cluster.until(member, || member.sees_all())?;
        }
        Ok(cluster)
    }

    /// The cluster in `folder`, running or not, if there is one.
    ///
    /// # Errors
    /// If its plan cannot be read.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        let Some(plan) = Plan::read(folder)? else { return Ok(None) };
        let members = Member::all(&plan, folder);
        Ok(Some(Self { folder: folder.to_owned(), plan, members }))
    }

    /// Stops everything; removes the data too unless it is to be kept.
    ///
    /// # Errors
    /// If a process does not end or the folder cannot be removed.
    pub fn down(self, keep: bool) -> Result<()> {
        for member in &self.members {
            member.signal(Signal::KILL)?;
        }
        for member in &self.members {
            self.until(member, || member.standing() == Standing::Stopped)?;
        }
        if !keep {
            std::fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot remove {}; remove it by hand", self.folder.display()))?;
        }
        Ok(())
    }

    /// Ends one process as a power cut would: `1` is the first node, `a1` the first server of zone `a`.
    ///
    /// # Errors
    /// If there is no such process or it does not run.
    pub fn kill(&self, name: &str) -> Result<()> {
        let member = self.member(name)?;
        ensure!(member.signal(Signal::KILL)?, "{name} does not run; see `cargo xtask cluster status`");
        self.until(member, || member.standing() == Standing::Stopped)
    }

    /// Takes from a node that was killed whatever it has stored of `keyspaces`, and the log of what it had still to store:
    /// its disk was lost, and it still knows the cluster.
    ///
    /// # Errors
    /// If there is no such node, it runs, or its files cannot be removed.
    pub fn lose(&self, name: &str, keyspaces: &[&str]) -> Result<()> {
        let member = self.member(name)?;
        ensure!(member.standing() == Standing::Stopped, "{name} runs; kill it first");
        let data = self.folder.join(name).join("data");
        let tables = keyspaces.iter().map(|keyspace| data.join("data").join(keyspace));
        for lost in tables.chain([data.join("commitlog")]) {
            std::fs::remove_dir_all(&lost).with_context(|| format!("cannot remove {}", lost.display()))?;
        }
        Ok(())
    }

    /// Freezes one process: it holds its connections and answers nothing.
    ///
    /// # Errors
    /// If there is no such process or it does not run.
    pub fn pause(&self, name: &str) -> Result<()> {
        ensure!(self.member(name)?.signal(Signal::STOP)?, "{name} does not run");
        Ok(())
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// If there is no such process or it does not run.
    pub fn resume(&self, name: &str) -> Result<()> {
        ensure!(self.member(name)?.signal(Signal::CONT)?, "{name} does not run");
        Ok(())
    }

    /// Each process with what it is and how it stands.
    #[must_use]
    pub fn status(&self) -> Vec<(String, Standing)> {
        self.members.iter().map(|member| (member.describe(), member.standing())).collect()
    }

    /// Where the nodes of a datacentre (`dc1`) answer CQL.
    #[must_use]
    pub fn contact_points(&self, datacentre: &str) -> Vec<SocketAddr> {
        let nodes = self.plan.nodes.iter().filter(|node| node.datacentre == datacentre);
        nodes.map(|node| SocketAddr::from((node.address, self.plan.cql_port))).collect()
    }

    /// The memcached zones with their servers.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.plan.zones
    }

    /// Where it lives.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn member(&self, name: &str) -> Result<&Member> {
        let names = || self.members.iter().map(Member::name).collect::<Vec<_>>().join(", ");
        self.members.iter().find(|member| member.name() == name).with_context(|| format!("no `{name}`: {}", names()))
    }

    /// Waits until `member` does what is asked.
    fn until(&self, member: &Member, ask: impl Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !ask() {
            if started.elapsed() > START_MAX {
                bail!("{} took more than {START_MAX:?}; see {}", member.describe(), member.log().display());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}
