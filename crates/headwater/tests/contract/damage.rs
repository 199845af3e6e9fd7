//! A disk that gives back other bytes than it was given: they are never served.

use std::path::Path;

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::{Event, Server, get, put};

/// Flips one bit of every place in the data directory where `bytes` stands; how many there were.
fn damage(server: &Server, bytes: &[u8]) -> usize {
    let mut found = 0;
    for file in std::fs::read_dir(server.folder().join("data")).expect("a data directory") {
        let path = file.expect("a name").path();
        found += damage_file(&path, bytes);
    }
    found
}

fn damage_file(path: &Path, bytes: &[u8]) -> usize {
    let mut content = std::fs::read(path).unwrap_or_default();
    let places: Vec<usize> =
        content.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes).map(|(at, _)| at).collect();
    places.iter().for_each(|at| content[at + bytes.len() / 2] ^= 1);
    if !places.is_empty() {
        std::fs::write(path, content).expect("our own file");
    }
    places.len()
}

#[test]
fn damaged_bytes_are_never_served_and_another_pipelines_are() {
    let mut server = Server::start();
    let event = Event::new(&server, "game", json!({"pipelines": ["a", "b"]}));
    event.put("a", NEXT, "the bytes of pipeline a").expect(201);
    event.put("b", NEXT, "the bytes of pipeline b").expect(201);
    event.put("a", NEXT - 1, "nobody else has this one").expect(201);
    put(format!("{}/@a/live.mpd", event.publish), "the manifest of a").expect(201);
    put(format!("{}/@b/live.mpd", event.publish), "the manifest of b").expect(201);
    assert_eq!(event.get(NEXT).expect(200).text(), "the bytes of pipeline a");
    server.terminate();
    assert!(server.wait().success());
    for bytes in ["the bytes of pipeline a", "nobody else has this one", "the manifest of a"] {
        assert_eq!(damage(&server, bytes.as_bytes()), 1, "{bytes}");
    }

    let server = server.restart();
    let at = |path: &str| format!("{}/live/game/{path}", server.deliver);
    let segment = get(at(&format!("v/{NEXT}.m4s"))).expect(200);
    assert_eq!(segment.text(), "the bytes of pipeline b");
    // The one that was chosen may be cached for ever.
    assert_eq!(segment.header("cache-control"), "public, max-age=10");
    get(at(&format!("@a/v/{NEXT}.m4s"))).expect(503);
    get(at(&format!("v/{}.m4s", NEXT - 1))).expect_row(503, "no-store", "unavailable");
    assert_eq!(get(at("live.mpd")).expect(200).text(), "the manifest of b");
    let metrics = get(format!("{}/metrics", server.ops)).expect(200).text();
    assert!(metrics.contains("headwater_damaged_reads_total 4"), "{metrics}");
}
