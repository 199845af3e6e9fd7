//! Names as they appear in URLs and headers (contract §2). A value of one of these types has been checked at the
//! door; nothing behind it has to look again.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest tenant, event or rendition name, in bytes (contract §2).
pub const NAME_LEN_MAX: usize = 64;
/// Longest pipeline name, in bytes (contract §2).
pub const PIPELINE_LEN_MAX: usize = 16;

/// Why a string is no name. The message carries the offending value and what would fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no {kind} name: {rule}")]
pub struct NameError {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

fn is_general(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=NAME_LEN_MAX).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| is_name_byte(*byte))
}

/// Whether `byte` may stand in a tenant, event or rendition name.
#[must_use]
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn is_pipeline(text: &str) -> bool {
    let bytes = text.as_bytes();
    let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=PIPELINE_LEN_MAX).contains(&bytes.len())
        && lower(&bytes[0])
        && bytes.iter().all(|byte| lower(byte) || *byte == b'-')
}

const GENERAL_RULE: &str = "use 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or a digit";
const PIPELINE_RULE: &str = "use 1 to 16 of a-z 0-9 - and begin with a letter or a digit";

/// What sets one kind of name apart from another: its rule.
pub trait Kind: Copy + Ord + std::hash::Hash + fmt::Debug + Send + Sync + 'static {
    /// The kind in messages.
    const WORD: &'static str;
    /// The rule in messages.
    const RULE: &'static str;
    /// The rule.
    fn fits(text: &str) -> bool;
}

/// A checked name of kind `K`. Clones share one allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name<K: Kind>(Arc<str>, PhantomData<K>);

/// A tenant: the first part of every URL.
pub type Tenant = Name<kind::Tenant>;
/// An event's name within its tenant: the second part of every URL.
pub type EventName = Name<kind::Event>;
/// A rendition: what `$RepresentationID$` stands for.
pub type Rendition = Name<kind::Rendition>;
/// One of the redundant pipelines that publish an event.
pub type Pipeline = Name<kind::Pipeline>;
/// The region a node runs in, as told in `Headwater-Region`.
pub type Region = Name<kind::Region>;

/// The kinds of names.
pub mod kind {
    /// See [`super::Tenant`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Tenant;
    /// See [`super::EventName`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Event;
    /// See [`super::Rendition`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Rendition;
    /// See [`super::Pipeline`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Pipeline;
    /// See [`super::Region`].
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct Region;
}

impl Kind for kind::Tenant {
    const WORD: &'static str = "tenant";
    const RULE: &'static str = GENERAL_RULE;
    fn fits(text: &str) -> bool {
        is_general(text)
    }
}

impl Kind for kind::Event {
    const WORD: &'static str = "event";
    const RULE: &'static str = GENERAL_RULE;
    fn fits(text: &str) -> bool {
        is_general(text)
    }
}

impl Kind for kind::Rendition {
    const WORD: &'static str = "rendition";
    const RULE: &'static str = GENERAL_RULE;
    fn fits(text: &str) -> bool {
        is_general(text)
    }
}

impl Kind for kind::Pipeline {
    const WORD: &'static str = "pipeline";
    const RULE: &'static str = PIPELINE_RULE;
    fn fits(text: &str) -> bool {
        is_pipeline(text)
    }
}

impl Kind for kind::Region {
    const WORD: &'static str = "region";
    const RULE: &'static str = GENERAL_RULE;
    fn fits(text: &str) -> bool {
        is_general(text)
    }
}

impl<K: Kind> Name<K> {
    /// Whether `text` keeps the rule of contract §2.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        K::fits(text)
    }

    /// Checks `text` against the rule of contract §2.
    ///
    /// # Errors
    /// [`NameError`] with the value and the rule it breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if K::fits(text) {
            return Ok(Self(text.into(), PhantomData));
        }
        let value = text.chars().take(80).collect();
        Err(NameError { kind: K::WORD, value, rule: K::RULE })
    }

    /// The name as written in a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<K: Kind> FromStr for Name<K> {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<K: Kind> TryFrom<String> for Name<K> {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(&text)
    }
}

impl<K: Kind> From<Name<K>> for String {
    fn from(name: Name<K>) -> String {
        name.0.as_ref().to_owned()
    }
}

impl<K: Kind> Borrow<str> for Name<K> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<K: Kind> fmt::Display for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<K: Kind> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_contract() {
        for good in ["a", "live", "Game7", "v1080.main_2-x", "0", &"x".repeat(64)] {
            assert!(Tenant::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "-a", "_a", ".a", "a/b", "a b", "é", "a%2F", &"x".repeat(65)] {
            assert!(Tenant::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pipelines_are_short_and_lower_case() {
        for good in ["a", "b2", "us-east-1", "0", &"p".repeat(16)] {
            assert!(Pipeline::new(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "-a", "a.b", "a_b", &"p".repeat(17)] {
            assert!(Pipeline::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_message_names_the_value_and_the_rule() {
        let message = Rendition::new("a b").unwrap_err().to_string();
        assert!(message.contains("`a b` is no rendition name"), "{message}");
        assert!(message.contains("1 to 64"), "{message}");
    }
}
