//! Writing event entries, and freeing what an event leaves behind when it goes: slowly and at a moment of chance,
//! because bursts of deletions hurt a cluster.

use std::sync::Arc;
use std::time::Duration;

use headwater_model::event::Entry;
use headwater_model::row::{EventId, Row};
use headwater_store::StoreError;

use crate::announce::Change;
use crate::changes::Note;
use crate::engine::Engine;
use crate::entries::Standing;
use crate::index::life;
use crate::options::RETRY_PAUSE;
use crate::tables::Reach;
use crate::{chunks, place};

/// After an event is gone, uploads that other processes began before they knew still come to their end.
pub(crate) const FREE_AFTER: Duration = Duration::from_secs(30);
/// How much later at most: several processes may free the same, and several events may go at once.
const FREE_JITTER: Duration = Duration::from_secs(60);
/// Between attempts: a datacentre that is away comes back.
const FREE_AGAIN: Duration = Duration::from_secs(600);
/// Between two objects: 200 deletions a second at most.
pub(crate) const FREE_PACE: Duration = Duration::from_millis(5);
/// What expires within this many seconds is left to expire: deleting it would only write more.
const FREE_WORTH_S: i32 = 3600;

impl Engine {
    /// Writes an event entry if the one that stands has revision `expected`.
    pub(crate) async fn write_entry(self: Arc<Self>, entry: Entry, expected: u64) -> Result<(), StoreError> {
        let deadline = self.clock.monotonic() + self.options.publish_budget;
        let (tenant, name) = entry.names();
        let note = Note::Entry(tenant.clone(), name.clone(), entry.counters().rev);
        let before = self.cluster.entry(tenant, name).await?;
        let current = before.as_ref().map_or(0, |before| before.entry.counters().rev);
        if current != expected {
            before.into_iter().for_each(|before| self.announcer.learn_entry(before.entry));
            return Err(StoreError::Conflict { current });
        }
        let over = before.as_ref().and_then(|before| life(&before.entry)).filter(|id| life(&entry) != Some(*id));
        let (mut ended, own) = before.map_or((Vec::new(), 0), |before| (before.ended, before.own));
        ended.extend(over);
        self.noted(&note).await?;
        let ticket = self.announcer.begin();
        let answer = loop {
            match self.cluster.swap_entry(&entry, &ended, own).await {
                Err(error @ StoreError::Unavailable(_)) if self.clock.monotonic() + RETRY_PAUSE < deadline => {
                    tracing::debug!(%error, "an event is tried again");
                    self.clock.sleep(RETRY_PAUSE).await;
                }
                answer => break answer,
            }
        };
        let stands = match answer {
            Ok(Ok(())) => Ok(Some(entry.clone())),
            // Perhaps by an earlier attempt of this very write.
            Ok(Err(_)) => self.cluster.entry_serial(tenant, name).await.map(|stands| stands.map(|stands| stands.entry)),
            Err(error) => Err(error),
        };
        let stands = match stands {
            Ok(stands) => stands,
            Err(error) => {
                self.unknown.lock().push(note);
                return Err(error);
            }
        };
        match stands {
            Some(stands) if stands == entry => {
                ticket.tell(Change::Entry(entry.clone()), None).await;
                let of = Standing { own: entry.counters().rev, entry, ended };
                of.ended.iter().for_each(|id| self.free_later(of.clone(), *id));
                Ok(())
            }
            stands => {
                drop(ticket);
                let current = stands.as_ref().map_or(0, |stands| stands.counters().rev);
                stands.into_iter().for_each(|stands| self.announcer.learn_entry(stands));
                Err(StoreError::Conflict { current })
            }
        }
    }

    /// Frees the media of a life that is over, some time from now.
    pub(crate) fn free_later(self: &Arc<Self>, of: Standing, event: EventId) {
        let (engine, clock) = (Arc::downgrade(self), Arc::clone(&self.clock));
        let jitter = ((self.chance)() % FREE_JITTER.as_millis()) as u64;
        tokio::spawn(async move {
            clock.sleep(FREE_AFTER + Duration::from_millis(jitter)).await;
            loop {
                let Some(engine) = engine.upgrade() else { return };
                match engine.free(&of, event).await {
                    Ok(rows) => return tracing::info!(event = event.0, rows, "an event's media is freed"),
                    // The entry still names it: the next process that starts tries again, too.
                    Err(error) => tracing::warn!(%error, event = event.0, "an event's media is not freed yet"),
                }
                drop(engine);
                clock.sleep(FREE_AGAIN).await;
            }
        });
    }

    async fn free(&self, of: &Standing, event: EventId) -> Result<usize, StoreError> {
        let (cluster, id) = (&self.cluster, place::event(event));
        // The other datacentre may have changed an event while this one deleted it.
        let (tenant, name) = of.entry.names();
        for standing in cluster.entries(Reach::Both).await? {
            if life(&standing.entry) == Some(event) {
                tracing::warn!(%tenant, %name, "an event that was deleted here was changed in the other datacentre and stays");
                let own = cluster.entry_serial(tenant, name).await?;
                cluster.mark_freed(own.as_ref().unwrap_or(of), event).await?;
                return Ok(0);
            }
        }
        let mut freed = 0;
        for shelf in cluster.shelves(event).await? {
            for block in cluster.all_blocks(event, &shelf).await? {
                for place in cluster.listed(event, &shelf, block, i64::MIN..=i64::MAX).await? {
                    for row in cluster.row(&place).await?.rows() {
                        self.free_chunks(row).await?;
                    }
                    cluster.erase_row(&place).await?;
                    freed += 1;
                }
                cluster.delete_listing(id, &shelf, block).await?;
            }
            cluster.delete_blocks(id, &shelf).await?;
        }
        cluster.delete_shelves(id).await?;
        // Another list stands if another life has ended meanwhile; its freeing begins with this list.
        if !cluster.mark_freed(of, event).await?
            && let Some(of) = cluster.entry_serial(tenant, name).await?
        {
            cluster.mark_freed(&of, event).await?;
        }
        Ok(freed)
    }

    async fn free_chunks(&self, row: &Row) -> Result<(), StoreError> {
        let left = self.ttl_s(row.keep);
        if row.size > 0 && (left == 0 || left > FREE_WORTH_S) {
            chunks::delete(&*self.chunks, row.version, row.size).await?;
            self.clock.sleep(FREE_PACE).await;
        }
        Ok(())
    }
}
