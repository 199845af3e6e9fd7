//! A blocking HTTP client: every answer is a value, nothing is retried, redirected or kept alive.

use std::time::{Duration, Instant};

use serde_json::Value;
use ureq::http::{Request as Head, Uri};

/// Longer than any hold of the server.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A request being written.
pub struct Request {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An answer.
#[derive(Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
    /// From the first byte sent to the last one received.
    pub took: Duration,
    /// When it was complete.
    pub at: Instant,
    headers: Vec<(String, String)>,
    asked: String,
}

/// Asks for `url`.
pub fn get(url: impl Into<String>) -> Reply {
    request("GET", url).send()
}

/// Asks for the headers of `url`.
pub fn head(url: impl Into<String>) -> Reply {
    request("HEAD", url).send()
}

/// Uploads.
pub fn put(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Reply {
    request("PUT", url).body(body).send()
}

/// Uploads, the other way.
pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Reply {
    request("POST", url).body(body).send()
}

/// Removes.
pub fn delete(url: impl Into<String>) -> Reply {
    request("DELETE", url).send()
}

/// Begins a request.
pub fn request(method: &'static str, url: impl Into<String>) -> Request {
    Request { method, url: url.into(), headers: Vec::new(), body: Vec::new() }
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it.
    ///
    /// # Panics
    /// If there is no complete answer.
    pub fn send(self) -> Reply {
        let asked = format!("{} {}", self.method, self.url);
        self.try_send().unwrap_or_else(|error| panic!("{asked}: {error}"))
    }

    /// Sends it; an answer that is not complete is an error.
    pub fn try_send(self) -> Result<Reply, ureq::Error> {
        let asked = format!("{} {}", self.method, self.url);
        let uri: Uri = self.url.parse().unwrap_or_else(|error| panic!("{asked}: {error}"));
        let mut head = Head::builder().method(self.method).uri(uri);
        for (name, value) in &self.headers {
            head = head.header(name, value);
        }
        let with_body = !matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "DELETE");
        let started = Instant::now();
        let mut answer = if with_body {
            agent().run(head.body(self.body).expect("a request"))?
        } else {
            agent().run(head.body(()).expect("a request"))?
        };
        let body = answer.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let status = answer.status().as_u16();
        Ok(Reply { status, headers, body, took: started.elapsed(), at: Instant::now(), asked })
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .accept_encoding("")
        .allow_non_standard_methods(true)
        .timeout_global(Some(TIMEOUT))
        .build();
    config.new_agent()
}

impl Reply {
    /// A header's values, joined; empty if it is not there.
    pub fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Whether a header is there.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// All of them but those that differ from answer to answer.
    pub fn lasting_headers(&self) -> Vec<(String, String)> {
        // HEAD tells no length if the server does not want to; all else has to agree.
        let passing = ["date", "server-timing", "connection", "cmsd-dynamic", "transfer-encoding", "age"];
        let mut lasting: Vec<_> = self.headers.clone();
        lasting.retain(|(name, _)| !passing.contains(&name.to_ascii_lowercase().as_str()));
        lasting.sort();
        lasting
    }

    /// `Headwater-Outcome`.
    pub fn outcome(&self) -> String {
        self.header("headwater-outcome")
    }

    /// The seconds of `max-age`.
    pub fn max_age(&self) -> u64 {
        let control = self.header("cache-control");
        let age = control.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
        age.unwrap_or_else(|| panic!("no max-age in `{control}` of {self:?}"))
    }

    /// `Headwater-Max-Age-Ms`.
    pub fn max_age_ms(&self) -> u64 {
        let value = self.header("headwater-max-age-ms");
        value.parse().unwrap_or_else(|_| panic!("no milliseconds in `{value}` of {self:?}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.asked, self.text()))
    }

    /// Checks the status and hands the reply on.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Checks status, `Cache-Control` and outcome: a row of the decision table.
    #[track_caller]
    pub fn expect_row(self, status: u16, cache_control: &str, outcome: &str) -> Self {
        let got = (self.status, self.header("cache-control"), self.outcome());
        let wanted = (status, cache_control.to_owned(), outcome.to_owned());
        assert_eq!(got, wanted, "{self:?}");
        self
    }

    /// Checks that it is a problem document (RFC 9457) of `status` that says `word`.
    #[track_caller]
    pub fn expect_problem(self, status: u16, word: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{}: {}", reply.asked, reply.text());
        let problem = reply.json();
        assert!(problem["type"].as_str().is_some_and(|kind| !kind.is_empty()), "no stable type: {problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "no title: {problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(reply.text().contains(word), "{}: no `{word}` in {problem}", reply.asked);
        reply
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {} after {:?}", self.asked, self.status, self.took)?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {value}")?;
        }
        write!(f, "  {} bytes: {}", self.body.len(), excerpt(&self.body).escape_debug())
    }
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned()
}
