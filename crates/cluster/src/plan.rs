//! What a cluster consists of and which ports it has, as a file in its folder: drawn once, so that a cluster that is
//! started again is the same.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::Options;
use crate::cassandra::CommitLog;

const FILE: &str = "cluster.json";
/// How many ports to try before giving up: on a machine with more taken ports than this, something else is wrong.
const PORT_ATTEMPTS: usize = 100;

/// The parts and the ports of a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// One for all nodes: drivers take it from the first node they talk to.
    pub(crate) cql_port: u16,
    /// Between nodes.
    pub(crate) storage_port: u16,
    pub(crate) commit_log: CommitLog,
    pub(crate) nodes: Vec<Node>,
    pub(crate) zones: Vec<Zone>,
}

/// A Cassandra node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) datacentre: String,
}

/// A zone of memcached servers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Zone {
    /// `a`, `b` and on.
    pub name: String,
    /// Where its servers listen.
    pub servers: Vec<SocketAddr>,
}

impl Zone {
    /// Its servers as a configuration names them.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        self.servers.iter().map(ToString::to_string).collect()
    }
}

impl Plan {
    /// A new cluster on ports that are free now.
    pub(crate) fn draw(options: &Options) -> Result<Self> {
        let nodes = options.datacentres * options.nodes;
        ensure!((1..=2).contains(&options.datacentres), "one datacentre or two");
        ensure!(nodes <= 200, "at most 200 nodes");
        ensure!(options.zones <= 26, "at most 26 zones");
        let address = |number: usize| Ipv4Addr::new(127, 0, 0, u8::try_from(number).unwrap_or(u8::MAX));
        let nodes: Vec<Node> = (0..nodes)
            .map(|index| Node {
                name: (index + 1).to_string(),
                address: address(index + 1),
                datacentre: format!("dc{}", index / options.nodes + 1),
            })
            .collect();
        let addresses: Vec<Ipv4Addr> = nodes.iter().map(|node| node.address).collect();
        // Held until all are drawn, so that no port is drawn twice.
        let mut held = Vec::new();
        let cql_port = free_port(&addresses, &mut held)?;
        let storage_port = free_port(&addresses, &mut held)?;
        let mut zones = Vec::new();
        for letter in ('a'..='z').take(options.zones) {
            let mut servers = Vec::new();
            for _ in 0..options.servers {
                let port = free_port(&[Ipv4Addr::LOCALHOST], &mut held)?;
                servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            }
            zones.push(Zone { name: letter.to_string(), servers });
        }
        Ok(Self { cql_port, storage_port, commit_log: options.commit_log, nodes, zones })
    }

    /// Whether it is what `options` ask for.
    pub(crate) fn is_of(&self, options: &Options) -> bool {
        let servers = self.zones.iter().map(|zone| zone.servers.len()).sum::<usize>();
        self.nodes.len() == options.datacentres * options.nodes
            && self.nodes.last().is_none_or(|node| node.datacentre == format!("dc{}", options.datacentres))
            && self.zones.len() == options.zones
            && servers == options.zones * options.servers
            && self.commit_log == options.commit_log
    }

    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let json = match std::fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let advice = || format!("{} is no plan of a cluster; remove the folder", path.display());
        Ok(Some(serde_json::from_slice(&json).with_context(advice)?))
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        // Replaced as a whole: others look for it while it is written, and whoever writes may be killed.
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A port that is free on all `addresses`, held by the listeners that are added to `held`.
fn free_port(addresses: &[Ipv4Addr], held: &mut Vec<TcpListener>) -> Result<u16> {
    for _ in 0..PORT_ATTEMPTS {
        let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        let port = any.local_addr()?.port();
        let others = addresses.iter().filter(|address| **address != Ipv4Addr::LOCALHOST);
        if let Ok(others) = others.map(|address| TcpListener::bind((*address, port))).collect::<Result<Vec<_>, _>>() {
            held.push(any);
            held.extend(others);
            return Ok(port);
        }
    }
    bail!("no port is free on all of {addresses:?}; does this system have 127.0.0.0/8 on loopback?")
}
