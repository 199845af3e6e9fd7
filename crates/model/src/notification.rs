//! Notifications (contract §6): facts about an event that ride on its responses, each from a segment on.
//!
//! A state is the list of its changes; what holds at a segment follows from it, so that an answer about an old segment
//! is the same today and tomorrow.

use std::fmt;

use serde::{Deserialize, Serialize};
use sfv::{BareItem, GenericBareItem, ItemSerializer, KeyRef, Parser};

/// Most names in force at once (contract §6).
pub const NAMES_MAX: usize = 64;
/// Most bytes of the serialised set (contract §6): response headers beyond that are cut off by some caches.
pub const SET_BYTES_MAX: usize = 4096;
/// Most changes that an event remembers: a change a minute for a DVR window of half a day, and some.
pub const CHANGES_MAX: usize = 1000;
/// The name that carries the revision.
const REV: &str = "rev";

/// A value as a structured field has it (RFC 9651 bare item), like `"30s"` or `5`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Value(String);

impl Value {
    /// From a parsed item.
    #[must_use]
    pub fn of(item: &BareItem) -> Self {
        Self(ItemSerializer::new().bare_item(item).finish())
    }

    /// From JSON: a string, a number or a boolean.
    ///
    /// # Errors
    /// What is wrong and what to write.
    pub fn from_json(json: &serde_json::Value) -> Result<Self, String> {
        let text = match json {
            serde_json::Value::String(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            serde_json::Value::Bool(flag) => format!("?{}", u8::from(*flag)),
            serde_json::Value::Number(number) => number.to_string(),
            other => return Err(format!("{other} is no value; write a string, a number or a boolean")),
        };
        Self::try_from(text)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match Parser::new(&self.0).parse::<sfv::Item>().map(|item| item.bare_item) {
            Ok(GenericBareItem::String(text)) => text.as_str().into(),
            Ok(GenericBareItem::Boolean(flag)) => flag.into(),
            Ok(GenericBareItem::Integer(number)) => i64::from(number).into(),
            Ok(GenericBareItem::Decimal(_)) => self.0.parse::<f64>().map_or(serde_json::Value::Null, Into::into),
            _ => self.0.as_str().into(),
        }
    }
}

impl TryFrom<String> for Value {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match Parser::new(&text).parse::<sfv::Item>() {
            Ok(item) if item.params.is_empty() => Ok(Self::of(&item.bare_item)),
            _ => Err(format!(
                "{text} fits no structured field (RFC 9651); use printable ASCII and numbers of at most 15 digits"
            )),
        }
    }
}

impl From<Value> for String {
    fn from(value: Value) -> Self {
        value.0
    }
}

/// Checks a notification's name.
///
/// # Errors
/// What is wrong and what to write.
pub fn check_name(name: &str) -> Result<(), String> {
    if name == REV {
        return Err("`rev` carries the revision; choose another name".into());
    }
    if name.len() > 64 || KeyRef::from_str(name).is_err() {
        return Err(format!("`{name}` is no name; use 1 to 64 of a-z 0-9 _ - . * and begin with a letter or *"));
    }
    Ok(())
}

/// One change: a name got a value, or was removed, from a segment on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which name.
    pub name: String,
    /// Its value; `None`: removed.
    pub value: Option<Value>,
    /// The first segment that it holds for.
    pub number: u64,
    /// The event's revision by which it came.
    pub rev: u64,
}

/// Who brings a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A segment's upload: the first value for a name and segment stays.
    Upload,
    /// An operator: the last word counts.
    Operator,
}

/// Why the state stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The name or value breaks a rule.
    #[error("{0}")]
    Invalid(String),
    /// Too many names.
    #[error("{NAMES_MAX} names are in force; remove one first")]
    TooManyNames,
    /// Too many bytes.
    #[error("the set would have over {SET_BYTES_MAX} bytes; shorten values or remove names")]
    TooLarge,
    /// Too many changes within the DVR window.
    #[error("{CHANGES_MAX} changes lie within the DVR window; change values less often")]
    TooManyChanges,
}

/// The state of an event's notifications.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notifications(Vec<Change>);

impl Notifications {
    /// Whether there never was one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The state with `name` set from segment `number` on, by revision `rev`; `None` if that changes nothing.
    /// Changes that no segment from `oldest` on can show are forgotten.
    ///
    /// # Errors
    /// [`NotifyError`]; the state stays.
    pub fn with(
        &self,
        name: &str,
        value: &Value,
        number: u64,
        rev: u64,
        source: Source,
        oldest: u64,
    ) -> Result<Option<Self>, NotifyError> {
        check_name(name).map_err(NotifyError::Invalid)?;
        let is_taken = |change: &&Change| change.name == name && change.number == number && change.value.is_some();
        if source == Source::Upload && self.0.iter().any(|change| is_taken(&change)) {
            return Ok(None);
        }
        if self.holding(name, number).is_some_and(|change| change.value.as_ref() == Some(value)) {
            return Ok(None);
        }
        let change = Change { name: name.to_owned(), value: Some(value.clone()), number, rev };
        let new = self.changed(change, oldest)?;
        let set = new.latest();
        if set.entries.len() > NAMES_MAX {
            return Err(NotifyError::TooManyNames);
        }
        if set.to_string().len() > SET_BYTES_MAX {
            return Err(NotifyError::TooLarge);
        }
        Ok(Some(new))
    }

    /// The state with `name` removed from segment `next` on, but not before the segment from which it holds; `None` if
    /// it is not there.
    ///
    /// # Errors
    /// [`NotifyError::TooManyChanges`].
    pub fn without(&self, name: &str, next: u64, rev: u64, oldest: u64) -> Result<Option<Self>, NotifyError> {
        let Some(last) = self.holding(name, u64::MAX).filter(|change| change.value.is_some()) else { return Ok(None) };
        let change = Change { name: name.to_owned(), value: None, number: next.max(last.number), rev };
        self.changed(change, oldest).map(Some)
    }

    /// What holds at segment `number`.
    #[must_use]
    pub fn as_of(&self, number: u64) -> Set<'_> {
        let reached = self.0.iter().filter(|change| change.number <= number);
        let rev = reached.clone().map(|change| change.rev).max().unwrap_or(0);
        let holds = |change: &&Change| {
            let later = |other: &Change| (other.number, other.rev) > (change.number, change.rev);
            change.value.is_some() && !reached.clone().any(|other| other.name == change.name && later(other))
        };
        let mut entries: Vec<&Change> = reached.clone().filter(holds).collect();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Set { entries, rev }
    }

    /// The latest set.
    #[must_use]
    pub fn latest(&self) -> Set<'_> {
        self.as_of(u64::MAX)
    }

    /// The change of `name` that counts at segment `number`.
    fn holding(&self, name: &str, number: u64) -> Option<&Change> {
        let reached = self.0.iter().filter(|change| change.name == name && change.number <= number);
        reached.max_by_key(|change| (change.number, change.rev))
    }

    fn changed(&self, change: Change, oldest: u64) -> Result<Self, NotifyError> {
        let mut changes = self.0.clone();
        changes.push(change);
        let all = changes.clone();
        changes.retain(|change| {
            let superseded = |other: &Change| {
                other.name == change.name
                    && other.number <= oldest
                    && (other.number, other.rev) > (change.number, change.rev)
            };
            !all.iter().any(superseded)
        });
        if changes.len() > CHANGES_MAX { Err(NotifyError::TooManyChanges) } else { Ok(Self(changes)) }
    }
}

/// What holds at some segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<'a> {
    /// The changes in force, by name.
    pub entries: Vec<&'a Change>,
    /// The revision by which the set came to be; 0 if there never was a change.
    pub rev: u64,
}

impl fmt::Display for Set<'_> {
    /// The value of `Headwater-Notifications`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.entries {
            let value = change.value.as_ref().map_or("?0", |value| value.0.as_str());
            // RFC 9651 §4.1.2: a member that is true is its name alone.
            let (sign, value) = if value == "?1" { ("", "") } else { ("=", value) };
            write!(f, "{}{sign}{value};n={}, ", change.name, change.number)?;
        }
        write!(f, "{REV}={}", self.rev)
    }
}

#[cfg(test)]
#[path = "notification/tests.rs"]
mod tests;
