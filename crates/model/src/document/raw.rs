//! The event document as it is written: its defaults, and the rules that each field is checked by. Pure; every error names
//! the field and what to write.

use serde::{Deserialize, Serialize};

use super::{
    DEADLINE_MAX, Document, HOLD_MAX, Inspect, Invalid, PIPELINES_MAX, RENDITIONS_MAX, RenditionSpec, Rules, WAIT_MAX,
    WINDOW_SECONDS_MAX,
};
use crate::name::Pipeline;
use crate::template::Template;
use crate::time::{Millis, SegmentDuration, Timestamp};

/// The document as it is written, before its rules are checked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    availability_start_time: Timestamp,
    segment: RawSegment,
    start_number: u64,
    end_number: Option<u64>,
    pipelines: Vec<Pipeline>,
    init: String,
    media: String,
    renditions: Vec<RenditionSpec>,
    publish_delay_ms: Millis,
    hold_max_ms: Millis,
    retry_deadline_ms: Millis,
    prefer_wait_ms: Millis,
    defect_wait_ms: Millis,
    early_guard_ms: Millis,
    publish_ahead_max_s: u64,
    dvr_window_s: u64,
    live_window_s: u64,
    inspect: Inspect,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSegment {
    duration: u32,
    timescale: u32,
}

impl Default for Raw {
    /// The document of contract §3 with no rendition declared.
    fn default() -> Self {
        let pipeline = |name: &str| Pipeline::new(name).unwrap_or_else(|_| unreachable!("a constant name"));
        Self {
            availability_start_time: Timestamp::from_nanos(0),
            segment: RawSegment { duration: 2, timescale: 1 },
            start_number: 0,
            end_number: None,
            pipelines: vec![pipeline("a"), pipeline("b")],
            init: "$RepresentationID$/init.mp4".into(),
            media: "$RepresentationID$/$Number$.m4s".into(),
            renditions: Vec::new(),
            publish_delay_ms: Millis(0),
            hold_max_ms: Millis(4000),
            retry_deadline_ms: Millis(4000),
            prefer_wait_ms: Millis(250),
            defect_wait_ms: Millis(1000),
            early_guard_ms: Millis(50),
            publish_ahead_max_s: 60,
            dvr_window_s: 14_400,
            live_window_s: 30,
            inspect: Inspect::Mark,
        }
    }
}

impl Raw {
    /// The document that it is, if it breaks no rule.
    pub(super) fn check(self) -> Result<Document, Invalid> {
        let segment = self.check_segment()?;
        let (init, media) = self.check_templates()?;
        self.check_limits()?;
        check_pipelines(&self.pipelines)?;
        check_renditions(&self.renditions, &init, &media)?;
        if let Some(end) = self.end_number
            && end < self.start_number
        {
            let problem = format!("{end} lies before start_number {}; write at least that", self.start_number);
            return Err(Invalid::new("end_number", problem));
        }
        Ok(Document {
            availability_start_time: self.availability_start_time,
            segment,
            start_number: self.start_number,
            end_number: self.end_number,
            init,
            media,
            renditions: self.renditions,
            publish_delay_ms: self.publish_delay_ms,
            hold_max_ms: self.hold_max_ms,
            early_guard_ms: self.early_guard_ms,
            publish_ahead_max_s: self.publish_ahead_max_s,
            dvr_window_s: self.dvr_window_s,
            live_window_s: self.live_window_s,
            rules: Rules {
                pipelines: self.pipelines,
                prefer_wait_ms: self.prefer_wait_ms,
                defect_wait_ms: self.defect_wait_ms,
                retry_deadline_ms: self.retry_deadline_ms,
                inspect: self.inspect,
            },
        })
    }

    fn check_segment(&self) -> Result<SegmentDuration, Invalid> {
        let RawSegment { duration, timescale } = self.segment;
        for (field, value) in [("segment.duration", duration), ("segment.timescale", timescale)] {
            if value == 0 {
                return Err(Invalid::new(field, "0; write a positive integer below 2^32"));
            }
        }
        SegmentDuration::new(duration, timescale).map_err(|problem| Invalid::new("segment.duration", problem))
    }

    fn check_templates(&self) -> Result<(Template, Template), Invalid> {
        let init = Template::parse(&self.init).map_err(|problem| Invalid::new("init", problem))?;
        let media = Template::parse(&self.media).map_err(|problem| Invalid::new("media", problem))?;
        if init.has_position() {
            return Err(Invalid::new("init", "an init segment has no $Number$ and no $Time$; leave them out"));
        }
        if !media.has_position() {
            return Err(Invalid::new("media", "names no segment; add $Number$ or $Time$"));
        }
        for (field, template) in [("init", &init), ("media", &media)] {
            if template.fit("event.json").is_some() {
                return Err(Invalid::new(field, "`event.json` is reserved; choose another path"));
            }
        }
        if init.overlaps(&media) {
            return Err(Invalid::new("init", "some path fits init and media both; make them differ in a letter"));
        }
        Ok((init, media))
    }

    fn check_limits(&self) -> Result<(), Invalid> {
        let millis = [
            ("publish_delay_ms", self.publish_delay_ms, DEADLINE_MAX),
            ("hold_max_ms", self.hold_max_ms, HOLD_MAX),
            ("retry_deadline_ms", self.retry_deadline_ms, DEADLINE_MAX),
            ("prefer_wait_ms", self.prefer_wait_ms, WAIT_MAX),
            ("defect_wait_ms", self.defect_wait_ms, WAIT_MAX),
            ("early_guard_ms", self.early_guard_ms, WAIT_MAX),
        ];
        let seconds = [
            ("publish_ahead_max_s", self.publish_ahead_max_s),
            ("dvr_window_s", self.dvr_window_s),
            ("live_window_s", self.live_window_s),
        ];
        let all = millis.map(|(field, value, most)| (field, value.0, most.0));
        let all = all.into_iter().chain(seconds.map(|(field, value)| (field, value, WINDOW_SECONDS_MAX)));
        for (field, value, most) in all {
            if value > most {
                return Err(Invalid::new(field, format!("{value}; write at most {most}")));
            }
        }
        Ok(())
    }
}

fn check_pipelines(pipelines: &[Pipeline]) -> Result<(), Invalid> {
    if pipelines.is_empty() || pipelines.len() > PIPELINES_MAX {
        let problem = format!("{} of them; list 1 to {PIPELINES_MAX}, the preferred one first", pipelines.len());
        return Err(Invalid::new("pipelines", problem));
    }
    for (index, pipeline) in pipelines.iter().enumerate() {
        if pipelines[..index].contains(pipeline) {
            return Err(Invalid::new(format!("pipelines[{index}]"), format!("`{pipeline}` is listed twice")));
        }
    }
    Ok(())
}

fn check_renditions(renditions: &[RenditionSpec], init: &Template, media: &Template) -> Result<(), Invalid> {
    if renditions.len() > RENDITIONS_MAX {
        return Err(Invalid::new("renditions", format!("{}; at most {RENDITIONS_MAX}", renditions.len())));
    }
    for (index, spec) in renditions.iter().enumerate() {
        if renditions[..index].iter().any(|other| other.id == spec.id) {
            return Err(Invalid::new(format!("renditions[{index}].id"), format!("`{}` is listed twice", spec.id)));
        }
        if spec.timescale == Some(0) {
            let problem = "0; write the units a second of the media timeline, or leave it out";
            return Err(Invalid::new(format!("renditions[{index}].timescale"), problem));
        }
    }
    for (field, template) in [("init", init), ("media", media)] {
        if renditions.len() > 1 && !template.has_rendition() {
            let problem = format!("{} renditions need $RepresentationID$ in the path", renditions.len());
            return Err(Invalid::new(field, problem));
        }
    }
    Ok(())
}

impl From<&Document> for Raw {
    fn from(document: &Document) -> Self {
        Self {
            availability_start_time: document.availability_start_time,
            segment: RawSegment { duration: document.segment.duration(), timescale: document.segment.timescale() },
            start_number: document.start_number,
            end_number: document.end_number,
            pipelines: document.rules.pipelines.clone(),
            init: document.init.to_string(),
            media: document.media.to_string(),
            renditions: document.renditions.clone(),
            publish_delay_ms: document.publish_delay_ms,
            hold_max_ms: document.hold_max_ms,
            retry_deadline_ms: document.rules.retry_deadline_ms,
            prefer_wait_ms: document.rules.prefer_wait_ms,
            defect_wait_ms: document.rules.defect_wait_ms,
            early_guard_ms: document.early_guard_ms,
            publish_ahead_max_s: document.publish_ahead_max_s,
            dvr_window_s: document.dvr_window_s,
            live_window_s: document.live_window_s,
            inspect: document.rules.inspect,
        }
    }
}
