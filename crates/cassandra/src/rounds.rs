//! Reads all records again, for whoever may have missed something: after a spell in which the cluster did not answer, and
//! now and then where there is another datacentre. What could not be sent here at once comes later, in no order, with
//! notes that are too old to be seen; and what the nodes here have lost is with the other one alone. One reading at a time:
//! two would overrule each other's findings.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use headwater_model::row::{Key, Object, Row};
use headwater_store::StoreError;
use tokio::task::JoinSet;

use crate::copies::Copies;
use crate::engine::Engine;
use crate::load::of_both;
use crate::options::BOTH_BUDGET;
use crate::place::Place;
use crate::tables::Reach;

/// How often to look whether there is something to read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The first after the other datacentre has come up, the second as long after that, each later one twice as long: what
/// was kept for it takes minutes to be sent, and is seen after twice the time that it took.
const ROUND_FIRST: Duration = Duration::from_secs(15);
/// Never longer between two of them: the way may have been closed to the nodes and not to this process.
const ROUND_EVERY: Duration = Duration::from_secs(900);
/// From a reading that failed to the next.
const RETRY: Duration = Duration::from_secs(5);
/// Records taken in before others of this process get their turn.
const TAKEN_AT_ONCE: usize = 500;

/// Spells in which the cluster did not answer: counted by who looks, made good by who reads everything. Until then nobody
/// here knows what is absent.
#[derive(Default)]
pub(crate) struct Spells {
    happened: AtomicU64,
    made_good: AtomicU64,
}

impl Spells {
    /// There was one more.
    pub(crate) fn happened(&self) {
        self.happened.fetch_add(1, Ordering::AcqRel);
    }

    /// The last one, if it is not made good.
    pub(crate) fn open(&self) -> Option<u64> {
        let last = self.happened.load(Ordering::Acquire);
        (self.made_good.load(Ordering::Acquire) < last).then_some(last)
    }

    /// Everything was read after this one.
    fn made_good(&self, spell: u64) {
        self.made_good.fetch_max(spell, Ordering::AcqRel);
    }
}

/// Runs until the engine is dropped.
pub(crate) async fn run(engine: Weak<Engine>) {
    let begin = |engine: Arc<Engine>| {
        let up = engine.cluster.others_up().unwrap_or(0);
        (Arc::clone(&engine.clock), Rounds::new(engine.opened, up, engine.loaded))
    };
    let Some((clock, mut rounds)) = engine.upgrade().map(begin) else { return };
    let mut reading = JoinSet::new();
    loop {
        clock.sleep(LOOK_EVERY).await;
        let Some(engine) = engine.upgrade() else { return };
        let now = clock.monotonic();
        let spell = engine.spells.open();
        let due = rounds.due(engine.cluster.others_up(), spell, now);
        if let Some(read) = reading.try_join_next() {
            let (spell, asked, read) = read.unwrap_or((None, Reach::Both, Err(stopped())));
            match &read {
                Ok(reach) => {
                    if *reach == Reach::Both {
                        tracing::info!("the records of both datacentres were read; what one had lost is back");
                    }
                    spell.into_iter().for_each(|spell| engine.spells.made_good(spell));
                }
                Err(error) => tracing::warn!(%error, "the records cannot be read again; trying again in {RETRY:?}"),
            }
            rounds.ended(asked, read.ok(), now);
        } else if let Some(reach) = due.filter(|_| reading.is_empty()) {
            rounds.begin(reach, now);
            // Who asks for what is absent waits for the end of a spell.
            let budget = if spell.is_some() { BOTH_BUDGET } else { ROUND_EVERY };
            reading.spawn(async move { (spell, reach, read(&engine, reach, budget).await) });
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the reading has stopped".into())
}

/// Reads all records as far as `reach`, or here if the other datacentre does not answer within `budget`; how far.
async fn read(engine: &Engine, reach: Reach, budget: Duration) -> Result<Reach, StoreError> {
    if reach == Reach::Both
        && let Some(read) = of_both(&*engine.clock, budget, || engine.read_all(reach)).await
    {
        return read.map(|()| reach);
    }
    engine.read_all(Reach::Here).await.map(|()| Reach::Here)
}

/// When all is read, and how far.
struct Rounds {
    /// Nodes of the other datacentre that were up at the last look.
    up: usize,
    /// When the next round comes.
    due: Duration,
    /// From that one to the one after it.
    pause: Duration,
    /// Nothing is read before.
    rests_until: Duration,
    /// The last spell without sight that was heard of.
    spell: u64,
    /// What the nodes here may have lost was not asked of the other datacentre yet.
    owes: bool,
}

impl Rounds {
    /// For a process that has read the records `loaded` says at `now`, with so many nodes of the other datacentre up.
    fn new(now: Duration, up: usize, loaded: Reach) -> Self {
        // Who has answered is up, be this process still connecting.
        let up = up.max(usize::from(loaded == Reach::Both));
        let (due, pause) = (now + ROUND_FIRST, ROUND_FIRST);
        Self { up, due, pause, rests_until: now, spell: 0, owes: loaded == Reach::Here }
    }

    /// What is to be read now, if anything, with so many nodes of the other datacentre up, and a spell to be made good.
    fn due(&mut self, up: Option<usize>, spell: Option<u64>, now: Duration) -> Option<Reach> {
        let Some(up) = up else { return spell.filter(|_| now >= self.rests_until).map(|_| Reach::Here) };
        let is_news = spell.is_some_and(|spell| spell > self.spell);
        if up > self.up || is_news {
            (self.due, self.pause) = (self.due.min(now + ROUND_FIRST), ROUND_FIRST);
        }
        self.owes |= is_news || (self.up == 0 && up > 0);
        self.spell = spell.unwrap_or(self.spell);
        self.up = up;
        let reach = if self.owes && (up > 0 || spell.is_some()) { Reach::Both } else { Reach::Here };
        ((spell.is_some() || now >= self.due) && now >= self.rests_until).then_some(reach)
    }

    /// A reading begins at `now`. What happens meanwhile calls for another one.
    fn begin(&mut self, reach: Reach, now: Duration) {
        self.owes &= reach == Reach::Here;
        self.due = now + self.pause;
        self.pause = ROUND_EVERY.min(self.pause * 2);
    }

    /// A reading that was to reach so far has reached that far, or has failed.
    fn ended(&mut self, asked: Reach, reached: Option<Reach>, now: Duration) {
        self.owes |= asked == Reach::Both && reached != Some(Reach::Both);
        if reached.is_none() {
            self.rests_until = now + RETRY;
            self.due = self.due.min(self.rests_until);
        }
    }
}

impl Engine {
    /// Looks at every record.
    async fn read_all(&self, reach: Reach) -> Result<(), StoreError> {
        for standing in self.cluster.entries(reach).await? {
            self.announcer.learn_entry(standing.entry);
        }
        // What has changed since a record was read is left alone: it is being noted, and seen, now.
        let known = self.announcer.index.read().all();
        let mut seen: HashMap<Key, Copies> = HashMap::new();
        let mut see = |own: bool, row: Row| {
            let copies = seen.entry(row.key.clone()).or_default();
            *(if own { &mut copies.own } else { &mut copies.other }) = Some(row);
        };
        self.cluster.scan(reach, &mut see).await?;
        let nothing = Copies::default();
        for (key, before) in &known {
            // One copy of two is not seen if it came between the two reads.
            let lacks = |copies: &Copies| copies.rows().count() < before.rows().count();
            if seen.get(key).is_none_or(lacks) {
                self.look_up(key, before).await?;
                seen.remove(key);
            }
        }
        for (index, (key, copies)) in seen.into_iter().enumerate() {
            if index % TAKEN_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
            match known.get(&key) {
                // It may have been removed since, of which only a segment leaves a trace.
                None if !matches!(key.object, Object::Segment { .. }) => self.look_up(&key, &nothing).await?,
                before => drop(self.announcer.learn(&key, before.unwrap_or(&nothing), copies)),
            }
        }
        Ok(())
    }

    /// Takes in what stands for `key` now, of which `before` was known.
    async fn look_up(&self, key: &Key, before: &Copies) -> Result<(), StoreError> {
        match self.cluster.row(&Place::of(key)).await {
            Ok(stands) => drop(self.announcer.learn(key, before, stands)),
            // What was known of it is all there is.
            Err(StoreError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use Reach::{Both, Here};

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// When all is read and how far, of a process that has loaded so, with `up` nodes there and spells that ended `blind`;
    /// each reading takes 3 s.
    fn rounds(loaded: Reach, up: impl Fn(u64) -> Option<usize>, blind: &[u64]) -> Vec<(u64, Reach)> {
        let mut rounds = Rounds::new(at(0), up(0).unwrap_or(0), loaded);
        let (mut reading, mut seen, spells) = (None, Vec::new(), Spells::default());
        for second in 0..3000 {
            blind.iter().filter(|end| **end == second).for_each(|_| spells.happened());
            let spell = spells.open();
            let due = rounds.due(up(second), spell, at(second));
            if let Some((reach, spell, _)) = reading.take_if(|(_, _, end)| *end == second) {
                rounds.ended(reach, Some(reach), at(second));
                Option::into_iter(spell).for_each(|spell| spells.made_good(spell));
            } else if let Some(reach) = due.filter(|_| reading.is_none()) {
                rounds.begin(reach, at(second));
                reading = Some((reach, spell, second + 3));
                seen.push((second, reach));
            }
        }
        seen
    }

    fn all(reach: Reach, seconds: &[u64]) -> Vec<(u64, Reach)> {
        seconds.iter().map(|second| (*second, reach)).collect()
    }

    #[test]
    fn all_is_read_again_and_again_once_the_other_datacentre_is_back() {
        let calm = [15, 30, 60, 120, 240, 480, 960, 1860, 2760];
        assert_eq!(rounds(Both, |_| Some(3), &[]), all(Here, &calm));
        assert_eq!(rounds(Here, |_| Some(3), &[]), [all(Both, &[15]), all(Here, &calm[1..])].concat());
        let gone = |second| Some(if (100..1000).contains(&second) { 0 } else { 3 });
        let back = [all(Both, &[1015]), all(Here, &[1030, 1060, 1120, 1240, 1480, 1960, 2860])];
        assert_eq!(rounds(Both, gone, &[]), [all(Here, &calm[..7]), back.concat()].concat());
    }

    #[test]
    fn what_was_missed_is_read_at_once_and_of_both() {
        let seen = [(15, Here), (20, Both), (35, Here), (65, Here), (125, Here)];
        assert_eq!(rounds(Both, |_| Some(2), &[20])[..5], seen);
        assert_eq!(rounds(Here, |_| None, &[20, 70]), all(Here, &[20, 70]));
        // A second spell while the first one is made good.
        assert_eq!(rounds(Both, |_| Some(2), &[20, 21])[..4], [(15, Here), (20, Both), (24, Both), (39, Here)]);
        // Not while there is nobody to ask; as soon as there is.
        let later = |second| Some(usize::from(second >= 40));
        assert_eq!(rounds(Here, later, &[])[..4], [(15, Here), (30, Here), (55, Both), (70, Here)]);
    }

    #[test]
    fn a_reading_that_failed_is_made_up_for() {
        let mut rounds = Rounds::new(at(0), 1, Here);
        assert_eq!(rounds.due(Some(1), None, at(15)), Some(Both));
        rounds.begin(Both, at(15));
        rounds.ended(Both, None, at(20));
        assert_eq!([24, 25].map(|second| rounds.due(Some(1), None, at(second))), [None, Some(Both)]);
        // The other datacentre did not answer.
        rounds.begin(Both, at(25));
        rounds.ended(Both, Some(Here), at(26));
        assert_eq!([54, 55].map(|second| rounds.due(Some(1), None, at(second))), [None, Some(Both)]);
        // Nor after a spell: soon, although rounds had become rare.
        rounds.pause = ROUND_EVERY;
        assert_eq!(rounds.due(Some(1), Some(1), at(60)), Some(Both));
        rounds.begin(Both, at(60));
        rounds.ended(Both, Some(Here), at(61));
        assert_eq!([74, 75].map(|second| rounds.due(Some(1), None, at(second))), [None, Some(Both)]);
    }

    #[test]
    fn what_happens_while_it_reads_calls_for_another_reading() {
        let mut rounds = Rounds::new(at(0), 1, Both);
        rounds.begin(Here, at(15));
        assert_eq!([20, 25].map(|second| rounds.due(Some(usize::from(second > 22)), None, at(second))), [None, None]);
        rounds.ended(Here, Some(Here), at(26));
        assert_eq!([29, 30].map(|second| rounds.due(Some(1), None, at(second))), [None, Some(Both)]);
        let spells = Spells::default();
        spells.happened();
        let spell = spells.open().unwrap();
        spells.happened();
        spells.made_good(spell);
        assert_eq!(spells.open(), Some(2));
        spells.made_good(2);
        assert_eq!(spells.open(), None);
    }
}
