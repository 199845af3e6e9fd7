//! The control plane in this node's memory: every record and entry that it knows of, what each event uses, when records
//! expire. Judging starts from here and counting ends here; what is listed comes from the cluster. Must never hold what
//! is not durable. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use headwater_model::event::Entry;
use headwater_model::row::{EventId, Keep, Key, Object, Row};
use headwater_model::{EventName, Millis, Rendition, Tenant, Timestamp};
use headwater_store::usage::{Ledger, Usage};

use crate::copies::Copies;
use crate::entries::outranks;

/// What is known.
pub(crate) struct Index {
    grace: Millis,
    rows: HashMap<Key, Copies>,
    ledgers: HashMap<EventId, Ledger>,
    entries: BTreeMap<(Tenant, EventName), Entry>,
    /// Event lives that are over.
    ended: HashSet<EventId>,
    /// Whether one of them was not over after all, so that records are missing here.
    revived: bool,
    /// Event lives that were told of since the start.
    told: HashSet<EventId>,
    /// Which records may expire in which second; a record that was replaced may be named twice.
    expiring: BTreeMap<i64, Vec<Key>>,
}

impl Index {
    pub(crate) fn new(grace: Millis) -> Self {
        let (rows, ledgers, entries) = (HashMap::new(), HashMap::new(), BTreeMap::new());
        let (ended, told, expiring) = (HashSet::new(), HashSet::new(), BTreeMap::new());
        Self { grace, rows, ledgers, entries, ended, revived: false, told, expiring }
    }

    /// What is known of a candidate, expired or not.
    pub(crate) fn known(&self, key: &Key) -> Copies {
        self.rows.get(key).cloned().unwrap_or_default()
    }

    /// Everything that is known.
    pub(crate) fn all(&self) -> HashMap<Key, Copies> {
        self.rows.clone()
    }

    /// Takes in what is recorded of a candidate; what that replaced.
    pub(crate) fn put(&mut self, key: &Key, copies: Copies) -> Copies {
        if self.ended.contains(&key.event) {
            return Copies::default();
        }
        let before = self.rows.remove(key).unwrap_or_default();
        let ledger = self.ledgers.entry(key.event).or_default();
        before.record().into_iter().for_each(|row| ledger.remove(row));
        copies.record().into_iter().for_each(|row| ledger.add(row, row.published));
        for until in copies.rows().filter_map(|row| expires(row, self.grace)) {
            self.expiring.entry(second(until)).or_default().push(key.clone());
        }
        if !copies.is_empty() {
            self.rows.insert(key.clone(), copies);
        }
        before
    }

    /// Whether `row` is known not to stand any more: replaced, removed, or its event is over.
    pub(crate) fn is_superseded(&self, row: &Row) -> bool {
        let is_other = |known: &Row| !known.is_same(row);
        self.ended.contains(&row.key.event)
            || self.rows.get(&row.key).is_some_and(|known| known.record().is_none_or(is_other))
    }

    /// Forgets the records that have expired before `now`, and names them.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<Row> {
        let mut gone = Vec::new();
        while let Some(first) = self.expiring.first_entry().filter(|first| *first.key() < second(now)) {
            for key in first.remove() {
                let has_expired = |known: &Copies| !known.rows().any(|row| keeps(row, self.grace, now));
                if self.rows.get(&key).is_some_and(has_expired) {
                    gone.extend(self.put(&key, Copies::default()).counts());
                }
            }
        }
        gone
    }

    /// The entry of an event.
    pub(crate) fn entry(&self, tenant: &Tenant, name: &EventName) -> Option<&Entry> {
        self.entries.get(&(tenant.clone(), name.clone()))
    }

    /// Takes in an entry if it is newer than the one that is known; whether it was, and which life it ended
    /// with which records.
    pub(crate) fn put_entry(&mut self, entry: &Entry) -> (bool, Option<(EventId, Vec<Row>)>) {
        let (tenant, name) = entry.names();
        let known = self.entry(tenant, name);
        if known.is_some_and(|known| !outranks(entry, known)) {
            return (false, None);
        }
        let ended = known.and_then(life).filter(|id| life(entry) != Some(*id));
        // Deleted here, and changed in the other datacentre at the same time, which counts.
        if let Some(id) = life(entry) {
            self.revived |= self.ended.remove(&id);
        }
        self.entries.insert((tenant.clone(), name.clone()), entry.clone());
        (true, ended.map(|id| (id, self.end(id))))
    }

    /// A life of an event is over: its records, which do not count any more.
    pub(crate) fn end(&mut self, event: EventId) -> Vec<Row> {
        self.ended.insert(event);
        self.told.remove(&event);
        self.ledgers.remove(&event);
        self.rows.extract_if(|key, _| key.event == event).filter_map(|(_, known)| known.counts()).collect()
    }

    /// The records of an event of which nothing was told before; none of one that was: those have been told.
    pub(crate) fn of_new_event(&mut self, event: EventId) -> Vec<Row> {
        if !self.told.insert(event) {
            return Vec::new();
        }
        let of_event = self.rows.iter().filter(|(key, _)| key.event == event);
        of_event.filter_map(|(_, known)| known.counts()).collect()
    }

    /// The records that count of an event's init segments and loose objects, and of the last `recent` numbers of each of
    /// its renditions. Everything was read at the start, and what came later was noted.
    pub(crate) fn standing(&self, event: EventId, recent: usize, now: Timestamp) -> Vec<Row> {
        let of_event = self.rows.iter().filter(|(key, _)| key.event == event);
        let rows = of_event.filter_map(|(_, known)| known.counts());
        // What holds the place of a candidate that was passed over is nobody's record.
        let rows = rows.filter(|row| row.has_come() && keeps(row, self.grace, now));
        let (mut standing, mut renditions) = (Vec::new(), BTreeMap::<Rendition, BTreeMap<u64, Vec<Row>>>::new());
        for row in rows {
            match &row.key.object {
                Object::Segment { rendition, number } => {
                    renditions.entry(rendition.clone()).or_default().entry(*number).or_default().push(row);
                }
                Object::Init { .. } | Object::Loose { .. } => standing.push(row),
            }
        }
        let newest = |numbers: BTreeMap<u64, Vec<Row>>| {
            let older = numbers.len().saturating_sub(recent);
            numbers.into_values().skip(older).flatten()
        };
        standing.extend(renditions.into_values().flat_map(newest));
        standing
    }

    /// Whether an event has come back, since this was asked last, whose records are not known here any more.
    pub(crate) fn has_revived(&mut self) -> bool {
        std::mem::take(&mut self.revived)
    }

    pub(crate) fn is_ended(&self, event: EventId) -> bool {
        self.ended.contains(&event)
    }

    /// What the records of `events` use at `now`.
    pub(crate) fn usage(&self, events: &[EventId], now: Timestamp) -> Usage {
        let mut usage = Usage::default();
        events.iter().filter_map(|id| self.ledgers.get(id)).for_each(|ledger| usage += ledger.at(now));
        usage
    }
}

/// Which life an entry tells of.
pub(crate) fn life(entry: &Entry) -> Option<EventId> {
    entry.alive().map(|event| event.id)
}

/// When a record goes; `None` for never.
pub(crate) fn expires(row: &Row, grace: Millis) -> Option<Timestamp> {
    match row.keep {
        Keep::Standing => None,
        Keep::Until(until) => Some(until.offset_nanos(i128::from(grace.0) * 1_000_000)),
    }
}

/// Whether a record is still to be told of at `now`.
pub(crate) fn keeps(row: &Row, grace: Millis, now: Timestamp) -> bool {
    expires(row, grace).is_none_or(|expires| now <= expires)
}

fn second(at: Timestamp) -> i64 {
    i64::try_from(at.nanos().div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use headwater_model::row::{Claim, Verdict, Version, judge};
    use headwater_store::conformance::{EVENT, body, claim, segment};

    use super::*;

    fn row(number: u64, published: i64, until: i64) -> Row {
        let at = Timestamp::from_seconds(published);
        let keep = Keep::Until(Timestamp::from_seconds(until));
        let claim = Claim { keep, ..claim(segment("v", number, "a"), &body(number, 10), at) };
        match judge(None, &claim, Version(number.into()), at) {
            Verdict::Store(row) => row,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_expire_with_their_grace_and_are_told_once() {
        let mut index = Index::new(Millis::from_seconds(5));
        let (one, two) = (row(1, 10, 20), row(2, 10, 30));
        [&one, &two, &one].into_iter().for_each(|row| drop(index.put(&row.key, Copies::own(Some(row.clone())))));
        assert_eq!(index.expire(Timestamp::from_seconds(25)), []);
        assert!(keeps(&one, Millis::from_seconds(5), Timestamp::from_seconds(25)));
        assert!(!keeps(&one, Millis::from_seconds(5), Timestamp::from_seconds(26)));
        assert_eq!(index.expire(Timestamp::from_seconds(27)), [one]);
        assert_eq!(index.expire(Timestamp::from_seconds(28)), []);
        assert_eq!(index.usage(&[EVENT], Timestamp::from_seconds(28)).objects, 1);
    }

    #[test]
    fn of_a_life_that_is_over_nothing_comes_back() {
        let mut index = Index::new(Millis(0));
        let row = row(1, 10, 20);
        index.put(&row.key, Copies::own(Some(row.clone())));
        assert_eq!(index.end(EVENT), std::slice::from_ref(&row));
        index.put(&row.key, Copies::own(Some(row.clone())));
        assert!(index.known(&row.key).is_empty() && index.is_superseded(&row));
    }
}
