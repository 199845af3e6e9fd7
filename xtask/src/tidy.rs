//! The house rules that no compiler checks: layers that stay pure, files and functions that fit on a screen,
//! documents that name what exists. Run by `cargo xtask tidy` and by `cargo test`.

mod map;
mod rules;
mod source;

use std::path::Path;

use anyhow::{Context, Result, bail};

pub use source::Source;

use crate::programs::{output, program, root};

/// Checks the workspace and prints each breach.
///
/// # Errors
/// If a rule is broken.
pub fn run() -> Result<()> {
    let breaches = check(&root())?;
    for breach in &breaches {
        println!("tidy: {breach}");
    }
    if breaches.is_empty() { Ok(()) } else { bail!("{} house rules broken", breaches.len()) }
}

/// Every breach in the workspace at `root`, each as `file:line: what and what to do`.
///
/// # Errors
/// If the files cannot be listed or read.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let sources = read_sources(root)?;
    let mut breaches: Vec<String> = sources.iter().flat_map(rules::check).collect();
    breaches.extend(rules::stale_exceptions(&sources));
    breaches.extend(rules::check_manifests(root)?);
    // A missing map has no places, which is a breach as well.
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    breaches.extend(map::check(&map, &sources));
    Ok(breaches)
}

/// Every Rust file that is committed or about to be.
fn read_sources(root: &Path) -> Result<Vec<Source>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.rs"];
    let listed = output(program("git", &list).current_dir(root))?;
    let mut sources = Vec::new();
    for path in listed.lines().filter(|path| root.join(path).is_file()) {
        let text = std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        sources.push(Source::new(path, text));
    }
    Ok(sources)
}
