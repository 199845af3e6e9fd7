//! What has become durable is told here, and nowhere else: into the index and the live window, to the listener, past the
//! watermark, and only then to who waits. Commits of this process end in any order and are told in the order of their
//! stamps; what other processes committed is told when it is seen. Must never wait for the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_model::Timestamp;
use headwater_model::event::Entry;
use headwater_model::row::{EventId, Key, Object, Row};
use headwater_store::broken::{Fault, broken};
use headwater_store::stamp::Stamps;
use headwater_store::window::Window;
use headwater_store::{Body, Listener, Notice};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{broadcast, oneshot};

use crate::copies::Copies;
use crate::index::{Index, life};

/// What a commit changed.
#[expect(clippy::large_enum_variant, reason = "it lives for one commit, and most are of the large kind")]
pub(crate) enum Change {
    /// A candidate has this own record, and these bytes if they are at hand.
    Row(Row, Option<Body>),
    /// An init segment's or a loose object's own record is gone.
    Removed(Key),
    /// An event has this entry.
    Entry(Entry),
}

/// Commits that who feeds other processes may fall behind. What is lost there is seen by looking.
const COMMITS_KEPT: usize = 4096;

/// Tells what has become durable.
pub(crate) struct Announcer {
    pub(crate) stamps: Stamps,
    pub(crate) index: RwLock<Index>,
    pub(crate) window: Window,
    listener: Arc<dyn Listener>,
    /// What this process has committed, for the others.
    pub(crate) fresh: broadcast::Sender<Notice>,
    /// Commits of this process by stamp, from the oldest that is not told yet.
    commits: Mutex<BTreeMap<Timestamp, Commit>>,
    /// Held while something is told, so that it is told in order.
    telling: Mutex<()>,
}

#[expect(clippy::large_enum_variant, reason = "there are as many as commits in progress")]
enum Commit {
    Open,
    /// With what was known of the candidate before.
    Ended(Option<(Change, Option<Row>)>, oneshot::Sender<()>),
}

/// A commit in progress: it holds back the watermark and what is stamped later. Dropping it means that it failed.
pub(crate) struct Ticket {
    announcer: Arc<Announcer>,
    stamp: Timestamp,
    ended: bool,
}

impl Announcer {
    pub(crate) fn new(stamps: Stamps, index: Index, window: Window, listener: Arc<dyn Listener>) -> Self {
        let (commits, telling) = (Mutex::default(), Mutex::default());
        let fresh = broadcast::Sender::new(COMMITS_KEPT);
        Self { stamps, index: RwLock::new(index), window, listener, fresh, commits, telling }
    }

    /// Begins a commit with a stamp of its own.
    pub(crate) fn begin(self: &Arc<Self>) -> Ticket {
        // Under one lock, or a later stamp could be told before this one is known.
        let mut commits = self.commits.lock();
        let stamp = self.stamps.open();
        commits.insert(stamp, Commit::Open);
        drop(commits);
        Ticket { announcer: Arc::clone(self), stamp, ended: false }
    }

    /// Ends a commit; the receiver hears when it is told.
    fn end(&self, stamp: Timestamp, change: Option<(Change, Option<Row>)>) -> oneshot::Receiver<()> {
        let (told, waits) = oneshot::channel();
        self.commits.lock().insert(stamp, Commit::Ended(change, told));
        let telling = self.telling.lock();
        let mut stamps = Vec::new();
        let (mut notices, mut waiting) = (Vec::new(), Vec::new());
        let mut commits = self.commits.lock();
        while let Some(first) = commits.first_entry() {
            if matches!(first.get(), Commit::Open) {
                break;
            }
            let (stamp, commit) = first.remove_entry();
            stamps.push(stamp);
            let Commit::Ended(change, told) = commit else { continue };
            notices.extend(change.into_iter().flat_map(|(change, before)| self.apply_own(change, before.as_ref())));
            waiting.push(told);
        }
        drop(commits);
        self.tell(&notices);
        stamps.into_iter().for_each(|stamp| self.stamps.close(stamp));
        drop(telling);
        self.listener.settled();
        // Nobody may be listening.
        notices.into_iter().for_each(|notice| drop(self.fresh.send(notice)));
        for told in waiting {
            // A task that was stopped waits no more.
            let _ = told.send(());
        }
        waits
    }

    /// The cluster was seen to hold `seen` for `key`, when `before` was what was known. Does nothing if something else
    /// is known by now: then what was seen may be older. Whether it was taken in.
    pub(crate) fn learn(&self, key: &Key, before: &Copies, seen: Copies) -> bool {
        let telling = self.telling.lock();
        let known = self.known(key);
        if known != *before {
            return false;
        }
        if known == seen {
            return true;
        }
        seen.rows().for_each(|row| self.stamps.hear(row.published));
        let notices = self.put(key, seen, None);
        self.tell(&notices);
        drop(telling);
        self.listener.settled();
        true
    }

    /// The own record, of which `before` was known, got a mark that changes no bytes: it is `row` now.
    pub(crate) fn mark(&self, before: Option<&Row>, row: Row) {
        let telling = self.telling.lock();
        let known = self.known(&row.key);
        if known.own.as_ref() == before {
            let notices = self.put(&row.key.clone(), Copies { own: Some(row), ..known }, None);
            self.tell(&notices);
        }
        drop(telling);
        self.listener.settled();
    }

    /// The cluster was seen to hold this entry.
    pub(crate) fn learn_entry(&self, entry: Entry) {
        let telling = self.telling.lock();
        let notices = self.apply(Change::Entry(entry));
        self.tell(&notices);
        drop(telling);
    }

    /// Forgets what has expired, and says so.
    pub(crate) fn expire(&self) {
        let telling = self.telling.lock();
        let gone = self.index.write().expire(self.stamps.now());
        gone.iter().for_each(|row| self.window.remove(slot(row)));
        let notices: Vec<Notice> = gone.into_iter().map(|row| Notice::Removed(row.key)).collect();
        self.tell(&notices);
        drop(telling);
    }

    /// What is known of a candidate, expired or not.
    pub(crate) fn known(&self, key: &Key) -> Copies {
        self.index.read().known(key)
    }

    /// Whether this life of an event is over.
    pub(crate) fn is_ended(&self, event: EventId) -> bool {
        self.index.read().is_ended(event)
    }

    fn tell(&self, notices: &[Notice]) {
        if !notices.is_empty() {
            self.listener.announce(notices);
        }
    }

    /// As [`Announcer::apply`], of a commit of this process over `before`. It may be told late, and what others have set
    /// over it has been seen by then: that stays.
    fn apply_own(&self, change: Change, before: Option<&Row>) -> Vec<Notice> {
        let key = match &change {
            Change::Row(row, _) => Some(&row.key),
            Change::Removed(key) => Some(key),
            Change::Entry(_) => None,
        };
        let is_overtaken = |key: &Key| {
            let known = self.known(key).own;
            // Of a segment a record stays: what is not known any more has expired.
            let may_expire = matches!(key.object, Object::Segment { .. });
            known.as_ref() != before && (known.is_some() || !may_expire)
        };
        if key.is_some_and(is_overtaken) && !broken(Fault::TellsOver) { Vec::new() } else { self.apply(change) }
    }

    /// Takes in what is recorded of a candidate, with its bytes if they are at hand; what to tell of it, if it is news.
    fn put(&self, key: &Key, copies: Copies, body: Option<Body>) -> Vec<Notice> {
        let mut index = self.index.write();
        if index.is_ended(key.event) {
            return Vec::new();
        }
        let (row, is_own) = (copies.counts(), !copies.other_counts());
        let before = index.put(key, copies).counts();
        drop(index);
        if before == row {
            return Vec::new();
        }
        // A mark changes no bytes; a removal does, and keeps the version.
        let same = |before: &Row| row.as_ref().is_some_and(|row| row.is_same(before));
        before.iter().filter(|before| !same(before)).for_each(|before| self.window.remove(slot(before)));
        match row.filter(Row::has_come) {
            Some(row) => {
                let body = body.filter(|body| is_own && !body.is_empty());
                body.into_iter().for_each(|body| self.window.insert(slot(&row), body));
                vec![Notice::Published(row)]
            }
            None if before.is_some_and(|before| before.has_come()) => vec![Notice::Removed(key.clone())],
            None => Vec::new(),
        }
    }

    /// Takes in a change of this datacentre's; what to tell of it, if it is news.
    fn apply(&self, change: Change) -> Vec<Notice> {
        match change {
            Change::Row(row, body) => {
                let key = row.key.clone();
                self.put(&key, Copies { own: Some(row), ..self.known(&key) }, body)
            }
            Change::Removed(key) => self.put(&key, Copies { own: None, ..self.known(&key) }, None),
            Change::Entry(entry) => {
                let mut index = self.index.write();
                let (news, ended) = index.put_entry(&entry);
                // Records of other processes may be seen before the event that they are of: who was told then did not
                // know what to do with them.
                let early = life(&entry).filter(|_| news).map(|id| index.of_new_event(id)).unwrap_or_default();
                drop(index);
                if let Some((_, rows)) = ended {
                    rows.iter().for_each(|row| self.window.remove(slot(row)));
                }
                let early = early.into_iter().filter(Row::has_come).map(Notice::Published);
                news.then_some(Notice::Entry(entry)).into_iter().chain(early).collect()
            }
        }
    }
}

impl Ticket {
    /// What the commit is stamped.
    pub(crate) fn stamp(&self) -> Timestamp {
        self.stamp
    }

    /// The commit over `before` is durable; returns once the listener has heard of it.
    pub(crate) async fn tell(mut self, change: Change, before: Option<Row>) {
        self.ended = true;
        let told = self.announcer.end(self.stamp, Some((change, before)));
        // Only a listener that panicked leaves this unanswered; what is durable is durable all the same.
        let _ = told.await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.ended {
            drop(self.announcer.end(self.stamp, None));
        }
    }
}

/// Where the caches keep the bytes of a record. They know moments; two processes may stamp the same one, and draw no
/// token twice.
pub(crate) fn slot(row: &Row) -> Timestamp {
    Timestamp::from_nanos(row.version.0.cast_signed())
}

/// Only of segments a record stays.
pub(crate) fn is_removed(row: &Row) -> bool {
    matches!(row.key.object, Object::Segment { .. }) && row.is_removed()
}

#[cfg(test)]
mod tests {
    use headwater_model::Millis;
    use headwater_model::event::Counters;
    use headwater_model::row::{Verdict, Version, judge};
    use headwater_store::conformance::{EVENT, Heard, body, claim, event, segment};
    use headwater_store::stamp::ManualClock;

    use super::*;

    fn stored(seed: u64, stamp: Timestamp) -> Row {
        match judge(None, &claim(segment("v", 7, "a"), &body(seed, 10), stamp), Version(seed.into()), stamp) {
            Verdict::Store(row) => row,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_was_seen_before_its_event_is_told_with_it() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1000)));
        let (stamps, heard) = (Stamps::new(clock, Timestamp::MIN), Arc::new(Heard::default()));
        let announcer = Announcer::new(stamps, Index::new(Millis(0)), Window::new(1 << 20), heard.clone());
        let row = stored(1, Timestamp::from_seconds(1000));
        let seen = Copies::own(Some(row.clone()));
        assert!(announcer.learn(&row.key, &Copies::default(), seen));
        let alive = |rev| Entry::Alive(Box::new(event(EVENT, "game", Counters { rev, cache_version: 1 })));
        announcer.learn_entry(alive(0));
        announcer.learn_entry(alive(1));
        let published = Notice::Published(row);
        let told = [published.clone(), Notice::Entry(alive(0)), published, Notice::Entry(alive(1))];
        assert_eq!(heard.all(), told);
    }

    #[tokio::test]
    async fn a_commit_that_is_told_late_does_not_hide_what_was_set_over_it() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1000)));
        let (stamps, heard) = (Stamps::new(clock, Timestamp::MIN), Arc::new(Heard::default()));
        let announcer = Announcer::new(stamps, Index::new(Millis(0)), Window::new(1 << 20), heard.clone());
        let announcer = Arc::new(announcer);
        let own = announcer.begin();
        let (older, newer) = (stored(1, own.stamp()), stored(2, Timestamp::from_seconds(1001)));
        let seen = Copies::own(Some(newer.clone()));
        assert!(announcer.learn(&older.key, &Copies::default(), seen));
        own.tell(Change::Row(older.clone(), None), None).await;
        assert_eq!(announcer.known(&older.key).own, Some(newer.clone()));
        assert_eq!(heard.all(), [Notice::Published(newer)]);
    }
}
