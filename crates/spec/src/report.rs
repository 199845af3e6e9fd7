//! What a person reads when a case fails: where, what was expected, what came, and the whole answer.

use crate::case::{Case, Place};
use crate::check::Mismatch;
use crate::run::Answer;

/// A case that cannot be played on, whatever the answer.
pub(crate) fn problem(case: &Case, place: &Place, problem: &str) -> String {
    format!("{}\n  {problem}", headline(case, place))
}

/// An answer that is not as expected; with `answer`, all of it is shown.
pub(crate) fn mismatch(case: &Case, place: &Place, mismatches: &[Mismatch], answer: Option<&Answer>) -> String {
    let mut text = headline(case, place);
    if let Some(answer) = answer {
        text.push_str(&format!("\n  {}", answer.request));
    }
    for Mismatch { expected, got } in mismatches {
        text.push_str(&format!("\n    expected  {expected}\n         got  {got}"));
    }
    if let Some(answer) = answer {
        text.push_str(&whole(answer));
    }
    text
}

fn headline(case: &Case, place: &Place) -> String {
    format!("{place}: {} ({}): {}", case.id, case.section, case.title)
}

fn whole(answer: &Answer) -> String {
    let Ok(reply) = &answer.reply else { return String::new() };
    let mut text = format!("\n  the answer, after {:.3} s:\n    {}", reply.took.as_secs_f64(), reply.status);
    for (name, value) in &reply.headers {
        text.push_str(&format!("\n    {name}: {value}"));
    }
    text.push_str(&format!("\n    ({} bytes) {}", reply.body.len(), excerpt(&reply.body)));
    text
}

/// The beginning of a text; of media nothing.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(600)]).into_owned();
    let is_text = text.chars().all(|letter| !letter.is_control() || letter.is_whitespace());
    if is_text { text.trim_end().replace('\n', "\n    ") } else { String::new() }
}
