//! Two datacentres with nodes and processes in each: what is published in one is served in both; one dies in mid-event
//! and the other goes on; when it is back, with its disks or without, both serve the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_cluster::{Cluster, Guard, Options};
use serde_json::json;

use crate::fleet::{Fleet, Node, fresh_name, parts, start_own};
use crate::load::{End, patiently};
use crate::support::event::NEXT;
use crate::support::{Event, eventually, get, let_pass, now_ms, post};

/// Segments before the east dies, without it, and after it is back.
const BEFORE: u64 = 4;
const WITHOUT: u64 = 6;
const AFTER: u64 = 6;
/// The last of them, when all is as before.
const SETTLED: u64 = 3;
/// What was kept for nodes that were away is sent when they are seen, and found by looking at everything.
const CATCHES_UP: Duration = Duration::from_secs(150);
const KEYSPACE: &str = "regions";
const KEYSPACES: [&str; 2] = ["regions_control", "regions_media"];
const COPIES: [(&str, u8); 2] = [("dc1", 2), ("dc2", 2)];

/// The processes of a region.
struct Site {
    publisher: Node,
    reader: Node,
}

impl Site {
    fn start(cluster: &Cluster, datacentre: &str) -> Self {
        let mut fleet = Fleet::with(cluster, datacentre, KEYSPACE, &COPIES);
        Self { publisher: fleet.publisher(), reader: fleet.deliverer() }
    }

    fn restart(self) -> Self {
        Self { publisher: self.publisher.kill_and_restart(), reader: self.reader.kill_and_restart() }
    }
}

fn members() -> Options {
    Options { datacentres: 2, nodes: 2, zones: 0, servers: 0, ..parts() }
}

const EAST: [&str; 2] = ["1", "2"];
const WEST: [&str; 2] = ["3", "4"];

/// The `nodes` of a site at once, and its processes with them.
fn kill(cluster: &Guard, nodes: [&str; 2], site: &mut Site) {
    site.publisher.server.kill();
    site.reader.server.kill();
    nodes.iter().for_each(|node| cluster.kill(node).expect("a node"));
}

/// The nodes that do not run start again.
fn restart(cluster: &Guard) {
    let up = Cluster::up(cluster.folder(), &members(), &mut |step| eprintln!("cluster: {step}"));
    drop(up.expect("the nodes start"));
}

/// What a reader at the live edge got of each segment: text, region, `ETag`.
type Got = BTreeMap<u64, [String; 3]>;

/// Asks for segments from `first` on, each when the one before is due, until told; every one must come.
fn follow(event: &Event, first: u64, ends: &AtomicBool) -> Got {
    let mut got = Got::new();
    for number in first.. {
        wait_until(event.expected_ms(number - 1) + 200);
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let reply = patiently(&event.segment(number)).expect(200);
        got.insert(number, [reply.text(), reply.header("headwater-region"), reply.header("etag")]);
    }
    got
}

/// Publishes segments of `pipeline` from `first` on, each when it is due, until told.
fn publish(event: &Event, pipeline: &str, first: u64, ends: &AtomicBool) {
    for number in first.. {
        wait_until(event.expected_ms(number) - 300);
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("{pipeline} {number}");
        let mut tries = 0;
        let reply = eventually("an upload", || {
            tries += 1;
            Some(event.put(pipeline, number, &text)).filter(|reply| reply.status != 503)
        });
        // What was refused may have been stored after all.
        assert!(reply.status == 201 || tries > 1 && reply.status == 200, "{reply:?}");
    }
}

fn wait_until(ms: i64) {
    let_pass(Duration::from_millis(u64::try_from(ms - now_ms()).unwrap_or(0)));
}

/// The next segment whose reader still can be held.
fn next(event: &Event) -> u64 {
    (NEXT..).find(|number| event.expected_ms(*number - 1) > now_ms() + 500).expect("there is always one")
}

#[test]
fn a_region_dies_the_other_goes_on_and_both_serve_the_same_afterwards() {
    let cluster = start_own("regions", &members());
    let (mut east, mut west) = (Site::start(&cluster, "dc1"), Site::start(&cluster, "dc2"));
    // Nodes start beside the event and slow it down.
    let document = json!({
        "pipelines": ["a", "b"], "prefer_wait_ms": 4000, "hold_max_ms": 12_000, "retry_deadline_ms": 20_000,
    });
    let event = Event::with_duration(&east.publisher.server, &fresh_name("regions"), (3, 1), document);
    let (into_west, in_west) = (event.on(&west.publisher.server), event.on(&west.reader.server));
    let in_east = event.on(&east.reader.server);
    for at in [&in_east, &into_west, &in_west] {
        eventually("the event is known", || (get(&at.document).status == 200).then_some(()));
    }
    let first = next(&event);
    // Readers are held for pipelines that publish.
    event.put("a", first - 1, "earlier").expect(201);
    into_west.put("b", first - 1, "earlier").expect(201);
    let (published, read) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // A pipeline for each region, as operators run them. The first of the order is chosen in both.
        let publisher = scope.spawn(|| publish(&into_west, "b", first, &published));
        let western = scope.spawn(|| follow(&in_west, first, &read));
        let _ends = [End(&published), End(&read)];
        let eastern = while_published(&event, &in_east, first, BEFORE);
        kill(&cluster, EAST, &mut east);
        let died = first + BEFORE;
        wait_until(event.expected_ms(died + WITHOUT));
        post(format!("{}/flush", into_west.document), "").expect(200);
        restart(&cluster);
        let mut east = east.restart();
        let (event, in_east) = (event.on(&east.publisher.server), event.on(&east.reader.server));
        let back = next(&event);
        let later = while_published(&event, &in_east, back, AFTER);
        read.store(true, Ordering::Relaxed);
        let western = western.join().expect("no panic");
        // A pipeline that comes back is not waited for until it has published two, and nodes that have just started are
        // slow: for some segments each region may choose what it has, and keeps to it.
        let settled = back + AFTER - SETTLED;
        let same = |number: &u64| !(back..settled).contains(number);
        for (number, [text, region, etag]) in western.iter().filter(|(number, _)| same(number)) {
            let from_east = (first..died).contains(number) || (settled..back + AFTER).contains(number);
            if from_east || (died..=died + WITHOUT).contains(number) {
                let expected = if from_east { ("a", "dc1") } else { ("b", "dc2") };
                assert_eq!((text, &**region), (&format!("{} {number}", expected.0), expected.1));
            }
            let in_the_east = eastern.get(number).or_else(|| later.get(number));
            assert!(in_the_east.is_none_or(|[_, _, other]| other == etag), "{number}: {in_the_east:?}, {etag}");
        }
        let numbers = || western.keys().copied().filter(same);
        agree(&in_east, &in_west, numbers());
        published.store(true, Ordering::Relaxed);
        publisher.join().expect("no panic");

        east.publisher.server.kill();
        the_east_comes_back_with_nothing(&cluster);
        // The reader that has lived on knows what there was; those that start read it from the west.
        agree(&in_east, &in_west, numbers());
        let east = east.restart();
        agree(&event.on(&east.reader.server), &in_west, numbers());
        // Now the east has it.
        kill(&cluster, WEST, &mut west);
        let east = east.restart();
        let (in_east, into_east) = (event.on(&east.reader.server), event.on(&east.publisher.server));
        for number in numbers() {
            assert_eq!(patiently(&in_east.segment(number)).expect(200).header("etag"), western[&number][2], "{number}");
        }
        post(format!("{}/flush", into_east.document), "").expect(200);
    });
}

fn the_east_comes_back_with_nothing(cluster: &Guard) {
    EAST.iter().for_each(|node| cluster.kill(node).expect("a node"));
    EAST.iter().for_each(|node| cluster.lose(node, &KEYSPACES).expect("files to remove"));
    restart(cluster);
}

/// Publishes `count` segments from `first` on in the east, and reads them there.
fn while_published(event: &Event, reader: &Event, first: u64, count: u64) -> Got {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| publish(event, "a", first, &ends));
        let got = scope.spawn(|| follow(reader, first, &ends));
        let end = End(&ends);
        wait_until(event.expected_ms(first + count - 1));
        drop(end);
        got.join().expect("no panic")
    })
}

/// Both answer every one of `numbers` alike, with the change that was made while one was dead; neither calls any absent.
fn agree(one: &Event, other: &Event, numbers: impl Iterator<Item = u64>) {
    let started = Instant::now();
    for number in numbers {
        loop {
            let seen = [one.get(number), other.get(number)].map(|reply| {
                let header = |name| reply.header(name);
                (reply.status, reply.text(), header("etag"), header("headwater-cache-version"))
            });
            if seen[0] == seen[1] && seen[0].0 == 200 && seen[0].3 == "2" {
                break;
            }
            assert!(started.elapsed() < CATCHES_UP, "{number}: {seen:?}");
            assert!(seen.iter().all(|one| [200, 503].contains(&one.0)), "{number}: {seen:?}");
            let_pass(Duration::from_millis(500));
        }
    }
    println!("both serve the same {:?} after the last segment", started.elapsed());
}
