//! Damage of every kind is found, named and mended, and beside engines at work none is seen that is not there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater_cassandra::survey::{Finding, Mend, Progress, Rate, Repaired, Survey, What};
use headwater_cassandra::{Cassandra, Options};
use headwater_model::event::{Counters, Entry};
use headwater_model::row::{EventId, Keep, Key, Object, Row};
use headwater_store::codec::encode_row;
use headwater_store::conformance::{EVENT, Heard, body, claim, event, init, loose, segment};
use headwater_store::stamp::SystemClock;
use headwater_store::{Published, Store};
use scylla::client::session::Session;

use crate::support::{self, fresh, open, session};

/// An event that no entry names.
const STRAY: EventId = EventId(99);

struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _what: &'static str, _steps: u64) {}
    fn done(&self, _steps: u64) {}
}

async fn survey(options: &Options) -> Survey {
    // What was begun has ended soon: these nodes are up.
    let options = Options { publish_budget: Duration::from_secs(3), ..options.clone() };
    let survey = Survey::open(options, Rate::default(), Arc::new(SystemClock::default()), Arc::new(Quiet)).await;
    survey.unwrap_or_else(|error| panic!("no survey: {error}"))
}

async fn stored(store: &dyn Store, key: Key, seed: u64) -> Row {
    let bytes = body(seed, 300_000);
    let claim = claim(key, &bytes, store.stamp());
    match store.publish(claim, bytes).await {
        Ok(Published::Stored(row)) => row,
        other => panic!("not stored: {other:?}"),
    }
}

async fn enter(store: &Cassandra, id: EventId, name: &str) -> Entry {
    let entry = Entry::Alive(Box::new(event(id, name, Counters::default())));
    store.write_entry(entry.clone(), 0).await.expect("a new event");
    entry
}

/// A finding in a few words: what, of which event, what of it, whose.
fn line(finding: &Finding) -> String {
    let Some(of) = &finding.subject else { return format!("{:?} {:?}", finding.what, finding.parts) };
    let rendition = of.rendition.as_ref().map(|rendition| rendition.as_str());
    let number = of.number.map(|number| number.to_string());
    let pipeline = of.pipeline.as_ref().map(|pipeline| pipeline.as_str());
    let words = [of.event.as_deref(), rendition, number.as_deref(), of.path.as_deref(), pipeline];
    let words: Vec<_> = words.into_iter().flatten().collect();
    format!("{:?} {}", finding.what, words.join(" "))
}

fn lines(findings: &[Finding]) -> Vec<String> {
    let mut lines: Vec<_> = findings.iter().map(line).collect();
    lines.sort();
    lines
}

struct Vandal {
    session: Session,
    keyspace: String,
}

impl Vandal {
    async fn run(&self, statement: &str, values: impl scylla::serialize::row::SerializeRow) {
        let statement = statement.replace("control.", &format!("{}_control.", self.keyspace));
        let statement = statement.replace("media.", &format!("{}_media.", self.keyspace));
        support::run(&self.session, &statement, values).await;
    }

    async fn delete_chunk(&self, row: &Row, part: i32) {
        for table in ["chunks", "standing"] {
            let values = (row.version.0.to_be_bytes(), part);
            self.run(&format!("DELETE FROM media.{table} WHERE version = ? AND part = ?"), values).await;
        }
    }

    /// Writes a record as an engine would not: without an end.
    async fn insert(&self, row: &Row) {
        let Object::Segment { rendition, number } = &row.key.object else { panic!("a segment") };
        let mut bytes = Vec::new();
        encode_row(row, &mut bytes);
        let place = (EVENT.0.cast_signed(), format!("s:{rendition}"), (number ^ (1 << 63)).cast_signed());
        let values = (place.0, place.1, place.2, format!("{}@dc1", row.key.pipeline), bytes);
        let insert = "INSERT INTO control.rows (event, shelf, number, name, pipeline, row) VALUES (?, ?, ?, '', ?, ?)";
        self.run(insert, values).await;
    }

    async fn unlist_segment(&self, number: i64, pipeline: &str) {
        let delete = "DELETE FROM control.listing WHERE event = ? AND shelf = 's:v' AND block = 0 AND number = ? \
                      AND name = '' AND pipeline = ?";
        self.run(delete, (EVENT.0.cast_signed(), i64::MIN + number, pipeline)).await;
    }
}

/// Everything that can go wrong, on a store with segments 0 to 5 of two pipelines, an init segment and two manifests.
async fn damage(store: &Cassandra, vandal: &Vandal) {
    let mut a = Vec::new();
    for number in 0..6 {
        a.push(stored(store, segment("v", number, "a"), number).await);
        stored(store, segment("v", number, "b"), number).await;
    }
    stored(store, init("v", "a"), 100).await;
    stored(store, loose("x.mpd", "a"), 101).await;
    let lost = stored(store, loose("lost.mpd", "a"), 102).await;
    for number in 0..3 {
        stored(store, Key { event: STRAY, ..segment("v", number, "a") }, number).await;
    }
    vandal.delete_chunk(&a[1], 1).await;
    vandal.delete_chunk(&lost, 0).await;
    vandal.unlist_segment(2, "a").await;
    vandal.run("DELETE FROM control.blocks WHERE event = ? AND shelf = 'i'", (EVENT.0.cast_signed(),)).await;
    let record = (EVENT.0.cast_signed(), i64::MIN + 4);
    let delete = "DELETE FROM control.rows WHERE event = ? AND shelf = 's:v' AND number = ? AND name = '' AND pipeline = 'b@dc1'";
    vandal.run(delete, record).await;
    let past = store.stamp().offset_nanos(-3_600_000_000_000);
    vandal.insert(&Row { keep: Keep::Until(past), ..a[5].clone() }).await;
    // Staged a year or so ago, in chunks of 64 KiB, and never recorded; the second will expire.
    let old = |seed: u128| (1_700_000_000_000_u128 << 84 | seed).to_be_bytes();
    let insert = "INSERT INTO media.chunks (version, part, bytes) VALUES (?, ?, 0x00)";
    vandal.run(insert, (old(1), 0)).await;
    vandal.run(insert, (old(1), 1)).await;
    vandal.run(&format!("{insert} USING TTL 7200"), (old(2), 0)).await;
    // The same where nothing expires, which the token tells.
    vandal.run(&insert.replace("chunks", "standing"), (old(1 << 83 | 3), 0)).await;
}

const FOUND: [&str; 9] = [
    "ChunksWithoutRecord Some(1)",
    "ChunksWithoutRecord Some(2)",
    "EventOver ",
    "ExpiredRecord live/game v 5 a",
    "ListingWithoutRecord live/game v 4 b",
    "MissingChunks live/game lost.mpd a",
    "MissingChunks live/game v 1 a",
    "UnlistedRecord live/game v 2 a",
    "UnlistedRecord live/game v a",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_every_kind_is_found_and_mended() {
    let options = Options { window_bytes: 0, dvr_bytes: 0, ..fresh().await };
    let store = open(&options, Arc::new(Heard::default())).await;
    enter(&store, EVENT, "game").await;
    let vandal = Vandal { session: session().await, keyspace: options.keyspace.clone() };
    damage(&store, &vandal).await;

    let survey = survey(&options).await;
    let dry = Mend { dry_run: true, ..Mend::default() };
    let Repaired { report, deeds, .. } = survey.repair(false, dry).await.expect("the cluster answers");
    assert_eq!(lines(&report.findings), FOUND, "{report:#?}");
    assert!(!report.whole && report.expiring == 1, "{report:#?}");
    let lost = report.findings.iter().find(|finding| line(finding).ends_with("v 1 a")).expect("it was found");
    assert_eq!((lost.parts, &*lost.missing, lost.confirmed), (Some(2), &[1][..], Some(true)));
    assert_eq!(lost.intact.iter().map(|pipeline| pipeline.as_str()).collect::<Vec<_>>(), ["b"]);
    let left = |deeds: &[headwater_cassandra::survey::Deed]| {
        // By partition, whatever that is.
        let left: BTreeSet<String> = deeds.iter().filter(|deed| !deed.mended).map(|deed| line(&deed.finding)).collect();
        left.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(left(&deeds).len(), 2, "{deeds:#?}");

    let repaired = survey.repair(false, Mend::default()).await.expect("the cluster answers");
    assert_eq!(lines(&repaired.report.findings), FOUND, "a dry run changes nothing");
    assert_eq!(left(&repaired.deeds), ["MissingChunks live/game lost.mpd a", "MissingChunks live/game v 1 a"]);
    let report = survey.check(true).await.expect("the cluster answers");
    assert_eq!(lines(&report.findings), [FOUND[5], FOUND[6]], "{report:#?}");
    assert!(report.payloads.objects > 0);

    let all = Mend { drop_lost: true, ..Mend::default() };
    let repaired = survey.repair(false, all).await.expect("the cluster answers");
    assert!(repaired.whole && left(&repaired.deeds).is_empty(), "{:#?}", repaired.deeds);
    let report = survey.check(true).await.expect("the cluster answers");
    assert_eq!((lines(&report.findings), report.whole), (vec![], true), "{report:#?}");
    after_the_repair(&store, &options, &vandal, &survey).await;
}

/// What the engine makes of it.
async fn after_the_repair(store: &Cassandra, options: &Options, vandal: &Vandal, survey: &Survey) {
    let rendition = headwater_model::Rendition::new("v").expect("a name");
    let rows = store.rows(EVENT, &rendition, 0..=9, 100).await.expect("rows can be listed");
    let numbers = |pipeline: &str| {
        let of = rows.iter().filter(|row| row.key.pipeline.as_str() == pipeline && row.size > 0);
        of.map(|row| row.key.object.clone()).collect::<Vec<_>>()
    };
    assert_eq!((numbers("a").len(), numbers("b").len()), (4, 5), "{rows:#?}");
    let dropped = rows.iter().find(|row| row.key == segment("v", 1, "a")).expect("what is left of it");
    assert!(dropped.is_removed(), "{dropped:?}");
    for row in rows.iter().filter(|row| row.size > 0) {
        store.read(row, 0..row.size).await.unwrap_or_else(|error| panic!("{row:?}: {error}"));
    }
    // Wrong bytes are only seen by who reads them.
    let row = stored(store, segment("v", 7, "a"), 7).await;
    let wrong = "INSERT INTO media.chunks (version, part, bytes) VALUES (?, 1, ?)";
    vandal.run(wrong, (row.version.0.to_be_bytes(), vec![0_u8; 300_000 - (256 << 10)])).await;
    let place = (EVENT.0.cast_signed(), i64::MIN + 60);
    let garbage =
        "INSERT INTO control.rows (event, shelf, number, name, pipeline, row) VALUES (?, 's:v', ?, '', 'a@dc1', 0x00)";
    vandal.run(garbage, place).await;
    let report = survey.check(false).await.expect("the cluster answers");
    assert_eq!(lines(&report.findings), ["UnreadableRecord live/game v 60 a"]);
    let report = survey.check(true).await.expect("the cluster answers");
    assert_eq!(lines(&report.findings), ["DamagedBytes live/game v 7 a", "UnreadableRecord live/game v 60 a"]);
    // What nobody can read keeps no process from starting, and nobody from the others. Who might delete what an event
    // that cannot be read still has does nothing.
    let garbage = "INSERT INTO control.events (tenant, name, rev, entry) VALUES ('live', 'broken@dc1', 1, 0x00)";
    vandal.run(garbage, ()).await;
    let all = Mend { drop_lost: true, ..Mend::default() };
    assert!(survey.repair(false, all).await.is_err_and(|error| error.to_string().contains("an event")));
    let listed =
        "INSERT INTO control.listing (event, shelf, block, number, name, pipeline) VALUES (?, 's:v', 0, ?, '', 'a')";
    vandal.run(listed, place).await;
    let anew = open(options, Arc::new(Heard::default())).await;
    let rows = anew.rows(EVENT, &rendition, 0..=99, 100).await.expect("rows can be listed");
    assert_eq!(rows.iter().filter(|row| row.size > 0).count(), 10, "{rows:#?}");
    assert_eq!(anew.entries().await.expect("entries can be read").len(), 1);
}

/// Publishes, replaces, removes and deletes until it is told to stop; how many rounds.
async fn busy(store: Arc<Cassandra>, stop: Arc<AtomicBool>) -> u64 {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) || round < 3 {
        for pipeline in ["a", "b"] {
            stored(&*store, segment("v", round, pipeline), round).await;
            let manifest = loose("x.mpd", pipeline);
            stored(&*store, manifest, round).await;
        }
        stored(&*store, loose("passing.bin", "a"), round).await;
        store.remove(loose("passing.bin", "a")).await.expect("removing succeeds");
        store.remove(segment("v", round, "b")).await.expect("removing succeeds");
        let passing = EventId(1000 + round);
        let entry = enter(&store, passing, &format!("passing-{round}")).await;
        stored(&*store, Key { event: passing, ..segment("v", round, "a") }, round).await;
        let (tenant, name) = entry.names();
        let (tenant, name) = (tenant.clone(), name.clone());
        let counters = Counters { rev: entry.counters().rev + 1, ..entry.counters() };
        let gone = Entry::Gone { tenant, name, counters };
        store.write_entry(gone, entry.counters().rev).await.expect("an event goes");
        round += 1;
    }
    round
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_an_engine_at_work_nothing_is_wrong_and_a_repair_takes_nothing_away() {
    let options = Options { window_bytes: 0, dvr_bytes: 0, ..fresh().await };
    let store = open(&options, Arc::new(Heard::default())).await;
    enter(&store, EVENT, "game").await;
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(busy(Arc::clone(&store), Arc::clone(&stop)));
    let survey = survey(&options).await;
    for round in 0..4 {
        let report = if round % 2 == 0 {
            survey.check(true).await.expect("the cluster answers")
        } else {
            let all = Mend { drop_lost: true, ..Mend::default() };
            survey.repair(false, all).await.expect("the cluster answers").report
        };
        // Of events that were deleted a minute ago media is left, and places at which objects were removed.
        let harmless = [What::EventOver, What::ListingWithoutRecord];
        let wrong: Vec<_> = report.findings.iter().filter(|finding| !harmless.contains(&finding.what)).collect();
        assert!(report.whole && wrong.is_empty(), "{wrong:#?}");
        assert!(report.records > 0);
    }
    stop.store(true, Ordering::Relaxed);
    let rounds = publisher.await.expect("it publishes");
    let rendition = headwater_model::Rendition::new("v").expect("a name");
    let rows = store.rows(EVENT, &rendition, 0..=u64::MAX, 10_000).await.expect("rows can be listed");
    assert_eq!(rows.len() as u64, 2 * rounds, "each segment and what is left of each");
    let standing = store.standing(EVENT, 1).await.expect("standing rows");
    let manifests = standing.iter().filter(|row| row.key.object == loose("x.mpd", "a").object).count();
    assert_eq!(manifests, 2, "{standing:#?}");
    for row in rows.iter().chain(&standing).filter(|row| row.size > 0) {
        store.read(row, 0..row.size).await.unwrap_or_else(|error| panic!("{row:?}: {error}"));
    }
}
