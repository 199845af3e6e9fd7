//! Export to a directory.

use serde_json::{Value, json};

use crate::game::{self, LAST, MASKED, MISSING, RENDITIONS, SHORT, command, numbers, published, run, text, tree};
use crate::player::frames;
use crate::stall::Stall;
use crate::support::program::Program;
use crate::support::{Server, get};

/// Frames of one segment of the content's video.
const FRAMES: u64 = 48;

fn manifest(folder: &std::path::Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).expect("a manifest")).expect("JSON")
}

#[test]
fn an_ended_event_is_exported_and_plays_from_its_directory() {
    let server = Server::start();
    let game = published(&server, "game");
    let folder = server.folder().join("export");
    let report = run(&mut command(&server, &["event", "export", "game", text(&folder), "--json"])).json();
    let media = numbers().count() * RENDITIONS.len();
    assert_eq!(report["segments"], json!(media), "{report}");
    assert_eq!(report["copied"], json!(media + RENDITIONS.len()), "{report}");
    assert_eq!(report["gaps"], json!({"masked": 3, "missing": 3}), "{report}");
    assert_eq!((&report["defective"], &report["whole"]), (&json!(3), &json!(true)), "{report}");

    let manifest = manifest(&folder);
    for entry in manifest["renditions"].as_array().expect("renditions") {
        let id = entry["id"].as_str().expect("a name");
        let segment = |number: u64| &entry["segments"][usize::try_from(number).expect("small")];
        assert_eq!(segment(MASKED)["gap"], json!({"outcome": "masked", "reason": "no rights & <none>"}));
        assert_eq!(segment(MISSING)["gap"], json!({"outcome": "missing"}));
        let defects = segment(SHORT)["media"]["defects"].as_str().unwrap_or_default();
        assert!(defects.starts_with("short;"), "{id}: {defects}");
        for number in numbers() {
            let media = &segment(number)["media"];
            let reply = get(format!("{}/{id}/{number}.m4s", game.deliver)).expect(200);
            assert_eq!(format!("{}", reply.header("etag")), format!("\"{}\"", media["etag"].as_str().unwrap()));
            assert_eq!(reply.header("headwater-pipeline"), media["pipeline"].as_str().unwrap());
            assert!(
                std::fs::read(folder.join(media["path"].as_str().unwrap())).unwrap() == reply.body,
                "{id} {number}"
            );
        }
    }
    let expected = FRAMES * numbers().count() as u64 - 2;
    for playlist in ["manifest.mpd", "master.m3u8", "media-v360.m3u8"] {
        assert_eq!(frames(text(&folder.join(playlist)), "v"), expected, "{playlist}");
    }
    assert!(frames(text(&folder.join("manifest.mpd")), "a") > 500);
    assert!(frames(text(&folder.join("master.m3u8")), "a") > 500);
}

#[test]
fn killed_half_way_and_resumed_it_is_the_same() {
    let server = Server::start();
    published(&server, "game");
    let (whole, halved) = (server.folder().join("whole"), server.folder().join("halved"));
    run(&mut command(&server, &["event", "export", "game", text(&whole), "--json"])).json();
    let bytes: usize =
        tree(&whole).iter().filter(|(name, _)| name.ends_with("m4s")).map(|(_, bytes)| bytes.len()).sum();

    // Planning reads the init segments; from then on half of the media passes.
    let stall = Stall::before(server.deliver_address(), bytes / 2);
    let export = ["event", "export", "game", text(&halved), "--jobs", "2", "--deliver", &stall.url];
    let mut killed = Program::start(&mut command(&server, &export), &server.folder().join("killed.log"));
    stall.wait();
    assert!(killed.ended().is_none(), "{}", killed.said());
    killed.kill();
    let left = tree(&halved);
    assert!(left.contains_key("manifest.partial.json") && !left.contains_key("manifest.json"), "{:?}", left.keys());
    let there: Vec<_> = left.keys().filter(|name| name.ends_with("m4s")).cloned().collect();
    assert!(!there.is_empty() && there.len() < numbers().count() * RENDITIONS.len(), "{there:?}");

    // A disk that lost the end of a file, one that lost its middle, and a writer that died.
    let (short, blank) = (halved.join(&there[0]), halved.join(&there[1]));
    let cut = std::fs::read(&short).expect("a file");
    std::fs::write(&short, &cut[..cut.len() / 3]).expect("written");
    std::fs::write(&blank, vec![0; std::fs::read(&blank).expect("a file").len()]).expect("written");
    std::fs::write(halved.join("v360/9.m4s#1"), b"half").expect("written");
    let report = run(&mut command(&server, &["event", "export", "game", text(&halved), "--json"])).json();
    assert!(report["kept"].as_u64() >= Some(there.len() as u64 - 2), "{report} {}", there.len());
    assert!(tree(&whole) == tree(&halved), "the trees differ");

    // Once more: everything is there.
    let report = run(&mut command(&server, &["event", "export", "game", text(&halved), "--json"])).json();
    assert_eq!(report["copied"], json!(0), "{report}");
    assert!(tree(&whole) == tree(&halved), "the trees differ");
}

#[test]
fn of_a_running_event_the_closed_choices_are_exported_and_later_the_rest() {
    let server = Server::start();
    let game = game::running(&server, "game");
    let folder = server.folder().join("export");
    let until_3 = ["event", "export", "game", text(&folder), "--from", "1", "--to", "3", "--json"];
    let report = run(&mut command(&server, &until_3)).json();
    assert_eq!((&report["from"], &report["to"], &report["whole"]), (&json!(1), &json!(3), &json!(false)), "{report}");

    let far = ["event", "export", "game", text(&folder), "--to", "1000"];
    run(&mut command(&server, &far)).fails(&["--to 1000", "last segment 8"]);
    crate::support::http::post(format!("{}/end", game.document), "").expect(200);
    let more = crate::support::eventually("all choices close", || {
        let report = run(&mut command(&server, &["event", "export", "game", text(&folder), "--json"])).json();
        (report["to"] == json!(LAST)).then_some(report)
    });
    assert_eq!((&more["from"], &more["whole"]), (&json!(1), &json!(true)), "{more}");
}

#[test]
fn what_is_masked_later_leaves_the_directory_and_what_is_lost_in_the_origin_stays() {
    let server = Server::start();
    let game = published(&server, "game");
    let folder = server.folder().join("export");
    let export = ["event", "export", "game", text(&folder), "--json"];
    run(&mut command(&server, &export)).json();
    for pipeline in ["a", "b"] {
        let mask = json!({"pipeline": pipeline, "from": 7, "to": 7, "reason": "taken down"});
        crate::support::http::post(format!("{}/masks", game.document), mask.to_string()).expect(200);
    }
    // Everything before segment 8 leaves the window.
    game.put_document(&game.changed(json!({"dvr_window_s": 1})));
    let report = crate::support::eventually("all have expired", || {
        let report = run(&mut command(&server, &export)).json();
        (report["gaps"]["masked"] == json!(6)).then_some(report)
    });
    assert_eq!((&report["from"], &report["segments"]), (&json!(0), &json!(18)), "{report}");
    assert!(!folder.join("v360/7.m4s").exists() && folder.join("v360/0.m4s").exists());
}

#[test]
fn a_place_with_something_else_is_refused() {
    let server = Server::start();
    published(&server, "game");
    published(&server, "other");
    let folder = server.folder().join("export");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("thesis.txt"), b"mine").expect("written");
    run(&mut command(&server, &["event", "export", "game", text(&folder)])).fails(&["not empty"]);
    std::fs::remove_file(folder.join("thesis.txt")).expect("removed");
    run(&mut command(&server, &["event", "export", "game", text(&folder), "--json"])).json();
    run(&mut command(&server, &["event", "export", "other", text(&folder)])).fails(&["live/game", "another place"]);
    run(&mut command(&server, &["event", "export", "nobody", text(&folder)])).fails(&["live/game", "another place"]);
    let fresh = server.folder().join("fresh");
    run(&mut command(&server, &["event", "export", "nobody", text(&fresh)])).fails(&["no event live/nobody"]);
    let dead = ["event", "export", "game", text(&fresh), "--ops", "http://127.0.0.1:9"];
    run(&mut command(&server, &dead)).fails(&["--ops URL"]);
}
