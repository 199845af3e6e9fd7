//! The commands that call a running server: the real binary against the real server, for people and for scripts.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "support/mod.rs"]
mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::event::NEXT;
use support::{Event, Server, server};

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    #[track_caller]
    fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no `{word}`: {self:?}");
        }
        self
    }
}

/// Runs the binary with nothing in its environment but where the server is.
fn headwater(server: &Server, arguments: &[&str]) -> Ran {
    run(Command::new(server::binary()).args(arguments).env_clear().env("HEADWATER_OPS", &server.ops))
}

fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A server with the event `game`.
fn game() -> (Server, Event) {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    (server, event)
}

#[test]
fn a_mask_is_added_listed_and_removed() {
    let (server, event) = game();
    event.put("a", NEXT, "of a").expect(201);
    event.put("b", NEXT, "of b").expect(201);
    let number = NEXT.to_string();
    let mut add = vec!["mask", "add", "game", "--pipeline", "a", "--from", &number, "--reason", "black picture"];
    add.extend(["--to", &number, "--rendition", "v"]);
    let said = headwater(&server, &add).ok();
    assert!(said.contains("is in force") && said.contains("headwater invalidate"), "{said}");
    assert_eq!(event.get(NEXT).expect(200).text(), "of b");
    let listed = headwater(&server, &["mask", "list", "game"]).ok();
    assert!(listed.starts_with("ID ") && listed.contains("black picture"), "{listed}");
    let masks = headwater(&server, &["mask", "list", "live/game", "--json"]).json();
    let mask = &masks[0];
    assert_eq!((&mask["pipeline"], &mask["renditions"], &mask["to"]), (&json!("a"), &json!(["v"]), &json!(NEXT)));
    let id = mask["id"].to_string();
    assert_eq!(headwater(&server, &["mask", "remove", "game", &id, "--json"]).json(), json!({"removed": mask["id"]}));
    assert_eq!(event.get(NEXT).expect(200).text(), "of a");
    assert_eq!(headwater(&server, &["mask", "list", "game"]).ok(), "no masks\n");
}

#[test]
fn a_flush_tells_the_new_cache_version() {
    let (server, event) = game();
    event.put("a", NEXT, "media").expect(201);
    let version = || event.get(NEXT).expect(200).header("headwater-cache-version");
    let before = version();
    let now = headwater(&server, &["flush", "game", "--json"]).json()["cache_version"].to_string();
    assert_ne!(now, before);
    assert_eq!(now, version());
    assert!(headwater(&server, &["flush", "live/game"]).ok().contains("cache version"));
}

#[test]
fn an_invalidation_is_made_and_listed() {
    let (server, _event) = game();
    assert!(headwater(&server, &["invalidate", "list", "game"]).ok().contains("no invalidations"));
    let more = ["--to", "9", "--pipeline", "a", "--region", "local", "--rendition", "v", "--rendition", "w"];
    let made = headwater(&server, &[&["invalidate", "game", "--from", "5", "--json"][..], &more].concat()).json();
    let wanted =
        json!({"rev": made["rev"], "from": 5, "to": 9, "pipeline": "a", "region": "local", "renditions": ["v", "w"]});
    assert_eq!(made, wanted);
    assert!(headwater(&server, &["invalidate", "game", "--from", "7"]).ok().contains("segment 7"));
    let list = headwater(&server, &["invalidate", "list", "game", "--json"]).json();
    assert_eq!((&list[0], list.as_array().map(Vec::len)), (&wanted, Some(2)));
    headwater(&server, &["invalidate", "game"]).fails(2, &["--from"]);
}

#[test]
fn a_notification_is_set_listed_and_removed() {
    let (server, event) = game();
    assert_eq!(headwater(&server, &["notify", "list", "game"]).ok(), "no notifications\n");
    let set = headwater(&server, &["notify", "game", "ad-break", "30s", "--from", "10"]).ok();
    assert!(set.contains("ad-break") && set.contains("30s"), "{set}");
    let set = headwater(&server, &["notify", "game", "score", "3", "--json"]).json();
    assert_eq!(set[1]["value"], 3);
    event.put("a", NEXT, "media").expect(201);
    let told = event.get(NEXT).expect(200).header("headwater-notifications");
    assert!(told.contains("ad-break=\"30s\";n=10"), "{told}");
    headwater(&server, &["notify", "game", "ad-break", "--remove"]).ok();
    let left = headwater(&server, &["notify", "list", "game", "--json"]).json();
    assert_eq!((&left[0]["name"], left.as_array().map(Vec::len)), (&json!("score"), Some(1)));
    headwater(&server, &["notify", "game", "rev", "1"]).fails(2, &["`rev` carries the revision"]);
    headwater(&server, &["notify", "game", "score"]).fails(2, &["VALUE"]);
}

#[test]
fn a_timeline_has_a_row_for_each_pipeline_and_reads_without_colours() {
    let (server, event) = game();
    for number in NEXT - 2..=NEXT {
        event.put("a", number, "of a").expect(201);
    }
    event.put_defective("b", NEXT - 1, "of b", "short;have=48;want=50").expect(201);
    let drawn = headwater(&server, &["timeline", "game", "--from", "8", "--to", "10"]).ok();
    let row = |label: &str| {
        drawn.lines().find_map(|line| line.strip_prefix(label)).unwrap_or_else(|| panic!("no {label}: {drawn}"))
    };
    assert_eq!(row("served").trim(), "A A A", "{drawn}");
    // Whether the last one is late, or may still come, depends on how busy the machine is.
    let two = |label: &str| row(label).trim().get(..3).map(ToOwned::to_owned);
    assert_eq!((two("A a").as_deref(), two("B b").as_deref()), (Some("~ ~"), Some("- !")), "{drawn}");
    assert!(drawn.starts_with("live/game  v  segments 8 to 10 of 10 s"), "{drawn}");
    assert!(drawn.contains("= sound") && drawn.contains("short;have=48;want=50") && !drawn.contains('\x1b'), "{drawn}");
    let segments = headwater(&server, &["timeline", "live/game", "--rendition", "v", "--json"]).json();
    assert!(segments.as_array().is_some_and(|all| all.iter().any(|segment| segment["served"] == "a")), "{segments}");
    headwater(&server, &["timeline", "game", "--rendition", "w"]).fails(1, &["404", "`w`"]);
    headwater(&server, &["timeline", "game", "--from", "9", "--to", "8"]).fails(1, &["--from 9", "--to 8"]);
}

#[test]
fn an_event_is_put_shown_listed_ended_and_deleted() {
    let (server, event) = game();
    let file = server.folder().join("document.json");
    std::fs::write(&file, r#"{"segment": {"duration": 48, "timescale": 25}}"#).expect("a file");
    let put = headwater(&server, &["event", "put", "cup", file.to_str().expect("text"), "--json"]).json();
    assert_eq!(put["document"]["segment"], json!({"duration": 48, "timescale": 25}));
    assert!(headwater(&server, &["event", "show", "cup"]).ok().contains("48/25 s"));
    event.put("a", NEXT, "media").expect(201);
    assert_eq!(headwater(&server, &["event", "end", "game", "--json"]).json()["document"]["end_number"], NEXT);
    let list = headwater(&server, &["event", "list"]).ok();
    assert!(list.contains("cup") && list.contains("game"), "{list}");
    assert_eq!(headwater(&server, &["event", "list", "live", "--json"]).json().as_array().map(Vec::len), Some(2));
    assert_eq!(headwater(&server, &["event", "delete", "cup", "--json"]).json(), json!({"deleted": "live/cup"}));
    assert!(headwater(&server, &["event", "delete", "game"]).ok().contains("live/game is deleted"));
    assert_eq!(headwater(&server, &["event", "list"]).ok(), "no events\n");
}

#[test]
fn status_tells_where_everything_is() {
    let server = Server::start();
    let shown = headwater(&server, &["status"]).ok();
    assert!(shown.contains(&server.publish) && shown.contains("serving"), "{shown}");
    assert_eq!(headwater(&server, &["status", "--json"]).json()["deliver"], server.deliver);
    let by_flag = run(Command::new(server::binary()).args(["status", "--ops", &server.ops]).env_clear());
    assert!(by_flag.ok().contains(&server.ops));
    let address = server.ops.trim_start_matches("http://");
    run(Command::new(server::binary()).args(["status", "--ops", address]).env_clear()).ok();
}

#[test]
fn refusals_name_the_status_the_field_and_the_remedy() {
    let (server, _event) = game();
    headwater(&server, &["mask", "list", "nothing"]).fails(1, &["404", "`nothing`", "put its document first"]);
    headwater(&server, &["event", "show", "nobody/game"]).fails(1, &["404", "no tenant `nobody`"]);
    let backwards = ["mask", "add", "game", "--pipeline", "a", "--from", "5", "--to", "4"];
    headwater(&server, &backwards).fails(1, &["422", "`to`"]);
    let json = headwater(&server, &[&backwards[..], &["--json"]].concat()).fails(1, &["422"]);
    let problem: Value = serde_json::from_str(&json.out).expect("the problem document");
    assert_eq!((&problem["field"], &problem["status"]), (&json!("to"), &json!(422)));
    headwater(&server, &["mask", "add", "game", "--pipeline", "z", "--from", "5"]).fails(1, &["422", "`z`"]);
    headwater(&server, &["flush", "a/b/c"]).fails(2, &["TENANT/EVENT"]);
}

#[test]
fn a_server_that_is_not_there_is_named_with_the_remedy() {
    // Nobody listens on port 1 of loopback.
    let mut status = Command::new(server::binary());
    run(status.args(["status", "--ops", "http://127.0.0.1:1"]).env_clear())
        .fails(1, &["127.0.0.1:1", "headwater serve", "--ops"]);
}

#[test]
fn config_check_prints_what_is_in_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headwater.toml");
    std::fs::write(&file, "region = 'east'\n[tenants.sport]\npublishers = [{ user = 'u', secret = 'hush' }]\n")
        .expect("a file");
    let check = |more: &[&str]| {
        let mut command = Command::new(server::binary());
        command.args(["config", "check", "--config"]).arg(&file).args(more).env_clear();
        run(command.env("HEADWATER_WINDOW_BYTES", "1000"))
    };
    let text = check(&["--data", "/var/lib/headwater"]).ok();
    for line in ["region = \"east\"", "window_bytes = 1000", "data = \"/var/lib/headwater\"", "[tenants.sport]"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("hush"), "{text}");
    let json = check(&["--json"]).json();
    assert_eq!((&json["region"], &json["tenants"]["sport"]["auto_events"]), (&json!("east"), &json!(true)));
    for (wrong, words) in [
        ("colour = 1", vec!["headwater.toml", "colour"]),
        ("upload_bytes = 1", vec!["`upload_bytes`", "body_bytes_max"]),
        ("[tenants.x.default_document]\nsegment = {duration = 0, timescale = 1}", vec!["segment.duration", "positive"]),
        ("[tenants.x.events.e]\nhold_max_ms = 999999", vec!["tenants.x.events.e.hold_max_ms", "at most"]),
    ] {
        std::fs::write(&file, wrong).expect("a file");
        check(&[]).fails(1, &words);
    }
}

#[test]
fn what_operators_start_from_is_a_configuration() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/headwater.toml");
    for (role, unit) in [
        ("publish", include_str!("../../../deploy/headwater-publish.service")),
        ("deliver", include_str!("../../../deploy/headwater-deliver.service")),
    ] {
        let command = unit.split_once("ExecStart=").expect("a command").1.split("\nDynamicUser").next();
        let command = command.expect("a command").replace("\\\n", " ");
        let options: Vec<&str> = command.split_whitespace().skip_while(|word| *word != "serve").skip(1).collect();
        let own: Vec<&str> = options.iter().map(|word| if word.ends_with(".toml") { sample } else { word }).collect();
        let mut check = Command::new(server::binary());
        let config = run(check.args(["config", "check", "--json"]).args(own).env_clear()).json();
        assert_eq!((config["role"].as_str(), config["store.engine"].as_str()), (Some(role), Some("cassandra")));
    }
}
