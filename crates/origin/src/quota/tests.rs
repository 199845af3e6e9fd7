use headwater_model::event::{Counters, Entry, Event};
use headwater_model::row::EventId;
use headwater_store::conformance::{body, claim, loose};
use headwater_store::disk::simulated::Simulated;
use headwater_store::log::{Log, Options};
use headwater_store::stamp::SystemClock;

use super::*;

fn sport() -> Tenant {
    "sport".parse().unwrap()
}

/// A meter over a store with an event of the tenant `sport`.
async fn meter() -> (Arc<Meter>, Arc<Log>) {
    let disk = Simulated::new(1);
    let catalog = Arc::new(Catalog::default());
    let log = Log::open(Options::default(), Arc::new(SystemClock::default()), disk, Arc::clone(&catalog) as _).unwrap();
    let id = EventId(7);
    let event = Event::new(id, sport(), "final".parse().unwrap(), Default::default(), Counters::default());
    log.write_entry(Entry::Alive(Box::new(event)), 0).await.unwrap();
    (Arc::new(Meter::new(log.clone(), catalog, [sport()].iter())), log)
}

fn game() -> EventName {
    "final".parse().unwrap()
}

async fn store(log: &Log, path: &str, length: usize) {
    let body = body(1, length);
    log.publish(claim(loose(path, "a"), &body, log.stamp()), body).await.unwrap();
}

#[tokio::test]
async fn uploads_in_progress_count_until_they_end() {
    let (meter, log) = meter().await;
    let quotas = Quotas { bytes: Some(1000), objects: Some(3), ..Quotas::default() };
    let reserve = |length, replaced| meter.reserve((&sport(), &game()), &quotas, length, || replaced);
    store(&log, "one", 400).await;
    let first = reserve(Some(500), None).unwrap();
    let refused = reserve(Some(101), None).err().unwrap();
    assert_eq!((refused.used, refused.most, refused.wanted), (900, 1000, 101));
    assert!(reserve(Some(100), None).is_ok(), "what was given back is free");
    let mut unknown = reserve(None, None).unwrap().unwrap();
    assert!(unknown.grow(101).is_err() && unknown.grow(100).is_ok());
    assert_eq!(reserve(Some(0), None).err().unwrap().quota, Quota::Objects);
    drop(first);
    assert!(reserve(Some(501), None).is_err(), "one byte too many is held by the other");
    drop(unknown);
    assert!(reserve(Some(600), None).is_ok());
}

#[tokio::test]
async fn a_replacement_counts_by_what_it_adds() {
    let (meter, log) = meter().await;
    let quotas = Quotas { bytes: Some(1000), objects: Some(1), ..Quotas::default() };
    store(&log, "one", 900).await;
    assert!(meter.reserve((&sport(), &game()), &quotas, Some(1000), || Some(900)).is_ok());
    assert!(meter.reserve((&sport(), &game()), &quotas, Some(1001), || Some(900)).is_err());
    assert!(meter.reserve((&sport(), &game()), &quotas, Some(1), || None).is_err());
}

#[tokio::test]
async fn a_second_has_so_many_uploads_and_no_more() {
    let (meter, _log) = meter().await;
    let quotas = Quotas { per_second: Some(2), ..Quotas::default() };
    let at = |millis| meter.pass(&sport(), &quotas, Duration::from_millis(millis));
    assert!(at(0).is_ok() && at(0).is_ok());
    let problem = at(10).unwrap_err().problem();
    assert_eq!(problem.status.as_u16(), 429);
    assert_eq!(problem.headers[0].1, "1");
    assert!(at(510).is_ok() && at(511).is_err() && at(5000).is_ok() && at(5000).is_ok() && at(5000).is_err());
    assert!(meter.pass(&sport(), &Quotas::default(), Duration::ZERO).is_ok());
}

#[test]
fn a_refusal_names_the_quota_its_value_what_is_in_use_and_the_remedy() {
    let quotas = Quotas { events: Some(3), ..Quotas::default() };
    let problem = quotas.one_more(Quota::Events, &sport(), 3).unwrap_err().problem();
    assert_eq!((problem.status.as_u16(), problem.code), (507, "quota-events"));
    assert_eq!(problem.field.as_deref(), Some("max_events"));
    for word in ["sport", "max_events = 3", "3 in use", "delete an event"] {
        assert!(problem.detail.contains(word), "{word}: {}", problem.detail);
    }
    let alone = Exceeded::alone(Quota::Bytes, &sport(), 10, Some(11)).problem();
    assert_eq!((alone.status.as_u16(), alone.code), (413, "quota-bytes"));
    assert!(quotas.one_more(Quota::Events, &sport(), 2).is_ok());
}

#[tokio::test]
async fn an_event_has_quotas_of_its_own() {
    let (meter, log) = meter().await;
    let quotas = Quotas { event_bytes: Some(1000), event_objects: Some(2), ..Quotas::default() };
    store(&log, "one", 600).await;
    let (game, other): (EventName, EventName) = (game(), "other".parse().unwrap());
    let reserve = |event, length| meter.reserve((&sport(), event), &quotas, Some(length), || None);
    let refused = reserve(&game, 401).err().unwrap();
    assert_eq!((refused.quota, refused.used, refused.event.clone()), (Quota::EventBytes, 600, Some(game.clone())));
    let problem = refused.problem();
    assert_eq!((problem.status.as_u16(), problem.code), (507, "quota-event-bytes"));
    for word in ["max_event_bytes = 1000", "600 in use by event `final`", "at least 401"] {
        assert!(problem.detail.contains(word), "{word}: {}", problem.detail);
    }
    let _held = reserve(&game, 400).unwrap();
    assert_eq!(reserve(&game, 0).err().unwrap().quota, Quota::EventObjects);
    let _fits = reserve(&other, 1000).unwrap();
    assert!(reserve(&other, 1).is_err(), "what is on its way counts, event by event");
}
