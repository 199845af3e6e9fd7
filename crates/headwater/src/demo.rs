//! `headwater demo`: a whole origin with two simulated pipelines in one process, so that the first look needs no
//! encoder, no configuration and no second terminal. What it serves is the real server; only the publishers are not.

mod follow;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use headwater_model::document::Document;
use headwater_model::{EventName, Tenant};
use headwater_origin::config::Config;
use headwater_origin::{Addresses, Origin, Server, StartError};
use headwater_rig::controls::Slot;
use headwater_rig::{LATENCY, Plan, Rig};
use headwater_store::stamp::{Clock, SystemClock};

use crate::serve;

/// The event of the demo.
const TENANT: &str = "live";
const EVENT: &str = "demo";
/// Enough to look back at what happened, little enough for any disk: some 60 MB.
const DVR_WINDOW_S: u64 = 600;

/// As for `serve`; the data directory is a temporary one unless `--data` names another, and ports that are taken are
/// replaced by free ones unless they were asked for.
#[derive(ClapArgs, Clone, Debug, Default)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    serve: serve::Args,
    /// Print what happens as JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// End by itself after this many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// Runs the demo until SIGTERM, SIGINT or the end of its time.
pub(crate) fn run(args: &Args) -> Result<()> {
    serve::raise_descriptor_limit();
    let (config, temporary) = configure(args)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let slot = Slot::default();
    let server = load(config, args, &clock, &slot)?;
    let origin = Arc::clone(server.origin());
    let document = server.runtime().block_on(put_event(&origin))?;
    let links = Links::of(&origin.addresses)?;
    let rig = start_rig(&server, &links, document, &clock)?;
    let _ = slot.set(rig.clone());

    let runtime = server.runtime();
    runtime.spawn(serve::drain_on_signal(Arc::clone(&origin)));
    if let Some(seconds) = args.seconds {
        let origin = Arc::clone(&origin);
        runtime.spawn(async move {
            origin.clock.sleep(Duration::from_secs(seconds)).await;
            origin.drain.start();
        });
    }
    if let Some(path) = origin.config.ready_file.clone() {
        let (origin, watch) = (Arc::clone(&origin), links.watch.clone());
        runtime.spawn(async move { serve::announce_ready(&origin, &path, Some(&watch)).await });
    }
    say(&if args.json { links.to_json() } else { links.welcome() });
    runtime.spawn(follow::follow(Arc::clone(&origin), rig.clone(), links.event.clone(), args.json));
    runtime.spawn(async move {
        origin.drain.started().await;
        rig.stop();
    });
    server.run();
    drop(temporary);
    Ok(())
}

/// Prints a line; a reader that has gone is no reason to end.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// The configuration, and the directory that goes with the demo.
fn configure(args: &Args) -> Result<(Config, Option<tempfile::TempDir>)> {
    let mut config = args.serve.config()?;
    if args.serve.data.is_some() || config.data != Config::default().data {
        return Ok((config, None));
    }
    let temporary = tempfile::Builder::new().prefix("headwater-demo-").tempdir();
    let temporary = temporary.context("cannot make a temporary data directory; name one with --data")?;
    config.data = temporary.path().to_owned();
    Ok((config, Some(temporary)))
}

/// Loads the server; a usual port that is taken is replaced by a free one.
fn load(mut config: Config, args: &Args, clock: &Arc<dyn Clock>, slot: &Slot) -> Result<Server> {
    loop {
        let controls = headwater_rig::controls(Arc::clone(slot));
        let (listener, taken, error) = match Server::load(config.clone(), Arc::clone(clock), controls) {
            Ok(server) => return Ok(server),
            Err(StartError::Listen { listener, address, error }) => (listener, address, error),
            Err(error) => return Err(error.into()),
        };
        let (address, asked) = match listener {
            "publish" => (&mut config.publish, args.serve.publish.is_some()),
            "deliver" => (&mut config.deliver, args.serve.deliver.is_some()),
            _ => (&mut config.ops, args.serve.ops.is_some()),
        };
        if asked || taken.port() == 0 || error.kind() != std::io::ErrorKind::AddrInUse {
            return Err(StartError::Listen { listener, address: taken, error }.into());
        }
        eprintln!("{taken} is taken; the {listener} listener takes a free port instead");
        address.set_port(0);
    }
}

async fn put_event(origin: &Origin) -> Result<Document> {
    if origin.control.tenant(TENANT).is_some_and(|(_, tenant)| !tenant.publishers.is_empty()) {
        bail!("the configuration asks the publishers of `{TENANT}` for credentials; the demo's pipelines have none");
    }
    let clip = headwater_media::Clip::builtin();
    let segment = headwater_media::Clip::segment_duration();
    let renditions: Vec<_> = clip
        .renditions()
        .iter()
        .map(|rendition| serde_json::json!({"id": rendition.id(), "timescale": rendition.track().timescale}))
        .collect();
    let document = Document::from_value(serde_json::json!({
        "segment": {"duration": segment.duration(), "timescale": segment.timescale()},
        "pipelines": ["a", "b"],
        "renditions": renditions,
        "dvr_window_s": DVR_WINDOW_S,
    }))?;
    let (tenant, event) = (Tenant::new(TENANT)?, EventName::new(EVENT)?);
    let put = origin.control.put(&tenant, &event, document.clone()).await;
    put.with_context(|| format!("the data directory has another event {TENANT}/{EVENT}; use a fresh one"))?;
    Ok(document)
}

fn start_rig(server: &Server, links: &Links, document: Document, clock: &Arc<dyn Clock>) -> Result<Rig> {
    let _context = server.runtime().enter();
    let url = format!("{}/{TENANT}/{EVENT}", links.publish);
    let plan = Plan { url, document, renditions: Vec::new(), latency: LATENCY };
    Ok(Rig::start(plan, Arc::clone(clock))?)
}

/// Where everything is, as this machine reaches it.
struct Links {
    publish: String,
    deliver: String,
    ops: String,
    /// The event on the deliver listener.
    event: String,
    /// The page to open.
    watch: String,
}

impl Links {
    fn of(addresses: &Addresses) -> Result<Self> {
        let (Some(publish), Some(deliver)) = (addresses.publish, addresses.deliver) else {
            bail!("the demo publishes and delivers: leave `role` out");
        };
        let [publish, deliver, ops] =
            [publish, deliver, addresses.ops].map(|address| format!("http://{}", reachable(address)));
        let event = format!("{deliver}/{TENANT}/{EVENT}");
        let watch = format!("{ops}/watch");
        Ok(Self { publish, deliver, ops, event, watch })
    }

    fn to_json(&self) -> String {
        let Self { publish, deliver, ops, watch, .. } = self;
        serde_json::json!({"watch": watch, "publish": publish, "deliver": deliver, "ops": ops}).to_string()
    }

    fn welcome(&self) -> String {
        let Self { ops, event, watch, .. } = self;
        format!(
            "
Headwater: two pipelines, A and B, publish the same programme; viewers see one stream.

  Watch it    {watch}

Break it: kill A with the button on the page, or here. The picture goes on, from B.
  curl -X POST {ops}/demo/pipelines/a/kill
  curl -X POST {ops}/demo/pipelines/a/revive
  curl -X POST '{ops}/demo/pipelines/a/damage?fault=short&segments=5'
      (short, missing, late, shifted, garbled, incomplete, filler, truncated; none heals)

Look inside: the segment that is being made is held until it is there, an old one is a hit.
  curl -s -D- -o /dev/null {event}/v360/$(($(date +%s) * 25 / 48)).m4s
  curl -s -D- -o /dev/null {event}/v360/$(($(date +%s) * 25 / 48 - 5)).m4s
  curl -s {ops}/demo/status

Ctrl-C ends it.
"
        )
    }
}

/// An address that can be called: nobody answers at 0.0.0.0 or [::].
fn reachable(address: SocketAddr) -> SocketAddr {
    let local = match address {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    if address.ip().is_unspecified() { SocketAddr::new(local, address.port()) } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(listeners: SocketAddr) -> Args {
        let serve = serve::Args {
            publish: Some(listeners),
            deliver: Some(listeners),
            ops: Some(listeners),
            ..serve::Args::default()
        };
        Args { serve, ..Args::default() }
    }

    #[test]
    fn the_data_of_a_demo_goes_with_it_unless_it_was_named() {
        let (config, temporary) = configure(&Args::default()).unwrap();
        let path = temporary.unwrap().path().to_owned();
        assert_eq!(config.data, path);
        assert!(!path.exists());
        let mut named = Args::default();
        named.serve.data = Some("kept".into());
        assert!(configure(&named).unwrap().1.is_none());
    }

    #[test]
    fn a_port_that_was_asked_for_is_not_replaced() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let args = args(taken.local_addr().unwrap());
        let (config, _temporary) = configure(&args).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        assert!(load(config, &args, &clock, &Slot::default()).is_err());
    }

    #[test]
    fn an_unspecified_address_is_called_by_loopback() {
        assert_eq!(reachable("0.0.0.0:7090".parse().unwrap()).to_string(), "127.0.0.1:7090");
        assert_eq!(reachable("[::]:7090".parse().unwrap()).to_string(), "[::1]:7090");
        assert_eq!(reachable("10.0.0.1:7090".parse().unwrap()).to_string(), "10.0.0.1:7090");
    }
}
