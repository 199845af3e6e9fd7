//! Starting other programs: where they start, how their failure reads.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The workspace's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// `cargo` with `arguments`, in the root.
#[must_use]
pub fn cargo(arguments: &[&str]) -> Command {
    // Set by cargo for everything it starts: the same toolchain all the way down.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    program_in_root(Command::new(program), arguments)
}

/// `program` with `arguments`, in the root.
#[must_use]
pub fn program(program: &str, arguments: &[&str]) -> Command {
    program_in_root(Command::new(program), arguments)
}

fn program_in_root(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs `command` with its output shown.
///
/// # Errors
/// If it cannot be started or ends with anything but 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// Runs `command` and returns what it printed; its errors are shown.
///
/// # Errors
/// If it cannot be started or ends with anything but 0.
pub fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", name(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", line(command), output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `program` is on the `PATH`.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where cargo puts what it builds.
///
/// # Errors
/// If cargo does not tell.
pub fn target_dir() -> Result<PathBuf> {
    let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let (_, after) = metadata.split_once("\"target_directory\":\"").context("cargo metadata tells no target folder")?;
    let (path, _) = after.split_once('"').context("cargo metadata tells no target folder")?;
    Ok(path.replace("\\\\", "\\").into())
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
