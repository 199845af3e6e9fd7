//! The small words that many lines share: names, lengths of time, moments.

use std::time::Duration;

use crate::case::{Moment, Span};

/// The name of a held request or of a kept value.
pub(super) fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    let mut letters = text.chars();
    let begins = letters.next().is_some_and(|letter| letter.is_ascii_lowercase());
    if begins && letters.all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_')) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no name; begin with a-z and go on with a-z, 0-9 and _"))
}

/// `500ms`, `1.5s`, `2d` (segment durations).
pub(super) fn span(text: &str) -> Result<Span, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is no length of time; write 500ms, 1.5s or 2d (segment durations)");
    let at = text.find(|letter: char| letter.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(at);
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    if !(0.0..1e9).contains(&number) {
        return Err(wrong());
    }
    match unit {
        "ms" => Ok(Span::Time(Duration::from_secs_f64(number / 1000.0))),
        "s" => Ok(Span::Time(Duration::from_secs_f64(number))),
        "d" => Ok(Span::Segments(number)),
        _ => Err(wrong()),
    }
}

/// `E(next+1)`, `E(next) - 500ms`.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let wrong = || format!("`{text}` is no moment; write E(next), E(next+1) + 500ms or E(10) - 1d");
    let inner = text.trim().strip_prefix("E(").ok_or_else(wrong)?;
    let (segment, rest) = inner.split_once(')').ok_or_else(wrong)?;
    let rest = rest.trim();
    let (before, offset) = match rest.chars().next() {
        None => (false, Span::Time(Duration::ZERO)),
        Some('+') => (false, span(&rest[1..])?),
        Some('-') => (true, span(&rest[1..])?),
        Some(_) => return Err(wrong()),
    };
    Ok(Moment { segment: segment.trim().to_owned(), before, offset })
}
