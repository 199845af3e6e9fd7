//! `expect` lines.

use super::words;
use crate::case::{Check, Compare, Part, Precision};

/// What `for ever` stands for.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// How a time until a moment is compared.
const PRECISIONS: [(&str, Precision); 3] = [
    ("= ms until ", Precision::Millis),
    ("= seconds until ", Precision::Seconds),
    ("at most seconds until ", Precision::AtMostSeconds),
];

/// The words that begin an expectation; another one is the name of a held request.
const SUBJECTS: [&str; 8] = ["header", "max-age", "body", "json", "took", "continue", "within", "no"];

/// What follows `expect`: perhaps the name of a held request, then what must hold.
pub(super) fn expect(rest: &str) -> Result<(Option<String>, Check), String> {
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    if SUBJECTS.contains(&word) || word.parse::<u16>().is_ok() {
        return Ok((None, check(rest)?));
    }
    Ok((Some(words::name(word)?), check(after.trim_start())?))
}

fn check(text: &str) -> Result<Check, String> {
    if let Some(span) = text.strip_prefix("within ") {
        return Ok(Check::Within(words::span(span)?));
    }
    if text.starts_with(|letter: char| letter.is_ascii_digit()) {
        return status(text);
    }
    if let Some(part_text) = text.strip_prefix("no ") {
        let (part, rest) = part(part_text)?;
        return if rest.is_empty() { Ok(Check::Part(part, Compare::Absent)) } else { Err(left_over(rest)) };
    }
    let (part, rest) = part(text)?;
    Ok(Check::Part(part, compare(rest)?))
}

/// `404 too-early`, `410 missing, max-age=20`, `200 hit, for ever`, `422 problem segment.duration`.
fn status(text: &str) -> Result<Check, String> {
    let (status, rest) = text.split_once(' ').unwrap_or((text, ""));
    let status = status.parse().map_err(|_| format!("`{status}` is no status"))?;
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Ok(Check::Status(status, None, None));
    }
    if let Some(word) = rest.strip_prefix("problem") {
        return Ok(Check::Problem(status, word.trim().to_owned()));
    }
    let (outcome, cache) = match rest.split_once(", ") {
        Some((outcome, "for ever")) => (outcome, Some(FOR_EVER.to_owned())),
        Some((outcome, cache)) => (outcome, Some(cache.to_owned())),
        None => (rest, None),
    };
    if outcome.contains(' ') {
        return Err("after the status write an outcome and, after a comma, the Cache-Control".to_owned());
    }
    Ok(Check::Status(status, Some(outcome.to_owned()), cache))
}

/// A part of an answer, and what follows it.
pub(super) fn part(text: &str) -> Result<(Part, &str), String> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim_start();
    match word {
        "header" | "json" => {
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            if name.is_empty() {
                return Err(format!("after `{word}` write which"));
            }
            let part = if word == "header" { Part::Header(name.to_owned()) } else { Part::Json(name.to_owned()) };
            Ok((part, rest.trim_start()))
        }
        "max-age" => Ok((Part::MaxAge, rest)),
        "body" => Ok((Part::Body, rest)),
        "took" => Ok((Part::Took, rest)),
        "continue" => Ok((Part::Continued, rest)),
        _ => Err(format!("`{word}` is no part of an answer; {SUBJECTS:?} are")),
    }
}

fn compare(rest: &str) -> Result<Compare, String> {
    if rest.is_empty() {
        return Ok(Compare::Present);
    }
    if let Some(text) = rest.strip_prefix("one of ") {
        return Ok(Compare::OneOf(text.split(" | ").map(|one| one.trim().to_owned()).collect()));
    }
    for (prefix, precision) in PRECISIONS {
        if let Some(moment) = rest.strip_prefix(prefix) {
            return Ok(Compare::Until(precision, words::moment(moment)?));
        }
    }
    let (operator, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let text = text.to_owned();
    Ok(match operator {
        "=" => Compare::Is(text),
        "!=" => Compare::IsNot(text),
        "contains" => Compare::Contains(text),
        "lacks" => Compare::Lacks(text),
        "in" => {
            let (least, most) = text.split_once("..").ok_or("after `in` write NUMBER..NUMBER")?;
            Compare::Between(least.to_owned(), most.to_owned())
        }
        _ => return Err(left_over(rest)),
    })
}

fn left_over(rest: &str) -> String {
    format!("cannot compare with `{rest}`; write = != contains lacks `one of A | B` `in 3..5` or nothing")
}
