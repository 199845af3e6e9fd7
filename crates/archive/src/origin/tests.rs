use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::Mutex;

use headwater_model::Timestamp;

use super::*;

/// A clock that notes how long it was asked to wait, and does not.
#[derive(Default)]
struct Notes(Mutex<Vec<Duration>>);

impl Clock for Notes {
    fn wall(&self) -> Timestamp {
        Timestamp::from_seconds(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.lock().unwrap().push(span);
        Box::pin(async {})
    }
}

/// A server that gives these answers in turn, one a connection.
fn server(answers: Vec<String>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    url
}

fn busy(header: &str) -> String {
    format!("HTTP/1.1 503 Service Unavailable\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n")
}

fn read_from(answers: Vec<String>) -> (Result<Delivered>, Vec<Duration>) {
    let clock = Arc::new(Notes::default());
    let at = Listeners { deliver: server(answers), ..Listeners::default() };
    let origin = Origin::new(at, None, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (tenant, event) = ("live".parse().unwrap(), "game".parse().unwrap());
    let read = runtime.block_on(origin.read(&tenant, &event, "v/1.m4s"));
    let waited = clock.0.lock().unwrap().clone();
    (read, waited)
}

#[test]
fn retry_after_is_obeyed_within_its_limit() {
    let served = "HTTP/1.1 200 OK\r\nheadwater-pipeline: b\r\ncontent-length: 5\r\nconnection: close\r\n\r\nmedia";
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nme";
    let answers = vec![busy("retry-after: 5\r\n"), busy("retry-after: 3600\r\n"), cut.to_owned(), served.to_owned()];
    let (read, waited) = read_from(answers);
    let Ok(Delivered::Object { bytes, pipeline, defects: None }) = read else { panic!("{read:?}") };
    assert_eq!((&bytes[..], pipeline.as_str()), (&b"media"[..], "b"));
    // The third answer broke off and named no time.
    assert_eq!(waited, [Duration::from_secs(5), PAUSE_MAX, PAUSE * 4]);
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let (read, waited) = read_from((0..ATTEMPTS_MAX).map(|_| busy("retry-after: 1\r\n")).collect());
    let error = format!("{:#}", read.unwrap_err());
    assert!(error.contains("503") && error.contains("run the command again later"), "{error}");
    assert_eq!(waited.len(), ATTEMPTS_MAX as usize - 1);
}

#[test]
fn a_refusal_says_which_listener_was_meant() {
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (read, waited) = read_from(vec![answer.to_owned()]);
    assert!(format!("{:#}", read.unwrap_err()).contains("--deliver URL"));
    assert!(waited.is_empty());
}
