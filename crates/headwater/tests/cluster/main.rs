//! Several processes on one store: real servers in roles, on real Cassandra nodes and memcached. What docs/operate-cluster.md
//! promises is tested here.
#![allow(clippy::disallowed_methods, reason = "these tests drive real servers with a real clock")]

#[path = "../support/mod.rs"]
mod support;

mod choices;
mod commands;
mod fleet;
mod history;
mod kills;
mod load;
mod regions;
mod roles;
