//! One upload, as a sane packager makes it: again after a failure that may pass, within the segment's own duration,
//! then given up and logged. Never two at once for one segment.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_model::Timestamp;
use headwater_store::stamp::Clock;
use headwater_wire::Outbound;
use headwater_wire::client::{Answer, Client};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::io::AsyncWriteExt;

/// Most attempts: with the pauses below they fill about half of a two-second segment.
pub const ATTEMPTS_MAX: u32 = 4;
/// The pause before the second attempt; doubled before each further one.
const PAUSE: Duration = Duration::from_millis(100);
/// Largest answer that is read: a problem document.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The origin has it.
    Acknowledged(StatusCode),
    /// The origin does not want it: trying again would not help.
    Refused(StatusCode, String),
    /// The origin could not take it now.
    Busy(StatusCode, String),
    /// There was no answer.
    Failed(String),
}

impl Attempt {
    /// The status of the answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Acknowledged(status) | Self::Refused(status, _) | Self::Busy(status, _) => Some(*status),
            Self::Failed(_) => None,
        }
    }

    fn read(answer: &Answer) -> Self {
        let status = answer.status;
        if status.is_success() {
            return Self::Acknowledged(status);
        }
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no reason given");
        let reason = format!("{} {detail}", status.as_u16());
        match status.as_u16() {
            408 | 429 | 500.. => Self::Busy(status, reason),
            _ => Self::Refused(status, reason),
        }
    }
}

/// Where and as whom a pipeline uploads.
#[derive(Clone)]
pub struct Target {
    client: Client,
    pipeline: HeaderValue,
}

impl Target {
    /// A pipeline with connections of its own.
    #[must_use]
    pub fn new(pipeline: &headwater_model::Pipeline) -> Self {
        let pipeline = HeaderValue::from_str(pipeline.as_str());
        Self { client: Client::default(), pipeline: pipeline.unwrap_or_else(|_| unreachable!("names are plain ASCII")) }
    }

    /// Sends the whole of `bytes`.
    pub async fn put(&self, url: &str, bytes: Bytes) -> Attempt {
        let headers =
            HeaderMap::from_iter([(http::HeaderName::from_static("headwater-pipeline"), self.pipeline.clone())]);
        let body = Outbound::from(bytes);
        match self.client.send(Method::PUT, url, headers, body, ANSWER_BYTES_MAX).await {
            Ok(answer) => Attempt::read(&answer),
            Err(error) => Attempt::Failed(error.to_string()),
        }
    }

    /// Announces all of `bytes`, sends half and lets the connection die.
    pub async fn put_half(&self, url: &str, bytes: Bytes) -> Attempt {
        let failed = |reason: String| Attempt::Failed(format!("the upload was cut off on purpose{reason}"));
        let Some((authority, path)) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')) else {
            return failed(format!(", and `{url}` is no http:// URL"));
        };
        let pipeline = self.pipeline.to_str().unwrap_or_default();
        let head = format!(
            "PUT /{path} HTTP/1.1\r\nhost: {authority}\r\nheadwater-pipeline: {pipeline}\r\ncontent-length: {}\r\n\r\n",
            bytes.len()
        );
        let sent = async {
            let mut stream = tokio::net::TcpStream::connect(authority).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&bytes[..bytes.len() / 2]).await?;
            stream.flush().await
        };
        match sent.await {
            Ok(()) => failed(String::new()),
            Err(error) => failed(format!(", after it failed by itself: {error}")),
        }
    }
}

/// Repeats `attempt` until it is acknowledged or refused, has been made [`ATTEMPTS_MAX`] times, or `until` has come.
/// `told` hears of every attempt. Returns how the last one ended.
pub async fn persist<F>(
    clock: &Arc<dyn Clock>,
    until: Timestamp,
    mut attempt: impl FnMut() -> F,
    mut told: impl FnMut(&Attempt),
) -> Attempt
where
    F: Future<Output = Attempt>,
{
    let mut pause = PAUSE;
    let mut tries = 0;
    loop {
        let left = until.nanos_since(clock.wall()).max(0);
        let left = Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX));
        let ended = tokio::select! {
            biased;
            ended = attempt() => ended,
            () = clock.sleep(left) => Attempt::Failed("no answer in the segment's time".to_owned()),
        };
        told(&ended);
        tries += 1;
        let is_over = matches!(ended, Attempt::Acknowledged(_) | Attempt::Refused(..));
        let has_time = until.nanos_since(clock.wall()) > pause.as_nanos() as i128;
        if is_over || tries == ATTEMPTS_MAX || !has_time {
            return ended;
        }
        clock.sleep(pause).await;
        pause *= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use headwater_model::Millis;

    use super::*;
    use crate::testing::Leap;

    fn busy() -> Attempt {
        Attempt::Busy(StatusCode::SERVICE_UNAVAILABLE, "503".into())
    }

    async fn run(answers: &[Attempt], time: Millis) -> (Attempt, usize) {
        let clock: Arc<dyn Clock> = Arc::new(Leap::default());
        let until = clock.wall() + time;
        let (mut left, mut count) = (answers.iter().cloned(), 0);
        let last = answers.last().cloned().unwrap();
        let ended = persist(&clock, until, || ready(left.next().unwrap_or(last.clone())), |_| count += 1).await;
        (ended, count)
    }

    #[tokio::test]
    async fn a_failure_that_passes_is_tried_again() {
        let ok = Attempt::Acknowledged(StatusCode::CREATED);
        assert_eq!(run(&[busy(), Attempt::Failed("gone".into()), ok.clone()], Millis(1920)).await, (ok, 3));
    }

    #[tokio::test]
    async fn a_refusal_is_not_tried_again() {
        let refused = Attempt::Refused(StatusCode::CONFLICT, "409".into());
        assert_eq!(run(std::slice::from_ref(&refused), Millis(1920)).await, (refused, 1));
    }

    #[tokio::test]
    async fn attempts_end_by_number_and_by_time() {
        assert_eq!(run(&[busy()], Millis(1920)).await, (busy(), ATTEMPTS_MAX as usize));
        assert_eq!(run(&[busy()], Millis(200)).await, (busy(), 2));
    }

    #[tokio::test]
    async fn an_origin_that_never_answers_costs_one_segment() {
        let clock: Arc<dyn Clock> = Arc::new(Leap::default());
        let until = clock.wall() + Millis(1920);
        let ended = persist(&clock, until, pending::<Attempt>, |_| {}).await;
        assert!(matches!(ended, Attempt::Failed(_)));
        assert_eq!(clock.wall(), until);
    }
}
