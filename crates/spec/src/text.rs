//! Fills in the `{…}` of a line: `{event}`, `{next+5}`, `{etag}`. JSON passes: its braces are followed by no name.

use std::collections::HashMap;

/// Most letters that `{x1000}` stands for.
const FILLER_MAX: usize = 100_000;

/// The values by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(HashMap<String, String>);

impl Values {
    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// `text` with every `{NAME}`, `{NAME+N}` and `{NAME-N}` filled in.
    ///
    /// # Errors
    /// If a name has no value, or one that is no number where one is added.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, braced) = rest.split_at(at);
            filled.push_str(before);
            match braced[1..].split_once('}').filter(|(inner, _)| is_expression(inner)) {
                Some((inner, after)) => {
                    filled.push_str(&self.value(inner)?);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = &braced[1..];
                }
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// The value of `NAME`, `NAME+N`, `NAME-N` or of a plain number; `x1000` is a thousand letters.
    ///
    /// # Errors
    /// As [`Values::fill`].
    pub(crate) fn value(&self, expression: &str) -> Result<String, String> {
        if expression.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(expression.to_owned());
        }
        if let Some(Ok(length)) = expression.strip_prefix('x').map(str::parse::<usize>) {
            return Ok("x".repeat(length.min(FILLER_MAX)));
        }
        let at = expression.find(['+', '-']).unwrap_or(expression.len());
        let (name, change) = expression.split_at(at);
        let value = self.0.get(name).ok_or_else(|| format!("`{{{name}}}` has no value here"))?;
        if change.is_empty() {
            return Ok(value.clone());
        }
        let sum = value.parse::<i64>().ok().zip(change.parse::<i64>().ok()).and_then(|(a, b)| a.checked_add(b));
        sum.map(|sum| sum.to_string())
            .ok_or_else(|| format!("`{{{expression}}}` adds to `{value}`, which is no number"))
    }
}

fn is_expression(inner: &str) -> bool {
    let at = inner.find(['+', '-']).unwrap_or(inner.len());
    let (name, change) = inner.split_at(at);
    let is_name = name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    is_name && (change.is_empty() || (change.len() > 1 && change[1..].bytes().all(|byte| byte.is_ascii_digit())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_and_json_is_left_alone() {
        let mut values = Values::default();
        values.set("next", "10");
        values.set("event", "/live/e");
        let filled = values.fill("{event}/v/{next-3}.m4s {\"from\": {next+1}, \"x\": {}}").unwrap();
        assert_eq!(filled, "/live/e/v/7.m4s {\"from\": 11, \"x\": {}}");
        assert!(values.fill("{nothing}").is_err());
        assert!(values.fill("{event+1}").is_err());
    }
}
