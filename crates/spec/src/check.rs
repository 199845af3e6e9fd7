//! Whether an answer is as expected; if not, what was expected and what came.

use serde_json::Value;

use crate::case::{Check, Compare, Moment, Part, Precision};
use crate::client::Reply;
use crate::text::Values;

/// How far a time that is told in milliseconds may be off: both clocks are read in whole milliseconds.
const ROUNDING_MS: f64 = 2.0;

/// What came instead.
#[derive(Clone, Debug)]
pub(crate) struct Mismatch {
    /// As the case has it.
    pub(crate) expected: String,
    /// As the server has it.
    pub(crate) got: String,
}

/// What a check needs beside the answer.
pub(crate) struct Context<'a> {
    /// For the `{…}`.
    pub(crate) values: &'a Values,
    /// The moments, in milliseconds since 1970.
    pub(crate) moment: &'a dyn Fn(&Moment) -> Result<f64, String>,
    /// When the request began and when its answer was complete.
    pub(crate) asked: (f64, f64),
}

/// Checks; `Err` is a fault of the case.
pub(crate) fn check(check: &Check, reply: &Reply, context: &Context<'_>) -> Result<Vec<Mismatch>, String> {
    match check {
        Check::Status(wanted, outcome, cache) => {
            let mut found = vec![differs("status", &wanted.to_string(), &reply.status.to_string())];
            for (name, value) in [("headwater-outcome", outcome), ("cache-control", cache)] {
                let Some(value) = value else { continue };
                let value = context.values.fill(value)?;
                found.push(differs(name, &value, &shown(reply.header(name))));
            }
            Ok(found.into_iter().flatten().collect())
        }
        Check::Problem(status, word) => Ok(problem(*status, &context.values.fill(word)?, reply)),
        Check::Part(part, wanted) => {
            let got = value(part, reply);
            Ok(compare(part, wanted, got, context)?.into_iter().collect())
        }
        Check::Within(_) => Ok(Vec::new()),
    }
}

fn differs(what: &str, wanted: &str, got: &str) -> Option<Mismatch> {
    let mismatch = || Mismatch { expected: format!("{what} = {wanted}"), got: format!("{what} = {got}") };
    (wanted != got).then(mismatch)
}

fn shown(value: Option<String>) -> String {
    value.unwrap_or_else(|| "(none)".to_owned())
}

/// RFC 9457: a stable type, a title, the status, and the word somewhere in field or detail.
fn problem(status: u16, word: &str, reply: &Reply) -> Vec<Mismatch> {
    // Of another status nothing more is to be expected.
    if let Some(mismatch) = differs("status", &status.to_string(), &reply.status.to_string()) {
        return vec![mismatch];
    }
    let mut found = Vec::new();
    let kind = shown(reply.header("content-type"));
    found.extend(differs("content-type", "application/problem+json", &kind));
    let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| document[name].as_str().unwrap_or_default();
    for name in ["type", "title", "detail"] {
        if text(name).is_empty() {
            found.push(Mismatch { expected: format!("a problem document with a `{name}`"), got: document.to_string() });
        }
    }
    found.extend(differs("the document's status", &status.to_string(), &document["status"].to_string()));
    let says = [text("field"), text("detail")].iter().any(|said| said.to_lowercase().contains(&word.to_lowercase()));
    if !says {
        found.push(Mismatch { expected: format!("field or detail names `{word}`"), got: document.to_string() });
    }
    found
}

/// A part as text; `None` if it is not there.
pub(crate) fn value(part: &Part, reply: &Reply) -> Option<String> {
    match part {
        Part::Header(name) => reply.header(name),
        Part::MaxAge => {
            let control = reply.header("cache-control")?;
            let age = control.split(',').find_map(|one| one.trim().strip_prefix("max-age="))?.to_owned();
            Some(age)
        }
        Part::Body => Some(String::from_utf8_lossy(&reply.body).into_owned()),
        Part::Took => Some(reply.took.as_millis().to_string()),
        Part::Continued => Some(if reply.continued { "yes" } else { "no" }.to_owned()),
        Part::Json(path) => {
            let document: Value = serde_json::from_slice(&reply.body).ok()?;
            let value = look_up(&document, path)?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        }
    }
}

fn look_up(document: &Value, path: &str) -> Option<Value> {
    let mut at = document.clone();
    for name in path.split('.').filter(|name| !name.is_empty()) {
        at = match (name, &at) {
            ("#", Value::Array(entries)) => entries.len().into(),
            ("#", Value::Object(entries)) => entries.len().into(),
            (_, Value::Array(entries)) => entries.get(name.parse::<usize>().ok()?)?.clone(),
            _ => at.get(name)?.clone(),
        };
    }
    Some(at)
}

fn compare(
    part: &Part,
    wanted: &Compare,
    got: Option<String>,
    context: &Context<'_>,
) -> Result<Option<Mismatch>, String> {
    let fill = |text: &str| context.values.fill(text);
    let (holds, expected) = match wanted {
        Compare::Present => (got.is_some(), "there".to_owned()),
        Compare::Absent => (got.is_none(), "not there".to_owned()),
        Compare::Is(text) => (is_same(part, got.as_deref(), &fill(text)?), format!("= {}", fill(text)?)),
        Compare::IsNot(text) => {
            (got.is_some() && !is_same(part, got.as_deref(), &fill(text)?), format!("!= {}", fill(text)?))
        }
        Compare::Contains(text) => {
            let text = fill(text)?;
            (got.as_deref().is_some_and(|got| got.contains(&text)), format!("contains {text}"))
        }
        Compare::Lacks(text) => {
            let text = fill(text)?;
            (!got.as_deref().is_some_and(|got| got.contains(&text)), format!("lacks {text}"))
        }
        Compare::OneOf(texts) => {
            let texts = texts.iter().map(|text| fill(text)).collect::<Result<Vec<_>, _>>()?;
            (texts.iter().any(|text| got.as_deref() == Some(text)), format!("one of {}", texts.join(" | ")))
        }
        Compare::Between(least, most) => {
            let bound = |text: &str| {
                let filled = fill(text)?;
                filled.trim().parse::<f64>().map_err(|_| format!("`{filled}` is no number"))
            };
            let (least, most) = (bound(least)?, bound(most)?);
            (number(got.as_deref()).is_some_and(|got| (least..=most).contains(&got)), format!("in {least}..{most}"))
        }
        Compare::Until(precision, moment) => {
            until(*precision, (context.moment)(moment)?, got.as_deref(), context.asked)
        }
    };
    let mismatch =
        || Mismatch { expected: format!("{} {expected}", name(part)), got: format!("{} {}", name(part), came(got)) };
    Ok((!holds).then(mismatch))
}

/// The time left when the answer was made, which was between the request and its end.
fn until(precision: Precision, moment: f64, got: Option<&str>, (asked, answered): (f64, f64)) -> (bool, String) {
    let unit = if precision == Precision::Millis { 1.0 } else { 1000.0 };
    let least = ((moment - answered - ROUNDING_MS).max(0.0) / unit).floor();
    let least = if precision == Precision::AtMostSeconds { 0.0 } else { least };
    let most = ((moment - asked + ROUNDING_MS).max(0.0) / unit).floor();
    (number(got).is_some_and(|got| (least..=most).contains(&got)), format!("in {least}..{most}"))
}

fn number(text: Option<&str>) -> Option<f64> {
    text?.trim().parse().ok()
}

/// JSON by value, so that spaces and the order of fields do not count.
fn is_same(part: &Part, got: Option<&str>, wanted: &str) -> bool {
    let Some(got) = got else { return false };
    if got == wanted {
        return true;
    }
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let wanted = parse(wanted);
    let quoted = wanted.as_ref().and_then(Value::as_str) == Some(got);
    matches!(part, Part::Json(_)) && wanted.is_some() && (quoted || parse(got) == wanted)
}

fn name(part: &Part) -> String {
    match part {
        Part::Header(name) => format!("header {name}"),
        Part::MaxAge => "max-age".to_owned(),
        Part::Body => "body".to_owned(),
        Part::Json(path) => format!("json {path}"),
        Part::Took => "milliseconds taken".to_owned(),
        Part::Continued => "continue".to_owned(),
    }
}

fn came(got: Option<String>) -> String {
    match got {
        None => "(none)".to_owned(),
        Some(text) if text.len() > 300 => format!("= {}…", text.chars().take(300).collect::<String>().escape_debug()),
        Some(text) => format!("= {}", text.escape_debug().to_string().replace("\\\"", "\"")),
    }
}
