//! The demo in a real browser: a pipeline is killed by a click, and the picture does not notice.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::path::Path;
use std::time::Duration;

use browser::Browser;
use serde_json::Value;
use support::{Server, eventually, let_pass};

/// What the page tells of itself.
struct Page<'a>(&'a Browser);

impl Page<'_> {
    /// `window.headwater`, with its functions called.
    fn state(&self) -> Value {
        let script = "const page = window.headwater; if (!page) return null;
            return {segments: page.segments, waiting: page.waiting, dropped: page.dropped, playing: page.playing,
                    error: page.error ?? null, time: page.currentTime()};";
        self.0.run(script)
    }

    /// The state, once the page plays.
    fn playing(&self) -> Value {
        eventually("the page plays", || {
            let state = self.state();
            assert!(state["error"].is_null(), "{state}");
            (state["playing"] == true && state["time"].as_f64()? > 0.5).then_some(state)
        })
    }

    /// The state, once `count` segments after number `after` have come from `pipeline`, of video. Meanwhile the
    /// picture must not stop.
    fn has_played(&self, pipeline: &str, count: usize, after: u64) -> Value {
        let mut time = 0.0;
        eventually(&format!("{count} segments of {pipeline} after {after}"), || {
            let state = self.state();
            check_health(&state);
            let now = state["time"].as_f64().expect("a time");
            assert!(now >= time, "time went back from {time} to {now}");
            time = now;
            (of_pipeline(&state, pipeline, after) >= count).then_some(state)
        })
    }
}

fn check_health(state: &Value) {
    assert!(state["error"].is_null(), "{state}");
    assert_eq!(state["waiting"], 0, "the picture stopped: {state}");
    assert_eq!(state["dropped"], 0, "segments were dropped: {state}");
}

fn of_pipeline(state: &Value, pipeline: &str, after: u64) -> usize {
    let segments = state["segments"].as_array().expect("a list of segments");
    let is_of = |segment: &&Value| segment["pipeline"] == pipeline && segment["number"].as_u64() > Some(after);
    let is_video = |segment: &&Value| segment["rendition"].as_str().is_some_and(|id| id.starts_with('v'));
    segments.iter().filter(is_video).filter(is_of).count()
}

fn newest(state: &Value) -> u64 {
    let segments = state["segments"].as_array().expect("a list of segments");
    segments.iter().filter_map(|segment| segment["number"].as_u64()).max().expect("a segment")
}

#[test]
fn a_killed_pipeline_is_not_seen() {
    let server = Server::demo();
    let browser = Browser::start(server.folder());
    browser.open(&format!("{}/watch", server.ops));
    let page = Page(&browser);
    page.playing();
    let before = page.has_played("a", 2, 0);
    save(&browser, "watch-before.png");

    browser.click("#kill-a");
    // What was on its way at the click may still be of a; two segments later nothing is.
    let killed_at = newest(&before) + 2;
    let during = page.has_played("b", 4, killed_at);
    assert_eq!(of_pipeline(&during, "a", killed_at + 1), 0, "{during}");
    save(&browser, "watch-after.png");

    browser.click("#revive-a");
    let after = page.has_played("a", 2, newest(&during));
    check_time_passes(&page, &after);
    save(&browser, "watch-revived.png");
}

/// The picture moves as fast as the clock does, give or take a busy machine.
fn check_time_passes(page: &Page<'_>, before: &Value) {
    let span = Duration::from_secs(4);
    let_pass(span);
    let state = page.state();
    check_health(&state);
    let passed = state["time"].as_f64().expect("a time") - before["time"].as_f64().expect("a time");
    assert!(passed > span.as_secs_f64() * 0.7, "{passed} s of {span:?}");
}

fn save(browser: &Browser, name: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, browser.screenshot()).expect("a screenshot");
    println!("screenshot: {}", path.display());
}
