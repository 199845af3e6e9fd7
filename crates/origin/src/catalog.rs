//! All events in memory. The store's thread tells it what became durable; handlers read it without a lock. An unknown
//! name costs no memory, however often it is asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use headwater_model::event::{Counters, Entry};
use headwater_model::row::{EventId, Key, Object, Row};
use headwater_model::{EventName, Tenant};
use headwater_store::{Flow, Listener, Notice};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::live::Live;
use crate::tail::Tail;

/// Every event, by name and by id.
#[derive(Clone, Default)]
struct Events {
    by_name: HashMap<Tenant, HashMap<EventName, Arc<Live>>>,
    by_id: HashMap<EventId, Arc<Live>>,
}

/// All events.
#[derive(Default)]
pub struct Catalog {
    events: ArcSwap<Events>,
    /// What the names of deleted events must not repeat.
    gone: Mutex<HashMap<(Tenant, EventName), Counters>>,
    wakes: Wakes,
    unread: Unread,
    /// Held while records are taken in: what a start has found, and what is announced meanwhile.
    recording: Mutex<()>,
}

/// Init segments that another process has stored: what they say is still to be read.
#[derive(Default)]
struct Unread {
    rows: Mutex<Vec<Row>>,
    news: Notify,
}

/// Segments of which there is news, for the deliver runtime to wake who waits: the store's thread has no time to.
#[derive(Default)]
struct Wakes {
    /// Announced, but the watermark has not passed it: who looked now would not see it.
    announced: Mutex<Vec<(Arc<Tail>, u64)>>,
    fresh: Mutex<Vec<(Arc<Tail>, u64)>>,
    /// Uploads in flight that have grown or ended.
    flows: Mutex<Vec<Arc<Flow>>>,
    kick: Notify,
    /// The watermark has moved since the last kick was heard.
    moved: AtomicBool,
    /// For those whose choice waits for the watermark alone.
    settled: Notify,
}

impl Catalog {
    /// The event of that name.
    #[must_use]
    pub fn live(&self, tenant: &str, event: &str) -> Option<Arc<Live>> {
        self.events.load().by_name.get(tenant)?.get(event).cloned()
    }

    /// The events of a tenant, by name.
    #[must_use]
    pub fn of_tenant(&self, tenant: &str) -> Vec<Arc<Live>> {
        let events = self.events.load();
        let mut all: Vec<_> = events.by_name.get(tenant).into_iter().flatten().collect();
        all.sort_by(|left, right| left.0.cmp(right.0));
        all.into_iter().map(|(_, live)| Arc::clone(live)).collect()
    }

    /// Every event.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Live>> {
        self.events.load().by_id.values().cloned().collect()
    }

    /// How many events are alive.
    #[must_use]
    pub fn count(&self) -> usize {
        self.events.load().by_id.len()
    }

    /// The counters under a name: of the event that is there or of the last one that was.
    #[must_use]
    pub fn counters(&self, tenant: &Tenant, event: &EventName) -> Counters {
        let alive = self.live(tenant.as_str(), event.as_str()).map(|live| live.event().counters());
        let gone = || self.gone.lock().get(&(tenant.clone(), event.clone())).copied();
        alive.or_else(gone).unwrap_or_default()
    }

    /// Takes in an event entry, from the store at start or as news.
    pub fn apply(&self, entry: &Entry) {
        match entry {
            Entry::Alive(event) => {
                let known = self.events.load().by_id.get(&event.id).cloned();
                match known {
                    // What a start has read may be older than what it was told meanwhile.
                    Some(live) if live.event().rev > event.rev => {}
                    Some(live) => live.change(Clone::clone(event)),
                    None => self.insert(Arc::new(Live::new(Clone::clone(event)))),
                }
            }
            Entry::Gone { tenant, name, counters } => {
                self.gone.lock().insert((tenant.clone(), name.clone()), *counters);
                self.drop_event(tenant, name);
            }
        }
    }

    /// Takes in records of an event that a start has found in the store. What has been announced since is newer.
    pub fn found(&self, live: &Live, rows: &[Row]) {
        let _recording = self.recording.lock();
        rows.iter().filter(|row| !live.knows(row)).for_each(|row| live.record(row));
    }

    fn insert(&self, live: Arc<Live>) {
        let event = live.event();
        self.gone.lock().remove(&(event.tenant.clone(), event.name.clone()));
        self.events.rcu(|events| {
            let mut events = Events::clone(events);
            let names = events.by_name.entry(event.tenant.clone()).or_default();
            if let Some(old) = names.insert(event.name.clone(), Arc::clone(&live)) {
                events.by_id.remove(&old.event().id);
            }
            events.by_id.insert(event.id, Arc::clone(&live));
            events
        });
    }

    fn drop_event(&self, tenant: &Tenant, name: &EventName) {
        let Some(live) = self.live(tenant.as_str(), name.as_str()) else { return };
        self.events.rcu(|events| {
            let mut events = Events::clone(events);
            events.by_name.get_mut(tenant).map(|names| names.remove(name));
            events.by_id.remove(&live.event().id);
            events
        });
        // Who waits looks the event up again and does not find it.
        live.leave();
    }

    /// The event of an object, if it is alive.
    #[must_use]
    pub fn of(&self, key: &Key) -> Option<Arc<Live>> {
        self.events.load().by_id.get(&key.event).cloned()
    }

    /// Wakes who waits, on the runtime of those who wait; never returns.
    pub async fn wake_waiters(&self) {
        loop {
            self.wakes.kick.notified().await;
            let fresh = std::mem::take(&mut *self.wakes.fresh.lock());
            for (tail, number) in fresh {
                tail.wake(number);
            }
            let flows = std::mem::take(&mut *self.wakes.flows.lock());
            flows.iter().for_each(|flow| flow.wake());
            if self.wakes.moved.swap(false, Ordering::AcqRel) {
                self.wakes.settled.notify_waiters();
            }
        }
    }

    /// There is news of a segment that no commit brings.
    pub fn news(&self, tail: &Arc<Tail>, number: u64) {
        self.wakes.fresh.lock().push((Arc::clone(tail), number));
        self.wakes.kick.notify_one();
    }

    /// An upload in flight has grown or ended: its followers are to be woken.
    pub fn flowed(&self, flow: &Arc<Flow>) {
        let mut flows = self.wakes.flows.lock();
        if !flows.iter().any(|other| Arc::ptr_eq(other, flow)) {
            flows.push(Arc::clone(flow));
        }
        drop(flows);
        self.wakes.kick.notify_one();
    }

    /// Init segments that were recorded since the last call, whoever published them; waits until there are some.
    pub async fn fresh_inits(&self) -> Vec<Row> {
        loop {
            self.unread.news.notified().await;
            let rows = std::mem::take(&mut *self.unread.rows.lock());
            if !rows.is_empty() {
                return rows;
            }
        }
    }

    /// The next time that the watermark moves.
    pub fn watermark(&self) -> tokio::sync::futures::Notified<'_> {
        self.wakes.settled.notified()
    }
}

impl Listener for Catalog {
    fn announce(&self, notices: &[Notice]) {
        let _recording = self.recording.lock();
        for notice in notices {
            match notice {
                Notice::Published(row) => {
                    let Some(live) = self.of(&row.key) else { continue };
                    live.record(row);
                    if let Object::Init { .. } = &row.key.object {
                        self.unread.rows.lock().push(row.clone());
                        self.unread.news.notify_one();
                    }
                    if let Object::Segment { rendition, number } = &row.key.object {
                        self.wakes.announced.lock().push((live.tail_or_new(rendition), *number));
                    }
                }
                Notice::Removed(key) => {
                    if let Some(live) = self.of(key) {
                        live.remove(key);
                    }
                }
                Notice::Entry(entry) => self.apply(entry),
            }
        }
    }

    fn settled(&self) {
        self.wakes.fresh.lock().append(&mut self.wakes.announced.lock());
        self.wakes.moved.store(true, Ordering::Release);
        self.wakes.kick.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{live, segment_row};

    fn entry(document: &str) -> Entry {
        Entry::Alive(Box::new(Clone::clone(&*live(document).event())))
    }

    #[test]
    fn events_come_change_and_go() {
        let catalog = Catalog::default();
        catalog.apply(&entry("{}"));
        let first = catalog.live("live", "game").unwrap();
        catalog.announce(&[Notice::Published(segment_row("v", 3, "a", 1))]);
        assert!(first.tail("v").is_some());
        catalog.apply(&entry(r#"{"dvr_window_s":1}"#));
        assert_eq!(first.event().document.dvr_window_s, 1, "the same life");
        let counters = Counters { rev: 9, cache_version: 3 };
        let (tenant, name) = (first.event().tenant.clone(), first.event().name.clone());
        catalog.apply(&Entry::Gone { tenant: tenant.clone(), name: name.clone(), counters });
        assert!(catalog.live("live", "game").is_none());
        assert_eq!((catalog.counters(&tenant, &name), catalog.count()), (counters, 0));
    }

    #[test]
    fn what_a_start_has_read_does_not_hide_what_it_was_told_meanwhile() {
        let catalog = Catalog::default();
        catalog.apply(&entry("{}"));
        let live = catalog.live("live", "game").unwrap();
        let (old, newer) = (segment_row("v", 3, "a", 1), segment_row("v", 3, "a", 2));
        catalog.announce(&[Notice::Published(newer)]);
        catalog.found(&live, &[old, segment_row("v", 3, "b", 1)]);
        let crate::tail::Known::Slot(Some(slot)) = live.tail("v").unwrap().slot(3) else { panic!("recorded") };
        let published: Vec<_> =
            slot.rows.iter().map(|row| (row.key.pipeline.as_str(), row.published.millis())).collect();
        assert_eq!(published, [("a", 2), ("b", 1)]);
        let Entry::Alive(mut event) = entry(r#"{"dvr_window_s":1}"#) else { panic!("alive") };
        event.rev += 1;
        catalog.apply(&Entry::Alive(event));
        catalog.apply(&entry("{}"));
        assert_eq!(live.event().document.dvr_window_s, 1, "the older entry comes late");
    }

    #[test]
    fn unknown_names_leave_nothing_behind() {
        let catalog = Catalog::default();
        for number in 0..1000 {
            assert!(catalog.live("nobody", &format!("e{number}")).is_none());
        }
        assert_eq!(catalog.events.load().by_name.len(), 0);
    }

    #[tokio::test]
    async fn news_wakes_who_waits() {
        let catalog = Arc::new(Catalog::default());
        catalog.apply(&entry(r#"{"renditions":[{"id":"v"}]}"#));
        let waiter = catalog.live("live", "game").unwrap().tail("v").unwrap().wait(3);
        let mut news = std::pin::pin!(waiter.news());
        news.as_mut().enable();
        let waking = tokio::spawn({
            let catalog = Arc::clone(&catalog);
            async move { catalog.wake_waiters().await }
        });
        catalog.announce(&[Notice::Published(segment_row("v", 3, "a", 1))]);
        catalog.settled();
        news.await;
        waking.abort();
    }
}
