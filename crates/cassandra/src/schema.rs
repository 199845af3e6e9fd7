//! Keyspaces and tables, made if they are not there. Two planes: `_control` holds records, entries and changes, small
//! and compared-and-set; `_media` holds chunks, large, written once, expiring by time.

use scylla::client::session::Session;

use crate::OpenError;
use crate::options::Options;

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

/// Makes what is missing. Safe to run from several processes at once.
///
/// # Errors
/// [`OpenError`] if a statement fails.
pub(crate) async fn create(session: &Session, names: &Names, options: &Options) -> Result<(), OpenError> {
    let replication = replication(options)?;
    for keyspace in [&names.control, &names.media] {
        let statement = format!("CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}");
        run(session, statement).await?;
    }
    for statement in tables(names) {
        run(session, statement).await?;
    }
    Ok(())
}

async fn run(session: &Session, statement: String) -> Result<(), OpenError> {
    session.query_unpaged(statement, ()).await.map(drop).map_err(OpenError::schema)
}

fn replication(options: &Options) -> Result<String, OpenError> {
    let mut map = "{'class': 'NetworkTopologyStrategy'".to_owned();
    for (datacentre, copies) in &options.replication {
        let plain = datacentre.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if !plain || *copies == 0 {
            let problem = format!("`{datacentre}` = {copies}: a datacentre's name and at least one copy");
            return Err(OpenError::Option { field: "replication", problem });
        }
        map.push_str(&format!(", '{datacentre}': {copies}"));
    }
    map.push('}');
    Ok(map)
}

fn tables(names: &Names) -> [String; 7] {
    let Names { control, media } = names;
    // Windows of expired data go as whole files. What expires needs no tombstone to be found again by a repair, so the
    // grace of deletions is short: it only has to outlive the hints for a node that was away.
    let by_time = |minutes: u32| {
        format!(
            "compaction = {{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'MINUTES', \
             'compaction_window_size': {minutes}}} AND gc_grace_seconds = 10800"
        )
    };
    [
        // One candidate each, in a partition of its own, because a partition is what Paxos locks: uploads wait for
        // each other only if they are of the same candidate.
        format!(
            "CREATE TABLE IF NOT EXISTS {control}.rows (event bigint, shelf text, number bigint, name text, \
             pipeline text, row blob, PRIMARY KEY ((event, shelf, number, name, pipeline)))"
        ),
        // Which candidates a block of a shelf may have: written before their first record, so that none is missed.
        format!(
            "CREATE TABLE IF NOT EXISTS {control}.listing (event bigint, shelf text, block bigint, number bigint, \
             name text, pipeline text, PRIMARY KEY ((event, shelf, block), number, name, pipeline))"
        ),
        // Which blocks a shelf has.
        format!(
            "CREATE TABLE IF NOT EXISTS {control}.blocks (event bigint, shelf text, block bigint, \
             PRIMARY KEY ((event, shelf), block))"
        ),
        // Which shelves an event has.
        format!("CREATE TABLE IF NOT EXISTS {control}.shelves (event bigint, shelf text, PRIMARY KEY (event, shelf))"),
        // Event documents with masks and notifications. `ended`: lives whose media is still to be freed.
        format!(
            "CREATE TABLE IF NOT EXISTS {control}.events (tenant text, name text, rev bigint, entry blob, \
             ended blob, PRIMARY KEY ((tenant, name)))"
        ),
        // What is about to change, for the other processes to look at.
        format!(
            "CREATE TABLE IF NOT EXISTS {control}.changes (shard int, bucket bigint, at bigint, nonce blob, \
             node bigint, kind tinyint, key blob, PRIMARY KEY ((shard, bucket), at, nonce)) \
             WITH default_time_to_live = 120 AND {}",
            by_time(10)
        ),
        // A partition for each chunk: a segment's chunks lie all over the cluster. Media does not compress.
        format!(
            "CREATE TABLE IF NOT EXISTS {media}.chunks (version blob, part int, bytes blob, \
             PRIMARY KEY ((version, part))) WITH compression = {{'enabled': false}} AND {}",
            by_time(60)
        ),
    ]
}
