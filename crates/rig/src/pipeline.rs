//! One pipeline: a task for each rendition that publishes the init segment and then every segment at its time. Killing
//! drops the tasks wherever they are, in the middle of an upload too, and their connections with them.

use std::sync::Arc;

use bytes::Bytes;
use headwater_media::content::{ClipRendition, Letter};
use headwater_model::template::Position;
use headwater_model::{Pipeline, Rendition};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::Shared;
use crate::fault::{Damage, Fault};
use crate::schedule::{given_up, next, sleep_until};
use crate::status::{LineStatus, Tally};
use crate::upload::{Attempt, Target, persist};

/// A pipeline that can be told what to do.
pub struct Line {
    pub(crate) name: Pipeline,
    letter: Letter,
    shared: Arc<Shared>,
    runtime: Handle,
    /// Its tasks while it is alive. Apart from what they write to.
    running: Mutex<Option<JoinSet<()>>>,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    damage: Option<Damage>,
    tally: Tally,
}

impl Line {
    pub(crate) fn new(name: Pipeline, letter: Letter, shared: Arc<Shared>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { name, letter, shared, runtime, running: Mutex::default(), record: Arc::default() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Pipeline {
        &self.name
    }

    /// Stops it at once: uploads in progress break off. Idempotent.
    pub fn kill(&self) {
        if self.running.lock().take().is_some() {
            tracing::info!(pipeline = %self.name, "pipeline killed");
        }
    }

    /// Starts it again at the live edge, with its init segments first. Idempotent.
    pub fn revive(&self) {
        let mut running = self.running.lock();
        if running.is_some() {
            return;
        }
        let mut tasks = JoinSet::new();
        let target = Target::new(&self.name);
        for (index, rendition) in &self.shared.renditions {
            let job = Job {
                shared: Arc::clone(&self.shared),
                record: Arc::clone(&self.record),
                target: target.clone(),
                pipeline: self.name.clone(),
                letter: self.letter,
                index: *index,
                rendition: rendition.clone(),
            };
            tasks.spawn_on(Arc::new(job).run(), &self.runtime);
        }
        *running = Some(tasks);
        tracing::info!(pipeline = %self.name, "pipeline publishes");
    }

    /// Does `fault` to the next `segments` segments, or until healed if `None`. The same numbers in every rendition.
    pub fn damage(&self, fault: Fault, segments: Option<u64>) {
        let next = self.next_number();
        self.record.lock().damage = Damage::new(fault, next, segments);
        tracing::info!(pipeline = %self.name, fault = fault.word(), from = next, segments, "pipeline damaged");
    }

    /// Ends any damage.
    pub fn heal(&self) {
        self.record.lock().damage = None;
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> LineStatus {
        let alive = self.running.lock().is_some();
        let next = self.next_number();
        let record = self.record.lock();
        LineStatus {
            pipeline: self.name.to_string(),
            alive,
            damage: record.damage.filter(|damage| damage.lasts(next)),
            tally: record.tally.clone(),
        }
    }

    /// The segment whose upload comes next.
    fn next_number(&self) -> u64 {
        self.shared.document.next_number(self.shared.clock.wall() - self.shared.latency)
    }
}

/// What the task of one rendition works with.
struct Job {
    shared: Arc<Shared>,
    record: Arc<Mutex<Record>>,
    target: Target,
    pipeline: Pipeline,
    letter: Letter,
    index: usize,
    rendition: Rendition,
}

impl Job {
    async fn run(self: Arc<Self>) {
        let Shared { document, clock, latency, .. } = &*self.shared;
        self.publish_init().await;
        let mut uploads = JoinSet::new();
        let mut last = None;
        loop {
            let number = next(document, clock.wall() - *latency, last);
            if document.end_number.is_some_and(|end| number > end) {
                break;
            }
            if let Some(last) = last {
                self.record.lock().tally.skipped += number - last - 1;
            }
            sleep_until(clock, document.expected(number) + *latency).await;
            last = Some(number);
            // A task of its own: one that comes late does not hold up the next.
            uploads.spawn(Arc::clone(&self).publish_segment(number));
            while uploads.try_join_next().is_some() {}
        }
        uploads.join_all().await;
    }

    fn clip(&self) -> &ClipRendition {
        &self.shared.clip.renditions()[self.index]
    }

    /// Until it is acknowledged: media without its init segment plays nowhere.
    async fn publish_init(&self) {
        let document = &self.shared.document;
        let url = format!("{}/{}", self.shared.url, document.init.path(&self.rendition, None));
        let bytes = Bytes::from_static(self.clip().init());
        loop {
            let wall = self.shared.clock.wall();
            let until = wall + document.segment.millis();
            let ended = persist(
                &self.shared.clock,
                until,
                || self.target.put(&url, bytes.clone()),
                |attempt| self.record.lock().tally.count(attempt),
            );
            if matches!(ended.await, Attempt::Acknowledged(_)) {
                return;
            }
            self.give_up(&url);
            sleep_until(&self.shared.clock, until).await;
        }
    }

    async fn publish_segment(self: Arc<Self>, number: u64) {
        let Shared { document, clock, latency, url, .. } = &*self.shared;
        let fault = self.record.lock().damage.filter(|damage| damage.hits(number)).map(|damage| damage.fault);
        if fault == Some(Fault::Missing) {
            self.record.lock().tally.withheld += 1;
            return;
        }
        let delay = fault.map_or(Default::default(), Fault::delay);
        sleep_until(clock, document.expected(number) + *latency + delay).await;
        let sound = self.clip().segment(self.letter, number, document.start_number);
        let bytes = Bytes::from(fault.map_or_else(|| sound.clone(), |fault| fault.apply(self.clip(), sound.clone())));
        let url = format!("{url}/{}", document.media.path(&self.rendition, Some(self.position(number))));
        let until = given_up(document, number, *latency) + delay;
        let told = |attempt: &Attempt| self.record.lock().tally.count(attempt);
        let ended = if fault == Some(Fault::Truncated) {
            persist(clock, until, || self.target.put_half(&url, bytes.clone()), told).await
        } else {
            persist(clock, until, || self.target.put(&url, bytes.clone()), told).await
        };
        if matches!(ended, Attempt::Acknowledged(_)) {
            let last = &mut self.record.lock().tally.last_number;
            *last = (*last).max(Some(number));
        } else {
            self.give_up(&url);
        }
    }

    fn position(&self, number: u64) -> Position {
        let document = &self.shared.document;
        if document.media.has_time() {
            let start = document.media_start(number, self.clip().track().timescale);
            Position::Time(u64::try_from(start).unwrap_or(0))
        } else {
            Position::Number(number)
        }
    }

    fn give_up(&self, url: &str) {
        let mut record = self.record.lock();
        record.tally.given_up += 1;
        let reason = record.tally.last_error.clone().unwrap_or_default();
        drop(record);
        tracing::warn!(pipeline = %self.pipeline, url, reason, "an upload is given up");
    }
}

#[cfg(test)]
#[path = "pipeline/tests.rs"]
mod tests;
