//! What the engine does without being asked: looks for what other processes have committed, forgets what has expired.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use headwater_store::StoreError;

use crate::changes::BLIND_MAX;
use crate::engine::Engine;

/// How often records are looked through for those that have expired.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// Nodes that were all down have not answered for so long at least: it takes one longer to start. What they have lost may
/// be in the other datacentre.
const BLIND_MIN: Duration = Duration::from_secs(5);

/// Runs until the engine is dropped.
pub(crate) async fn run(engine: Weak<Engine>) {
    let Some((clock, every, mut seen)) =
        engine.upgrade().map(|engine| (Arc::clone(&engine.clock), engine.options.poll_every, engine.opened))
    else {
        return;
    };
    let mut expired = seen;
    let mut failing = false;
    loop {
        clock.sleep(every).await;
        let Some(engine) = engine.upgrade() else { return };
        let now = clock.monotonic();
        if now >= expired + EXPIRE_EVERY {
            engine.announcer.expire();
            expired = now;
        }
        // What was missed before is known once everything was read.
        let is_whole = engine.spells.open().is_none();
        match engine.look().await {
            Ok(known) => {
                if failing {
                    tracing::info!("changes of other processes are seen again");
                }
                let may_have_lost = failing && engine.cluster.others_up().is_some();
                let has_missed = now >= seen + if may_have_lost { BLIND_MIN } else { BLIND_MAX }
                    || engine.announcer.index.write().has_revived();
                (seen, failing) = (now, false);
                if has_missed {
                    engine.spells.happened();
                    engine.looked.store(0, Ordering::Release);
                } else if is_whole {
                    engine.looked.store(known.as_nanos() as u64, Ordering::Release);
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "changes of other processes are not seen");
                }
                failing = true;
            }
        }
    }
}

impl Engine {
    /// Looks at what other processes have noted, and at own changes whose outcome is unknown. What others committed
    /// before the answer is known.
    async fn look(&self) -> Result<Duration, StoreError> {
        let now = self.clock.monotonic();
        let mut watch = self.watch.lock().await;
        std::mem::take(&mut *self.unknown.lock()).into_iter().for_each(|note| watch.follow(note, now));
        watch.look(&*self.cluster, &self.announcer, self.node, now, self.clock.wall()).await
    }
}
