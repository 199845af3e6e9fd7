//! `headwater store`: a data directory checked, and what it holds, beside a running server or without one. Reads the files
//! itself and changes none.

mod check;
mod meter;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use headwater_store::disk::{Directory, Disk};
use headwater_store::log::survey;
use headwater_store::stamp::{Clock, SystemClock};

use crate::ops::say;
use crate::serve;
use meter::Meter;

/// Ends `check` when something that counts is damaged or missing.
const DAMAGED: u8 = 2;

/// Checks a data directory and says what it holds.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verifies every checksum of a data directory.
    ///
    /// Lists what is damaged: the file, the place in it, what it is of, whether it still counts, and which other pipeline's
    /// segment is intact. Nothing is changed. Beside a running server it holds back, and what expires or is being written
    /// meanwhile is no damage.
    ///
    /// Exit status: 0 if nothing that counts is damaged; 1 after an error, or if a file is of a later format version; 2 if
    /// something that counts is damaged or missing: a record or the bytes of an object that has neither expired nor been
    /// replaced, removed or deleted, or a file's header, its footer, or a stretch of it that nothing tells of.
    Check(CheckArgs),
    /// Says what each event occupies, and how much of it no longer counts. Reads no payloads.
    Stats(StatsArgs),
}

#[derive(clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Read at most so many MiB in a second [default: 64 beside a running server, else no limit].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    rate_mib: Option<u64>,
}

#[derive(clap::Args)]
struct StatsArgs {
    #[command(flatten)]
    place: PlaceArgs,
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
    fn open(&self) -> Result<Arc<dyn Disk>> {
        let given = serve::Args { data: self.data.clone(), config: self.config.clone(), ..serve::Args::default() };
        let path = given.config()?.data;
        let directory = Directory::find(&path).with_context(|| {
            let path = path.display();
            format!("there is no data directory at {path}; say where it is with --data DIR or HEADWATER_DATA")
        })?;
        Ok(Arc::new(directory))
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.command {
        Command::Check(args) => check(args),
        Command::Stats(args) => stats(&args.place),
    }
}

fn check(args: &CheckArgs) -> Result<ExitCode> {
    let (disk, json) = (args.place.open()?, args.place.json);
    let meter = Meter::new(is_online(&*disk)?, args.rate_mib, json)?;
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
    let disk = args.open()?;
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
