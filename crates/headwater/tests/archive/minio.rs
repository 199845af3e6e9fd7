//! A real MinIO with one bucket that everybody may read.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::eventually;
use crate::support::program::{Program, command, tool};

const USER: &str = "headwater-test";
const SECRET: &str = "only-on-loopback";
/// The bucket.
pub(crate) const BUCKET: &str = "vod";

/// A running server. Killed when it goes out of scope.
pub(crate) struct Minio {
    /// Its URL, without a slash at the end.
    pub(crate) url: String,
    _program: Program,
    _data: TempDir,
}

impl Minio {
    /// Starts one on a free port, and makes the bucket.
    pub(crate) fn start(logs: &Path) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        // It takes no port 0: one that was free a moment ago, and another one if somebody was faster.
        let started = eventually("MinIO starts", || {
            let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
            let url = format!("http://127.0.0.1:{port}");
            let mut minio = tool("bin/minio");
            minio.args([
                "server",
                "--quiet",
                "--address",
                &format!("127.0.0.1:{port}"),
                "--console-address",
                "127.0.0.1:0",
            ]);
            minio.arg(data.path()).env_clear().env("HOME", data.path());
            minio.env("MINIO_ROOT_USER", USER).env("MINIO_ROOT_PASSWORD", SECRET);
            // Nothing that asks the world outside.
            minio.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off").env("MINIO_CALLHOME_ENABLE", "off");
            let mut program = Program::start(&mut minio, &logs.join("minio.log"));
            let ready = eventually("MinIO is ready", || match program.ended() {
                Some(_) => Some(false),
                None => is_ready(&url).then_some(true),
            });
            ready.then_some((url, program))
        });
        let minio = Self { url: started.0, _program: started.1, _data: data };
        minio.make_bucket(logs);
        minio
    }

    /// Where to export `name` to.
    pub(crate) fn place(&self, name: &str) -> String {
        format!("s3://{BUCKET}/{name}")
    }

    /// Where everybody reads it.
    pub(crate) fn public(&self, name: &str) -> String {
        format!("{}/{BUCKET}/{name}", self.url)
    }

    /// Gives `command` the way and the credentials.
    pub(crate) fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("AWS_ENDPOINT_URL", &self.url).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", USER).env("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    fn make_bucket(&self, folder: &Path) {
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject"],
            "Resource": [format!("arn:aws:s3:::{BUCKET}/*")]}]});
        // A server that says it is ready still answers 503 for a moment until its disk is.
        let bucket = format!("{}/{BUCKET}", self.url);
        eventually("MinIO has a bucket", || self.signed(&["-X", "PUT", &bucket]).then_some(()));
        // From a file: curl signs a body of `--data` in a way that S3 does not take.
        let file = folder.join("policy.json");
        std::fs::write(&file, policy.to_string()).expect("a file");
        let file = file.to_str().expect("a path");
        let set = || self.signed(&["-T", file, &format!("{bucket}?policy=")]).then_some(());
        eventually("everybody may read the bucket", set);
    }

    /// A signed request by curl: whether it was granted. What MinIO says to it is printed if not.
    fn signed(&self, arguments: &[&str]) -> bool {
        let mut curl = command("curl");
        curl.args([
            "-s",
            "-S",
            "--fail-with-body",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
            "--user",
            &format!("{USER}:{SECRET}"),
        ]);
        let Output { status, stdout, stderr } = curl.args(arguments).output().expect("curl starts");
        if !status.success() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            eprintln!("{arguments:?}: {} {}", text(&stdout), text(&stderr));
        }
        status.success()
    }
}

fn is_ready(url: &str) -> bool {
    crate::support::http::request("GET", format!("{url}/minio/health/ready"))
        .try_send()
        .is_ok_and(|reply| reply.status == 200)
}
