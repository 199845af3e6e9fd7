//! What the engine does without being asked: looks for what other processes have committed, forgets what has expired.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use headwater_model::row::{Key, Row};
use headwater_store::StoreError;

use crate::changes::BLIND_MAX;
use crate::copies::Copies;
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
    let mut rounds = Rounds::new(seen);
    loop {
        clock.sleep(every).await;
        let Some(engine) = engine.upgrade() else { return };
        let now = clock.monotonic();
        if now >= expired + EXPIRE_EVERY {
            engine.announcer.expire();
            expired = now;
        }
        let is_round = rounds.is_due(engine.cluster.others_up(), now);
        let looked = if is_round || now >= seen + BLIND_MAX { engine.look_at_all().await } else { engine.look().await };
        match looked {
            Ok(known) => {
                if is_round {
                    rounds.done(now);
                }
                if failing {
                    tracing::info!("changes of other processes are seen again");
                }
                (seen, failing) = (now, false);
                engine.looked.store(known.as_nanos() as u64, Ordering::Release);
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

/// When to look at all records because notes of the other datacentre may come too late to be seen: what could not be
/// sent there at once is sent once the way is free again, in no order.
struct Rounds {
    /// Nodes of the other datacentre that were up at the last look.
    up: usize,
    /// When the next one comes.
    due: Duration,
    /// From that one to the one after it.
    pause: Duration,
}

/// The first after the other datacentre has come up, the second as long after that, each later one twice as long: what
/// was kept for it takes minutes to be sent, and is seen after twice the time that it took.
const ROUND_FIRST: Duration = Duration::from_secs(15);
/// Never longer between two of them: the way may have been closed to the nodes and not to this process.
const ROUND_EVERY: Duration = Duration::from_secs(900);

impl Rounds {
    fn new(now: Duration) -> Self {
        Self { up: 0, due: now + ROUND_FIRST, pause: ROUND_FIRST }
    }

    /// Whether a round is due, when so many nodes of the other datacentre are up.
    fn is_due(&mut self, up: Option<usize>, now: Duration) -> bool {
        let Some(up) = up else { return false };
        if up > self.up {
            *self = Self::new(now);
        }
        self.up = up;
        now >= self.due
    }

    /// A round that began at `now` has seen everything.
    fn done(&mut self, now: Duration) {
        self.due = now + self.pause;
        self.pause = ROUND_EVERY.min(self.pause * 2);
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

    /// Looks at every record, after notes may have been missed.
    async fn look_at_all(&self) -> Result<Duration, StoreError> {
        let looked = self.look().await?;
        for standing in self.cluster.entries().await? {
            self.announcer.learn_entry(standing.entry);
        }
        // What has changed since a record was read is left alone: it is being noted, and seen, now.
        let known = self.announcer.index.read().all();
        let mut seen: HashMap<Key, Copies> = HashMap::new();
        let mut see = |own: bool, row: Row| {
            let copies = seen.entry(row.key.clone()).or_default();
            *(if own { &mut copies.own } else { &mut copies.other }) = Some(row);
        };
        self.cluster.scan(&mut see).await?;
        let nothing = Copies::default();
        for (key, before) in &known {
            // One copy of two is not seen if it came between the two reads.
            let lacks = |copies: &Copies| copies.rows().count() < before.rows().count();
            if seen.get(key).is_none_or(lacks) {
                let stands = self.cluster.row(&Place::of(key)).await?;
                self.announcer.learn(key, before, stands);
                seen.remove(key);
            }
        }
        for (key, copies) in seen {
            self.announcer.learn(&key, known.get(&key).unwrap_or(&nothing), copies);
        }
        Ok(looked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn rounds(up: impl Fn(u64) -> Option<usize>) -> Vec<u64> {
        let mut rounds = Rounds::new(at(0));
        let due = |second: &u64| {
            let is_due = rounds.is_due(up(*second), at(*second));
            is_due.then(|| rounds.done(at(*second))).is_some()
        };
        (0..3000).filter(due).collect()
    }

    #[test]
    fn all_is_looked_at_again_and_again_once_the_other_datacentre_is_back() {
        assert_eq!(rounds(|_| None), [0; 0]);
        assert_eq!(rounds(|_| Some(3)), [15, 30, 60, 120, 240, 480, 960, 1860, 2760]);
        let back = |second| Some(if (100..1000).contains(&second) { 0 } else { 3 });
        assert_eq!(rounds(back), [15, 30, 60, 120, 240, 480, 960, 1015, 1030, 1060, 1120, 1240, 1480, 1960, 2860]);
    }
}
