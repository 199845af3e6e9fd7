//! What a server is started with. The binary reads the file, the flags and the environment; here is only what they
//! may say.

mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use headwater_model::document::Document;
use headwater_model::{EventName, Pipeline, Region, Tenant};
use serde::Deserialize;

use crate::quota::Quotas;
use crate::surrogate::SurrogateKeys;
pub use store::{EngineKind, NoSuchRole, Role, StoreConfig};

/// Largest upload (contract §4).
pub const BODY_BYTES_MAX: u64 = 64 << 20;
/// Memory that uploads in progress may hold: two of the largest, or a hundred usual segments.
pub const UPLOAD_BYTES: u64 = 128 << 20;
/// Memory for the newest segments: 30 s of a ladder of 40 Mbit/s on two pipelines.
pub const WINDOW_BYTES: u64 = 256 << 20;
/// Memory for what DVR viewers read.
pub const DVR_BYTES: u64 = 128 << 20;
/// Of the data volume, left free by uploads.
pub const RESERVE_BYTES: u64 = 64 << 20;

/// The configuration file, in TOML: every key optional, unknown keys refused.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where packagers publish.
    pub publish: SocketAddr,
    /// Where caches and players read.
    pub deliver: SocketAddr,
    /// Where operators look.
    pub ops: SocketAddr,
    /// The data directory of the embedded engine.
    pub data: PathBuf,
    /// The region of this node.
    pub region: Region,
    /// What this process does.
    pub role: Role,
    /// A file that gets the URLs once all listeners answer.
    pub ready_file: Option<PathBuf>,
    /// Largest upload.
    pub body_bytes_max: u64,
    /// Memory for uploads in progress.
    pub upload_bytes: u64,
    /// Memory for the newest segments.
    pub window_bytes: u64,
    /// Memory for DVR reads.
    pub dvr_bytes: u64,
    /// Bytes of the data volume that uploads leave free.
    pub reserve_bytes: u64,
    /// Which header tells CDNs by what to purge an answer.
    pub surrogate_keys: SurrogateKeys,
    /// Which engine keeps media and events.
    pub store: StoreConfig,
    /// The tenants. `live` is always there.
    pub tenants: BTreeMap<Tenant, TenantConfig>,
}

/// One tenant.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct TenantConfig {
    /// Whether the first upload to an unknown event creates it.
    pub auto_events: bool,
    /// The document of such an event, as in contract §3.
    pub default_document: toml::Table,
    /// Whether DELETE removes segments and init segments too.
    pub honor_delete: bool,
    /// Most objects stored.
    pub max_objects: Option<u64>,
    /// Most bytes stored.
    pub max_bytes: Option<u64>,
    /// Most objects stored of one event.
    pub max_event_objects: Option<u64>,
    /// Most bytes stored of one event.
    pub max_event_bytes: Option<u64>,
    /// Largest object, in bytes.
    pub max_object_bytes: Option<u64>,
    /// Most events.
    pub max_events: Option<u64>,
    /// Most renditions of one event.
    pub max_renditions: Option<u64>,
    /// Most uploads in a second.
    pub max_publish_per_second: Option<u64>,
    /// Who may publish; with none, only clients on this machine.
    pub publishers: Vec<Publisher>,
    /// Events that are there from the start, each with its document as in contract §3.
    pub events: BTreeMap<EventName, toml::Table>,
}

/// A credential.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// The user name for HTTP Basic.
    pub user: String,
    /// The password for HTTP Basic, or the token for `Authorization: Bearer`.
    pub secret: String,
    /// The pipeline that the credential stands for.
    #[serde(default)]
    pub pipeline: Option<Pipeline>,
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self {
            auto_events: true,
            default_document: toml::Table::new(),
            honor_delete: false,
            max_objects: None,
            max_bytes: None,
            max_event_objects: None,
            max_event_bytes: None,
            max_object_bytes: None,
            max_events: None,
            max_renditions: None,
            max_publish_per_second: None,
            publishers: Vec::new(),
            events: BTreeMap::new(),
        }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            publish: local(7070),
            deliver: local(7080),
            ops: local(7090),
            data: PathBuf::from("headwater-data"),
            region: Region::new("local").unwrap_or_else(|_| unreachable!("a constant name")),
            role: Role::All,
            ready_file: None,
            body_bytes_max: BODY_BYTES_MAX,
            upload_bytes: UPLOAD_BYTES,
            window_bytes: WINDOW_BYTES,
            dvr_bytes: DVR_BYTES,
            reserve_bytes: RESERVE_BYTES,
            surrogate_keys: SurrogateKeys::default(),
            store: StoreConfig::default(),
            tenants: BTreeMap::new(),
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, or a key that does not exist or has the wrong type.
    #[error(transparent)]
    Syntax(#[from] toml::de::Error),
    /// A value out of its range.
    #[error("`{key}`: {problem}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong and what to write.
        problem: String,
    },
}

impl Config {
    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.tenants()?;
        Ok(config)
    }

    /// The tenants with their default documents, checked; `live` is added if the file does not have it.
    ///
    /// # Errors
    /// [`ConfigError::Value`] naming the key.
    pub fn tenants(&self) -> Result<BTreeMap<Tenant, TenantSpec>, ConfigError> {
        self.check_memory()?;
        self.check_role()?;
        let live = Tenant::new("live").unwrap_or_else(|_| unreachable!("a constant name"));
        let mut tenants = self.tenants.clone();
        tenants.entry(live).or_default();
        tenants.into_iter().map(|(name, config)| Ok((name.clone(), TenantSpec::check(&name, config)?))).collect()
    }

    /// The configured events with their documents, checked.
    ///
    /// # Errors
    /// [`ConfigError::Value`] naming the key.
    pub fn events(&self) -> Result<Vec<(Tenant, EventName, Document)>, ConfigError> {
        let all =
            self.tenants.iter().flat_map(|(tenant, config)| config.events.iter().map(move |event| (tenant, event)));
        all.map(|(tenant, (event, table))| {
            let document = document(table, &format!("tenants.{tenant}.events.{event}"))?;
            Ok((tenant.clone(), event.clone(), document))
        })
        .collect()
    }

    /// What one process publishes only itself can deliver, unless they share a store.
    fn check_role(&self) -> Result<(), ConfigError> {
        let shared = self.store.cassandra(self.window_bytes, self.dvr_bytes)?.is_some();
        if self.role != Role::All && !shared {
            let problem =
                "needs a store that processes share; write `engine = \"cassandra\"` in [store], or leave it out";
            return Err(ConfigError::Value { key: "role".into(), problem: problem.into() });
        }
        Ok(())
    }

    fn check_memory(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: String| Err(ConfigError::Value { key: key.into(), problem });
        if self.body_bytes_max == 0 {
            return wrong("body_bytes_max", "0; write the largest upload in bytes".into());
        }
        if self.upload_bytes < self.body_bytes_max {
            let problem = format!("{} is less than body_bytes_max ({})", self.upload_bytes, self.body_bytes_max);
            return wrong("upload_bytes", problem);
        }
        Ok(())
    }
}

/// A checked tenant.
#[derive(Clone, Debug, Default)]
pub struct TenantSpec {
    /// The document of an event that an upload creates; `None` if events must be put by an operator.
    pub auto_document: Option<Document>,
    /// Who may publish.
    pub publishers: Vec<Publisher>,
    /// Whether DELETE removes segments and init segments too.
    pub honor_delete: bool,
    /// How much it may use.
    pub quotas: Quotas,
}

impl TenantSpec {
    fn check(name: &Tenant, config: TenantConfig) -> Result<Self, ConfigError> {
        let key = |rest: &str| format!("tenants.{name}.{rest}");
        let document = document(&config.default_document, &key("default_document"))?;
        if let Some(index) = config.publishers.iter().position(|publisher| publisher.secret.is_empty()) {
            return Err(ConfigError::Value {
                key: key(&format!("publishers[{index}].secret")),
                problem: "is empty; write a password or token".into(),
            });
        }
        let quotas = Quotas::of(&config);
        if let Some((quota, _)) = quotas.all().into_iter().find(|(_, most)| *most == Some(0)) {
            return Err(ConfigError::Value {
                key: key(quota.key()),
                problem: "is 0; write a number of 1 or more, or leave it out for no limit".into(),
            });
        }
        let (auto_document, publishers) = (config.auto_events.then_some(document), config.publishers);
        Ok(Self { auto_document, publishers, honor_delete: config.honor_delete, quotas })
    }
}

fn document(table: &toml::Table, key: &str) -> Result<Document, ConfigError> {
    let value = serde_json::to_value(table)
        .map_err(|error| ConfigError::Value { key: key.to_owned(), problem: error.to_string() })?;
    Document::from_value(value)
        .map_err(|invalid| ConfigError::Value { key: format!("{key}.{}", invalid.field), problem: invalid.problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Config::from_toml("").unwrap(), Config::default());
        assert!(Config::default().tenants().unwrap().values().all(|tenant| tenant.auto_document.is_some()));
    }

    #[test]
    fn a_wrong_key_is_named() {
        for (text, word) in [
            ("colour = 1", "colour"),
            ("publish = 'nowhere'", "publish"),
            ("region = 'a b'", "region"),
            ("[tenants.x]\nmax_bytes = 0", "tenants.x.max_bytes"),
            ("surrogate_keys = 'tags'", "cache-tag"),
            ("upload_bytes = 1", "upload_bytes"),
            (
                "[tenants.x.default_document]\nsegment = {duration = 0, timescale = 1}",
                "tenants.x.default_document.segment.duration",
            ),
            ("[[tenants.x.publishers]]\nuser = 'u'\nsecret = ''", "publishers[0].secret"),
        ] {
            let message = Config::from_toml(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
    }

    #[test]
    fn a_tenant_has_its_own_default_document() {
        let config =
            Config::from_toml("[tenants.sport.default_document]\nsegment = {duration = 48, timescale = 25}").unwrap();
        let tenants = config.tenants().unwrap();
        let document = tenants[&Tenant::new("sport").unwrap()].auto_document.clone().unwrap();
        assert_eq!(document.segment.duration(), 48);
    }
}
