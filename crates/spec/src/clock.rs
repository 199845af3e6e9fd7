//! The event's clock: when a segment is expected, by the case's document alone, and the wall clock to compare it with.
//! It must never ask the server: what the server believes is what is judged.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::case::Span;

/// Milliseconds since 1970 by the server's clock, which is `skew` ahead of ours.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wall {
    /// Milliseconds.
    pub(crate) skew: f64,
}

impl Wall {
    /// Now.
    pub(crate) fn now(self) -> f64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        since.as_secs_f64() * 1000.0 + self.skew
    }

    /// Sleeps until `moment`; by how many milliseconds it had passed already.
    pub(crate) fn sleep_until(self, moment: f64) -> f64 {
        let left = moment - self.now();
        if left > 0.0 {
            std::thread::sleep(Duration::from_secs_f64(left / 1000.0));
        }
        (-left).max(0.0)
    }
}

/// What the expected times follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// When the event begins, in milliseconds since 1970.
    pub(crate) start: f64,
    /// Milliseconds of a segment.
    pub(crate) duration: f64,
    start_number: f64,
    publish_delay: f64,
}

impl Timing {
    /// By `document`, whose event begins so that `next` has been next for `since` at `now`.
    pub(crate) fn beginning(document: &Value, now: f64, next: u64, since: Option<Span>) -> Self {
        let mut timing = Self::read(document, 0.0);
        let since = since.map_or(timing.duration / 2.0, |span| timing.length(span));
        // Whole milliseconds, as the document writes them.
        timing.start =
            (now - since - (next as f64 - timing.start_number) * timing.duration - timing.publish_delay).floor();
        timing
    }

    /// By a changed `document` that begins when it did.
    pub(crate) fn changed(self, document: &Value) -> Self {
        Self::read(document, self.start)
    }

    fn read(document: &Value, start: f64) -> Self {
        let number = |value: &Value, default: f64| value.as_f64().unwrap_or(default);
        let segment = &document["segment"];
        let duration = number(&segment["duration"], 2.0) * 1000.0 / number(&segment["timescale"], 1.0).max(1.0);
        let (start_number, publish_delay) =
            (number(&document["start_number"], 0.0), number(&document["publish_delay_ms"], 0.0));
        Self { start, duration, start_number, publish_delay }
    }

    /// `E(n)`.
    pub(crate) fn expected(self, number: f64) -> f64 {
        self.start + (number - self.start_number + 1.0) * self.duration + self.publish_delay
    }

    /// Milliseconds.
    pub(crate) fn length(self, span: Span) -> f64 {
        match span {
            Span::Time(time) => time.as_secs_f64() * 1000.0,
            Span::Segments(count) => count * self.duration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_where_the_case_wants_it() {
        let document =
            serde_json::json!({"segment": {"duration": 1, "timescale": 2}, "start_number": 3, "publish_delay_ms": 100});
        let timing = Timing::beginning(&document, 1_000_000.0, 10, None);
        assert_eq!(timing.expected(10.0) - timing.duration, 1_000_000.0 - 250.0);
    }
}
