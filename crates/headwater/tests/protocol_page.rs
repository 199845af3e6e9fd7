//! docs/protocol.md, taken at its word: its examples are run in a shell against a running server, and its table has
//! every outcome.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "support/mod.rs"]
mod support;

use headwater_model::Outcome;
use support::{Server, program};

/// Stands between the outputs of two commands.
const MARK: &str = "--- next ---";

/// A command with what the page says it prints.
struct Example {
    command: String,
    prints: Vec<String>,
}

fn page() -> String {
    std::fs::read_to_string(program::workspace().join("docs/protocol.md")).expect("the page")
}

/// Every line after a `$ ` in a `console` block, with the lines below it.
fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let blocks = page.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    for line in blocks.flat_map(str::lines) {
        match (line.strip_prefix("$ "), examples.last_mut()) {
            (Some(command), _) => examples.push(Example { command: command.to_owned(), prints: Vec::new() }),
            (None, Some(example)) => example.prints.push(line.to_owned()),
            (None, None) => panic!("`{line}` comes before any command"),
        }
    }
    examples
}

/// Whether some line of `output` is `wanted`, where `…` stands for anything.
fn has_line(output: &str, wanted: &str) -> bool {
    let parts: Vec<&str> = wanted.split('…').collect();
    output.lines().map(str::trim_end).any(|line| {
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        if parts.len() == 1 {
            return line == wanted;
        }
        let Some(mut rest) = line.strip_prefix(first).and_then(|line| line.strip_suffix(last)) else { return false };
        parts[1..parts.len() - 1].iter().all(|part| {
            let found = rest.split_once(part);
            rest = found.map_or("", |(_, after)| after);
            found.is_some()
        })
    })
}

#[test]
fn the_examples_print_what_the_page_says() {
    let server = Server::start();
    let examples = examples(&page());
    assert!(examples.len() > 20, "{} examples", examples.len());
    let here = |text: &str| {
        let text = text.replace("http://127.0.0.1:7070", &server.publish);
        text.replace("http://127.0.0.1:7080", &server.deliver).replace("http://127.0.0.1:7090", &server.ops)
    };
    let script: String =
        examples.iter().map(|example| format!("{}\necho\necho '{MARK}'\n", here(&example.command))).collect();
    program::command("curl");
    let output = program::command("sh").args(["-c", &script]).current_dir(server.folder()).output().expect("a shell");
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    for (Example { command, prints }, output) in examples.iter().zip(printed.split(MARK)) {
        for line in prints {
            assert!(has_line(output, line), "{command}\nprints no `{line}`, but:\n{output}\n{complaints}");
        }
    }
    assert_eq!(printed.matches(MARK).count(), examples.len(), "{complaints}");
}

#[test]
fn every_outcome_is_in_the_table() {
    let page = page();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    for outcome in Outcome::ALL {
        let (word, status) = (format!("`{}`", outcome.word()), outcome.status().to_string());
        assert!(rows.iter().any(|row| row.contains(&word) && row.contains(&status)), "{word} {status}");
    }
}

#[test]
fn dots_stand_for_anything() {
    assert!(has_line("a\netag: \"12\"\r", "etag: \"…\""));
    assert!(has_line("{\"a\":1,\"b\":2}", "{\"a\":…\"b\":…"));
    assert!(!has_line("{\"a\":1}", "{\"a\":…\"b\":…"));
    assert!(!has_line("HTTP/1.1 200 OK", "HTTP/1.1 200"));
}
