//! `headwater-spec`, started by `cargo xtask spec`: plays the cases against a server that runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use headwater_spec::{Case, World, load, run_all};

/// Plays the cases of spec/ against a server.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask spec")]
struct Arguments {
    /// The ops listener's URL, which tells the others.
    #[arg(long)]
    url: Option<String>,
    /// The publish listener's URL, for a server whose ops listener does not tell.
    #[arg(long, requires_all = ["deliver", "ops"])]
    publish: Option<String>,
    /// The deliver listener's URL.
    #[arg(long)]
    deliver: Option<String>,
    /// The ops listener's URL.
    #[arg(long)]
    ops: Option<String>,
    /// Where the case files are.
    #[arg(long, default_value_os_t = folder())]
    folder: PathBuf,
    /// How many cases are played at once.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Only lists the cases, as the table of spec/README.md.
    #[arg(long)]
    list: bool,
    /// Only cases with one of these in their name, section or file.
    filters: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec")
}

fn main() -> ExitCode {
    match play(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn play(arguments: &Arguments) -> Result<bool> {
    let cases = load(&arguments.folder)?;
    let chosen = |case: &&Case| {
        let words = format!("{} {} {}", case.place.file, case.section, case.id);
        arguments.filters.is_empty() || arguments.filters.iter().any(|filter| words.contains(filter.as_str()))
    };
    let cases: Vec<&Case> = cases.iter().filter(chosen).collect();
    if arguments.list {
        print!("{}", headwater_spec::table(&cases));
        return Ok(true);
    }
    let world = match (&arguments.publish, &arguments.deliver, &arguments.ops, &arguments.url) {
        (Some(publish), Some(deliver), Some(ops), None) => World::at(publish, deliver, ops)?,
        (None, None, None, url) => World::ask(url.as_deref().unwrap_or("http://127.0.0.1:7090"))
            .context("give --url with the ops listener's URL, or --publish, --deliver and --ops")?,
        _ => anyhow::bail!("give --url, or --publish, --deliver and --ops together"),
    };
    let summary = run_all(&world, &cases, arguments.at_once, &|line| println!("{line}"));
    println!("\n{} cases passed, {} failed", summary.passed, summary.failed);
    Ok(summary.failed == 0)
}
