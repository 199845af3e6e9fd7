//! Export and import, with the real binary, real players and a real S3 server.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "../support/mod.rs"]
mod support;

mod bucket;
mod folder;
mod game;
mod import;
mod minio;
mod player;
mod stall;
