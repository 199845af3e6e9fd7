//! Runs the cases of `spec/`, which say the wire contract in a format that needs no Rust: `spec/README.md` describes it.
//!
//! A case speaks to a server through its three listeners and nothing else, so the same cases judge the binary that the
//! tests start, a server elsewhere and other people's servers. Each case makes an event of its own whose clock stands
//! where the case wants it. The client is hand-made and blocking: it sends what it is told, right or wrong.
#![expect(clippy::disallowed_methods, reason = "a tool, no part of the server: its cases are about time as it passes")]

pub mod case;
mod check;
mod client;
mod clock;
pub mod parse;
mod pool;
mod report;
mod run;
mod table;
mod text;
mod world;

use std::path::Path;

use anyhow::{Context, Result, bail};

pub use case::Case;
pub use pool::{Summary, run_all};
pub use table::table;
pub use world::World;

/// Reads every `*.case` file of `folder`, in the order of their names.
///
/// # Errors
/// If one cannot be read or has a line that says nothing; all such lines are told, each with its place.
pub fn load(folder: &Path) -> Result<Vec<Case>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = listed.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    let (mut cases, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match parse::cases(&format!("spec/{name}"), &text) {
            Ok(more) => cases.extend(more),
            Err(more) => errors.extend(more),
        }
    }
    errors.extend(duplicates(&cases));
    if errors.is_empty() { Ok(cases) } else { bail!("{}", errors.join("\n")) }
}

fn duplicates(cases: &[Case]) -> impl Iterator<Item = String> {
    cases.iter().enumerate().filter_map(|(index, case)| {
        let earlier = cases[..index].iter().find(|earlier| earlier.id == case.id)?;
        Some(format!("{}: `{}` is the name of the case at {} already", case.place, case.id, earlier.place))
    })
}
