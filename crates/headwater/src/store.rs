//! `headwater store`: what a server has stored, checked, and what it holds, beside a running server or without one. Of the
//! embedded engine it reads the files itself and changes none; of a cluster it reads the tables, and mends them if told to.

mod check;
mod cluster;
mod findings;
mod meter;
mod stats;
mod steps;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use headwater_origin::config::Config;
use headwater_store::disk::{Directory, Disk};
use headwater_store::log::survey;
use headwater_store::stamp::{Clock, SystemClock};

use crate::ops::say;
use crate::serve;
use meter::Meter;

/// Ends `check` when something that counts is damaged or missing.
const DAMAGED: u8 = 2;

/// Checks what is stored and says what it holds.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes keyspaces and tables in a Cassandra cluster, and says what was there.
    ///
    /// A server does the same at its start; this says it before, and what differs from the configuration. Safe beside
    /// running servers and from several processes at once, and changes nothing that is there, unless the schema is of an earlier
    /// version: then it is brought to this one, for which all servers have to be stopped, and there is no way back.
    ///
    /// Exit status: 0 if the schema is there; 1 after an error, or if a later build has made the schema.
    Init(cluster::InitArgs),
    /// Verifies every checksum of a data directory, or every record and chunk of a cluster.
    ///
    /// The configuration says which engine it is. Of a data directory, lists what is damaged: the file, the place in it, what it
    /// is of, whether it still counts, and which other pipeline's segment is intact. Of a cluster, lists objects whose chunks are
    /// missing, records that listings do not find, and what is left over. Nothing is changed. Beside a running server it holds
    /// back, and what expires or is being written meanwhile is no damage.
    ///
    /// Exit status: 0 if nothing that counts is damaged; 1 after an error, or if a file is of a later format version; 2 if
    /// something that counts is damaged or missing: a record or the bytes of an object that has neither expired nor been
    /// replaced, removed or deleted, or a file's header, its footer, or a stretch of it that nothing tells of.
    Check(CheckArgs),
    /// Mends what `check` finds in a Cassandra cluster, where that loses nothing.
    ///
    /// Deletes chunks that no record names, what is left of deleted events, expired records and empty places of the listing;
    /// lists again what listings do not find. Objects whose chunks are gone for good stay as they are, unless --drop-lost
    /// gives them up. Looks at each thing again just before it touches it, and is safe beside running servers.
    ///
    /// Exit status: 0 if nothing that counts is left damaged or missing; 1 after an error; 2 if something is.
    Repair(cluster::RepairArgs),
    /// Says what each event occupies, and how much of it no longer counts. Reads no payloads.
    Stats(StatsArgs),
}

#[derive(clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    pace: PaceArgs,
}

#[derive(clap::Args)]
struct StatsArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// How fast, and how much.
#[derive(clap::Args)]
struct PaceArgs {
    /// Read at most so many MiB in a second [default: 64 beside a running server, else no limit; 32 of a cluster's payloads].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    rate_mib: Option<u64>,
    /// Of a cluster: read at most so many records, chunks and places of the listing in a second [default: 5000].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Of a cluster: read the bytes of every object too, and verify them.
    #[arg(long)]
    payloads: bool,
}

/// The directory, as `serve` is told of it, and how the result is shown.
#[derive(clap::Args)]
struct PlaceArgs {
    /// The data directory [default: headwater-data, or what the configuration file says].
    #[arg(long, env = "HEADWATER_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The configuration file of the server, in TOML.
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text for people.
    #[arg(long)]
    json: bool,
}

impl PlaceArgs {
    fn config(&self) -> Result<Config> {
        let given = serve::Args { data: self.data.clone(), config: self.config.clone(), ..serve::Args::default() };
        given.config()
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn Disk>> {
        let directory = Directory::find(path).with_context(|| {
            let path = path.display();
            format!("there is no data directory at {path}; say where it is with --data DIR or HEADWATER_DATA")
        })?;
        Ok(Arc::new(directory))
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Init(args) => cluster::init(args),
        Command::Check(args) => check(args),
        Command::Repair(args) => cluster::repair(args),
        Command::Stats(args) => stats(&args.place),
    }
}

fn check(args: &CheckArgs) -> Result<ExitCode> {
    let config = args.place.config()?;
    if let Some(options) = cluster::options(&config)? {
        return cluster::check(options, &args.pace, args.place.json);
    }
    for (flag, given) in [("--rate", args.pace.rate.is_some()), ("--payloads", args.pace.payloads)] {
        if given {
            bail!("{flag} is for a cluster (`engine = \"cassandra\"` in the file of --config); leave it out");
        }
    }
    let (disk, json) = (args.place.open(&config.data)?, args.place.json);
    let meter = Meter::new(is_online(&*disk)?, args.pace.rate_mib, json)?;
    let report = survey::check(&disk, SystemClock::default().wall(), &meter)?;
    meter.end();
    if json {
        say(&serde_json::to_string(&report)?);
    } else {
        say(check::text(&report).trim_end());
    }
    if report.has_losses() {
        return Ok(ExitCode::from(DAMAGED));
    }
    if let Some(later) = report.later.first() {
        let survey::Later { file, version } = later.clone();
        bail!(survey::SurveyError::Later { file, version });
    }
    Ok(ExitCode::SUCCESS)
}

fn stats(args: &PlaceArgs) -> Result<ExitCode> {
    let config = args.config()?;
    if let Some(options) = cluster::options(&config)? {
        return cluster::stats(options, args.json);
    }
    let disk = args.open(&config.data)?;
    let meter = Meter::new(is_online(&*disk)?, None, true)?;
    let holdings = survey::holdings(&disk, SystemClock::default().wall(), &meter)?;
    if args.json {
        say(&serde_json::to_string(&holdings)?);
    } else {
        say(stats::text(&holdings).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn is_online(disk: &dyn Disk) -> Result<bool> {
    disk.in_use().with_context(|| format!("the lock of {} cannot be read; run this as the server's user", disk.place()))
}
