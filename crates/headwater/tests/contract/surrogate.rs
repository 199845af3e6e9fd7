//! Contract §5: surrogate keys, by configuration.

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::{Event, Server, get, put};

#[test]
fn media_tells_by_what_to_purge_it() {
    let server = Server::start_with(&["--surrogate-keys", "Surrogate-Key"]);
    let event = Event::new(&server, "game", json!({}));
    event.put("b", NEXT, "media").expect(201);
    // Twice: the second answer comes from headers that are written already.
    for _ in 0..2 {
        let reply = event.get(NEXT).expect(200);
        assert_eq!(reply.header("surrogate-key"), format!("t/live e/game r/v p/b g/local n/{NEXT}"));
        assert!(!reply.has("cache-tag"));
    }
    put(format!("{}/v/init.mp4", event.publish), "init").expect(201);
    put(format!("{}/live.mpd", event.publish), "manifest").expect(201);
    let keys = |path: &str| get(format!("{}/{path}", event.deliver)).expect(200).header("surrogate-key");
    assert_eq!(keys("v/init.mp4"), "t/live e/game r/v p/a g/local");
    assert_eq!(keys("live.mpd"), "t/live e/game p/a g/local");
}

#[test]
fn refusals_have_the_keys_of_their_path() {
    let server = Server::start_with(&["--surrogate-keys", "cache-tag"]);
    let event = Event::new(&server, "game", json!({}));
    let gone = event.get(NEXT - 5).expect_row(410, "max-age=10", "missing");
    assert_eq!(gone.header("cache-tag"), format!("t/live,e/game,r/v,n/{}", NEXT - 5));
    assert!(!gone.has("surrogate-key"));
    let early = event.get(NEXT + 5).expect(404);
    assert_eq!(early.header("cache-tag"), format!("t/live,e/game,r/v,n/{}", NEXT + 5));
    let absent = get(format!("{}/live.mpd", event.deliver)).expect(404);
    assert_eq!(absent.header("cache-tag"), "t/live,e/game");
    let unknown = get(format!("{}/live/nothing/v/1.m4s", server.deliver)).expect(404);
    assert_eq!(unknown.header("cache-tag"), "t/live,e/nothing");
}

#[test]
fn without_the_option_there_are_none() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    let reply = event.get(NEXT).expect(200);
    assert!(!reply.has("surrogate-key") && !reply.has("cache-tag"));
}
