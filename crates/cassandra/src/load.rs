//! Reads what is recorded when a process starts, in both datacentres where there are two: what the nodes here have lost,
//! this process would otherwise call absent, and choose without. Must not keep a region from starting alone.

use std::time::Duration;

use headwater_model::Timestamp;
use headwater_model::row::{EventId, Row};
use headwater_store::StoreError;
use headwater_store::stamp::Clock;

use crate::copies::Copies;
use crate::entries::Standing;
use crate::index::{Index, life};
use crate::options::{BOTH_BUDGET, BOTH_MAX, BOTH_PAUSE, Options, SCANS_MAX};
use crate::tables::{Reach, Tables};

/// Everything that is recorded.
pub(crate) struct Loaded {
    pub(crate) index: Index,
    /// The highest stamp of it.
    pub(crate) highest: Timestamp,
    /// Whether it is all that either datacentre has.
    pub(crate) reach: Reach,
}

/// Reads what is recorded, as far as somebody answers.
pub(crate) async fn load(cluster: &dyn Tables, options: &Options, clock: &dyn Clock) -> Result<Loaded, StoreError> {
    if options.replication.len() > 1 {
        if let Some(loaded) = of_both(clock, BOTH_BUDGET, || scan(cluster, options, Reach::Both)).await {
            return loaded;
        }
        tracing::warn!("the records of this datacentre have to do; those of both are read later");
    }
    patiently(|| scan(cluster, options, Reach::Here)).await
}

/// Every entry that a local quorum has.
pub(crate) async fn entries(cluster: &dyn Tables) -> Result<Vec<Standing>, StoreError> {
    patiently(|| cluster.entries(Reach::Here)).await
}

/// What `read` comes to, tried again while nodes that have died are still asked.
async fn patiently<T, A: Future<Output = Result<T, StoreError>>>(read: impl Fn() -> A) -> Result<T, StoreError> {
    for _ in 1..SCANS_MAX {
        match read().await {
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(error, "what is recorded cannot be read yet; trying again");
            }
            answer => return answer,
        }
    }
    read().await
}

/// What `read` of both datacentres comes to; `None` if they do not answer within `budget`.
pub(crate) async fn of_both<T, A: Future<Output = Result<T, StoreError>>>(
    clock: &dyn Clock,
    budget: Duration,
    read: impl Fn() -> A,
) -> Option<Result<T, StoreError>> {
    let attempts = async {
        for attempt in 1..=BOTH_MAX {
            match read().await {
                Err(StoreError::Unavailable(error)) => {
                    tracing::warn!(error, attempt, "the records of both datacentres cannot be read");
                }
                answer => return Some(answer),
            }
            if attempt < BOTH_MAX {
                clock.sleep(BOTH_PAUSE).await;
            }
        }
        None
    };
    tokio::select! {
        biased;
        answer = attempts => answer,
        () = clock.sleep(budget) => None,
    }
}

async fn scan(cluster: &dyn Tables, options: &Options, reach: Reach) -> Result<Loaded, StoreError> {
    let mut index = Index::new(options.grace);
    for Standing { entry, ended, .. } in cluster.entries(reach).await? {
        index.put_entry(&entry);
        // Who starts reads the records of these by itself.
        life(&entry).into_iter().for_each(|id| drop(index.of_new_event(id)));
        let is_over = |id: &EventId| life(&entry) != Some(*id);
        ended.into_iter().filter(is_over).for_each(|id| drop(index.end(id)));
    }
    let mut highest = Timestamp::MIN;
    let mut take_in = |own: bool, row: Row| {
        highest = highest.max(row.published);
        let key = row.key.clone();
        let known = index.known(&key);
        let copies = if own { Copies { own: Some(row), ..known } } else { Copies { other: Some(row), ..known } };
        index.put(&key, copies);
    };
    cluster.scan(reach, &mut take_in).await?;
    Ok(Loaded { index, highest, reach })
}
