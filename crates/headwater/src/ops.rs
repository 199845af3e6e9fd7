//! Calls to the ops API of a running server, and what the commands that make them share: how an event is named, where
//! the server is, how its refusals read, when its JSON is printed as it came.

use std::fmt;
use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use headwater_model::{EventName, Tenant};
use headwater_store::stamp::{Clock, SystemClock};
use headwater_wire::Outbound;
use headwater_wire::client::{Client, ClientError};
use http::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The tenant of an event that is named without one.
const TENANT: &str = "live";

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

/// An event as a person names it: TENANT/EVENT, or EVENT of the tenant `live`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRef {
    tenant: Tenant,
    event: EventName,
}

impl EventRef {
    /// Its tenant and name.
    pub(crate) fn names(&self) -> (Tenant, EventName) {
        (self.tenant.clone(), self.event.clone())
    }

    /// Where the ops API has it; `rest` is empty or begins with a slash.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/tenants/{}/events/{}{rest}", self.tenant, self.event)
    }
}

impl FromStr for EventRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tenant, event) = text.split_once('/').unwrap_or((TENANT, text));
        let bad = |error| format!("{error}; write TENANT/EVENT, or EVENT for the tenant `{TENANT}`");
        Ok(Self { tenant: Tenant::new(tenant).map_err(bad)?, event: EventName::new(event).map_err(bad)? })
    }
}

impl fmt::Display for EventRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.event)
    }
}

/// What a success says.
#[derive(Debug)]
pub(crate) struct Answer {
    text: String,
    /// Null if the server had nothing to say.
    pub(crate) json: Value,
}

impl Answer {
    /// The server's JSON as it came.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A server that can be called.
pub(crate) struct Ops {
    runtime: Runtime,
    client: Client,
    base: String,
    json: bool,
}

impl Ops {
    /// The server that `args` names. Nothing is sent yet.
    ///
    /// # Errors
    /// The system has no resources for it.
    pub(crate) fn new(args: &OpsArgs) -> Result<Self> {
        let base = base_url(&args.ops);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, client: Client::default(), base, json: args.json })
    }

    /// Whether the server's JSON is to be printed.
    pub(crate) fn wants_json(&self) -> bool {
        self.json
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// As for [`Ops::send`].
    pub(crate) fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, Vec::new())
    }

    /// Posts `body` to `path`.
    ///
    /// # Errors
    /// As for [`Ops::send`].
    pub(crate) fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.send(Method::POST, path, serde_json::to_vec(body)?)
    }

    /// Calls the ops API. With `--json`, a refusal's document is printed too.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses: its reason, field and remedy.
    pub(crate) fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let body = Outbound::from(bytes::Bytes::from(body));
        let sent = self.client.send(method, &url, Default::default(), body, ANSWER_BYTES_MAX);
        let answer = self.runtime.block_on(sent).map_err(|error| match error {
            ClientError::Unreachable { .. } => {
                let remedy = "start it with `headwater serve`, or say where it is with --ops URL or HEADWATER_OPS";
                anyhow::anyhow!("{error}; {remedy}")
            }
            other => other.into(),
        })?;
        let text = String::from_utf8(answer.body.to_vec()).context("the server's answer is no text")?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !answer.status.is_success() {
            if self.json && !json.is_null() {
                say(&text);
            }
            bail!("{}", refusal(answer.status.as_u16(), &json));
        }
        Ok(Answer { text, json })
    }

    /// Prints the answer: the server's JSON as it came, or the text that `render` makes of it.
    pub(crate) fn show(&self, answer: &Answer, render: impl FnOnce(&Value) -> String) {
        say(if self.json { answer.text.clone() } else { render(&answer.json) }.trim_end());
    }

    /// Prints that something is done for which the server has no words: a member of an object, or a sentence.
    pub(crate) fn done(&self, key: &str, value: Value, sentence: &str) {
        if self.json {
            say(&serde_json::json!({key: value}).to_string());
        } else {
            say(sentence);
        }
    }

    /// Lets time pass.
    pub(crate) fn pause(&self, span: Duration) {
        self.runtime.block_on(async { SystemClock::default().sleep(span).await });
    }
}

/// A listener's URL without a slash at its end. The variables of `serve` (HEADWATER_OPS and so on) hold addresses; for the
/// commands that call it they may too.
pub(crate) fn base_url(given: &str) -> String {
    let url = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
    url.trim_end_matches('/').to_owned()
}

/// Prints a line; a reader that has gone is no reason to end.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// A problem document in one line: what, where, and what to do.
fn refusal(status: u16, problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let Some(title) = text("title") else {
        return format!("the server answered {status}; is it the ops listener of a Headwater?");
    };
    let detail = text("detail").unwrap_or_default();
    let field = text("field").filter(|field| !detail.contains(*field));
    let field = field.map(|field| format!(" (field `{field}`)")).unwrap_or_default();
    format!("{title} ({status}): {detail}{field}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_named_with_or_without_its_tenant() {
        let path = |text: &str| text.parse::<EventRef>().map(|event| event.path("/masks"));
        assert_eq!(path("game").unwrap(), "/v1/tenants/live/events/game/masks");
        assert_eq!(path("sport/game").unwrap(), "/v1/tenants/sport/events/game/masks");
        for bad in ["a/b/c", "a/", "/a", "", "a b"] {
            assert!(path(bad).unwrap_err().contains("TENANT/EVENT"), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_its_field_once() {
        let named = json!({"title": "Invalid field", "detail": "`to`: 3 lies before from (5)", "field": "to"});
        assert_eq!(refusal(422, &named), "Invalid field (422): `to`: 3 lies before from (5)");
        let bare = json!({"title": "Refused", "detail": "too long", "field": "name"});
        assert_eq!(refusal(422, &bare), "Refused (422): too long (field `name`)");
        assert!(refusal(502, &Value::Null).contains("502"));
    }
}
