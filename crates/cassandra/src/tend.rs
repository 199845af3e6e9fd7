//! What the engine does without being asked: looks for what other processes have committed, forgets what has expired.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use headwater_model::row::{Key, Row};
use headwater_store::StoreError;

use crate::changes::BLIND_MAX;
use crate::engine::Engine;
use crate::place::Place;

/// How often records are looked through for those that have expired.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

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
        let looked = if now >= seen + BLIND_MAX { engine.look_at_all().await } else { engine.look().await };
        match looked {
            Ok(()) => {
                if failing {
                    tracing::info!("changes of other processes are seen again");
                }
                (seen, failing) = (now, false);
                engine.looked.store(now.as_nanos() as u64, Ordering::Release);
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
    /// Looks at what other processes have noted, and at own changes whose outcome is unknown.
    async fn look(&self) -> Result<(), StoreError> {
        let now = self.clock.monotonic();
        let mut watch = self.watch.lock().await;
        std::mem::take(&mut *self.unknown.lock()).into_iter().for_each(|note| watch.follow(note, now));
        watch.look(&*self.cluster, &self.announcer, self.node, now, self.clock.wall()).await
    }

    /// Looks at every record, after notes may have been missed.
    async fn look_at_all(&self) -> Result<(), StoreError> {
        self.look().await?;
        for (entry, _) in self.cluster.entries().await? {
            self.announcer.learn_entry(entry);
        }
        // What has changed since a record was read is left alone: it is being noted, and seen, now.
        let known = self.announcer.index.read().all();
        let mut missing: std::collections::HashMap<Key, Row> = known.clone();
        let mut see = |row: Row| {
            missing.remove(&row.key);
            self.announcer.learn(&row.key.clone(), known.get(&row.key), Some(row));
        };
        self.cluster.scan(&mut see).await?;
        for (key, row) in missing {
            let stands = self.cluster.row(&Place::of(&key)).await?;
            self.announcer.learn(&key, Some(&row), stands);
        }
        Ok(())
    }
}
