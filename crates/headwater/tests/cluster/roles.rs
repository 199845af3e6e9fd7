//! What one process takes in, all others serve: segments, manifests, masks, notifications, flushes, documents, and what is
//! still arriving.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fleet::{Fleet, fresh_name};
use crate::support::event::NEXT;
use crate::support::raw::Piece;
use crate::support::{Event, Raw, eventually, get, http, let_pass, media, post};

/// Within this every node knows (contract §7).
const KNOWN: Duration = Duration::from_secs(1);
/// Two cores run three Cassandra nodes, the servers and the test: pauses of a collector or a disk are no broken promise. A
/// node that hears nothing reads everything anew after 90 s, which is far more.
const SLACK: Duration = Duration::from_secs(9);
const FOR_EVER: &str = "public, max-age=31536000, immutable";

#[test]
fn a_held_request_is_woken_by_an_upload_to_another_process() {
    let mut fleet = Fleet::new();
    let publisher = fleet.publisher();
    let (hearing, deaf) = (fleet.deliverer(), fleet.deaf().deliverer());
    let document = json!({"hold_max_ms": 20_000, "retry_deadline_ms": 60_000});
    let event = Event::new(&publisher.server, &fresh_name("held"), document);
    event.put("a", NEXT - 1, "earlier").expect(201);
    let readers = [event.on(&hearing.server), event.on(&deaf.server)];
    for reader in &readers {
        eventually("the event is known", || (reader.get(NEXT - 1).status == 200).then_some(()));
    }
    let waiting = readers.each_ref().map(|reader| reader.get_meanwhile(NEXT));
    let_pass(Duration::from_millis(500));
    event.put("a", NEXT, "segment").expect(201);
    let published = Instant::now();
    for reader in waiting {
        let reply = reader.join().expect("no panic").expect(200);
        assert_eq!((reply.text(), reply.outcome()), ("segment".to_owned(), "held".to_owned()));
        assert_eq!(reply.header("cache-control"), FOR_EVER);
        let late = reply.at.saturating_duration_since(published);
        assert!(late < KNOWN + SLACK, "{late:?} after the publisher was answered");
    }
}

#[test]
fn masks_notifications_flushes_and_documents_reach_every_process_within_a_second() {
    let mut fleet = Fleet::new();
    let publisher = fleet.publisher();
    let other = fleet.node("all", &[]);
    let deliverers = [fleet.deliverer(), fleet.deaf().deliverer()];
    let event = Event::new(&publisher.server, &fresh_name("control"), json!({"prefer_wait_ms": 50}));
    for pipeline in ["a", "b"] {
        event.put(pipeline, NEXT - 1, pipeline).expect(201);
    }
    let readers = [event.on(&deliverers[0].server), event.on(&deliverers[1].server), event.on(&other.server)];
    for reader in &readers {
        eventually("the choice", || (reader.get(NEXT - 1).text() == "a").then_some(()));
    }
    // On whichever node the operator asks; of two who change the event at once none is lost.
    let on = event.on(&other.server);
    let mask = json!({"pipeline": "a", "from": 0, "reason": "black"}).to_string();
    let mask = post(format!("{}/masks", on.document), mask).expect(200).json();
    within_a_second(&readers, |reader| reader.get(NEXT - 1).text() == "b");
    let notify = json!({"name": "ad-break", "value": "30s", "from": NEXT - 1}).to_string();
    let (flushed, notified) = std::thread::scope(|scope| {
        let flush = scope.spawn(|| post(format!("{}/flush", event.document), "").status);
        let notify = scope.spawn(|| post(format!("{}/notifications", on.document), notify).status);
        (flush.join().expect("no panic"), notify.join().expect("no panic"))
    });
    assert_eq!((flushed, notified), (200, 200));
    within_a_second(&readers, |reader| {
        let reply = reader.get(NEXT - 1);
        reply.header("headwater-cache-version") == "2" && reply.header("headwater-notifications").contains("30s")
    });
    http::delete(format!("{}/masks/{}", event.document, mask["id"])).expect(204);
    within_a_second(&readers, |reader| reader.get(NEXT - 1).text() == "a");
    event.put_document(&event.changed(json!({"dvr_window_s": 1, "hold_max_ms": 1})));
    within_a_second(&readers, |reader| reader.get(1).outcome() == "expired");
    http::delete(&on.document).expect(204);
    within_a_second(&readers, |reader| reader.get(NEXT - 1).outcome() == "unknown");
}

/// Asks all until each says yes, which must be soon.
#[track_caller]
fn within_a_second(readers: &[Event], holds: impl Fn(&Event) -> bool) {
    let changed = Instant::now();
    for reader in readers {
        while !holds(reader) {
            assert!(changed.elapsed() < KNOWN + SLACK, "{} does not know after {KNOWN:?} and more", reader.deliver);
            let_pass(Duration::from_millis(20));
        }
    }
    println!("known everywhere after {:?}", changed.elapsed());
}

#[test]
fn manifests_init_segments_and_restarts() {
    let mut fleet = Fleet::new();
    let publisher = fleet.publisher();
    let reader = fleet.deliverer();
    let event = media::event(&publisher.server, &fresh_name("media"), json!({}));
    let rendition = media::rendition("v180");
    media::put_init(&event, "a", &rendition).expect(201);
    let segment = media::segment(&rendition, NEXT);
    for earlier in NEXT - 4..NEXT {
        media::put(&event, "a", &rendition, earlier, media::segment(&rendition, earlier)).expect(201);
    }
    media::put(&event, "a", &rendition, NEXT, segment.clone()).expect(201);
    for version in 1..=3 {
        http::put(format!("{}/@a/manifest.mpd", event.publish), format!("version {version}")).expect(201);
    }
    let on = event.on(&reader.server);
    let url = format!("{}/v180/{NEXT}.m4s", on.deliver);
    eventually("the manifest", || (get(format!("{}/manifest.mpd", on.deliver)).text() == "version 3").then_some(()));
    let reply = get(&url).expect(200);
    assert!(reply.body == segment && reply.header("cmsd-static").contains("ot=v"), "{}", reply.header("cmsd-static"));
    let etag = reply.header("etag");
    // Some may be late on a busy machine, and are read from the cluster then.
    let status = |number| get(format!("{}/v180/{number}.m4s", on.deliver)).expect(200).header("cache-status");
    let first = (NEXT - 4..NEXT).map(status).collect::<Vec<_>>();
    assert!(first.iter().any(|status| status == "headwater; hit; detail=memcached"), "{first:?}");
    assert_eq!(status(NEXT - 1), "headwater; hit; detail=memory");
    let reader = reader.kill_and_restart();
    let on = event.on(&reader.server);
    let again = get(format!("{}/v180/{NEXT}.m4s", on.deliver)).expect(200);
    assert!(again.body == segment && again.header("etag") == etag);
    assert!(get(format!("{}/v180/init.mp4", on.deliver)).expect(200).body == rendition.init());
}

#[test]
fn what_is_arriving_at_one_process_streams_from_another() {
    let mut fleet = Fleet::new();
    let publisher = fleet.publisher();
    let reader = fleet.deliverer();
    let document = json!({
        "renditions": [{"id": "v", "low_latency": true, "timescale": 12_800}],
        "hold_max_ms": 20_000, "retry_deadline_ms": 60_000, "prefer_wait_ms": 300,
    });
    let event = Event::new(&publisher.server, &fresh_name("arriving"), document);
    event.put("a", NEXT - 3, "earlier").expect(201);
    let on = event.on(&reader.server);
    eventually("the event is known", || (on.get(NEXT - 3).status == 200).then_some(()));
    let path = format!("/live/{}/v/{NEXT}.m4s", event.name);
    let begin = |path: &str| {
        let head = format!("PUT {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        Raw::send(publisher.server.publish_address(), &head)
    };
    let send = |upload: &mut Raw, bytes: &[u8]| {
        upload.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    };
    let ask = || Raw::send(reader.server.deliver_address(), &format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    let chunks = media::chunks(NEXT);

    // One that dies is cut off, and never was.
    let mut dying = begin(&format!("/live/{}/@b/v/{NEXT}.m4s", event.name));
    send(&mut dying, &chunks[0]);
    let mut cut = ask();
    let (status, _) = cut.read_head();
    assert_eq!(status, 200);
    expect(&mut cut, &chunks[0]);
    drop(dying);
    assert_eq!(cut.read_piece(), Piece::Broken);

    let mut upload = begin(&format!("/live/{}/@a/v/{NEXT}.m4s", event.name));
    send(&mut upload, &chunks[0]);
    let mut follower = ask();
    let (status, head) = follower.read_head();
    assert_eq!(status, 200, "{head}");
    expect(&mut follower, &chunks[0]);
    for chunk in &chunks[1..] {
        send(&mut upload, chunk);
        expect(&mut follower, chunk);
    }
    upload.write(b"0\r\n\r\n");
    let (status, head) = upload.read_head();
    assert_eq!(status, 201, "{head}");
    assert_eq!(follower.read_piece(), Piece::End);
    let whole =
        eventually("the whole", || Some(on.get(NEXT)).filter(|reply| reply.header("cache-control") == FOR_EVER));
    assert!(whole.expect(200).body == chunks.concat());
}

/// Exactly these bytes come next, in however many pieces.
#[track_caller]
fn expect(follower: &mut Raw, bytes: &[u8]) {
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        match follower.read_piece() {
            Piece::Data(data) => got.extend(data),
            other => panic!("{other:?} after {} of {} bytes", got.len(), bytes.len()),
        }
    }
    assert!(got == bytes, "other bytes");
}
