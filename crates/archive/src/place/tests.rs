use super::*;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn every_character_of_a_template_is_safe_in_a_file_name() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(folder.path(), true).unwrap();
    run(async {
        let path = "v-._~!'()*+,;=:@/1.m4s";
        place.put(path, Bytes::from_static(b"media")).await.unwrap();
        assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), b"media");
        assert_eq!(place.get(path).await.unwrap().unwrap(), "media");
        assert_eq!(place.sizes().await.unwrap(), HashMap::from([(path.to_owned(), 5)]));
        place.put(path, Bytes::from_static(b"other")).await.unwrap();
        assert_eq!(place.get(path).await.unwrap().unwrap(), "other");
        place.remove(path).await.unwrap();
        place.remove(path).await.unwrap();
        assert_eq!(place.get(path).await.unwrap(), None);
    });
}

#[test]
fn what_a_killed_writer_left_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::folder(&folder.path().join("new"), true).unwrap();
    let file = |name: &str| folder.path().join("new").join(name);
    std::fs::create_dir(file("v")).unwrap();
    for name in ["v/1.m4s", "v/1.m4s#1", "v/2.m4s#23", "a#b"] {
        std::fs::write(file(name), b"x").unwrap();
    }
    place.sweep().unwrap();
    let left = ["v/1.m4s", "v/1.m4s#1", "v/2.m4s#23", "a#b"].map(|name| file(name).exists());
    assert_eq!(left, [true, false, false, true]);
}

#[test]
fn a_directory_that_is_read_from_has_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let error = Place::folder(&folder.path().join("none"), false).err().unwrap();
    assert!(error.to_string().contains("no directory"), "{error}");
}
