//! From the text of a case file to cases. Every line that says nothing is told with its place and what would do.

mod expect;
mod request;
mod words;

use crate::case::{Action, Case, EventSpec, Place, Request, Step};

/// The segment that is next unless a case says otherwise.
const NEXT: u64 = 10;

/// Reads a file's cases.
///
/// # Errors
/// Every line that cannot be read, as `file:line: what and what to write`.
pub fn cases(file: &str, text: &str) -> Result<Vec<Case>, Vec<String>> {
    let mut reader = Reader { cases: Vec::new(), errors: Vec::new() };
    for (index, line) in text.lines().enumerate() {
        let place = Place { file: file.to_owned(), line: index + 1 };
        let trimmed = line.trim_end();
        if trimmed.is_empty() || trimmed.trim_start().starts_with('#') {
            continue;
        }
        if let Err(problem) = reader.line(&place, trimmed) {
            reader.errors.push(format!("{place}: {problem}\n    {}", trimmed.trim_start()));
        }
    }
    for case in &reader.cases {
        if case.section.is_empty() {
            reader.errors.push(format!("{}: `{}` names no section; write `section §5 row 6`", case.place, case.id));
        }
        if !case.steps.iter().any(|step| matches!(step.action, Action::Expect(..) | Action::Still(_))) {
            reader.errors.push(format!("{}: `{}` expects nothing", case.place, case.id));
        }
    }
    if reader.errors.is_empty() { Ok(reader.cases) } else { Err(reader.errors) }
}

struct Reader {
    cases: Vec<Case>,
    errors: Vec<String>,
}

impl Reader {
    fn line(&mut self, place: &Place, line: &str) -> Result<(), String> {
        if line.starts_with([' ', '\t']) {
            return request::detail(self.last_request()?, line.trim_start());
        }
        let (word, rest) = line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim_start()));
        match word {
            "case" => return self.begin(place, rest),
            "section" => self.case()?.section = rest.to_owned(),
            "event" => event(&mut self.case()?.event, place, rest)?,
            "clock" => clock(&mut self.case()?.event, rest)?,
            _ => {
                let action = action(word, rest)?;
                self.case()?.steps.push(Step { place: place.clone(), action });
            }
        }
        Ok(())
    }

    fn begin(&mut self, place: &Place, rest: &str) -> Result<(), String> {
        let (id, title) = rest.split_once(": ").ok_or("write `case NAME: THE RULE AS A SENTENCE`")?;
        let fits = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
        if id.is_empty() || !id.chars().all(fits) || id.len() > 40 {
            return Err(format!("`{id}` is no name of a case; use a-z, 0-9 and -, at most 40"));
        }
        self.cases.push(Case {
            place: place.clone(),
            id: id.to_owned(),
            title: title.to_owned(),
            section: String::new(),
            event: EventSpec { exists: true, fields: Vec::new(), next: NEXT, since: None },
            steps: Vec::new(),
        });
        Ok(())
    }

    fn case(&mut self) -> Result<&mut Case, String> {
        self.cases.last_mut().ok_or_else(|| "before this there must be a `case NAME: …`".to_owned())
    }

    fn last_request(&mut self) -> Result<&mut Request, String> {
        match self.case()?.steps.last_mut().map(|step| &mut step.action) {
            Some(Action::Ask(request) | Action::Hold(_, request)) => Ok(request),
            _ => Err("an indented line belongs to the request above it, and there is none".to_owned()),
        }
    }
}

/// `event none`, or `event FIELD = JSON`.
fn event(event: &mut EventSpec, place: &Place, rest: &str) -> Result<(), String> {
    if rest == "none" {
        event.exists = false;
        return Ok(());
    }
    let (field, json) = rest.split_once('=').ok_or("write `event FIELD = JSON`, or `event none`")?;
    let value = serde_json::from_str(json.trim()).map_err(|error| format!("no JSON after the `=`: {error}"))?;
    event.fields.push((place.clone(), field.trim().to_owned(), value));
    Ok(())
}

/// `clock next 100`, `clock since 0.9d`.
fn clock(event: &mut EventSpec, rest: &str) -> Result<(), String> {
    match rest.split_once(' ') {
        Some(("next", number)) => event.next = number.parse().map_err(|_| format!("`{number}` is no number"))?,
        Some(("since", span)) => event.since = Some(words::span(span)?),
        _ => return Err("write `clock next NUMBER` or `clock since TIME`".to_owned()),
    }
    Ok(())
}

fn action(word: &str, rest: &str) -> Result<Action, String> {
    let name = || words::name(rest);
    Ok(match word {
        "hold" => {
            let (name, request) = rest.split_once(' ').ok_or("write `hold NAME METHOD PATH`")?;
            let (method, path) = request.split_once(' ').ok_or("write `hold NAME METHOD PATH`")?;
            Action::Hold(words::name(name)?, request::head(method, path)?)
        }
        "finish" => Action::Finish(name()?),
        "cut" => Action::Cut(name()?),
        "still" => Action::Still(name()?),
        "change" => {
            let (field, value) = rest.split_once(" = ").ok_or("write `change FIELD = JSON`")?;
            Action::Change(field.trim().to_owned(), value.trim().to_owned())
        }
        "at" => Action::At(words::moment(rest)?),
        "wait" => Action::Wait(words::span(rest)?),
        "keep" => {
            let (name, part) = rest.split_once(" = ").ok_or("write `keep NAME = header etag`")?;
            Action::Keep(words::name(name)?, expect::part(part.trim())?.0)
        }
        "expect" => {
            let (subject, check) = expect::expect(rest)?;
            Action::Expect(subject, check)
        }
        method if !method.is_empty() && method.chars().all(|letter| letter.is_ascii_uppercase()) => {
            Action::Ask(request::head(method, rest)?)
        }
        _ => return Err(format!("`{word}` begins no line; see spec/README.md")),
    })
}

#[cfg(test)]
#[path = "parse/tests.rs"]
mod tests;
