//! Takes an upload's body in: into slabs, hashed while warm, whole or not at all.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use headwater_model::row::Digest;
use headwater_store::Body;
use headwater_store::slab::{Admission, Pool, Writer};
use headwater_wire::{BodyError, Inbound, Problem};
use http::HeaderMap;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout, timeout_at};

use crate::publish::follow::Followed;

/// How long an upload waits for its first memory before it is refused. The 2 s that a write may take (contract §4) are
/// for the store; a body takes at least this long to arrive when that many others do.
const MEMORY_WAIT: Duration = Duration::from_secs(5);
/// How long one that has some waits for more: it keeps others from what it holds.
const GROWTH_WAIT: Duration = Duration::from_secs(2);
/// How long one upload may draw on the last memory, for which the others wait: they must get it before they give up.
const TURN_MAX: Duration = Duration::from_secs(4);
/// For how long it may stand still meanwhile: a few round trips of any path that carries live media.
const TURN_STALL: Duration = Duration::from_millis(500);

/// A whole upload.
pub struct Received {
    /// Its bytes.
    pub body: Body,
    /// Of the bytes.
    pub digest: Digest,
    /// Its share of the memory, to be held until the store has the bytes.
    pub admission: Admission,
    /// Those who have followed it so far. Dropping it tells them that the upload has died.
    pub followed: Option<Followed>,
}

/// Reads the body to its end, and shows what has come to those who may follow it.
///
/// # Errors
/// 400 cut short or a wrong digest, 408 too slow, 413 too large, 503 no memory. Nothing is kept.
pub async fn receive(
    inbound: &mut Inbound,
    headers: &HeaderMap,
    pool: &Pool,
    limit: u64,
    mut followed: Option<Followed>,
) -> Result<Received, Problem> {
    let wanted = claimed_sha256(headers)?;
    let Ok(mut writer) = timeout(MEMORY_WAIT, pool.writer(inbound.length())).await else {
        return Err(no_memory(MEMORY_WAIT));
    };
    let mut sha = (!wanted.is_empty()).then(Sha256::new);
    let mut turn_ends = None;
    while let Some(frame) = next(inbound, &writer, &mut turn_ends).await? {
        if writer.len() + frame.len() as u64 > limit {
            return Err(too_large(limit));
        }
        if let Some(sha) = &mut sha {
            sha.update(&frame);
        }
        if timeout(GROWTH_WAIT, writer.push(&frame)).await.is_err() {
            return Err(no_memory(GROWTH_WAIT));
        }
        if let Some(followed) = &mut followed {
            followed.grown(&mut writer);
        }
    }
    if let Some(sha) = sha {
        check_digests(&wanted, sha.finalize().as_slice())?;
    }
    let (body, digest, admission) = writer.finish();
    Ok(Received { body, digest, admission, followed })
}

/// The next frame. Whoever draws on the reserve must be quick, because others wait for it.
async fn next(
    inbound: &mut Inbound,
    writer: &Writer,
    turn_ends: &mut Option<Instant>,
) -> Result<Option<Bytes>, Problem> {
    if !writer.has_turn() {
        return inbound.frame().await.transpose().map_err(broken);
    }
    #[expect(clippy::disallowed_methods, reason = "a deadline of the wire, on the monotonic clock of the runtime")]
    let now = Instant::now();
    let end = *turn_ends.get_or_insert(now + TURN_MAX);
    let frame = timeout_at(end.min(now + TURN_STALL), inbound.frame()).await.map_err(|_| no_memory(TURN_MAX))?;
    frame.transpose().map_err(broken)
}

/// A SHA-256 with the name of the field that claims it.
type Claimed = (&'static str, Vec<u8>);

/// Each SHA-256 that `Content-Digest` and `Repr-Digest` (RFC 9530) claim, on however many lines. Other algorithms are
/// left alone: SHA-256 of every body would cost as much as storing it.
fn claimed_sha256(headers: &HeaderMap) -> Result<Vec<Claimed>, Problem> {
    let mut claimed = Vec::new();
    for field in ["content-digest", "repr-digest"] {
        let lines = headers.get_all(field).into_iter().filter_map(|value| value.to_str().ok());
        let members = lines.flat_map(|line| line.split(',')).map(str::trim);
        for member in members.filter_map(|member| member.strip_prefix("sha-256=")) {
            claimed.push((field, sha256(field, member)?));
        }
    }
    Ok(claimed)
}

/// `:BASE64:`.
fn sha256(field: &'static str, member: &str) -> Result<Vec<u8>, Problem> {
    let base64 = member.strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    let decoded = base64.and_then(|base64| BASE64.decode(base64).ok()).filter(|bytes| bytes.len() == 32);
    decoded.ok_or_else(|| {
        let detail = format!("`{member}` is no sha-256 digest; write sha-256=:BASE64: (RFC 9530)");
        Problem::new(400, "bad-digest", "Malformed digest", detail).field(field)
    })
}

fn check_digests(claimed: &[Claimed], found: &[u8]) -> Result<(), Problem> {
    let Some((field, _)) = claimed.iter().find(|(_, wanted)| wanted != found) else { return Ok(()) };
    let detail = "the bytes received have another sha-256; send them again";
    Err(Problem::new(400, "wrong-digest", "The body does not match its digest", detail).field(*field))
}

fn broken(error: BodyError) -> Problem {
    let detail = error.to_string();
    match error {
        BodyError::CutShort => Problem::new(400, "body-cut-short", "The body was cut short", detail),
        BodyError::Stalled | BodyError::TooSlow => Problem::new(408, "body-timeout", "The body took too long", detail),
    }
}

/// 413.
pub fn too_large(limit: u64) -> Problem {
    let detail = format!("an upload has at most {limit} bytes; send shorter segments or raise body_bytes_max");
    Problem::new(413, "body-too-large", "The body is too large", detail)
}

fn no_memory(waited: Duration) -> Problem {
    let detail = format!(
        "uploads in progress hold all of upload_bytes, and {} s have not changed it; try again",
        waited.as_secs()
    );
    Problem::new(503, "no-memory", "No memory for another upload", detail).header(http::header::RETRY_AFTER, "1")
}
