//! `event.json`: by it edges learn the template, the window and every change of an event (contract §7).

use std::sync::Arc;
use std::time::Duration;

use headwater_model::Outcome;
use headwater_model::event::Event;
use serde::Serialize;
use serde_json::Value;

use crate::Origin;
use crate::deliver::UNKNOWN_TTL;
use crate::deliver::answer::Answer;
use crate::live::Live;
use crate::ops::notifications::{NotificationView, latest};
use crate::route::Route;

/// How long a request waits for a change (contract §7): under the 30 s and 60 s after which proxies give up.
const POLL: Duration = Duration::from_secs(25);

#[derive(Serialize)]
struct EventJson<'a> {
    tenant: &'a str,
    event: &'a str,
    rev: u64,
    cache_version: u64,
    #[serde(flatten)]
    document: Value,
    invalidations: &'a [headwater_model::invalidation::Invalidation],
    notifications: Vec<NotificationView>,
    notifications_rev: u64,
}

/// The event as edges need it. With `?since=REV`, once something has changed since then, or after 25 s.
pub(super) async fn event_json(origin: &Origin, route: &Route, live: Arc<Live>, query: Option<&str>) -> Answer {
    if let Some(since) = query.and_then(since) {
        tokio::select! {
            () = live.revised_since(since) => {}
            () = origin.clock.sleep(POLL) => {}
            () = origin.drain.started() => {}
        }
    }
    // It may have been deleted, or made anew, meanwhile.
    let Some(live) = origin.catalog.live(route.tenant.as_str(), route.event.as_str()) else {
        return Answer::refusal(Outcome::Unknown, UNKNOWN_TTL);
    };
    let event = live.event();
    Answer::json(render(&event)).of_event(&event)
}

fn since(query: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix("since="))?.parse().ok()
}

fn render(event: &Event) -> String {
    let document = EventJson {
        tenant: event.tenant.as_str(),
        event: event.name.as_str(),
        rev: event.rev,
        cache_version: event.cache_version,
        document: event.document.to_value(),
        invalidations: &event.invalidations,
        notifications: latest(event),
        notifications_rev: event.notifications.latest().rev,
    };
    serde_json::to_string(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_finds_all_it_needs() {
        let live = crate::testing::live(r#"{"pipelines":["x"]}"#);
        let json: Value = serde_json::from_str(&render(&live.event())).unwrap();
        for field in [
            "tenant",
            "event",
            "rev",
            "cache_version",
            "media",
            "init",
            "dvr_window_s",
            "pipelines",
            "invalidations",
            "notifications",
        ] {
            assert!(json.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn a_revision_is_read_from_the_query() {
        assert_eq!(since("since=17"), Some(17));
        assert_eq!(since("a=1&since=17&b"), Some(17));
        assert_eq!(since("since=x"), None);
    }
}
