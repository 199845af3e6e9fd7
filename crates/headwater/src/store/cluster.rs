//! `headwater store` for an engine on Cassandra: the schema made, the tables checked and mended.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use headwater_cassandra::survey::{Mend, PAYLOAD_RATE, RATE, Rate, Survey};
use headwater_cassandra::{Options, Schema};
use headwater_origin::config::Config;
use headwater_store::stamp::SystemClock;

use super::steps::Steps;
use super::{DAMAGED, PaceArgs, findings};
use crate::ops::say;
use crate::serve;

/// The cluster, as `serve` is told of it, and how the result is shown.
#[derive(clap::Args)]
pub(super) struct InitArgs {
    /// The configuration file of the server, in TOML.
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text for people.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct RepairArgs {
    #[command(flatten)]
    place: InitArgs,
    #[command(flatten)]
    pace: PaceArgs,
    /// Change nothing; say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Give up objects whose bytes are gone for good: another pipeline's candidate of a segment is chosen instead.
    #[arg(long)]
    drop_lost: bool,
}

impl InitArgs {
    fn options(&self, command: &str, instead: &str) -> Result<Options> {
        let given = serve::Args { config: self.config.clone(), ..serve::Args::default() };
        options(&given.config()?)?.with_context(|| {
            format!(
                "`store {command}` is for a cluster, and the configuration says `engine = \"log\"`: {instead}. Say \
                 which cluster with --config FILE or HEADWATER_CONFIG"
            )
        })
    }
}

/// The cluster that the configuration names; `None` for the embedded engine.
pub(super) fn options(config: &Config) -> Result<Option<Options>> {
    Ok(config.store.cassandra(0, 0)?)
}

pub(super) fn init(args: &InitArgs) -> Result<ExitCode> {
    let options = args.options("init", "a data directory is made by the server at its start")?;
    let schema = runtime()?.block_on(headwater_cassandra::init(&options))?;
    if args.json {
        say(&serde_json::to_string(&schema)?);
    } else {
        say(made(&options.keyspace, &schema).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn check(options: Options, pace: &PaceArgs, json: bool) -> Result<ExitCode> {
    let report = survey(options, pace, json, async |survey| Ok(survey.check(pace.payloads).await?))?;
    if json {
        say(&serde_json::to_string(&report)?);
    } else {
        say(findings::text(&report).trim_end());
    }
    Ok(ended(report.whole))
}

pub(super) fn repair(args: &RepairArgs) -> Result<ExitCode> {
    let options = args.place.options("repair", "a data directory is mended by the server at its start")?;
    let mend = Mend { dry_run: args.dry_run, drop_lost: args.drop_lost };
    let (pace, json) = (&args.pace, args.place.json);
    let repaired = survey(options, pace, json, async |survey| Ok(survey.repair(pace.payloads, mend).await?))?;
    if json {
        say(&serde_json::to_string(&repaired)?);
    } else {
        say(findings::repaired(&repaired).trim_end());
    }
    Ok(ended(repaired.whole))
}

pub(super) fn stats(options: Options, json: bool) -> Result<ExitCode> {
    let pace = PaceArgs { rate_mib: None, rate: None, payloads: false };
    let holdings = survey(options, &pace, json, async |survey| Ok(survey.holdings().await?))?;
    if json {
        say(&serde_json::to_string(&holdings)?);
    } else {
        say(super::stats::cluster(&holdings).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn ended(whole: bool) -> ExitCode {
    if whole { ExitCode::SUCCESS } else { ExitCode::from(DAMAGED) }
}

/// Connects, has `look` look, and ends the bar.
fn survey<T>(
    options: Options,
    pace: &PaceArgs,
    quiet: bool,
    look: impl AsyncFnOnce(&Survey) -> Result<T>,
) -> Result<T> {
    if pace.rate_mib.is_some() && !pace.payloads {
        bail!("--rate-mib is how fast a cluster's payloads are read; add --payloads, or give --rate");
    }
    let rate =
        Rate { entries: pace.rate.unwrap_or(RATE), payload_bytes: pace.rate_mib.map_or(PAYLOAD_RATE, |mib| mib << 20) };
    let steps = Arc::new(Steps::new(quiet));
    let told = Arc::clone(&steps);
    runtime()?.block_on(async {
        let survey = Survey::open(options, rate, Arc::new(SystemClock::default()), told).await?;
        let looked = look(&survey).await;
        steps.end();
        looked
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// What `init` did, for a person.
fn made(keyspace: &str, schema: &Schema) -> String {
    let mut text = match schema.made.len() {
        0 => format!("{keyspace}: the schema is there, version {}\n", schema.version),
        count => format!("{keyspace}: the schema is there, version {}; {count} parts were missing\n", schema.version),
    };
    if schema.migrated > 0 {
        text.push_str(&format!("  brought {} records and events of an earlier version to this one\n", schema.migrated));
    }
    schema.made.iter().for_each(|part| text.push_str(&format!("  made  {part}\n")));
    let copies = |copies: &std::collections::BTreeMap<String, String>| {
        copies.iter().map(|(datacentre, copies)| format!("{datacentre} = {copies}")).collect::<Vec<_>>().join(", ")
    };
    for unlike in &schema.unlike {
        text.push_str(&format!(
            "\n{} has other copies than `replication` says: {}; wanted are {}. Nothing was changed. Either write what the \
             cluster has, or run in cqlsh\n\n  {}\n\nand then on every node, one after the other: nodetool repair --full {}\n",
            unlike.keyspace,
            copies(&unlike.stands),
            copies(&unlike.wanted),
            unlike.alter,
            unlike.keyspace,
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use headwater_cassandra::Unlike;

    use super::*;

    #[test]
    fn copies_that_differ_are_told_with_what_to_run() {
        let copies = |count: &str| [("dc1".to_owned(), count.to_owned())].into();
        let (keyspace, alter) = ("live_media".to_owned(), "ALTER KEYSPACE live_media …;".to_owned());
        let unlike = vec![Unlike { keyspace, stands: copies("2"), wanted: copies("3"), alter }];
        let text = made("live", &Schema { version: 2, made: vec!["live_control".into()], migrated: 7, unlike });
        for words in [
            "version 2; 1 parts",
            "brought 7 records",
            "made  live_control",
            "dc1 = 2; wanted are dc1 = 3",
            "nodetool repair --full",
        ] {
            assert!(text.contains(words), "no `{words}`: {text}");
        }
    }
}
