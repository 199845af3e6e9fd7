//! Surrogate keys (contract §5): names that stock CDNs file an answer under, so that an operator can purge by tenant,
//! event, rendition, pipeline, region or segment there too. Pure.
//!
//! An answer without media has the keys that its path tells, so that a purge reaches 404s and 410s in caches as well.

use std::fmt;
use std::str::FromStr;

use headwater_model::row::{Object, Row};
use headwater_model::{EventName, Rendition, Tenant};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::route::{Route, Target};

const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Which header carries the keys: the configuration key `surrogate_keys`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SurrogateKeys {
    /// None.
    #[default]
    Off,
    /// `Surrogate-Key`, separated by spaces.
    SurrogateKey,
    /// `Cache-Tag`, separated by commas.
    CacheTag,
    /// Both of them.
    Both,
}

/// No header is called that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no choice; write off, surrogate-key, cache-tag or both")]
pub struct NoSuchKeys(String);

impl SurrogateKeys {
    /// Every choice.
    pub const ALL: [Self; 4] = [Self::Off, Self::SurrogateKey, Self::CacheTag, Self::Both];

    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::SurrogateKey => "surrogate-key",
            Self::CacheTag => "cache-tag",
            Self::Both => "both",
        }
    }
}

impl FromStr for SurrogateKeys {
    type Err = NoSuchKeys;

    /// In any case: header names have none.
    fn from_str(text: &str) -> Result<Self, NoSuchKeys> {
        let found = Self::ALL.into_iter().find(|choice| choice.word().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| NoSuchKeys(text.to_owned()))
    }
}

impl TryFrom<String> for SurrogateKeys {
    type Error = NoSuchKeys;
    fn try_from(text: String) -> Result<Self, NoSuchKeys> {
        text.parse()
    }
}

impl From<SurrogateKeys> for String {
    fn from(keys: SurrogateKeys) -> Self {
        keys.word().to_owned()
    }
}

impl fmt::Display for SurrogateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a request's path says that its answer is about.
#[derive(Clone, Debug)]
pub struct Subject {
    headers: SurrogateKeys,
    tenant: Tenant,
    event: EventName,
    rendition: Option<Rendition>,
    number: Option<u64>,
}

impl Subject {
    /// What `route` is about, whose path means `target` where that is known; `None` if no header is to carry keys.
    #[must_use]
    pub fn of(headers: SurrogateKeys, route: &Route, target: Option<&Target>) -> Option<Self> {
        if headers == SurrogateKeys::Off {
            return None;
        }
        let (rendition, number) = match target {
            Some(Target::Segment { rendition, number }) => (Some(rendition.clone()), *number),
            Some(Target::Init { rendition }) => (Some(rendition.clone()), None),
            Some(Target::Base | Target::EventJson | Target::Loose { .. }) | None => (None, None),
        };
        let (tenant, event) = (route.tenant.clone(), route.event.clone());
        Some(Self { headers, tenant, event, rendition, number })
    }

    /// Adds the keys: of the media `row`, if there is any, else of what was asked for.
    pub fn tell(&self, row: Option<&Row>, out: &mut HeaderMap) {
        let keys = self.keys(row);
        let mut put = |name, separator: &str| {
            if let Ok(value) = HeaderValue::try_from(keys.join(separator)) {
                out.insert(name, value);
            }
        };
        if matches!(self.headers, SurrogateKeys::SurrogateKey | SurrogateKeys::Both) {
            put(SURROGATE_KEY, " ");
        }
        if matches!(self.headers, SurrogateKeys::CacheTag | SurrogateKeys::Both) {
            put(CACHE_TAG, ",");
        }
    }

    fn keys(&self, row: Option<&Row>) -> Vec<String> {
        let number = match row.map(|row| &row.key.object) {
            Some(Object::Segment { number, .. }) => Some(*number),
            Some(Object::Init { .. } | Object::Loose { .. }) => None,
            None => self.number,
        };
        let key = |letter: char, name: Option<&str>| name.map(|name| format!("{letter}/{name}"));
        let all = [
            key('t', Some(self.tenant.as_str())),
            key('e', Some(self.event.as_str())),
            key('r', self.rendition.as_ref().map(Rendition::as_str)),
            key('p', row.map(|row| row.key.pipeline.as_str())),
            key('g', row.map(|row| row.region.as_str())),
            number.map(|number| format!("n/{number}")),
        ];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use headwater_model::document::Document;

    use super::*;
    use crate::route;
    use crate::testing::segment_row;

    fn told(headers: SurrogateKeys, path: &str, row: Option<&Row>) -> [String; 2] {
        let route = route::parse(&format!("/live/game/{path}")).unwrap();
        let target = route::target(&Document::default(), &route.path, |_| None);
        let mut out = HeaderMap::new();
        if let Some(subject) = Subject::of(headers, &route, Some(&target)) {
            subject.tell(row, &mut out);
        }
        let text = |name| out.get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
        [text(SURROGATE_KEY), text(CACHE_TAG)]
    }

    #[test]
    fn a_segment_has_every_key() {
        let row = segment_row("v", 42, "a", 1);
        let [spaces, commas] = told(SurrogateKeys::Both, "v/42.m4s", Some(&row));
        assert_eq!(spaces, "t/live e/game r/v p/a g/local n/42");
        assert_eq!(commas, "t/live,e/game,r/v,p/a,g/local,n/42");
        assert_eq!(told(SurrogateKeys::CacheTag, "v/42.m4s", Some(&row)), [String::new(), commas]);
        assert_eq!(told(SurrogateKeys::SurrogateKey, "v/42.m4s", Some(&row)), [spaces, String::new()]);
        assert_eq!(told(SurrogateKeys::Off, "v/42.m4s", Some(&row)), ["", ""]);
    }

    #[test]
    fn other_objects_have_what_they_have() {
        let mut row = segment_row("v", 42, "a", 1);
        let of = |path, row: &Row| told(SurrogateKeys::SurrogateKey, path, Some(row))[0].clone();
        row.key.object = Object::Init { rendition: "v".parse().unwrap() };
        assert_eq!(of("v/init.mp4", &row), "t/live e/game r/v p/a g/local");
        row.key.object = Object::Loose { path: "live.mpd".into() };
        assert_eq!(of("live.mpd", &row), "t/live e/game p/a g/local");
    }

    #[test]
    fn what_is_not_there_has_the_keys_of_its_path() {
        let of = |path| told(SurrogateKeys::SurrogateKey, path, None)[0].clone();
        assert_eq!(of("v/42.m4s"), "t/live e/game r/v n/42");
        assert_eq!(of("v/init.mp4"), "t/live e/game r/v");
        assert_eq!(of("live.mpd"), "t/live e/game");
    }

    #[test]
    fn a_choice_is_read_in_any_case() {
        for (text, want) in [
            ("Surrogate-Key", SurrogateKeys::SurrogateKey),
            ("SURROGATE-KEY", SurrogateKeys::SurrogateKey),
            ("Cache-Tag", SurrogateKeys::CacheTag),
            ("both", SurrogateKeys::Both),
            ("Off", SurrogateKeys::Off),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        assert!("tags".parse::<SurrogateKeys>().unwrap_err().to_string().contains("surrogate-key"));
    }
}
