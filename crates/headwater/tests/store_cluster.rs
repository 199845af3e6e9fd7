//! `headwater store` for a cluster: what is refused before any node is asked, and with what advice. What it does to a real
//! cluster is tested beside the engine.
#![allow(clippy::disallowed_methods, reason = "these tests start a real program")]

use std::path::Path;
use std::process::Command;

fn binary() -> std::path::PathBuf {
    std::env::var_os("HEADWATER_BIN").map_or_else(|| env!("CARGO_BIN_EXE_headwater").into(), Into::into)
}

/// `headwater store ARGS` with a configuration file of `text` and nothing in its environment, which ends so and says so.
#[track_caller]
fn says(text: &str, args: &[&str], code: i32, words: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headwater.toml");
    std::fs::write(&file, text).expect("written");
    run(&file, args, code, words);
}

#[track_caller]
fn run(file: &Path, args: &[&str], code: i32, words: &[&str]) {
    let mut command = Command::new(binary());
    let output = command.arg("store").args(args).arg("--config").arg(file).env_clear().output();
    let output = output.expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: no `{word}`: {said}");
    }
}

const CLUSTER: &str = "[store]\nengine = 'cassandra'\ncontact_points = ['127.0.0.1:1']\ndatacentre = 'dc1'\n";

#[test]
fn what_is_for_a_cluster_is_refused_for_a_data_directory() {
    says("", &["init"], 1, &["`store init` is for a cluster", "engine = \"log\"", "--config"]);
    says("", &["repair"], 1, &["`store repair` is for a cluster", "by the server at its start"]);
    says("", &["check", "--payloads"], 1, &["--payloads is for a cluster"]);
    says("", &["check", "--rate", "10"], 1, &["--rate is for a cluster"]);
}

#[test]
fn a_configuration_that_is_wrong_is_named() {
    for what in ["init", "check", "repair", "stats"] {
        says("[store]\nengine = 'cassandra'", &[what], 1, &["store.contact_points", "name some"]);
        let keyspace = format!("{CLUSTER}keyspace = 'Live-7'");
        says(&keyspace, &[what], 1, &["`store.keyspace`", "Live-7", "lower-case"]);
    }
    says(CLUSTER, &["check", "--rate-mib", "1"], 1, &["--rate-mib", "--payloads"]);
    says(CLUSTER, &["check", "--rate", "0"], 2, &["--rate"]);
}

#[test]
fn a_cluster_that_does_not_answer_is_named() {
    for what in ["init", "check", "repair", "stats"] {
        says(CLUSTER, &[what], 1, &["no Cassandra node answers at 127.0.0.1:1"]);
    }
}
