//! Calls to the ops API of a running server.

use anyhow::{Context, Result, bail};
use headwater_wire::Outbound;
use headwater_wire::client::{Answer, Client};
use http::Method;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Where the ops API is, and how results are shown.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct OpsArgs {
    /// The ops API of the server.
    #[arg(long, env = "HEADWATER_OPS", default_value = "http://127.0.0.1:7090", global = true, value_name = "URL")]
    pub(crate) ops: String,
    /// Print the server's JSON instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Calls the ops API and returns what a success says.
///
/// # Errors
/// The server cannot be reached, or refuses: its reason, field and remedy.
pub(crate) fn call(args: &OpsArgs, method: Method, path: &str, body: Vec<u8>) -> Result<serde_json::Value> {
    // HEADWATER_OPS of `serve` is an address; here it may be one too.
    let base = if args.ops.contains("://") { args.ops.clone() } else { format!("http://{}", args.ops) };
    let url = format!("{}{path}", base.trim_end_matches('/'));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = Outbound::from(bytes::Bytes::from(body));
    let client = Client::default();
    let sent = client.send(method, &url, Default::default(), body, ANSWER_BYTES_MAX);
    let answer = runtime.block_on(sent).context("is the server up? --ops or HEADWATER_OPS says where")?;
    read(&answer)
}

fn read(answer: &Answer) -> Result<serde_json::Value> {
    let json = serde_json::from_slice(&answer.body).unwrap_or(serde_json::Value::Null);
    if answer.status.is_success() {
        return Ok(json);
    }
    let text = |key: &str| json.get(key).and_then(|value| value.as_str()).unwrap_or("");
    match (text("title"), text("detail")) {
        ("", _) => bail!("the server answered {}", answer.status),
        (title, detail) => bail!("{title}: {detail}"),
    }
}
