//! Other people's packagers, live: ffmpeg and shaka-packager publish, one of them dies, and ffmpeg plays what is served.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use support::program::{Program, command, tool};
use support::{Event, PATIENCE, Reply, Server, eventually, get, let_pass, now_ms};

/// 48 frames at 25 a second, and 90 AAC frames at 48 kHz: the shortest common grid near two seconds.
const DURATION_MS: i64 = 1_920;
/// 30.72 s of them.
const SEGMENTS: u64 = 16;
/// Renditions as ffmpeg numbers its streams, with the units of one segment on their timelines.
const VIDEO: (&str, u64) = ("0", 24_576);
const AUDIO: (&str, u64) = ("1", 92_160);

/// An event whose segments every epoch-locked packager cuts at the same moments.
fn epoch_locked(server: &Server) -> Event {
    let event = Event::at(server, "match", 0, DURATION_MS);
    event.put_document(&json!({
        "segment": {"duration": 48, "timescale": 25}, "media": "$RepresentationID$/t$Time$.m4s",
        "renditions": [{"id": "0", "timescale": 12_800}, {"id": "1", "timescale": 48_000}],
        "publish_delay_ms": 1_000, "hold_max_ms": 6_000, "retry_deadline_ms": 8_000, "prefer_wait_ms": 500,
    }));
    event
}

/// The first segment of a run that begins now.
fn first_number() -> u64 {
    u64::try_from(now_ms() / DURATION_MS).expect("after 1970") + 1
}

/// An encoder that paces itself, with timestamps since the epoch.
fn encoder(first: u64, picture: &str) -> Command {
    let offset_ms = i64::try_from(first).expect("small") * DURATION_MS;
    let seconds = SEGMENTS as f64 * DURATION_MS as f64 / 1000.0;
    let mut ffmpeg = command("ffmpeg");
    ffmpeg.args(["-hide_banner", "-v", "warning", "-nostdin", "-y"]);
    ffmpeg.args(["-re", "-f", "lavfi", "-i", &format!("{picture}=size=320x180:rate=25")]);
    ffmpeg.args(["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]);
    ffmpeg.args(["-t", &format!("{seconds:.2}"), "-output_ts_offset", &format!("{:.2}", offset_ms as f64 / 1000.0)]);
    ffmpeg.args("-c:v libx264 -preset ultrafast -tune zerolatency -threads 1 -pix_fmt yuv420p".split(' '));
    ffmpeg.args("-g 48 -keyint_min 48 -sc_threshold 0 -c:a aac -fflags +bitexact -flags +bitexact".split(' '));
    ffmpeg
}

/// ffmpeg as encoder and packager of `pipeline`.
fn start_ffmpeg(event: &Event, folder: &Path, pipeline: &str, picture: &str, first: u64) -> Program {
    let mut ffmpeg = encoder(first, picture);
    ffmpeg.args("-f dash -seg_duration 1.92 -use_timeline 1 -use_template 1 -http_persistent 1 -method PUT".split(' '));
    ffmpeg.args(["-init_seg_name", "$RepresentationID$/init.mp4", "-media_seg_name", "$RepresentationID$/t$Time$.m4s"]);
    // Without it `tfdt` begins at zero and an edit list in the init segment tells the offset: no two runs would fit.
    ffmpeg.args(["-format_options", "movflags=+frag_discont"]);
    ffmpeg.args(["-adaptation_sets", "id=0,streams=v id=1,streams=a"]);
    ffmpeg.arg(format!("{}/@{pipeline}/live.mpd", event.publish));
    Program::start(&mut ffmpeg, &folder.join(format!("ffmpeg-{pipeline}.log")))
}

/// shaka-packager as packager of `pipeline`, fed through a pipe by an ffmpeg that encodes.
fn start_shaka(event: &Event, folder: &Path, pipeline: &str, picture: &str, first: u64) -> [Program; 2] {
    let pipe = folder.join("encoded.mp4");
    let made = command("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success(), "a pipe");
    let mut ffmpeg = encoder(first, picture);
    // Fragments that keep their timestamps: without `frag_discont` the file would begin at zero.
    ffmpeg.args(["-f", "mp4", "-movflags", "+dash+delay_moov+frag_keyframe+frag_discont"]).arg(&pipe);
    let encoder = Program::start(&mut ffmpeg, &folder.join("encoder.log"));
    let base = format!("{}/@{pipeline}", event.publish);
    let mut shaka = tool("node_modules/shaka-packager/bin/packager-linux-x64");
    for (stream, rendition) in [("video", "0"), ("audio", "1")] {
        let output =
            format!("init_segment={base}/{rendition}/init.mp4,segment_template={base}/{rendition}/t$Time$.m4s");
        shaka.arg(format!("in={},stream={stream},{output}", pipe.display()));
    }
    // A short window, so that it deletes what leaves it.
    shaka.args("--segment_duration 1.92 --io_block_size 65536 --time_shift_buffer_depth 6".split(' '));
    shaka.args(["--preserved_segments_outside_live_window", "1", "--mpd_output", &format!("{base}/live.mpd")]);
    shaka.args(["--hls_master_playlist_output", &format!("{base}/live.m3u8")]);
    [encoder, Program::start(&mut shaka, &folder.join("shaka.log"))]
}

/// Reads every segment of a rendition as it comes, once.
fn follow(event: &Event, (rendition, units): (&str, u64), first: u64) -> Vec<Reply> {
    let read = |number: u64| {
        let url = format!("{}/{rendition}/t{}.m4s", event.deliver, number * units);
        eventually(&format!("{url} (segment {number})"), || {
            let reply = get(&url);
            match reply.status {
                200 => Some(reply),
                // As a player does: ask again when the answer may be another.
                404 if reply.outcome() == "too-early" => {
                    let_pass(Duration::from_millis(reply.max_age_ms().min(2_500)));
                    None
                }
                404 => {
                    let_pass(Duration::from_millis(100));
                    None
                }
                status => panic!("{url} (segment {number}): {status} {}", reply.outcome()),
            }
        })
    };
    (first..first + SEGMENTS).map(read).collect()
}

/// Follows both renditions and does `meanwhile` half-way.
fn follow_both(event: &Event, first: u64, meanwhile: impl FnOnce()) -> [Vec<Reply>; 2] {
    std::thread::scope(|scope| {
        let video = scope.spawn(|| follow(event, VIDEO, first));
        let audio = scope.spawn(|| follow(event, AUDIO, first));
        let half = event.expected_ms(first + SEGMENTS / 2) - now_ms();
        let_pass(Duration::from_millis(u64::try_from(half).unwrap_or(0)));
        meanwhile();
        [video, audio].map(|reader| reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Every segment is sound, in its place, first of `a`, then of `b`; and the whole decodes.
fn check_run(event: &Event, folder: &Path, first: u64, served: [Vec<Reply>; 2]) {
    for ((rendition, _), replies) in [VIDEO, AUDIO].into_iter().zip(served) {
        let mut whole = get(format!("{}/{rendition}/init.mp4", event.deliver)).expect(200).body;
        let mut pipelines = String::new();
        for (number, reply) in (first..).zip(&replies) {
            assert_eq!(reply.header("headwater-segment"), number.to_string());
            assert!(!reply.has("headwater-defects"), "segment {number} of {rendition}: {reply:?}");
            assert!(reply.header("cache-control").contains("immutable"), "segment {number} of {rendition}: {reply:?}");
            whole.extend(&reply.body);
            pipelines.push_str(&reply.header("headwater-pipeline"));
        }
        println!("rendition {rendition} came from {pipelines}");
        assert!(pipelines.contains('a') && pipelines.ends_with('b'), "{pipelines}");
        let file = folder.join(format!("rendition-{rendition}.mp4"));
        std::fs::write(&file, whole).expect("a file");
        check_decodes(&[file.to_str().expect("a path")]);
        if rendition == VIDEO.0 {
            assert_eq!(count_frames(&file), 48 * SEGMENTS, "every frame once");
        }
    }
}

/// ffmpeg decodes `input` to its end and has nothing to say.
fn check_decodes(input: &[&str]) {
    let mut ffmpeg = command("ffmpeg");
    ffmpeg.args(["-hide_banner", "-nostdin", "-v", "error", "-xerror", "-i"]).args(input).args(["-f", "null", "-"]);
    let output = ffmpeg.output().expect("ffmpeg starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{input:?}: {}\n{said}", output.status);
}

fn count_frames(file: &PathBuf) -> u64 {
    let mut ffprobe = command("ffprobe");
    ffprobe.args("-v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0".split(' '));
    let output = ffprobe.arg(file).output().expect("ffprobe starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim().trim_end_matches(',').parse().unwrap_or_else(|_| panic!("no number of frames: {text}"))
}

#[test]
fn one_of_two_ffmpegs_is_killed_and_every_segment_is_served() {
    let server = Server::start();
    let (event, first) = (epoch_locked(&server), first_number());
    let mut a = start_ffmpeg(&event, server.folder(), "a", "testsrc2", first);
    let mut b = start_ffmpeg(&event, server.folder(), "b", "smptebars", first);
    let served = follow_both(&event, first, || a.kill());
    assert!(b.wait(PATIENCE).success(), "{}", b.said());
    check_run(&event, server.folder(), first, served);
}

#[test]
fn shaka_packager_takes_over_from_a_killed_ffmpeg() {
    let server = Server::start();
    let (event, first) = (epoch_locked(&server), first_number());
    let mut a = start_ffmpeg(&event, server.folder(), "a", "testsrc2", first);
    let [mut encoder, mut b] = start_shaka(&event, server.folder(), "b", "smptebars", first);
    let served = follow_both(&event, first, || a.kill());
    assert!(encoder.wait(PATIENCE).success(), "{}", encoder.said());
    assert!(b.wait(PATIENCE).success(), "{}", b.said());
    let complaints = ["Failed", "error code", "Unable"];
    assert!(!complaints.iter().any(|word| b.said().contains(word)), "{}", b.said());
    check_run(&event, server.folder(), first, served);
    let manifest = get(format!("{}/live.mpd", event.deliver)).expect(200);
    assert!(manifest.text().contains("<MPD"), "{}", manifest.text());
}

/// ffmpeg with nothing but an input, a format and a URL; segments end with its default keyframes, 10 s apart.
fn start_plain(url: &str, format: &str, seconds: &str, log: &Path) -> Program {
    let mut ffmpeg = command("ffmpeg");
    ffmpeg.args(["-hide_banner", "-v", "warning", "-nostdin"]);
    ffmpeg.args(["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"]);
    ffmpeg.args(["-re", "-f", "lavfi", "-i", "sine=sample_rate=48000"]);
    ffmpeg.args(["-t", seconds, "-f", format, "-method", "PUT", url]);
    Program::start(&mut ffmpeg, log)
}

/// Publishes with every option at its default to an event that nobody has declared, and plays it: live, and when it
/// has ended.
fn check_plain(format: &str, manifest: &str, first_segment: &str) {
    let server = Server::start();
    let event = Event::at(&server, &format!("plain-{format}"), 0, 2_000);
    let url = format!("{}/{manifest}", event.publish);
    let mut ffmpeg = start_plain(&url, format, "22", &server.folder().join("ffmpeg.log"));
    let playing = format!("{}/{manifest}", event.deliver);
    eventually("the first segment", || (get(format!("{}/{first_segment}", event.deliver)).status == 200).then_some(()));
    eventually("the manifest", || (get(&playing).status == 200).then_some(()));
    check_decodes(&[&playing, "-t", "4"]);
    assert!(ffmpeg.wait(PATIENCE).success(), "{}", ffmpeg.said());
    assert_eq!(ffmpeg.said().matches("HTTP error").count(), 0, "{}", ffmpeg.said());
    check_decodes(&[&playing]);
}

#[test]
fn plain_dash_of_ffmpeg_plays_back() {
    check_plain("dash", "manifest.mpd", "chunk-stream0-00001.m4s");
}

#[test]
fn plain_hls_of_ffmpeg_plays_back() {
    check_plain("hls", "index.m3u8", "index0.ts");
}
