//! The `headwater` command: reads flags, environment and files, and hands over to the crates that do the work. The only
//! place that reads the environment.

mod archive;
mod bar;
mod config;
mod demo;
#[cfg(test)]
mod docs;
mod event;
mod invalidate;
mod mask;
mod notify;
mod ops;
mod serve;
mod status;
mod store;
mod table;
mod timeline;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use headwater_store::broken;

/// A live-streaming origin: redundant pipelines in, one clean stream out.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log, like `info` or `headwater_store=debug`.
    #[arg(long, global = true, env = "HEADWATER_LOG", default_value = "info")]
    log: String,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the publish, deliver and ops listeners on the store that the configuration names.
    Serve(serve::Args),
    /// Runs an origin with two simulated pipelines to watch and to break.
    Demo(demo::Args),
    /// Puts, shows, lists, ends, deletes, exports and imports events on a running server.
    Event(event::Args),
    /// Hides a range of one pipeline's segments, lists and lifts masks.
    Mask(mask::Args),
    /// Has caches fetch everything of an event anew.
    Flush(invalidate::FlushArgs),
    /// Has caches fetch a range of segments anew.
    Invalidate(invalidate::Args),
    /// Sets, removes and lists notifications: facts that ride on an event's responses.
    Notify(notify::Args),
    /// Draws what each pipeline published and which candidate is served.
    Timeline(timeline::Args),
    /// Shows what runs on a server.
    Status(status::Args),
    /// Checks what is stored and says what it holds, beside a running server or without one.
    Store(store::Args),
    /// Checks the configuration and prints what is in effect.
    Config(config::Args),
}

/// Called in builds for tests alone; it is no option, so clap does not know it.
#[expect(clippy::disallowed_methods, reason = "what breaks a build for tests is nothing that a user can choose")]
fn fault() -> Option<String> {
    std::env::var(broken::VARIABLE).ok()
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    broken::break_process(fault);
    // The driver tells of every node it meets; who wants to hear it says `scylla=info`.
    let filter = tracing_subscriber::EnvFilter::try_new(format!("scylla=warn,{}", cli.log)).unwrap_or_else(|error| {
        eprintln!("--log `{}`: {error}; logging `info` instead", cli.log);
        tracing_subscriber::EnvFilter::new("info")
    });
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    let ended = match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Event(args) => event::run(args),
        Command::Mask(args) => mask::run(args),
        Command::Flush(args) => invalidate::flush(&args),
        Command::Invalidate(args) => invalidate::run(&args),
        Command::Notify(args) => notify::run(&args),
        Command::Timeline(args) => timeline::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Store(args) => return told(store::run(&args)),
        Command::Config(args) => config::run(&args),
    };
    told(ended.map(|()| ExitCode::SUCCESS))
}

fn told(ended: anyhow::Result<ExitCode>) -> ExitCode {
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_flags_clash() {
        Cli::command().debug_assert();
    }
}
