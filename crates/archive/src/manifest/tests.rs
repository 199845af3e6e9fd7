use serde_json::json;

use super::*;

fn sample() -> Value {
    let object = |path: &str| json!({"path": path, "size": 3, "etag": "00", "sha256": "ab", "pipeline": "a"});
    json!({
        "format": FORMAT, "version": VERSION, "tenant": "live", "event": "game", "rev": 4, "whole": true,
        "from": 1, "to": 2, "document": Document::default().to_value(),
        "masks": [{"pipeline": "a", "from": 2, "to": 2, "reason": "rights"}],
        "notifications": [{"name": "rating", "value": "TV-14", "from": 1}],
        "renditions": [{"id": "v", "init": object("v/init.mp4"), "segments": [
            {"number": 1, "media": object("v/1.m4s")},
            {"number": 2, "gap": {"outcome": "masked", "reason": "rights"}},
        ]}],
    })
}

fn read(value: &Value) -> Result<Manifest> {
    Manifest::read(value.to_string().as_bytes())
}

#[test]
fn what_is_written_is_what_is_read() {
    let manifest = read(&sample()).unwrap();
    assert_eq!(manifest.objects().map(|object| &*object.path).collect::<Vec<_>>(), ["v/init.mp4", "v/1.m4s"]);
    assert_eq!(manifest.gaps().map(|(_, number, gap)| (number, &*gap.outcome)).collect::<Vec<_>>(), [(2, "masked")]);
    assert_eq!(Manifest::read(&manifest.write().unwrap()).unwrap(), manifest);
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Value), words: &str) {
    let mut value = sample();
    change(&mut value);
    let error = format!("{:#}", read(&value).unwrap_err());
    assert!(error.contains(words), "{error}");
}

#[test]
fn paths_that_do_not_follow_from_the_document_are_refused() {
    for bad in ["../etc/passwd", "/etc/passwd", "v/01.m4s", "manifest.json", "v/x.m4s"] {
        refused(|value| value["renditions"][0]["segments"][0]["media"]["path"] = json!(bad), "does not fit");
    }
    refused(|value| value["renditions"][0]["init"]["path"] = json!("v/1.m4s"), "does not fit");
}

#[test]
fn a_path_that_an_export_needs_for_itself_is_refused() {
    let change = |value: &mut Value| {
        value["document"]["media"] = json!("media-$RepresentationID$.m3u8/$Number$");
        value["document"]["init"] = json!("media-$RepresentationID$.m3u8");
        value["renditions"][0]["init"]["path"] = json!("media-v.m3u8");
        value["renditions"][0]["segments"][0]["media"]["path"] = json!("media-v.m3u8/1");
    };
    refused(change, "needed twice");
}

#[test]
fn what_is_no_manifest_or_of_another_version_is_refused() {
    assert!(Manifest::read(b"<MPD/>").is_err());
    refused(|value| value["format"] = json!("other"), "no manifest of an export");
    refused(|value| value["version"] = json!(2), "version 2");
    refused(|value| value["to"] = json!(3), "every number once");
    refused(|value| value["document"]["segment"]["duration"] = json!(0), "segment");
}
