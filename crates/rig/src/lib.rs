//! Simulated pipelines: they publish the built-in clip for ever, as two encoders with their packagers would, and fail
//! on command. The demo, the benchmarks and the tests need publishers whose faults are known to the segment; real
//! encoders cannot be told to lose segment 1042.
//!
//! A rig talks to an origin over HTTP alone, like any packager, and never publishes a segment that is older than one
//! segment duration: an encoder that was stopped goes on at the live edge.
//!
//! Read in this order: [`schedule`], [`fault`], [`upload`], [`pipeline`], [`status`], [`controls`].

pub mod controls;
pub mod fault;
pub mod pipeline;
pub mod schedule;
pub mod status;
#[cfg(test)]
mod testing;
pub mod upload;

use std::sync::Arc;

use headwater_media::Clip;
use headwater_media::content::Letter;
use headwater_model::document::Document;
use headwater_model::{Millis, Rendition};
use headwater_store::stamp::Clock;

pub use controls::controls;
pub use fault::{Damage, Fault};
pub use pipeline::Line;
pub use status::{LineStatus, Status};

/// What is published where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The event's URL on the publish listener, like `http://127.0.0.1:7070/live/demo`.
    pub url: String,
    /// The event's document: templates, numbering, pipelines.
    pub document: Document,
    /// The renditions of the clip that are published; all of them if empty.
    pub renditions: Vec<String>,
    /// From the end of a segment to the start of its upload: what encoding and packaging cost.
    pub latency: Millis,
}

/// Encoding and packaging of a real pipeline take some tens of milliseconds past the segment's end.
pub const LATENCY: Millis = Millis(40);

/// Why a rig does not start.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// The clip cannot be cut to the event's segments.
    #[error("the event's segments last {found} s; the built-in clip is cut to 48/25 s, so use that")]
    Duration {
        /// What the document says.
        found: String,
    },
    /// The clip has no such rendition.
    #[error("the built-in clip has no rendition `{0}`; it has v360, v180 and audio")]
    Rendition(String),
    /// The URL is none of an event.
    #[error("`{0}` is no URL of an event; write one like http://127.0.0.1:7070/live/demo")]
    Url(String),
}

/// Pipelines that publish. Clones are handles to the same pipelines; dropping the last one kills them.
#[derive(Clone)]
pub struct Rig {
    shared: Arc<Shared>,
    lines: Arc<Vec<Arc<Line>>>,
}

/// What all pipelines of a rig share.
pub(crate) struct Shared {
    pub(crate) url: String,
    pub(crate) document: Document,
    pub(crate) clip: Clip,
    /// Positions in the clip, with the name checked.
    pub(crate) renditions: Vec<(usize, Rendition)>,
    pub(crate) latency: Millis,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Rig {
    /// Starts every pipeline of the document on the current runtime.
    ///
    /// # Errors
    /// [`RigError`]: the clip does not fit the plan.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(plan: Plan, clock: Arc<dyn Clock>) -> Result<Self, RigError> {
        let Plan { url, document, renditions, latency } = plan;
        if document.segment != Clip::segment_duration() {
            let found = format!("{}/{}", document.segment.duration(), document.segment.timescale());
            return Err(RigError::Duration { found });
        }
        let url = url.trim_end_matches('/').to_owned();
        let is_event = url.parse::<http::Uri>().is_ok_and(|uri| {
            uri.scheme_str() == Some("http") && uri.path().split('/').filter(|part| !part.is_empty()).count() == 2
        });
        if !is_event {
            return Err(RigError::Url(url));
        }
        let clip = Clip::builtin();
        let renditions = chosen(&clip, &renditions)?;
        let shared = Arc::new(Shared { url, document, clip, renditions, latency, clock });
        let runtime = tokio::runtime::Handle::current();
        let lines = shared.document.rules.pipelines.iter().enumerate();
        let lines = lines.map(|(rank, name)| {
            let line = Line::new(name.clone(), Letter::of_rank(rank), Arc::clone(&shared), runtime.clone());
            line.revive();
            line
        });
        let lines = Arc::new(lines.collect());
        Ok(Self { shared, lines })
    }

    /// The pipeline `name`, if the rig has it.
    #[must_use]
    pub fn pipeline(&self, name: &str) -> Option<&Arc<Line>> {
        self.lines.iter().find(|line| line.name.as_str() == name)
    }

    /// The pipelines in the event's order.
    #[must_use]
    pub fn pipelines(&self) -> &[Arc<Line>] {
        &self.lines
    }

    /// The document that the pipelines go by.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.shared.document
    }

    /// How all pipelines are.
    #[must_use]
    pub fn status(&self) -> Status {
        let wall = self.shared.clock.wall();
        Status {
            url: self.shared.url.clone(),
            time: wall.to_rfc3339(),
            next_number: self.shared.document.next_number(wall),
            pipelines: self.lines.iter().map(|line| line.status()).collect(),
        }
    }

    /// Kills every pipeline.
    pub fn stop(&self) {
        self.lines.iter().for_each(|line| line.kill());
    }
}

fn chosen(clip: &Clip, wanted: &[String]) -> Result<Vec<(usize, Rendition)>, RigError> {
    if let Some(unknown) = wanted.iter().find(|id| clip.rendition(id).is_none()) {
        return Err(RigError::Rendition(unknown.clone()));
    }
    let all = clip.renditions().iter().enumerate();
    let chosen = all.filter(|(_, rendition)| wanted.is_empty() || wanted.iter().any(|id| id == rendition.id()));
    chosen
        .map(|(index, rendition)| {
            let name = Rendition::new(rendition.id()).map_err(|_| RigError::Rendition(rendition.id().to_owned()))?;
            Ok((index, name))
        })
        .collect()
}
