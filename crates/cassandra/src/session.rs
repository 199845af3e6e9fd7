//! The connection to the cluster and the profiles of its statements: consistency, deadlines, hedges. Quorums are local,
//! and the rest of the world gets its copies later; it is asked only for what may have been lost here.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::{DefaultPolicy, LoadBalancingPolicy};
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};

use crate::OpenError;
use crate::hedge::Pace;
use crate::options::{CONNECT_BUDGET, Login, Options, READ_BUDGET, RECORD_HEDGE, SCAN_PAGE_BUDGET, SILENCE_MAX};
use crate::place::Sites;
use crate::schema::{self, Names};
use crate::silence::{Silence, SilentLast};
use crate::statements::Statements;

/// How often to look whether all nodes have the same schema.
const AGREEMENT_LOOK: Duration = Duration::from_millis(20);

/// The step of a connection that a login fails in, as the driver calls it.
const LOGIN_STEP: &str = "AUTH_RESPONSE";

/// The session and its statements.
pub(crate) struct Cluster {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) sites: Sites,
    /// Requests that another node was asked for too.
    pub(crate) hedges: Arc<AtomicU64>,
}

impl Cluster {
    /// Connects, makes the schema if it is missing, and prepares.
    pub(crate) async fn connect(options: &Options) -> Result<Self, OpenError> {
        let names = Names::new(options)?;
        options.sites()?;
        let session = connect(options, &names).await?;
        for unlike in schema::create(&session, &names, options).await?.unlike {
            let schema::Unlike { keyspace, stands, wanted, alter } = unlike;
            tracing::warn!(
                keyspace,
                ?stands,
                ?wanted,
                alter,
                "a keyspace has other copies than `store.replication` says; see `headwater store init`"
            );
        }
        Self::prepare(session, &names, options).await
    }

    /// Connects to a schema that has to be there, and prepares. Makes nothing.
    pub(crate) async fn attach(options: &Options) -> Result<Self, OpenError> {
        let names = Names::new(options)?;
        let session = connect(options, &names).await?;
        schema::look(&session, &names).await?;
        Self::prepare(session, &names, options).await
    }

    async fn prepare(session: Session, names: &Names, options: &Options) -> Result<Self, OpenError> {
        session.refresh_metadata().await.map_err(OpenError::schema)?;
        let profiles = Profiles::new(options);
        let statements = Statements::prepare(&session, names, &profiles).await?;
        Ok(Self { session, statements, sites: options.sites()?, hedges: profiles.hedges })
    }
}

/// How statements are sent.
pub(crate) struct Profiles {
    /// Comparing and setting.
    pub(crate) record: Profile,
    /// Writing what nothing is asked of.
    pub(crate) write: Profile,
    /// Reading something by its key.
    pub(crate) read: Profile,
    /// Reading everything, at start.
    pub(crate) scan: Profile,
    /// Reading something of both datacentres by its key: no node is slow for the way to the other one.
    pub(crate) far: Profile,
    /// Requests that another node was asked for too.
    hedges: Arc<AtomicU64>,
}

/// Consistency, deadline, and when another node is asked too.
pub(crate) struct Profile {
    handle: ExecutionProfileHandle,
    pace: Option<Arc<Pace>>,
}

impl Profile {
    fn new(options: &Options, deadline: Duration, pace: Option<Pace>, silence: &Arc<Silence>) -> Self {
        let mut profile = base(options).to_builder().request_timeout(Some(deadline));
        let pace = pace.map(Arc::new);
        if let Some(pace) = &pace {
            let order = SilentLast { order: nodes(options), silence: Arc::clone(silence), pace: Arc::clone(pace) };
            profile = profile
                .speculative_execution_policy(Some(Arc::clone(pace) as _))
                .load_balancing_policy(Arc::new(order));
        }
        Self { handle: profile.build().into_handle(), pace }
    }

    /// Prepares `text` to be sent so, with `page` rows in a page of the answer.
    pub(crate) async fn prepare(
        &self,
        session: &Session,
        text: String,
        page: i32,
    ) -> Result<PreparedStatement, OpenError> {
        let mut statement = session.prepare(text).await.map_err(OpenError::schema)?;
        statement.set_execution_profile_handle(Some(self.handle.clone()));
        statement.set_is_idempotent(true);
        statement.set_page_size(page);
        if let Some(pace) = &self.pace {
            statement.set_history_listener(Arc::clone(pace) as _);
        }
        Ok(statement)
    }
}

impl Profiles {
    pub(crate) fn new(options: &Options) -> Self {
        let hedges = Arc::<AtomicU64>::default();
        let pace = |least: Duration| options.hedge.map(|hedge| Pace::new(hedge.max(least), Arc::clone(&hedges)));
        let (always, silence) = (Duration::ZERO, &Arc::default());
        Self {
            record: Profile::new(options, options.record_attempt(), pace(RECORD_HEDGE), silence),
            write: Profile::new(options, options.stage_budget(), pace(always), silence),
            read: Profile::new(options, READ_BUDGET, pace(always), silence),
            scan: Profile::new(options, SCAN_PAGE_BUDGET, None, silence),
            far: Profile::new(options, READ_BUDGET, None, silence),
            hedges,
        }
    }
}

/// Never another datacentre: what is acked there is not readable here.
fn nodes(options: &Options) -> Arc<dyn LoadBalancingPolicy> {
    DefaultPolicy::builder()
        .prefer_datacenter(options.datacentre.clone())
        .permit_dc_failover(false)
        .token_aware(true)
        .build()
}

fn base(options: &Options) -> ExecutionProfile {
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .load_balancing_policy(nodes(options))
        .request_timeout(Some(CONNECT_BUDGET))
        .build()
}

/// Connects; asks for nothing yet.
pub(crate) async fn connect(options: &Options, names: &Names) -> Result<Session, OpenError> {
    if options.contact_points.is_empty() {
        let problem = "none is given; name at least one `host:port`".to_owned();
        return Err(OpenError::Option { field: "contact_points", problem });
    }
    let points = || options.contact_points.join(", ");
    let builder = match &options.login {
        Some(Login { user, password }) => SessionBuilder::new().user(user, password),
        None => SessionBuilder::new(),
    };
    builder
        .known_nodes(&options.contact_points)
        .default_execution_profile_handle(base(options).into_handle())
        .connection_timeout(CONNECT_BUDGET)
        .keepalive_interval(SILENCE_MAX)
        .keepalive_timeout(SILENCE_MAX)
        .schema_agreement_timeout(CONNECT_BUDGET)
        .schema_agreement_interval(AGREEMENT_LOOK)
        // Once after the last statement is enough.
        .refresh_metadata_on_auto_schema_agreement(false)
        // What it needs to find the copies of a partition, and nothing of other keyspaces.
        .keyspaces_to_fetch([&names.control, &names.media])
        .build()
        .await
        .map_err(|error| match error.to_string() {
            // The driver tells the reason in words alone, under several layers.
            problem if problem.contains(LOGIN_STEP) => OpenError::Login { points: points(), problem },
            problem => OpenError::Unreachable { points: points(), problem },
        })
}
