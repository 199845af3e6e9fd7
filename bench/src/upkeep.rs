//! Rows of the store's housekeeping: the P99 of a publish while a bucket of 1 GiB expires, while an event of 1 GiB is
//! deleted whose buckets others share, and while `headwater store check` reads the directory; each beside the idle
//! store of the same round.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_model::event::{Counters, Entry};
use headwater_model::row::{Claim, EventId, Keep, Key};
use headwater_model::{Millis, Timestamp};
use headwater_store::conformance::{body, claim, event, segment};
use headwater_store::disk::Directory;
use headwater_store::log::Options;
use headwater_store::stamp::{Clock, SystemClock};
use headwater_store::{Body, Log, Store};
use tokio::runtime::{Builder, Runtime};

use crate::append::{Deaf, give_back};
use crate::report::{Comparison, Report, Target};

/// Of a phase: long enough that the work of it is in progress all the time or is over.
const PHASE: Duration = Duration::from_secs(6);
/// A publish comes every so often, whether the last one is done or not.
const EVERY: Duration = Duration::from_millis(10);
/// Of each.
const BODY_BYTES: usize = 128 << 10;
/// Of what expires and of what is deleted, in segments of 1 MiB.
const SEGMENTS: u64 = 1024;

const HOUR: u64 = 3600;
const LIVE: EventId = EventId(1);
const EXPIRES: EventId = EventId(2);
const DELETED: EventId = EventId(3);

/// The machine's clocks, so much ahead.
#[derive(Default)]
struct Ahead {
    system: SystemClock,
    nanos: AtomicU64,
}

impl Ahead {
    fn jump(&self, span: Duration) {
        self.nanos.fetch_add(span.as_nanos() as u64, Ordering::Relaxed);
    }

    fn ahead(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

impl Clock for Ahead {
    fn wall(&self) -> Timestamp {
        self.system.wall().offset_nanos(self.ahead().as_nanos() as i128)
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic() + self.ahead()
    }

    fn sleep(&self, span: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        self.system.sleep(span)
    }
}

/// Measures all of them; `program` is the server's, which checks stores too.
pub(crate) fn run(program: &Path, scratch: &Path, rounds: usize, report: &mut Report) -> Result<()> {
    let (mut checks, mut deletions, mut expiries, mut idles) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let dir = scratch.join("upkeep");
        let store = Loaded::open(&dir)?;
        let idle = store.p99()?;
        let check = {
            let mut command = Command::new(program);
            command.args(["store", "check", "--data"]).arg(&dir).stdout(Stdio::null()).stderr(Stdio::null());
            let mut checking = command.spawn().context("cannot start the check")?;
            let p99 = store.p99()?;
            let _ = checking.kill();
            let _ = checking.wait();
            p99
        };
        store.delete()?;
        let deletion = store.p99()?;
        let again = store.p99()?;
        store.clock.jump(Duration::from_secs(2 * HOUR));
        let expiry = store.p99()?;
        drop(store);
        give_back(&dir)?;
        // What a quiet store takes drifts with the machine: each is compared with what lies nearest in time.
        idles.push((again, idle));
        checks.push((check, idle));
        deletions.push((deletion, (idle + again) / 2.0));
        expiries.push((expiry, again));
    }
    let mut add = |name, rounds, target| report.add(Comparison { name, unit: "ms", rounds, target });
    add("publish P99, idle store, twice", idles, Target::None);
    add("publish P99, store check runs", checks, Target::AtMost(1.5));
    add("publish P99, event of 1 GiB deleted", deletions, Target::AtMost(1.5));
    add("publish P99, bucket of 1 GiB expires", expiries, Target::AtMost(1.5));
    Ok(())
}

/// A log with a GiB that will expire and a GiB that will be deleted.
struct Loaded {
    log: Arc<Log>,
    clock: Arc<Ahead>,
    runtime: Runtime,
    body: Body,
    next: AtomicU64,
}

impl Loaded {
    fn open(dir: &Path) -> Result<Self> {
        let clock = Arc::new(Ahead::default());
        let options = Options { window_bytes: 64 << 20, expire_after: Duration::ZERO, ..Options::default() };
        let log = Log::open(options, clock.clone(), Arc::new(Directory::open(dir)?), Arc::new(Deaf))?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
        let store = Self { log, clock, runtime, body: body(1, BODY_BYTES), next: AtomicU64::new(0) };
        let entry = Entry::Alive(Box::new(event(DELETED, "deleted", Counters::default())));
        store.runtime.block_on(store.log.write_entry(entry, 0))?;
        let large = body(2, 1 << 20);
        for number in 0..SEGMENTS {
            let publish = async |id, hours| publish(&store.log, (id, number), hours, &large).await;
            // One of the live event among them, so that no bucket belongs to the deleted one alone.
            let live = async { if number % 64 == 0 { store.one_more().await } else { Ok(()) } };
            store.runtime.block_on(async { tokio::try_join!(publish(EXPIRES, 1), publish(DELETED, 24), live) })?;
        }
        Ok(store)
    }

    /// Deletes one event; its space comes back in the background.
    fn delete(&self) -> Result<()> {
        let alive = event(DELETED, "deleted", Counters::default());
        let counters = Counters { rev: alive.rev + 1, ..Counters::default() };
        let gone = Entry::Gone { tenant: alive.tenant, name: alive.name, counters };
        Ok(self.runtime.block_on(self.log.write_entry(gone, alive.rev))?)
    }

    async fn one_more(&self) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        publish(&self.log, (LIVE, number), 24, &self.body).await
    }

    /// The P99 of a publish over a phase, in milliseconds from the moment when it was due.
    fn p99(&self) -> Result<f64> {
        let (started, mut running) = (Instant::now(), Vec::new());
        let mut due = started;
        while due < started + PHASE {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let (log, body) = (Arc::clone(&self.log), self.body.clone());
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            running.push(self.runtime.spawn(async move {
                publish(&log, (LIVE, number), 24, &body).await?;
                anyhow::Ok(due.elapsed())
            }));
            due += EVERY;
        }
        let mut took = Vec::new();
        for publishing in running {
            took.push(self.runtime.block_on(publishing)??.as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        Ok(took[took.len() * 99 / 100])
    }
}

async fn publish(log: &Log, (event, number): (EventId, u64), hours: u64, body: &Body) -> Result<()> {
    let claim = claim(Key { event, ..segment("v", number, "a") }, body, log.stamp());
    let keep = Keep::Until(log.stamp() + Millis::from_seconds(hours * HOUR));
    log.publish(Claim { keep, ..claim }, body.clone()).await?;
    Ok(())
}
