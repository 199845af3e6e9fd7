//! The rules for single files and manifests, and the few exceptions.

use std::path::Path;

use anyhow::{Context, Result};

use super::source::Source;

/// Longest production part of a file. Longer ones hide two subjects.
const FILE_LINES_MAX: usize = 400;
/// Longest function. It has to fit on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may be longer, with their limit and the reason. Keep it empty; an entry that is not needed is a breach.
const LONGER: [(&str, usize); 0] = [];

/// Files that may hold `unsafe`, each with a reason. None so far.
const UNSAFE: [&str; 0] = [];

/// Words that the pure crates must not know, and why.
const IMPURE: [(&str, &str); 9] = [
    ("tokio", "is async; the caller waits, this crate computes"),
    ("async", "waits; the caller waits, this crate computes"),
    ("Instant", "is a clock; take the time as an argument"),
    ("SystemTime", "is a clock; take the time as an argument"),
    ("std::fs", "is I/O; take the bytes as an argument"),
    ("std::net", "is I/O; take the bytes as an argument"),
    ("std::io", "is I/O; take the bytes as an argument"),
    ("std::env", "is the environment; only the binary reads it"),
    ("std::thread", "is a thread; the caller decides where this crate runs"),
];

/// Crates that are pure.
const PURE: [&str; 2] = ["crates/model/", "crates/media/"];

/// Who may read the environment: the binary and what is no part of the server.
const ENVIRONMENT: [&str; 5] = ["crates/headwater/", "crates/cassandra/examples/", "xtask/", "bench/", "fuzz/"];

/// Every breach of one file.
#[must_use]
pub(super) fn check(source: &Source) -> Vec<String> {
    let mut breaches = Vec::new();
    // A `tests.rs` is the second half of the file beside it, which says what both are about.
    if !source.text.starts_with("//!") && !source.path.ends_with("/tests.rs") {
        breaches.push(format!("{}:1: begin with `//!`: what this file is, why, what it must never do", source.path));
    }
    check_length(source, &mut breaches);
    check_words(source, &mut breaches);
    breaches
}

fn check_length(source: &Source, breaches: &mut Vec<String>) {
    let lines = source.production_lines();
    if !source.is_test() && lines > lines_max(&source.path) {
        breaches.push(format!("{}: {lines} lines before the tests; at most {FILE_LINES_MAX}", source.path));
    }
    for function in source.functions() {
        let lines = function.last - function.first + 1;
        if lines > FUNCTION_LINES_MAX {
            let (path, first, name) = (&source.path, function.first, &function.name);
            breaches.push(format!("{path}:{first}: `{name}` has {lines} lines; at most {FUNCTION_LINES_MAX}"));
        }
    }
}

fn lines_max(path: &str) -> usize {
    LONGER.iter().find(|(longer, _)| *longer == path).map_or(FILE_LINES_MAX, |(_, most)| *most)
}

fn check_words(source: &Source, breaches: &mut Vec<String>) {
    let mut breach = |line: usize, text: &str| breaches.push(format!("{}:{line}: {text}", source.path));
    for (line, code) in source.production() {
        if source.is_in(&PURE) {
            for (word, why) in IMPURE.iter().filter(|(word, _)| has_word(code, word)) {
                breach(line, &format!("`{word}` {why}"));
            }
        }
        if source.is_in(&["crates/"]) && !source.is_in(&["crates/wire/"]) {
            for word in ["hyper", "hyper_util"].into_iter().filter(|word| has_word(code, word)) {
                breach(line, &format!("`{word}` belongs to headwater-wire; go through its types"));
            }
        }
        if source.is_in(&["crates/"]) && !source.is_in(&["crates/cassandra/"]) && has_word(code, "scylla") {
            breach(line, "`scylla` belongs to headwater-cassandra; go through the `Store` trait");
        }
        let reads_environment = source.is_in(&ENVIRONMENT);
        if !reads_environment && (has_word(code, "std::env") || has_word(code, "env::var")) {
            breach(line, "only the binary reads the environment; take the value as an argument");
        }
    }
    for (line, code) in source.code.lines().enumerate() {
        let line = line + 1;
        if has_word(code, "unsafe") && !UNSAFE.contains(&source.path.as_str()) {
            breach(line, "`unsafe` outside of the files that may hold it; find a safe way");
        }
        if code.trim_start().starts_with("#[ignore") {
            breach(line, "an ignored test tests nothing; fix it or remove it");
        }
        for word in ["todo!", "unimplemented!", "dbg!"].into_iter().filter(|word| has_word(code, word)) {
            breach(line, &format!("`{word}` is unfinished work"));
        }
    }
}

/// Whether `code` has `word` not as a part of a longer word.
fn has_word(code: &str, word: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].chars().next_back().is_some_and(is_letter)
            && !code[at + word.len()..].chars().next().is_some_and(is_letter)
    })
}

/// Exceptions that no file needs any more.
#[must_use]
pub(super) fn stale_exceptions(sources: &[Source]) -> Vec<String> {
    let mut stale = Vec::new();
    for (path, _) in LONGER {
        if !sources.iter().any(|source| source.path == path && source.production_lines() > FILE_LINES_MAX) {
            stale.push(format!("xtask/src/tidy/rules.rs: LONGER has {path}, which is no longer too long; remove it"));
        }
    }
    for path in UNSAFE {
        if !sources.iter().any(|source| source.path == path && has_word(&source.code, "unsafe")) {
            stale.push(format!("xtask/src/tidy/rules.rs: UNSAFE has {path}, which has none; remove it"));
        }
    }
    stale
}

/// Every breach of the manifests: what the pure crates and the others may depend on, and the lock of the npm tools.
///
/// # Errors
/// If a manifest cannot be read.
pub(super) fn check_manifests(root: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    let crates = root.join("crates");
    for entry in std::fs::read_dir(&crates).context("cannot list crates/")? {
        let folder = entry?.file_name().to_string_lossy().into_owned();
        let path = format!("crates/{folder}/Cargo.toml");
        let Ok(manifest) = std::fs::read_to_string(root.join(&path)) else { continue };
        let pure = PURE.contains(&format!("crates/{folder}/").as_str());
        for name in dependencies(&manifest) {
            if pure && ["tokio", "rustix", "libc", "async-trait"].contains(&name) {
                breaches.push(format!("{path}: `{name}` has no place in a pure crate"));
            }
            if folder != "wire" && ["hyper", "hyper-util"].contains(&name) {
                breaches.push(format!("{path}: `{name}` belongs to headwater-wire"));
            }
            if folder != "cassandra" && name == "scylla" {
                breaches.push(format!("{path}: `{name}` belongs to headwater-cassandra"));
            }
        }
    }
    let lock = std::fs::read_to_string(root.join("xtask/tools/package-lock.json"))?;
    if lock.contains("\"resolved\"") {
        let advice = "lock with `npm install --package-lock-only --omit-lockfile-registry-resolved=true`";
        breaches.push(format!("xtask/tools/package-lock.json: names a registry's host; {advice}"));
    }
    Ok(breaches)
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    section.take_while(|line| !line.starts_with('[')).filter_map(|line| line.split(['.', '=', ' ']).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> String {
        check(&Source::new(path, text.to_owned())).join("\n")
    }

    #[test]
    fn a_pure_crate_has_no_clock_and_no_io() {
        let text = "//! Doc.\nuse std::time::Instant;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let found = breaches("crates/model/src/x.rs", text);
        assert!(found.starts_with("crates/model/src/x.rs:2:") && found.lines().count() == 1, "{found}");
        assert_eq!(breaches("crates/store/src/x.rs", text), "");
    }

    #[test]
    fn only_wire_names_hyper_and_only_the_binary_reads_the_environment() {
        assert!(breaches("crates/origin/src/x.rs", "//! D.\nuse hyper::Request;").contains("headwater-wire"));
        assert_eq!(breaches("crates/wire/src/x.rs", "//! D.\nuse hyper::Request;"), "");
        assert!(breaches("crates/wire/src/x.rs", "//! D.\nlet x = std::env::var(name);").contains("environment"));
    }

    #[test]
    fn long_functions_and_files_are_found() {
        let body = "    let x = 1;\n".repeat(70);
        let long = format!("//! D.\nfn long() {{\n{body}}}\n");
        assert!(breaches("crates/wire/src/x.rs", &long).contains("`long` has 72 lines"));
        assert!(breaches("crates/wire/src/x.rs", &format!("//! D.\n{}", "// x\n".repeat(400))).contains("401 lines"));
    }

    #[test]
    fn unfinished_and_unsafe_code_is_found() {
        let text = "//! D.\nunsafe fn f() {}\n#[ignore]\nfn g() { todo!() }\n";
        assert_eq!(breaches("crates/wire/src/x.rs", text).lines().count(), 3);
    }

    #[test]
    fn dependencies_are_those_of_their_section() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\nbytes.workspace = true\nhttp = \"1\"\n[dev-dependencies]\ntokio = \"1\"\n";
        assert_eq!(dependencies(manifest).collect::<Vec<_>>(), ["bytes", "http"]);
    }
}
