//! Export to a bucket.

use crate::game::{RENDITIONS, command, numbers, published, run, text, tree};
use crate::minio::Minio;
use crate::player::frames;
use crate::stall::Stall;
use crate::support::program::Program;
use crate::support::{Server, get};

#[test]
fn an_exported_event_plays_from_a_bucket_however_often_it_was_interrupted() {
    let server = Server::start();
    published(&server, "game");
    let minio = Minio::start(server.folder());
    let folder = server.folder().join("export");
    run(&mut command(&server, &["event", "export", "game", text(&folder), "--json"])).json();
    let bytes: usize = tree(&folder).values().map(Vec::len).sum();

    let place = minio.place("sport/game");
    let stall = Stall::before(server.deliver_address(), bytes / 2);
    let halved = ["event", "export", "game", &place, "--jobs", "2", "--deliver", &stall.url];
    let log = server.folder().join("killed.log");
    let mut killed = Program::start(minio.environment(&mut command(&server, &halved)), &log);
    stall.wait();
    assert!(killed.ended().is_none(), "{}", killed.said());
    killed.kill();
    get(minio.public("sport/game/manifest.partial.json")).expect(200);

    let report = run(minio.environment(&mut command(&server, &["event", "export", "game", &place, "--json"]))).json();
    assert!(report["kept"].as_u64() > Some(0) && report["copied"].as_u64() > Some(0), "{report}");
    assert_eq!(report["segments"], serde_json::json!(numbers().count() * RENDITIONS.len()), "{report}");
    for (name, bytes) in tree(&folder) {
        let reply = get(minio.public(&format!("sport/game/{name}"))).expect(200);
        assert!(reply.body == bytes, "{name} differs");
        let kind = if name.ends_with(".mpd") { "application/dash+xml" } else { &reply.header("content-type") };
        assert_eq!(reply.header("content-type"), kind, "{name}");
    }
    get(minio.public("sport/game/manifest.partial.json")).expect(404);

    let expected = 48 * numbers().count() as u64 - 2;
    for playlist in ["manifest.mpd", "master.m3u8"] {
        let url = minio.public(&format!("sport/game/{playlist}"));
        assert_eq!(frames(&url, "v"), expected, "{playlist}");
        assert!(frames(&url, "a") > 500, "{playlist}");
    }
}

#[test]
fn a_wrong_secret_is_told() {
    let server = Server::start();
    published(&server, "game");
    let minio = Minio::start(server.folder());
    let mut command = command(&server, &["event", "export", "game", &minio.place("game")]);
    minio.environment(&mut command).env("AWS_SECRET_ACCESS_KEY", "guessed");
    run(&mut command).fails(&["s3://vod/game", "SignatureDoesNotMatch"]);
}
