//! Real programs on both sides: what ffmpeg and shaka-packager write is sound to us, and what we re-time is sound to
//! ffmpeg.

#![expect(clippy::disallowed_methods, reason = "a test finds its programs by the environment")]

use std::path::{Path, PathBuf};
use std::process::Command;

use headwater_media::content::fault;
use headwater_media::{
    Clip, ClipRendition, Container, Expectation, Init, Letter, TrackFacts, TrackKind, content_type, inspect,
    is_media_segment,
};
use headwater_model::SegmentDuration;

/// Runs `program` in `dir` and gives what it wrote to stdout and stderr.
fn run(program: &Path, dir: &Path, args: &[&str]) -> (String, String) {
    let output = Command::new(program).current_dir(dir).args(args).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{} cannot be run ({error}); install it with `cargo xtask setup`", program.display())
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{} {args:?}: {stderr}", program.display());
    (stdout, stderr)
}

fn ffmpeg(dir: &Path, args: &[&str]) -> String {
    run(Path::new("ffmpeg"), dir, &[&["-v", "error", "-y"], args].concat()).1
}

fn shaka_packager() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let installed = || root.join(".tools/node_modules/shaka-packager/bin/packager-linux-x64");
    std::env::var_os("HEADWATER_SHAKA_PACKAGER").map_or_else(installed, PathBuf::from)
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory for the test")
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Checks `count` segments of a rendition that a packager wrote, numbered from 1.
fn assert_sound(dir: &Path, rendition: &str, count: u64, segment: SegmentDuration, kind: TrackKind) {
    let header = read(dir, &format!("{rendition}-init.mp4"));
    let init = Init::read(&header).expect("an init segment");
    let track = init.main();
    assert_eq!(track.kind, kind);
    for number in 1..=count {
        let name = format!("{rendition}-{number}.m4s");
        let bytes = read(dir, &name);
        let index = i128::from(number) - 1;
        let expectation =
            Expectation { container: Container::of_path(&name), segment, index, track: TrackFacts::of(track) };
        let inspection = inspect(&bytes, &expectation);
        assert!(inspection.defects.is_empty(), "{name}: {} {:?}", inspection.defects, inspection);
        assert!(inspection.samples > 0 && inspection.decode_time.is_some());
        assert!(is_media_segment(&name, &bytes) && !is_media_segment("init.mp4", &header));
        assert_eq!(content_type(&name, &bytes), "video/iso.segment");

        let other_time = Expectation { index: index + 1, ..expectation };
        assert!(inspect(&bytes, &other_time).defects.to_string().starts_with("discontinuity"), "{name}");
        let cut = inspect(&bytes[..bytes.len() - 1], &expectation).defects;
        assert_eq!(cut.to_string(), "incomplete", "{name}");
    }
}

/// Source filters for `seconds` of picture and sound.
fn sources(seconds: u32, rate: &str) -> [String; 2] {
    [format!("testsrc2=s=320x180:r={rate}:d={seconds}"), format!("sine=f=440:r=48000:d={seconds}")]
}

const ENCODERS: &str = "-c:v libx264 -preset ultrafast -g 50 -keyint_min 50 -sc_threshold 0 -c:a aac -b:a 64k \
                        -fflags +bitexact -flags +bitexact";

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

fn ffmpeg_dash(dir: &Path, rate: &str, segment_seconds: &str, extra: &str) {
    let [picture, sound] = sources(8, rate);
    let mut args = vec!["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound];
    args.extend(words(ENCODERS).chain(words(extra)));
    args.extend(words("-f dash -use_timeline 0 -seg_duration").chain([segment_seconds]));
    args.extend(words("-init_seg_name $RepresentationID$-init.mp4 -media_seg_name $RepresentationID$-$Number$.m4s"));
    args.push("stream.mpd");
    ffmpeg(dir, &args);
}

#[test]
fn what_ffmpeg_writes_is_sound() {
    let dir = temporary();
    ffmpeg_dash(dir.path(), "25", "2", "");
    let two_seconds = SegmentDuration::new(2, 1).expect("in range");
    assert_sound(dir.path(), "0", 4, two_seconds, TrackKind::Video);
    assert_sound(dir.path(), "1", 4, two_seconds, TrackKind::Audio);
}

#[test]
fn what_ffmpeg_writes_in_chunks_is_sound() {
    let dir = temporary();
    ffmpeg_dash(dir.path(), "25", "2", "-ldash 1 -streaming 1 -frag_type duration -frag_duration 0.5");
    let two_seconds = SegmentDuration::new(2, 1).expect("in range");
    assert_sound(dir.path(), "0", 4, two_seconds, TrackKind::Video);
    assert_sound(dir.path(), "1", 4, two_seconds, TrackKind::Audio);
    let bytes = read(dir.path(), "0-2.m4s");
    let expectation =
        Expectation { container: Container::Mp4, segment: two_seconds, index: 1, track: TrackFacts::default() };
    assert!(inspect(&bytes, &expectation).fragments > 1);
}

/// Only the video: ffmpeg moves the sound by the two frames that reordering needs and cuts it there too.
#[test]
fn what_ffmpeg_writes_with_reordered_frames_is_sound() {
    let dir = temporary();
    ffmpeg_dash(dir.path(), "25", "2", "-preset veryfast -bf 2");
    assert_sound(dir.path(), "0", 4, SegmentDuration::new(2, 1).expect("in range"), TrackKind::Video);
}

#[test]
fn what_ffmpeg_writes_at_59_94_frames_is_sound() {
    let dir = temporary();
    ffmpeg_dash(dir.path(), "60000/1001", "2.002", "-g 120 -keyint_min 120");
    let segment = SegmentDuration::new(1001, 500).expect("in range");
    assert_sound(dir.path(), "0", 3, segment, TrackKind::Video);
    assert_sound(dir.path(), "1", 3, segment, TrackKind::Audio);
}

#[test]
fn what_shaka_packager_writes_is_sound() {
    for reordering in ["", "-preset veryfast -bf 2"] {
        let dir = temporary();
        let [picture, sound] = sources(8, "25");
        let mut args = vec!["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound];
        args.extend(words(ENCODERS).chain(words(reordering)).chain(["in.mp4"]));
        ffmpeg(dir.path(), &args);
        let stream = |kind: &str, id: u8| {
            format!("in=in.mp4,stream={kind},init_segment={id}-init.mp4,segment_template={id}-$Number$.m4s")
        };
        run(&shaka_packager(), dir.path(), &[&stream("video", 0), &stream("audio", 1), "--segment_duration", "2"]);
        let two_seconds = SegmentDuration::new(2, 1).expect("in range");
        assert_sound(dir.path(), "0", 4, two_seconds, TrackKind::Video);
        assert_sound(dir.path(), "1", 3, two_seconds, TrackKind::Audio);
    }
}

/// Twenty segments from `first` on, over the loop's seam and, half-way, from A to B.
fn twenty(rendition: &ClipRendition, first: u64, chunked: bool) -> Vec<u8> {
    let mut bytes = rendition.init().to_vec();
    for number in first..first + 20 {
        let letter = if number < first + 10 { Letter::A } else { Letter::B };
        let segment = rendition.segment(letter, number, 0);
        bytes.extend(if chunked { fault::chunked(&segment, 12) } else { segment });
    }
    bytes
}

/// Decode time of every packet that ffprobe finds in `file`.
fn decode_times(dir: &Path, file: &str) -> Vec<u64> {
    let args = words("-v error -show_entries packet=dts -of csv=p=0").chain([file]).collect::<Vec<_>>();
    let (stdout, stderr) = run(Path::new("ffprobe"), dir, &args);
    assert_eq!(stderr, "");
    let number = |line: &str| line.trim_matches(',').parse().unwrap_or_else(|_| panic!("{file}: `{line}` is no time"));
    stdout.lines().filter(|line| !line.is_empty()).map(number).collect()
}

#[test]
fn re_timed_segments_play_without_a_gap_over_the_seam_and_from_a_to_b() {
    let dir = temporary();
    let clip = Clip::builtin();
    for rendition in clip.renditions() {
        for (first, chunked) in [(0, false), (1_000_000_003, true)] {
            let file = format!("{}-{first}.mp4", rendition.id());
            std::fs::write(dir.path().join(&file), twenty(rendition, first, chunked)).expect("written");
            let problems = ffmpeg(dir.path(), &["-i", &file, "-f", "null", "-"]);
            assert_eq!(problems, "", "{file}");

            let (unit, samples) = match rendition.track().kind {
                TrackKind::Audio => (1024, 90),
                _ => (512, 48),
            };
            let expected: Vec<u64> = (first * samples..(first + 20) * samples).map(|sample| sample * unit).collect();
            assert_eq!(decode_times(dir.path(), &file), expected, "{file}");
        }
    }
}

#[test]
fn a_short_segment_still_decodes() {
    let dir = temporary();
    let clip = Clip::builtin();
    let video = clip.rendition("v180").expect("in the clip");
    let bytes = [video.init(), &fault::short(&video.segment(Letter::A, 0, 0))].concat();
    std::fs::write(dir.path().join("short.mp4"), bytes).expect("written");
    assert_eq!(ffmpeg(dir.path(), &["-i", "short.mp4", "-f", "null", "-"]), "");
    assert_eq!(decode_times(dir.path(), "short.mp4").len(), 46);
}
