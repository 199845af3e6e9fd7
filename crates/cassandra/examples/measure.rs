//! What a publish and a read cost on a cluster that is up: `cargo xtask cluster up --dir DIR`, then
//! `cargo run -p headwater-cassandra --example measure -- DIR [sizes | hedge NODE | visible | regions]`. The figures of DESIGN.md
//! are from here.
#![expect(clippy::disallowed_methods, reason = "a benchmark: it takes times and reads its arguments")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use headwater_cassandra::{Cassandra, ChunkSize, Options};
use headwater_cluster::Cluster;
use headwater_store::conformance::{Heard, body, claim, segment};
use headwater_store::stamp::SystemClock;
use headwater_store::{Published, Store};

/// Publishes of each size in a round.
const PUBLISHES: u64 = 20;
/// Rounds.
const ROUNDS: u64 = 5;
/// Not counted: the nodes compile what they run.
const WARM_UP: u64 = 20;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (folder, what) = words.split_first().context("measure DIR [sizes | hedge NODE | visible | regions]")?;
    let cluster = Cluster::open(Path::new(folder))?.with_context(|| format!("no cluster in {folder}"))?;
    match what {
        [] | ["sizes"] => sizes(&cluster).await,
        ["hedge", node] => hedge(&cluster, node).await,
        ["visible"] => visible(&open(&cluster, |_| {}).await?.0, &open(&cluster, |_| {}).await?.1).await,
        ["regions"] => regions(&cluster).await,
        _ => bail!("measure DIR [sizes | hedge NODE | visible | regions]"),
    }
}

/// Opens the engine with nothing in memory.
async fn open(cluster: &Cluster, change: impl FnOnce(&mut Options)) -> Result<(Arc<Cassandra>, Arc<Heard>)> {
    let mut options = Options::new(cluster.contact_points("dc1"), "dc1");
    options.keyspace = "measure".into();
    (options.window_bytes, options.dvr_bytes) = (0, 0);
    change(&mut options);
    let heard = Arc::new(Heard::default());
    Ok((Cassandra::open(options, Arc::new(SystemClock::default()), heard.clone()).await?, heard))
}

/// 1 MiB by chunk size, in turns, so that what else the machine does falls on all alike; then smaller bodies.
async fn sizes(cluster: &Cluster) -> Result<()> {
    let mut taken = Vec::new();
    for size in ChunkSize::ALL {
        let (store, _) = open(cluster, |options| options.chunk_size = size).await?;
        run(&store, WARM_UP, 1, 1 << 20).await?;
        taken.push((size, store, Vec::new(), Vec::new()));
    }
    for at_once in [1, 4] {
        for _ in 0..ROUNDS {
            for (_, store, publishes, reads) in &mut taken {
                let (some, others) = run(store, PUBLISHES, at_once, 1 << 20).await?;
                publishes.extend(some);
                reads.extend(others);
            }
        }
        for (size, _, publishes, reads) in &mut taken {
            let (publishes, reads) = (line(std::mem::take(publishes)), line(std::mem::take(reads)));
            println!("{:4} KiB chunks, {at_once} at once: publish {publishes}, read {reads}", size.bytes() >> 10);
        }
    }
    for length in [0, 64 << 10] {
        let (publishes, reads) = run(&taken[2].1, PUBLISHES * ROUNDS, 1, length).await?;
        println!("{length:6} B, 1 at once: publish {}, read {}", line(publishes), line(reads));
    }
    Ok(())
}

/// 256 KiB with one node frozen, with and without hedging.
async fn hedge(cluster: &Cluster, node: &str) -> Result<()> {
    for (name, hedge) in [("hedged", Options::new([""; 0], "").hedge), ("not hedged", None)] {
        let (store, _) = open(cluster, |options| {
            options.hedge = hedge;
            options.publish_budget = Duration::from_secs(30);
        })
        .await?;
        run(&store, WARM_UP, 1, 256 << 10).await?;
        let (publishes, reads) = run(&store, 100, 1, 256 << 10).await?;
        println!("{name}, all nodes: publish {}, read {}", line(publishes), line(reads));
        cluster.pause(node)?;
        // Short: after some seconds the others know, and the driver closes its connections.
        let frozen = run(&store, 20, 1, 256 << 10).await;
        cluster.resume(node)?;
        let (publishes, reads) = frozen?;
        println!("{name}, node {node} frozen: publish {}, read {}", line(publishes), line(reads));
    }
    Ok(())
}

/// Publishes in one datacentre and listens in another; both have three copies.
async fn regions(cluster: &Cluster) -> Result<()> {
    let both = |options: &mut Options, own: &str| {
        options.keyspace = "measure_regions".into();
        options.replication = vec![("dc1".into(), 3), ("dc2".into(), 3)];
        options.datacentre = own.into();
        options.contact_points = cluster.contact_points(own).iter().map(ToString::to_string).collect();
    };
    let (one, _) = open(cluster, |options| both(options, "dc1")).await?;
    let (two, heard) = open(cluster, |options| both(options, "dc2")).await?;
    visible(&one, &heard).await?;
    let mut spans = Vec::new();
    for notice in heard.all() {
        let headwater_store::Notice::Published(row) = notice else { continue };
        let started = Instant::now();
        two.read(&row, 0..row.size).await?;
        spans.push(started.elapsed());
    }
    println!("read in the other datacentre: {}", line(spans));
    Ok(())
}

/// From the answer to a publish until another process has announced it.
async fn visible(store: &Arc<Cassandra>, heard: &Heard) -> Result<()> {
    let mut spans = Vec::new();
    for _ in 0..100 {
        let before = heard.all().len();
        publish(store, 10_000).await?;
        let answered = Instant::now();
        while heard.all().len() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        spans.push(answered.elapsed());
    }
    println!("heard by another process: {}", line(spans));
    Ok(())
}

/// Publishes and reads back; how long each took.
async fn run(
    store: &Arc<Cassandra>,
    count: u64,
    at_once: u64,
    length: usize,
) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let tasks = (0..at_once).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let (mut publishes, mut reads) = (Vec::new(), Vec::new());
            for _ in 0..count / at_once {
                let (took, row) = publish(&store, length).await?;
                publishes.push(took);
                let started = Instant::now();
                let (read, _) = store.read(&row, 0..row.size).await?;
                reads.push(started.elapsed());
                ensure!(read.len() == length as u64, "a short read");
            }
            Ok((publishes, reads))
        })
    });
    let (mut publishes, mut reads) = (Vec::new(), Vec::new());
    for task in tasks.collect::<Vec<_>>() {
        let (some, others) = task.await??;
        publishes.extend(some);
        reads.extend(others);
    }
    Ok((publishes, reads))
}

async fn publish(store: &Arc<Cassandra>, length: usize) -> Result<(Duration, headwater_model::row::Row)> {
    // A number of its own for each: its stamp.
    let number = store.stamp().nanos() as u64;
    let bytes = body(number, length);
    let claim = claim(segment("v", number, "a"), &bytes, store.stamp());
    let started = Instant::now();
    match store.publish(claim, bytes).await? {
        Published::Stored(row) => Ok((started.elapsed(), row)),
        other => bail!("not stored: {other:?}"),
    }
}

fn line(mut spans: Vec<Duration>) -> String {
    spans.sort();
    let at = |share: usize| spans[(spans.len() * share / 100).min(spans.len() - 1)].as_secs_f64() * 1000.0;
    format!("P50 {:.0} P99 {:.0} max {:.0} ms", at(50), at(99), at(100))
}
