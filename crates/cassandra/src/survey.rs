//! What lies in the cluster, looked at beside running engines: for the commands that check it, mend it and say what it
//! holds. Reads in small pages at a pace, so that servers do not feel it, and looks again at whatever seems wrong before
//! it says so, because records come and go meanwhile. Only [`repair`](Survey::repair) changes anything, and nothing
//! that counts unless it is told to.

mod bury;
mod find;
mod holdings;
mod pages;
mod repair;
mod report;
mod statements;
mod verify;

use std::collections::HashMap;
use std::convert::identity;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::event::Entry;
use headwater_model::row::EventId;
use headwater_model::{EventName, Tenant, Timestamp};
use headwater_store::StoreError;
use headwater_store::stamp::Clock;
use parking_lot::Mutex;

use crate::OpenError;
use crate::entries::Standing;
use crate::index::life;
use crate::options::Options;
use crate::place;
use crate::session::{Cluster, Profiles};
use crate::tables::Reach;
use statements::Statements;

pub use holdings::Holdings;
pub use repair::{Deed, Repaired};
pub use report::{Finding, Report, What};

/// Entries (records, chunks, places of the listing) a second, unless told otherwise: a million segments of four chunks in
/// 20 minutes, and a few pages a second, of which a node does not notice one.
pub const RATE: u32 = 5000;
/// Payload bytes a second, unless told otherwise.
pub const PAYLOAD_RATE: u64 = 32 << 20;
/// Shorter waits are added up: a timer is no finer than a millisecond.
const WAIT_MIN: Duration = Duration::from_millis(5);

/// How fast a survey reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Entries a second.
    pub entries: u32,
    /// Payload bytes a second.
    pub payload_bytes: u64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { entries: RATE, payload_bytes: PAYLOAD_RATE }
    }
}

/// Hears how far a survey is.
pub trait Progress: Send + Sync {
    /// What comes next, in so many steps.
    fn begin(&self, what: &'static str, steps: u64);
    /// So many steps are done.
    fn done(&self, steps: u64);
}

/// What to do beside looking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mend {
    /// Give up segments whose bytes are gone for good, so that another pipeline's candidate is chosen.
    pub drop_lost: bool,
    /// Change nothing; say what would be done.
    pub dry_run: bool,
}

/// A look at the keyspaces of an engine.
pub struct Survey {
    options: Options,
    cluster: Arc<Cluster>,
    statements: Statements,
    clock: Arc<dyn Clock>,
    progress: Arc<dyn Progress>,
    rate: Rate,
    /// No read before this moment of the monotonic clock.
    next: Mutex<Duration>,
}

impl Survey {
    /// Connects to keyspaces that have to be there.
    ///
    /// # Errors
    /// [`OpenError`], with what to do.
    pub async fn open(
        options: Options,
        rate: Rate,
        clock: Arc<dyn Clock>,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, OpenError> {
        let cluster = Arc::new(Cluster::attach(&options).await?);
        let statements = Statements::prepare(&cluster, &options, &Profiles::new(&options)).await?;
        let next = Mutex::new(clock.monotonic());
        Ok(Self { options, cluster, statements, clock, progress, rate, next })
    }

    /// Waits until `count` more entries may be read.
    async fn pace(&self, count: usize) {
        self.hold(Duration::from_secs_f64(count as f64 / f64::from(self.rate.entries.max(1)))).await;
    }

    /// Waits until so many bytes of payload may be read.
    async fn pace_bytes(&self, bytes: u64) {
        self.hold(Duration::from_secs_f64(bytes as f64 / self.rate.payload_bytes.max(1) as f64)).await;
    }

    async fn hold(&self, span: Duration) {
        let now = self.clock.monotonic();
        let wait = {
            let mut next = self.next.lock();
            *next = (*next).max(now) + span;
            next.saturating_sub(now)
        };
        if wait >= WAIT_MIN {
            self.clock.sleep(wait).await;
        }
    }

    /// Waits until `moment` of the monotonic clock.
    async fn until(&self, moment: Duration) {
        let left = moment.saturating_sub(self.clock.monotonic());
        if !left.is_zero() {
            self.progress.begin("wait", left.as_secs());
            self.clock.sleep(left).await;
        }
    }

    /// The lives of events as they are now.
    async fn lives(&self) -> Result<Lives, StoreError> {
        let scan = self.cluster.statements.events.scan.by(Reach::Here);
        Ok(Lives::of(self.cluster.entries_by(scan, identity).await?))
    }
}

/// Lives of events.
struct Lives {
    /// Whether any entry is there, be it of an event that is gone.
    any: bool,
    alive: HashMap<i64, (Tenant, EventName)>,
    /// Those that are over and whose media is still to be freed, with the entry that says so.
    ended: HashMap<i64, Standing>,
}

impl Lives {
    fn of(entries: Vec<Standing>) -> Self {
        let any = !entries.is_empty();
        let (mut alive, mut ended) = (HashMap::new(), HashMap::new());
        for standing in entries {
            let names = |entry: &Entry| (entry.names().0.clone(), entry.names().1.clone());
            if let Some(id) = life(&standing.entry) {
                alive.insert(place::event(id), names(&standing.entry));
            }
            standing.ended.iter().for_each(|id| drop(ended.insert(place::event(*id), standing.clone())));
        }
        Self { any, alive, ended }
    }

    /// Whether no event of this life is there.
    fn is_over(&self, event: i64) -> bool {
        !self.alive.contains_key(&event)
    }

    /// `TENANT/EVENT`, if an entry tells it.
    fn name(&self, event: EventId) -> Option<String> {
        let event = place::event(event);
        let (tenant, name) = match (self.alive.get(&event), self.ended.get(&event)) {
            (Some((tenant, name)), _) => (tenant, name),
            (None, Some(standing)) => standing.entry.names(),
            (None, None) => return None,
        };
        Some(format!("{tenant}/{name}"))
    }
}

/// `earlier` than `at`.
fn before(at: Timestamp, earlier: Duration) -> Timestamp {
    at.offset_nanos(-(earlier.as_nanos() as i128))
}
