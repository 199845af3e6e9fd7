//! Keyspaces and tables, made if they are not there. Two planes: `_control` holds records, entries and changes, small
//! and compared-and-set; `_media` holds chunks, large, written once, expiring by time. A version in the cluster says which
//! builds may use them. Must never change what is there unasked.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use scylla::client::session::Session;
use scylla::policies::load_balancing::{LoadBalancingPolicy, NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::response::query_result::QueryResult;
use scylla::statement::Statement;
use scylla::value::CqlValue;
use serde::Serialize;

use crate::options::Options;
use crate::{OpenError, migrate, rows, session};

/// Version of the schema that this build makes and knows. In version 1 no record told which datacentre's it was; in
/// version 2 chunks that stay lay among those that expire, where they may go on to lie.
pub(crate) const VERSION: i32 = 3;
/// How long what has expired or was deleted is remembered, in seconds. What expires needs no mark to be found again by a
/// repair, so it only has to outlive the hints for a node that was away. Until then it lies on the disk and in the way of
/// whoever reads everything.
pub(crate) const GRACE_S: u32 = 10_800;
/// The table of chunks that expire.
pub(crate) const CHUNKS: &str = "chunks";
/// The table of chunks that stay until they are replaced.
pub(crate) const STANDING: &str = "standing";
/// The one row of the table of versions.
const PART: &str = "store";
/// The table that came with the version: a cluster may lack it. A word of CQL, so it needs quotes.
const SCHEMA: &str = "schema";

/// Attempts at making the schema before giving up, each as long as Cassandra lets it be: on slow nodes a table takes seconds,
/// and of several processes that compare and set the version at once each may fail.
const ATTEMPTS_MAX: usize = 6;

/// Longest name of the keyspaces; Cassandra allows 48 with the suffix.
const KEYSPACE_LEN_MAX: usize = 40;

/// The keyspaces' names.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) control: String,
    pub(crate) media: String,
}

impl Names {
    pub(crate) fn new(options: &Options) -> Result<Self, OpenError> {
        let name = &options.keyspace;
        let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
        if !letters || !starts || name.len() > KEYSPACE_LEN_MAX {
            return Err(OpenError::Option {
                field: "keyspace",
                problem: format!("`{name}`: lower-case letters, digits and `_`, at most {KEYSPACE_LEN_MAX}"),
            });
        }
        Ok(Self { control: format!("{name}_control"), media: format!("{name}_media") })
    }
}

/// What [`init`] found and made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// Version of the schema in the cluster.
    pub version: i32,
    /// Keyspaces and tables that were missing and are there now.
    pub made: Vec<String>,
    /// Records and entries of an earlier version that were brought to this one.
    pub migrated: u64,
    /// Keyspaces whose copies are others than the options say. Nothing was changed.
    pub unlike: Vec<Unlike>,
}

/// A keyspace whose copies are others than the options say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unlike {
    /// Its name.
    pub keyspace: String,
    /// Each datacentre with its copies, as the cluster has them.
    pub stands: BTreeMap<String, String>,
    /// The same as the options want them.
    pub wanted: BTreeMap<String, String>,
    /// The statement that makes it so. After it every node of each datacentre that got more copies has to be repaired.
    pub alter: String,
}

/// Connects, makes what is missing, brings an earlier version to this one, and says what it found. Safe beside running
/// engines and from several processes, but for an earlier version: then no server may run, and none of either version
/// starts before it is done.
///
/// # Errors
/// [`OpenError`], with what to do.
pub async fn init(options: &Options) -> Result<Schema, OpenError> {
    let names = Names::new(options)?;
    let sites = options.sites()?;
    let session = session::connect(options, &names).await?;
    let version = match create(&session, &names, options).await {
        Err(OpenError::Earlier { version }) => version,
        answer => return answer,
    };
    // They are of the only datacentre that there was, which nothing in them tells.
    if version == 1 && sites.other.is_some() {
        let problem = "names two datacentres, and what is stored does not tell yet which of them recorded it: name the one \
                       that has been in use, run this again, and then name both";
        return Err(OpenError::Option { field: "replication", problem: problem.to_owned() });
    }
    let migrated = if version == 1 { migrate::run(&session, &names, &sites).await? } else { 0 };
    let maker = Maker::new(&session);
    for (keyspace, table, Table { options, .. }) in tables(&names).into_iter().filter(|(_, table, _)| *table != SCHEMA)
    {
        maker.run(&format!("ALTER TABLE {keyspace}.\"{table}\" WITH {options}")).await?;
    }
    session.await_schema_agreement().await.map_err(OpenError::schema)?;
    let statement = format!("UPDATE {}.\"{SCHEMA}\" SET version = ? WHERE part = ?", names.control);
    session.query_unpaged(statement, (VERSION, PART)).await.map_err(OpenError::schema)?;
    Ok(Schema { migrated, ..create(&session, &names, options).await? })
}

/// Makes what is missing. All of it may be done twice.
///
/// # Errors
/// [`OpenError`] if a statement fails time and again, or if the schema is of another build.
pub(crate) async fn create(session: &Session, names: &Names, options: &Options) -> Result<Schema, OpenError> {
    let mut made = Vec::new();
    for _ in 1..ATTEMPTS_MAX {
        match attempt(session, names, options, &mut made).await {
            Err(OpenError::Schema(error)) => {
                tracing::warn!(error, "the schema cannot be made or read yet; it is tried again");
            }
            answer => return answer,
        }
    }
    attempt(session, names, options, &mut made).await
}

/// `made`: what was missing, at this attempt or one before it.
async fn attempt(
    session: &Session,
    names: &Names,
    options: &Options,
    made: &mut Vec<String>,
) -> Result<Schema, OpenError> {
    let wanted = copies(options);
    let maker = Maker::new(session);
    let mut unlike = Vec::new();
    let mut make = async |name: String, statement: String| {
        if !made.contains(&name) {
            made.push(name);
        }
        maker.run(&statement).await
    };
    for keyspace in [&names.control, &names.media] {
        let replication = replication(&wanted);
        match maker.copies(keyspace).await? {
            None => {
                let statement = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}");
                make(keyspace.clone(), statement).await?;
            }
            Some(stands) if stands != wanted => {
                let alter = format!("ALTER KEYSPACE {keyspace} WITH replication = {replication};");
                let (keyspace, wanted) = (keyspace.clone(), wanted.clone());
                unlike.push(Unlike { keyspace, stands, wanted, alter });
            }
            Some(_) => {}
        }
    }
    for (keyspace, table, Table { columns, options }) in maker.missing(names).await? {
        let statement = format!("CREATE TABLE IF NOT EXISTS {keyspace}.\"{table}\" {columns} WITH {options}");
        make(format!("{keyspace}.{table}"), statement).await?;
    }
    session.await_schema_agreement().await.map_err(OpenError::schema)?;
    Ok(Schema { version: version(session, names).await?, made: made.clone(), migrated: 0, unlike })
}

/// Looks whether everything is there and of a version that this build knows.
///
/// # Errors
/// [`OpenError`], with what to do.
pub(crate) async fn look(session: &Session, names: &Names) -> Result<(), OpenError> {
    let missing = Maker::new(session).missing(names).await?;
    if let Some((keyspace, table, _)) = missing.iter().find(|(_, table, _)| *table != SCHEMA) {
        return Err(OpenError::Nothing { table: format!("{keyspace}.{table}") });
    }
    if missing.is_empty() {
        known(read_version(session, names).await?.unwrap_or(VERSION))?;
    }
    Ok(())
}

/// The version that the cluster has; this build's if it had none.
async fn version(session: &Session, names: &Names) -> Result<i32, OpenError> {
    if let Some(version) = read_version(session, names).await? {
        return known(version);
    }
    // One of several that start at once writes it; all find what stands.
    let insert = format!("INSERT INTO {}.\"{SCHEMA}\" (part, version) VALUES (?, ?) IF NOT EXISTS", names.control);
    let result = session.query_unpaged(insert, (PART, VERSION)).await.map_err(OpenError::schema)?;
    match rows::answer(result, "version").map_err(OpenError::schema)? {
        (false, Some(CqlValue::Int(version))) => known(version),
        _ => Ok(VERSION),
    }
}

async fn read_version(session: &Session, names: &Names) -> Result<Option<i32>, OpenError> {
    let select = format!("SELECT version FROM {}.\"{SCHEMA}\" WHERE part = ?", names.control);
    let result = session.query_unpaged(select, (PART,)).await.map_err(OpenError::schema)?;
    let rows = result.into_rows_result().map_err(OpenError::schema)?;
    let row = rows.maybe_first_row::<(Option<i32>,)>().map_err(OpenError::schema)?;
    Ok(row.and_then(|(version,)| version))
}

fn known(version: i32) -> Result<i32, OpenError> {
    match version.cmp(&VERSION) {
        Ordering::Less => Err(OpenError::Earlier { version }),
        Ordering::Equal => Ok(version),
        Ordering::Greater => Err(OpenError::Later { version }),
    }
}

/// Asks one node, the same one from every process: two nodes that make one table at the same moment make two of it,
/// under one name, and lose what is written to one of them.
struct Maker<'a> {
    session: &'a Session,
    node: Option<Arc<dyn LoadBalancingPolicy>>,
}

impl<'a> Maker<'a> {
    fn new(session: &'a Session) -> Self {
        let state = session.get_cluster_state();
        let node = state.get_nodes_info().iter().filter(|node| node.is_connected()).min_by_key(|node| node.host_id);
        let only = |host_id| SingleTargetLoadBalancingPolicy::new(NodeIdentifier::HostId(host_id), None);
        Self { session, node: node.map(|node| only(node.host_id)) }
    }

    async fn run(&self, text: &str) -> Result<QueryResult, OpenError> {
        let mut statement = Statement::new(text);
        statement.set_load_balancing_policy(self.node.clone());
        self.session.query_unpaged(statement, ()).await.map_err(OpenError::schema)
    }

    /// Each datacentre with its copies; `None` if there is no such keyspace.
    async fn copies(&self, keyspace: &str) -> Result<Option<BTreeMap<String, String>>, OpenError> {
        let select = format!("SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{keyspace}'");
        let rows = self.run(&select).await?.into_rows_result().map_err(OpenError::schema)?;
        let row = rows.maybe_first_row::<(HashMap<String, String>,)>().map_err(OpenError::schema)?;
        Ok(row.map(|(copies,)| copies.into_iter().filter(|(key, _)| key != "class").collect()))
    }

    /// The tables that are not there: keyspace, name, the rest.
    async fn missing<'n>(&self, names: &'n Names) -> Result<Vec<(&'n str, &'static str, Table)>, OpenError> {
        let mut missing = Vec::new();
        let there = (self.tables(&names.control).await?, self.tables(&names.media).await?);
        for (keyspace, table, definition) in tables(names) {
            let there = if keyspace == names.control { &there.0 } else { &there.1 };
            if !there.contains(table) {
                missing.push((keyspace, table, definition));
            }
        }
        Ok(missing)
    }

    async fn tables(&self, keyspace: &str) -> Result<BTreeSet<String>, OpenError> {
        let select = format!("SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{keyspace}'");
        let rows = self.run(&select).await?.into_rows_result().map_err(OpenError::schema)?;
        let rows = rows.rows::<(String,)>().map_err(OpenError::schema)?;
        rows.map(|row| row.map(|(table,)| table).map_err(OpenError::schema)).collect()
    }
}

/// What the options want: a datacentre that was given up gets none.
fn copies(options: &Options) -> BTreeMap<String, String> {
    let wanted = options.replication.iter().filter(|(_, copies)| *copies > 0);
    wanted.map(|(datacentre, copies)| (datacentre.clone(), copies.to_string())).collect()
}

fn replication(copies: &BTreeMap<String, String>) -> String {
    let copies = copies.iter().map(|(datacentre, copies)| format!(", '{datacentre}': {copies}"));
    format!("{{'class': 'NetworkTopologyStrategy'{}}}", copies.collect::<String>())
}

/// How a table is made.
struct Table {
    columns: &'static str,
    /// May be changed later.
    options: String,
}

/// Keyspace, name, and the rest.
fn tables(names: &Names) -> [(&str, &'static str, Table); 9] {
    let Names { control, media } = names;
    let grace = format!("gc_grace_seconds = {GRACE_S}");
    // Windows of expired data go as whole files.
    let by_time = |minutes: u32, more: &str| {
        format!(
            "compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'MINUTES', \
             'compaction_window_size': {minutes}{more}}} AND {grace}"
        )
    };
    let plain = |columns: &'static str| Table { columns, options: grace.clone() };
    // One candidate each, in a partition of its own, because a partition is what Paxos locks: uploads wait for each other
    // only if they are of the same candidate. `pipeline` names the datacentre too, and so does an event's `name`: what two
    // compare and set must not lie in one partition, where each would commit into what the other is deciding.
    let rows = "(event bigint, shelf text, number bigint, name text, pipeline text, row blob, \
                PRIMARY KEY ((event, shelf, number, name, pipeline)))";
    // Which candidates a block of a shelf may have: written before their first record, so that none is missed.
    let listing = "(event bigint, shelf text, block bigint, number bigint, name text, pipeline text, \
                   PRIMARY KEY ((event, shelf, block), number, name, pipeline))";
    // Which blocks a shelf has.
    let blocks = "(event bigint, shelf text, block bigint, PRIMARY KEY ((event, shelf), block))";
    // Which shelves an event has.
    let shelves = "(event bigint, shelf text, PRIMARY KEY (event, shelf))";
    // Event documents with masks and notifications. `ended`: lives whose media is still to be freed.
    let events = "(tenant text, name text, rev bigint, entry blob, ended blob, PRIMARY KEY ((tenant, name)))";
    // What is about to change, for the other processes to look at.
    let changes = "(shard int, bucket bigint, at bigint, nonce blob, node bigint, kind tinyint, key blob, \
                   PRIMARY KEY ((shard, bucket), at, nonce))";
    let changes = Table { columns: changes, options: format!("default_time_to_live = 120 AND {}", by_time(10, "")) };
    // A partition for each chunk: a segment's chunks lie all over the cluster. Media does not compress.
    let chunks = |options: &str| Table {
        columns: "(version blob, part int, bytes blob, PRIMARY KEY ((version, part)))",
        options: format!("compression = {{'enabled': false}} AND {options}"),
    };
    // A file of windows that is nearly all expired (which counts twice, as rows and as cells) is written anew without that, at
    // least an hour after it was written: it would have to wait for what lives longest in it, and all later files with it.
    let rest = ", 'tombstone_threshold': '1.6', 'tombstone_compaction_interval': '3600', \
                'unchecked_tombstone_compaction': 'true'";
    [
        (control, "rows", plain(rows)),
        (control, "listing", plain(listing)),
        (control, "blocks", plain(blocks)),
        (control, "shelves", plain(shelves)),
        (control, "events", plain(events)),
        (control, "changes", changes),
        (media, CHUNKS, chunks(&by_time(60, rest))),
        // Not among the others: no later file of windows goes while an earlier one has something that stays.
        (media, STANDING, chunks(&grace)),
        // Last: a cluster that has it has all.
        (control, SCHEMA, plain("(part text PRIMARY KEY, version int)")),
    ]
}
