//! Media for the tests.

/// Bytes that are told apart by their words; events of the contract tests do not look inside.
pub fn words(word: &str, length: usize) -> Vec<u8> {
    word.bytes().cycle().take(length).collect()
}
