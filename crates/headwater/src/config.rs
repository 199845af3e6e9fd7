//! `headwater config check`: what a server would be started with, or what is wrong with it. Never prints a secret.

pub(crate) mod keys;

use anyhow::{Context, Result};
use clap::Subcommand;
use headwater_origin::config::{Config, Publisher};
use serde_json::{Map, Value, json};

use crate::ops::say;
use crate::serve;

/// Checks the configuration.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks file, environment and flags as `serve` takes them, and prints what is in effect.
    Check(Box<CheckArgs>),
}

#[derive(clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    serve: serve::Args,
    /// Print JSON instead of TOML.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Command::Check(check) = &args.command;
    let config = check.serve.config()?;
    let (values, tenants) = (values(&config), tenants(&config)?);
    if check.json {
        let mut all: Map<_, _> = values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        all.insert("tenants".into(), tenants);
        say(&serde_json::to_string_pretty(&Value::Object(all))?);
    } else {
        say(as_toml(&values, tenants)?.trim_end());
    }
    Ok(())
}

/// Every key of a plain value, in the order of the table.
fn values(config: &Config) -> Vec<(&'static str, Value)> {
    keys::KEYS.iter().filter_map(|key| Some((key.name, key.value?(config)))).collect()
}

/// The tenants with their documents written out.
fn tenants(config: &Config) -> Result<Value> {
    let publisher = |publisher: &Publisher| json!({"user": publisher.user, "pipeline": publisher.pipeline});
    let mut tenants = Map::new();
    for (name, spec) in config.tenants()? {
        let publishers: Vec<_> = spec.publishers.iter().map(publisher).collect();
        let mut tenant = json!({"auto_events": spec.auto_document.is_some(), "publishers": publishers});
        tenant["honor_delete"] = spec.honor_delete.into();
        for (quota, most) in spec.quotas.all() {
            tenant[quota.key()] = most.into();
        }
        if let Some(document) = spec.auto_document {
            tenant["default_document"] = document.to_value();
        }
        tenants.insert(name.to_string(), tenant);
    }
    for (tenant, event, document) in config.events()? {
        tenants[tenant.as_str()]["events"][event.as_str()] = document.to_value();
    }
    Ok(Value::Object(tenants))
}

fn as_toml(values: &[(&'static str, Value)], tenants: Value) -> Result<String> {
    let mut text = String::new();
    for (key, value) in values {
        match value {
            Value::Null => text.push_str(&format!("# {key} is not set\n")),
            value => text.push_str(&format!("{key} = {}\n", inline(value))),
        }
    }
    let tenants = json!({"tenants": without_nulls(tenants)});
    text.push('\n');
    text.push_str(&toml::to_string(&tenants).context("the tenants do not fit TOML")?);
    Ok(text)
}

/// JSON and TOML write plain values and lists of them alike; tables they do not.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key:?} = {}", inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// TOML has no null: what is not set is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(all) => all.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        region = 'east'
        [store]
        engine = 'cassandra'
        contact_points = ['10.0.0.1:9042']
        datacentre = 'east'
        replication = { east = 3 }
        [store.memcached]
        a = ['10.0.0.1:11211', '10.0.0.2:11211']
        [tenants.sport]
        auto_events = false
        publishers = [{ user = 'encoder', secret = 'hush', pipeline = 'a' }]
        [tenants.sport.events.final]
        segment = { duration = 48, timescale = 25 }";

    #[test]
    fn what_is_printed_is_a_configuration_that_means_the_same() {
        let config = Config::from_toml(FILE).unwrap();
        let text = as_toml(&values(&config), tenants(&config).unwrap()).unwrap();
        assert!(text.contains("region = \"east\"\n") && text.contains("# ready_file is not set\n"), "{text}");
        let again = Config::from_toml(&text.replace("user = \"encoder\"", "user = \"encoder\"\nsecret = 'hush'"));
        let again = again.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(values(&again), values(&config));
        assert_eq!(tenants(&again).unwrap(), tenants(&config).unwrap());
    }

    #[test]
    fn secrets_stay_secret() {
        let config = Config::from_toml(FILE).unwrap();
        assert!(!tenants(&config).unwrap().to_string().contains("hush"));
    }
}
