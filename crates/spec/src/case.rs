//! What a case file says, as data: no line is looked at again once it is parsed.

use std::fmt;
use std::time::Duration;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As in `spec/deliver.case`.
    pub file: String,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One rule of the contract and how to see that it holds.
#[derive(Clone, Debug)]
pub struct Case {
    /// Where it begins.
    pub place: Place,
    /// Its name, of `a-z`, `0-9` and `-`.
    pub id: String,
    /// The rule as a sentence.
    pub title: String,
    /// Where the contract says so, like `§5 row 6`.
    pub section: String,
    /// The event it plays on.
    pub event: EventSpec,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// The event of a case.
#[derive(Clone, Debug)]
pub struct EventSpec {
    /// Whether there is an event when the steps begin.
    pub exists: bool,
    /// Fields of its document that the case sets, each with the line that does.
    pub fields: Vec<(Place, String, serde_json::Value)>,
    /// The segment that is next at the start.
    pub next: u64,
    /// For how long it has been next by then; half a segment if absent.
    pub since: Option<Span>,
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Fixed.
    Time(Duration),
    /// In segment durations.
    Segments(f64),
}

/// A moment of the event's clock: `E(next+1) - 500ms`.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The segment, as text between the parentheses.
    pub segment: String,
    /// Whether `offset` is to be subtracted.
    pub before: bool,
    /// How far from the segment's expected time.
    pub offset: Span,
}

/// One step with its line.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it stands.
    pub place: Place,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends a request and waits for its answer.
    Ask(Request),
    /// Sends a request and goes on; its answer is known by the name.
    Hold(String, Request),
    /// Sends the end of a held request that was kept back.
    Finish(String),
    /// Ends the sending side of a held request without the rest.
    Cut(String),
    /// That a held request has not been answered.
    Still(String),
    /// Writes the event's document with one field changed.
    Change(String, String),
    /// Waits until a moment.
    At(Moment),
    /// Lets time pass.
    Wait(Span),
    /// Keeps a part of the last answer for later lines.
    Keep(String, Part),
    /// Something that must hold for the last answer, or for that of a held request.
    Expect(Option<String>, Check),
}

/// Which listener is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Takes uploads.
    Publish,
    /// Serves.
    Deliver,
    /// Takes orders.
    Ops,
}

/// A request, before its `{…}` are filled in.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its target, sent as it stands.
    pub path: String,
    /// Whom to ask; by method and path if absent.
    pub listener: Option<Listener>,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// What is in it.
    pub body: Body,
    /// How its body is sent.
    pub framing: Framing,
    /// Whether the end is kept back until `finish`.
    pub unfinished: bool,
}

/// What a request's body is made of.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// These letters.
    Text(String),
    /// So many bytes.
    Fill(usize),
    /// A segment of the built-in test content: letter, rendition, number, fault.
    Media(Vec<String>),
    /// The init segment of a rendition of the test content.
    Init(String),
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// With its length.
    Length,
    /// With another length.
    Lying(u64),
    /// In chunks.
    Chunked,
    /// In chunks, and the last one never comes.
    Endless,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `Headwater-Outcome`, and so on.
    Header(String),
    /// The seconds of `max-age` in `Cache-Control`.
    MaxAge,
    /// The body as text.
    Body,
    /// A value in the body: names and positions with dots between, `#` for the number of entries.
    Json(String),
    /// Milliseconds from the request to the end of the answer.
    Took,
    /// Whether `100 Continue` came before the body was sent.
    Continued,
}

/// What must hold.
#[derive(Clone, Debug)]
pub enum Check {
    /// The status, and perhaps outcome and `Cache-Control`.
    Status(u16, Option<String>, Option<String>),
    /// A problem document that names something.
    Problem(u16, String),
    /// That the answer comes within this time from now.
    Within(Span),
    /// That a part compares.
    Part(Part, Compare),
}

/// How exactly a time must be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// In milliseconds.
    Millis,
    /// In whole seconds, rounded down.
    Seconds,
    /// In whole seconds, no more.
    AtMostSeconds,
}

/// How a part must compare. Texts have `{…}` to be filled in.
#[derive(Clone, Debug)]
pub enum Compare {
    /// It is there.
    Present,
    /// It is not there.
    Absent,
    /// The same.
    Is(String),
    /// Another.
    IsNot(String),
    /// Has this in it.
    Contains(String),
    /// Does not have this in it.
    Lacks(String),
    /// One of these.
    OneOf(Vec<String>),
    /// A number between two, both allowed.
    Between(String, String),
    /// The time from the answer until then.
    Until(Precision, Moment),
}
