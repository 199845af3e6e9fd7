//! Brings a schema of version 1 to version 2: records and entries get the name of the datacentre that has recorded them,
//! which was the only one. Each is written anew before the old one goes, so that it may be begun again at any time.

use futures_util::TryStreamExt;
use scylla::client::session::Session;

use crate::OpenError;
use crate::place::{Sites, of_site};
use crate::schema::Names;

/// Rewrites everything; how much it was.
///
/// # Errors
/// [`OpenError::Schema`]; what was done is done.
pub(crate) async fn run(session: &Session, names: &Names, sites: &Sites) -> Result<u64, OpenError> {
    Ok(records(session, names, sites).await? + entries(session, names, sites).await?)
}

type Record = (i64, String, i64, String, String, Option<Vec<u8>>, Option<i32>);

async fn records(session: &Session, names: &Names, sites: &Sites) -> Result<u64, OpenError> {
    let rows = format!("{}.rows", names.control);
    let key = "event, shelf, number, name, pipeline";
    let insert = format!("INSERT INTO {rows} ({key}, row) VALUES (?, ?, ?, ?, ?, ?) USING TTL ?");
    let insert = session.prepare(insert).await.map_err(OpenError::schema)?;
    let one = "event = ? AND shelf = ? AND number = ? AND name = ? AND pipeline = ?";
    let delete = session.prepare(format!("DELETE FROM {rows} WHERE {one}")).await.map_err(OpenError::schema)?;
    let all = session.query_iter(format!("SELECT {key}, row, TTL(row) FROM {rows}"), ()).await;
    let all = all.map_err(OpenError::schema)?.rows_stream::<Record>().map_err(OpenError::schema)?;
    let mut all = std::pin::pin!(all);
    let mut count = 0;
    while let Some((event, shelf, number, name, pipeline, row, ttl_s)) =
        all.try_next().await.map_err(OpenError::schema)?
    {
        if of_site(&pipeline).is_some() {
            continue;
        }
        let values = (event, &shelf, number, &name, sites.own(&pipeline), row, ttl_s.unwrap_or(0));
        session.execute_unpaged(&insert, values).await.map_err(OpenError::schema)?;
        let values = (event, &shelf, number, &name, &pipeline);
        session.execute_unpaged(&delete, values).await.map_err(OpenError::schema)?;
        count += 1;
    }
    Ok(count)
}

type Event = (String, String, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>);

async fn entries(session: &Session, names: &Names, sites: &Sites) -> Result<u64, OpenError> {
    let events = format!("{}.events", names.control);
    let columns = "tenant, name, rev, entry, ended";
    let insert = format!("INSERT INTO {events} ({columns}) VALUES (?, ?, ?, ?, ?)");
    let insert = session.prepare(insert).await.map_err(OpenError::schema)?;
    let delete = format!("DELETE FROM {events} WHERE tenant = ? AND name = ?");
    let delete = session.prepare(delete).await.map_err(OpenError::schema)?;
    let all = session.query_iter(format!("SELECT {columns} FROM {events}"), ()).await.map_err(OpenError::schema)?;
    let mut all = std::pin::pin!(all.rows_stream::<Event>().map_err(OpenError::schema)?);
    let mut count = 0;
    while let Some((tenant, name, rev, entry, ended)) = all.try_next().await.map_err(OpenError::schema)? {
        if of_site(&name).is_some() {
            continue;
        }
        let values = (&tenant, sites.own(&name), rev, entry, ended);
        session.execute_unpaged(&insert, values).await.map_err(OpenError::schema)?;
        session.execute_unpaged(&delete, (&tenant, &name)).await.map_err(OpenError::schema)?;
        count += 1;
    }
    Ok(count)
}
