//! The one word for how a request ended (contract §5), used in code, logs, metric labels, response headers, the
//! console and tests.

/// How a request on the deliver listener ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Row 1: no path of this server.
    BadRequest,
    /// Row 2: no such tenant, event or rendition.
    Unknown,
    /// Row 3: outside of the event's numbers.
    Never,
    /// Row 4: older than the DVR window.
    Expired,
    /// Row 5: not due, and not the next one.
    TooEarly,
    /// Row 6: was held and did not come.
    HeldTooLong,
    /// Row 6: due, but its publishers are silent.
    Silent,
    /// Row 7: served at once.
    Hit,
    /// Row 7: served after a hold.
    Held,
    /// Row 8: the least bad candidate was served.
    Defective,
    /// Row 9: did not come and will not.
    Missing,
    /// Row 10: hidden by a mask.
    Masked,
    /// Row 11: refused for the sake of live readers.
    Shed,
    /// Row 12: this node cannot answer now.
    Unavailable,
    /// A loose object or init segment that nobody has published.
    Absent,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 15] = [
        Self::BadRequest,
        Self::Unknown,
        Self::Never,
        Self::Expired,
        Self::TooEarly,
        Self::HeldTooLong,
        Self::Silent,
        Self::Hit,
        Self::Held,
        Self::Defective,
        Self::Missing,
        Self::Masked,
        Self::Shed,
        Self::Unavailable,
        Self::Absent,
    ];

    /// The word in `Headwater-Outcome`, metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unknown => "unknown",
            Self::Never => "never",
            Self::Expired => "expired",
            Self::TooEarly => "too-early",
            Self::HeldTooLong => "held-too-long",
            Self::Silent => "silent",
            Self::Hit => "hit",
            Self::Held => "held",
            Self::Defective => "defective",
            Self::Missing => "missing",
            Self::Masked => "masked",
            Self::Shed => "shed",
            Self::Unavailable => "unavailable",
            Self::Absent => "absent",
        }
    }

    /// The HTTP status, before conditions and ranges turn a 200 into 304, 206 or 416.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Hit | Self::Held | Self::Defective => 200,
            Self::BadRequest => 400,
            Self::Unknown | Self::TooEarly | Self::HeldTooLong | Self::Silent | Self::Absent => 404,
            Self::Never | Self::Expired | Self::Missing | Self::Masked => 410,
            Self::Shed | Self::Unavailable => 503,
        }
    }

    /// What it means, for the body of an error and for documentation.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::BadRequest => "no path of this server",
            Self::Unknown => "no such tenant, event or rendition",
            Self::Never => "outside of the event's segment numbers",
            Self::Expired => "older than the event's DVR window",
            Self::TooEarly => "not published yet",
            Self::HeldTooLong => "did not arrive while the request was held",
            Self::Silent => "due, but nobody publishes this rendition",
            Self::Hit => "served at once",
            Self::Held => "served after a hold",
            Self::Defective => "served although defective: nothing better came",
            Self::Missing => "was not published in time",
            Self::Masked => "hidden by an operator's mask",
            Self::Shed => "refused under load in favour of live readers; try again later",
            Self::Unavailable => "the store cannot be reached; try again",
            Self::Absent => "nobody has published this object",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_word_of_its_own() {
        let mut words: Vec<_> = Outcome::ALL.map(Outcome::word).into();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Outcome::ALL.len());
    }
}
