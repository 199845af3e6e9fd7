//! Time without a clock: moments, spans and the rational segment duration. Every moment is computed afresh from
//! whole numbers, so that segment 2^53 is as exact as segment 1 (no drift, contract §3).

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_MILLI: i128 = 1_000_000;

/// A moment: nanoseconds since the Unix epoch, UTC. 128 bits wide, because the expected publish time of segment
/// 2^53 of an event with 60 s segments lies far beyond what 64 bits of nanoseconds reach.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i128);

impl Timestamp {
    /// Before every moment that a clock can show.
    pub const MIN: Self = Self(i128::MIN / 4);
    /// After every moment that a clock can show.
    pub const MAX: Self = Self(i128::MAX / 4);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i128) -> Self {
        Self(nanos)
    }

    /// From whole milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis as i128 * NANOS_PER_MILLI)
    }

    /// From whole seconds since the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds as i128 * NANOS_PER_SECOND)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> i128 {
        self.0.div_euclid(NANOS_PER_MILLI)
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i128 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// The span from `earlier` to here, in milliseconds rounded down; negative if `earlier` is later.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i128 {
        (self.0 - earlier.0).div_euclid(NANOS_PER_MILLI)
    }

    /// The span from `earlier` to here in nanoseconds; negative if `earlier` is later.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> i128 {
        self.0 - earlier.0
    }

    /// Moves by a signed span in nanoseconds.
    #[must_use]
    pub const fn offset_nanos(self, nanos: i128) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Reads an RFC 3339 date and time.
    ///
    /// # Errors
    /// A sentence for a person, with an example that would do.
    pub fn parse_rfc3339(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|moment| Self(moment.as_nanosecond()))
            .map_err(|_| format!("`{text}` is no RFC 3339 time; write it like 2026-11-24T18:00:00Z"))
    }

    /// RFC 3339 in UTC, as short as exactness allows; moments outside of jiff's years are shown as its limits.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_jiff().to_string()
    }

    /// RFC 9110 §5.6.7 date, for `Last-Modified` and `Date`.
    #[must_use]
    pub fn to_http_date(self) -> String {
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&self.to_jiff()).unwrap_or_default()
    }

    /// Reads an RFC 9110 §5.6.7 date; `None` if it is none.
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let moment = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Self(moment.as_nanosecond()))
    }

    fn to_jiff(self) -> jiff::Timestamp {
        let low = jiff::Timestamp::MIN.as_nanosecond();
        let high = jiff::Timestamp::MAX.as_nanosecond();
        jiff::Timestamp::from_nanosecond(self.0.clamp(low, high)).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0.div_euclid(NANOS_PER_SECOND), self.0.rem_euclid(NANOS_PER_SECOND))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).map_err(serde::de::Error::custom)
    }
}

impl Add<Millis> for Timestamp {
    type Output = Self;
    fn add(self, span: Millis) -> Self {
        self.offset_nanos(span.nanos())
    }
}

impl Sub<Millis> for Timestamp {
    type Output = Self;
    fn sub(self, span: Millis) -> Self {
        self.offset_nanos(-span.nanos())
    }
}

/// A span in whole milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// From whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// In nanoseconds.
    #[must_use]
    pub const fn nanos(self) -> i128 {
        self.0 as i128 * NANOS_PER_MILLI
    }
}

/// A moment as both clocks show it. Schedules (`E(n)`, windows, TTLs) go by `wall`; the order of records goes by
/// `stamp`, which never runs backwards (architecture §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// UTC as the machine tells it; may jump.
    pub wall: Timestamp,
    /// Everything stamped up to here has been announced to whoever asks.
    pub stamp: Timestamp,
}

/// Shortest segment, in milliseconds (contract §3).
pub const SEGMENT_MILLIS_MIN: u64 = 100;
/// Longest segment, in milliseconds (contract §3).
pub const SEGMENT_MILLIS_MAX: u64 = 60_000;

/// The constant duration of a segment: `duration / timescale` seconds, exactly (59.94 fps gives 1001/500).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize)]
pub struct SegmentDuration {
    duration: u32,
    timescale: u32,
}

impl SegmentDuration {
    /// `duration / timescale` seconds.
    ///
    /// # Errors
    /// A sentence for a person, if the quotient is not between 100 ms and 60 s or a part is 0.
    pub fn new(duration: u32, timescale: u32) -> Result<Self, String> {
        if duration == 0 || timescale == 0 {
            return Err(format!("{duration}/{timescale}: both must be positive integers below 2^32"));
        }
        let (millis, scale) = (u64::from(duration) * 1000, u64::from(timescale));
        if millis < SEGMENT_MILLIS_MIN * scale || millis > SEGMENT_MILLIS_MAX * scale {
            return Err(format!("{duration}/{timescale} s: a segment lasts between 100 ms and 60 s"));
        }
        Ok(Self { duration, timescale })
    }

    /// The numerator.
    #[must_use]
    pub const fn duration(self) -> u32 {
        self.duration
    }

    /// The denominator.
    #[must_use]
    pub const fn timescale(self) -> u32 {
        self.timescale
    }

    /// How long `count` segments last, in nanoseconds rounded down.
    #[must_use]
    pub const fn nanos(self, count: i128) -> i128 {
        (count * self.duration as i128 * NANOS_PER_SECOND).div_euclid(self.timescale as i128)
    }

    /// How long one segment lasts, in whole milliseconds rounded down.
    #[must_use]
    pub const fn millis(self) -> Millis {
        Millis(self.duration as u64 * 1000 / self.timescale as u64)
    }

    /// Whole seconds of one segment, rounded down, but at least `least`.
    #[must_use]
    pub fn seconds_at_least(self, least: u64) -> u64 {
        u64::from(self.duration / self.timescale).max(least)
    }

    /// Where `count` segments end on a media timeline of `timescale` units a second, rounded to the nearest unit.
    #[must_use]
    pub const fn media_time(self, count: i128, timescale: u32) -> i128 {
        let (ticks, scale) = (count * self.duration as i128, self.timescale as i128);
        // Whole seconds apart from the rest: the product of all three would not fit.
        let (seconds, rest) = (ticks.div_euclid(scale), ticks.rem_euclid(scale));
        seconds * timescale as i128 + (rest * timescale as i128 * 2 + scale).div_euclid(scale * 2)
    }

    /// The count of whole segments nearest to media time `time` in `timescale` units a second: always within half a
    /// segment.
    #[must_use]
    pub const fn nearest(self, time: u64, timescale: u32) -> u64 {
        let unit = self.duration as u128 * timescale as u128;
        let count = (time as u128 * self.timescale as u128 * 2 + unit) / (unit * 2);
        if count > u64::MAX as u128 { u64::MAX } else { count as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_outside_100_ms_and_60_s_are_refused() {
        for (duration, timescale) in [(2, 1), (48, 25), (1001, 500), (1, 10), (60, 1), (u32::MAX, 100_000_000)] {
            assert!(SegmentDuration::new(duration, timescale).is_ok(), "{duration}/{timescale}");
        }
        for (duration, timescale) in [(0, 1), (1, 0), (99, 1000), (60_001, 1000), (u32::MAX, 1), (1, u32::MAX)] {
            assert!(SegmentDuration::new(duration, timescale).is_err(), "{duration}/{timescale}");
        }
    }

    #[test]
    fn http_dates_are_read_as_written() {
        let moment = Timestamp::from_seconds(784_111_777);
        assert_eq!(moment.to_http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(Timestamp::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(moment));
        assert_eq!(Timestamp::parse_http_date("yesterday"), None);
    }

    #[test]
    fn moments_far_outside_the_calendar_are_shown_without_a_panic() {
        assert!(Timestamp::MAX.to_rfc3339().starts_with("9999"));
        assert!(Timestamp::MIN.to_rfc3339().starts_with('-'));
    }

    fn any_duration() -> impl Strategy<Value = SegmentDuration> {
        (1..=u32::MAX, 1..=u32::MAX).prop_filter_map("out of range", |(d, t)| SegmentDuration::new(d, t).ok())
    }

    proptest! {
        #[test]
        fn no_drift_at_any_number(n in 0u64..=1 << 53, ticks in 100u32..=60_000, scale in 1u32..=1000) {
            let Ok(duration) = SegmentDuration::new(ticks, scale) else { return Ok(()) };
            let (n, exact) = (i128::from(n), i128::from(ticks) * NANOS_PER_SECOND);
            let error = duration.nanos(n) * i128::from(scale) - n * exact;
            prop_assert!(error <= 0 && -error < i128::from(scale), "off by {error}");
            prop_assert!(duration.nanos(n + 1) > duration.nanos(n));
        }

        #[test]
        fn the_nearest_segment_of_a_start_is_itself(count in 0u64..=1 << 40, duration in any_duration(), scale in 1000u32..=10_000_000) {
            let start = duration.media_time(i128::from(count), scale);
            prop_assume!(u64::try_from(start).is_ok());
            prop_assert_eq!(duration.nearest(start as u64, scale), count);
        }

        #[test]
        fn nothing_overflows(count in any::<u64>(), duration in any_duration(), scale in 1..=u32::MAX, time in any::<u64>()) {
            let _ = duration.nanos(i128::from(count));
            let _ = duration.nanos(-i128::from(count));
            let _ = duration.media_time(i128::from(count), scale);
            let _ = duration.nearest(time, scale);
        }
    }
}
