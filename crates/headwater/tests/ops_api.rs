//! The ops API against the document that describes it, and the metrics against their table: every path and method is
//! called on a running server, and what it answers has the documented fields, all of them and no others.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use headwater_origin::metrics::METRICS;
use serde_json::{Value, json};
use support::event::NEXT;
use support::{Event, Reply, Server, delete, eventually, get, http, put};

const EVENT: &str = "/v1/tenants/{tenant}/events/{event}";
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "PATCH"];

/// The document of a running server, and what of it has been seen.
struct Spec {
    server: Server,
    document: Value,
    called: BTreeSet<(String, String)>,
    /// Properties that an answer has had, each as SCHEMA.PROPERTY.
    seen: BTreeSet<String>,
    /// Properties that an answer may have.
    possible: BTreeSet<String>,
}

impl Spec {
    fn of(server: Server) -> Self {
        let document = get(format!("{}/openapi.json", server.ops)).expect(200).json();
        Self { server, document, called: BTreeSet::new(), seen: BTreeSet::new(), possible: BTreeSet::new() }
    }

    /// Every path with each of its methods.
    fn operations(&self) -> BTreeSet<(String, String)> {
        let paths = self.document["paths"].as_object().expect("paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            item.as_object().expect("an item").keys().map(|method| (method.to_uppercase(), path.clone()))
        });
        operations.collect()
    }

    /// Calls the documented `path` with `names` in its braces, and compares the answer with what is documented.
    #[track_caller]
    fn call(
        &mut self,
        method: &'static str,
        path: &str,
        names: &[(&str, &str)],
        body: Option<Value>,
        status: u16,
    ) -> Reply {
        let (path, query) =
            path.split_once('?').map_or((path, String::new()), |(path, query)| (path, format!("?{query}")));
        let operation = self.document["paths"][path][method.to_lowercase()].clone();
        assert!(operation.is_object(), "{method} {path} is not in the document");
        if let Some(body) = &body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let (_, properties) = self.properties(schema).expect("a described body");
            assert_eq!(keys(body), keys(&properties), "{method} {path}: send every documented field");
        }
        let mut url = format!("{}{path}", self.server.ops);
        for (name, value) in [("tenant", "live"), ("event", "game")].iter().chain(names) {
            url = url.replace(&format!("{{{name}}}"), value);
        }
        let text = body.map(|body| body.to_string()).unwrap_or_default();
        let reply = http::request(method, url + &query).body(text).send().expect(status);
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{method} {path}: {status} is not in the document");
        self.check_body(&format!("{method} {path}"), &response.clone(), &reply);
        self.called.insert((method.to_owned(), path.to_owned()));
        reply
    }

    fn check_body(&mut self, what: &str, response: &Value, reply: &Reply) {
        let Some(content) = response["content"].as_object() else { return };
        let kind = reply.header("content-type");
        let kind = kind.split(';').next().unwrap_or_default();
        let described = content.get(kind).unwrap_or_else(|| panic!("{what}: answers {kind}, which is not described"));
        if kind == "application/json" {
            self.compare(what, &described["schema"], &reply.json());
        }
    }

    /// A schema's name and properties, if it describes an object by its fields.
    fn properties(&self, schema: &Value) -> Option<(String, Value)> {
        let name = schema["$ref"].as_str().and_then(|target| target.rsplit('/').next());
        let schema = name.map_or(schema, |name| &self.document["components"]["schemas"][name]);
        let properties = schema.get("properties")?.clone();
        Some((name.unwrap_or("inline").to_owned(), properties))
    }

    fn compare(&mut self, what: &str, schema: &Value, value: &Value) {
        if schema["type"] == "array" || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!("array"))) {
            for item in value.as_array().unwrap_or_else(|| panic!("{what}: no list: {value}")) {
                self.compare(what, &schema["items"], item);
            }
            return;
        }
        let Some((name, properties)) = self.properties(schema) else { return };
        let (known, given) = (keys(&properties), keys(value));
        let unknown: Vec<_> = given.difference(&known).collect();
        assert!(unknown.is_empty(), "{what}: {name} has fields that are not described: {unknown:?}");
        let required = &self.document["components"]["schemas"][&name]["required"];
        for field in required.as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(given.contains(field), "{what}: {name} lacks `{field}`: {value}");
        }
        self.possible.extend(known.iter().map(|field| format!("{name}.{field}")));
        for field in given {
            self.compare(&format!("{what} .{field}"), &properties[&field], &value[&field]);
            self.seen.insert(format!("{name}.{field}"));
        }
    }
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().cloned().collect()
}

#[test]
fn handlers_and_document_agree() {
    let mut spec = Spec::of(Server::start());
    let event = Event::new(&spec.server, "model", json!({}));
    let renditions = json!([{"id": "v"}, {"id": "w", "timescale": 90_000, "low_latency": true}]);
    let document = event.changed(json!({"renditions": renditions}));
    spec.call("PUT", EVENT, &[], Some(document.clone()), 201);
    spec.call("PUT", EVENT, &[], Some(document), 200);
    let published = format!("{}/live/game/@a/v/{NEXT}.m4s", spec.server.publish);
    http::request("PUT", published).header("headwater-defects", "short").body("media").send().expect(201);

    let one = |rest: &str| format!("{EVENT}{rest}");
    let mask = json!({"pipeline": "b", "renditions": ["v"], "from": 1, "to": 2, "reason": "black"});
    let id = spec.call("POST", &one("/masks"), &[], Some(mask), 200).json()["id"].to_string();
    spec.call("GET", &one("/masks"), &[], None, 200);
    let range = json!({"from": 1, "to": 2, "pipeline": "a", "region": "local", "renditions": ["v"]});
    spec.call("POST", &one("/invalidations"), &[], Some(range), 200);
    spec.call("GET", &one("/invalidations"), &[], None, 200);
    spec.call("POST", &one("/flush"), &[], None, 200);
    let notification = json!({"name": "ad-break", "value": "30s", "from": NEXT});
    spec.call("POST", &one("/notifications"), &[], Some(notification), 200);
    spec.call("GET", &one("/notifications"), &[], None, 200);
    let timeline = format!("{}?rendition=v&from={}&to={NEXT}", one("/timeline"), NEXT - 1);
    // The defective candidate is served once nothing better can come.
    eventually("a served segment", || {
        let segments = spec.call("GET", &timeline, &[], None, 200).json();
        segments[1].get("served").cloned()
    });
    spec.call("GET", EVENT, &[], None, 200);
    spec.call("GET", "/v1/tenants/{tenant}/events", &[], None, 200);
    for path in ["/healthz", "/readyz", "/metrics", "/v1/status", "/openapi.json", "/watch"] {
        spec.call("GET", path, &[], None, 200);
    }
    spec.call("GET", "/watch/{file}", &[("file", "watch.css")], None, 200);
    // The store of one process feeds nobody; tests/cluster follows those of several.
    spec.call("GET", "/v1/feed", &[], None, 404);
    spec.call("DELETE", &one("/masks/{id}"), &[("id", &id)], None, 204);
    spec.call("DELETE", &one("/notifications/{name}"), &[("name", "ad-break")], None, 204);
    spec.call("POST", &one("/end"), &[], None, 200);
    spec.call("DELETE", EVENT, &[], None, 204);

    assert_eq!(spec.called, spec.operations(), "every path and method is called above");
    let unseen: Vec<_> = spec.possible.difference(&spec.seen).collect();
    assert!(unseen.is_empty(), "described, but never answered: {unseen:?}");
}

#[test]
fn what_is_not_described_is_refused_with_a_problem_document() {
    let mut spec = Spec::of(Server::start());
    let operations = spec.operations();
    let paths: BTreeSet<String> = operations.iter().map(|(_, path)| path.clone()).collect();
    for path in &paths {
        for method in METHODS.iter().filter(|method| !operations.contains(&((**method).to_owned(), path.clone()))) {
            let url = format!("{}{}", spec.server.ops, path.replace(['{', '}'], ""));
            http::request(method, url).body("{}").send().expect_problem(405, method);
        }
    }
    let one = |rest: &str| format!("{EVENT}{rest}");
    // Nothing has made `game`.
    for rest in ["", "/masks", "/invalidations", "/notifications", "/timeline?rendition=v"] {
        spec.call("GET", &one(rest), &[], None, 404);
    }
    spec.call("GET", EVENT, &[("tenant", "nobody")], None, 404);
    Event::new(&spec.server, "game", json!({}));
    let event = format!("{}/v1/tenants/live/events/game", spec.server.ops);
    http::post(format!("{event}/masks"), r#"{"pipeline": "a", "from": 1, "colour": 2}"#).expect_problem(422, "colour");
    http::post(format!("{event}/invalidations"), r#"{"from": "one"}"#).expect_problem(422, "from");
    http::post(format!("{event}/notifications"), "no json").expect_problem(422, "body");
    put(&event, r#"{"hold_max_ms": -1}"#).expect_problem(422, "hold_max_ms");
    get(format!("{event}/timeline")).expect_problem(422, "rendition");
    get(format!("{event}/timeline?rendition=v&from=x")).expect_problem(422, "from");
    delete(format!("{event}/masks/first")).expect_problem(400, "first");
    get(format!("{}/nowhere", spec.server.ops)).expect_problem(404, "/nowhere");
}

/// The names of contract §9.
const CONTRACT: [&str; 14] = [
    "headwater_publish_duration_seconds",
    "headwater_publish_slow_total",
    "headwater_deliver_duration_seconds",
    "headwater_responses_total",
    "headwater_held_requests",
    "headwater_hold_duration_seconds",
    "headwater_selected_total",
    "headwater_defects_total",
    "headwater_segment_lateness_seconds",
    "headwater_store_duration_seconds",
    "headwater_cache_bytes",
    "headwater_cache_requests_total",
    "headwater_shed_total",
    "headwater_store_utilization",
];

/// Names that the contract leaves to us.
const OURS: [&str; 10] = [
    "headwater_store_hedges_total",
    "headwater_feeds_lost",
    "headwater_memcached_failures_total",
    "headwater_damaged_reads_total",
    "headwater_disk_used_bytes",
    "headwater_disk_free_bytes",
    "headwater_expired_early_bytes_total",
    "headwater_missing_files",
    "headwater_damaged_files",
    "headwater_cmcd_requests_total",
];

#[test]
fn every_metric_shows_after_some_traffic_and_no_other_does() {
    let server = Server::start();
    let event = Event::new(&server, "game", json!({}));
    event.put("a", NEXT - 1, "media").expect(201);
    event.put_defective("b", NEXT - 1, "media", "short").expect(201);
    let reader = event.get_meanwhile(NEXT);
    eventually("a held request", || scrape(&server).contains("headwater_held_requests 1").then_some(()));
    event.put("a", NEXT, "media").expect(201);
    reader.join().expect("an answer").expect(200);
    event.get(NEXT).expect(200);

    let table: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(table, CONTRACT.into_iter().chain(OURS).collect(), "the table has the metrics of the contract");
    let text = scrape(&server);
    let shown: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert_eq!(shown, table, "{text}");
    check_labels(&text);
    for line in [
        "headwater_held_requests 0",
        "headwater_defects_total{pipeline=\"b\",defect=\"short\"} 1",
        "headwater_selected_total{pipeline=\"a\"} 2",
        "headwater_cache_requests_total{tier=\"memory\",result=\"hit\"} 2",
        "headwater_store_duration_seconds_count{engine=\"log\",op=\"publish\"} 3",
        "headwater_shed_total{class=\"dvr\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no `{line}` in:\n{text}");
    }
    let bytes = text.lines().find_map(|line| line.strip_prefix("headwater_cache_bytes ")?.parse::<f64>().ok());
    assert!(bytes.is_some_and(|bytes| bytes >= 15.0), "{text}");
}

/// Each series has the labels of the table, besides a histogram's own.
fn check_labels(text: &str) {
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let series = line.split(' ').next().expect("a series");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let metric =
            METRICS.iter().filter(|metric| name.starts_with(metric.name)).max_by_key(|metric| metric.name.len());
        let metric = metric.unwrap_or_else(|| panic!("{line}"));
        let given: BTreeSet<&str> = labels
            .trim_end_matches('}')
            .split("\",")
            .filter_map(|pair| pair.split_once('='))
            .map(|(label, _)| label)
            .collect();
        let own: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert!(given.iter().filter(|label| **label != "le").eq(own.iter()), "{line}");
    }
}

fn scrape(server: &Server) -> String {
    get(format!("{}/metrics", server.ops)).expect(200).text()
}
