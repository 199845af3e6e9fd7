//! What chance meets too seldom, step by step in calm worlds.

use std::sync::Arc;
use std::time::Duration;

use headwater_model::document::Document;
use headwater_model::event::{Counters, Entry};
use headwater_model::row::{Key, Row};
use headwater_store::conformance::{EVENT, body, claim, event, loose, segment};
use headwater_store::disk::simulated::SplitMix64;
use headwater_store::{Published, Store, StoreError};
use parking_lot::Mutex;

use crate::cluster::Tables;
use crate::link::{Cluster, Weather};
use crate::node::Node;
use crate::time::{MachineClock, Time};

/// What is sent to the other datacentre has come.
const WAY: Duration = Duration::from_secs(3);
const HOUR: Duration = Duration::from_secs(3600);

/// A node in each datacentre.
struct World {
    time: Arc<Time>,
    cluster: Arc<Cluster>,
    nodes: Vec<Node>,
}

impl World {
    fn new(sites: usize) -> Self {
        let time = Arc::<Time>::default();
        let tables = Mutex::new(Tables::new(SplitMix64(7), sites));
        let cluster = Arc::new(Cluster { time: Arc::clone(&time), tables, weather: Mutex::new(calm()) });
        let node = |site| {
            let clock = MachineClock { time: Arc::clone(&time), ahead_nanos: 0 };
            Node::new(format!("n{site}"), clock, &cluster, (site, sites))
        };
        let nodes = (0..sites).map(node).collect();
        Self { time, cluster, nodes }
    }

    async fn start(&self) {
        for node in &self.nodes {
            node.start().await;
        }
    }

    fn kill(&self) {
        self.nodes.iter().for_each(Node::kill);
    }

    fn store(&self, node: usize) -> Arc<dyn Store> {
        Arc::clone(&self.nodes[node].process().expect("it runs").origin.store)
    }

    async fn publish(&self, node: usize, key: Key, seed: u64) -> Result<Published, StoreError> {
        let (store, bytes) = (self.store(node), body(seed, 1000));
        store.publish(claim(key, &bytes, store.stamp()), bytes).await
    }

    /// The records of a node, all of which can be read.
    async fn readable(&self, node: usize) -> Vec<Row> {
        let rows = self.store(node).standing(EVENT, 9).await.expect("records");
        let rows: Vec<Row> = rows.into_iter().filter(Row::has_come).collect();
        for row in &rows {
            let read = self.store(node).read(row, 0..row.size).await;
            assert_eq!(read.map(|(body, _)| body.digest()), Ok(row.digest), "{row:?}");
        }
        rows
    }
}

fn calm() -> Weather {
    Weather { way: Duration::from_millis(5), ..Weather::default() }
}

fn alive(earlier: Counters) -> Entry {
    Entry::Alive(Box::new(event(EVENT, "game", earlier)))
}

fn stored(published: Result<Published, StoreError>) -> Row {
    match published {
        Ok(Published::Stored(row)) => row,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_recorded_without_an_answer_keeps_its_bytes() {
    let world = World::new(1);
    world.time.run(async {
        world.start().await;
        stored(world.publish(0, loose("x.mpd", "a"), 1).await);
        world.cluster.weather.lock().is_mute = true;
        let unknown = world.publish(0, loose("x.mpd", "a"), 2).await;
        assert!(matches!(unknown, Err(StoreError::Unavailable(_))), "{unknown:?}");
        *world.cluster.weather.lock() = calm();
        world.time.sleep(HOUR).await;
        assert_eq!(world.readable(0).await[0].digest, body(2, 1000).digest());
    });
}

#[test]
fn what_is_acked_because_the_other_datacentre_has_it_is_stored_here() {
    let world = World::new(2);
    world.time.run(async {
        world.start().await;
        let row = stored(world.publish(1, segment("v", 7, "a"), 1).await);
        world.time.sleep(WAY).await;
        // Small records come sooner than large chunks.
        world.cluster.tables.lock().lose_chunks(0);
        let same = world.publish(0, segment("v", 7, "a"), 1).await;
        assert_eq!(same, Ok(Published::Same(row.clone())));
        world.cluster.tables.lock().cut(HOUR, world.time.now());
        world.kill();
        world.start().await;
        assert_eq!(world.readable(0).await, [row]);
    });
}

#[test]
fn what_was_removed_stays_away_as_long_as_the_other_datacentre_has_it() {
    let world = World::new(2);
    world.time.run(async {
        world.start().await;
        stored(world.publish(1, loose("x.mpd", "a"), 1).await);
        world.time.sleep(WAY).await;
        world.store(0).remove(loose("x.mpd", "a")).await.expect("it is removed");
        world.kill();
        world.time.sleep(24 * 30 * HOUR).await;
        world.start().await;
        for node in [0, 1] {
            assert_eq!(world.readable(node).await, []);
        }
        stored(world.publish(0, loose("x.mpd", "a"), 2).await);
    });
}

#[test]
fn an_event_that_the_other_datacentre_changes_while_it_is_deleted_keeps_its_media() {
    let world = World::new(2);
    world.time.run(async {
        world.start().await;
        let before = alive(Counters::default());
        world.store(0).write_entry(before.clone(), 0).await.expect("an event");
        world.time.sleep(WAY).await;
        let row = stored(world.publish(1, segment("v", 7, "a"), 1).await);
        world.time.sleep(WAY).await;
        let (tenant, name) = before.names();
        let counters = Counters { rev: before.counters().rev + 1, ..before.counters() };
        let gone = Entry::Gone { tenant: tenant.clone(), name: name.clone(), counters };
        world.store(0).write_entry(gone, before.counters().rev).await.expect("it goes here");
        let once = alive(before.counters());
        world.store(1).write_entry(once.clone(), before.counters().rev).await.expect("it is changed there");
        let twice = alive(once.counters());
        world.store(1).write_entry(twice.clone(), once.counters().rev).await.expect("and again");
        // Its records were forgotten with it: they are read again at once, and not when all are.
        for span in [2 * WAY, HOUR] {
            world.time.sleep(span).await;
            assert!(world.store(0).shared().expect("a cluster").is_current());
            for node in [0, 1] {
                assert_eq!(world.store(node).entries().await, Ok(vec![twice.clone()]));
                assert_eq!(world.readable(node).await, std::slice::from_ref(&row));
            }
        }
        stored(world.publish(0, segment("v", 8, "a"), 2).await);
    });
}

#[test]
fn a_changed_document_applies_behind_what_others_may_have_published_meanwhile() {
    let world = World::new(1);
    world.time.run(async {
        world.start().await;
        let event = alive(Counters::default());
        world.store(0).write_entry(event.clone(), 0).await.expect("an event");
        stored(world.publish(0, segment("v", 8, "a"), 1).await);
        let (tenant, name) = event.names();
        let document = Document::from_json(br#"{"pipelines":["b","a"]}"#).expect("a document");
        let origin = Arc::clone(&world.nodes[0].process().expect("it runs").origin);
        let (live, _) = origin.control.put(tenant, name, document).await.expect("it is changed");
        // Two segments of 2 s until others' are heard of here, and this there.
        assert_eq!(live.event().rules.last().expect("rules").effective_from, 8 + 1 + 2);
    });
}
