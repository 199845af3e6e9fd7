//! `cargo xtask cluster …`: a real Cassandra cluster with memcached zones on loopback, for people. Tests start theirs
//! through the same crate.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use headwater_cluster::{Cluster, CommitLog, Options};

use crate::programs::{root, target_dir};
use crate::setup;

const USAGE: &str = "\
cargo xtask cluster COMMAND [--dir DIR]

  up [--datacentres 2] [--nodes N] [--zones N]   starts three Cassandra nodes and two memcached zones, or what is missing,
                                                 and writes a configuration for `headwater serve` beside them, one
                                                 for each datacentre
     [--commit-log group]                        group: writes are on disk before they are acked; else within a second
  down [--keep]                                  stops everything; removes the data too without --keep
  kill NAME                                      SIGKILL to one process: 1, 2, 3 are nodes, a1 a server of zone a
  pause NAME | resume NAME                       SIGSTOP and SIGCONT
  status                                         what runs where

  --dir DIR   the cluster's folder (default: `cluster` in cargo's target folder); each folder is a cluster of its own";

/// Does what `words` say.
///
/// # Errors
/// If it cannot; the message says what to do.
pub fn run(words: &[&str]) -> Result<()> {
    let mut words = words.to_vec();
    let folder = match option(&mut words, "--dir")? {
        Some(folder) => PathBuf::from(folder),
        None => target_dir()?.join("cluster"),
    };
    let there = || Cluster::open(&folder)?.with_context(|| format!("no cluster in {}", folder.display()));
    match words.as_slice() {
        ["up", ..] => return up(words.split_off(1), folder),
        ["down"] => there()?.down(false)?,
        ["down", "--keep"] => there()?.down(true)?,
        ["kill", name] => there()?.kill(name)?,
        ["pause", name] => there()?.pause(name)?,
        ["resume", name] => there()?.resume(name)?,
        ["status"] => show(&there()?),
        _ => bail!("{USAGE}"),
    }
    Ok(())
}

fn up(mut words: Vec<&str>, folder: PathBuf) -> Result<()> {
    let mut options = Options::new(root().join(setup::CASSANDRA));
    for (name, value) in
        [("--datacentres", &mut options.datacentres), ("--nodes", &mut options.nodes), ("--zones", &mut options.zones)]
    {
        if let Some(text) = option(&mut words, name)? {
            *value = text.parse().with_context(|| format!("{name}: `{text}` is no number"))?;
        }
    }
    options.commit_log = match option(&mut words, "--commit-log")? {
        None | Some("periodic") => CommitLog::Periodic,
        Some("group") => CommitLog::Group,
        Some(other) => bail!("--commit-log: `{other}` is neither `periodic` nor `group`"),
    };
    if !words.is_empty() {
        bail!("{USAGE}");
    }
    setup::cluster()?;
    let cluster = Cluster::up(&folder, &options, &mut |step| println!("cluster: {step}"))?;
    show(&cluster);
    for number in 1..=options.datacentres {
        let name = if number == 1 { "headwater.toml".to_owned() } else { format!("headwater-dc{number}.toml") };
        let file = cluster.folder().join(name);
        let text = configuration(&cluster, number, options.datacentres);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        println!("\nServe in dc{number}:\n  cargo run --release -- serve --config {}", file.display());
    }
    Ok(())
}

/// For servers in datacentre `number` of `count`. Zones of memcached are one datacentre's.
fn configuration(cluster: &Cluster, number: usize, count: usize) -> String {
    let own = format!("dc{number}");
    let nodes = cluster.contact_points(&own);
    let texts = |all: &[std::net::SocketAddr]| format!("{:?}", all.iter().map(ToString::to_string).collect::<Vec<_>>());
    let copies = nodes.len().min(3);
    let replication: Vec<String> = (1..=count).map(|number| format!("dc{number} = {copies}")).collect();
    let mut text = format!(
        "region = \"{own}\"\n\n[store]\nengine = \"cassandra\"\ncontact_points = {}\ndatacentre = \"{own}\"\n\
         replication = {{ {} }}\n",
        texts(&nodes),
        replication.join(", ")
    );
    for (_, zone) in cluster.zones().iter().enumerate().filter(|(index, _)| index % count + 1 == number) {
        text.push_str(&format!("memcached.{} = {}\n", zone.name, texts(&zone.servers)));
    }
    text
}

fn show(cluster: &Cluster) {
    for (what, standing) in cluster.status() {
        println!("{standing:?}  {what}");
    }
    println!("in {}", cluster.folder().display());
}

/// Takes `name VALUE` out of `words`.
fn option<'a>(words: &mut Vec<&'a str>, name: &str) -> Result<Option<&'a str>> {
    let Some(at) = words.iter().position(|word| *word == name) else { return Ok(None) };
    words.remove(at);
    if at == words.len() {
        bail!("{name} needs a value\n\n{USAGE}");
    }
    Ok(Some(words.remove(at)))
}
