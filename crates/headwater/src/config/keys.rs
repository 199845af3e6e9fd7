//! Every key of the configuration, once: `config check` prints them, docs/configuration.md shows them, and a test
//! compares them with the flags and with what the file accepts.

use headwater_origin::config::Config;
use serde_json::{Value, json};

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A flag, a variable and a key of the file.
    Anywhere,
    /// A flag and a variable.
    Outside,
    /// The file alone.
    File,
}

/// One key.
#[cfg_attr(not(test), expect(dead_code, reason = "the page and the tests read all of it"))]
pub(crate) struct Key {
    /// In the file; flag and variable follow from it.
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    /// For people; empty if there is none.
    pub(crate) default: &'static str,
    /// In one sentence, without its full stop, as `serve --help` says it too.
    pub(crate) meaning: &'static str,
    /// What is in effect; `None` for what has no plain value.
    pub(crate) value: Option<fn(&Config) -> Value>,
}

impl Key {
    const fn plain(
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        value: fn(&Config) -> Value,
    ) -> Self {
        Self { name, place: Place::Anywhere, default, meaning, value: Some(value) }
    }

    const fn of_store(
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        value: fn(&Config) -> Value,
    ) -> Self {
        Self { name, place: Place::File, default, meaning, value: Some(value) }
    }

    const fn of_tenant(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, place: Place::File, default, meaning, value: None }
    }
}

/// Every key, in the order of the page.
pub(crate) const KEYS: &[Key] = &[
    Key { name: "config", place: Place::Outside, default: "", meaning: "The configuration file, in TOML", value: None },
    Key {
        name: "log",
        place: Place::Outside,
        default: "info",
        meaning: "What to log, like `info` or `headwater_store=debug`",
        value: None,
    },
    Key::plain("publish", "127.0.0.1:7070", "Where packagers publish", |config| json!(config.publish)),
    Key::plain("deliver", "127.0.0.1:7080", "Where caches and players read", |config| json!(config.deliver)),
    Key::plain("ops", "127.0.0.1:7090", "Where operators look", |config| json!(config.ops)),
    Key::plain("data", "headwater-data", "The data directory of the embedded engine", |config| json!(config.data)),
    Key::plain("region", "local", "The region of this node", |config| json!(config.region.as_str())),
    Key::plain("role", "all", "What this process does: `all`, `publish` or `deliver`", |config| json!(config.role)),
    Key::plain("ready_file", "", "A file that gets the URLs as JSON once all listeners answer", |config| {
        json!(config.ready_file)
    }),
    Key::plain("body_bytes_max", "64 MiB", "Largest upload, in bytes", |config| json!(config.body_bytes_max)),
    Key::plain("upload_bytes", "128 MiB", "Memory for uploads in progress, in bytes", |config| {
        json!(config.upload_bytes)
    }),
    Key::plain("window_bytes", "256 MiB", "Memory for the newest segments, in bytes", |config| {
        json!(config.window_bytes)
    }),
    Key::plain("dvr_bytes", "128 MiB", "Memory for DVR reads, in bytes", |config| json!(config.dvr_bytes)),
    Key::plain(
        "reserve_bytes",
        "64 MiB",
        "Bytes of the data volume that uploads leave free; below it they get 507",
        |config| json!(config.reserve_bytes),
    ),
    Key::plain(
        "surrogate_keys",
        "off",
        "Which header tells CDNs by what to purge: `surrogate-key`, `cache-tag`, `both` or `off`",
        |config| json!(config.surrogate_keys),
    ),
    Key::of_store(
        "store.engine",
        "log",
        "Which engine keeps media and events: `log`, in the data directory, or `cassandra`",
        |config| json!(config.store.engine),
    ),
    Key::of_store(
        "store.contact_points",
        "",
        "Where Cassandra nodes of the own datacentre answer CQL, as `NAME:PORT` or `ADDR:PORT`; the others are found through them",
        |config| given(json!(config.store.contact_points)),
    ),
    Key::of_store("store.user", "", "Who logs in to Cassandra, if its `authenticator` asks", |config| {
        json!(config.store.user)
    }),
    Key::of_store("store.password", "", "The password of `store.user`", |config| {
        json!(config.store.password.as_ref().map(|_| "(not shown)"))
    }),
    Key::of_store("store.datacentre", "", "The own datacentre, as `nodetool status` shows it", |config| {
        given(json!(config.store.datacentre))
    }),
    Key::of_store(
        "store.replication",
        "",
        "Copies of everything in each datacentre, two at most, 0 in one that was given up; 3 in the own one if left out",
        |config| given(json!(config.store.replication)),
    ),
    Key::of_store(
        "store.keyspace",
        "headwater",
        "The keyspaces are called this and `_control`, and this and `_media`",
        |config| json!(config.store.keyspace),
    ),
    Key::of_store(
        "store.publish_budget_ms",
        "2000",
        "What a publish may take in all, retries too; past it the publisher gets 503",
        |config| json!(config.store.publish_budget_ms),
    ),
    Key::of_store(
        "store.hedge_ms",
        "75",
        "After how long another node is asked for a chunk too, or later where all are slow; 0 for never",
        |config| json!(config.store.hedge_ms),
    ),
    Key::of_store(
        "store.memcached",
        "",
        "memcached zones, each with its servers as `HOST:PORT`, written alike on every node",
        |config| given(json!(config.store.memcached)),
    ),
    Key::of_store("store.memcached_zone", "", "The zone to read from; the first one if left out", |config| {
        json!(config.store.memcached_zone)
    }),
    Key::of_store(
        "store.feeds",
        "",
        "Ops listeners of the nodes that publish, as `HOST:PORT`, to hear of their commits at once and not within half a second",
        |config| given(json!(config.store.feeds)),
    ),
    Key::of_tenant("tenants.NAME.auto_events", "true", "Whether the first upload to an unknown event creates it"),
    Key::of_tenant(
        "tenants.NAME.default_document",
        "{}",
        "The document of such an event: what differs from the default (protocol §3)",
    ),
    Key::of_tenant(
        "tenants.NAME.honor_delete",
        "false",
        "Whether DELETE removes segments and init segments too, not loose objects alone",
    ),
    Key::of_tenant("tenants.NAME.max_objects", "none", "Most objects stored, every pipeline's counted"),
    Key::of_tenant("tenants.NAME.max_bytes", "none", "Most bytes stored"),
    Key::of_tenant("tenants.NAME.max_event_objects", "none", "Most objects stored of one event"),
    Key::of_tenant("tenants.NAME.max_event_bytes", "none", "Most bytes stored of one event"),
    Key::of_tenant("tenants.NAME.max_object_bytes", "body_bytes_max", "Largest object, in bytes"),
    Key::of_tenant("tenants.NAME.max_events", "none", "Most events"),
    Key::of_tenant("tenants.NAME.max_renditions", "1024", "Most renditions of one event, the declared ones included"),
    Key::of_tenant(
        "tenants.NAME.max_publish_per_second",
        "none",
        "Most uploads in a second; a second's worth may come at once",
    ),
    Key::of_tenant("tenants.NAME.publishers", "[]", "Who may publish; with none, only clients on this machine"),
    Key::of_tenant("tenants.NAME.publishers[].user", "", "The user name for HTTP Basic"),
    Key::of_tenant(
        "tenants.NAME.publishers[].secret",
        "",
        "The password for HTTP Basic, or the token for `Authorization: Bearer`",
    ),
    Key::of_tenant("tenants.NAME.publishers[].pipeline", "any", "The pipeline that the credential stands for"),
    Key::of_tenant(
        "tenants.NAME.events.EVENT",
        "",
        "An event that is there from the start: its document (protocol §3)",
    ),
];

/// What is empty is not set.
fn given(value: Value) -> Value {
    let empty = match &value {
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        _ => false,
    };
    if empty { Value::Null } else { value }
}

/// docs/configuration.md.
#[cfg(test)]
pub(crate) fn page() -> String {
    let mut page = String::from(
        "<!-- Generated by `cargo xtask docs` from crates/headwater/src/config/keys.rs. -->\n\n\
         # Configuration\n\n\
         `headwater serve` needs none. The flag wins, then the variable, then the file, then the default. The file is\n\
         TOML; a key that does not exist is an error. `headwater config check` takes the same flags and prints what is\n\
         in effect, or names the key that is wrong and what to write.\n\n\
         | flag | variable | key in the file | default | meaning |\n|---|---|---|---|---|\n",
    );
    for key in KEYS.iter().filter(|key| key.place != Place::File) {
        let in_file = if key.place == Place::Anywhere { format!("`{}`", key.name) } else { String::new() };
        let (flag, variable, default) = (key.flag(), key.variable(), quoted(key.default));
        page.push_str(&format!("| `--{flag}` | `{variable}` | {in_file} | {default} | {} |\n", key.meaning));
    }
    page.push_str(
        "\nSizes are numbers of bytes. Commands that call a running server take `--ops URL` or `HEADWATER_OPS`.\n\n\
         ## Tenants\n\n\
         In the file alone. The tenant `live` is always there; with no publishers it takes uploads from its own machine.\n\n\
         | key | default | meaning |\n|---|---|---|\n",
    );
    page.push_str(&in_file("tenants."));
    page.push_str(
        "\n## Store\n\n\
         In the file alone. Several processes share what they publish through a cluster of Cassandra nodes, with memcached\n\
         in front of it or without; [operate-cluster.md](operate-cluster.md) tells how to run it.\n\n\
         | key | default | meaning |\n|---|---|---|\n",
    );
    page.push_str(&in_file("store."));
    page.push_str(EXAMPLE);
    page
}

/// The rows of the page for the keys that stand in the file alone.
#[cfg(test)]
fn in_file(prefix: &str) -> String {
    let keys = KEYS.iter().filter(|key| key.place == Place::File && key.name.starts_with(prefix));
    keys.map(|key| format!("| `{}` | {} | {} |\n", key.name, quoted(key.default), key.meaning)).collect()
}

#[cfg(test)]
const EXAMPLE: &str = r#"
## Example

```toml
publish = "0.0.0.0:7070"
deliver = "0.0.0.0:7080"
data = "/var/lib/headwater"
window_bytes = 1_073_741_824

[tenants.sports]
auto_events = false
publishers = [
  { user = "encoder-a", secret = "change-me", pipeline = "a" },
  { user = "encoder-b", secret = "change-me-too", pipeline = "b" },
]

[tenants.sports.events.final]
segment = { duration = 2, timescale = 1 }
```
"#;

#[cfg(test)]
fn quoted(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[cfg(test)]
impl Key {
    /// Without its dashes.
    fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    fn variable(&self) -> String {
        format!("HEADWATER_{}", self.name.to_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_of_serve_is_in_the_table_and_says_the_same() {
        let command = crate::Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let flags: Vec<_> = serve.get_arguments().chain(command.get_arguments()).collect();
        let keys: Vec<_> = KEYS.iter().filter(|key| key.place != Place::File).collect();
        assert_eq!(flags.len(), keys.len());
        for key in keys {
            let flag = flags.iter().find(|flag| flag.get_long() == Some(&key.flag()));
            let flag = flag.unwrap_or_else(|| panic!("no flag --{}", key.flag()));
            assert_eq!(flag.get_env().unwrap().to_str().unwrap(), key.variable());
            let by_clap = !flag.get_default_values().is_empty();
            let default =
                if key.default.is_empty() || by_clap { String::new() } else { format!(" [default: {}]", key.default) };
            assert_eq!(flag.get_help().unwrap().to_string(), format!("{}{default}", key.meaning));
        }
    }

    #[test]
    fn the_file_takes_the_keys_of_the_table_and_no_others() {
        let of_table = |prefix: &str, places: &[Place]| -> BTreeSet<String> {
            let keys = KEYS.iter().filter(|key| places.contains(&key.place));
            keys.filter_map(|key| key.name.strip_prefix(prefix))
                .map(|rest| rest.split(['.', '[']).next().unwrap().to_owned())
                .collect()
        };
        let top = of_table("", &[Place::Anywhere, Place::File]);
        assert_eq!(accepted("colour = 1"), top);
        assert_eq!(accepted("[tenants.x]\ncolour = 1"), of_table("tenants.NAME.", &[Place::File]));
        assert_eq!(accepted("[store]\ncolour = 1"), of_table("store.", &[Place::File]));
        let publisher = of_table("tenants.NAME.publishers[].", &[Place::File]);
        assert_eq!(accepted("[[tenants.x.publishers]]\ncolour = 1"), publisher);
    }

    /// The keys that the message about an unknown one offers.
    fn accepted(text: &str) -> BTreeSet<String> {
        let message = Config::from_toml(text).unwrap_err().to_string();
        let (_, offered) = message.split_once("expected").unwrap_or_else(|| panic!("{message}"));
        offered.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn defaults_are_those_of_the_code() {
        let config = Config::default();
        for key in KEYS {
            let Some(value) = key.value else { continue };
            let shown = match value(&config) {
                Value::Null => String::new(),
                Value::String(text) => text,
                Value::Number(millis) if key.name.ends_with("_ms") => millis.to_string(),
                Value::Number(bytes) => format!("{} MiB", bytes.as_u64().unwrap() >> 20),
                other => other.to_string(),
            };
            assert_eq!(shown, key.default, "{}", key.name);
        }
    }

    #[test]
    fn the_example_is_a_configuration() {
        let toml = EXAMPLE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        Config::from_toml(toml).unwrap().tenants().unwrap();
    }
}
