//! ffmpeg as a player of what was exported.

use std::process::Command;

use crate::support::program::command;

/// Decodes every stream that ffmpeg chooses of `input`, and counts its frames of `kind` (`v` or `a`).
#[track_caller]
pub(crate) fn frames(input: &str, kind: &str) -> u64 {
    let mut ffprobe = command("ffprobe");
    ffprobe.args(["-v", "error", "-count_frames", "-select_streams", &format!("{kind}:0")]);
    ffprobe.args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"]);
    // Playlists may name what ends in `.m4s`; nothing but files and HTTP is needed.
    ffprobe.args(["-protocol_whitelist", "file,http,tcp,crypto", "-allowed_extensions", "ALL"]);
    let (out, err) = run(ffprobe.arg(input));
    let first = out.lines().next().unwrap_or_default().trim().trim_end_matches(',');
    first.parse().unwrap_or_else(|_| panic!("{input}: no number of frames in `{out}`; {err}"))
}

#[track_caller]
fn run(command: &mut Command) -> (String, String) {
    let output = command.output().expect("ffprobe starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}
