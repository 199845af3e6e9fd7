//! Where a case plays: its event, its clock, the answers so far.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::body;
use crate::case::{Case, Check, Listener, Moment, Part, Request, Span};
use crate::check::{self, Context, Mismatch};
use crate::client::{End, Outgoing, Reply, exchange};
use crate::clock::Timing;
use crate::text::Values;
use crate::world::World;

/// An answer, or why there is none, and what it answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Method, address and target.
    pub(crate) request: String,
    /// When it began, in milliseconds of the server's clock.
    pub(crate) asked: f64,
    /// When the answer was complete.
    pub(crate) answered: f64,
    /// The answer.
    pub(crate) reply: Result<Reply, String>,
}

/// Why a step is the last one.
pub(crate) enum Trouble {
    /// The case or the connection is at fault.
    Fault(String),
    /// The answer is not as expected.
    Mismatch(Vec<Mismatch>, Box<Answer>),
    /// A moment had passed by so many milliseconds.
    Slipped(f64),
}

impl From<String> for Trouble {
    fn from(problem: String) -> Self {
        Self::Fault(problem)
    }
}

struct Held {
    answers: Receiver<Answer>,
    end: SyncSender<End>,
    answer: Option<Answer>,
}

/// The state of a case that is being played.
pub(crate) struct Stage<'a> {
    world: &'a World,
    values: Values,
    timing: Timing,
    document: Value,
    last: Option<Answer>,
    held: HashMap<String, Held>,
}

impl<'a> Stage<'a> {
    /// Makes the event, unless the case wants none.
    pub(crate) fn set(world: &'a World, case: &Case, suffix: &str) -> Result<Self, String> {
        let mut document = json!({
            "segment": {"duration": 20, "timescale": 1}, "renditions": [{"id": "v"}], "inspect": "off",
        });
        for (_, field, value) in &case.event.fields {
            set_field(&mut document, field, value.clone());
        }
        let timing = Timing::beginning(&document, world.wall.now(), case.event.next, case.event.since);
        let start = headwater_model::Timestamp::from_millis(timing.start as i64).to_string();
        if document.get("availability_start_time").is_none() {
            document["availability_start_time"] = start.into();
        }
        let mut values = Values::default();
        let name = format!("spec-{}-{suffix}", case.id);
        values.set("event", format!("/live/{name}"));
        values.set("ops", format!("/v1/tenants/live/events/{name}"));
        values.set("next", case.event.next.to_string());
        values.set("name", name);
        let stage = Self { world, values, timing, document, last: None, held: HashMap::new() };
        if case.event.exists {
            let reply = stage.put_document(&stage.document.clone())?.reply?;
            if !matches!(reply.status, 200 | 201) {
                let said = String::from_utf8_lossy(&reply.body).into_owned();
                return Err(format!("the event's document was answered with {}: {said}", reply.status));
            }
        }
        Ok(stage)
    }

    /// Removes the event; a server that refuses has failed no case.
    pub(crate) fn clear(&self) {
        if let Ok(target) = self.values.fill("{ops}") {
            let _ = exchange(&self.outgoing("DELETE", Listener::Ops, target), None);
        }
    }

    /// Sends a request and waits for the answer, which may be no answer at all: an expectation tells.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<(), Trouble> {
        let outgoing = self.fill(request)?;
        if request.unfinished {
            return Err("`send all but the end` is for a held request; begin with `hold NAME`".to_owned().into());
        }
        self.last = Some(send(self.world, &outgoing, None));
        Ok(())
    }

    /// Sends a request in the background.
    pub(crate) fn hold(&mut self, name: &str, request: &Request) -> Result<(), Trouble> {
        let outgoing = self.fill(request)?;
        let (tell, answers) = sync_channel(1);
        let (end, ends) = sync_channel(1);
        let (world, unfinished) = (self.world.clone(), request.unfinished);
        std::thread::spawn(move || {
            let answer = send(&world, &outgoing, unfinished.then_some(&ends));
            let _ = tell.send(answer);
        });
        self.held.insert(name.to_owned(), Held { answers, end, answer: None });
        // So that what the next step does comes after this request's arrival.
        std::thread::sleep(Duration::from_millis(30));
        Ok(())
    }

    /// Ends the sending of a held request.
    pub(crate) fn end(&mut self, name: &str, end: End) -> Result<(), Trouble> {
        let held = self.held.get(name).ok_or_else(|| unknown(name))?;
        held.end.try_send(end).map_err(|_| format!("`{name}` has been sent whole already").into())
    }

    /// That a held request waits.
    pub(crate) fn still(&mut self, name: &str) -> Result<(), Trouble> {
        let held = self.held.get_mut(name).ok_or_else(|| unknown(name))?;
        match held.answers.try_recv() {
            Err(TryRecvError::Empty) if held.answer.is_none() => Ok(()),
            Err(_) if held.answer.is_none() => Err(format!("`{name}` ended without an answer").into()),
            received => {
                let answer = received.ok().or_else(|| held.answer.clone());
                let mismatch = Mismatch { expected: "no answer yet".to_owned(), got: "an answer".to_owned() };
                Err(answer
                    .map_or_else(|| unknown(name).into(), |answer| Trouble::Mismatch(vec![mismatch], Box::new(answer))))
            }
        }
    }

    /// Writes the document with one field changed; what the server refuses changes nothing here either.
    pub(crate) fn change(&mut self, field: &str, value: &str) -> Result<(), Trouble> {
        let filled = self.values.fill(value)?;
        let value = serde_json::from_str(&filled).map_err(|error| format!("`{filled}` is no JSON: {error}"))?;
        let mut document = self.document.clone();
        set_field(&mut document, field, value);
        let answer = self.put_document(&document)?;
        if answer.reply.as_ref().is_ok_and(|reply| matches!(reply.status, 200 | 201)) {
            self.timing = self.timing.changed(&document);
            self.document = document;
        }
        self.last = Some(answer);
        Ok(())
    }

    /// Sleeps until a moment of the event's clock.
    pub(crate) fn sleep_until(&mut self, moment: &Moment) -> Result<(), Trouble> {
        let late = self.world.wall.sleep_until(self.moment(moment)?);
        if late > super::SLACK_MS { Err(Trouble::Slipped(late)) } else { Ok(()) }
    }

    /// Lets time pass.
    pub(crate) fn sleep(&self, span: Span) {
        std::thread::sleep(Duration::from_secs_f64(self.timing.length(span) / 1000.0));
    }

    /// Keeps a part of the last answer.
    pub(crate) fn keep(&mut self, name: &str, part: &Part) -> Result<(), Trouble> {
        let answer = self.last.as_ref().ok_or("there is no answer to keep something of".to_owned())?;
        let value = check::value(part, answer.reply.as_ref().map_err(Clone::clone)?);
        let Some(value) = value else {
            let mismatch = Mismatch { expected: format!("{part:?}, to be kept as `{name}`"), got: "(none)".to_owned() };
            return Err(Trouble::Mismatch(vec![mismatch], Box::new(answer.clone())));
        };
        self.values.set(name, value);
        Ok(())
    }

    /// Checks the last answer, or that of a held request, which is waited for.
    pub(crate) fn expect(&mut self, subject: Option<&str>, wanted: &Check) -> Result<(), Trouble> {
        if let Some(name) = subject {
            let span = if let Check::Within(span) = wanted { *span } else { super::HELD };
            let patience = Duration::from_secs_f64(self.timing.length(span) / 1000.0);
            self.last = Some(self.receive(name, patience)?);
        }
        let answer = self.last.as_ref().ok_or("there is no answer to expect something of".to_owned())?;
        let reply = answer.reply.as_ref().map_err(|problem| format!("{}: {problem}", answer.request))?;
        let moment = |moment: &Moment| self.moment(moment);
        let context = Context { values: &self.values, moment: &moment, asked: (answer.asked, answer.answered) };
        let mismatches = check::check(wanted, reply, &context)?;
        if mismatches.is_empty() { Ok(()) } else { Err(Trouble::Mismatch(mismatches, Box::new(answer.clone()))) }
    }

    fn receive(&mut self, name: &str, patience: Duration) -> Result<Answer, Trouble> {
        let held = self.held.get_mut(name).ok_or_else(|| unknown(name))?;
        if held.answer.is_none() {
            held.answer = Some(held.answers.recv_timeout(patience).map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    format!("`{name}` has no answer after {:.1} s more", patience.as_secs_f64())
                }
                RecvTimeoutError::Disconnected => format!("`{name}` ended without an answer"),
            })?);
        }
        held.answer.clone().ok_or_else(|| unknown(name).into())
    }

    fn moment(&self, moment: &Moment) -> Result<f64, String> {
        let number = self.values.value(&moment.segment)?;
        let number: f64 = number.parse().map_err(|_| format!("`{number}` is no segment number"))?;
        let offset = self.timing.length(moment.offset);
        Ok(self.timing.expected(number) + if moment.before { -offset } else { offset })
    }

    fn fill(&self, request: &Request) -> Result<Outgoing, String> {
        let target = self.values.fill(&request.path)?;
        let listener = request.listener.unwrap_or_else(|| default_listener(&request.method, &target));
        let mut outgoing = self.outgoing(&request.method, listener, target);
        for (name, value) in &request.headers {
            outgoing.headers.push((name.clone(), self.values.fill(value)?));
        }
        let start_number = self.document["start_number"].as_u64().unwrap_or(0);
        outgoing.body = body::bytes(&request.body, &self.values, start_number)?;
        outgoing.framing = request.framing;
        Ok(outgoing)
    }

    fn outgoing(&self, method: &str, listener: Listener, target: String) -> Outgoing {
        let address = match listener {
            Listener::Publish => &self.world.publish,
            Listener::Deliver => &self.world.deliver,
            Listener::Ops => &self.world.ops,
        };
        let (headers, body) = (Vec::new(), Vec::new());
        let framing = crate::case::Framing::Length;
        Outgoing { address: address.clone(), method: method.to_owned(), target, headers, body, framing }
    }

    fn put_document(&self, document: &Value) -> Result<Answer, String> {
        let mut outgoing = self.outgoing("PUT", Listener::Ops, self.values.fill("{ops}")?);
        outgoing.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        outgoing.body = document.to_string().into_bytes();
        Ok(send(self.world, &outgoing, None))
    }
}

fn send(world: &World, outgoing: &Outgoing, end: Option<&Receiver<End>>) -> Answer {
    let request = format!("{} http://{}{}", outgoing.method, outgoing.address, outgoing.target);
    let asked = world.wall.now();
    let reply = exchange(outgoing, end);
    Answer { request, asked, answered: world.wall.now(), reply }
}

fn default_listener(method: &str, target: &str) -> Listener {
    match method {
        _ if target.starts_with("/v1/") => Listener::Ops,
        "PUT" | "POST" | "DELETE" => Listener::Publish,
        _ => Listener::Deliver,
    }
}

fn unknown(name: &str) -> String {
    format!("no request is held as `{name}`")
}

/// Sets `a.b` in a document.
fn set_field(document: &mut Value, field: &str, value: Value) {
    let mut at = document;
    for name in field.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[name];
    }
    *at = value;
}
