//! An event as the control plane holds it: its newest document, the rules of earlier segments, masks, revisions.

use serde::{Deserialize, Serialize};

use crate::document::{Document, Rules};
use crate::invalidation::Invalidation;
use crate::mask::Mask;
use crate::name::{EventName, Tenant};
use crate::notification::Notifications;
use crate::row::EventId;

/// Most changes of the per-segment rules that one event remembers. An operator makes a few a day.
pub const RULE_CHANGES_MAX: usize = 1000;

/// Rules with the number from which on they hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesFrom {
    /// The first segment they hold for.
    pub effective_from: u64,
    /// The rules.
    #[serde(flatten)]
    pub rules: Rules,
}

/// One life of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Names this life in the store.
    pub id: EventId,
    /// Whose event.
    pub tenant: Tenant,
    /// Its name.
    pub name: EventName,
    /// Counts every change; grows over deletion and re-creation too.
    pub rev: u64,
    /// Part of an edge's cache key; grows over deletion and re-creation too.
    pub cache_version: u64,
    /// The newest document: all but the rules goes by it.
    pub document: Document,
    /// The rules by segment, oldest first; never empty.
    pub rules: Vec<RulesFrom>,
    /// What is hidden.
    pub masks: Vec<Mask>,
    /// What edges must fetch anew, oldest first; a flush clears it.
    pub invalidations: Vec<Invalidation>,
    /// What rides on the responses.
    pub notifications: Notifications,
}

/// What is published of an event, as far as a change of its document has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// No media is stored.
    Nothing,
    /// Media is stored, up to this number.
    UpTo(u64),
}

/// Why a changed document is refused (contract §3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevisionError {
    /// Stored media goes by the old timing or templates: 409.
    #[error("`{field}` cannot change once media is stored; delete the event or publish under another name")]
    Fixed {
        /// The first field that differs.
        field: &'static str,
    },
    /// The event has been changed too often: 409.
    #[error("`pipelines`: the rules of this event have changed {RULE_CHANGES_MAX} times; start a new event")]
    TooManyChanges,
}

impl Event {
    /// A new event that continues the counters of an earlier life under the same name.
    #[must_use]
    pub fn new(id: EventId, tenant: Tenant, name: EventName, document: Document, earlier: Counters) -> Self {
        let rules = vec![RulesFrom { effective_from: 0, rules: document.rules.clone() }];
        let (rev, cache_version) = (earlier.rev + 1, earlier.cache_version + 1);
        Self {
            id,
            tenant,
            name,
            rev,
            cache_version,
            document,
            rules,
            masks: Vec::new(),
            invalidations: Vec::new(),
            notifications: Notifications::default(),
        }
    }

    /// The rules of segment `number`: the only way to them.
    #[must_use]
    pub fn rules_at(&self, number: u64) -> &Rules {
        let after = self.rules.partition_point(|rules| rules.effective_from <= number);
        &self.rules[after.saturating_sub(1)].rules
    }

    /// From which number on the newest rules hold.
    #[must_use]
    pub fn effective_from(&self) -> u64 {
        self.rules.last().map_or(0, |rules| rules.effective_from).max(self.document.start_number)
    }

    /// The event with a changed document; the same event, same `rev`, if nothing differs.
    ///
    /// # Errors
    /// [`RevisionError`] if stored media forbids the change.
    pub fn revised(&self, document: Document, published: Published) -> Result<Self, RevisionError> {
        if document == self.document {
            return Ok(self.clone());
        }
        let mut rules = self.rules.clone();
        match published {
            Published::Nothing => rules = vec![RulesFrom { effective_from: 0, rules: document.rules.clone() }],
            Published::UpTo(highest) => {
                if let Some(field) = self.document.timing_change(&document) {
                    return Err(RevisionError::Fixed { field });
                }
                let effective_from = highest.saturating_add(1);
                // Rules that never got a segment of their own leave no trace.
                rules.retain(|earlier| earlier.effective_from < effective_from);
                if rules.last().is_none_or(|last| last.rules != document.rules) {
                    rules.push(RulesFrom { effective_from, rules: document.rules.clone() });
                }
            }
        }
        if rules.len() > RULE_CHANGES_MAX {
            return Err(RevisionError::TooManyChanges);
        }
        Ok(Self { rev: self.rev + 1, document, rules, ..self.clone() })
    }

    /// The event one revision on, with `change` made.
    #[must_use]
    pub fn next(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = Self { rev: self.rev + 1, ..self.clone() };
        change(&mut next);
        next
    }

    /// The event with a higher cache version, which does the work of every invalidation so far.
    #[must_use]
    pub fn flushed(&self) -> Self {
        self.next(|event| {
            event.cache_version += 1;
            event.invalidations.clear();
        })
    }

    /// The counters that a later life under the same name continues.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { rev: self.rev, cache_version: self.cache_version }
    }
}

/// What outlives an event: the counters that its name never repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// The last revision.
    pub rev: u64,
    /// The last cache version.
    pub cache_version: u64,
}

/// An event's place in the control plane: alive, or gone with its counters kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The event is there.
    Alive(Box<Event>),
    /// The event was deleted.
    Gone {
        /// Whose event.
        tenant: Tenant,
        /// Its name.
        name: EventName,
        /// What its name never repeats.
        counters: Counters,
    },
}

impl Entry {
    /// The tenant and name.
    #[must_use]
    pub fn names(&self) -> (&Tenant, &EventName) {
        match self {
            Self::Alive(event) => (&event.tenant, &event.name),
            Self::Gone { tenant, name, .. } => (tenant, name),
        }
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        match self {
            Self::Alive(event) => event.counters(),
            Self::Gone { counters, .. } => *counters,
        }
    }

    /// The event, if it is alive.
    #[must_use]
    pub fn alive(&self) -> Option<&Event> {
        match self {
            Self::Alive(event) => Some(event),
            Self::Gone { .. } => None,
        }
    }

    /// The standing record of the store: JSON, so that a person can read a damaged store.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let (tenant, name) = self.names();
        let (tenant, name, counters) = (tenant.clone(), name.clone(), self.counters());
        let alive = self.alive().map(|event| RecordAlive {
            id: event.id,
            document: event.document.to_value(),
            rules: event.rules.clone(),
            masks: event.masks.clone(),
            invalidations: event.invalidations.clone(),
            notifications: event.notifications.clone(),
        });
        serde_json::to_vec(&Record { tenant, name, counters, alive }).unwrap_or_default()
    }

    /// Reads what [`Entry::to_json`] wrote.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let Record { tenant, name, counters, alive } = record;
        let Some(alive) = alive else { return Ok(Self::Gone { tenant, name, counters }) };
        let document = Document::from_value(alive.document).map_err(|invalid| invalid.to_string())?;
        if alive.rules.is_empty() {
            return Err("an event without rules".into());
        }
        Ok(Self::Alive(Box::new(Event {
            id: alive.id,
            tenant,
            name,
            rev: counters.rev,
            cache_version: counters.cache_version,
            document,
            rules: alive.rules,
            masks: alive.masks,
            invalidations: alive.invalidations,
            notifications: alive.notifications,
        })))
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    tenant: Tenant,
    name: EventName,
    counters: Counters,
    alive: Option<RecordAlive>,
}

#[derive(Serialize, Deserialize)]
struct RecordAlive {
    id: EventId,
    document: serde_json::Value,
    rules: Vec<RulesFrom>,
    masks: Vec<Mask>,
    invalidations: Vec<Invalidation>,
    notifications: Notifications,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event {
        let (tenant, name) = (Tenant::new("live").unwrap(), EventName::new("game").unwrap());
        Event::new(EventId(1), tenant, name, document(json), Counters { rev: 4, cache_version: 2 })
    }

    fn document(json: &str) -> Document {
        Document::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn counters_continue_those_of_an_earlier_life() {
        let event = event("{}");
        assert_eq!((event.rev, event.cache_version), (5, 3));
    }

    #[test]
    fn before_any_media_everything_may_change() {
        let changed =
            event("{}").revised(document(r#"{"start_number":9,"pipelines":["z"]}"#), Published::Nothing).unwrap();
        assert_eq!(changed.rev, 6);
        assert_eq!(changed.rules_at(0).pipelines[0].as_str(), "z");
        assert_eq!(changed.effective_from(), 9);
    }

    #[test]
    fn with_media_stored_rules_change_after_the_last_segment() {
        let old = event("{}");
        let new = old.revised(document(r#"{"pipelines":["b","a"],"dvr_window_s":60}"#), Published::UpTo(41)).unwrap();
        assert_eq!(new.effective_from(), 42);
        assert_eq!(new.rules_at(41).pipelines[0].as_str(), "a");
        assert_eq!(new.rules_at(42).pipelines[0].as_str(), "b");
        assert_eq!(new.document.dvr_window_s, 60);
        let again = new.revised(document(r#"{"pipelines":["c"]}"#), Published::UpTo(41)).unwrap();
        assert_eq!(again.rules.len(), 2, "the unused change leaves no trace");
    }

    #[test]
    fn with_media_stored_timing_is_fixed() {
        let refused = event("{}").revised(document(r#"{"start_number":1}"#), Published::UpTo(0)).unwrap_err();
        assert!(refused.to_string().contains("`start_number`"), "{refused}");
    }

    #[test]
    fn an_unchanged_document_is_no_revision() {
        let old = event("{}");
        assert_eq!(old.revised(document("{}"), Published::UpTo(3)).unwrap(), old);
    }

    #[test]
    fn entries_are_read_as_written() {
        let mut alive = event(r#"{"renditions":[{"id":"v","timescale":90000}]}"#);
        alive = alive.revised(document(r#"{"pipelines":["c"]}"#), Published::UpTo(3)).unwrap();
        alive.masks.push(Mask {
            id: 1,
            pipeline: crate::Pipeline::new("a").unwrap(),
            renditions: None,
            from: 1,
            to: None,
            reason: "black".into(),
        });
        alive.invalidations.push(Invalidation {
            rev: 7,
            from: 1,
            to: Some(2),
            pipeline: None,
            region: None,
            renditions: None,
        });
        let value = crate::notification::Value::from_json(&"30s".into()).unwrap();
        let source = crate::notification::Source::Operator;
        alive.notifications = alive.notifications.with("ad", &value, 4, 8, source, 0).unwrap().unwrap();
        let gone = Entry::Gone { tenant: alive.tenant.clone(), name: alive.name.clone(), counters: alive.counters() };
        for entry in [Entry::Alive(Box::new(alive)), gone] {
            assert_eq!(Entry::from_json(&entry.to_json()).unwrap(), entry);
        }
        assert!(Entry::from_json(b"{}").is_err());
    }
}
