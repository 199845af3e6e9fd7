//! What is to be exported: the range, and for every number the choice that the origin has closed.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use headwater_model::document::Document;
use headwater_model::template::Position;
use headwater_model::{Millis, Rendition, Timestamp};

use super::{Earlier, Options};
use crate::Progress;
use crate::manifest::{FORMAT, Gap, Manifest, Mask, Object, RenditionEntry, Segment, VERSION, What};
use crate::origin::{Delivered, EventView, Origin, PAGE, SegmentView};

/// Most numbers of one export: three weeks of 2 s segments. An event that is numbered since 1970 with a window of years
/// would otherwise be asked about for hours; `--from` says where it begins.
const NUMBERS_MAX: u64 = 1_000_000;

/// Outcomes of a segment whose choice may yet fall.
const OPEN: [&str; 5] = ["hold", "closing", "too-early", "silent", "held-too-long"];

type Timelines = BTreeMap<Rendition, Vec<SegmentView>>;

pub(super) async fn make(
    origin: &Origin,
    options: &Options,
    earlier: &Earlier,
    progress: &dyn Progress,
) -> Result<Manifest> {
    let (tenant, event) = (&options.tenant, &options.event);
    let view = origin.event(tenant, event).await?;
    let view =
        view.with_context(|| format!("there is no event {tenant}/{event}; `headwater event list` shows them"))?;
    let document = Document::from_value(view.document.clone()).context("the event's document")?;
    check_same(earlier, &document)?;
    let (from, to) = range(options, earlier, &view, &document, origin.clock().wall())?;
    let ids = renditions(&document, &view);
    ensure!(!ids.is_empty(), "{tenant}/{event} has no rendition; there is nothing to export");
    let masks = origin.masks(tenant, event).await?;
    let notifications = origin.notifications(tenant, event).await?;
    let mut timelines = Timelines::new();
    for id in &ids {
        timelines.insert(id.clone(), timeline(origin, options, id, from, to).await?);
    }
    let (from, to) = narrowed(options, earlier, &timelines, (from, to), progress)?;
    let mut entries = Vec::new();
    for id in ids {
        let init = init(origin, options, earlier, &document, &id).await?;
        let declared = document.rendition(&id).and_then(|spec| spec.timescale);
        let timescale = init.as_ref().and_then(|(_, timescale)| *timescale).or(declared);
        let namer = Namer { document: &document, id: &id, timescale };
        let views = timelines.remove(&id).unwrap_or_default();
        let views = views.iter().filter(|view| (from..=to).contains(&view.number));
        let segments = views.map(|view| segment(view, &namer, &masks)).collect::<Result<_>>()?;
        entries.push(RenditionEntry { id, init: init.map(|(object, _)| object), segments });
    }
    let manifest = Manifest {
        format: FORMAT.into(),
        version: VERSION,
        tenant: tenant.clone(),
        event: event.clone(),
        rev: view.rev,
        whole: document.end_number == Some(to),
        from,
        to,
        document: view.document,
        masks,
        notifications,
        renditions: entries,
    };
    // Its paths are held against its templates before anything is written.
    Manifest::read(&manifest.write()?)
}

/// What lies in the place belongs to the event of the same name only if the same numbers mean the same segments.
fn check_same(earlier: &Earlier, document: &Document) -> Result<()> {
    let Some(manifest) = earlier.newest() else { return Ok(()) };
    match manifest.checked_document()?.timing_change(document) {
        None => Ok(()),
        Some(field) => {
            bail!("the place has an export of another event of this name: `{field}` differs; choose another place")
        }
    }
}

fn range(
    options: &Options,
    earlier: &Earlier,
    view: &EventView,
    document: &Document,
    now: Timestamp,
) -> Result<(u64, u64)> {
    let (tenant, event) = (&options.tenant, &options.event);
    let highest = view.highest_number.with_context(|| format!("nothing has been published to {tenant}/{event}"))?;
    // An end that was set beforehand and has not come is no last segment yet.
    let highest = document.end_number.filter(|end| document.expected(*end) <= now).unwrap_or(highest);
    let begun = earlier.newest().map(|manifest| manifest.from);
    let oldest = document.next_number(now - Millis::from_seconds(document.dvr_window_s)).max(document.start_number);
    let from = options.from.or(begun).unwrap_or(oldest);
    let planned = earlier.plan.as_ref().map(|plan| plan.to);
    let to = options.to.or(planned).unwrap_or(highest);
    ensure!(
        from >= document.start_number,
        "--from {from} lies before the event's first number {}",
        document.start_number
    );
    ensure!(to <= highest, "--to {to} lies after the event's last segment {highest}");
    ensure!(
        from <= to,
        "from {from} to {to} there is nothing; what was published before has left the event's DVR window"
    );
    let count = to - from + 1;
    ensure!(
        count <= NUMBERS_MAX,
        "{from} to {to} are {count} numbers, and one export has at most {NUMBERS_MAX}; say --from N"
    );
    Ok((from, to))
}

/// Declared ones in the document's order, then the others by name.
fn renditions(document: &Document, view: &EventView) -> Vec<Rendition> {
    let mut ids: Vec<Rendition> = document.renditions.iter().map(|spec| spec.id.clone()).collect();
    ids.extend(view.renditions.iter().filter(|id| document.rendition(id).is_none()).cloned());
    ids
}

async fn timeline(origin: &Origin, options: &Options, id: &Rendition, from: u64, to: u64) -> Result<Vec<SegmentView>> {
    let mut views = Vec::new();
    let mut next = from;
    while next <= to {
        let last = to.min(next + PAGE - 1);
        let page = origin.timeline((&options.tenant, &options.event), id, next, last).await?;
        ensure!(page.iter().map(|view| view.number).eq(next..=last), "the timeline of {id} skips numbers");
        views.extend(page);
        next = last + 1;
    }
    Ok(views)
}

/// The range without what nobody has published yet or ever before, where the caller did not say it.
fn narrowed(
    options: &Options,
    earlier: &Earlier,
    timelines: &Timelines,
    (from, to): (u64, u64),
    progress: &dyn Progress,
) -> Result<(u64, u64)> {
    let views = || timelines.iter().flat_map(|(id, views)| views.iter().map(move |view| (id, view)));
    let open = views().filter(|(_, view)| OPEN.contains(&&*view.outcome)).min_by_key(|(_, view)| view.number);
    let mut last = to;
    if let Some((id, view)) = open {
        let number = view.number;
        if options.to.is_some() {
            bail!("segment {number} of {id} has not been chosen yet; wait, or give a lower --to");
        }
        ensure!(number > from, "segment {number} of {id} has not been chosen yet, and there is none before it; wait");
        progress.note(&format!("segments from {number} on have not been chosen yet; run it again later for them"));
        last = number - 1;
    }
    let served = || views().filter(|(_, view)| view.served.is_some()).map(|(_, view)| view.number);
    let is_fixed = options.from.is_some() || earlier.newest().is_some();
    let first = if is_fixed { Some(from) } else { served().min() };
    let first = first.filter(|first| *first <= last);
    Ok((first.context("no segment is served in this range; there is nothing to export")?, last))
}

/// The init segment that is served, and the timescale that it tells. What an interrupted run has planned stays so long
/// as its pipeline has it: another pipeline's may be served now, and the result must not depend on when it is resumed.
async fn init(
    origin: &Origin,
    options: &Options,
    earlier: &Earlier,
    document: &Document,
    id: &Rendition,
) -> Result<Option<(Object, Option<u32>)>> {
    let path = document.init.path(id, None);
    let known = |manifest: &Manifest| {
        let mut entries = manifest.renditions.iter().filter(|entry| entry.id == *id);
        entries.find_map(|entry| entry.init.clone())
    };
    if let Some(planned) = earlier.plan.as_ref().and_then(known)
        && let Some((object, timescale)) = served(origin, options, &planned.candidate_path(), &path).await?
        && object.etag == planned.etag
    {
        return Ok(Some((object, timescale)));
    }
    let now = served(origin, options, &path, &path).await?;
    Ok(now.or_else(|| earlier.newest().and_then(known).map(|object| (object, None))))
}

/// What is served under `asked` as the object `path`.
async fn served(origin: &Origin, options: &Options, asked: &str, path: &str) -> Result<Option<(Object, Option<u32>)>> {
    let Delivered::Object { bytes, pipeline, .. } = origin.read(&options.tenant, &options.event, asked).await? else {
        return Ok(None);
    };
    let timescale = headwater_media::Init::read(&bytes[..]).ok().map(|init| init.main().timescale);
    let (path, size, etag) = (path.to_owned(), bytes.len() as u64, crate::digest::etag(&bytes));
    Ok(Some((Object { path, size, etag, sha256: None, pipeline, defects: None }, timescale)))
}

/// Writes the paths of a rendition's segments.
struct Namer<'a> {
    document: &'a Document,
    id: &'a Rendition,
    timescale: Option<u32>,
}

impl Namer<'_> {
    fn path(&self, number: u64) -> Result<String> {
        let Self { document, id, timescale } = self;
        let position = if document.media.has_time() {
            let timescale =
                timescale.with_context(|| format!("rendition {id} has no timescale to name its segments by"))?;
            Position::Time(u64::try_from(document.media_start(number, timescale))?)
        } else {
            Position::Number(number)
        };
        Ok(document.media.path(id, Some(position)))
    }
}

fn segment(view: &SegmentView, namer: &Namer<'_>, masks: &[Mask]) -> Result<Segment> {
    let number = view.number;
    let chosen = view.served.as_ref().and_then(|served| view.candidates.iter().find(|one| one.pipeline == *served));
    let facts = chosen.and_then(|chosen| Some((chosen, chosen.size?, chosen.etag.as_deref()?)));
    let what = match facts {
        Some((chosen, size, etag)) => What::Media(Object {
            path: namer.path(number)?,
            size,
            etag: etag.trim_matches('"').to_owned(),
            sha256: None,
            pipeline: chosen.pipeline.clone(),
            defects: chosen.defects.clone(),
        }),
        None => What::Gap(gap(&view.outcome, namer.id, number, masks)),
    };
    Ok(Segment { number, what })
}

pub(super) fn gap(outcome: &str, id: &Rendition, number: u64, masks: &[Mask]) -> Gap {
    let mut reasons: Vec<&str> = Vec::new();
    for mask in masks.iter().filter(|mask| outcome == "masked" && mask.hides(id, number)) {
        if !mask.reason.is_empty() && !reasons.contains(&&*mask.reason) {
            reasons.push(&mask.reason);
        }
    }
    Gap { outcome: outcome.to_owned(), reason: (!reasons.is_empty()).then(|| reasons.join("; ")) }
}
