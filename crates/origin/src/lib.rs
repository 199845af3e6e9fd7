//! The live origin: publishers on one side, caches on the other, operators on a third, and the tail that joins them.
//!
//! [`Server::load`] wires everything in a commented order, [`Server::run`] runs it; the binary, the demo and the tests
//! use the same two. Publish and deliver run on runtimes of their own, so that a storm of reads cannot starve a write.

pub mod admit;
pub mod catalog;
pub mod config;
pub mod control;
pub mod deliver;
pub mod engine;
pub mod feed;
pub mod live;
pub mod metrics;
pub mod ops;
pub mod publish;
pub mod quota;
pub mod route;
pub mod surrogate;
pub mod tail;
#[cfg(test)]
mod testing;
pub mod timed;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::document::Document;
use headwater_model::row::Object;
use headwater_store::Store;
use headwater_store::log::OpenError;
use headwater_store::slab::Pool;
use headwater_store::stamp::Clock;
use headwater_wire::Traffic;
use headwater_wire::accept::{self, Drain};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::admit::Admission;
use crate::catalog::Catalog;
use crate::config::{Config, ConfigError};
use crate::control::{Control, ControlError};
use crate::engine::Engine;
use crate::feed::Feed;
use crate::metrics::Metrics;
use crate::quota::Meter;
use crate::timed::Timed;

/// How long runtimes wait for tasks that do not end by themselves.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// How often histograms are folded and gauges read.
const UPKEEP: Duration = Duration::from_secs(5);

/// What every handler sees.
pub struct Origin {
    /// As configured.
    pub config: Config,
    /// All events in memory.
    pub catalog: Arc<Catalog>,
    /// Changes of events.
    pub control: Control,
    /// Where media and events are kept.
    pub store: Arc<dyn Store>,
    /// The machine's clocks.
    pub clock: Arc<dyn Clock>,
    /// Memory for uploads.
    pub pool: Pool,
    /// Who may read from the store under stress.
    pub admission: Admission,
    /// What tenants use of their quotas.
    pub meter: Arc<Meter>,
    /// What is counted.
    pub metrics: Metrics,
    /// What other nodes hear from this one, if they share its store.
    pub feed: Option<Arc<Feed>>,
    /// No new work from now on.
    pub drain: Drain,
    /// Where the listeners are.
    pub addresses: Addresses,
}

/// Where the listeners are, once bound.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The publish listener; `None` in a process that only delivers.
    pub publish: Option<SocketAddr>,
    /// The deliver listener; `None` in a process that only publishes.
    pub deliver: Option<SocketAddr>,
    /// The ops listener.
    pub ops: SocketAddr,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A listener's address cannot be had.
    #[error("cannot listen on {address} ({listener}): {error}; choose another with --{listener} ADDR:PORT")]
    Listen {
        /// Which listener.
        listener: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("cannot open the store in {}: {error}", path.display())]
    Store {
        /// The data directory.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: OpenError,
    },
    /// The cluster cannot be used.
    #[error("cannot open the store: {0}")]
    Cluster(#[from] Box<headwater_cassandra::OpenError>),
    /// The store was opened, but cannot be read.
    #[error("cannot read the store: {0}")]
    Read(#[from] headwater_store::StoreError),
    /// An event of the configuration file is wrong.
    #[error("event `{tenant}/{event}` of the configuration: {error}")]
    Event {
        /// Whose event.
        tenant: String,
        /// Which.
        event: String,
        /// What is wrong with it.
        error: Box<ControlError>,
    },
    /// No threads.
    #[error("cannot start a runtime: {0}")]
    Runtime(std::io::Error),
}

/// A server that is ready to run.
pub struct Server {
    origin: Arc<Origin>,
    engine: Engine,
    publish: (Runtime, Option<TcpListener>),
    deliver: (Runtime, Option<TcpListener>),
    ops: TcpListener,
    extra: axum::Router,
}

impl Server {
    /// Opens the store, learns what is in it and binds the listeners. `extra` is served by the ops listener too.
    ///
    /// # Errors
    /// [`StartError`] with what to do about it.
    pub fn load(config: Config, clock: Arc<dyn Clock>, extra: axum::Router) -> Result<Self, StartError> {
        Self::load_around(config, clock, extra, |store| store)
    }

    /// As [`Server::load`], with what `around` puts around the engine: a store that is slow or fails on command.
    ///
    /// # Errors
    /// [`StartError`] with what to do about it.
    pub fn load_around(
        config: Config,
        clock: Arc<dyn Clock>,
        extra: axum::Router,
        around: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Result<Self, StartError> {
        // 1. The configuration, before anything is touched.
        let tenants = config.tenants()?;
        let events = config.events()?;
        // 2. The runtimes: uploads and operators on one, readers on the other.
        let publish = runtime("publish")?;
        let deliver = runtime("deliver")?;
        // 3. The listeners, before the store: a second server on the same ports must not open it.
        let bind = |runtime: &Runtime, listener, address| {
            let _context = runtime.enter();
            accept::bind(address).map_err(|error| StartError::Listen { listener, address, error })
        };
        let role = config.role;
        let publish_listener = role.publishes().then(|| bind(&publish, "publish", config.publish)).transpose()?;
        let deliver_listener = role.delivers().then(|| bind(&deliver, "deliver", config.deliver)).transpose()?;
        let ops_listener = bind(&publish, "ops", config.ops)?;
        let local = |listener: &TcpListener, wanted| listener.local_addr().unwrap_or(wanted);
        let addresses = Addresses {
            publish: publish_listener.as_ref().map(|listener| local(listener, config.publish)),
            deliver: deliver_listener.as_ref().map(|listener| local(listener, config.deliver)),
            ops: local(&ops_listener, config.ops),
        };
        // 4. The store, which tells the catalog what becomes durable from now on.
        let catalog = Arc::new(Catalog::default());
        let engine = Engine::open(&config, &clock, Arc::clone(&catalog) as _, &publish)?;
        // 5. What the store holds already, before the first request.
        publish.block_on(restore(&*engine.store(), &catalog))?;
        // 6. The events of the configuration file.
        let metrics = Metrics::default();
        let inner = around(engine.store());
        let store: Arc<dyn Store> = Arc::new(Timed::new(inner, engine.name(), Arc::clone(&clock), &metrics));
        let control = Control::new(Arc::clone(&store), Arc::clone(&catalog), tenants);
        publish.block_on(put_events(&control, events))?;
        let pool = Pool::new(usize::try_from(config.upload_bytes).unwrap_or(usize::MAX), config.body_bytes_max);
        let (admission, drain) = (Admission::default(), Drain::default());
        let meter = Arc::new(Meter::new(Arc::clone(&store), Arc::clone(&catalog), control.tenants()));
        let boot = u64::try_from(clock.wall().nanos()).unwrap_or(0);
        let feed = store.shared().map(|_| Arc::new(Feed::new(boot)));
        let origin = Arc::new(Origin {
            config,
            catalog,
            control,
            store,
            clock,
            pool,
            admission,
            meter,
            metrics,
            feed,
            drain,
            addresses,
        });
        Ok(Self {
            origin,
            engine,
            publish: (publish, publish_listener),
            deliver: (deliver, deliver_listener),
            ops: ops_listener,
            extra,
        })
    }

    /// What the handlers see.
    #[must_use]
    pub fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }

    /// The runtime of the publish side, for tasks that go with the server.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.publish.0
    }

    /// Serves until the origin's drain starts, then answers what is in hand and closes the store.
    pub fn run(self) {
        let Self {
            origin,
            engine,
            publish: (publish, publish_listener),
            deliver: (deliver, deliver_listener),
            ops,
            extra,
        } = self;
        let drain = &origin.drain;
        let writers = Arc::new(publish::Publish(Arc::clone(&origin)));
        let readers = Arc::new(deliver::Deliver(Arc::clone(&origin)));
        let operators = Arc::new(ops::Ops::new(Arc::clone(&origin), extra));
        let catalog = Arc::clone(&origin.catalog);
        deliver.spawn(async move { catalog.wake_waiters().await });
        publish.spawn(upkeep(Arc::clone(&origin)));
        publish.spawn(read_inits(Arc::clone(&origin)));
        if origin.store.shared().is_some() {
            publish.spawn(feed::tell::commits(Arc::clone(&origin)));
            for address in origin.config.store.feeds.clone() {
                publish.spawn(feed::follow::run(Arc::clone(&origin), address));
            }
        }
        let reading = deliver_listener
            .map(|listener| deliver.spawn(accept::serve(listener, readers, Traffic::Downloads, drain.clone())));
        let operating = publish.spawn(accept::serve(ops, operators, Traffic::Control, drain.clone()));
        let writing =
            publish_listener.map(|listener| accept::serve(listener, writers, Traffic::Uploads, drain.clone()));
        publish.block_on(async {
            if let Some(writing) = writing {
                writing.await;
            }
            // Their ends tell nothing: a panic of a listener has been reported where it happened.
            if let Some(reading) = reading {
                let _ = reading.await;
            }
            let _ = operating.await;
        });
        engine.close();
        deliver.shutdown_timeout(SHUTDOWN_TIMEOUT);
        publish.shutdown_timeout(SHUTDOWN_TIMEOUT);
    }
}

fn runtime(name: &str) -> Result<Runtime, StartError> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_name(format!("headwater-{name}"))
        .build()
        .map_err(StartError::Runtime)
}

/// Tells the catalog what the store holds: events, init segments and loose objects, and the newest segments.
///
/// # Errors
/// If the store cannot be read.
pub async fn restore(store: &dyn Store, catalog: &Catalog) -> Result<(), StartError> {
    for entry in store.entries().await? {
        catalog.apply(&entry);
    }
    for live in catalog.all() {
        let event = live.event();
        let slots = tail::ring_slots(&event.document);
        let rows = store.standing(event.id, slots).await?;
        let mut lowest = BTreeMap::new();
        for row in &rows {
            if let Object::Segment { rendition, number } = &row.key.object {
                let least: &mut u64 = lowest.entry(rendition.clone()).or_insert(*number);
                *least = (*least).min(*number);
            }
        }
        for (rendition, number) in lowest {
            live.tail_or_new(&rendition).forget_below(number);
        }
        catalog.found(&live, &rows);
        for row in &rows {
            if let Object::Init { rendition } = &row.key.object {
                learn(store, &live, rendition, row).await;
            }
        }
    }
    Ok(())
}

/// Reads what a stored init segment says; one that cannot be read only costs checks of its media.
async fn learn(
    store: &dyn Store,
    live: &live::Live,
    rendition: &headwater_model::Rendition,
    row: &headwater_model::Row,
) {
    match store.read(row, 0..row.size).await {
        Ok((body, _)) => {
            let source = headwater_media::source::Pieces::new(body.chunks());
            if let Ok(facts) = headwater_media::init::Init::read(&source) {
                live.tail_or_new(rendition).learn(row, &Arc::new(facts));
            }
        }
        Err(error) => tracing::error!(%error, %rendition, "cannot read a stored init segment"),
    }
}

/// Learns what init segments say that this process has not received itself.
async fn read_inits(origin: Arc<Origin>) {
    loop {
        for row in origin.catalog.fresh_inits().await {
            let Object::Init { rendition } = &row.key.object else { continue };
            let Some(live) = origin.catalog.of(&row.key) else { continue };
            let is_read = live.tail(rendition.as_str()).is_some_and(|tail| {
                tail.inits().iter().any(|init| init.row.version == row.version && init.facts.is_some())
            });
            if !is_read {
                learn(&*origin.store, &live, rendition, &row).await;
            }
        }
    }
}

async fn put_events(
    control: &Control,
    events: Vec<(headwater_model::Tenant, headwater_model::EventName, Document)>,
) -> Result<(), StartError> {
    for (tenant, event, document) in events {
        let put = control.put(&tenant, &event, document).await;
        put.map_err(|error| StartError::Event {
            tenant: tenant.to_string(),
            event: event.to_string(),
            error: Box::new(error),
        })?;
    }
    Ok(())
}

async fn upkeep(origin: Arc<Origin>) {
    loop {
        origin.clock.sleep(UPKEEP).await;
        origin.metrics.upkeep();
        origin.admission.report(&origin.metrics, origin.clock.monotonic());
    }
}
