//! `headwater store` on a real cluster as an operator runs it: what a torn upload left is found, told and given up.

use std::process::Command;
use std::time::Duration;

use headwater_store::broken::Fault;
use serde_json::{Value, json};

use crate::fleet::{Fleet, Node, cluster, fresh_name};
use crate::support::event::NEXT;
use crate::support::server::binary;
use crate::support::{Event, let_pass};

/// Uploads that are torn, at most, until one has left a record without its chunks.
const TRIES: u64 = 16;
/// When a process dies after an upload began, each time so much later than before: between its record and its chunks lie
/// 100 ms, and when its record is set depends on the machine.
const DIES_LATER: Duration = Duration::from_millis(25);

/// `headwater store ARGS`, its exit status and what it said.
fn store(node: &Node, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary());
    command.arg("store").args(args).arg("--config").arg(node.config());
    let output = command.output().expect("the binary starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn says(node: &Node, args: &[&str], code: i32, words: &[&str]) {
    let (status, said) = store(node, args);
    assert_eq!(status, Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: no `{word}`: {said}");
    }
}

#[test]
fn what_a_torn_upload_left_is_found_and_given_up() {
    // A sound build leaves nothing: this one sets the record first.
    let fleet = Fleet::with(cluster(), "dc1", "commands", &[("dc1", 3)]).broken(Some(Fault::CommitsFirst));
    let mut node = fleet.node("all", &[]);
    says(&node, &["init"], 0, &["the schema is there"]);
    let event = Event::new(&node.server, &fresh_name("commands"), json!({}));
    event.put("a", NEXT - 1, "whole").expect(201);
    says(&node, &["check"], 0, &[]);
    let mut torn = None;
    for number in 1..=TRIES {
        let on = event.on(&node.server);
        let upload = std::thread::spawn(move || on.upload("b", number, "torn").try_send().map(|reply| reply.status));
        let_pass(DIES_LATER * (number + 1) as u32);
        node = node.kill_and_restart();
        let _ = upload.join().expect("no panic");
        let (status, said) = store(&node, &["check", "--json"]);
        if status == Some(2) {
            torn = Some((number, serde_json::from_str::<Value>(&said).expect("JSON")));
            break;
        }
    }
    let (number, report) = torn.unwrap_or_else(|| panic!("{TRIES} uploads died, and none of them left a record"));
    let found = &report["findings"][0];
    assert_eq!(
        (&report["whole"], &found["what"], &found["number"]),
        (&json!(false), &json!("missing-chunks"), &json!(number))
    );
    assert_eq!((&found["pipeline"], &found["confirmed"]), (&json!("b"), &json!(true)));

    says(&node, &["repair", "--dry-run", "--drop-lost"], 2, &["removed the candidate"]);
    says(&node, &["repair"], 2, &["--drop-lost"]);
    says(&node, &["repair", "--drop-lost"], 0, &["removed the candidate"]);
    says(&node, &["check", "--payloads"], 0, &[]);
    says(&node, &["stats"], 0, &[&event.name]);
    let on = event.on(&node.server);
    on.get(NEXT - 1).expect(200);
    on.put("b", number, "again").expect(201);
}
