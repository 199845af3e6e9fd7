//! Opens the store that the configuration names. But for `config/store.rs`, which reads what they need, the only place
//! that knows which engines there are.

use std::sync::Arc;

use headwater_cassandra::Cassandra;
use headwater_store::disk::Directory;
use headwater_store::log::{Log, OpenError};
use headwater_store::stamp::Clock;
use headwater_store::{Listener, Store};
use tokio::runtime::Runtime;

use crate::StartError;
use crate::config::Config;

/// An engine that is open.
pub enum Engine {
    /// The embedded one.
    Log(Arc<Log>),
    /// The one on Cassandra.
    Cassandra(Arc<Cassandra>),
}

impl Engine {
    /// Opens what `config` names; `listener` hears of everything that becomes durable from now on. Tasks of the engine
    /// run on `runtime`.
    ///
    /// # Errors
    /// [`StartError`] with what to do about it.
    pub fn open(
        config: &Config,
        clock: &Arc<dyn Clock>,
        listener: Arc<dyn Listener>,
        runtime: &Runtime,
    ) -> Result<Self, StartError> {
        match config.store.cassandra(config.window_bytes, config.dvr_bytes)? {
            None => Ok(Self::Log(open_log(config, clock, listener)?)),
            Some(options) => {
                let opened = runtime.block_on(Cassandra::open(options, Arc::clone(clock), listener));
                Ok(Self::Cassandra(opened.map_err(Box::new)?))
            }
        }
    }

    /// As a store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Log(log) => Arc::clone(log) as _,
            Self::Cassandra(cassandra) => Arc::clone(cassandra) as _,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Cassandra(_) => "cassandra",
        }
    }

    /// Finishes what waits. Blocks until it is done.
    pub fn close(&self) {
        match self {
            Self::Log(log) => log.close(),
            // What was acked is durable elsewhere, and nothing else waits.
            Self::Cassandra(_) => {}
        }
    }
}

fn open_log(config: &Config, clock: &Arc<dyn Clock>, listener: Arc<dyn Listener>) -> Result<Arc<Log>, StartError> {
    let failed = |error| StartError::Store { path: config.data.clone(), error };
    let options = headwater_store::log::Options {
        window_bytes: usize::try_from(config.window_bytes).unwrap_or(usize::MAX),
        dvr_bytes: config.dvr_bytes,
        reserve_bytes: config.reserve_bytes,
        ..Default::default()
    };
    let disk = Directory::open(&config.data)
        .map_err(|error| failed(OpenError::failed(config.data.display().to_string(), error)))?;
    Log::open(options, Arc::clone(clock), Arc::new(disk), listener).map_err(failed)
}
