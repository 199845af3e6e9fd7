//! From a request target to what it names (contract §2). Pure; the same for both faces of the origin.

use std::borrow::Cow;
use std::sync::Arc;

use headwater_model::document::Document;
use headwater_model::row::{Object, PATH_LEN_MAX};
use headwater_model::template::{Fit, Position};
use headwater_model::{EventName, Pipeline, Rendition, Tenant};

/// The path by which edges learn of an event's changes; nobody may publish it.
pub const EVENT_JSON: &str = "event.json";

/// A path that is one of this server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Whose event.
    pub tenant: Tenant,
    /// Which event.
    pub event: EventName,
    /// The pipeline named by `@a` right after the event.
    pub pipeline: Option<Pipeline>,
    /// The rest, decoded; empty for the event's base path.
    pub path: String,
}

/// Why a path is none of ours: 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Too long.
    #[error("the path has over {PATH_LEN_MAX} bytes; use shorter names")]
    TooLong,
    /// A percent escape that is none, or that hides what a path may not have.
    #[error("the path has a bad escape (`%2F`, a control character or no two hex digits); write it plainly")]
    BadEscape,
    /// `..`, `.` or an empty part.
    #[error("the path has an empty part, `.` or `..`; write /tenant/event/path")]
    BadPart,
    /// It has no tenant and event.
    #[error("the path names no event; write /tenant/event/path")]
    TooShort,
    /// A name breaks its rule.
    #[error(transparent)]
    BadName(#[from] headwater_model::name::NameError),
}

/// Reads a request path.
///
/// # Errors
/// [`RouteError`] for what contract §2 answers with 400.
pub fn parse(raw: &str) -> Result<Route, RouteError> {
    if raw.len() > PATH_LEN_MAX {
        return Err(RouteError::TooLong);
    }
    let decoded = decode(raw)?;
    let rest = decoded.strip_prefix('/').ok_or(RouteError::TooShort)?;
    let (tenant, rest) = rest.split_once('/').ok_or(RouteError::TooShort)?;
    let (event, mut path) = rest.split_once('/').unwrap_or((rest, ""));
    let (tenant, event) = (Tenant::new(tenant)?, EventName::new(event)?);
    let mut pipeline = None;
    if let Some(marked) = path.strip_prefix('@') {
        let (name, rest) = marked.split_once('/').unwrap_or((marked, ""));
        pipeline = Some(Pipeline::new(name)?);
        path = rest;
    }
    if !path.is_empty() && path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(RouteError::BadPart);
    }
    Ok(Route { tenant, event, pipeline, path: path.to_owned() })
}

fn decode(raw: &str) -> Result<Cow<'_, str>, RouteError> {
    // Nearly every path is written plainly.
    if raw.bytes().fold(true, |plain, byte| plain & !matches!(byte, 0..0x20 | b'%' | b'\\' | 0x7F..)) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        let decoded = if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| (digit as char).to_digit(16)).ok_or(RouteError::BadEscape);
            let byte = (digit()? * 16 + digit()?) as u8;
            if byte == b'/' {
                return Err(RouteError::BadEscape);
            }
            byte
        } else {
            byte
        };
        if decoded.is_ascii_control() || decoded == b'\\' {
            return Err(RouteError::BadEscape);
        }
        bytes.push(decoded);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| RouteError::BadEscape)
}

/// What a path means under an event's templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The event itself.
    Base,
    /// `event.json`.
    EventJson,
    /// A media segment. `number` is `None` if the path has `$Time$` and the timescale is not known.
    Segment {
        /// Of which rendition.
        rendition: Rendition,
        /// Which segment.
        number: Option<u64>,
    },
    /// An init segment.
    Init {
        /// Of which rendition.
        rendition: Rendition,
    },
    /// A loose object.
    Loose {
        /// Its path.
        path: Arc<str>,
    },
}

impl Target {
    /// The stored object, if the target is one.
    #[must_use]
    pub fn object(&self) -> Option<Object> {
        match self {
            Self::Base | Self::EventJson | Self::Segment { number: None, .. } => None,
            Self::Segment { rendition, number: Some(number) } => {
                Some(Object::Segment { rendition: rendition.clone(), number: *number })
            }
            Self::Init { rendition } => Some(Object::Init { rendition: rendition.clone() }),
            Self::Loose { path } => Some(Object::Loose { path: path.clone() }),
        }
    }
}

/// Reads `path` under `document`. `timescale` tells a rendition's timescale, for `$Time$`.
pub fn target(document: &Document, path: &str, timescale: impl Fn(&Rendition) -> Option<u32>) -> Target {
    match path {
        "" => return Target::Base,
        EVENT_JSON => return Target::EventJson,
        _ => {}
    }
    let rendition = |fit: &Fit| fit.rendition.clone().unwrap_or_else(|| document.only_rendition());
    if let Some(fit) = document.media.fit(path) {
        let rendition = rendition(&fit);
        let scale = matches!(fit.position, Some(Position::Time(_))).then(|| timescale(&rendition)).flatten();
        let number = fit.position.and_then(|position| document.number_of(position, scale));
        return Target::Segment { rendition, number };
    }
    if let Some(fit) = document.init.fit(path) {
        return Target::Init { rendition: rendition(&fit) };
    }
    Target::Loose { path: path.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_tenant_event_pipeline_and_rest() {
        let route = parse("/live/game7/@a/v1080/1042.m4s").unwrap();
        assert_eq!((route.tenant.as_str(), route.event.as_str()), ("live", "game7"));
        assert_eq!((route.pipeline.unwrap().as_str(), route.path.as_str()), ("a", "v1080/1042.m4s"));
        assert_eq!(parse("/live/game7").unwrap().path, "");
        assert_eq!(parse("/live/game7/").unwrap().path, "");
        assert_eq!(parse("/live/game7/a%20b.mpd").unwrap().path, "a b.mpd");
    }

    #[test]
    fn paths_of_no_object_are_refused() {
        for path in [
            "/",
            "",
            "/live",
            "live/e/x",
            "//e/x",
            "/live//x",
            "/live/e//x",
            "/live/e/x//y",
            "/live/e/x/",
            "/live/e/../x",
            "/live/e/%2e%2e/x",
            "/live/e/./x",
            "/live/e/a%2Fb",
            "/live/e/a%2fb",
            "/live/e/%00",
            "/live/e/%",
            "/live/e/%4",
            "/live/e/%zz",
            "/-live/e/x",
            "/live/e!/x",
            "/live/e/@A/x",
            "/live/e/%ff",
            "/live/e/@a//x",
            "/live/e/a%5Cb",
        ] {
            assert!(parse(path).is_err(), "{path}");
        }
        assert_eq!(parse(&format!("/live/e/{}", "x".repeat(1017))), Err(RouteError::TooLong));
        assert!(parse(&format!("/live/e/{}", "x".repeat(1016))).is_ok());
    }

    #[test]
    fn templates_decide_what_a_path_means() {
        let document = Document::default();
        let target = |path: &str| target(&document, path, |_| None);
        let rendition = Rendition::new("v").unwrap();
        assert_eq!(target("v/42.m4s"), Target::Segment { rendition: rendition.clone(), number: Some(42) });
        assert_eq!(target("v/init.mp4"), Target::Init { rendition });
        assert_eq!(target("v/0042.m4s"), Target::Loose { path: "v/0042.m4s".into() });
        assert_eq!((target(""), target("event.json")), (Target::Base, Target::EventJson));
    }
}
