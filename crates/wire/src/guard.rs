//! Watches the framing of a connection's requests before hyper reads it, so that every request has exactly one
//! meaning, here and at any proxy in front: what is ambiguous is refused with a problem document, not guessed at.
//!
//! The guard follows heads *and* bodies, because only who knows where a body ends knows where the next head begins. It
//! keeps a few numbers, never bytes, and it never changes what it lets through.

mod chunked;
mod head;
mod refusal;

pub use refusal::Refusal;

use chunked::Chunked;
use head::Head;

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// By its length, 0 if the head announced no body.
    Length(u64),
    /// In chunks.
    Chunked,
}

enum Place {
    Head(Head),
    /// In a body of known length, of which this much is to come.
    Body(u64),
    Chunks(Chunked),
}

/// What a look at received bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How many of them may go on to the HTTP library: whole heads and bytes of bodies. The rest is to be shown again,
    /// with what comes after it.
    pub pass: usize,
    /// Why nothing after those may go on, ever.
    pub stop: Option<Stop>,
}

/// What ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The next head is refused.
    Refused(Refusal),
    /// The chunks of a body are malformed: the request that has it fails.
    BrokenBody,
}

/// Follows the requests of one connection.
pub struct Guard {
    place: Place,
}

impl Default for Guard {
    fn default() -> Self {
        Self { place: Place::Head(Head::default()) }
    }
}

impl Guard {
    /// Looks at `bytes`: all that has been received and not been passed on.
    pub fn look(&mut self, bytes: &[u8]) -> Seen {
        let mut pass = 0;
        loop {
            let rest = &bytes[pass..];
            match &mut self.place {
                Place::Head(head) => match head.read(rest) {
                    Ok(None) => return Seen { pass, stop: None },
                    Ok(Some((length, framing))) => {
                        pass += length;
                        self.place = match framing {
                            Framing::Length(0) => Place::Head(Head::default()),
                            Framing::Length(length) => Place::Body(length),
                            Framing::Chunked => Place::Chunks(Chunked::default()),
                        };
                    }
                    Err(refusal) => return Seen { pass, stop: Some(Stop::Refused(refusal)) },
                },
                Place::Body(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    pass += taken;
                    *left -= taken as u64;
                    if *left > 0 {
                        return Seen { pass, stop: None };
                    }
                    self.place = Place::Head(Head::default());
                }
                Place::Chunks(chunked) => match chunked.read(rest) {
                    Ok((taken, chunked::End::NotYet)) => return Seen { pass: pass + taken, stop: None },
                    Ok((taken, chunked::End::Reached)) => {
                        pass += taken;
                        self.place = Place::Head(Head::default());
                    }
                    Err(chunked::Malformed) => return Seen { pass, stop: Some(Stop::BrokenBody) },
                },
            }
        }
    }

    /// Whether a body has begun and not ended.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        !matches!(self.place, Place::Head(_))
    }

    /// Whether the head that has begun, or failed, is that of a HEAD request: its answer has no body.
    #[must_use]
    pub fn wants_no_body(&self) -> bool {
        matches!(&self.place, Place::Head(head) if head.is_of_head_request())
    }
}

#[cfg(test)]
#[path = "guard/tests.rs"]
mod tests;
