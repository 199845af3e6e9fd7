//! What can be wrong with a segment (contract §4), as reported by a packager or found by our own inspection.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A known kind of defect. The order is the order in which a report lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DefectKind {
    /// Frames or samples are missing: shorter than the event's duration by a whole sample or more.
    Short,
    /// `tfdt` lies more than one sample off the expected time.
    Discontinuity,
    /// A slate, brand `slat`.
    Filler,
    /// The box structure is broken.
    Malformed,
    /// The boxes end early.
    Incomplete,
    /// The first sample is no sync sample.
    NoSync,
    /// `mfhd` sequence numbers do not grow within the segment.
    Disorder,
}

impl DefectKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Short,
        Self::Discontinuity,
        Self::Filler,
        Self::Malformed,
        Self::Incomplete,
        Self::NoSync,
        Self::Disorder,
    ];

    /// The token in headers, metrics and the console.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Discontinuity => "discontinuity",
            Self::Filler => "filler",
            Self::Malformed => "malformed",
            Self::Incomplete => "incomplete",
            Self::NoSync => "no-sync",
            Self::Disorder => "disorder",
        }
    }

    /// The kind that `word` names; `None` for an unknown token, which is ignored (contract §4).
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether a player may choke on the bytes themselves: such a candidate is the last to be served.
    #[must_use]
    pub const fn breaks_structure(self) -> bool {
        matches!(self, Self::Malformed | Self::Incomplete)
    }
}

/// One defect with its facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defect {
    /// What kind.
    pub kind: DefectKind,
    /// Its facts, like `have=48`, in the order given. Keys are structured-field keys (RFC 9651).
    pub facts: Vec<(String, i64)>,
}

impl Defect {
    /// A defect with `facts`.
    #[must_use]
    pub fn new(kind: DefectKind, facts: &[(&str, i64)]) -> Self {
        Self { kind, facts: facts.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect() }
    }
}

/// All that is known to be wrong with one candidate: at most one defect of each kind, the first report of it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Defects(Vec<Defect>);

impl Defects {
    /// Adds a defect, unless one of its kind is there.
    pub fn add(&mut self, defect: Defect) {
        if !self.has(defect.kind) {
            self.0.push(defect);
        }
    }

    /// Whether one of this kind is there.
    #[must_use]
    pub fn has(&self, kind: DefectKind) -> bool {
        self.0.iter().any(|defect| defect.kind == kind)
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the report.
    pub fn iter(&self) -> impl Iterator<Item = &Defect> {
        self.0.iter()
    }

    /// How bad: structure first, then the number of kinds (contract §5, selection 4). Less is better.
    #[must_use]
    pub fn badness(&self) -> (bool, usize) {
        (self.0.iter().any(|defect| defect.kind.breaks_structure()), self.0.len())
    }
}

impl FromIterator<Defect> for Defects {
    fn from_iter<I: IntoIterator<Item = Defect>>(defects: I) -> Self {
        let mut all = Self::default();
        defects.into_iter().for_each(|defect| all.add(defect));
        all
    }
}

impl fmt::Display for Defects {
    /// The value of `Headwater-Defects`: a list of tokens with integer parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, defect) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", defect.kind.word())?;
            for (key, value) in &defect.facts {
                write!(f, ";{key}={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_written_as_the_contract_shows_it() {
        let defects: Defects = [
            Defect::new(DefectKind::Short, &[("have", 48), ("want", 50)]),
            Defect::new(DefectKind::Discontinuity, &[("offset", 3003)]),
            Defect::new(DefectKind::Short, &[("have", 1)]),
        ]
        .into_iter()
        .collect();
        assert_eq!(defects.to_string(), "short;have=48;want=50, discontinuity;offset=3003");
    }

    #[test]
    fn every_word_is_read_back() {
        for kind in DefectKind::ALL {
            assert_eq!(DefectKind::from_word(kind.word()), Some(kind));
        }
        assert_eq!(DefectKind::from_word("sparkly"), None);
    }

    #[test]
    fn broken_structure_is_worse_than_any_number_of_kinds() {
        let one = Defects::from_iter([Defect::new(DefectKind::Malformed, &[])]);
        let many: Defects = [DefectKind::Short, DefectKind::NoSync, DefectKind::Filler]
            .map(|kind| Defect::new(kind, &[]))
            .into_iter()
            .collect();
        assert!(many.badness() < one.badness());
        assert!(Defects::default().badness() < many.badness());
    }
}
