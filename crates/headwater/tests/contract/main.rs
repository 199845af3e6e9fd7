//! The wire contract, seen from outside: the real binary, HTTP, and nothing else.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod deliver;
mod documents;
mod finality;
mod hold;
mod inspection;
mod masks;
mod names;
mod process;
mod publish;
mod quotas;
mod selection;
mod surrogate;
mod uploads;
