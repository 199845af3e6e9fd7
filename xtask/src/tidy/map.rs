//! ARCHITECTURE.md shows the main paths as lists of `file.rs::function`; every one of them must exist.

use super::source::Source;

/// Fewer places than this mean that the lists are gone: a PUT and a GET alone have more steps.
const PLACES_MIN: usize = 8;

/// What `map` names and `sources` do not have.
#[must_use]
pub(super) fn check(map: &str, sources: &[Source]) -> Vec<String> {
    let places = places(map);
    let mut breaches = Vec::new();
    if places.len() < PLACES_MIN {
        let problem = format!("names {} places as `file.rs::function`; list the steps of PUT and GET", places.len());
        breaches.push(format!("ARCHITECTURE.md: {problem}"));
    }
    for (line, path, function) in places {
        let mut files = sources.iter().filter(|source| is_file(&source.path, path)).peekable();
        if files.peek().is_none() {
            breaches.push(format!("ARCHITECTURE.md:{line}: there is no file {path}"));
        } else if !files.any(|source| source.functions().iter().any(|found| found.name == function)) {
            breaches.push(format!("ARCHITECTURE.md:{line}: {path} has no `fn {function}`"));
        }
    }
    breaches
}

/// Whether the file at `path` is what the map calls `name`: its path or the end of it.
fn is_file(path: &str, name: &str) -> bool {
    path == name || path.strip_suffix(name).is_some_and(|before| before.ends_with('/'))
}

/// Each place with its line, file and function; of `Type::function` only the function is looked for.
fn places(map: &str) -> Vec<(usize, &str, &str)> {
    let mut places = Vec::new();
    for (index, line) in map.lines().enumerate() {
        for word in line.split('`').skip(1).step_by(2) {
            let Some((file, function)) = word.split_once(".rs::") else { continue };
            let path = &word[..file.len() + 3];
            let function = function.rsplit("::").next().unwrap_or(function).trim_end_matches("()");
            places.push((index + 1, path, function));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_the_end_of_its_path() {
        let map = "1. `publish/receive.rs::drain` reads\n2. `origin/src/hold.rs::Hold::wait()`\n";
        let expected = [(1, "publish/receive.rs", "drain"), (2, "origin/src/hold.rs", "wait")];
        assert_eq!(places(map), expected);
        assert!(is_file("crates/origin/src/publish/receive.rs", "publish/receive.rs"));
        assert!(!is_file("crates/origin/src/republish/receive.rs", "publish/receive.rs"));
    }

    #[test]
    fn a_function_that_is_gone_is_told() {
        let source = Source::new("crates/origin/src/hold.rs", "//! D.\nfn wait() {}\n".to_owned());
        let told = check("`hold.rs::wait` `hold.rs::gone` `other.rs::wait`", &[source]).join("\n");
        assert!(told.contains("has no `fn gone`") && told.contains("no file other.rs"), "{told}");
        assert!(!told.contains("`fn wait`"), "{told}");
    }
}
