//! The conformance suite.

use std::sync::Arc;

use headwater_cassandra::Options;
use headwater_store::{Store, conformance};

use crate::support::{fresh, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms() {
    conformance::run(async |listener| open(&fresh().await, listener).await as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_with_nothing_in_memory() {
    conformance::run(async |listener| {
        let options = Options { window_bytes: 0, dvr_bytes: 0, ..fresh().await };
        open(&options, listener).await as Arc<dyn Store>
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_conform() {
    conformance::shared::run(async |[first, second]| {
        let options = fresh().await;
        [open(&options, first).await as Arc<dyn Store>, open(&options, second).await]
    })
    .await;
}
