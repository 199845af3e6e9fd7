//! `headwater store`: the real binary beside the real server, and on the directory that it left behind.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::event::NEXT;
use support::{Dice, Event, Server, get, put, server};

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no `{word}`: {self:?}");
        }
    }
}

/// `headwater store WHAT --data DIR` with nothing in its environment.
fn store(what: &str, data: &Path, more: &[&str]) -> Ran {
    let mut command = Command::new(server::binary());
    let output = command.args(["store", what, "--data"]).arg(data).args(more).env_clear().output();
    let output = output.expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn data(server: &Server) -> PathBuf {
    server.folder().join("data")
}

/// Every file of a directory with its bytes.
fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path())
        .map(|path| (path.clone(), std::fs::read(path).expect("our own file")))
        .collect();
    files.sort();
    files
}

/// Where `bytes` lie; in one place only.
fn find(folder: &Path, bytes: &[u8]) -> (PathBuf, usize) {
    let places = tree(folder).into_iter().flat_map(|(path, content)| {
        let all = content.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes);
        all.map(|(at, _)| (path.clone(), at)).collect::<Vec<_>>()
    });
    let [place] = places.collect::<Vec<_>>().try_into().expect("one place");
    place
}

fn flip(path: &Path, at: usize) {
    let mut content = std::fs::read(path).expect("our own file");
    content[at] ^= 1;
    std::fs::write(path, content).expect("our own file");
}

/// Publishes, replaces and deletes until it is told to stop; how many rounds.
fn busy(server: &Server, stop: &AtomicBool) -> u64 {
    let event = Event::new(server, "busy", json!({}));
    let mut dice = Dice::new(1);
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) || round < 3 {
        put(format!("{}/@a/live.mpd", event.publish), dice.bytes(30_000)).expect(201);
        put(format!("{}/@a/{round}.bin", event.publish), dice.bytes(200_000)).expect(201);
        let passing = Event::new(server, &format!("passing-{round}"), json!({}));
        put(format!("{}/@a/v/{NEXT}.m4s", passing.publish), dice.bytes(100_000)).expect(201);
        support::delete(&passing.document).expect(204);
        round += 1;
    }
    round
}

#[test]
fn a_busy_server_is_checked_and_what_is_damaged_later_is_named() {
    let mut server = Server::start();
    let event = Event::new(&server, "game", json!({"pipelines": ["a", "b"]}));
    event.put("a", NEXT, "the bytes of pipeline a").expect(201);
    event.put("b", NEXT, "the bytes of pipeline b").expect(201);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| busy(&server, &stop));
        for _ in 0..8 {
            let report = store("check", &data(&server), &["--json"]).json(0);
            assert_eq!((&report["online"], &report["whole"]), (&json!(true), &json!(true)), "{report}");
            assert_eq!((&report["damage"], &report["torn"]), (&json!([]), &json!([])), "{report}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(publisher.join().expect("it publishes") >= 3);
    });
    store("check", &data(&server), &[]).says(0, &[": intact\n", "is running on it", "64 MiB/s"]);

    server.terminate();
    assert!(server.wait().success());
    let (file, at) = find(&data(&server), b"the bytes of pipeline a");
    flip(&file, at + 5);
    let before = tree(&data(&server));
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    let report = store("check", &data(&server), &["--json"]).json(2);
    let [damage] = report["damage"].as_array().expect("a list").as_slice() else { panic!("{report}") };
    let told = json!({"file": name, "offset": at, "bytes": 23, "what": "payload", "error": null, "standing": "counts",
        "record": "segment", "event": "live/game", "event_id": damage["event_id"], "rendition": "v", "number": NEXT,
        "path": null, "pipeline": "a", "intact": ["b"]});
    assert_eq!(*damage, told);
    let of = format!("live/game v {NEXT} of a");
    store("check", &data(&server), &[])
        .says(2, &["1 damaged place that counts", name, &of, "none is running", "docs/store.md"]);
    assert_eq!(tree(&data(&server)), before, "nothing is changed");

    let server = server.restart();
    let served = get(format!("{}/live/game/v/{NEXT}.m4s", server.deliver)).expect(200);
    assert_eq!(served.text(), "the bytes of pipeline b");
    assert_eq!(store("check", &data(&server), &["--json"]).json(2)["online"], json!(true));
}

#[test]
fn stats_are_what_was_published_and_what_is_deleted_no_longer_counts() {
    let server = Server::start();
    let (kept, gone) = (Event::new(&server, "kept", json!({})), Event::new(&server, "gone", json!({})));
    for pipeline in ["a", "b"] {
        for number in NEXT - 3..=NEXT {
            kept.put(pipeline, number, &"x".repeat(1000 + usize::from(pipeline == "b"))).expect(201);
        }
        gone.put(pipeline, NEXT, &format!("of {pipeline}")).expect(201);
    }
    put(format!("{}/@a/live.mpd", kept.publish), "a manifest").expect(201);
    let stats = store("stats", &data(&server), &["--json"]).json(0);
    let names: Vec<_> = stats["events"].as_array().expect("a list").iter().map(|event| &event["event"]).collect();
    assert_eq!(names, ["gone", "kept"], "{stats}");
    let told = &stats["events"][1];
    assert_eq!((&told["objects"], &told["bytes"]), (&json!(9), &json!(8 * 1000 + 4 + 10)), "{stats}");
    assert_eq!((&told["renditions"], &told["pipelines"]), (&json!(["v"]), &json!(["a", "b"])), "{stats}");
    assert!(told["oldest"].as_str() < told["newest"].as_str(), "{stats}");
    assert_eq!((&stats["online"], &stats["no_longer_counted"]["deleted"]["objects"]), (&json!(true), &json!(0)));
    assert!(stats["disk_bytes"].as_u64() > Some(0) && stats["next_expiry"].is_string(), "{stats}");

    support::delete(&gone.document).expect(204);
    let stats = store("stats", &data(&server), &["--json"]).json(0);
    assert_eq!(stats["events"].as_array().map(Vec::len), Some(1), "{stats}");
    assert_eq!(stats["no_longer_counted"]["deleted"], json!({"objects": 2, "bytes": 8}), "{stats}");
    let said = store("stats", &data(&server), &[]);
    said.says(
        0,
        &["a server is running on it", "TENANT", "live", "kept", "no longer counted", "until replaced", "free"],
    );
}

#[test]
fn what_is_no_data_directory_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (nowhere, file) = (folder.path().join("nowhere"), folder.path().join("file"));
    std::fs::write(&file, "mine").expect("written");
    for what in ["check", "stats"] {
        for place in [&nowhere, &file] {
            let text = place.to_str().expect("a path");
            store(what, place, &[]).says(1, &["no data directory at", text, "--data DIR", "HEADWATER_DATA"]);
        }
        store(what, folder.path(), &["--json"]).says(1, &["holds no buckets", "--data DIR"]);
    }
    assert!(!nowhere.exists());
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn a_later_version_is_named_with_the_remedy_and_the_rest_is_checked() {
    let mut server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "the bytes of pipeline a").expect(201);
    server.terminate();
    assert!(server.wait().success());
    let (file, _) = find(&data(&server), b"the bytes of pipeline a");
    // A later build's header, which has no copy where this build looks for one.
    let mut content = std::fs::read(&file).expect("our own file");
    content[..4096].fill(0);
    content[..10].copy_from_slice(b"HeadwLog\x01\x01");
    std::fs::write(&file, content).expect("our own file");
    let ran = store("check", &data(&server), &["--json"]);
    ran.says(1, &["version 257", "newer build"]);
    let report = ran.json(1);
    assert_eq!((&report["whole"], &report["later"][0]["version"]), (&json!(false), &json!(257)), "{report}");
    assert!(report["files"].as_u64() >= Some(1), "{report}");
    store("stats", &data(&server), &[]).says(1, &["version 257", "newer build"]);
}

#[test]
fn the_directory_is_found_as_serve_finds_it() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "of a").expect(201);
    let config = server.folder().join("headwater.toml");
    std::fs::write(&config, format!("data = {:?}\n", data(&server))).expect("written");
    let mut command = Command::new(server::binary());
    let output = command.args(["store", "stats", "--config"]).arg(&config).env_clear().output();
    let output = output.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("game"), "{output:?}");
}
