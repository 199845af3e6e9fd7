//! The row of memory: with every budget used up many times over, a server must stay within their sum and a constant.

use std::net::TcpStream;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::connection::{self, exchange};
use crate::process;
use crate::report::Report;
use crate::server::{Server, wall};

const WINDOW_BYTES: u64 = 64 << 20;
const DVR_BYTES: u64 = 32 << 20;
const UPLOAD_BYTES: u64 = 16 << 20;
/// What a server may hold beside its budgets.
const REST_MIB: f64 = 64.0;
/// Sizes of segments, in turns: a video ladder and audio.
const SIZES: [usize; 5] = [1 << 20, 500_000, 200_000, 70_000, 40_000];
/// Rounds over all sizes: the window is filled eight times over.
const TURNS: u64 = 300;
/// A second, so that all numbers lie within the DVR window.
const SEGMENT_SECONDS: u64 = 1;

/// Publishes, reads everything back, and weighs the server.
pub(crate) fn run(program: &Path, scratch: &Path, report: &mut Report) -> Result<()> {
    let (window, dvr, upload) = (WINDOW_BYTES.to_string(), DVR_BYTES.to_string(), UPLOAD_BYTES.to_string());
    let budgets =
        ["--window-bytes", &window, "--dvr-bytes", &dvr, "--upload-bytes", &upload, "--body-bytes-max", "8388608"];
    let server = Server::headwater(program, &scratch.join("memory"), &budgets)?;
    server.put_event("bench", &json!({"segment": {"duration": SEGMENT_SECONDS, "timescale": 1}, "inspect": "off"}))?;
    let empty = process::resident(server.pid())?;
    let first = wall() as u64 - TURNS - 10;
    let mut publisher = TcpStream::connect(server.publish)?;
    for number in first..first + TURNS {
        for (rendition, size) in SIZES.into_iter().enumerate() {
            let path = format!("/live/bench/r{rendition}/{number}.m4s");
            let status = exchange(&mut publisher, "PUT", &path, &vec![number as u8; size])?;
            ensure!(status == 201, "{path} was answered {status}");
        }
    }
    let filled = process::resident(server.pid())?;
    let mut readers = [TcpStream::connect(server.deliver)?, TcpStream::connect(server.deliver)?];
    for number in (first..first + TURNS).rev() {
        for rendition in 0..SIZES.len() {
            let path = format!("/live/bench/r{rendition}/{number}.m4s");
            let status = connection::exchange(&mut readers[rendition % 2], "GET", &path, b"")?;
            ensure!(status == 200, "{path} was answered {status}");
        }
    }
    let read = process::resident(server.pid())?;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let beyond = |now: u64, budgets: u64| mebibytes(now) - mebibytes(budgets);
    report.figure("memory when started", mebibytes(empty), "MiB", None);
    report.figure("memory, window full, beyond its budget", beyond(filled, WINDOW_BYTES), "MiB", Some(REST_MIB));
    let all = WINDOW_BYTES + DVR_BYTES;
    report.figure("memory, all read back, beyond window and DVR", beyond(read, all), "MiB", Some(REST_MIB));
    Ok(())
}
