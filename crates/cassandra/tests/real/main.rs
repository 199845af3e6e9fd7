//! The engine against three real Cassandra nodes and real memcached servers, one test at a time: `--test-threads 1`.
#![allow(unreachable_pub, reason = "the modules of a test are reached from its root alone")]
#![expect(clippy::disallowed_methods, reason = "tests: they measure real servers in real time")]

mod caches;
mod conforms;
mod nodes;
mod schema;
mod support;
mod survey;
