//! How a Cassandra node is started from jars: its configuration, its Java options, its class path.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::plan::{Node, Plan};

/// Heap of each node, in MiB. Three nodes with 512 take 2.3 GiB in all; with less, 1 MiB writes make it collect often.
const HEAP_MIB: u32 = 512;

/// Packages of the JDK that Cassandra 5.0 reaches into, to be exported to it.
const EXPORTS: [&str; 7] = [
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
];

/// Packages of the JDK that Cassandra 5.0 reaches into by reflection.
const OPENS: [&str; 16] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/java.nio",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

/// The lag is the default's: of a period of 1 s alone follows that writes stop once a sync has taken half a second more.
const PERIODIC: &str = "commitlog_sync: periodic
commitlog_sync_period: 1000ms
periodic_commitlog_sync_lag_block: 15000ms";

/// When an acked write is on a node's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitLog {
    /// About a second after the ack, 15 s where the disk does not keep up: Cassandra's own default, with a shorter period.
    Periodic,
    /// Before the ack, with all that came within 5 ms.
    Group,
}

/// What the start of a node needs.
pub(crate) struct Launch<'a> {
    pub(crate) jars: &'a Path,
    pub(crate) plan: &'a Plan,
    /// Of the cluster.
    pub(crate) folder: &'a Path,
}

impl Launch<'_> {
    /// Writes the configuration of `node` into its `folder`; the command that starts it.
    pub(crate) fn node(&self, node: &Node, folder: &Path) -> Result<Command> {
        let conf = folder.join("conf");
        std::fs::create_dir_all(&conf)?;
        let write = |name: &str, text: &str| std::fs::write(conf.join(name), text).context("cannot write conf");
        write("cassandra.yaml", &self.yaml(node, folder))?;
        write("cassandra-rackdc.properties", &format!("dc={}\nrack=rack{}\n", node.datacentre, node.name))?;
        write("logback.xml", LOGBACK)?;
        let agent = self.agent()?;
        let mut java = Command::new("java");
        java.arg(format!("-javaagent:{}", agent.display()));
        java.args([format!("-Xms{HEAP_MIB}m"), format!("-Xmx{HEAP_MIB}m"), "-Xss512k".into()]);
        java.args([
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=50",
            "-XX:+PerfDisableSharedMem",
            // These nodes live for minutes: the second compiler takes more from a few cores than it gives back.
            "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError",
        ]);
        java.args(["-Djdk.attach.allowAttachSelf=true", "-Djava.net.preferIPv4Stack=true"]);
        java.args(EXPORTS.map(|package| format!("--add-exports={package}=ALL-UNNAMED")));
        java.args(OPENS.map(|package| format!("--add-opens={package}=ALL-UNNAMED")));
        let url = |name: &str| format!("file://{}", conf.join(name).display());
        java.arg(format!("-Dcassandra.config={}", url("cassandra.yaml")));
        java.arg(format!("-Dcassandra-rackdc.properties={}", url("cassandra-rackdc.properties")));
        java.arg(format!("-Dlogback.configurationFile={}", conf.join("logback.xml").display()));
        java.arg(format!("-Dcassandra.storagedir={}", folder.join("data").display()));
        // A cluster on loopback has no slow starters to wait for, and no management port anybody would use. A node that has
        // just started expects 30 s between two signs of life of another one otherwise, and notices no death for minutes.
        java.args(["-Dcassandra.ring_delay_ms=1000", "-Dcassandra.skip_wait_for_gossip_to_settle=0"]);
        java.arg("-Dcassandra.fd_initial_value_ms=2000");
        java.args(["-Dcassandra.superuser_setup_delay_ms=0", "-Dcassandra-foreground=yes"]);
        java.arg("-cp").arg(format!("{}:{}/*", conf.display(), self.jars.display()));
        java.arg("org.apache.cassandra.service.CassandraDaemon").current_dir(self.folder);
        Ok(java)
    }

    /// The jar that measures objects, without which a node does not start.
    fn agent(&self) -> Result<PathBuf> {
        let agent = self.jars.join("jamm-0.4.0.jar");
        ensure!(agent.is_file(), "no Cassandra in {}; run `cargo xtask setup`", self.jars.display());
        Ok(agent)
    }

    fn yaml(&self, node: &Node, folder: &Path) -> String {
        let Plan { cql_port, storage_port, nodes, .. } = self.plan;
        let (address, data) = (node.address, folder.join("data"));
        let data = data.display();
        let seed = nodes.first().map_or(address, |seed| seed.address);
        let sync = match self.plan.commit_log {
            CommitLog::Periodic => PERIODIC,
            CommitLog::Group => "commitlog_sync: group\ncommitlog_sync_group_window: 5ms",
        };
        // Tables are synced little by little: what the kernel writes at once keeps the commit log from the disk for seconds.
        format!(
            "cluster_name: headwater
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
data_file_directories: [{data}/data]
commitlog_directory: {data}/commitlog
saved_caches_directory: {data}/saved_caches
hints_directory: {data}/hints
cdc_raw_directory: {data}/cdc_raw
{sync}
commitlog_segment_size: 16MiB
commitlog_total_space: 256MiB
trickle_fsync: true
trickle_fsync_interval: 4MiB
listen_address: {address}
rpc_address: {address}
native_transport_port: {cql_port}
storage_port: {storage_port}
endpoint_snitch: GossipingPropertyFileSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: \"{seed}:{storage_port}\"}}]
auto_bootstrap: false
auto_snapshot: false
paxos_variant: v2
# Chunks off the heap: collecting garbage need not copy them. Half of the space is flushed at once, to be compacted rarely.
memtable_allocation_type: offheap_buffers
memtable_heap_space: 64MiB
memtable_offheap_space: 256MiB
memtable_flush_writers: 1
# Three nodes share a few cores: what is compacted at full speed is what uploads wait for.
compaction_throughput: 16MiB/s
key_cache_size: 8MiB
file_cache_size: 32MiB
concurrent_reads: 16
concurrent_writes: 16
concurrent_compactors: 1
"
        )
    }
}

/// What matters, on the standard output.
const LOGBACK: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %date{HH:mm:ss.SSS} %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="out"/></root>
</configuration>
"#;
