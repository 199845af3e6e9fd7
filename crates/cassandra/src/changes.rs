//! How processes learn of each other's commits: before a process commits, it notes in a table what it is about to
//! change; every process reads that table several times a second and looks at what is named there until it sees the
//! change or enough time has passed. A note is never trusted, only followed, so one too many costs a read, and a process
//! that dies between note and commit or after the commit leaves nothing unseen.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use headwater_model::Timestamp;
use headwater_model::row::{Key, Version};
use headwater_model::{EventName, Tenant};
use headwater_store::StoreError;
use headwater_store::broken::{Fault, broken};
use headwater_store::codec::{decode_key, encode_key};

use crate::announce::{Announcer, is_removed};
use crate::entries::Standing;
use crate::error::{damaged, unavailable};
use crate::place::Place;
use crate::session::Cluster;
use crate::tables::Tables;

/// Notes of one bucket of time are in one partition, for which the schema has this name. Every look would read all of
/// several, so more of them are more questions to the cluster and not fewer to a node; one takes thousands a second.
const SHARD: i32 = 0;
/// Seconds of a bucket: a look reads one, near its ends two.
const BUCKET_S: i64 = 10;
/// How far from ours the clocks of others may be.
const SKEW: Duration = Duration::from_secs(2);
/// So late a note may become visible: an attempt to write one that takes longer is made anew, with a new time.
pub(crate) const NOTED_WITHIN: Duration = Duration::from_secs(1);
/// Notes live for so long.
const LIFE: Duration = Duration::from_secs(120);
/// How often all of them are read where some may come from another datacentre: what did not get here at once comes when
/// the nodes there find time for it.
const WIDE_EVERY: Duration = Duration::from_secs(20);
/// From a note to the first look at what it names: the commit comes after the note, and a feed mostly tells of it before.
/// Each later look waits this much longer than the one before, up to [`LOOKS_APART_MAX`]: the slower the cluster is, the
/// longer a commit takes, and the less it bears questions.
const LOOKS_APART: Duration = Duration::from_millis(150);
const LOOKS_APART_MAX: Duration = Duration::from_millis(600);
/// What is looked for stays open for this much longer than a publish may take: its last attempt may still come to its
/// end.
const LINGER: Duration = Duration::from_secs(3);
/// Looks at records at once.
const LOOKS: usize = 16;
/// Who has not looked for this long may have missed notes, which live a little longer, and reads all records again.
pub(crate) const BLIND_MAX: Duration = Duration::from_secs(90);

/// What is about to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// This candidate gets this version.
    Published(Key, Version),
    /// This candidate is removed.
    Removed(Key),
    /// This event gets an entry of this revision.
    Entry(Tenant, EventName, u64),
}

/// Tells a note from all others.
pub type Token = [u8; 16];

/// What is still to be looked at.
struct Open {
    note: Note,
    /// When its change cannot come any more.
    until: Duration,
    /// When to look next.
    due: Duration,
    /// From that look to the one after it.
    pause: Duration,
    /// Up to when it is known what became of it: the beginning of the last look, or of the one before the note was seen.
    known: Duration,
}

impl Note {
    /// Kind, key and token as columns.
    fn columns(&self) -> (i8, Vec<u8>, Token) {
        let mut key = Vec::new();
        match self {
            Self::Published(of, version) => {
                encode_key(of, &mut key);
                (0, key, version.0.to_be_bytes())
            }
            Self::Removed(of) => {
                encode_key(of, &mut key);
                (1, key, crate::version::chance().to_be_bytes())
            }
            Self::Entry(tenant, name, rev) => {
                let mut token = crate::version::chance().to_be_bytes();
                token[..8].copy_from_slice(&rev.to_be_bytes());
                (2, format!("{tenant}/{name}").into_bytes(), token)
            }
        }
    }

    fn read(kind: i8, key: &[u8], token: Token) -> Result<Self, StoreError> {
        let wrong = |error: &dyn std::fmt::Display| damaged("a note of a change", error);
        match kind {
            0 | 1 => {
                let key = decode_key(&mut &key[..]).map_err(|error| wrong(&error))?;
                let version = Version(u128::from_be_bytes(token));
                Ok(if kind == 0 { Self::Published(key, version) } else { Self::Removed(key) })
            }
            2 => {
                let names = std::str::from_utf8(key).ok().and_then(|names| names.split_once('/'));
                let (tenant, name) = names.ok_or_else(|| wrong(&"no names"))?;
                let tenant = Tenant::new(tenant).map_err(|error| wrong(&error))?;
                let name = EventName::new(name).map_err(|error| wrong(&error))?;
                let rev = u64::from_be_bytes(std::array::from_fn(|index| token[index]));
                Ok(Self::Entry(tenant, name, rev))
            }
            other => Err(wrong(&format!("kind {other}"))),
        }
    }
}

/// Notes of changes. Every call fails as those of [`Records`](crate::tables::Records) do.
#[async_trait]
pub trait Notes: Send + Sync {
    /// Notes a change that process `node` is about to make at `wall`.
    async fn note(&self, note: &Note, node: i64, wall: Timestamp) -> Result<(), StoreError>;

    /// Notes from `from` on, in nanoseconds since the epoch, in one bucket, with their tokens and nodes.
    async fn notes(&self, bucket: i64, from: i64) -> Result<Vec<(Token, i64, Note)>, StoreError>;

    /// How many nodes of the other datacentre this process is connected to; `None` if there is none.
    fn others_up(&self) -> Option<usize>;
}

#[async_trait]
impl Notes for Cluster {
    async fn note(&self, note: &Note, node: i64, wall: Timestamp) -> Result<(), StoreError> {
        let (kind, key, token) = note.columns();
        let at = nanos(wall);
        let values = (SHARD, at / (BUCKET_S * 1_000_000_000), at, token, node, kind, key);
        let result = self.session.execute_unpaged(&self.statements.changes.insert, values).await;
        result.map(drop).map_err(|error| unavailable("noting a change", error))
    }

    async fn notes(&self, bucket: i64, from: i64) -> Result<Vec<(Token, i64, Note)>, StoreError> {
        let pages = self.session.execute_iter(self.statements.changes.read.clone(), (SHARD, bucket, from)).await;
        let pages = pages.map_err(|error| unavailable("reading changes", error))?;
        let rows = pages.rows_stream::<(i64, Vec<u8>, i64, i8, Vec<u8>)>();
        let mut rows = rows.map_err(|error| damaged("changes", error))?;
        let mut notes = Vec::new();
        while let Some(row) = rows.next().await {
            let (_, token, node, kind, key) = row.map_err(|error| unavailable("reading changes", error))?;
            let token = Token::try_from(token).map_err(|_| damaged("a note of a change", "its token"))?;
            match Note::read(kind, &key, token) {
                Ok(note) => notes.push((token, node, note)),
                // Of a later build, perhaps. It is asked for five times a second, and the others matter.
                Err(error) => tracing::debug!(%error, "a note is left out"),
            }
        }
        Ok(notes)
    }

    fn others_up(&self) -> Option<usize> {
        let other = self.sites.other.as_ref()?;
        let state = self.session.get_cluster_state();
        let nodes = state.get_nodes_info().iter();
        Some(nodes.filter(|node| node.datacenter.as_ref() == Some(other) && node.is_connected()).count())
    }
}

/// How what a note names is read.
#[derive(Clone, Copy)]
enum Reading {
    /// As a local quorum has it.
    Quorum,
    /// After everything that was begun before.
    Serial,
}

/// What one process follows.
pub(crate) struct Watch {
    /// What a publish may take: so long after its note its commit may come.
    budget: Duration,
    /// Whether notes may come from another datacentre.
    is_apart: bool,
    /// When all notes were read last.
    wide: Duration,
    /// The same clock at the last look that read everything it had to.
    last: Duration,
    /// The wall clock at the last look that read everything: the next one reads from there, whatever came in between.
    looked: Timestamp,
    /// Notes seen, with when, so that each is taken up once.
    seen: HashMap<Token, Duration>,
    open: Vec<Open>,
}

impl Watch {
    /// For processes whose publishes take at most `budget`, of two datacentres if it `is_apart`; everything that was
    /// committed before `last`, when the wall clock said `wall`, is known, and what was noted before may still come.
    pub(crate) fn new(budget: Duration, is_apart: bool, last: Duration, wall: Timestamp) -> Self {
        let looked = wall.offset_nanos(-((budget + LINGER).as_nanos() as i128));
        let wide = Duration::ZERO;
        Self { budget, is_apart, wide, last, looked, seen: HashMap::new(), open: Vec::new() }
    }

    /// Looks at what `note` names until it is there, or cannot come any more.
    pub(crate) fn follow(&mut self, note: Note, now: Duration) {
        let (until, due) = (now + self.budget + LINGER, now + LOOKS_APART);
        self.open.push(Open { note, until, due, pause: LOOKS_APART, known: self.last });
    }

    /// Reads the notes of others and looks at what they name: what was committed before the answer is known. `now` is
    /// monotonic, as the answer is, `wall` is not; `node` is ourselves.
    pub(crate) async fn look(
        &mut self,
        cluster: &dyn Tables,
        announcer: &Announcer,
        node: i64,
        now: Duration,
        wall: Timestamp,
    ) -> Result<Duration, StoreError> {
        let span = |span: Duration| span.as_nanos() as i64;
        let is_wide = self.is_apart && now >= self.wide + WIDE_EVERY;
        let late = if is_wide { LIFE } else { NOTED_WITHIN };
        let from = nanos(self.looked.min(wall)) - span(late + SKEW);
        let to = nanos(wall) + span(SKEW);
        let buckets = from / (BUCKET_S * 1_000_000_000)..=to / (BUCKET_S * 1_000_000_000);
        let reads: Vec<_> = buckets.map(|bucket| cluster.notes(bucket, from)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(LOOKS);
        let mut failed = None;
        while let Some(notes) = reads.next().await {
            match notes {
                Ok(notes) => self.take_up(notes, node, now),
                Err(error) => failed = Some(error),
            }
        }
        if failed.is_none() {
            self.looked = wall;
            self.wide = if is_wide { now } else { self.wide };
            let read_until = 3 * SKEW + if self.is_apart { LIFE } else { NOTED_WITHIN };
            self.seen.retain(|_, at| now < *at + read_until);
        }
        let checked = self.check(cluster, announcer, now).await;
        failed.map_or(checked, Err)?;
        self.last = now;
        Ok(self.open.iter().map(|open| open.known).fold(now, Duration::min))
    }

    fn take_up(&mut self, notes: Vec<(Token, i64, Note)>, node: i64, now: Duration) {
        for (token, from, note) in notes {
            if from != node && !broken(Fault::IgnoresNotes) && self.seen.insert(token, now).is_none() {
                self.follow(note, now);
            }
        }
    }

    /// Looks at everything that is due. Who could not read one of the records does not know what others have committed.
    async fn check(&mut self, cluster: &dyn Tables, announcer: &Announcer, now: Duration) -> Result<(), StoreError> {
        let due = self.open.extract_if(.., |open| open.due <= now);
        let looks: Vec<_> = due.map(|open| follow_up(cluster, announcer, open, now)).collect();
        let looks: Vec<(Option<Open>, Result<(), StoreError>)> =
            stream::iter(looks).buffer_unordered(LOOKS).collect().await;
        let mut answer = Ok(());
        for (open, looked) in looks {
            self.open.extend(open);
            answer = answer.and(looked);
        }
        answer
    }
}

/// Looks at what `note` names at once; whether the change is there.
pub(crate) async fn look_at(cluster: &dyn Tables, announcer: &Announcer, note: &Note) -> bool {
    see(cluster, announcer, note, Reading::Quorum).await.unwrap_or(false)
}

/// Looks once more; `None` if that was the last time. A look that the cluster does not answer is none: the note is not
/// read again, so it stays open however long that lasts.
async fn follow_up(
    cluster: &dyn Tables,
    announcer: &Announcer,
    open: Open,
    now: Duration,
) -> (Option<Open>, Result<(), StoreError>) {
    // An attempt that got no answer may have been decided without any quorum having it: a serial read ends that.
    let how = if now < open.until { Reading::Quorum } else { Reading::Serial };
    let seen = see(cluster, announcer, &open.note, how).await;
    let may_come = now < open.until;
    let pause = LOOKS_APART_MAX.min(open.pause + LOOKS_APART);
    let open = Open { due: now + open.pause, pause, known: now, ..open };
    match seen {
        Ok(done) => ((!done && may_come).then_some(open), Ok(())),
        Err(error @ StoreError::Unavailable(_)) => (Some(open), Err(error)),
        // What cannot be understood will not be later on either.
        Err(error) => {
            tracing::error!(%error, "what another process has noted cannot be read");
            (may_come.then_some(open), Ok(()))
        }
    }
}

/// Looks at what `note` names and tells what has changed; whether the change it names is there.
async fn see(cluster: &dyn Tables, announcer: &Announcer, note: &Note, how: Reading) -> Result<bool, StoreError> {
    let key = match note {
        Note::Published(key, _) | Note::Removed(key) => key,
        Note::Entry(tenant, name, rev) => {
            let entry = match how {
                Reading::Quorum => cluster.entry(tenant, name).await?,
                Reading::Serial => cluster.entry_serial(tenant, name).await?,
            };
            let Some(Standing { entry, .. }) = entry else { return Ok(false) };
            let done = entry.counters().rev >= *rev;
            announcer.learn_entry(entry);
            return Ok(done);
        }
    };
    let before = announcer.known(key);
    // It was heard of before, or read with another one.
    if let Note::Published(_, version) = note
        && before.rows().any(|row| row.version == *version)
    {
        return Ok(true);
    }
    let stands = match how {
        Reading::Quorum => cluster.row(&Place::of(key)).await?,
        Reading::Serial => cluster.row_serial(&Place::of(key)).await?,
    };
    let done = match note {
        Note::Published(_, version) => stands.rows().any(|row| row.version == *version),
        _ => stands.record().is_none_or(is_removed),
    };
    Ok(announcer.learn(key, &before, stands) && done)
}

fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use headwater_store::conformance::{loose, segment};

    use super::*;

    #[test]
    fn notes_are_read_as_written() {
        let (tenant, name) = (Tenant::new("live").unwrap(), EventName::new("game-7").unwrap());
        let notes = [
            Note::Published(segment("v", 7, "a"), Version(1 << 100 | 5)),
            Note::Removed(loose("x/y.mpd", "b")),
            Note::Entry(tenant, name, 77),
        ];
        for note in notes {
            let (kind, key, token) = note.columns();
            assert_eq!(Note::read(kind, &key, token), Ok(note));
        }
        assert!(Note::read(9, b"", [0; 16]).is_err() && Note::read(2, b"live", [0; 16]).is_err());
    }
}
