//! The recipes of docs/cdn as they stand, in real caches before a real origin: no cached 404 outlives its segment's
//! publication, a crowd costs one request, and a purge reaches viewers.
#![allow(clippy::disallowed_methods, reason = "these tests drive a real server with a real clock")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use support::http::request;
use support::program::{Program, command, workspace};
use support::{Event, PATIENCE, Server, eventually, get, let_pass, now_ms, post, put, rfc3339};

/// A cache in front of the origin.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Nginx,
    Varnish,
}

struct Shield {
    kind: Kind,
    url: String,
    /// Ends with it.
    _program: Program,
}

impl Shield {
    fn start(kind: Kind, server: &Server) -> Self {
        let folder = server.folder().join(format!("{kind:?}"));
        // Somebody may take the port between our look and its start.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).expect("a folder");
            let mut start = match kind {
                Kind::Nginx => nginx(server, free.port(), &folder),
                Kind::Varnish => varnish(server, free.port(), &folder),
            };
            let mut program = Program::start(&mut start, &folder.join("log"));
            let url = format!("http://{free}");
            let is_up = eventually("the cache answers or ends", || {
                let up = request("GET", format!("{url}/live/none/event.json")).try_send().is_ok();
                (up || program.ended().is_some()).then_some(up)
            });
            if is_up {
                return Self { kind, url, _program: program };
            }
            eprintln!("{kind:?} ended: {}", program.said());
        }
        panic!("{kind:?} does not start");
    }

    /// Where the cache has segment `number` of `event`.
    fn segment(&self, event: &Event, number: u64) -> String {
        format!("{}/live/{}/v/{number}.m4s", self.url, event.name)
    }

    /// Has the cache forget segment `number`, as the recipe says.
    fn purge(&self, event: &Event, number: u64) {
        match self.kind {
            Kind::Nginx => {
                request("GET", self.segment(event, number)).header("headwater-refresh", "1").send();
            }
            Kind::Varnish => {
                let keys = format!("e/{} r/v n/{number}", event.name);
                request("BAN", &self.url).header("headwater-keys", keys).send().expect(200);
            }
        }
    }
}

/// A recipe with this test's places put in.
fn recipe(name: &str, to: &Path, places: &[(&str, &str)]) {
    let path = workspace().join("docs/cdn").join(name);
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (from, to) in places {
        assert!(text.contains(from), "{name} has no `{from}`");
        text = text.replace(from, to);
    }
    std::fs::write(to, text).expect("a file");
}

fn nginx(server: &Server, port: u16, folder: &Path) -> Command {
    let (config, at) = (folder.join("nginx.conf"), |name: &str| folder.join(name).display().to_string());
    recipe(
        "nginx.conf",
        &config,
        &[
            ("127.0.0.1:7080", server.deliver_address()),
            ("listen 80 ", &format!("listen 127.0.0.1:{port} ")),
            ("/run/nginx.pid", &at("pid")),
            ("/var/log/nginx/error.log", &at("error.log")),
            ("/var/cache/nginx-headwater", &at("cache")),
        ],
    );
    let mut nginx = command("/usr/sbin/nginx");
    // The workers of a master that runs as root would not reach the test's folder.
    let is_root = rustix::process::geteuid().is_root();
    nginx.arg("-c").arg(config).arg("-p").arg(folder);
    nginx.args(["-g", if is_root { "daemon off; user root;" } else { "daemon off;" }]);
    nginx
}

fn varnish(server: &Server, port: u16, folder: &Path) -> Command {
    let (config, origin) = (folder.join("headwater.vcl"), server.deliver_address());
    let origin_port = origin.rsplit(':').next().expect("a port");
    recipe("varnish.vcl", &config, &[(".port = \"7080\"", &format!(".port = \"{origin_port}\""))]);
    let mut varnish = command("/usr/sbin/varnishd");
    varnish.arg("-F").arg("-n").arg(folder.join("varnish")).arg("-f").arg(config);
    varnish.args(["-a", &format!("127.0.0.1:{port}"), "-s", "malloc,64m", "-p", "vcc_allow_inline_c=off"]);
    varnish
}

const KINDS: [Kind; 2] = [Kind::Nginx, Kind::Varnish];

fn origin() -> Server {
    Server::start_with(&["--surrogate-keys", "surrogate-key"])
}

/// An event of one pipeline whose numbering begins at `start_ms`.
fn event_at(server: &Server, name: &str, start_ms: i64, duration_ms: i64) -> Event {
    let event = Event::at(server, name, start_ms, duration_ms);
    event.put_document(&json!({
        "availability_start_time": rfc3339(start_ms), "segment": {"duration": duration_ms, "timescale": 1000},
        "renditions": [{"id": "v"}], "inspect": "off", "pipelines": ["a"],
    }));
    event
}

fn wait_until(unix_ms: i64) {
    let_pass(Duration::from_millis(u64::try_from(unix_ms - now_ms()).unwrap_or(0)));
}

/// Asks for a segment through the cache while it is too early, publishes it when it is due, and asks again at once.
/// Gives how often the cache itself answered that it is too early.
fn over_the_edge(shield: &Shield, event: &Event, duration_ms: i64, phase_ms: i64) -> usize {
    // Every event has its `E(n)` at another part of the second.
    let number = u64::try_from((now_ms() - event.expected_ms(0)) / duration_ms + 4).expect("after its start");
    let due = event.expected_ms(number);
    event.put("a", number - 3, "before").expect(201);
    let mut cached = 0;
    let mut ask_at = due - duration_ms - 2_100;
    while ask_at < due - duration_ms - 20 {
        wait_until(ask_at);
        let asked = now_ms();
        let reply = get(shield.segment(event, number));
        // A machine that is too busy may have asked too late.
        if reply.status == 404 && asked < due - duration_ms {
            cached += usize::from(reply.header("x-cache") == "HIT");
        }
        ask_at = ask_at.max(now_ms()) + 130;
    }
    event.put("a", number - 1, "just before").expect(201);
    wait_until(due);
    event.put("a", number, "due").expect(201);
    let reply = get(shield.segment(event, number));
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (200, "due"),
        "{:?}: a 404 outlived E(n), at {phase_ms} ms of the second, {} ms after",
        shield.kind,
        now_ms() - due
    );
    cached
}

#[test]
fn no_cached_404_outlives_the_publication() {
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let start = now_ms() / 1000 * 1000 - 60_000;
        let cases: Vec<(i64, i64)> = [2_000, 1_000, 500]
            .into_iter()
            .flat_map(|duration| (0..8).map(move |eighth| (duration, eighth * 125 + duration / 50)))
            .collect();
        let cached: usize = std::thread::scope(|scope| {
            let watch = |(duration, phase): (i64, i64)| {
                let (server, shield) = (&server, &shield);
                scope.spawn(move || {
                    let name = format!("{kind:?}-{duration}-{phase}").to_lowercase();
                    let event = event_at(server, &name, start + phase, duration);
                    over_the_edge(shield, &event, duration, phase)
                })
            };
            let watching: Vec<_> = cases.into_iter().map(watch).collect();
            watching.into_iter().map(|one| one.join().expect("no cached 404")).sum()
        });
        assert!(cached > 8, "{kind:?} has cached early answers: {cached}");
    }
}

/// A number of the origin's metrics, summed over its labels.
fn metric(server: &Server, name: &str) -> f64 {
    let text = get(format!("{}/metrics", server.ops)).expect(200).text();
    let value = |line: &str| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok();
    text.lines().filter_map(value).sum()
}

#[test]
fn a_crowd_costs_one_held_request() {
    const CROWD: usize = 100;
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let name = format!("{kind:?}").to_lowercase();
        let event = event_at(&server, &name, now_ms() - 60_000 - 1_000, 4_000);
        let next = u64::try_from((now_ms() - event.expected_ms(0)) / 4_000 + 1).expect("after its start");
        event.put("a", next - 1, "before").expect(201);
        let (answers, held) = ("headwater_responses_total{listener=\"deliver\"", "headwater_held_requests ");
        let before = metric(&server, answers);
        let replies: Vec<_> = std::thread::scope(|scope| {
            let ask = || get(shield.segment(&event, next));
            let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(ask)).collect();
            eventually("one is held", || (metric(&server, held) == 1.0).then_some(()));
            // All others have come to the cache too.
            let_pass(Duration::from_millis(700));
            assert_eq!(metric(&server, held), 1.0, "{kind:?}");
            event.put("a", next, "next").expect(201);
            crowd.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        assert!(replies.iter().all(|reply| (reply.status, reply.text().as_str()) == (200, "next")), "{kind:?}");
        assert_eq!(metric(&server, answers) - before, 1.0, "{kind:?}: requests at the origin");
    }
}

#[test]
fn a_mask_and_a_purge_change_what_viewers_get() {
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let name = format!("{kind:?}.purge").to_lowercase();
        let event = Event::new(&server, &name, json!({"pipelines": ["a", "b"]}));
        let number = support::event::NEXT;
        event.put("a", number, "from a").expect(201);
        event.put("b", number, "from b").expect(201);
        let seen = || get(shield.segment(&event, number)).expect(200).text();
        assert_eq!((seen(), seen()), ("from a".to_owned(), "from a".to_owned()));
        let started = Instant::now();
        let of_event = |what: &str| format!("{}/{what}", event.document);
        let mask = json!({"pipeline": "a", "from": number, "to": number, "reason": "black frames"});
        post(of_event("masks"), mask.to_string()).expect(200);
        assert_eq!(seen(), "from a", "{kind:?}: masking alone does not reach caches");
        post(of_event("invalidations"), json!({"from": number, "to": number}).to_string()).expect(200);
        shield.purge(&event, number);
        assert_eq!(seen(), "from b", "{kind:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{kind:?} took {:?}", started.elapsed());
    }
}

#[test]
fn queries_make_no_second_copy_and_ranges_are_served_from_the_whole() {
    let server = origin();
    for kind in KINDS {
        let shield = Shield::start(kind, &server);
        let event = Event::new(&server, &format!("{kind:?}.query").to_lowercase(), json!({}));
        let number = support::event::NEXT;
        event.put("a", number, "0123456789").expect(201);
        put(format!("{}/v/init.mp4", event.publish), "init").expect(201);
        let url = shield.segment(&event, number);
        get(format!("{url}?CMCD=bl%3D1")).expect(200);
        let second = get(format!("{url}?CMCD=bl%3D2")).expect(200);
        assert_eq!(second.header("x-cache"), "HIT", "{kind:?}");
        let range = request("GET", &url).header("range", "bytes=2-4").send().expect(206);
        assert_eq!((range.text().as_str(), range.header("x-cache").as_str()), ("234", "HIT"), "{kind:?}");
        assert!(!second.has("surrogate-key") || matches!(kind, Kind::Nginx));
        let json = format!("{}/live/{}/event.json", shield.url, event.name);
        let revision = get(&json).expect(200).json()["rev"].as_u64().expect("a revision");
        // Held until something changes, and never cached.
        let waiting = std::thread::spawn(move || get(format!("{json}?since={revision}")));
        let_pass(Duration::from_millis(200));
        post(format!("{}/flush", event.document), "").expect(200);
        let told = waiting.join().expect("an answer").expect(200);
        assert!(told.took < PATIENCE && told.json()["rev"].as_u64() > Some(revision), "{kind:?}");
    }
}
