//! How a memcached server is started.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// Memory of each server in MiB: room for a minute of what tests publish.
const MEMORY_MIB: &str = "64";

/// memcached on `address`, in the foreground. The folder on the command line makes it known as ours.
pub(crate) fn command(address: SocketAddr, folder: &Path) -> Command {
    let mut command = Command::new("memcached");
    command.arg("-l").arg(address.ip().to_string()).arg("-p").arg(address.port().to_string());
    // No UDP; `-u` only matters when root starts it, which it refuses otherwise.
    command.args(["-U", "0", "-m", MEMORY_MIB, "-u", "root", "-P"]).arg(folder.join("unused"));
    command
}
