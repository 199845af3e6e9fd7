//! The event of these tests: one pipeline was killed, one number never came, one segment is short, one is masked.

use std::path::Path;
use std::process::Command;

use headwater_media::content::fault;
use serde_json::{Value, json};

use crate::support::media::{event, put, put_init, rendition, segment};
use crate::support::{Event, Server, eventually, http, server};

/// The renditions of the content.
pub(crate) const RENDITIONS: [&str; 3] = ["v360", "v180", "audio"];
/// The last number that was published.
pub(crate) const LAST: u64 = 8;
/// Both masked.
pub(crate) const MASKED: u64 = 2;
/// Pipeline `a` was killed before it, and `b` lost it.
pub(crate) const MISSING: u64 = 4;
/// Two samples short, and there is no other.
pub(crate) const SHORT: u64 = 6;

/// What has media.
pub(crate) fn numbers() -> impl Iterator<Item = u64> {
    (0..=LAST).filter(|number| ![MASKED, MISSING].contains(number))
}

/// Publishes it to an event called `name`, ends it and waits until every choice has closed.
pub(crate) fn published(server: &Server, name: &str) -> Event {
    let game = running(server, name);
    http::post(format!("{}/end", game.document), "").expect(200);
    eventually("every choice has closed", || {
        let closed = RENDITIONS.iter().all(|rendition| {
            let timeline = http::get(format!("{}/timeline?rendition={rendition}&from=0&to={LAST}", game.document));
            let segments = timeline.expect(200).json();
            let outcome = |number: u64| segments[usize::try_from(number).expect("small")]["outcome"].clone();
            (0..=LAST).all(|number| !["hold", "closing", "silent"].contains(&outcome(number).as_str().expect("a word")))
        });
        closed.then_some(())
    });
    game
}

/// The same without an end.
pub(crate) fn running(server: &Server, name: &str) -> Event {
    let game = event(server, name, json!({"retry_deadline_ms": 500, "defect_wait_ms": 200}));
    for id in RENDITIONS {
        let rendition = rendition(id);
        for pipeline in ["a", "b"] {
            put_init(&game, pipeline, &rendition).expect(201);
        }
        for number in (0..=LAST).filter(|number| *number != MISSING) {
            let sound = segment(&rendition, number);
            let body = if number == SHORT { fault::short(&sound) } else { sound };
            if number < MISSING {
                put(&game, "a", &rendition, number, body.clone()).expect(201);
            }
            put(&game, "b", &rendition, number, body).expect(201);
        }
    }
    for pipeline in ["a", "b"] {
        let mask = json!({"pipeline": pipeline, "from": MASKED, "to": MASKED, "reason": "no rights & <none>"});
        http::post(format!("{}/masks", game.document), mask.to_string()).expect(200);
    }
    let notification = json!({"name": "rating", "value": "TV-14", "from": 3});
    http::post(format!("{}/notifications", game.document), notification.to_string()).expect(200);
    game
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// What it printed.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// What it printed, for a person.
    #[track_caller]
    pub(crate) fn text(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// It failed, and said these words.
    #[track_caller]
    pub(crate) fn fails(self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "no `{word}`: {self:?}");
        }
    }
}

/// The binary with nothing in its environment but where the server is.
pub(crate) fn command(server: &Server, arguments: &[&str]) -> Command {
    let mut command = Command::new(server::binary());
    command.args(arguments).env_clear().env("HEADWATER_OPS", &server.ops);
    command.env("HEADWATER_DELIVER", &server.deliver).env("HEADWATER_PUBLISH", &server.publish);
    command
}

/// Runs it.
pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Every file below `folder`, with its bytes.
pub(crate) fn tree(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = std::collections::BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("below it").to_str().expect("a name").to_owned();
                files.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    files
}
