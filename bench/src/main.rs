//! Headwater beside bare programs that do the same with nothing around it: what its guarantees cost. Every figure is a
//! ratio of two rows measured in turns within one run, because absolute figures differ threefold between machines of
//! the same description, and ratios do not.
//!
//! `cargo xtask bench [ROW]... [--rounds N] [--json]`. See `bench/README.md` for what each row means.
#![expect(clippy::disallowed_methods, reason = "a tool, no part of the server: it takes times and finds programs")]

mod append;
mod bare;
mod cluster;
mod connection;
mod download;
mod held;
mod memory;
mod place;
mod process;
mod report;
mod server;
mod start;
mod upkeep;
mod upload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Side-by-side benchmarks of Headwater.
#[derive(Parser, Clone, Debug)]
#[command(args_override_self = true)]
struct Cli {
    /// What to measure [default: all].
    rows: Vec<Row>,
    /// Rounds of each comparison; the first is thrown away.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// The server to measure [default: built from this workspace].
    #[arg(long, value_name = "PROGRAM")]
    server: Option<PathBuf>,
    /// Where data directories are made [default: beside this program].
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// What this process is: the bench, or one of its helpers.
    #[arg(long, value_enum, default_value_t = Role::Outside, hide = true)]
    role: Role,
}

/// A group of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Row {
    /// Hot segments of 1 MiB and 32 KiB, and 404s, beside a bare hyper server.
    Get,
    /// Durable publishes of 1 MiB and 64 KiB, beside a bare group-commit append.
    Put,
    /// Resident memory with all budgets used up.
    Memory,
    /// Held requests: memory, and time to wake them.
    Held,
    /// The P99 of a publish while the store does its housekeeping, beside the idle store.
    Upkeep,
    /// How long a log takes to open.
    Start,
    /// The engine on Cassandra: publishes and reads with nodes up and frozen, hedged and not, and in a storm. Not among
    /// the rows that are measured when none is named: it needs the machine for a quarter of an hour.
    Cluster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// As started: builds the server and goes into a network of its own.
    Outside,
    /// In a network of its own.
    Inside,
    /// In the machine's network, because there is no other.
    Exposed,
    /// The bare hyper server.
    Bare,
    /// Keeps a core awake.
    Spin,
}

impl Cli {
    fn wants(&self, row: Row) -> bool {
        self.rows.is_empty() || self.rows.contains(&row)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut cli: Cli) -> Result<()> {
    match cli.role {
        Role::Bare => bare::serve(),
        Role::Spin => place::spin(),
        Role::Outside => {
            server::build(&mut cli.server)?;
            place::isolate(&cli.server.context("no server to measure")?)
        }
        Role::Inside | Role::Exposed => measure(&cli),
    }
}

fn measure(cli: &Cli) -> Result<()> {
    let program = cli.server.as_deref().context("no server to measure")?;
    let _awake = place::keep_awake()?;
    let beside = std::env::current_exe()?;
    let place = cli.scratch.as_deref().or(beside.parent()).context("no folder for data")?;
    let scratch = tempfile::Builder::new().prefix("headwater-bench-").tempdir_in(place)?;
    let mut report = Report::new(cli.role == Role::Inside, cli.json);
    if cli.wants(Row::Get) {
        download::run(program, scratch.path(), cli.rounds, &mut report)?;
    }
    if cli.wants(Row::Put) {
        append::run(scratch.path(), 3 * cli.rounds, &mut report)?;
        upload::run(program, scratch.path(), cli.rounds, &mut report)?;
    }
    if cli.wants(Row::Memory) {
        memory::run(program, scratch.path(), &mut report)?;
    }
    if cli.wants(Row::Held) {
        held::run(program, scratch.path(), &mut report)?;
    }
    if cli.wants(Row::Upkeep) {
        upkeep::run(program, scratch.path(), cli.rounds, &mut report)?;
    }
    if cli.wants(Row::Start) {
        start::run(scratch.path(), cli.rounds, &mut report)?;
    }
    if cli.rows.contains(&Row::Cluster) {
        cluster::run(scratch.path(), cli.rounds, &mut report)?;
    }
    report.finish();
    Ok(())
}
