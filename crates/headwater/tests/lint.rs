//! What others' tools say of our answers: REDbot, the HTTP linter, and the CMSD decoder that players use.

#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::event::NEXT;
use support::program::{command, workspace};
use support::{Event, Server, get, put};

/// Everything REDbot has to say of a URL, as levels and texts.
fn redbot(url: &str) -> Vec<(String, String)> {
    let packages = workspace().join(".tools/python");
    let program = packages.join("bin/redbot");
    assert!(program.is_file(), "REDbot is not installed; run `cargo xtask setup`");
    let mut redbot = command("python3");
    redbot.env("PYTHONPATH", &packages).arg(program).args(["-o", "har", url]);
    let report: Value = serde_json::from_slice(&output(&mut redbot)).expect("a report in JSON");
    let entries = report["log"]["entries"].as_array().expect("requests");
    assert!(entries.iter().any(|entry| entry["request"]["url"] == url), "{report}");
    let text = |note: &Value, key: &str| note[key].as_str().unwrap_or_default().to_owned();
    let notes = entries.iter().filter_map(|entry| entry["_red_messages"].as_array()).flatten();
    notes.map(|note| (text(note, "level"), text(note, "summary"))).collect()
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("a program that starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Media and init segment that are what their types say.
fn media() -> (Vec<u8>, &'static [u8]) {
    let video = support::media::rendition("v360");
    (support::media::segment(&video, NEXT), video.init())
}

#[test]
fn redbot_finds_no_fault() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({"pipelines": ["a"]}));
    let (media, init) = media();
    put(event.candidate("a", NEXT), media).expect(201);
    put(format!("{}/v/init.mp4", event.publish), init).expect(201);
    put(format!("{}/live.mpd", event.publish), "<MPD/>").expect(201);
    let of_event = |path: &str| format!("{}/{path}", event.deliver);
    for (url, status) in [
        (event.segment(NEXT), 200),
        (of_event("v/init.mp4"), 200),
        (of_event("live.mpd"), 200),
        (event.segment(NEXT + 3), 404),
        (event.segment(NEXT - 4), 410),
    ] {
        get(&url).expect(status);
        let notes = redbot(&url);
        assert!(notes.len() > 3, "{url}: REDbot has looked at it: {notes:?}");
        let bad: Vec<_> = notes.iter().filter(|(level, _)| level == "BAD").collect();
        assert!(bad.is_empty(), "{url}: {bad:?}");
    }
}

#[test]
fn the_players_library_reads_our_cmsd() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let (media, init) = media();
    put(format!("{}/@a/v/init.mp4", event.publish), init).expect(201);
    put(event.candidate("a", NEXT - 1), "the publishers are alive").expect(201);
    let held = event.get_meanwhile(NEXT);
    support::eventually("it is held", || {
        let metrics = get(format!("{}/metrics", server.ops)).text();
        metrics.contains("headwater_held_requests 1").then_some(())
    });
    let published = support::now_ms();
    put(event.candidate("a", NEXT), media).expect(201);
    let (held, hit) = (held.join().expect("an answer").expect(200), event.get(NEXT).expect(200));
    let library = workspace().join(".tools/node_modules/@svta/cml-cmsd/dist/index.js");
    assert!(library.is_file(), "the CMSD decoder is not installed; run `cargo xtask setup`");
    for (reply, is_held) in [(&held, true), (&hit, false)] {
        let script = format!(
            "const {{ decodeCmsdStatic, decodeCmsdDynamic }} = await import({:?}); \
             console.log(JSON.stringify([decodeCmsdStatic(process.argv[1]), decodeCmsdDynamic(process.argv[2])]));",
            library.display().to_string()
        );
        let mut node = command("node");
        node.args(["--input-type=module", "-e", &script, &reply.header("cmsd-static"), &reply.header("cmsd-dynamic")]);
        let told: Value = serde_json::from_slice(&output(&mut node)).expect("JSON");
        let fixed = &told[0];
        assert_eq!(fixed["d"], 10_000, "{told}");
        assert_eq!([&fixed["ot"], &fixed["sf"], &fixed["st"]], ["v", "d", "l"], "{told}");
        assert_eq!(fixed["n"], "headwater-local", "{told}");
        let at = fixed["at"].as_i64().expect("a time");
        assert!((published - 1000..published + 60_000).contains(&at), "{told}");
        assert_eq!(fixed.get("ht").is_some(), is_held, "{told}");
        assert_eq!(told[1][0]["value"], "headwater-local", "{told}");
        assert!(told[1][0]["params"]["rd"].as_u64().is_some(), "{told}");
    }
}
