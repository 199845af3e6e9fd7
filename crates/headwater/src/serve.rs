//! `headwater serve`: configuration from file, flags and environment, the ready file, the drain on SIGTERM.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use headwater_model::Region;
use headwater_origin::config::{Config, Role};
use headwater_origin::surrogate::SurrogateKeys;
use headwater_origin::{Addresses, Origin, Server};
use headwater_store::stamp::SystemClock;

/// Each flag has an environment variable and a key of the same name in the configuration file; the flag wins, then the
/// variable, then the file.
#[derive(ClapArgs, Clone, Debug, Default)]
pub(crate) struct Args {
    /// The configuration file, in TOML.
    #[arg(long, env = "HEADWATER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The data directory of the embedded engine [default: headwater-data].
    #[arg(long, env = "HEADWATER_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Where packagers publish [default: 127.0.0.1:7070].
    #[arg(long, env = "HEADWATER_PUBLISH", value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) publish: Option<SocketAddr>,
    /// Where caches and players read [default: 127.0.0.1:7080].
    #[arg(long, env = "HEADWATER_DELIVER", value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) deliver: Option<SocketAddr>,
    /// Where operators look [default: 127.0.0.1:7090].
    #[arg(long, env = "HEADWATER_OPS", value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) ops: Option<SocketAddr>,
    /// A file that gets the URLs as JSON once all listeners answer.
    #[arg(long, env = "HEADWATER_READY_FILE", value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// The region of this node [default: local].
    #[arg(long, env = "HEADWATER_REGION")]
    pub(crate) region: Option<Region>,
    /// What this process does: `all`, `publish` or `deliver` [default: all].
    #[arg(long, env = "HEADWATER_ROLE")]
    pub(crate) role: Option<Role>,
    /// Largest upload, in bytes [default: 64 MiB].
    #[arg(long, env = "HEADWATER_BODY_BYTES_MAX", value_name = "BYTES")]
    pub(crate) body_bytes_max: Option<u64>,
    /// Memory for uploads in progress, in bytes [default: 128 MiB].
    #[arg(long, env = "HEADWATER_UPLOAD_BYTES", value_name = "BYTES")]
    pub(crate) upload_bytes: Option<u64>,
    /// Memory for the newest segments, in bytes [default: 256 MiB].
    #[arg(long, env = "HEADWATER_WINDOW_BYTES", value_name = "BYTES")]
    pub(crate) window_bytes: Option<u64>,
    /// Memory for DVR reads, in bytes [default: 128 MiB].
    #[arg(long, env = "HEADWATER_DVR_BYTES", value_name = "BYTES")]
    pub(crate) dvr_bytes: Option<u64>,
    /// Bytes of the data volume that uploads leave free; below it they get 507 [default: 64 MiB].
    #[arg(long, env = "HEADWATER_RESERVE_BYTES", value_name = "BYTES")]
    pub(crate) reserve_bytes: Option<u64>,
    /// Which header tells CDNs by what to purge: `surrogate-key`, `cache-tag`, `both` or `off` [default: off].
    #[arg(long, env = "HEADWATER_SURROGATE_KEYS", value_name = "WHICH")]
    pub(crate) surrogate_keys: Option<SurrogateKeys>,
}

impl Args {
    /// The configuration that file, environment and flags make.
    ///
    /// # Errors
    /// The file cannot be read, or a key is wrong.
    pub(crate) fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            None => Config::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
                Config::from_toml(&text).with_context(|| format!("configuration file {}", path.display()))?
            }
        };
        let given = self.clone();
        set(&mut config.data, given.data);
        set(&mut config.publish, given.publish);
        set(&mut config.deliver, given.deliver);
        set(&mut config.ops, given.ops);
        set(&mut config.region, given.region);
        set(&mut config.role, given.role);
        set(&mut config.body_bytes_max, given.body_bytes_max);
        set(&mut config.upload_bytes, given.upload_bytes);
        set(&mut config.window_bytes, given.window_bytes);
        set(&mut config.dvr_bytes, given.dvr_bytes);
        set(&mut config.reserve_bytes, given.reserve_bytes);
        set(&mut config.surrogate_keys, given.surrogate_keys);
        config.ready_file = given.ready_file.or(config.ready_file);
        Ok(config)
    }
}

/// An address; a URL of one will do, because `HEADWATER_OPS` is a URL to the commands that call a server.
fn address(text: &str) -> Result<SocketAddr, String> {
    let plain = text.trim_start_matches("http://").trim_end_matches('/');
    plain.parse().map_err(|_| format!("`{text}` is no address; write one like 127.0.0.1:7090"))
}

fn set<T>(key: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *key = value;
    }
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(args: &Args) -> Result<()> {
    raise_descriptor_limit();
    let config = args.config()?;
    let ready_file = config.ready_file.clone();
    let server = Server::load(config, Arc::new(SystemClock::default()), Default::default())?;
    let origin = Arc::clone(server.origin());
    server.runtime().spawn(drain_on_signal(Arc::clone(&origin)));
    print!("{}", welcome(&origin.addresses));
    if let Some(path) = ready_file {
        server.runtime().spawn(async move { announce_ready(&origin, &path, None).await });
    }
    server.run();
    Ok(())
}

/// Drains on the first signal; the second ends the process at once.
pub(crate) async fn drain_on_signal(origin: Arc<Origin>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot hear signals; the server will not drain");
        return;
    };
    let mut next = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
    next().await;
    tracing::info!("draining: no new work, held requests and uploads are finished");
    origin.drain.start();
    next().await;
    std::process::exit(1);
}

/// Writes the ready file once every listener has answered: whole, or not at all. `watch` is the page to open, if any.
pub(crate) async fn announce_ready(origin: &Origin, path: &Path, watch: Option<&str>) {
    let Addresses { publish, deliver, ops } = origin.addresses;
    let client = headwater_wire::client::Client::default();
    let probes = [(publish, http::Method::OPTIONS), (deliver, http::Method::OPTIONS), (Some(ops), http::Method::GET)];
    for (address, method) in probes.into_iter().filter_map(|(address, method)| Some((address?, method))) {
        let url = format!("http://{address}/healthz");
        if let Err(error) = client.send(method, &url, Default::default(), Default::default(), 1 << 16).await {
            tracing::error!(%error, "a listener does not answer; no ready file is written");
            return;
        }
    }
    let mut ready = serde_json::json!({"ops": format!("http://{ops}"), "pid": std::process::id()});
    for (listener, address) in [("publish", publish), ("deliver", deliver)] {
        if let Some(address) = address {
            ready[listener] = format!("http://{address}").into();
        }
    }
    if let Some(watch) = watch {
        ready["watch"] = watch.into();
    }
    let part = path.with_extension("part");
    let written = std::fs::write(&part, format!("{ready}\n")).and_then(|()| std::fs::rename(&part, path));
    if let Err(error) = written {
        tracing::error!(%error, path = %path.display(), "cannot write the ready file");
    }
}

/// The URLs and lines to copy.
fn welcome(addresses: &Addresses) -> String {
    let Addresses { publish, deliver, ops } = addresses;
    let mut text = String::from("\nHeadwater is up.\n\n");
    for (listener, address) in [("publish", *publish), ("deliver", *deliver), ("ops", Some(*ops))] {
        if let Some(address) = address {
            text.push_str(&format!("  {listener:<8} http://{address}\n"));
        }
    }
    if let Some(publish) = publish {
        text.push_str(&format!(
            "\nPublish a test picture (any packager that can PUT will do):\n\n  \
             ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=frequency=440 \\\n    \
             -c:v libx264 -preset veryfast -g 50 -pix_fmt yuv420p -c:a aac \\\n    \
             -f dash -method PUT http://{publish}/live/test/manifest.mpd\n"
        ));
    }
    if let Some(deliver) = deliver {
        text.push_str(&format!("\nPlay it:\n\n  ffplay http://{deliver}/live/test/manifest.mpd\n"));
    }
    text.push('\n');
    text
}

/// Held requests and players cost a descriptor each; the default of 1,024 is gone with the first goal.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "region = 'file'\nops = '127.0.0.1:1'\n").unwrap();
        let args = Args {
            config: Some(file.path().to_owned()),
            region: Some(Region::new("flag").unwrap()),
            ..Args::default()
        };
        let config = args.config().unwrap();
        assert_eq!((config.region.as_str(), config.ops.port(), config.publish.port()), ("flag", 1, 7070));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let args = Args { config: Some("nowhere.toml".into()), ..Args::default() };
        assert!(format!("{:#}", args.config().unwrap_err()).contains("nowhere.toml"));
    }
}
