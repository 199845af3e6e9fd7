//! Contract §1: start, readiness, drain.

use std::time::Duration;

use serde_json::json;

use crate::support::event::NEXT;
use crate::support::{Event, Raw, Server, eventually, get, let_pass};

#[test]
fn the_ready_file_comes_when_all_listeners_answer() {
    let server = Server::start();
    assert_eq!(server.ready["pid"], server.id());
    for name in ["publish", "deliver", "ops"] {
        let url = server.ready[name].as_str().expect("a URL");
        assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{url}");
    }
    get(format!("{}/healthz", server.ops)).expect(200);
    get(format!("{}/readyz", server.ops)).expect(200);
    get(format!("{}/live/x/y", server.deliver)).expect(404);
}

#[test]
fn what_to_paste_is_printed_on_start() {
    let server = Server::start();
    let said = server.said();
    for url in [&server.publish, &server.deliver, &server.ops] {
        assert!(said.contains(url.as_str()), "no {url} in:\n{said}");
    }
    assert!(said.contains("ffmpeg"), "no line for publishing in:\n{said}");
}

#[test]
fn metrics_count_what_happened() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "media").expect(201);
    event.get(NEXT).expect(200);
    let metrics = get(format!("{}/metrics", server.ops)).expect(200).text();
    for name in ["headwater_publish_duration_seconds", "headwater_responses_total", "headwater_selected_total"] {
        assert!(metrics.contains(name), "no {name} in:\n{metrics}");
    }
    let hits = metrics.lines().find(|line| {
        line.starts_with("headwater_responses_total")
            && line.contains("outcome=\"hit\"")
            && line.contains("listener=\"deliver\"")
            && line.contains("class=\"live\"")
    });
    assert!(hits.is_some_and(|line| line.ends_with(" 1")), "{hits:?} in:\n{metrics}");
}

#[test]
fn sigterm_answers_held_requests_and_ends() {
    let mut server = Server::start();
    let event = Event::new(&server, "game", json!({"hold_max_ms": 60_000}));
    event.put("a", NEXT - 1, "before").expect(201);
    let reader = event.get_meanwhile(NEXT);
    let_pass(Duration::from_millis(500));
    server.terminate();
    let reply = reader.join().expect("an answer").expect_row(503, "no-store", "unavailable");
    assert_eq!(reply.header("retry-after"), "1");
    assert!(server.wait().success());
}

#[test]
fn sigterm_lets_an_upload_finish_and_takes_no_new_one() {
    let mut server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    let head = format!("PUT /live/game/v/{NEXT}.m4s HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nthe wh");
    let mut upload = Raw::send(server.publish_address(), &head);
    assert!(upload.is_silent_for(Duration::from_millis(200)));
    server.terminate();
    eventually("no new work is taken", || {
        let refused = std::net::TcpStream::connect(server.publish_address()).is_err();
        (refused || get_status(&format!("{}/readyz", server.ops)) != Some(200)).then_some(())
    });
    upload.write(b"ole");
    assert_eq!(upload.status(), 201);
    assert!(server.wait().success());
    let server = server.restart();
    let event = Event::at(&server, &event.name, 0, 10_000);
    assert_eq!(event.get(NEXT).expect(200).text(), "the whole");
}

/// The status, if there is an answer at all.
fn get_status(url: &str) -> Option<u16> {
    crate::support::http::request("GET", url).try_send().ok().map(|reply| reply.status)
}

#[test]
fn acked_data_survives_sigterm_and_sigkill() {
    let mut server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT, "one").expect(201);
    server.terminate();
    assert!(server.wait().success());
    let server = server.restart();
    let event = Event::at(&server, &event.name, 0, 10_000);
    event.put("a", NEXT + 1, "two").expect(201);
    let server = server.kill_and_restart();
    let event = Event::at(&server, &event.name, 0, 10_000);
    for (number, body) in [(NEXT, "one"), (NEXT + 1, "two")] {
        let reply = event.get(number).expect(200);
        assert_eq!(reply.text(), body);
        event.put("a", number, "other").expect_problem(409, "");
    }
}

#[test]
fn a_command_line_that_is_wrong_says_so() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_headwater"));
    let output = command.args(["serve", "--publish", "nowhere"]).output().expect("the binary starts");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"));
}
