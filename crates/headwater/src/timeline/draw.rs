//! The drawing itself, pure: the server's segments in, lines of text out. Every state has a mark beside its colour, so
//! that the drawing reads without colours.

use headwater_model::{Millis, Timestamp};
use serde::Deserialize;

/// One segment, as the ops API tells it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) expected: Timestamp,
    pub(super) outcome: String,
    pub(super) served: Option<String>,
    pub(super) candidates: Vec<Candidate>,
}

/// One pipeline's candidate.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Candidate {
    pub(super) pipeline: String,
    pub(super) state: String,
    pub(super) defects: Option<String>,
    pub(super) late_ms: Option<i64>,
}

/// How it is drawn.
pub(super) struct View {
    /// As TENANT/EVENT.
    pub(super) event: String,
    pub(super) rendition: String,
    /// Units and units a second.
    pub(super) duration: (u64, u64),
    /// Later than this after `E(n)` is late.
    pub(super) retry_deadline: Millis,
    pub(super) now: Timestamp,
    /// Characters a line may have.
    pub(super) columns: usize,
    pub(super) paint: Paint,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// Marks alone.
    Plain,
    /// ANSI colours too.
    Colours,
}

/// What a cell shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Sound,
    Late,
    Defective,
    Masked,
    Waiting,
    Missing,
    Outside,
}

impl State {
    const ALL: [Self; 7] =
        [Self::Sound, Self::Late, Self::Defective, Self::Masked, Self::Waiting, Self::Missing, Self::Outside];

    /// Mark, ANSI colours (text on background) and meaning.
    const fn look(self) -> (char, &'static str, &'static str) {
        match self {
            Self::Sound => ('=', "30;42", "sound"),
            Self::Late => ('~', "30;46", "after the retry deadline"),
            Self::Defective => ('!', "30;43", "defective"),
            Self::Masked => ('x', "37;45", "masked"),
            Self::Waiting => ('_', "37;44", "may still come"),
            Self::Missing => ('-', "37;41", "missing"),
            Self::Outside => ('.', "2", "out of range"),
        }
    }

    /// A candidate's.
    fn of(candidate: &Candidate, segment: &Segment, view: &View) -> Self {
        match candidate.state.as_str() {
            "masked" => Self::Masked,
            "defective" => Self::Defective,
            "sound" if candidate.late_ms.is_some_and(|late| late > view.retry_deadline.0 as i64) => Self::Late,
            "sound" => Self::Sound,
            _ => Self::absent(segment, view),
        }
    }

    /// That of a segment of which there is nothing.
    fn absent(segment: &Segment, view: &View) -> Self {
        match segment.outcome.as_str() {
            "too-early" | "never" | "expired" => Self::Outside,
            "hold" | "closing" => Self::Waiting,
            _ if view.now <= segment.expected + view.retry_deadline => Self::Waiting,
            _ => Self::Missing,
        }
    }

    /// That of a segment of which nothing is served.
    fn unserved(segment: &Segment) -> Self {
        match segment.outcome.as_str() {
            "too-early" | "never" | "expired" => Self::Outside,
            "hold" | "closing" => Self::Waiting,
            "masked" => Self::Masked,
            _ => Self::Missing,
        }
    }
}

/// Characters of a cell.
const CELL: usize = 2;
/// Fewest cells of a line, however narrow the terminal.
const CELLS_MIN: usize = 10;
/// Most remarks below the drawing.
const REMARKS_MAX: usize = 8;

/// The drawing: a heading, blocks of rows as wide as the view allows, remarks and a legend.
pub(super) fn timeline(segments: &[Segment], view: &View) -> String {
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
        return format!("{}  {}  no segments\n", view.event, view.rendition);
    };
    let (units, timescale) = view.duration;
    let seconds = units as f64 / timescale.max(1) as f64;
    let seconds = (seconds * 1000.0).round() / 1000.0;
    let (event, rendition) = (&view.event, &view.rendition);
    let mut drawing = format!("{event}  {rendition}  segments {} to {} of {seconds} s\n", first.number, last.number);
    let pipelines = pipelines(segments);
    let letters = letters(&pipelines);
    let label = pipelines.iter().map(String::len).max().unwrap_or(0).max("served".len() - CELL) + CELL + 2;
    let cells = (view.columns.saturating_sub(label) / CELL).max(CELLS_MIN);
    for block in segments.chunks(cells) {
        drawing.push('\n');
        drawing.push_str(&format!("{:label$}{}\n", "", ruler(block)));
        drawing.push_str(&format!("{:label$}{}\n", "served", served_row(block, &pipelines, &letters, view)));
        for (pipeline, letter) in pipelines.iter().zip(&letters) {
            let row = block.iter().map(|segment| candidate_cell(segment, pipeline, view));
            drawing.push_str(&format!("{:label$}{}\n", format!("{letter} {pipeline}"), row.collect::<String>()));
        }
    }
    drawing.push_str(&remarks(segments));
    drawing.push_str(&legend(view.paint));
    drawing
}

/// Every pipeline of these segments, in the event's order, the newest order first.
fn pipelines(segments: &[Segment]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for candidate in segments.iter().rev().flat_map(|segment| &segment.candidates) {
        if !all.contains(&candidate.pipeline) {
            all.push(candidate.pipeline.clone());
        }
    }
    all
}

/// A capital letter each: the first of their names if that tells them apart, else A, B, C.
fn letters(pipelines: &[String]) -> Vec<char> {
    let first: Vec<char> =
        pipelines.iter().filter_map(|name| name.chars().next()).map(|letter| letter.to_ascii_uppercase()).collect();
    let is_own = |index: usize| first[index].is_ascii_alphabetic() && !first[..index].contains(&first[index]);
    if (0..first.len()).all(is_own) { first } else { ('A'..='Z').take(pipelines.len()).collect() }
}

/// The numbers of some segments above their cells.
fn ruler(block: &[Segment]) -> String {
    let digits = block.last().map_or(1, |segment| segment.number.to_string().len());
    let step = ((digits + 1).div_ceil(CELL) as u64).next_multiple_of(5);
    let mut line = String::new();
    for (index, segment) in block.iter().enumerate().filter(|(_, segment)| segment.number.is_multiple_of(step)) {
        let number = segment.number.to_string();
        if index * CELL + number.len() <= block.len() * CELL {
            line.push_str(&" ".repeat((index * CELL).saturating_sub(line.len())));
            line.push_str(&number);
        }
    }
    line
}

fn served_row(block: &[Segment], pipelines: &[String], letters: &[char], view: &View) -> String {
    let cell = |segment: &Segment| {
        let Some(served) = &segment.served else {
            let state = State::unserved(segment);
            return paint(state.look().0, state, view.paint);
        };
        let letter = pipelines.iter().position(|pipeline| pipeline == served).map_or('?', |index| letters[index]);
        let candidate = segment.candidates.iter().find(|candidate| candidate.pipeline == *served);
        let state = candidate.map_or(State::Sound, |candidate| State::of(candidate, segment, view));
        let letter = if state == State::Defective { letter.to_ascii_lowercase() } else { letter };
        paint(letter, state, view.paint)
    };
    block.iter().map(cell).collect()
}

fn candidate_cell(segment: &Segment, pipeline: &str, view: &View) -> String {
    let candidate = segment.candidates.iter().find(|candidate| candidate.pipeline == pipeline);
    let state = candidate.map_or(State::Outside, |candidate| State::of(candidate, segment, view));
    paint(state.look().0, state, view.paint)
}

fn paint(mark: char, state: State, paint: Paint) -> String {
    match paint {
        Paint::Plain => format!("{mark} "),
        Paint::Colours => format!("\x1b[{}m{mark} \x1b[0m", state.look().1),
    }
}

/// What is wrong with the newest defective candidates.
fn remarks(segments: &[Segment]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for segment in segments.iter().rev() {
        for candidate in &segment.candidates {
            if let Some(defects) = &candidate.defects {
                lines.push(format!("{}  {}  {defects}\n", segment.number, candidate.pipeline));
            }
        }
    }
    let more = lines.len().saturating_sub(REMARKS_MAX);
    lines.truncate(REMARKS_MAX);
    if more > 0 {
        lines.push(format!("and {more} more\n"));
    }
    if lines.is_empty() { String::new() } else { format!("\n{}", lines.concat()) }
}

fn legend(colours: Paint) -> String {
    let entry = |state: State| format!("{}{}", paint(state.look().0, state, colours), state.look().2);
    let entries: Vec<_> = State::ALL.map(entry).into();
    format!("\n{}\nserved: the pipeline's letter, small if defective\n", entries.join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(number: u64, outcome: &str, served: Option<&str>, states: [&str; 2]) -> Segment {
        let candidates = ["main", "backup"].into_iter().zip(states).map(|(pipeline, state)| Candidate {
            pipeline: pipeline.into(),
            state: state.split(' ').next().unwrap().into(),
            defects: (state == "defective").then(|| "short;have=48;want=50".into()),
            late_ms: Some(if state.ends_with("late") { 4001 } else { 100 }),
        });
        let expected = Timestamp::from_millis(number as i64 * 2000);
        let served = served.map(Into::into);
        Segment { number, expected, outcome: outcome.into(), served, candidates: candidates.collect() }
    }

    fn view(columns: usize, paint: Paint) -> View {
        let (event, rendition) = ("live/game".into(), "v1080".into());
        // Segment 14 is past its deadline for another 2 s.
        let (retry_deadline, now) = (Millis(4000), Timestamp::from_millis(30_000));
        View { event, rendition, duration: (48, 25), retry_deadline, now, columns, paint }
    }

    fn minute() -> Vec<Segment> {
        vec![
            segment(8, "expired", None, ["absent", "absent"]),
            segment(9, "hit", Some("main"), ["sound", "sound"]),
            segment(10, "hit", Some("backup"), ["masked", "sound late"]),
            segment(11, "defective", Some("main"), ["defective", "absent"]),
            segment(12, "missing", None, ["absent", "absent"]),
            segment(13, "masked", None, ["masked", "masked"]),
            segment(14, "closing", None, ["absent", "sound"]),
            segment(15, "hold", None, ["absent", "absent"]),
            segment(16, "too-early", None, ["absent", "absent"]),
        ]
    }

    #[test]
    fn a_minute_reads_without_colours() {
        let drawn = timeline(&minute(), &view(80, Paint::Plain));
        let expected = "\
live/game  v1080  segments 8 to 16 of 1.92 s

              10        15
served    . M B m - x _ _ .
M main    . = x ! - x _ _ .
B backup  . = ~ - - x = _ .

11  main  short;have=48;want=50

= sound  ~ after the retry deadline  ! defective  x masked  _ may still come  - missing  . out of range
served: the pipeline's letter, small if defective
";
        let trimmed: String = drawn.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        assert_eq!(trimmed, expected);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let painted = timeline(&minute(), &view(80, Paint::Colours));
        assert!(painted.contains("\x1b[30;42mM \x1b[0m"), "{painted}");
        let mut plain = String::new();
        for (index, part) in painted.split('\x1b').enumerate() {
            plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
        }
        assert_eq!(plain, timeline(&minute(), &view(80, Paint::Plain)));
    }

    #[test]
    fn a_narrow_terminal_gets_more_blocks() {
        let segments: Vec<_> =
            (100..160).map(|number| segment(number, "hit", Some("main"), ["sound", "sound"])).collect();
        let drawn = timeline(&segments, &view(60, Paint::Plain));
        assert_eq!(drawn.lines().filter(|line| line.starts_with("served ")).count(), 3, "{drawn}");
        assert!(drawn.lines().take_while(|line| !line.starts_with("= sound")).all(|line| line.len() <= 60), "{drawn}");
        assert!(timeline(&segments, &view(0, Paint::Plain)).contains("served"));
    }

    #[test]
    fn long_numbers_do_not_run_into_each_other() {
        let first = 10_000_000_000;
        let segments: Vec<_> =
            (first..first + 40).map(|number| segment(number, "hit", Some("main"), ["sound", "sound"])).collect();
        let line = ruler(&segments);
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["10000000000", "10000000010", "10000000020", "10000000030"]
        );
    }

    #[test]
    fn pipelines_get_letters_that_tell_them_apart() {
        let names = |names: [&str; 2]| letters(&names.map(Into::into));
        assert_eq!(names(["a", "b"]), ['A', 'B']);
        assert_eq!(names(["b", "a"]), ['B', 'A']);
        assert_eq!(names(["east-1", "east-2"]), ['A', 'B']);
        assert_eq!(names(["1", "2"]), ['A', 'B']);
    }

    #[test]
    fn remarks_are_few() {
        let segments: Vec<_> =
            (0..20).map(|number| segment(number, "defective", Some("main"), ["defective", "absent"])).collect();
        let drawn = timeline(&segments, &view(80, Paint::Plain));
        assert!(
            drawn.contains("19  main  short") && drawn.contains("and 12 more") && !drawn.contains("\n3  main"),
            "{drawn}"
        );
    }

    #[test]
    fn nothing_is_said_in_words() {
        assert!(timeline(&[], &view(80, Paint::Plain)).contains("no segments"));
    }
}
