//! Rows of the engine on Cassandra: three real nodes and memcached on this one machine. The P99 of a publish of 1 MiB with
//! all nodes up; of publishes and reads with a node frozen, hedged and not; and of publishes in a storm of reads, with the
//! share of those reads that memcached answered. Two engines: what one publishes, the other reads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_cassandra::{Cassandra, Options, memcached};
use headwater_cluster::{Cluster, Guard};
use headwater_model::row::Row;
use headwater_store::conformance::{body, claim, segment};
use headwater_store::stamp::{Clock, SystemClock};
use headwater_store::{Body, Published, Store};
use tokio::runtime::{Builder, Runtime};

use crate::append::Deaf;
use crate::report::{Comparison, Report, Target};

/// Of a phase: a frozen node is noticed after 3 s and then left out, so the tail of a phase is of those.
const PHASE: Duration = Duration::from_secs(50);
/// Of the first round, which warms the nodes up.
const WARM_UP: Duration = Duration::from_secs(8);
/// A publish, and a read, come every so often, whether the last one is done or not.
const EVERY: Duration = Duration::from_millis(250);
const BODY_BYTES: usize = 1 << 20;
/// Everything that a publish does: more than the contract's, so that what is slow is measured and not cut off.
const BUDGET: Duration = Duration::from_secs(20);
/// The reference's figure for its own, in milliseconds.
const PUBLISH_P99_MS: f64 = 129.0;
/// Readers of a storm.
const STORM: usize = 16;
/// Reads in a storm that memcached must answer, in percent.
const CACHED_MIN: f64 = 95.0;

/// Measures all of them.
pub(crate) fn run(scratch: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let jars = std::env::current_dir()?.join(".tools/cassandra/jars");
    let folder = scratch.join("cluster");
    let cluster = Guard::start(&folder, &headwater_cluster::Options::new(jars), &mut |step| eprintln!("{step}"))
        .context("no cluster; run `cargo xtask setup` and start this in the workspace")?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut measured = Measured::default();
    let mut number = 0;
    // The first round warms the nodes up, which are slow for a minute, and is thrown away. Nodes are frozen last: what they
    // missed is sent to them for minutes after that.
    for round in 0..=rounds {
        let span = if round == 0 { WARM_UP } else { PHASE };
        let zones = cluster.zones().iter();
        let zones = zones.map(|zone| memcached::Zone { name: zone.name.clone(), servers: zone.places() });
        let zones = memcached::Options::new(zones.collect(), "a");
        let pair = Pair::open(&runtime, &cluster, true, Some(zones))?;
        let idle = pair.phase(&runtime, &mut number, (0, span), || Ok(()))?;
        let before = pair.reader.memcached();
        let storm = pair.phase(&runtime, &mut number, (STORM, span), || Ok(()))?;
        let after = pair.reader.memcached();
        let hits = (after.own_hits + after.other_hits - before.own_hits - before.other_hits) as f64;
        let misses = (after.misses - before.misses) as f64;
        measured.storms.push((storm.publish, idle.publish));
        measured.cached.push(100.0 * hits / (hits + misses).max(1.0));
        for (hedge, frozen) in [(true, false), (true, true), (false, false), (false, true)] {
            // The warm-up is too short to get over it.
            let freeze = frozen && round > 0;
            let pair = Pair::open(&runtime, &cluster, hedge, None)?;
            // Frozen in the phase, not before it: what is sent to the node until it is left out is what this is about.
            let p99 = pair.phase(&runtime, &mut number, (0, span), || if freeze { cluster.pause("3") } else { Ok(()) });
            if freeze {
                cluster.resume("3")?;
                std::thread::sleep(Duration::from_secs(5));
            }
            measured.add(hedge, frozen, p99?);
        }
    }
    measured.tell(report);
    Ok(())
}

/// P99s in milliseconds.
#[derive(Clone, Copy, Debug)]
struct P99 {
    publish: f64,
    read: f64,
}

#[derive(Default)]
struct Measured {
    /// Frozen and healthy, in turns, by whether hedged.
    healthy: [Vec<P99>; 2],
    frozen: [Vec<P99>; 2],
    storms: Vec<(f64, f64)>,
    cached: Vec<f64>,
}

impl Measured {
    fn add(&mut self, hedge: bool, frozen: bool, p99: P99) {
        let phases = if frozen { &mut self.frozen } else { &mut self.healthy };
        phases[usize::from(hedge)].push(p99);
    }

    fn tell(self, report: &mut Report) {
        let middle = |mut all: Vec<f64>| {
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
        };
        // As operators run it; and with as many reads of the nodes as there are publishes.
        let whole = middle(self.storms.iter().skip(1).map(|(_, idle)| *idle).collect());
        let bare = middle(self.healthy[1].iter().skip(1).map(|p99| p99.publish).collect());
        report.figure("publish P99, 1 MiB, nodes and memcached up", whole, "ms", Some(PUBLISH_P99_MS));
        report.figure("publish P99, 1 MiB, nodes alone up", bare, "ms", None);
        let mut add = |name, hedge: usize, of: fn(&P99) -> f64, target| {
            let rounds = self.frozen[hedge].iter().zip(&self.healthy[hedge]);
            let rounds = rounds.map(|(frozen, healthy)| (of(frozen), of(healthy))).collect();
            report.add(Comparison { name, unit: "ms", rounds, target });
        };
        add("publish P99, a node frozen, hedged", 1, |p99| p99.publish, Target::AtMost(3.0));
        add("publish P99, a node frozen, not hedged", 0, |p99| p99.publish, Target::None);
        add("read P99, a node frozen, hedged", 1, |p99| p99.read, Target::AtMost(3.0));
        add("read P99, a node frozen, not hedged", 0, |p99| p99.read, Target::None);
        let (name, rounds) = ("publish P99, storm of reads beside idle", self.storms);
        report.add(Comparison { name, unit: "ms", rounds, target: Target::AtMost(2.0) });
        let least = self.cached.iter().copied().fold(f64::INFINITY, f64::min);
        let missed = 100.0 - least;
        report.figure("storm: reads not from memcached", missed, "percent", Some(100.0 - CACHED_MIN));
    }
}

/// One engine publishes, another reads; neither keeps anything in memory.
struct Pair {
    writer: Arc<Cassandra>,
    reader: Arc<Cassandra>,
}

impl Pair {
    fn open(runtime: &Runtime, cluster: &Cluster, hedge: bool, memcached: Option<memcached::Options>) -> Result<Self> {
        let options = Options::new(cluster.contact_points("dc1"), "dc1");
        let options = Options {
            keyspace: "bench".into(),
            publish_budget: BUDGET,
            hedge: options.hedge.filter(|_| hedge),
            window_bytes: 0,
            dvr_bytes: 0,
            memcached,
            ..options
        };
        let open = || Cassandra::open(options.clone(), Arc::new(SystemClock::default()), Arc::new(Deaf));
        Ok(Self { writer: runtime.block_on(open())?, reader: runtime.block_on(open())? })
    }

    /// Publishes and reads at a steady pace, with `storm` readers beside that never rest. `begin` comes first, when there
    /// is something to read.
    fn phase(
        &self,
        runtime: &Runtime,
        number: &mut u64,
        (storm, span): (usize, Duration),
        begin: impl FnOnce() -> Result<()>,
    ) -> Result<P99> {
        let rows: Arc<parking_lot::Mutex<Vec<Row>>> = Arc::default();
        // Something to read from the first moment on.
        for _ in 0..8 {
            rows.lock().push(runtime.block_on(publish(&self.writer, next(number)))?.1);
        }
        begin()?;
        let (ends, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let storming: Vec<_> = (0..storm)
            .map(|turn| {
                let (reader, rows, ends) = (Arc::clone(&self.reader), Arc::clone(&rows), Arc::clone(&ends));
                let reads = Arc::clone(&reads);
                runtime.spawn(async move {
                    while !ends.load(Ordering::Relaxed) {
                        let row = pick(&rows, reads.fetch_add(1, Ordering::Relaxed) as usize * 7 + turn);
                        // A failure shows in the paced reads.
                        drop(reader.read(&row, 0..row.size).await);
                    }
                })
            })
            .collect();
        let (mut published, mut read) = (Vec::new(), Vec::new());
        let started = Instant::now();
        let mut turn = 0;
        while started.elapsed() < span {
            let (writer, reader) = (Arc::clone(&self.writer), Arc::clone(&self.reader));
            let (number, sink) = (next(number), Arc::clone(&rows));
            published.push(runtime.spawn(async move {
                let (took, row) = publish(&writer, number).await?;
                sink.lock().push(row);
                anyhow::Ok(took)
            }));
            let row = pick(&rows, turn);
            read.push(runtime.spawn(async move {
                let begun = Instant::now();
                // Who is refused after 2 s has waited for so long.
                drop(reader.read(&row, 0..row.size).await);
                anyhow::Ok(begun.elapsed())
            }));
            turn += 1;
            std::thread::sleep((EVERY * turn as u32).saturating_sub(started.elapsed()));
        }
        let published = runtime.block_on(sorted(published))?;
        let read = runtime.block_on(sorted(read))?;
        ends.store(true, Ordering::Relaxed);
        for task in storming {
            runtime.block_on(task)?;
        }
        // A run takes minutes.
        let all = reads.load(Ordering::Relaxed);
        eprintln!(
            "{span:?}: P50, P99, max of publishes {}, of reads {} ms; {storm} readers of a storm read {all} times",
            line(&published),
            line(&read)
        );
        Ok(P99 { publish: percentile(&published, 99), read: percentile(&read, 99) })
    }
}

fn next(number: &mut u64) -> u64 {
    *number += 1;
    *number
}

fn pick(rows: &parking_lot::Mutex<Vec<Row>>, turn: usize) -> Row {
    let rows = rows.lock();
    // The newest ones: a live edge.
    let newest = rows.len().min(40);
    rows[rows.len() - 1 - turn % newest].clone()
}

async fn publish(writer: &Cassandra, number: u64) -> Result<(Duration, Row)> {
    let body: Body = body(number, BODY_BYTES);
    let claim = claim(segment("v", number, "a"), &body, SystemClock::default().wall());
    let begun = Instant::now();
    match writer.publish(claim, body).await? {
        Published::Stored(row) | Published::Same(row) | Published::Final(row) | Published::Exists(row) => {
            Ok((begun.elapsed(), row))
        }
    }
}

/// What each of them took, in milliseconds.
async fn sorted(all: Vec<tokio::task::JoinHandle<Result<Duration>>>) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    for one in all {
        took.push(one.await??.as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// The smallest that so many of a hundred are not above.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

fn line(sorted: &[f64]) -> String {
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(sorted, percent));
    format!("{p50:.0}, {p99:.1}, {max:.0}")
}
