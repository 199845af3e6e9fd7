//! What can be chosen about the engine, and the spans it works with. They follow from two figures of the contract: a
//! publish has 2 s in all, and one that takes 500 ms is a fault to be found.

use std::fmt;
use std::time::Duration;

use headwater_model::Millis;

use crate::place::Sites;
use crate::schema::Names;
use crate::{OpenError, memcached};

/// Everything that a publish does, retries too, unless an option says otherwise.
pub const PUBLISH_BUDGET: Duration = Duration::from_secs(2);
/// After the budget is used up, the time to learn whether the last attempt counted.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(500);
/// One read of a record or a chunk, with hedges. A reader's patience, not a publisher's: hls.js gives up after 10 s.
pub(crate) const READ_BUDGET: Duration = Duration::from_secs(2);
/// Between attempts, so that a node that refuses at once is not asked in a loop.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks for a chunk whose record has come from the other datacentre before it.
pub(crate) const ARRIVAL_LOOK: Duration = Duration::from_millis(50);
/// A record is hedged later than chunks are: a second proposer makes both slower.
pub(crate) const RECORD_HEDGE: Duration = Duration::from_millis(150);
/// How many more nodes are asked at most: with three copies there are two more.
pub(crate) const HEDGES_MAX: usize = 2;
/// Chunks of one body on their way at once: the whole of a usual segment, and 16 MiB of the largest at most.
pub(crate) const CHUNKS_IN_FLIGHT: usize = 16;
/// A connection whose node says nothing for this long is closed: a frozen machine keeps its sockets open.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Connecting and making the schema, at start.
pub(crate) const CONNECT_BUDGET: Duration = Duration::from_secs(10);
/// One page of the scan at start: longer than Cassandra's own 10 s for ranges, so that its answer tells what is wrong.
pub(crate) const SCAN_PAGE_BUDGET: Duration = Duration::from_secs(12);
/// Scans at start before giving up, of 10 s each. A node that has just died is asked for its ranges until the others have
/// noticed, which takes them 10 to 20 s, and one that has just started itself a minute and more: each scan may ask another.
pub(crate) const SCANS_MAX: usize = 6;
/// Attempts to read the records of both datacentres before what is here has to do: one node may be slow, or gone unnoticed.
pub(crate) const BOTH_MAX: usize = 2;
/// Between two: nodes that have just started see each other a little later.
pub(crate) const BOTH_PAUSE: Duration = Duration::from_secs(2);
/// All of these where somebody waits for them. A region goes on alone rather than wait for longer.
pub(crate) const BOTH_BUDGET: Duration = Duration::from_secs(60);
/// Pages of the scan at start, in records: about a MiB.
pub(crate) const PAGE_ROWS: i32 = 2000;
/// Records being compared and set at once, of one process. More only wait for each other inside the cluster, where they
/// look like slow nodes and are hedged.
pub(crate) const RECORDS_IN_FLIGHT: usize = 32;
/// Who has seen the commits of others within this span knows what is absent.
pub(crate) const CURRENT_FOR: Duration = Duration::from_secs(2);
/// Attempts to record one upload while others keep changing the record. Each means that somebody else succeeded.
pub(crate) const RACES_MAX: usize = 16;

/// Datacentres that share keyspaces: a record has two copies to choose from, not a vote.
const DATACENTRES_MAX: usize = 2;

/// Into how large pieces bodies are cut. Measured; see DESIGN.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChunkSize {
    /// 64 KiB: one slab, never copied.
    Kib64,
    /// 128 KiB.
    Kib128,
    /// 256 KiB.
    Kib256,
    /// 512 KiB.
    Kib512,
}

impl ChunkSize {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kib64, Self::Kib128, Self::Kib256, Self::Kib512];

    /// Bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        1 << (16 + self as u32)
    }
}

/// A role of Cassandra's, which may read and write the keyspaces, and make them unless they are there.
#[derive(Clone)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// Its password, which no message shows.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the login of {:?}", self.user)
    }
}

/// What can be chosen about the engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where nodes of the own datacentre answer CQL, as `NAME:PORT` or `ADDR:PORT`; the others are found through them.
    pub contact_points: Vec<String>,
    /// Who logs in there, where Cassandra asks (`authenticator`).
    pub login: Option<Login>,
    /// The own datacentre: quorums are of its nodes alone.
    pub datacentre: String,
    /// Each datacentre with its number of copies, the own one among them; two at most. For new keyspaces, and for which
    /// other datacentre's records count here: those of one that was given up do with 0 copies.
    pub replication: Vec<(String, u8)>,
    /// The keyspaces are called this and `_control`, `_media`: letters, digits and underscores.
    pub keyspace: String,
    /// For new bodies; those that are stored keep theirs.
    pub chunk_size: ChunkSize,
    /// Everything that a publish does, retries too: [`PUBLISH_BUDGET`]. Three quarters of it are for its chunks, a third
    /// for one attempt to record it; another attempt finds out what became of the one before.
    pub publish_budget: Duration,
    /// How long a chunk may take before another node is asked too, or longer while all are slow; `None` never asks another
    /// before the first fails.
    pub hedge: Option<Duration>,
    /// How often to look for what other processes have recorded.
    pub poll_every: Duration,
    /// Memory of the live window, in bytes: the bodies published last.
    pub window_bytes: usize,
    /// Memory of the DVR cache, in bytes: what was read back.
    pub dvr_bytes: u64,
    /// How long records and media outlive their retention: two segments, whose selection looks at them.
    pub grace: Millis,
    /// memcached in front of the chunks.
    pub memcached: Option<memcached::Options>,
}

impl Options {
    /// Three copies in `datacentre`, no memcached.
    #[must_use]
    pub fn new(contact_points: impl IntoIterator<Item = impl ToString>, datacentre: &str) -> Self {
        Self {
            contact_points: contact_points.into_iter().map(|point| point.to_string()).collect(),
            login: None,
            datacentre: datacentre.to_owned(),
            replication: vec![(datacentre.to_owned(), 3)],
            keyspace: "headwater".to_owned(),
            chunk_size: ChunkSize::Kib256,
            publish_budget: PUBLISH_BUDGET,
            // What a body of 1 MiB takes to be read at the 99th percentile from three healthy nodes that share two cores.
            hedge: Some(Duration::from_millis(75)),
            // Twice in the time in which other nodes have to know: one look may be lost.
            poll_every: Duration::from_millis(200),
            window_bytes: 512 << 20,
            dvr_bytes: 256 << 20,
            // Two of the longest segments (contract §3).
            grace: Millis::from_seconds(120),
            memcached: None,
        }
    }
}

impl Options {
    /// Whether they make sense; nobody is asked.
    ///
    /// # Errors
    /// [`OpenError::Option`], naming the option.
    pub fn check(&self) -> Result<(), OpenError> {
        Names::new(self)?;
        self.sites().map(drop)
    }

    /// The datacentres whose records count.
    pub(crate) fn sites(&self) -> Result<Sites, OpenError> {
        let wrong = |problem: String| OpenError::Option { field: "replication", problem };
        if !self.replication.iter().any(|(name, copies)| *name == self.datacentre && *copies > 0) {
            return Err(wrong(format!("`{}`, the own datacentre, has no copies; give it some", self.datacentre)));
        }
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if let Some((stray, _)) = self.replication.iter().find(|(name, _)| name.is_empty() || !is_name(name)) {
            return Err(wrong(format!("`{stray}` is no datacentre's name; write what `nodetool status` shows")));
        }
        if self.replication.len() > DATACENTRES_MAX {
            return Err(wrong(format!("more than {DATACENTRES_MAX} datacentres; name the own one and one other")));
        }
        let other = self.replication.iter().map(|(name, _)| name).find(|name| **name != self.datacentre);
        Ok(Sites { own: self.datacentre.clone(), other: other.cloned() })
    }

    /// For staging: leaves a quarter of the budget to the record.
    pub(crate) fn stage_budget(&self) -> Duration {
        self.publish_budget * 3 / 4
    }

    /// For one attempt to compare and set a record.
    pub(crate) fn record_attempt(&self) -> Duration {
        self.publish_budget / 3
    }
}
