//! An event whose numbering stands where a test wants it. Segments are long (10 s by default), so that a busy machine
//! does not move a test from one row of the decision table into the next.

use serde_json::{Value, json};

use super::http::{self, Reply, Request};
use super::{Server, now_ms, rfc3339};

/// The next segment of every event here, unless its document says otherwise: `E(n) - d` was half a segment ago.
pub const NEXT: u64 = 10;

/// An event of the tenant `live` with the rendition `v`.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Base URL on the publish listener.
    pub publish: String,
    /// Base URL on the deliver listener.
    pub deliver: String,
    /// Its document on the ops listener.
    pub document: String,
    start_ms: i64,
    duration_ms: i64,
}

impl Event {
    /// An event of 10 s segments of which [`NEXT`] is the next, with `changes` to its document.
    pub fn new(server: &Server, name: &str, changes: Value) -> Self {
        Self::with_duration(server, name, (10, 1), changes)
    }

    /// As [`Event::new`], with segments of `duration / timescale` seconds.
    pub fn with_duration(server: &Server, name: &str, (duration, timescale): (u32, u32), changes: Value) -> Self {
        let duration_ms = i64::from(duration) * 1000 / i64::from(timescale);
        let start_ms = now_ms() - duration_ms * i64::try_from(NEXT).expect("small") - duration_ms / 2;
        let event = Self::at(server, name, start_ms, duration_ms);
        let mut document = json!({
            "availability_start_time": rfc3339(start_ms),
            "segment": {"duration": duration, "timescale": timescale},
            "renditions": [{"id": "v"}],
            "inspect": "off",
        });
        merge(&mut document, changes);
        event.put_document(&document);
        event
    }

    /// Names of an event, without creating it.
    pub fn at(server: &Server, name: &str, start_ms: i64, duration_ms: i64) -> Self {
        Self {
            name: name.to_owned(),
            publish: format!("{}/live/{name}", server.publish),
            deliver: format!("{}/live/{name}", server.deliver),
            document: format!("{}/v1/tenants/live/events/{name}", server.ops),
            start_ms,
            duration_ms,
        }
    }

    /// The same event on a server that was started anew, on other ports.
    pub fn on(&self, server: &Server) -> Self {
        Self::at(server, &self.name, self.start_ms, self.duration_ms)
    }

    /// Writes the document, which must be accepted.
    #[track_caller]
    pub fn put_document(&self, document: &Value) -> Reply {
        let reply = self.try_document(document);
        assert!(matches!(reply.status, 200 | 201), "{}: {}", reply.status, reply.text());
        reply
    }

    /// Writes the document.
    pub fn try_document(&self, document: &Value) -> Reply {
        let request = http::request("PUT", &self.document).header("content-type", "application/json");
        request.body(document.to_string()).send()
    }

    /// The document that stands, with `changes`.
    pub fn changed(&self, changes: Value) -> Value {
        let mut document = self.read_document();
        merge(&mut document, changes);
        document
    }

    /// The document that stands.
    pub fn read_document(&self) -> Value {
        let answer = http::get(&self.document).expect(200).json();
        // The answer may wrap the document to tell its revision beside it.
        answer.get("document").cloned().unwrap_or(answer)
    }

    /// Where `pipeline` publishes segment `number`.
    pub fn candidate(&self, pipeline: &str, number: u64) -> String {
        format!("{}/@{pipeline}/v/{number}.m4s", self.publish)
    }

    /// Where segment `number` is delivered.
    pub fn segment(&self, number: u64) -> String {
        format!("{}/v/{number}.m4s", self.deliver)
    }

    /// Publishes segment `number` of `pipeline`.
    pub fn put(&self, pipeline: &str, number: u64, body: &str) -> Reply {
        http::put(self.candidate(pipeline, number), body)
    }

    /// Publishes segment `number` of `pipeline` with a report of its defects.
    pub fn put_defective(&self, pipeline: &str, number: u64, body: &str, defects: &str) -> Reply {
        self.upload(pipeline, number, body).header("headwater-defects", defects).send()
    }

    /// Begins an upload of segment `number` of `pipeline`.
    pub fn upload(&self, pipeline: &str, number: u64, body: &str) -> Request {
        http::request("PUT", self.candidate(pipeline, number)).body(body)
    }

    /// Asks for segment `number`.
    pub fn get(&self, number: u64) -> Reply {
        http::get(self.segment(number))
    }

    /// Asks for segment `number` in the background.
    pub fn get_meanwhile(&self, number: u64) -> std::thread::JoinHandle<Reply> {
        let url = self.segment(number);
        std::thread::spawn(move || http::get(url))
    }

    /// `E(number)` on the wall clock, without publish delay.
    pub fn expected_ms(&self, number: u64) -> i64 {
        self.start_ms + (i64::try_from(number).expect("small") + 1) * self.duration_ms
    }
}

/// Puts the fields of `changes` over those of `document`.
pub fn merge(document: &mut Value, changes: Value) {
    if let (Some(document), Value::Object(changes)) = (document.as_object_mut(), changes) {
        document.extend(changes);
    }
}
