//! Headless Chromium by way of chromedriver, with a blocking face.

use std::path::{Path, PathBuf};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::support::eventually;
use crate::support::program::{Program, command};

/// A browser with one page. Ends with everything it started when it goes out of scope.
pub(crate) struct Browser {
    client: Client,
    runtime: Runtime,
    /// Kept for its end.
    _driver: Program,
    profile: PathBuf,
}

impl Browser {
    /// Starts one, with its profile and logs in `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let chromium = command("chromium").get_program().to_owned();
        let mut driver = Program::start(command("chromedriver").arg("--port=0"), &folder.join("chromedriver.log"));
        let port = eventually("chromedriver listens", || {
            assert!(driver.ended().is_none(), "chromedriver ended: {}", driver.said());
            let said = driver.said();
            let (_, after) = said.split_once("started successfully on port ")?;
            after.split_once('.').and_then(|(port, _)| port.parse::<u16>().ok())
        });
        let profile = folder.join("chromium");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(&chromium.to_string_lossy(), &profile));
        let client = runtime.block_on(builder.connect(&format!("http://127.0.0.1:{port}")));
        let client = client.unwrap_or_else(|error| panic!("no browser: {error}; run `cargo xtask setup`"));
        Self { client, runtime, _driver: driver, profile }
    }

    /// Loads a page.
    pub(crate) fn open(&self, url: &str) {
        self.runtime.block_on(self.client.goto(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Runs `script` in the page and gives what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.runtime
            .block_on(self.client.execute(script, Vec::new()))
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Clicks on what `selector` finds.
    pub(crate) fn click(&self, selector: &str) {
        let click = async { self.client.find(Locator::Css(selector)).await?.click().await };
        self.runtime.block_on(click).unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// What the page looks like, as PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        self.runtime.block_on(self.client.screenshot()).expect("a screenshot")
    }
}

/// As root there is no sandbox, and without a network nothing may be looked up at start.
fn capabilities(chromium: &str, profile: &Path) -> Map<String, Value> {
    let profile = format!("--user-data-dir={}", profile.display());
    let arguments = json!([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-sync",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--mute-audio",
        "--autoplay-policy=no-user-gesture-required",
        "--window-size=1400,1000",
        profile,
    ]);
    let options = json!({"binary": chromium, "args": arguments});
    Map::from_iter([("browserName".into(), json!("chrome")), ("goog:chromeOptions".into(), options)])
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.clone().close());
        // After a failure the browser may outlive its driver: everything that has our profile on its command line.
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let id = process.file_name().to_string_lossy().parse().ok().and_then(rustix::process::Pid::from_raw);
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let ours = String::from_utf8_lossy(&line).contains(&*self.profile.to_string_lossy());
            if let (Some(id), true) = (id, ours) {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
    }
}
