//! A cluster for a test: gone when the test is, however it ends. A shell holds the end of a pipe; when our process
//! closes it or dies, by SIGKILL too, the shell kills what runs in the folder and removes it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::{Cluster, Options};

/// Waits for the end of its input, then ends each process that a `pid` file names, if it is still the one whose command
/// line names the folder, and removes the folder; files may still come while a process dies.
const REAPER: &str = r#"
read -r _
for file in "$1"/*/pid; do
  id=$(cat "$file")
  if grep -qsaF "$1" "/proc/$id/cmdline"; then kill -KILL "$id"; fi
done
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  if rm -rf "$1" 2>/dev/null; then exit; fi
  sleep 0.2
done
"#;

/// A running cluster that goes with its owner, its data too.
pub struct Guard {
    cluster: Cluster,
    reaper: Child,
}

impl Guard {
    /// Starts a cluster in `folder`, which must be new or empty.
    ///
    /// # Errors
    /// As [`Cluster::up`].
    pub fn start(folder: &Path, options: &Options, say: &mut dyn FnMut(&str)) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", REAPER, "reaper"]).arg(folder.canonicalize()?);
        // In a group of its own, or an interrupt from the terminal would end it before its work.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut reaper = command.spawn().context("cannot start sh")?;
        match Cluster::up(folder, options, say) {
            Ok(cluster) => Ok(Self { cluster, reaper }),
            Err(error) => {
                end(&mut reaper);
                Err(error)
            }
        }
    }
}

impl std::ops::Deref for Guard {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        end(&mut self.reaper);
    }
}

fn end(reaper: &mut Child) {
    drop(reaper.stdin.take());
    // It ends within seconds; what it could not remove is in a folder for temporary files.
    let _ = reaper.wait();
}
