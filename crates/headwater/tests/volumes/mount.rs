//! Real volumes: ext4 on a loop device and tmpfs, mounted where only the test and what it starts can see them. They are
//! gone with the test's thread, however it ends.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread with mounts of its own.
pub(crate) fn with_own_mounts(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("mounts of its own: this test mounts volumes and needs root");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).expect("private");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// A mounted volume.
pub(crate) struct Volume {
    place: PathBuf,
    image: Option<PathBuf>,
}

impl Volume {
    /// Ext4 of `mib` MiB at `place`, which goes read-only at the first error.
    pub(crate) fn ext4(place: &Path, mib: u64) -> Self {
        let image = place.with_extension("img");
        let file = std::fs::File::create(&image).expect("an image");
        file.set_len(mib << 20).expect("a sparse file");
        run(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", "nodiscard"]).arg(&image));
        let volume = Self { place: place.to_owned(), image: Some(image) };
        volume.mount();
        volume
    }

    /// Memory of `mib` MiB at `place`.
    pub(crate) fn tmpfs(place: &Path, mib: u64) -> Self {
        std::fs::create_dir_all(place).expect("a folder");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(place));
        Self { place: place.to_owned(), image: None }
    }

    /// Mounts the image.
    pub(crate) fn mount(&self) {
        std::fs::create_dir_all(&self.place).expect("a folder");
        let image = self.image.as_ref().expect("an image");
        run(Command::new("mount").args(["-o", "loop,errors=remount-ro"]).arg(image).arg(&self.place));
    }

    /// Takes it away and repairs what is to be repaired.
    pub(crate) fn unmount_and_check(&self) {
        run(Command::new("umount").arg(&self.place));
        // 1: errors were corrected.
        let checked = Command::new("e2fsck").args(["-f", "-y"]).arg(self.image.as_ref().expect("an image")).output();
        let checked = checked.expect("e2fsck");
        assert!(checked.status.code().is_some_and(|code| code <= 1), "{checked:?}");
    }

    /// The file system finds an error, as it would when its disk fails, and goes read-only.
    pub(crate) fn fail(&self) {
        let devices = Command::new("losetup").arg("-j").arg(self.image.as_ref().expect("an image")).output();
        let devices = String::from_utf8(devices.expect("losetup").stdout).expect("text");
        let device = devices.split(':').next().and_then(|path| path.strip_prefix("/dev/")).expect("a loop device");
        std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").expect("an error on command");
    }

    /// Stops all writes for as long as the answer lives, as a disk that has stopped answering does.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        run(Command::new("fsfreeze").arg("-f").arg(&self.place));
        Frozen(self)
    }

    /// Bytes that can still be written.
    pub(crate) fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.place).expect("a volume");
        stat.f_bavail * stat.f_frsize
    }

    /// Somebody else fills it until `left` bytes are free.
    pub(crate) fn fill(&self, left: u64) {
        let bytes = self.free().saturating_sub(left).to_string();
        run(Command::new("fallocate").args(["-l", &bytes]).arg(self.place.join("somebody-elses")));
        if left == 0 {
            // What fallocate keeps back for itself.
            let _ = Command::new("dd").args(["if=/dev/zero", "bs=4096"]).arg(self.of("rest")).output();
        }
    }

    /// Somebody else takes their files away.
    pub(crate) fn empty(&self) {
        for name in ["somebody-elses", "rest"] {
            let _ = std::fs::remove_file(self.place.join(name));
        }
    }

    fn of(&self, name: &str) -> String {
        format!("of={}", self.place.join(name).display())
    }
}

/// A volume that takes no writes. To be dropped before the server that waits for it: nothing could end that one.
pub(crate) struct Frozen<'a>(&'a Volume);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0.place).output();
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.place).output();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
