//! memcached in front of the chunks, on real servers that die and freeze.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use headwater_cassandra::{Options, memcached};
use headwater_model::row::Row;
use headwater_store::conformance::{self, Heard, body, claim, loose, segment};
use headwater_store::{Published, Store, Tier};

use crate::support::{cluster, fresh, open, restart};

/// Options with memcached and nothing in the engine's own memory.
async fn cached(own: &str) -> Options {
    let zones = cluster().zones().iter();
    let zones = zones.map(|zone| memcached::Zone { name: zone.name.clone(), servers: zone.places() });
    // A busy machine is no silent server. One that is dead refuses at once all the same.
    let timeout = Duration::from_secs(3);
    let memcached = Some(memcached::Options { timeout, ..memcached::Options::new(zones.collect(), own) });
    Options { window_bytes: 0, dvr_bytes: 0, memcached, ..fresh().await }
}

/// Does something to two servers.
fn both(one: &str, two: &str, act: impl Fn(&str) -> anyhow::Result<()>) {
    [one, two].into_iter().for_each(|server| act(server).unwrap_or_else(|error| panic!("{server}: {error:#}")));
}

async fn stored(store: &dyn Store, number: u64, length: usize) -> Row {
    let bytes = body(number, length);
    let claim = claim(segment("v", number, "a"), &bytes, store.stamp());
    match store.publish(claim, bytes).await {
        Ok(Published::Stored(row)) => row,
        other => panic!("not stored: {other:?}"),
    }
}

/// From where each of them came.
async fn read_all(store: &dyn Store, rows: &[Row]) -> Vec<Tier> {
    let mut tiers = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let (read, tier) = store.read(row, 0..row.size).await.expect("a stored row can be read");
        assert_eq!(read.to_bytes(), body(number as u64, row.size as usize).to_bytes());
        tiers.push(tier);
    }
    tiers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_conforms_with_memcached_of_which_a_server_dies_in_the_middle() {
    let made = AtomicUsize::new(0);
    conformance::run(async |listener| {
        if made.fetch_add(1, Ordering::Relaxed) == 5 {
            cluster().kill("a1").expect("a server that runs");
        }
        open(&cached("a").await, listener).await as Arc<dyn Store>
    })
    .await;
    restart();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_come_from_the_own_zone_then_from_another_then_from_the_cluster() {
    let store = open(&cached("a").await, Arc::new(Heard::default())).await;
    let mut rows = Vec::new();
    for number in 0..10 {
        rows.push(stored(&*store, number, 700_000).await);
    }
    let chunks = 10 * 700_000_u64.div_ceil(Options::new([""; 0], "dc1").chunk_size.bytes());
    assert_eq!(read_all(&*store, &rows).await, [Tier::Memcached; 10]);
    assert_eq!((store.memcached().own_hits, store.memcached().misses), (chunks, 0), "{:?}", store.memcached());
    both("a1", "a2", |server| cluster().kill(server));
    assert_eq!(read_all(&*store, &rows).await, [Tier::Memcached; 10]);
    assert_eq!((store.memcached().other_hits, store.memcached().misses), (chunks, 0), "{:?}", store.memcached());
    both("b1", "b2", |server| cluster().kill(server));
    assert_eq!(read_all(&*store, &rows).await, [Tier::Store; 10]);
    assert_eq!(store.memcached().misses, chunks, "{:?}", store.memcached());
    rows.push(stored(&*store, 10, 300_000).await);
    restart();
    // Once the breakers have let a question pass, what is read is there again.
    let before = store.memcached().own_hits;
    while store.memcached().own_hits < before + chunks {
        read_all(&*store, &rows).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_fails_nothing_and_is_soon_left_alone() {
    let mut options = cached("a").await;
    options.memcached.as_mut().expect("zones").timeout = Duration::from_secs(1);
    let store = open(&options, Arc::new(Heard::default())).await;
    both("a1", "a2", |server| cluster().pause(server));
    let mut rows = Vec::new();
    for number in 0..10 {
        rows.push(stored(&*store, number, 1000).await);
    }
    read_all(&*store, &rows).await;
    both("a1", "a2", |server| cluster().resume(server));
    let stats = store.memcached();
    assert_eq!((stats.own_hits, stats.other_hits, stats.misses), (0, 10, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_have_names_and_one_that_means_nothing_fails_nothing() {
    let mut options = cached("b").await;
    for zone in &mut options.memcached.as_mut().expect("zones").zones {
        let named = |server: &String| server.replace("127.0.0.1", "localhost");
        let nowhere = |_: &String| "cache.nowhere.invalid:11211".to_owned();
        zone.servers = zone.servers.iter().map(if zone.name == "a" { named } else { nowhere }).collect();
    }
    let store = open(&options, Arc::new(Heard::default())).await;
    let mut rows = Vec::new();
    for number in 0..10 {
        rows.push(stored(&*store, number, 1000).await);
    }
    assert_eq!(read_all(&*store, &rows).await, [Tier::Memcached; 10]);
    let stats = store.memcached();
    assert_eq!((stats.own_hits, stats.other_hits, stats.misses), (0, 10, 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_in_a_cache_are_never_served() {
    let store = open(&cached("a").await, Arc::new(Heard::default())).await;
    let row = stored(&*store, 0, 1000).await;
    for zone in cluster().zones() {
        zone.servers.iter().for_each(|server| spoil(*server, row.version.0, 1000));
    }
    read_all(&*store, std::slice::from_ref(&row)).await;
    assert_eq!(store.memcached().misses, 1, "the cluster was asked");
    read_all(&*store, std::slice::from_ref(&row)).await;
    assert_eq!(store.memcached().misses, 1, "and the cache was mended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_chunks_are_cached() {
    let items = || cluster().zones().iter().flat_map(|zone| &zone.servers).map(|server| count(*server)).sum::<u64>();
    let store = open(&cached("a").await, Arc::new(Heard::default())).await;
    let before = items();
    stored(&*store, 0, 0).await;
    assert_eq!(items(), before, "a record without bytes leaves nothing");
    stored(&*store, 1, 10).await;
    assert_eq!(items(), before + 2, "a chunk is in each zone once");
    let bytes = body(2, 10);
    let manifest = claim(loose("x.mpd", "a"), &bytes, store.stamp());
    store.publish(manifest, bytes).await.expect("the store takes the publish");
    store.remove(loose("x.mpd", "a")).await.expect("removing succeeds");
    assert_eq!(items(), before + 2, "what is removed is removed from all zones");
    drop(store);
}

/// Puts `length` wrong bytes where the first chunk of `version` is.
fn spoil(server: std::net::SocketAddr, version: u128, length: usize) {
    let wrong = "x".repeat(length);
    let said = ask(server, &format!("set hw1:{version:032x}:0 0 0 {length}\r\n{wrong}\r\n"), "STORED");
    assert!(said.starts_with("STORED"), "{said}");
}

/// Items that a server holds.
fn count(server: std::net::SocketAddr) -> u64 {
    let said = ask(server, "stats\r\n", "END");
    let line = said.lines().find_map(|line| line.strip_prefix("STAT curr_items "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or_else(|| panic!("no count in {said}"))
}

fn ask(server: std::net::SocketAddr, question: &str, end: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server).expect("a server that runs");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    stream.write_all(question.as_bytes()).expect("a question can be asked");
    let (mut said, mut buffer) = (String::new(), [0; 4096]);
    while !said.contains(end) {
        let length = stream.read(&mut buffer).expect("an answer");
        assert!(length > 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    said
}
