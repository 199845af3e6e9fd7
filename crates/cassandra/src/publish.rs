//! The way of an upload into the cluster: stage the chunks, list the partition and note the change, all at once; then,
//! in turn with others of the same partition, stamp, judge, compare and set; then tell. Every part may be sent again.
//! The record is the only thing that makes bytes visible, so a crash at any moment leaves an object whole or absent.

use std::sync::Arc;
use std::time::Duration;

use headwater_model::Timestamp;
use headwater_model::row::{Claim, Keep, Key, Object, Row, Verdict, Version, judge};
use headwater_store::broken::{Fault, broken};
use headwater_store::{Body, Published, StoreError};
use parking_lot::Mutex;

use crate::announce::{Change, is_removed};
use crate::changes::{NOTED_WITHIN, Note};
use crate::copies::Copies;
use crate::engine::Engine;
use crate::options::{LAST_LOOK, RACES_MAX, RETRY_PAUSE};
use crate::place::Place;
use crate::rows::Swap;
use crate::{chunks, copies, version};

/// Replaced manifests are read to their end before their chunks go.
pub(crate) const REPLACED_FOR: Duration = Duration::from_secs(15);

/// That a manifest was removed is told to the other datacentre for so long: much longer than a part of the network is
/// away without the nodes being repaired afterwards.
const TOMBSTONE_FOR: Duration = Duration::from_secs(7 * 86_400);

/// An upload between its staging and its commit.
struct Upload {
    claim: Claim,
    body: Body,
    place: Place,
    version: Version,
    /// When it has to be done, on the monotonic clock.
    deadline: Duration,
}

impl Engine {
    /// Records `body` as `claim` says.
    pub(crate) async fn publish(self: Arc<Self>, mut claim: Claim, body: Body) -> Result<Published, StoreError> {
        if broken(Fault::NoFence) {
            claim.passed = Box::default();
        }
        if self.announcer.is_ended(claim.key.event) {
            return Err(StoreError::Gone);
        }
        if claim.size != body.len() {
            let told = format!("a claim of {} bytes came with {}", claim.size, body.len());
            return Err(StoreError::Damaged(told));
        }
        let deadline = self.clock.monotonic() + self.options.publish_budget;
        let place = Place::of(&claim.key);
        let known = self.announcer.known(&claim.key);
        if let Some(row) = known.record().filter(|row| self.keeps(row)) {
            let verdict = judge(Some(row), &claim, row.version, self.announcer.stamps.now());
            if let Some(refused) = refused(verdict)
                && self.confirm(&claim.key, &place, &known).await?
            {
                self.stage_same(&refused, &known, &body).await?;
                return Ok(refused);
            }
        }
        let stays = self.ttl_s(claim.keep) == 0;
        let version = version::draw(self.clock.wall(), self.options.chunk_size, stays, (self.chance)());
        let upload = Upload { claim, body, place, version, deadline };
        self.stage(&upload).await?;
        let published = self.commit(&upload).await;
        if broken(Fault::CommitsFirst) {
            // Long enough for a process to die in it.
            self.clock.sleep(Duration::from_millis(100)).await;
            chunks::stage(&*self.chunks, upload.version, &upload.body, self.ttl_s(upload.claim.keep)).await?;
        }
        if broken(Fault::NotesLater) {
            self.note(&upload.note()).await?;
        }
        if !matches!(published, Ok(Published::Stored(_))) && stays {
            self.discard(upload.version, upload.body.len(), Some(upload.place));
        }
        published
    }

    /// What the other datacentre has recorded may not have come here yet, or never come. These are the same bytes: whoever
    /// was told that they are stored here has stored them.
    async fn stage_same(&self, refused: &Published, known: &Copies, body: &Body) -> Result<(), StoreError> {
        match refused {
            Published::Same(row) if known.other_counts() => {
                let ttl_s = self.ttl_s(row.keep);
                let chunks = || chunks::stage(&*self.chunks, row.version, body, ttl_s);
                self.in_time("staging took too long", chunks).await
            }
            _ => Ok(()),
        }
    }

    /// Everything that has to be there before the record: in parallel, because none needs the other, and again if a
    /// quorum did not answer in time.
    async fn stage(&self, upload: &Upload) -> Result<(), StoreError> {
        let ttl_s = self.ttl_s(upload.claim.keep);
        let note = upload.note();
        let noted = async || {
            if broken(Fault::NotesLater) {
                return Ok(());
            }
            self.note(&note).await
        };
        let chunks = async || {
            if broken(Fault::CommitsFirst) {
                return Ok(());
            }
            chunks::stage(&*self.chunks, upload.version, &upload.body, ttl_s).await
        };
        let failed = Mutex::default();
        let listed = || self.list(&upload.place, ttl_s);
        let staged = async {
            let parts = (self.again(&failed, chunks), self.again(&failed, listed), self.again(&failed, noted));
            tokio::try_join!(parts.0, parts.1, parts.2)
        };
        match self.within(self.options.stage_budget(), staged).await {
            Some(staged) => staged.map(drop),
            None => Err(failed.into_inner().unwrap_or_else(|| slow("staging took too long"))),
        }
    }

    /// Notes what is about to change, so that others look for it.
    pub(crate) async fn noted(&self, note: &Note) -> Result<(), StoreError> {
        self.in_time("noting a change took too long", || self.note(note)).await
    }

    /// Attempts until there is an answer, as long as staging may take; `late` if there was not even a failure by then.
    async fn in_time<F>(&self, late: &str, attempt: impl Fn() -> F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let failed = Mutex::default();
        let done = self.within(self.options.stage_budget(), self.again(&failed, attempt)).await;
        done.unwrap_or_else(|| Err(failed.into_inner().unwrap_or_else(|| slow(late))))
    }

    /// One attempt.
    async fn note(&self, note: &Note) -> Result<(), StoreError> {
        let attempt = self.cluster.note(note, self.node, self.clock.wall());
        self.within(NOTED_WITHIN, attempt).await.unwrap_or_else(|| Err(slow("noting a change took too long")))
    }

    /// Attempts until there is an answer; why there was none is kept in `failed`.
    async fn again<F>(&self, failed: &Mutex<Option<StoreError>>, attempt: impl Fn() -> F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        loop {
            match attempt().await {
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::debug!(%error, "what comes before a record is tried again");
                    *failed.lock() = Some(error);
                    self.clock.sleep(RETRY_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn commit(self: &Arc<Self>, upload: &Upload) -> Result<Published, StoreError> {
        let left = upload.deadline.saturating_sub(self.clock.monotonic());
        let turn = self.within(left, self.stripe(&upload.place).lock()).await;
        let _turn = turn.ok_or_else(|| slow("another upload of the same object is still being recorded"))?;
        let left = upload.deadline.saturating_sub(self.clock.monotonic());
        let place = self.within(left, self.recording.acquire()).await;
        let recording = place.ok_or_else(|| slow("too many uploads are being recorded"))?;
        let key = &upload.claim.key;
        for _ in 0..RACES_MAX {
            let known = self.announcer.known(key);
            let existing = known.counts().filter(|row| self.keeps(row));
            let ticket = self.announcer.begin();
            let row = match judge(existing.as_ref(), &upload.claim, upload.version, ticket.stamp()) {
                Verdict::Store(row) => row,
                verdict => {
                    drop(ticket);
                    let Some(refused) = refused(verdict) else { continue };
                    if self.confirm(key, &upload.place, &known).await? {
                        self.stage_same(&refused, &known, &upload.body).await?;
                        return Ok(refused);
                    }
                    continue;
                }
            };
            let ttl_s = self.ttl_s(row.keep);
            match self.settle(&upload.place, known.own.as_ref(), Some(&row), ttl_s, upload.deadline).await {
                Ok(Swap::Set) => {
                    // It may have to wait for one that was begun before it; others need not.
                    drop(recording);
                    ticket.tell(Change::Row(row.clone(), Some(upload.body.clone())), known.own.clone()).await;
                    self.dispose(known.own);
                    return Ok(Published::Stored(row));
                }
                Ok(Swap::Stands(stands)) => {
                    drop(ticket);
                    self.announcer.learn(key, &known, stands);
                }
                Err(error) => {
                    drop(ticket);
                    self.unknown.lock().push(upload.note());
                    return Err(error);
                }
            }
        }
        Err(StoreError::Unavailable("the record is being changed by many at once; retry".into()))
    }

    /// Compares and sets the own record until it is known what became of it; tries again what got no answer until `deadline`.
    pub(crate) async fn settle(
        &self,
        place: &Place,
        before: Option<&Row>,
        next: Option<&Row>,
        ttl_s: i32,
        deadline: Duration,
    ) -> Result<Swap, StoreError> {
        let failed = loop {
            match self.cluster.swap(place, before, next, ttl_s).await {
                Err(error @ StoreError::Unavailable(_)) => {
                    if self.clock.monotonic() + RETRY_PAUSE >= deadline {
                        break error;
                    }
                    tracing::debug!(%error, ?place, "a record is tried again");
                    self.clock.sleep(RETRY_PAUSE).await;
                }
                Ok(Swap::Stands(_)) if broken(Fault::SetsBlindly) => return Ok(Swap::Set),
                answer => return answer,
            }
        };
        // A serial read ends what is half done, one way or the other.
        match self.within(LAST_LOOK, self.cluster.row_serial(place)).await {
            Some(Ok(stands)) if stands.own.as_ref() == next => Ok(Swap::Set),
            Some(Ok(stands)) if stands.own.as_ref() != before => Ok(Swap::Stands(stands)),
            _ => Err(failed),
        }
    }

    /// Whether what is known of a candidate still stands; what stands instead is taken in.
    async fn confirm(&self, key: &Key, place: &Place, known: &Copies) -> Result<bool, StoreError> {
        let stands = self.cluster.row_serial(place).await?;
        let same = stands == *known;
        self.announcer.learn(key, known, stands);
        Ok(same)
    }

    /// Frees the bytes of a manifest or init segment that was replaced. Those of segments expire.
    fn dispose(self: &Arc<Self>, replaced: Option<Row>) {
        if let Some(row) = replaced.filter(|row| self.ttl_s(row.keep) == 0) {
            self.discard(row.version, row.size, None);
        }
    }

    /// Frees the chunks of an upload that nobody will ask for any more, where no time to live does: unless it was recorded
    /// `at` its place after all, which nobody may have been able to tell.
    fn discard(self: &Arc<Self>, version: Version, length: u64, at: Option<Place>) {
        let (engine, clock) = (Arc::downgrade(self), Arc::clone(&self.clock));
        tokio::spawn(async move {
            clock.sleep(REPLACED_FOR).await;
            let Some(engine) = engine.upgrade() else { return };
            if let Some(place) = at {
                let is_named = |stands: Copies| stands.rows().any(|row| row.version == version);
                if engine.cluster.row_serial(&place).await.map_or(true, is_named) {
                    return;
                }
            }
            if let Err(error) = chunks::delete(&*engine.chunks, version, length).await {
                tracing::warn!(%error, "chunks of a replaced object stay behind; `store check` finds them");
            }
        });
    }

    /// Removes a candidate; of a segment's a record stays.
    pub(crate) async fn remove(self: Arc<Self>, key: Key) -> Result<(), StoreError> {
        let deadline = self.clock.monotonic() + self.options.publish_budget;
        let place = Place::of(&key);
        let left = deadline.saturating_sub(self.clock.monotonic());
        let turn = self.within(left, self.stripe(&place).lock()).await;
        let _turn = turn.ok_or_else(|| slow("another upload of the same object is still being recorded"))?;
        let note = Note::Removed(key.clone());
        for _ in 0..RACES_MAX {
            let known = self.announcer.known(&key);
            let stands = self.cluster.row_serial(&place).await?;
            self.announcer.learn(&key, &known, stands.clone());
            let Some(row) = stands.counts().filter(|row| self.keeps(row) && !is_removed(row)) else { return Ok(()) };
            if self.announcer.is_ended(key.event) {
                // All of it is gone with its event.
                return Ok(());
            }
            self.noted(&note).await?;
            let ticket = self.announcer.begin();
            let left = self.left_of(&row, &stands, ticket.stamp());
            let ttl_s = left.as_ref().map_or(0, |left| self.ttl_s(left.keep));
            match self.settle(&place, stands.own.as_ref(), left.as_ref(), ttl_s, deadline).await {
                Ok(Swap::Set) => {
                    let change = left.map_or(Change::Removed(key), |left| Change::Row(left, None));
                    ticket.tell(change, stands.own).await;
                    // Whoever still has the record finds no bytes, and then that it is gone.
                    return chunks::delete(&*self.chunks, row.version, row.size).await;
                }
                Ok(Swap::Stands(now)) => {
                    drop(ticket);
                    self.announcer.learn(&key, &stands, now);
                }
                Err(error) => {
                    drop(ticket);
                    self.unknown.lock().push(note);
                    return Err(error);
                }
            }
        }
        Err(StoreError::Unavailable("the record is being changed by many at once; retry".into()))
    }

    /// The own record after `row`, which counts, is removed at `stamp`: of a segment it stays, and of what the other
    /// datacentre may have recorded too.
    fn left_of(&self, row: &Row, stands: &Copies, stamp: Timestamp) -> Option<Row> {
        if matches!(row.key.object, Object::Segment { .. }) {
            return Some(copies::removed(row, stands.other.as_ref()));
        }
        let other = stands.other.as_ref()?;
        // As long as what it hides, at least.
        let keep = match (self.clock.wall().offset_nanos(TOMBSTONE_FOR.as_nanos() as i128), other.keep) {
            (until, Keep::Until(other)) => Keep::Until(until.max(other)),
            (_, Keep::Standing) => Keep::Standing,
        };
        Some(copies::tombstone(row, stamp, keep))
    }
}

impl Upload {
    fn note(&self) -> Note {
        Note::Published(self.claim.key.clone(), self.version)
    }
}

/// What a verdict other than to store is answered with.
fn refused(verdict: Verdict) -> Option<Published> {
    match verdict {
        Verdict::Store(_) => None,
        Verdict::Same(row) => Some(Published::Same(row)),
        Verdict::Final(row) => Some(Published::Final(row)),
        Verdict::Exists(row) => Some(Published::Exists(row)),
    }
}

fn slow(what: &str) -> StoreError {
    let advice = "retry; if it lasts, look at the latencies of this datacentre's Cassandra nodes";
    StoreError::Unavailable(format!("{what}; {advice}"))
}
