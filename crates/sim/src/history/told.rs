//! A history in words, one line an operation, in the order in which they began: for whoever replays a seed.

use std::fmt;

use headwater_model::row::Digest;

use super::{Asked, Got, History, Lasting, Micros, Outcome, Publish, Quality, Read, Remask, Removal, Span, Url};

/// Digits of a digest that tell it from the others of one history.
const DIGITS: usize = 8;

/// A digest in short.
struct Short(Digest);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string()[..DIGITS])
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.begin, self.end)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.event, self.rendition, self.number)
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sound => "sound",
            Self::Defective => "defective",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Same => "the same",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, span, url, pipeline, digest, quality, outcome } = self;
        write!(f, "{span} {node}: publish {url} @{pipeline} {} {quality}: {outcome}", Short(*digest))
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(status) => write!(f, "nothing ({status})"),
            Self::Silence => f.write_str("no word"),
            Self::Media(media) => {
                write!(f, "@{} {}", media.pipeline, Short(media.etag))?;
                if let Some(body) = media.body.filter(|body| *body != media.etag) {
                    write!(f, " with the bytes of {}", Short(body))?;
                }
                if media.lasting == Lasting::Immutable { f.write_str(", immutable") } else { Ok(()) }
            }
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reader, node, span, url, asked, got } = self;
        let own = match asked {
            Asked::Chosen => String::new(),
            Asked::Own(pipeline) => format!(" @{pipeline}"),
        };
        write!(f, "{span} {node}: {reader} reads {url}{own}: {got}")
    }
}

impl fmt::Display for Remask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} masks of {}:", self.span, self.event)?;
        for mask in &self.masks {
            write!(f, " @{} from {:?} to {:?};", mask.pipeline, mask.from, mask.to)?;
        }
        write!(f, " {}", self.outcome)
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} remove {} @{}", self.span, self.url, self.pipeline)
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<(Micros, String)> = Vec::new();
        lines.extend(self.publishes.iter().map(|publish| (publish.span.begin, publish.to_string())));
        lines.extend(self.reads.iter().map(|read| (read.span.begin, read.to_string())));
        lines.extend(self.remasks.iter().map(|remask| (remask.span.begin, remask.to_string())));
        lines.extend(self.removals.iter().map(|removal| (removal.span.begin, removal.to_string())));
        lines.sort_by_key(|(begin, _)| *begin);
        lines.iter().try_for_each(|(_, line)| writeln!(f, "{line}"))
    }
}
