//! Wall clocks that are set back and forth by a day, under the running server and before its start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::json;

use super::{lasting, refused};
use crate::support::event::NEXT;
use crate::support::server::folder;
use crate::support::{Event, Server, eventually};

const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A server whose clock shows what the test says.
struct Clock {
    file: PathBuf,
}

impl Clock {
    fn new(folder: &Path) -> Self {
        let clock = Self { file: folder.join("clock") };
        clock.set_days(0);
        clock
    }

    /// Sets the wall clock so many days ahead of the true time. The monotonic clock is left alone, as by an operator.
    fn set_days(&self, days: i64) {
        // Replaced as a whole: the server reads it at any moment.
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{days:+}d\n")).expect("a file");
        std::fs::rename(&fresh, &self.file).expect("a file");
    }

    fn start(&self, folder: &Arc<tempfile::TempDir>) -> Server {
        let mut shell = Command::new("env");
        shell.arg(format!("LD_PRELOAD={}", library().display()));
        shell.arg(format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display()));
        shell.args(["FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1"]);
        Server::start_through(shell, folder, &[])
    }
}

fn library() -> PathBuf {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let found = places.iter().map(|place| Path::new(place).join(LIBRARY)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {LIBRARY}: run `cargo xtask setup`, which installs faketime"))
}

#[test]
fn a_clock_that_is_set_back_and_forth_by_a_day_loses_nothing() {
    let folder = Arc::new(folder());
    let clock = Clock::new(folder.path());
    let server = clock.start(&folder);
    let event = Event::new(&server, "game", lasting(json!({})));
    event.put("a", NEXT - 2, "before").expect(201);
    for days in [-1, 1] {
        clock.set_days(days);
        // A day back nothing of the event has begun, and what is there is served all the same; a day on it is over.
        let expected = if days < 0 { 200 } else { 410 };
        eventually("the clock", || (event.get(NEXT - 2).status == expected).then_some(()));
        refused(&event.put("a", NEXT, "meanwhile"), if days < 0 { 422 } else { 410 }, &["a clock is wrong"]);
        clock.set_days(0);
        eventually("the clock", || (event.get(NEXT - 2).status == 200).then_some(()));
        assert_eq!(event.get(NEXT - 2).expect(200).text(), "before");
        event.put("a", if days < 0 { NEXT - 1 } else { NEXT }, "after").expect(201);
    }
    let server = server.kill_and_restart();
    let event = event.on(&server);
    for (number, body) in [(NEXT - 2, "before"), (NEXT - 1, "after"), (NEXT, "after")] {
        assert_eq!(event.get(number).expect(200).text(), body);
    }
}

#[test]
fn a_server_that_starts_with_a_wrong_clock_forgets_nothing() {
    let folder = Arc::new(folder());
    let clock = Clock::new(folder.path());
    let mut server = clock.start(&folder);
    let event = Event::new(&server, "game", lasting(json!({})));
    event.put("a", NEXT - 2, "before").expect(201);
    for (days, number) in [(1, NEXT - 1), (-1, NEXT)] {
        server.kill();
        clock.set_days(days);
        server = clock.start(&folder);
        let event = event.on(&server);
        refused(&event.put("a", number, "meanwhile"), if days < 0 { 422 } else { 410 }, &["a clock is wrong"]);
        clock.set_days(0);
        eventually("the clock", || (event.get(NEXT - 2).status == 200).then_some(()));
        assert_eq!(event.get(NEXT - 2).expect(200).text(), "before");
        // The stamp clock began a day ahead or goes on from where it was: what is published now lasts all the same.
        event.put("a", number, "after").expect(201);
        assert_eq!(event.get(number).expect(200).text(), "after");
        event.put("b", number, "late").expect(201);
        assert_eq!(event.get(number).expect(200).text(), "after", "who was first stays");
    }
}
