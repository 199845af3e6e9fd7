//! Import into another store.

use headwater_media::ClipRendition;
use serde_json::{Value, json};

use crate::game::{LAST, RENDITIONS, command, numbers, published, run, text};
use crate::minio::Minio;
use crate::player::frames;
use crate::stall::Stall;
use crate::support::program::Program;
use crate::support::{Event, Server, eventually, get, http, media};

/// Every number of every rendition is answered as by the other origin.
#[track_caller]
fn check_same(left: &Event, right: &Event) {
    for id in RENDITIONS {
        for name in (0..=LAST).map(|number| format!("{number}.m4s")).chain(["init.mp4".to_owned()]) {
            let [left, right] = [left, right].map(|event| get(format!("{}/{id}/{name}", event.deliver)));
            assert_eq!((left.status, left.outcome()), (right.status, right.outcome()), "{id}/{name}");
            for header in ["etag", "headwater-pipeline", "headwater-defects", "headwater-segment", "cache-control"] {
                assert_eq!(left.header(header), right.header(header), "{id}/{name}: {header}");
            }
            assert!(left.body == right.body, "{id}/{name}");
        }
    }
}

fn document(event: &Event) -> Value {
    let mut document = event.read_document();
    document["dvr_window_s"] = Value::Null;
    document
}

#[test]
fn imported_into_another_store_every_etag_matches() {
    let (from, to) = (Server::start(), Server::start());
    let game = published(&from, "game");
    let folder = from.folder().join("export");
    run(&mut command(&from, &["event", "export", "game", text(&folder), "--json"])).json();

    let report = run(&mut command(&to, &["event", "import", text(&folder), "--json"])).json();
    assert_eq!(report["objects"], json!((numbers().count() + 1) * RENDITIONS.len()), "{report}");
    assert_eq!(report["ended"], json!(true), "{report}");
    let copy = Event::at(&to, "game", 0, 1920);
    check_same(&game, &copy);
    assert_eq!(document(&game), document(&copy));
    let facts = |event: &Event| {
        let mut facts = ["masks", "notifications"].map(|kind| get(format!("{}/{kind}", event.document)).json());
        for fact in facts.iter_mut().flat_map(|facts| facts.as_array_mut().expect("a list")) {
            (fact["id"], fact["rev"]) = (Value::Null, Value::Null);
        }
        facts
    };
    assert_eq!(facts(&game), facts(&copy));

    // Again, and after a restart: nothing changes.
    run(&mut command(&to, &["event", "import", text(&folder), "--json"])).json();
    assert_eq!(facts(&game), facts(&copy));
    let to = to.kill_and_restart();
    check_same(&game, &Event::at(&to, "game", 0, 1920));
}

#[test]
fn an_export_travels_by_bucket_and_under_another_name() {
    let (from, to) = (Server::start(), Server::start());
    let game = published(&from, "game");
    let minio = Minio::start(from.folder());
    let place = minio.place("a/b");
    run(minio.environment(&mut command(&from, &["event", "export", "game", &place]))).text();
    let import = ["event", "import", &place, "--as", "live/final", "--dvr-window", "100000", "--json"];
    let report = run(minio.environment(&mut command(&to, &import))).json();
    assert_eq!((&report["event"], &report["dvr_window_s"]), (&json!("live/final"), &json!(100_000)), "{report}");
    check_same(&game, &Event::at(&to, "final", 0, 1920));
}

#[test]
fn what_is_not_what_the_manifest_says_is_not_sent() {
    let (from, to) = (Server::start(), Server::start());
    published(&from, "game");
    let folder = from.folder().join("export");
    let import = ["event", "import", text(&folder)];
    run(&mut command(&to, &import)).fails(&["no directory"]);
    run(&mut command(&from, &["event", "export", "game", text(&folder), "--json"])).json();
    let file = folder.join("audio/8.m4s");
    let mut bytes = std::fs::read(&file).expect("a file");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&file, bytes).expect("written");
    run(&mut command(&to, &import)).fails(&["audio/8.m4s", "not what the manifest says", "event export"]);
    get(Event::at(&to, "game", 0, 1920).document).expect(404);
    std::fs::rename(folder.join("manifest.json"), folder.join("manifest.partial.json")).expect("renamed");
    run(&mut command(&to, &import)).fails(&["interrupted"]);
}

#[test]
fn a_different_event_of_the_name_is_left_alone() {
    let (from, to) = (Server::start(), Server::start());
    published(&from, "game");
    let folder = from.folder().join("export");
    run(&mut command(&from, &["event", "export", "game", text(&folder), "--json"])).json();
    let there = Event::new(&to, "game", json!({}));
    let before = there.read_document();
    run(&mut command(&to, &["event", "import", text(&folder)])).fails(&["live/game", "different event", "--as"]);
    assert_eq!(there.read_document(), before);
    let unknown = ["event", "import", text(&folder), "--as", "nobody/game"];
    run(&mut command(&to, &unknown)).fails(&["Unknown tenant"]);
    let short = ["event", "import", text(&folder), "--as", "live/short", "--dvr-window", "1"];
    run(&mut command(&to, &short)).fails(&["--dvr-window 1", "give more"]);
    http::get(Event::at(&to, "short", 0, 1920).document).expect(404);
}

#[test]
fn an_import_that_was_killed_half_way_is_simply_run_again() {
    let (from, to) = (Server::start(), Server::start());
    let game = published(&from, "game");
    let folder = from.folder().join("export");
    run(&mut command(&from, &["event", "export", "game", text(&folder), "--json"])).json();
    // An answer has some hundred bytes: it dies among the segments.
    let stall = Stall::before(to.publish_address(), 3_000);
    let import = ["event", "import", text(&folder), "--jobs", "2", "--publish", &stall.url];
    let mut killed = Program::start(&mut command(&to, &import), &from.folder().join("killed.log"));
    stall.wait();
    assert!(killed.ended().is_none(), "{}", killed.said());
    killed.kill();
    let copy = Event::at(&to, "game", 0, 1920);
    assert_eq!(copy.read_document()["inspect"], json!("off"), "it was receiving");
    run(&mut command(&to, &["event", "import", text(&folder), "--json"])).json();
    check_same(&game, &copy);
    assert_eq!(document(&game), document(&copy));
}

#[test]
fn segments_named_by_time_are_exported_played_and_imported() {
    let (from, to) = (Server::start(), Server::start());
    let changes = json!({"retry_deadline_ms": 500, "media": "$RepresentationID$/t$Time$.m4s",
        "renditions": [{"id": "v360"}, {"id": "audio"}]});
    let game = media::event(&from, "game", changes);
    let clip = ["v360", "audio"].map(media::rendition);
    let path = |id: &str, scale: u64, number: u64| format!("{id}/t{}.m4s", number * 48 * scale / 25);
    let scale = |rendition: &ClipRendition| {
        let init = rendition.init();
        u64::from(headwater_media::Init::read(init).expect("an init segment").main().timescale)
    };
    let numbers = || (0..=6).filter(|number| *number != 3);
    for rendition in &clip {
        media::put_init(&game, "a", rendition).expect(201);
        for number in numbers() {
            let path = path(rendition.id(), scale(rendition), number);
            http::put(format!("{}/@a/{path}", game.publish), media::segment(rendition, number)).expect(201);
        }
    }
    http::post(format!("{}/end", game.document), "").expect(200);
    let folder = from.folder().join("export");
    eventually("every choice has closed", || {
        let report = run(&mut command(&from, &["event", "export", "game", text(&folder), "--json"])).json();
        (report["whole"] == json!(true)).then_some(())
    });
    for playlist in ["manifest.mpd", "master.m3u8"] {
        assert_eq!(frames(text(&folder.join(playlist)), "v"), 48 * numbers().count() as u64, "{playlist}");
    }
    run(&mut command(&to, &["event", "import", text(&folder), "--json"])).json();
    let copy = Event::at(&to, "game", 0, 1920);
    for rendition in &clip {
        for number in numbers() {
            let path = path(rendition.id(), scale(rendition), number);
            let [left, right] = [&game, &copy].map(|event| get(format!("{}/{path}", event.deliver)).expect(200));
            assert_eq!(left.header("etag"), right.header("etag"), "{path}");
        }
    }
}
