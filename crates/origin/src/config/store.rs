//! The `[store]` table of the configuration: which engine keeps media and events, and where it is found.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use headwater_cassandra::memcached::{self, Zone};
use headwater_cassandra::{Login, OpenError, Options, PUBLISH_BUDGET};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ConfigError;

/// Copies of everything in each datacentre, where the file does not say.
const COPIES: u8 = 3;
/// Shortest budget of a publish that makes sense, in milliseconds.
const PUBLISH_BUDGET_MS_MIN: u64 = 100;

/// Which engine keeps media and events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// The embedded engine: one process, one data directory.
    #[default]
    Log,
    /// Apache Cassandra, for any number of processes.
    Cassandra,
}

/// The `[store]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Which engine.
    pub engine: EngineKind,
    /// Where Cassandra nodes of the own datacentre answer CQL, as `NAME:PORT` or `ADDR:PORT`.
    pub contact_points: Vec<String>,
    /// Who logs in there, if Cassandra asks.
    pub user: Option<String>,
    /// With which password.
    pub password: Option<String>,
    /// The own datacentre, as Cassandra calls it.
    pub datacentre: String,
    /// Copies in each datacentre, of which there are two at most, for keyspaces that are made; whose records count here;
    /// [`COPIES`] in the own one if empty.
    pub replication: BTreeMap<String, u8>,
    /// What the keyspaces' names begin with.
    pub keyspace: String,
    /// What a publish may take in all, retries too.
    pub publish_budget_ms: u64,
    /// After how long another node is asked for a chunk too, or later where all are slow; 0 for never.
    pub hedge_ms: u64,
    /// memcached zones and the servers of each, as `NAME:PORT` or `ADDR:PORT`, written alike on every node.
    pub memcached: BTreeMap<String, Vec<String>>,
    /// The zone to read from; the first one if the file does not say.
    pub memcached_zone: Option<String>,
    /// The ops listeners of the nodes that publish, as `NAME:PORT` or `ADDR:PORT`, to hear of their commits at once.
    pub feeds: Vec<String>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            engine: EngineKind::Log,
            contact_points: Vec::new(),
            user: None,
            password: None,
            datacentre: String::new(),
            replication: BTreeMap::new(),
            keyspace: "headwater".into(),
            publish_budget_ms: PUBLISH_BUDGET.as_millis() as u64,
            hedge_ms: 75,
            memcached: BTreeMap::new(),
            memcached_zone: None,
            feeds: Vec::new(),
        }
    }
}

impl StoreConfig {
    /// The options of the engine on Cassandra, checked; `None` for the embedded engine.
    ///
    /// # Errors
    /// [`ConfigError::Value`] naming the key.
    pub fn cassandra(&self, window_bytes: u64, dvr_bytes: u64) -> Result<Option<Options>, ConfigError> {
        let wrong =
            |key: &str, problem: &str| ConfigError::Value { key: format!("store.{key}"), problem: problem.into() };
        if self.publish_budget_ms < PUBLISH_BUDGET_MS_MIN {
            return Err(wrong("publish_budget_ms", "is below 100; neither a disk nor a cluster keeps to that"));
        }
        if self.engine == EngineKind::Log {
            let strays = [
                ("contact_points", !self.contact_points.is_empty()),
                ("user", self.user.is_some()),
                ("password", self.password.is_some()),
                ("datacentre", !self.datacentre.is_empty()),
                ("replication", !self.replication.is_empty()),
                ("memcached", !self.memcached.is_empty()),
                ("memcached_zone", self.memcached_zone.is_some()),
                ("feeds", !self.feeds.is_empty()),
            ];
            return match strays.into_iter().find(|(_, given)| *given) {
                Some((key, _)) => Err(wrong(key, "is for `engine = \"cassandra\"`; write that too, or leave this out")),
                None => Ok(None),
            };
        }
        if self.contact_points.is_empty() {
            return Err(wrong("contact_points", "is missing; name some Cassandra nodes, like [\"10.0.0.1:9042\"]"));
        }
        check_places("contact_points", &self.contact_points, "10.0.0.1:9042")?;
        check_places("feeds", &self.feeds, "10.0.0.1:7090")?;
        if self.datacentre.is_empty() {
            return Err(wrong("datacentre", "is missing; write what `nodetool status` shows as Datacenter"));
        }
        let login = match (&self.user, &self.password) {
            (Some(user), Some(password)) => Some(Login { user: user.clone(), password: password.clone() }),
            (None, None) => None,
            (Some(_), None) => return Err(wrong("password", "is missing; `user` logs in with it")),
            (None, Some(_)) => return Err(wrong("user", "is missing; `password` is of somebody")),
        };
        let own = || BTreeMap::from([(self.datacentre.clone(), COPIES)]);
        let copies = if self.replication.is_empty() { own() } else { self.replication.clone() };
        let options = Options::new(&self.contact_points, &self.datacentre);
        let options = Options {
            login,
            replication: copies.into_iter().collect(),
            keyspace: self.keyspace.clone(),
            publish_budget: Duration::from_millis(self.publish_budget_ms),
            hedge: (self.hedge_ms > 0).then(|| Duration::from_millis(self.hedge_ms)),
            window_bytes: usize::try_from(window_bytes).unwrap_or(usize::MAX),
            dvr_bytes,
            memcached: self.zones()?,
            ..options
        };
        match options.check() {
            Ok(()) => Ok(Some(options)),
            Err(OpenError::Option { field, problem }) => Err(wrong(field, &problem)),
            Err(error) => Err(wrong("engine", &error.to_string())),
        }
    }

    fn zones(&self) -> Result<Option<memcached::Options>, ConfigError> {
        let wrong = |key: String, problem: &str| ConfigError::Value { key, problem: problem.into() };
        if let Some((name, _)) = self.memcached.iter().find(|(_, servers)| servers.is_empty()) {
            return Err(wrong(format!("store.memcached.{name}"), "has no servers; name some, or leave the zone out"));
        }
        for (name, servers) in &self.memcached {
            check_places(&format!("memcached.{name}"), servers, "10.0.0.1:11211")?;
        }
        let mut servers: Vec<_> = self.memcached.values().flatten().collect();
        servers.sort();
        if let Some([twice, _]) = servers.array_windows().find(|[one, next]| one == next) {
            let problem = format!("has `{twice}` twice; a server is of one zone, and once in it");
            return Err(ConfigError::Value { key: "store.memcached".into(), problem });
        }
        let own = match &self.memcached_zone {
            Some(zone) if self.memcached.contains_key(zone) => zone,
            Some(zone) => {
                let zones = self.memcached.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let problem = match &*zones {
                    "" => {
                        format!("is `{zone}`, and there are no zones; name some in `store.memcached`, or leave it out")
                    }
                    zones => format!("is `{zone}`, which is no zone of `store.memcached`; write one of {zones}"),
                };
                return Err(wrong("store.memcached_zone".into(), &problem));
            }
            None => match self.memcached.keys().next() {
                Some(first) => first,
                None => return Ok(None),
            },
        };
        let zones = self.memcached.iter().map(|(name, servers)| Zone { name: name.clone(), servers: servers.clone() });
        Ok(Some(memcached::Options::new(zones.collect(), own)))
    }
}

/// That every one of `places`, in `store.` and `key`, is a `HOST:PORT` like `example`.
fn check_places(key: &str, places: &[String], example: &str) -> Result<(), ConfigError> {
    let Some(stray) = places.iter().find(|place| !is_place(place)) else { return Ok(()) };
    let problem = format!("has `{stray}`; write HOST:PORT, like \"{example}\", an IPv6 address in brackets");
    Err(ConfigError::Value { key: format!("store.{key}"), problem })
}

/// Whether `text` is a `HOST:PORT`, with an IPv6 address in brackets.
fn is_place(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    is_port && in_brackets.map_or_else(|| is_name(host), |host| host.parse::<Ipv6Addr>().is_ok())
}

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes uploads and answers readers.
    #[default]
    All,
    /// Takes uploads.
    Publish,
    /// Answers readers.
    Deliver,
}

/// No role is called that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; write all, publish or deliver")]
pub struct NoSuchRole(String);

impl std::str::FromStr for Role {
    type Err = NoSuchRole;
    fn from_str(text: &str) -> Result<Self, NoSuchRole> {
        match text {
            "all" => Ok(Self::All),
            "publish" => Ok(Self::Publish),
            "deliver" => Ok(Self::Deliver),
            other => Err(NoSuchRole(other.to_owned())),
        }
    }
}

impl Role {
    /// Whether it has a publish listener.
    #[must_use]
    pub fn publishes(self) -> bool {
        self != Self::Deliver
    }

    /// Whether it has a deliver listener.
    #[must_use]
    pub fn delivers(self) -> bool {
        self != Self::Publish
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const GOOD: &str = "role = 'deliver'\n[store]\nengine = 'cassandra'\ncontact_points = ['cassandra-0.nodes:9042']\n\
        datacentre = 'dc1'\nreplication = {dc1 = 5}\nmemcached_zone = 'b'\n[store.memcached]\n\
        a = ['memcached-0.caches:11211']\nb = ['10.0.0.2:11211']";

    #[test]
    fn a_cluster_is_read_as_written() {
        let config = Config::from_toml(GOOD).unwrap();
        let options = config.store.cassandra(1, 2).unwrap().unwrap();
        assert_eq!(options.contact_points, ["cassandra-0.nodes:9042"]);
        assert_eq!(options.replication, [("dc1".to_owned(), 5)]);
        assert_eq!(options.memcached.unwrap().own, "b");
        assert!(config.role.delivers() && !config.role.publishes());
    }

    #[test]
    fn places_are_told_from_what_is_none() {
        for place in ["a:1", "10.0.0.1:9042", "[::1]:11211", "cache_0.caches-a.svc:65535"] {
            assert!(super::is_place(place), "{place}");
        }
        for none in [
            "",
            "a",
            ":1",
            "a:",
            "a:0",
            "a:+80",
            "a:65536",
            "::1:80",
            "[::1]",
            "[x]:80",
            "b@a:1",
            "http://a:1",
            "a b:1",
        ] {
            assert!(!super::is_place(none), "{none}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("[store]\nengine = 'cassandra'", "store.contact_points"),
            ("[store]\nengine = 'cassandra'\ncontact_points = ['10.0.0.1:9042']", "store.datacentre"),
            ("[store]\nengine = 'cassandra'\ncontact_points = ['nodes.example']", "HOST:PORT"),
            ("[store]\nengine = 'cassandra'\ncontact_points = [':9042']", "HOST:PORT"),
            ("[store]\ncontact_points = ['10.0.0.1:9042']", "engine = \"cassandra\""),
            (&GOOD.replace("role = 'deliver'\n[store]", "[store]\nfeeds = ['http://node-0:7090']"), "store.feeds"),
            (&GOOD.replace("10.0.0.2:11211", "10.0.0.2"), "store.memcached.b"),
            ("[store]\nengine = 'paper'", "paper"),
            ("[store]\npublish_budget_ms = 99", "store.publish_budget_ms"),
            ("role = 'deliver'", "role"),
            (&GOOD.replace("'b'\n", "'c'\n"), "store.memcached_zone"),
            (&GOOD.replace("b = ['10.0.0.2:11211']", "b = []"), "store.memcached.b"),
            (&GOOD.replace("{dc1 = 5}", "{dc2 = 3}"), "store.replication"),
            (&GOOD.replace("{dc1 = 5}", "{dc1 = 0}"), "`dc1`, the own datacentre, has no copies"),
            (&GOOD.replace("{dc1 = 5}", "{dc1 = 3, 'dc 2' = 3}"), "`dc 2` is no datacentre's name"),
            (&GOOD.replace("[store]", "[store]\nkeyspace = 'Head-Water'"), "store.keyspace"),
            (&GOOD.replace("'10.0.0.2:11211'", "'memcached-0.caches:11211'"), "`memcached-0.caches:11211` twice"),
            ("[store]\ndatacentre = 'dc1'", "store.datacentre"),
            (&GOOD.replace("[store]", "[store]\nuser = 'headwater'"), "store.password"),
            (&GOOD.replace("[store]", "[store]\npassword = 'secret'"), "store.user"),
            ("[store]\nmemcached_zone = 'a'", "store.memcached_zone"),
            (&GOOD.replace("{dc1 = 5}", "{dc1 = 3, dc2 = 3, dc3 = 3}"), "more than 2 datacentres"),
        ] {
            let message = Config::from_toml(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
