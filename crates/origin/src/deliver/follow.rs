//! Readers of a segment that is still arriving (contract §5): who can follow it, and who has to wait for its end.

use headwater_model::Timestamp;
use http::{Method, Version};

use crate::Origin;
use crate::deliver::hold::{self, Settled};
use crate::route::Route;

/// Whether the answer may be sent while it arrives. HEAD asks for what is known at the end only, and HTTP/1.0 has no
/// way to tell an answer that was cut off from a whole one.
fn can_follow(head: &http::request::Parts) -> bool {
    head.method == Method::GET && head.version >= Version::HTTP_11
}

/// As [`hold::settle`], but what is chosen in flight is waited for on behalf of those who cannot follow it: as long as
/// its upload may take.
pub(super) async fn settle(
    origin: &Origin,
    route: &Route,
    (rendition, number): (&str, u64),
    arrived: Timestamp,
    head: &http::request::Parts,
    held: &mut bool,
) -> Settled {
    loop {
        let settled = hold::settle(origin, route, rendition, number, arrived, held).await;
        let Settled::Follow(flight, _) = &settled else { return settled };
        if can_follow(head) {
            return settled;
        }
        *held = true;
        tokio::select! {
            () = flight.flow.ended() => {}
            () = origin.drain.started() => return Settled::Unavailable,
        }
    }
}
