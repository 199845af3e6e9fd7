//! `cargo xtask setup`: installs what the tests need, skips what is there, and says what it does.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::programs::{self, is_installed, program, root};

/// Debian packages: the program that shows that one is there, and the package.
const PACKAGES: [(&str, &str); 10] = [
    ("curl", "curl"),
    ("faketime", "faketime"),
    ("/usr/sbin/mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("ffmpeg", "ffmpeg"),
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("/usr/sbin/nginx", "nginx-light"),
    ("/usr/sbin/varnishd", "varnish"),
    ("traffic_server", "trafficserver"),
];

/// Debian packages of `cargo xtask cluster`.
const CLUSTER_PACKAGES: [(&str, &str); 3] =
    [("memcached", "memcached"), ("java", "openjdk-17-jre-headless"), ("mvn", "maven")];

/// The font of the watch page's screenshots and of ffmpeg's `drawtext`.
const FONT: (&str, &str) = ("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core");

/// The S3 server of the export tests, as a Go module and its version: its releases are no versions that Go knows.
const MINIO: (&str, &str) = ("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c");

/// Where programs from npm, PyPI, Go modules and Maven go; ignored by git.
const TOOLS: &str = ".tools";

/// Where Cassandra's jars are, from the root.
pub const CASSANDRA: &str = ".tools/cassandra/jars";

/// Installs what is missing.
///
/// # Errors
/// If something cannot be installed; the message says what to install by hand.
pub fn run() -> Result<()> {
    debian_packages(&[&PACKAGES[..], &CLUSTER_PACKAGES].concat(), &[FONT])?;
    node_packages(&root())?;
    python_packages(&root())?;
    minio(&root())?;
    cassandra(&root())
}

/// Installs only what `cargo xtask cluster` needs.
///
/// # Errors
/// As [`run`].
pub fn cluster() -> Result<()> {
    debian_packages(&CLUSTER_PACKAGES, &[])?;
    cassandra(&root())
}

/// Installs what is missing of `programs` and `files`.
fn debian_packages(programs: &[(&str, &str)], files: &[(&str, &str)]) -> Result<()> {
    let programs = programs.iter().filter(|(name, _)| !is_installed(name));
    let files = files.iter().filter(|(path, _)| !Path::new(path).exists());
    let missing: Vec<&str> = programs.chain(files).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing {} with apt-get", missing.join(" "));
    if !is_installed("apt-get") {
        bail!("no apt-get here; install by hand what Debian calls {}", missing.join(" "));
    }
    as_root(&["apt-get", "update", "--quiet"])?;
    // The caches are started by the tests, not as services.
    let install = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends"];
    as_root(&[&install[..], &missing].concat())
}

/// Runs `words` as root, by way of sudo if need be.
fn as_root(words: &[&str]) -> Result<()> {
    let root = programs::output(&mut program("id", &["-u"]))?.trim() == "0";
    let words: Vec<&str> = if root { words.to_vec() } else { [&["sudo", "--non-interactive"], words].concat() };
    run_program(&words)
}

/// Installs the pinned Python packages under [`TOOLS`], unless the same ones are installed already.
fn python_packages(root: &Path) -> Result<()> {
    let (from, to) = (root.join("xtask/tools/requirements.txt"), root.join(TOOLS).join("python"));
    let wanted = std::fs::read(&from).context("cannot read xtask/tools/requirements.txt")?;
    let done = to.join("installed-requirements.txt");
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("setup: installing the packages of xtask/tools/requirements.txt into {TOOLS}/python with pip");
    if programs::output(&mut program("python3", &["-m", "pip", "--version"])).is_err() {
        bail!("no pip here; install Python 3.10 or later with pip");
    }
    if to.exists() {
        std::fs::remove_dir_all(&to)?;
    }
    let (list, folder) = (from.display().to_string(), to.display().to_string());
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"];
    let pinned = ["--no-deps", "--requirement", &list, "--target", &folder];
    programs::run(&mut program("python3", &[&quiet[..], &pinned].concat()))?;
    std::fs::write(done, wanted).context("cannot note what is installed")
}

fn run_program(words: &[&str]) -> Result<()> {
    let (name, arguments) = words.split_first().context("no program to run")?;
    programs::run(program(name, arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Installs the locked npm packages under [`TOOLS`], unless the same lock is installed already.
fn node_packages(root: &Path) -> Result<()> {
    let (from, to) = (root.join("xtask/tools"), root.join(TOOLS));
    let lock = std::fs::read(from.join("package-lock.json")).context("cannot read xtask/tools/package-lock.json")?;
    let done = to.join("installed-lock.json");
    if std::fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("setup: installing the packages of xtask/tools/package.json into {TOOLS}/ with npm");
    if !is_installed("npm") {
        bail!("no npm here; install Node.js 20 or later");
    }
    std::fs::create_dir_all(&to)?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(from.join(name), to.join(name))?;
    }
    let folder = to.display().to_string();
    programs::run(&mut program("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", &folder]))?;
    for binary in std::fs::read_dir(to.join("node_modules/shaka-packager/bin"))? {
        std::fs::set_permissions(binary?.path(), std::fs::Permissions::from_mode(0o755))?;
    }
    // Last, so that an interrupted installation starts anew.
    std::fs::write(done, lock).context("cannot note what is installed")
}

/// Builds MinIO into [`TOOLS`]`/bin`, unless this version is there already.
fn minio(root: &Path) -> Result<()> {
    let (module, version) = MINIO;
    let folder = root.join(TOOLS).join("bin");
    let done = folder.join("minio-version");
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == version) && folder.join("minio").is_file() {
        return Ok(());
    }
    println!("setup: building {module} into {TOOLS}/bin/ with go install; the first time it takes some minutes");
    if !is_installed("go") {
        bail!("no go here; install Go 1.24.8 or later");
    }
    std::fs::create_dir_all(&folder)?;
    let package = format!("{module}@{version}");
    programs::run(program("go", &["install", &package]).env("GOBIN", &folder))?;
    // Last, so that an interrupted installation starts anew.
    std::fs::write(done, version).context("cannot note what is installed")
}

/// Fetches Cassandra's jars as `xtask/tools/cassandra/pom.xml` names them, unless the same ones are there already.
fn cassandra(root: &Path) -> Result<()> {
    let (from, to) = (root.join("xtask/tools/cassandra/pom.xml"), root.join(CASSANDRA));
    let wanted = std::fs::read(&from).context("cannot read xtask/tools/cassandra/pom.xml")?;
    let done = root.join(TOOLS).join("cassandra/installed-pom.xml");
    if std::fs::read(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    println!("setup: fetching the jars of xtask/tools/cassandra/pom.xml into {CASSANDRA} with Maven");
    if to.exists() {
        std::fs::remove_dir_all(&to)?;
    }
    let (pom, folder) = (from.display().to_string(), format!("-DoutputDirectory={}", to.display()));
    let copy = ["--quiet", "--batch-mode", "--file", &pom, "dependency:copy-dependencies", &folder];
    programs::run(&mut program("mvn", &[&copy[..], &["-DincludeScope=runtime"]].concat()))?;
    // Last, so that an interrupted installation starts anew.
    std::fs::write(done, wanted).context("cannot note what is installed")
}
