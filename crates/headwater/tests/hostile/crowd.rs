//! Many connections and many names: memory stays bounded and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::event::NEXT;
use crate::support::{Event, PATIENCE, Server, eventually, get, let_pass, put};

/// Who is kept waiting by others waits until their time is up, which is 10 s at least.
const SOON: Duration = Duration::from_secs(5);

/// Raises this process's limit of open files; how many connections it may then have to one listener of a server with
/// the same limit, which gives the deliver listener three quarters of it.
fn connections_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("our own limit");
    let most = limit.maximum.map_or(1 << 20, |most| usize::try_from(most).expect("small"));
    most / 16 * 11
}

/// `count` connections to `address` that have sent `text`.
fn crowd(address: &str, count: usize, text: &str) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(text.as_bytes()).expect("a request");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream
    };
    (0..count).map(connect).collect()
}

/// The value of a metric, over all labels.
fn metric(server: &Server, name: &str) -> f64 {
    let text = get(format!("{}/metrics", server.ops)).expect(200).text();
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Publishes for `span`, and reads what is published: neither may take long.
fn publish_meanwhile(event: &Event, span: Duration) {
    let started = Instant::now();
    for index in 0.. {
        let name = format!("object{index}");
        let reply = put(format!("{}/{name}", event.publish), "media").expect(201);
        assert!(reply.took < SOON, "{name} took {:?}", reply.took);
        assert!(get(format!("{}/{name}", event.deliver)).expect(200).took < SOON);
        if started.elapsed() > span {
            return;
        }
        let_pass(Duration::from_millis(50));
    }
}

#[test]
fn idle_and_slow_connections_cost_little_and_harm_nobody() {
    let most = connections_max();
    let server = Server::start();
    let event = crate::live_event(&server);
    let before = server.memory();
    let idle = 1000.min(most / 8);
    let _idle: Vec<_> =
        [server.publish_address(), server.deliver_address()].map(|address| crowd(address, idle, "")).into();
    let upload = "PUT /live/game/slow HTTP/1.1\r\nHost: h\r\nContent-Length: 60000000\r\n\r\n";
    let mut slow = crowd(server.publish_address(), 200, upload);
    slow.extend(crowd(server.publish_address(), 100, "PUT /live/game/v/"));
    slow.extend(crowd(server.deliver_address(), 100, "GET /live/game/v/"));
    std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
        scope.spawn(move || {
            while is_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                slow.iter_mut().for_each(|stream| drop(stream.write_all(b"1")));
                let_pass(Duration::from_secs(1));
            }
        });
        publish_meanwhile(&event, Duration::from_secs(6));
        drop(done);
    });
    let grown = server.memory().saturating_sub(before);
    let connections = 2 * idle + 400;
    assert!(grown / connections < 24 << 10, "{} bytes for each connection", grown / connections);
}

#[test]
fn ten_thousand_held_requests_cost_little_and_are_all_answered() {
    let count = 10_000.min(connections_max());
    let server = Server::start();
    let event = crate::live_event(&server);
    let before = server.memory();
    let text = format!(
        "GET /live/game/v/{NEXT}.m4s HTTP/1.1\r\nHost: origin.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
         Accept: */*\r\nX-Forwarded-For: 192.0.2.1\r\nVia: 1.1 shield\r\n\r\n"
    );
    let readers = crowd(server.deliver_address(), count, &text);
    let held = || (metric(&server, "headwater_held_requests") as usize == count).then_some(());
    eventually("all of them are held", held);
    let each = server.memory().saturating_sub(before) / count;
    event.put("a", NEXT, "the segment").expect(201);
    let published = Instant::now();
    for mut reader in readers {
        let (mut answer, mut part) = (Vec::new(), [0; 2048]);
        while !answer.ends_with(b"the segment") {
            let read = reader.read(&mut part).expect("an answer");
            assert!(read > 0, "no whole answer: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    println!("{count} held requests: {each} bytes each, all answered after {:?}", published.elapsed());
    assert!(each < 20 << 10, "{each} bytes for each held request");
}

/// Sends `texts` on one connection, a hundred ahead of their answers, and counts those that are `status`.
fn pipeline(address: &str, texts: impl Iterator<Item = String>, status: &str) -> usize {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut texts = texts.peekable();
    let mut answered = 0;
    let start = format!("HTTP/1.1 {status}");
    while texts.peek().is_some() {
        let batch: Vec<_> = texts.by_ref().take(100).collect();
        stream.write_all(batch.concat().as_bytes()).expect("requests");
        let (mut seen, mut part) = (Vec::new(), [0; 16 * 1024]);
        // Bodies tell their end by the line end that only they have without a CR.
        let ends = |text: &[u8]| text.windows(2).filter(|pair| pair[0] != b'\r' && pair[1] == b'\n').count();
        while ends(&seen) < batch.len() {
            let read = stream.read(&mut part).expect("answers");
            assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&part[..read]);
        }
        answered += String::from_utf8_lossy(&seen).matches(&start).count();
    }
    answered
}

#[test]
fn unknown_names_leave_nothing_behind() {
    let server = Server::start();
    crate::live_event(&server);
    let ask = |from: usize, to: usize| {
        let answered = std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..4)
                .map(|lane| {
                    let texts = (from..to).skip(lane).step_by(4).map(|index| {
                        let path = match index / 4 % 4 {
                            0 => format!("/tenant{index}/game/v/9.m4s"),
                            1 => format!("/live/event{index}/v/9.m4s"),
                            2 => format!("/live/game/rendition{index}/9.m4s"),
                            _ => format!("/live/game/path{index}"),
                        };
                        format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
                    });
                    let address = server.deliver_address();
                    scope.spawn(move || pipeline(address, texts, "404"))
                })
                .collect();
            lanes.into_iter().map(|lane| lane.join().expect("answers")).sum::<usize>()
        });
        assert_eq!(answered, to - from);
    };
    ask(0, 20_000);
    let before = server.memory();
    ask(20_000, 200_000);
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more after 180,000 unknown names");
    let metrics = get(format!("{}/metrics", server.ops)).expect(200);
    assert!(metrics.body.len() < 100_000, "no metric names what is unknown");
}

#[test]
fn a_full_listener_harms_no_other_and_idle_connections_make_room() {
    let server = Server::start_with_descriptors(600);
    let event = crate::live_event(&server);
    // More than it takes: those that find no place wait to be accepted.
    let _idle = crowd(server.deliver_address(), 400, "");
    let put = event.put("a", NEXT, "media").expect(201);
    assert!(put.took < SOON, "{:?}", put.took);
    get(format!("{}/healthz", server.ops)).expect(200);
    let read = event.get(NEXT).expect(200);
    assert!(read.took < Duration::from_secs(20), "{:?}", read.took);
}
