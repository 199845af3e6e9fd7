//! A Rust file as the rules see it: its text, and its code with comments and literals blanked out.

/// One Rust file.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// The text with the contents of comments, strings and characters blanked; same lines.
    pub code: String,
}

/// A function: where it begins and ends, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`.
    pub first: usize,
    /// The line of its closing brace.
    pub last: usize,
}

impl Source {
    /// Reads `text` as the file at `path`.
    #[must_use]
    pub fn new(path: &str, text: String) -> Self {
        let code = blank(&text);
        Self { path: path.to_owned(), text, code }
    }

    /// Whether all of it is test code.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Whether it belongs to one of `folders`.
    #[must_use]
    pub fn is_in(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// The lines before the test module, as code, with their numbers; none of a test file.
    pub fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = if self.is_test() { 0 } else { self.production_lines() };
        self.code.lines().take(lines).enumerate().map(|(index, line)| (index + 1, line))
    }

    /// How many lines come before the test module.
    #[must_use]
    pub fn production_lines(&self) -> usize {
        let lines = || self.code.lines();
        lines().position(|line| line == "#[cfg(test)]").unwrap_or_else(|| lines().count())
    }

    /// Every function with a body.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let starts = self.code.match_indices("fn ").filter(|(at, _)| {
            let before = self.code[..*at].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
        });
        starts.filter_map(|(at, _)| self.function_at(at)).collect()
    }

    fn function_at(&self, at: usize) -> Option<Function> {
        let after = &self.code[at + 3..];
        let name: String = after.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        // A declaration ends at `;` and a `fn` type has no name; both have no body to measure.
        let open = after.find(['{', ';'])?;
        if name.is_empty() || after.as_bytes()[open] == b';' && !after[..open].contains('[') {
            return None;
        }
        let open = after.find('{')?;
        let mut depth = 0_usize;
        for (offset, letter) in after[open..].char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 1 => {
                    let end = at + 3 + open + offset;
                    return Some(Function { name, first: self.line_of(at), last: self.line_of(end) });
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        None
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

/// `text` with comments, strings and characters turned into spaces; line breaks stay.
fn blank(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = literal_end(&letters, at);
        if let Some(end) = end {
            code.extend(letters[at..end].iter().map(|letter| if *letter == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            code.push(letters[at]);
            at += 1;
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends, if one does.
fn literal_end(letters: &[char], at: usize) -> Option<usize> {
    let rest = &letters[at..];
    let word_before = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    let length = match rest {
        ['/', '/', ..] => rest.iter().position(|letter| *letter == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => string(rest),
        ['\'', '\\', ..] => 3 + rest[3..].iter().position(|letter| *letter == '\'')? + 1,
        ['\'', _, '\'', ..] => 3,
        ['r', '"' | '#', ..] if !word_before => raw_string(&rest[1..]).map(|length| length + 1)?,
        ['b' | 'c', 'r', '"' | '#', ..] if !word_before => raw_string(&rest[2..]).map(|length| length + 2)?,
        _ => return None,
    };
    Some((at + length).min(letters.len()))
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of `#"…"#` with any number of `#`; `None` for what is a raw identifier.
fn raw_string(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().take_while(|letter| **letter == '#').count();
    if rest.get(hashes) != Some(&'"') {
        return None;
    }
    let ends =
        |at: &usize| rest[*at] == '"' && rest[at + 1..].iter().take_while(|letter| **letter == '#').count() >= hashes;
    (hashes + 1..rest.len()).find(ends).map(|at| at + 1 + hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("crates/model/src/x.rs", text.to_owned())
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let code =
            source("let a = \"unsafe \\\" {\"; // unsafe {\nlet b = r#\"unsafe\"#; /* {/*{*/ */ let c = '{';").code;
        assert!(!code.contains("unsafe") && !code.contains('{'), "{code}");
        assert_eq!(code.lines().count(), 2);
        assert!(source("fn f<'a>(r#type: &'a str) {}").code.contains("&'a str"));
    }

    #[test]
    fn functions_are_measured_from_fn_to_the_closing_brace() {
        let text =
            "impl X {\n    fn one(&self) -> [u8; 2] {\n        if x { y }\n    }\n    fn declared();\n}\nfn two() {}\n";
        let measured = source(text).functions();
        let expected =
            [("one", 2, 4), ("two", 7, 7)].map(|(name, first, last)| Function { name: name.into(), first, last });
        assert_eq!(measured, expected);
    }

    #[test]
    fn the_test_module_is_no_production_code() {
        let source = source("//! Doc.\nfn a() {}\n\n#[cfg(test)]\nmod tests {}\n");
        assert_eq!(source.production_lines(), 3);
    }
}
