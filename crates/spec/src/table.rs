//! The table of `spec/README.md`: which cases belong to which section. A test keeps the page equal to it.

use std::collections::BTreeMap;

use crate::case::Case;

/// In the order of the sections.
#[must_use]
pub fn table(cases: &[&Case]) -> String {
    let mut sections: BTreeMap<Vec<Key>, (&str, Vec<&str>)> = BTreeMap::new();
    for case in cases {
        sections.entry(key(&case.section)).or_insert((&case.section, Vec::new())).1.push(&case.id);
    }
    let mut text = String::from("| section | cases |\n|---|---|\n");
    for (section, ids) in sections.values() {
        let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        text.push_str(&format!("| {section} | {} |\n", ids.join(", ")));
    }
    text
}

/// Numbers sort as numbers: row 10 after row 9.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(u64),
    Word(String),
}

fn key(section: &str) -> Vec<Key> {
    let words = section.split([' ', '§']).filter(|word| !word.is_empty());
    words.map(|word| word.parse().map_or_else(|_| Key::Word(word.to_owned()), Key::Number)).collect()
}
