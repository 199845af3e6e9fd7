//! The side that follows: asks another node for what is new, looks up what it committed, and shows what is arriving there
//! to the readers here. Must never believe a commit, nor keep a flight whose feed is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use headwater_model::row::{Object, Row};
use headwater_store::{Body, Flow, Notice, Shared};
use headwater_wire::client::Client;
use http::{HeaderMap, Method};

use super::frame::{self, Frame};
use super::{POLL, Place};
use crate::Origin;
use crate::tail::flight::{Flight, InFlight};

/// Between two attempts to reach a node that does not answer.
const RETRY: Duration = Duration::from_millis(500);
/// A node that says nothing for this long beyond its poll is gone: a frozen one keeps its connections.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Largest answer: a batch of 1 MiB and one more frame, of 1 MiB of an upload or an event's entry, with room for builds
/// that cut less finely; no ops listener answers more.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Where the follower stands in a feed: `boot:next`.
pub const PLACE_HEADER: &str = "headwater-feed-place";
/// Whether something was lost before this answer.
pub const GAP_HEADER: &str = "headwater-feed-gap";

/// Follows the node at `address`, `HOST:PORT`, for as long as this process runs.
pub async fn run(origin: Arc<Origin>, address: String) {
    let client = Client::default();
    let (mut place, mut is_lost) = (None, false);
    let mut flights = HashMap::new();
    while !origin.drain.has_started() {
        let asked = ask(&client, &address, place);
        let answer = tokio::select! {
            answer = asked => answer,
            () = origin.clock.sleep(POLL + SILENCE_MAX) => Err("it does not answer".to_owned()),
            () = origin.drain.started() => return,
        };
        match answer {
            // One file for all nodes names this one too.
            Ok((now_at, ..)) if origin.feed.as_ref().is_some_and(|feed| feed.place().boot == now_at.boot) => return,
            Ok((now_at, has_gap, frames)) => {
                if is_lost {
                    origin.metrics.feed(false);
                    tracing::info!(%address, "the feed of a node is back");
                }
                is_lost = false;
                // A flight of which something was lost must not be shown as whole.
                if has_gap {
                    flights.clear();
                }
                place = Some(now_at);
                apply(&origin, &mut flights, frames).await;
            }
            Err(why) => {
                if !is_lost {
                    origin.metrics.feed(true);
                    tracing::warn!(%address, why, "the feed of a node is lost; what it commits is seen a little later");
                }
                (is_lost, place) = (true, None);
                flights.clear();
                origin.clock.sleep(RETRY).await;
            }
        }
    }
}

async fn ask(client: &Client, address: &str, place: Option<Place>) -> Result<(Place, bool, Vec<Frame>), String> {
    let url = match place {
        None => format!("http://{address}/v1/feed"),
        Some(Place { boot, next }) => format!("http://{address}/v1/feed?boot={boot}&next={next}"),
    };
    let answer = client.send(Method::GET, &url, HeaderMap::new(), Bytes::new().into(), ANSWER_BYTES_MAX).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status != http::StatusCode::OK {
        return Err(format!("it answers {}", answer.status));
    }
    let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let place = header(PLACE_HEADER).and_then(|text| {
        let (boot, next) = text.split_once(':')?;
        Some(Place { boot: boot.parse().ok()?, next: next.parse().ok()? })
    });
    let place = place.ok_or("it is no Headwater, or an older one")?;
    let frames = frame::decode(answer.body).map_err(|error| error.to_string())?;
    Ok((place, header(GAP_HEADER) == Some("?1"), frames))
}

/// An upload that arrives elsewhere.
struct Arriving {
    pieces: Vec<Bytes>,
    length: u64,
    flying: InFlight,
}

/// Takes in what has happened there, in its order; commits in a row are looked up together.
async fn apply(origin: &Arc<Origin>, flights: &mut HashMap<u64, Arriving>, frames: Vec<Frame>) {
    let Some(shared) = origin.store.shared() else { return };
    let mut commits = Vec::new();
    for frame in frames {
        if let Frame::Commit(notice) = frame {
            commits.push(notice);
            continue;
        }
        hear(shared, &mut commits).await;
        match frame {
            Frame::Commit(_) => {}
            Frame::Began { flight, row } => flights.extend(take_off(origin, row).map(|arriving| (flight, arriving))),
            Frame::Grown { flight, bytes } => {
                if let Some(arriving) = flights.get_mut(&flight) {
                    arriving.length += bytes.len() as u64;
                    arriving.pieces.push(bytes);
                    arriving.flying.show(&arriving.pieces, arriving.length);
                }
            }
            Frame::Landed { flight, row } => {
                // Known before it leaves the flights: a reader sees it in one of the two.
                let size = row.size;
                shared.hear(Notice::Published(row)).await;
                if let Some(mut arriving) = flights.remove(&flight).filter(|arriving| arriving.length == size) {
                    arriving.flying.land(&Body::from(std::mem::take(&mut arriving.pieces)));
                }
            }
            Frame::Died { flight } => drop(flights.remove(&flight)),
        }
    }
    hear(shared, &mut commits).await;
}

async fn hear(shared: &dyn Shared, commits: &mut Vec<Notice>) {
    join_all(commits.drain(..).map(|notice| shared.hear(notice))).await;
}

/// Shows an upload to the readers here; `None` if its event is not known, or nobody may follow it.
fn take_off(origin: &Arc<Origin>, row: Row) -> Option<Arriving> {
    let live = origin.catalog.of(&row.key)?;
    let Object::Segment { rendition, .. } = &row.key.object else { return None };
    let tail = live.tail_or_new(rendition);
    let mut flying = None;
    origin.store.arrive(&mut |stamp| {
        // By its own node's clock it may lie ahead of ours; it is here now.
        let first = row.first.min(stamp);
        let row = Row { first, sound: Some(first), ..row.clone() };
        let flight = Arc::new(Flight { row, flow: Arc::new(Flow::default()) });
        if tail.take_off(&flight) {
            flying = Some(flight);
        }
    });
    let flying = InFlight::new(&origin.catalog, &tail, &flying?);
    Some(Arriving { pieces: Vec::new(), length: 0, flying })
}
