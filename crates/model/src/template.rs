//! URL templates with DASH identifiers (contract §2, §3): `$RepresentationID$`, `$Number$`, `$Number%05d$`, `$Time$`.
//! Only the canonical spelling of a number fits, so that one segment has one URL.

use std::fmt;

use crate::name::{NAME_LEN_MAX, Rendition, is_name_byte};

/// Longest template, in bytes: as long as the longest path (contract §2).
pub const TEMPLATE_LEN_MAX: usize = 1024;
/// Widest zero-padding of `$Number%0Wd$`: the digits of 2^64.
const PAD_MAX: usize = 20;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Rendition,
    /// Zero-padded to at least this many digits; 1 for `$Number$`.
    Number(usize),
    Time,
}

/// What a path says once it fits a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fit<'p> {
    /// What stood at `$RepresentationID$`, if the template has it: a rendition's name.
    pub rendition: Option<&'p str>,
    /// What stood at `$Number$` or `$Time$`, if the template has one.
    pub position: Option<Position>,
}

/// How a media path names its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// By segment number.
    Number(u64),
    /// By media time in the rendition's timescale, counted from `availability_start_time`.
    Time(u64),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// A sentence for a person: what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > TEMPLATE_LEN_MAX {
            return Err(format!("a template has 1 to {TEMPLATE_LEN_MAX} bytes, not {}", text.len()));
        }
        let template = Self { text: text.to_owned(), parts: parse_parts(text)? };
        template.check_literals()?;
        template.check_neighbours()?;
        Ok(template)
    }

    /// Whether the template names a segment: it has `$Number$` or `$Time$`.
    #[must_use]
    pub fn has_position(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Number(_) | Part::Time))
    }

    /// Whether segments are named by `$Time$`.
    #[must_use]
    pub fn has_time(&self) -> bool {
        self.parts.contains(&Part::Time)
    }

    /// Whether the template has `$RepresentationID$`.
    #[must_use]
    pub fn has_rendition(&self) -> bool {
        self.parts.contains(&Part::Rendition)
    }

    /// Reads `path`; `None` if it does not fit. Of several readings the one with the longest rendition name wins.
    #[must_use]
    pub fn fit<'p>(&self, path: &'p str) -> Option<Fit<'p>> {
        let mut fit = Fit::default();
        fits(&self.parts, path, &mut fit).then_some(fit)
    }

    /// Writes the path of a segment, or of an init segment where the template names none.
    #[must_use]
    pub fn path(&self, rendition: &Rendition, position: Option<Position>) -> String {
        let mut path = String::with_capacity(self.text.len() + NAME_LEN_MAX);
        for part in &self.parts {
            match (part, position) {
                (Part::Literal(text), _) => path.push_str(text),
                (Part::Rendition, _) => path.push_str(rendition.as_str()),
                (Part::Number(width), Some(Position::Number(number))) => path.push_str(&format!("{number:0width$}")),
                (Part::Time, Some(Position::Time(time))) => path.push_str(&time.to_string()),
                (Part::Number(_) | Part::Time, _) => {}
            }
        }
        path
    }

    /// Whether some path fits both templates. Repeated identifiers count as independent, which errs towards yes.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (left, right) = (atoms(&self.parts), atoms(&other.parts));
        let mut seen = vec![false; (left.len() + 1) * (right.len() + 1)];
        let mut open = vec![(0, 0)];
        while let Some((i, j)) = open.pop() {
            let mark = i * (right.len() + 1) + j;
            if std::mem::replace(&mut seen[mark], true) {
                continue;
            }
            if i == left.len() && j == right.len() {
                return true;
            }
            // An atom that has matched once may repeat: stepping past it is free.
            if left.get(i).is_some_and(|atom| atom.optional) {
                open.push((i + 1, j));
            }
            if right.get(j).is_some_and(|atom| atom.optional) {
                open.push((i, j + 1));
            }
            if let (Some(a), Some(b)) = (left.get(i), right.get(j))
                && a.set.meets(b.set)
            {
                open.push((if a.optional { i } else { i + 1 }, if b.optional { j } else { j + 1 }));
            }
        }
        false
    }

    fn check_literals(&self) -> Result<(), String> {
        let literals = self.parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            _ => None,
        });
        for text in literals {
            if let Some(bad) = text.chars().find(|c| !is_path_char(*c)) {
                return Err(format!(
                    "{bad:?} cannot stand in a template; use letters, digits and - . _ ~ ! ' ( ) * + , ; = : @ /"
                ));
            }
        }
        let sample = self.text.replace('$', "");
        if sample.split('/').any(|piece| piece.is_empty() || piece == "." || piece == "..") {
            return Err(
                "a template has no empty part, no `.` and no `..` between its slashes, and none before the first"
                    .into(),
            );
        }
        if sample.starts_with('@') {
            return Err("a template cannot begin with `@`: that names a pipeline".into());
        }
        Ok(())
    }

    fn check_neighbours(&self) -> Result<(), String> {
        let positions = |wanted: fn(&Part) -> bool| self.parts.iter().any(wanted);
        if positions(|p| matches!(p, Part::Number(_))) && positions(|p| matches!(p, Part::Time)) {
            return Err("use $Number$ or $Time$, not both".into());
        }
        let touching = self.parts.windows(2).any(|pair| pair.iter().all(|part| !matches!(part, Part::Literal(_))));
        if touching {
            return Err("two identifiers touch; put a character between them, like `-` or `/`".into());
        }
        let swallowed = self.parts.windows(2).any(|pair| match pair {
            [Part::Number(_) | Part::Time, Part::Literal(text)] => text.starts_with(|c: char| c.is_ascii_digit()),
            _ => false,
        });
        if swallowed {
            return Err(
                "a digit follows a number and would be read as part of it; put another character between them".into()
            );
        }
        Ok(())
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The characters of RFC 3986 that need no escape in a path, without `$` and `&`, plus the slash.
fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!'()*+,;=:@/".contains(c)
}

fn parse_parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        literal.push_str(&rest[..start]);
        let after = &rest[start + 1..];
        let Some(end) = after.find('$') else {
            return Err("a `$` has no partner; write identifiers like $Number$".into());
        };
        let part = parse_identifier(&after[..end])?;
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(part);
        rest = &after[end + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn parse_identifier(word: &str) -> Result<Part, String> {
    match word {
        "RepresentationID" => return Ok(Part::Rendition),
        "Number" => return Ok(Part::Number(1)),
        "Time" => return Ok(Part::Time),
        _ => {}
    }
    let width = word.strip_prefix("Number%0").and_then(|tail| tail.strip_suffix('d'));
    match width.and_then(|digits| digits.parse::<usize>().ok()) {
        Some(width) if (1..=PAD_MAX).contains(&width) => Ok(Part::Number(width)),
        Some(width) => Err(format!("${word}$: a width of {width}; use 1 to {PAD_MAX}")),
        None => Err(format!("${word}$ is not known here; use $RepresentationID$, $Number$, $Number%05d$ or $Time$")),
    }
}

/// Matches `parts` against all of `path`, filling `fit`. Backtracks over the length of a rendition name only, and
/// two identifiers never touch, so the work is at most (name length) x (identifiers).
fn fits<'p>(parts: &[Part], path: &'p str, fit: &mut Fit<'p>) -> bool {
    let Some((part, rest)) = parts.split_first() else { return path.is_empty() };
    match part {
        Part::Literal(text) => path.strip_prefix(text.as_str()).is_some_and(|tail| fits(rest, tail, fit)),
        Part::Number(width) => number(path, *width)
            .is_some_and(|(number, tail)| place(fit, Position::Number(number)) && fits(rest, tail, fit)),
        Part::Time => {
            number(path, 1).is_some_and(|(time, tail)| place(fit, Position::Time(time)) && fits(rest, tail, fit))
        }
        Part::Rendition => {
            if let Some(known) = fit.rendition {
                return path.strip_prefix(known).is_some_and(|tail| fits(rest, tail, fit));
            }
            let longest = path.bytes().take(NAME_LEN_MAX).take_while(|byte| is_name_byte(*byte)).count();
            (1..=longest).rev().any(|len| {
                let (name, tail) = path.split_at(len);
                let mut attempt = Fit { rendition: Some(name), position: fit.position };
                let fitted = Rendition::is_name(name) && fits(rest, tail, &mut attempt);
                if fitted {
                    *fit = attempt;
                }
                fitted
            })
        }
    }
}

/// Notes the position; false if the template repeats its identifier and the two differ.
fn place(fit: &mut Fit<'_>, position: Position) -> bool {
    *fit.position.get_or_insert(position) == position
}

/// A leading number in its canonical spelling, zero-padded to `width`, and what follows it.
fn number(path: &str, width: usize) -> Option<(u64, &str)> {
    let len = path.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, tail) = path.split_at(len);
    let canonical = len == width || (len > width && !digits.starts_with('0'));
    let value = canonical.then(|| digits.parse().ok()).flatten()?;
    Some((value, tail))
}

/// One position of the automaton that [`Template::overlaps`] walks.
struct Atom {
    set: Set,
    /// May match nothing, and may match again.
    optional: bool,
}

#[derive(Clone, Copy)]
enum Set {
    One(u8),
    Digit,
    NameStart,
    NameByte,
}

impl Set {
    fn holds(self, byte: u8) -> bool {
        match self {
            Self::One(one) => one == byte,
            Self::Digit => byte.is_ascii_digit(),
            Self::NameStart => byte.is_ascii_alphanumeric(),
            Self::NameByte => is_name_byte(byte),
        }
    }

    fn meets(self, other: Self) -> bool {
        (0..=127).any(|byte| self.holds(byte) && other.holds(byte))
    }
}

fn atoms(parts: &[Part]) -> Vec<Atom> {
    let mut atoms = Vec::new();
    for part in parts {
        match part {
            Part::Literal(text) => {
                atoms.extend(text.bytes().map(|byte| Atom { set: Set::One(byte), optional: false }));
            }
            Part::Rendition => {
                atoms.push(Atom { set: Set::NameStart, optional: false });
                atoms.push(Atom { set: Set::NameByte, optional: true });
            }
            Part::Number(width) => {
                atoms.extend((0..*width).map(|_| Atom { set: Set::Digit, optional: false }));
                atoms.push(Atom { set: Set::Digit, optional: true });
            }
            Part::Time => {
                atoms.push(Atom { set: Set::Digit, optional: false });
                atoms.push(Atom { set: Set::Digit, optional: true });
            }
        }
    }
    atoms
}

#[cfg(test)]
#[path = "template/tests.rs"]
mod tests;
