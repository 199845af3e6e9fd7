//! One node: the engine and the parts of the origin that decide, as `headwater serve` wires them, without HTTP. It can die
//! at any moment and be started anew on what the cluster holds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_cassandra::{Cassandra, OpenError, Options, Parts};
use headwater_model::defect::{Defect, DefectKind};
use headwater_model::row::{Claim, Digest, Keep, Key, Object};
use headwater_model::{Pipeline, Rendition};
use headwater_origin::admit::Admission;
use headwater_origin::catalog::Catalog;
use headwater_origin::config::Config;
use headwater_origin::control::Control;
use headwater_origin::deliver::{self, hold};
use headwater_origin::metrics::Metrics;
use headwater_origin::quota::Meter;
use headwater_origin::{Addresses, Origin, restore};
use headwater_sim::history::{Asked, Got, Lasting, Media, Outcome, Quality, etag};
use headwater_store::slab::Pool;
use headwater_store::stamp::Clock;
use headwater_store::{Body, Published, Store};
use headwater_wire::accept::Drain;
use headwater_wire::{Outbound, Response};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::Tables;
use crate::link::{Cluster, Link};
use crate::time::MachineClock;

/// What an upload may take, as in the configuration.
const BUDGET: Duration = Duration::from_secs(2);
/// A reader gives up after this.
const PATIENCE: Duration = Duration::from_secs(8);

/// A machine that runs one process, or none.
pub struct Node {
    pub name: String,
    pub clock: Arc<MachineClock>,
    pub cluster: Arc<Cluster>,
    process: Mutex<Option<Arc<Process>>>,
    /// Its datacentre, of how many.
    pub site: (usize, usize),
}

/// One life of a node.
pub struct Process {
    pub origin: Arc<Origin>,
    pub link: Link,
    died: watch::Sender<bool>,
    waking: JoinHandle<()>,
}

/// Bytes to be published.
#[derive(Clone, Debug)]
pub struct Upload {
    pub number: u64,
    pub pipeline: Pipeline,
    pub bytes: Bytes,
    pub quality: Quality,
}

impl Upload {
    pub fn digest(&self) -> Digest {
        Body::from(self.bytes.clone()).digest()
    }
}

/// The only rendition.
pub fn rendition() -> Rendition {
    Rendition::new("v").expect("a name")
}

impl Node {
    pub fn new(name: String, clock: MachineClock, cluster: &Arc<Cluster>, site: (usize, usize)) -> Self {
        let (clock, cluster) = (Arc::new(clock), Arc::clone(cluster));
        Self { name, clock, cluster, process: Mutex::default(), site }
    }

    /// The process that runs now.
    pub fn process(&self) -> Option<Arc<Process>> {
        self.process.lock().clone()
    }

    /// Starts a process; tries until the cluster lets it.
    pub async fn start(&self) {
        while self.try_start().await.is_err() {
            self.clock.sleep(Duration::from_millis(200)).await;
        }
    }

    async fn try_start(&self) -> Result<(), OpenError> {
        let (site, sites) = self.site;
        let link = Link::new(&self.cluster, site);
        let catalog = Arc::new(Catalog::default());
        let cluster = Arc::clone(&self.cluster);
        let chance = move || {
            let Tables { random, .. } = &mut *cluster.tables.lock();
            u128::from(random.draw()) << 64 | u128::from(random.draw())
        };
        let parts = Parts { tables: Arc::new(link.clone()), chunks: Box::new(link.clone()), chance: Arc::new(chance) };
        let name = |site| format!("dc{}", site + 1);
        let options = Options::new(Vec::<String>::new(), &name(site));
        let replication = (0..sites).map(|site| (name(site), 3)).collect();
        let options = Options { replication, window_bytes: 1 << 20, dvr_bytes: 1 << 20, ..options };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let store = Cassandra::over(parts, options, Arc::clone(&clock), Arc::clone(&catalog) as _).await?;
        let store = store as Arc<dyn Store>;
        restore(&*store, &catalog).await.map_err(|error| OpenError::Schema(error.to_string()))?;
        let origin = Arc::new(origin(store, Arc::clone(&catalog), clock));
        let waking = tokio::spawn(async move { catalog.wake_waiters().await });
        let process = Process { origin, link, died: watch::Sender::new(false), waking };
        *self.process.lock() = Some(Arc::new(process));
        Ok(())
    }

    /// The process dies in the middle of whatever it does.
    pub fn kill(&self) {
        let Some(process) = self.process.lock().take() else { return };
        process.link.kill();
        process.waking.abort();
        process.died.send_replace(true);
    }

    /// Publishes, as a client of this node sees it.
    pub async fn publish(&self, upload: Upload) -> Outcome {
        let Some(process) = self.process() else { return Outcome::Unknown };
        let recording = tokio::spawn(record(Arc::clone(&process.origin), upload));
        tokio::select! {
            biased;
            () = process.death() => Outcome::Unknown,
            outcome = recording => outcome.unwrap_or(Outcome::Unknown),
            () = self.clock.sleep(BUDGET) => Outcome::Unknown,
        }
    }

    /// Reads, as a client of this node sees it.
    pub async fn read(&self, number: u64, asked: &Asked) -> Got {
        let Some(process) = self.process() else { return Got::Silence };
        tokio::select! {
            biased;
            () = process.death() => Got::Silence,
            got = process.answer(number, asked) => got,
            () = self.clock.sleep(PATIENCE) => Got::Silence,
        }
    }
}

impl Process {
    /// Returns when it has died.
    pub async fn death(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.died.subscribe().wait_for(|died| *died).await;
    }

    async fn answer(&self, number: u64, asked: &Asked) -> Got {
        let path = match asked {
            Asked::Chosen => format!("/live/game/v/{number}.m4s"),
            Asked::Own(pipeline) => format!("/live/game/@{pipeline}/v/{number}.m4s"),
        };
        let request = http::Request::get(path).body(()).expect("a request");
        got(deliver::respond(&self.origin, &mut request.into_parts().0).await)
    }
}

/// What an answer tells.
fn got(response: Response) -> Got {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let outcome = text("headwater-outcome").unwrap_or_default();
    match response.status().as_u16() {
        200 => {
            let is_immutable = text("cache-control").is_some_and(|value| value.contains("immutable"));
            let lasting = if is_immutable { Lasting::Immutable } else { Lasting::ForNow };
            let pipeline = text("headwater-pipeline").and_then(|name| Pipeline::new(&name).ok());
            let etag = text("etag").and_then(|field| etag(&field));
            let (Some(pipeline), Some(etag)) = (pipeline, etag) else { panic!("media without a name or an ETag") };
            let Outbound::Stored(body) = response.into_body() else { panic!("media without bytes") };
            Got::Media(Media { pipeline, etag, body: Some(body.digest()), lasting })
        }
        404 | 410 if !matches!(outcome.as_str(), "expired" | "never") => Got::Nothing(response.status().as_u16()),
        _ => Got::Silence,
    }
}

/// What the publish listener does with a whole body.
async fn record(origin: Arc<Origin>, upload: Upload) -> Outcome {
    let Some(live) = origin.catalog.live("live", "game") else { return Outcome::Unknown };
    let Upload { number, pipeline, bytes, quality } = upload;
    let tail = live.tail_or_new(&rendition());
    let body = Body::from(bytes);
    let claim = Claim {
        key: Key {
            event: live.event().id,
            object: Object::Segment { rendition: rendition(), number },
            pipeline: pipeline.clone(),
        },
        size: body.len(),
        digest: body.digest(),
        content_type: "video/iso.segment".into(),
        defects: (quality == Quality::Defective).then(|| Defect::new(DefectKind::Short, &[])).into_iter().collect(),
        region: origin.config.region.clone(),
        keep: Keep::Until(live.event().document.expires(number)),
        create_only: false,
        arrived: None,
        passed: hold::too_late_for(&origin, &live, &tail, number, &pipeline).await,
    };
    let _gate = live.gate.read().await;
    match origin.store.publish(claim, body).await {
        Ok(Published::Stored(_)) => Outcome::Done,
        Ok(Published::Same(_)) => Outcome::Same,
        Ok(Published::Final(_) | Published::Exists(_)) => Outcome::Refused,
        Err(_) => Outcome::Unknown,
    }
}

fn origin(store: Arc<dyn Store>, catalog: Arc<Catalog>, clock: Arc<dyn Clock>) -> Origin {
    let config = Config::default();
    let control = Control::new(Arc::clone(&store), Arc::clone(&catalog), config.tenants().expect("the default ones"));
    let meter = Arc::new(Meter::new(Arc::clone(&store), Arc::clone(&catalog), control.tenants()));
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    Origin {
        config,
        catalog,
        control,
        store,
        clock,
        pool: Pool::new(1 << 20, 1 << 20),
        admission: Admission::default(),
        meter,
        metrics: Metrics::default(),
        feed: None,
        drain: Drain::default(),
        addresses: Addresses { publish: Some(nowhere), deliver: Some(nowhere), ops: nowhere },
    }
}
