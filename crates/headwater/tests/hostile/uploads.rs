//! Uploads past the memory for them: they wait or are refused in order, some always get through, and nothing dies.
//! The budget is the usual one divided by 16.

use std::time::Duration;

use crate::support::http::{self, Reply};
use crate::support::{Event, Raw, Server, let_pass};

/// Largest upload.
const BODY: usize = 4 << 20;
/// Memory for uploads in progress.
const BUDGET: usize = 2 * BODY;

fn server() -> Server {
    let (body, budget) = (BODY.to_string(), BUDGET.to_string());
    Server::start_with(&["--body-bytes-max", &body, "--upload-bytes", &budget, "--window-bytes", &budget])
}

fn put(event: &Event, name: &str, length: usize) -> Reply {
    http::put(format!("{}/{name}", event.publish), vec![b'x'; length])
}

/// Uploads in chunks, whose length nobody knows; the status.
fn put_chunked(server: &Server, name: &str, length: usize) -> u16 {
    let head = format!("PUT /live/game/{name} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut raw = Raw::send(server.publish_address(), &head);
    let piece = [b"10000\r\n".as_slice(), &[b'y'; 0x10000], b"\r\n"].concat();
    (0..length / 0x10000).for_each(|_| raw.write(&piece));
    raw.write(b"0\r\n\r\n");
    raw.status()
}

/// Publishes small segments; how many tries each took.
fn publish(event: &Event, segments: u32) -> u32 {
    let mut tries = 0;
    for index in 0..segments {
        loop {
            tries += 1;
            let reply = put(event, &format!("small{index}"), 100_000);
            if reply.status == 201 {
                break;
            }
            assert_eq!((reply.expect(503).header("retry-after"), tries < 20 * segments), ("1".to_owned(), true));
            let_pass(Duration::from_millis(100));
        }
    }
    tries
}

#[test]
fn sixty_four_of_the_largest_uploads_at_once_end_in_order() {
    let server = server();
    let event = crate::live_event(&server);
    put(&event, "warm", BODY).expect(201);
    let before = server.memory();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..64)
            .map(|index| {
                let (server, event) = (&server, &event);
                scope.spawn(move || match index % 2 {
                    0 => put(event, &format!("large{index}"), BODY).status,
                    _ => put_chunked(server, &format!("large{index}"), BODY),
                })
            })
            .collect();
        publish(&event, 20);
        uploads.into_iter().map(|upload| upload.join().expect("an answer")).collect()
    });
    let grown = server.memory().saturating_sub(before);
    let stored = statuses.iter().filter(|status| **status == 201).count();
    println!("{stored} of 64 stored, the server grew by {grown} bytes");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 503)), "{statuses:?}");
    assert!(stored >= 2, "{statuses:?}");
    // Besides the budget: 64 buffers between socket and slabs, and what the allocator keeps.
    assert!(grown < BUDGET + (48 << 20), "{grown} bytes more");
    assert_eq!(publish(&event, 5), 5, "afterwards all is as before");
}

#[test]
fn uploads_that_announce_much_and_send_little_keep_nobody_out() {
    let server = server();
    let event = crate::live_event(&server);
    let head = format!("PUT /live/game/slow HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY}\r\n\r\n1");
    let _slow: Vec<_> = (0..60).map(|_| Raw::send(server.publish_address(), &head)).collect();
    assert_eq!(publish(&event, 20), 20);
    put(&event, "large", BODY).expect(201);
}

#[test]
fn uploads_that_take_all_memory_and_stop_do_not_end_publishing() {
    let server = server();
    let event = crate::live_event(&server);
    let head = format!("PUT /live/game/stuck HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY}\r\n\r\n");
    let mut stuck: Vec<_> = (0..12).map(|_| Raw::send(server.publish_address(), &head)).collect();
    stuck.iter_mut().for_each(|raw| raw.write(&vec![b'x'; 400_000]));
    let_pass(Duration::from_millis(300));
    // These find none, and would hold the reserve with nothing.
    let _silent: Vec<_> = (0..12).map(|_| Raw::send(server.publish_address(), &head)).collect();
    let tries = publish(&event, 10);
    assert!(tries <= 30, "{tries} tries for ten segments");
}
