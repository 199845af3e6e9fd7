//! Tests of the log as a store: the conformance suite on the real disk and on the simulated one, and what only a log
//! does.

use std::sync::Arc;

use super::*;
use crate::conformance;
use crate::disk::Directory;
use crate::stamp::SystemClock;

fn small() -> Options {
    Options { window_bytes: 1 << 20, dvr_bytes: 1 << 20, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_conforms_on_a_real_disk() {
    let dirs = Mutex::new(Vec::new());
    conformance::run(async |listener| {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Directory::open(dir.path()).unwrap());
        dirs.lock().push(dir);
        Log::open(small(), Arc::new(SystemClock::default()), disk, listener).unwrap() as Arc<dyn Store>
    })
    .await;
}
