//! The running origin that an event is exported from or imported into, by its three listeners. What may pass (a
//! restart, a 503 under load) is waited for, so long as [`ATTEMPTS_MAX`] allows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use headwater_model::{EventName, Pipeline, Rendition, Tenant};
use headwater_store::stamp::Clock;
use headwater_wire::Outbound;
use headwater_wire::client::{Answer, Client, ClientError};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::manifest::{Mask, Notification, Object};

/// Most attempts at one request: with the pauses below about two minutes, in which a server restarts and a rush ends.
const ATTEMPTS_MAX: u32 = 10;
/// The pause after the first failure; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
/// Longest pause, whatever `Retry-After` says.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Largest answer of the ops API and largest refusal that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Largest object that is read: what an origin can be configured to take at most.
const OBJECT_BYTES_MAX: usize = 1 << 30;
/// Most segments of one page of the timeline: what the ops API gives.
pub const PAGE: u64 = 1000;

const OUTCOME: HeaderName = HeaderName::from_static("headwater-outcome");
const PIPELINE: HeaderName = HeaderName::from_static("headwater-pipeline");
const DEFECTS: HeaderName = HeaderName::from_static("headwater-defects");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Where the listeners are.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// The ops API, like `http://127.0.0.1:7090`.
    pub ops: String,
    /// The deliver listener; empty for an import.
    pub deliver: String,
    /// The publish listener; empty for an export.
    pub publish: String,
}

/// A running origin.
pub struct Origin {
    client: Client,
    clock: Arc<dyn Clock>,
    at: Listeners,
    authorization: Option<HeaderValue>,
}

/// What the ops API says of an event.
#[derive(Clone, Debug, Deserialize)]
pub struct EventView {
    /// Counts every change.
    pub rev: u64,
    /// The highest stored number.
    #[serde(default)]
    pub highest_number: Option<u64>,
    /// Every rendition that is declared or has been published.
    pub renditions: Vec<Rendition>,
    /// The newest document.
    pub document: Value,
}

/// What the timeline says of a segment.
#[derive(Clone, Debug, Deserialize)]
pub struct SegmentView {
    /// Its number.
    pub number: u64,
    /// What a reader would be told.
    pub outcome: String,
    /// The pipeline that is served.
    #[serde(default)]
    pub served: Option<Pipeline>,
    /// What each pipeline has published.
    pub candidates: Vec<CandidateView>,
}

/// One pipeline's candidate.
#[derive(Clone, Debug, Deserialize)]
pub struct CandidateView {
    /// Whose.
    pub pipeline: Pipeline,
    /// As in `Headwater-Defects`.
    #[serde(default)]
    pub defects: Option<String>,
    /// Bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// With its quotes.
    #[serde(default)]
    pub etag: Option<String>,
}

/// What the deliver listener has under a path.
#[derive(Clone, Debug)]
pub enum Delivered {
    /// Bytes, and who published them.
    Object {
        /// The whole object.
        bytes: Bytes,
        /// Whose candidate it is.
        pipeline: Pipeline,
        /// As in `Headwater-Defects`.
        defects: Option<String>,
    },
    /// Nothing; the word of `Headwater-Outcome`.
    Nothing(String),
}

impl Origin {
    /// An origin at `at`; `credential` is `USER:SECRET` of a publisher. Nothing is sent yet.
    ///
    /// # Errors
    /// The credential cannot be sent.
    pub fn new(at: Listeners, credential: Option<&str>, clock: Arc<dyn Clock>) -> Result<Self> {
        let value = credential.map(|credential| HeaderValue::try_from(format!("Basic {}", BASE64.encode(credential))));
        let mut authorization = value.transpose()?;
        if let Some(value) = &mut authorization {
            value.set_sensitive(true);
        }
        Ok(Self { client: Client::default(), clock, at, authorization })
    }

    /// The clock that pauses go by.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What an event is; `None` if there is none. The first thing that is asked: where nobody answers, it fails at once.
    ///
    /// # Errors
    /// Nobody answers, or the tenant is unknown.
    pub async fn event(&self, tenant: &Tenant, event: &EventName) -> Result<Option<EventView>> {
        let url = self.ops_url(tenant, event, "");
        let answer = self.send_once(&Method::GET, &url, &HeaderMap::new(), &Bytes::new(), ANSWER_BYTES_MAX).await;
        let answer = answer.with_context(|| "the ops API does not answer; say where it is with --ops URL")?;
        if answer.status == 404 && problem(&answer)["type"].as_str().is_some_and(|kind| kind.ends_with("unknown-event"))
        {
            return Ok(None);
        }
        read(&url, &answer).map(Some)
    }

    /// One page of the timeline.
    ///
    /// # Errors
    /// The ops API refuses or does not answer.
    pub async fn timeline(
        &self,
        (tenant, event): (&Tenant, &EventName),
        rendition: &Rendition,
        from: u64,
        to: u64,
    ) -> Result<Vec<SegmentView>> {
        self.ops_get(tenant, event, &format!("/timeline?rendition={rendition}&from={from}&to={to}")).await
    }

    /// The masks in force.
    ///
    /// # Errors
    /// The ops API refuses or does not answer.
    pub async fn masks(&self, tenant: &Tenant, event: &EventName) -> Result<Vec<Mask>> {
        self.ops_get(tenant, event, "/masks").await
    }

    /// The latest notifications.
    ///
    /// # Errors
    /// The ops API refuses or does not answer.
    pub async fn notifications(&self, tenant: &Tenant, event: &EventName) -> Result<Vec<Notification>> {
        self.ops_get(tenant, event, "/notifications").await
    }

    async fn ops_get<T: DeserializeOwned>(&self, tenant: &Tenant, event: &EventName, rest: &str) -> Result<T> {
        let url = self.ops_url(tenant, event, rest);
        let answer = self.send(Method::GET, &url, HeaderMap::new(), Bytes::new(), ANSWER_BYTES_MAX).await?;
        read(&url, &answer)
    }

    /// Changes something by the ops API.
    ///
    /// # Errors
    /// The ops API refuses or does not answer.
    pub async fn ops_send(
        &self,
        method: Method,
        (tenant, event): (&Tenant, &EventName),
        rest: &str,
        body: &impl serde::Serialize,
    ) -> Result<()> {
        let url = self.ops_url(tenant, event, rest);
        let body = Bytes::from(serde_json::to_vec(body)?);
        let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let answer = self.send(method, &url, json, body, ANSWER_BYTES_MAX).await?;
        read::<Value>(&url, &answer).map(drop)
    }

    fn ops_url(&self, tenant: &Tenant, event: &EventName, rest: &str) -> String {
        format!("{}/v1/tenants/{tenant}/events/{event}{rest}", self.at.ops)
    }

    /// Reads what is served under `path` of an event.
    ///
    /// # Errors
    /// Nobody answers, or an answer makes no sense.
    pub async fn read(&self, tenant: &Tenant, event: &EventName, path: &str) -> Result<Delivered> {
        let url = format!("{}/{tenant}/{event}/{path}", self.at.deliver);
        let answer = self.send(Method::GET, &url, HeaderMap::new(), Bytes::new(), OBJECT_BYTES_MAX).await?;
        let word = |name: &HeaderName| answer.headers.get(name).and_then(|value| value.to_str().ok());
        if matches!(answer.status.as_u16(), 404 | 410)
            && let Some(outcome) = word(&OUTCOME)
        {
            return Ok(Delivered::Nothing(outcome.to_owned()));
        }
        if answer.status != 200 {
            bail!("{url}: {}; is it the deliver listener (--deliver URL) of the same headwater?", refusal(&answer));
        }
        let pipeline = word(&PIPELINE).with_context(|| format!("{url}: the answer names no pipeline"))?;
        let pipeline = pipeline.parse().with_context(|| format!("{url}: the answer's pipeline"))?;
        let defects = word(&DEFECTS).map(str::to_owned);
        Ok(Delivered::Object { bytes: answer.body, pipeline, defects })
    }

    /// Publishes `object`, whose bytes these are, and checks that it is kept as what it was.
    ///
    /// # Errors
    /// The origin refuses it, or has other bytes or another pipeline for it.
    pub async fn publish(
        &self,
        (tenant, event): (&Tenant, &EventName),
        object: &Object,
        bytes: Bytes,
        sha256: &[u8],
    ) -> Result<()> {
        let url = format!("{}/{tenant}/{event}/{}", self.at.publish, object.path);
        let mut headers = HeaderMap::new();
        headers.insert(PIPELINE, HeaderValue::from_str(object.pipeline.as_str())?);
        headers.insert(CONTENT_DIGEST, HeaderValue::try_from(format!("sha-256=:{}:", BASE64.encode(sha256)))?);
        if let Some(defects) = &object.defects {
            headers.insert(DEFECTS, HeaderValue::from_str(defects)?);
        }
        headers.extend(self.authorization.clone().map(|value| (header::AUTHORIZATION, value)));
        let answer = self.send(Method::PUT, &url, headers, bytes, ANSWER_BYTES_MAX).await?;
        if !matches!(answer.status.as_u16(), 200 | 201) {
            bail!("{url}: {}", refusal(&answer));
        }
        let told = answer.headers.get(header::ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if told != format!("\"{}\"", object.etag) {
            bail!("{url}: the origin answers with ETag {told}, the manifest has \"{}\"", object.etag);
        }
        Ok(())
    }

    /// Sends until there is an answer that will not be another one soon.
    async fn send(&self, method: Method, url: &str, headers: HeaderMap, body: Bytes, limit: usize) -> Result<Answer> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let asked = match self.send_once(&method, url, &headers, &body, limit).await {
                Ok(answer) if !matches!(answer.status.as_u16(), 408 | 429 | 500..) => return Ok(answer),
                Ok(answer) if attempt == ATTEMPTS_MAX => {
                    bail!("{url}: {} after {ATTEMPTS_MAX} attempts; run the command again later", refusal(&answer))
                }
                Ok(answer) => retry_after(&answer.headers),
                Err(error @ (ClientError::BadUrl(_) | ClientError::TooLarge(_))) => {
                    return Err(error).with_context(|| url.to_owned());
                }
                Err(error) if attempt == ATTEMPTS_MAX => {
                    return Err(error).with_context(|| format!("{url}, after {ATTEMPTS_MAX} attempts"));
                }
                Err(_) => None,
            };
            self.clock.sleep(asked.unwrap_or(pause).max(pause).min(PAUSE_MAX)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        unreachable!("the last attempt returns")
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &str,
        headers: &HeaderMap,
        body: &Bytes,
        limit: usize,
    ) -> Result<Answer, ClientError> {
        self.client.send(method.clone(), url, headers.clone(), Outbound::from(body.clone()), limit).await
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn problem(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

/// A success's JSON.
fn read<T: DeserializeOwned>(url: &str, answer: &Answer) -> Result<T> {
    if !answer.status.is_success() {
        bail!("{url}: {}", refusal(answer));
    }
    serde_json::from_slice(&answer.body).with_context(|| format!("{url}: the answer is none of the ops API"))
}

/// A refusal in one line.
fn refusal(answer: &Answer) -> String {
    let problem = problem(answer);
    let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
    match text("title") {
        title if title.is_empty() => format!("the server answered {}", answer.status.as_u16()),
        title => format!("{title} ({}): {}", answer.status.as_u16(), text("detail")),
    }
}

#[cfg(test)]
#[path = "origin/tests.rs"]
mod tests;
