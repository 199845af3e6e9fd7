//! Real caches, started with the recipes on free ports of loopback.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::http::request;
use crate::support::program::{Program, command, workspace};
use crate::support::{Event, Reply, Server, eventually, let_pass};

/// Which cache.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Nginx,
    Varnish,
    TrafficServer,
}

/// A cache in front of the origin. Ends, with all the processes that it has started, when it goes out of scope.
pub(crate) struct Shield {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    program: Program,
}

impl Shield {
    /// A cache in front of `server`.
    pub(crate) fn start(kind: Kind, server: &Server) -> Self {
        Self::start_before(kind, server, server.deliver_address(), &format!("{kind:?}"))
    }

    /// A cache in front of `origin`, which may be another cache, with its files in the folder `name` of the server's.
    pub(crate) fn start_before(kind: Kind, server: &Server, origin: &str, name: &str) -> Self {
        let folder = server.folder().join(name);
        // Somebody may take the port between our look and its start.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).expect("a folder");
            let mut start = match kind {
                Kind::Nginx => nginx(origin, free.port(), &folder),
                Kind::Varnish => varnish(origin, free.port(), &folder),
                Kind::TrafficServer => traffic_server(server.folder(), origin, free.port(), &folder),
            };
            let program = Program::start(&mut start, &folder.join("log"));
            let mut shield = Self { kind, url: format!("http://{free}"), program };
            let is_up = eventually("the cache answers or ends", || {
                let up = request("GET", format!("{}/live/none/event.json", shield.url)).try_send().is_ok();
                (up || shield.program.ended().is_some()).then_some(up)
            });
            if is_up {
                return shield;
            }
            eprintln!("{kind:?} ended: {}", shield.program.said());
        }
        panic!("{kind:?} does not start");
    }

    /// `host:port` of it.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap_or(&self.url)
    }

    /// The id of its first process.
    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    /// Where the cache has segment `number` of `event`.
    pub(crate) fn segment(&self, event: &Event, number: u64) -> String {
        format!("{}/live/{}/v/{number}.m4s", self.url, event.name)
    }

    /// Has the cache forget segment `number`, as the recipe says.
    pub(crate) fn purge(&self, event: &Event, number: u64) {
        match self.kind {
            Kind::Nginx => {
                request("GET", self.segment(event, number)).header("headwater-refresh", "1").send();
            }
            Kind::Varnish => {
                let keys = format!("e/{} r/v n/{number}", event.name);
                request("BAN", &self.url).header("headwater-keys", keys).send().expect(200);
            }
            Kind::TrafficServer => {
                request("PURGE", self.segment(event, number)).send().expect(200);
            }
        }
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        // A killed master of nginx would leave its workers behind.
        if self.program.ended().is_none() {
            self.program.terminate();
            let started = Instant::now();
            while self.program.ended().is_none() && started.elapsed() < TERMINATION_MAX {
                let_pass(Duration::from_millis(10));
            }
        }
    }
}

/// How long a cache may take to end before it is killed.
const TERMINATION_MAX: Duration = Duration::from_secs(5);

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

fn nginx(origin: &str, port: u16, folder: &Path) -> Command {
    let (config, at) = (folder.join("nginx.conf"), |name: &str| folder.join(name).display().to_string());
    recipe(
        "nginx.conf",
        &config,
        &[
            ("127.0.0.1:7080", origin),
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

fn varnish(origin: &str, port: u16, folder: &Path) -> Command {
    let config = folder.join("headwater.vcl");
    let origin_port = origin.rsplit(':').next().expect("a port");
    recipe("varnish.vcl", &config, &[(".port = \"7080\"", &format!(".port = \"{origin_port}\""))]);
    let mut varnish = command("/usr/sbin/varnishd");
    varnish.arg("-F").arg("-n").arg(folder.join("varnish")).arg("-f").arg(config);
    varnish.args(["-a", &format!("127.0.0.1:{port}"), "-s", "malloc,64m", "-p", "vcc_allow_inline_c=off"]);
    varnish
}

/// What Debian calls the user that Traffic Server runs as: it does not run as root.
const TRAFFIC_USER: &str = "trafficserver";

fn traffic_server(shared: &Path, origin: &str, port: u16, folder: &Path) -> Command {
    let at = |name: &str| folder.join(name).display().to_string();
    for name in ["etc", "cache", "logs", "run"] {
        std::fs::create_dir_all(at(name)).expect("a folder");
    }
    for file in std::fs::read_dir("/etc/trafficserver").expect("Traffic Server's own settings") {
        let file = file.expect("a name");
        if file.path().is_dir() {
            continue;
        }
        std::fs::copy(file.path(), folder.join("etc").join(file.file_name())).expect("a copy");
    }
    let put = |name: &str, places: &[(&str, &str)]| {
        recipe(&format!("trafficserver/{name}"), &folder.join("etc").join(name), places);
    };
    let user = format!("{port}\nCONFIG proxy.config.admin.user_id STRING {TRAFFIC_USER}");
    put(
        "records.config",
        &[("server_ports STRING 80", &format!("server_ports STRING {user}")), ("4294967296", "16777216")],
    );
    put("remap.config", &[("127.0.0.1:7080", origin)]);
    put("storage.config", &[("/var/cache/trafficserver 20G", &format!("{} 64M", at("cache")))]);
    put("cache.config", &[]);
    put("headwater.rewrite", &[]);
    let layout = [
        ("prefix", folder.display().to_string()),
        ("exec_prefix", "/usr".to_owned()),
        ("bindir", "/usr/bin".to_owned()),
        ("sbindir", "/usr/sbin".to_owned()),
        ("sysconfdir", at("etc")),
        ("datadir", at("cache")),
        ("cachedir", at("cache")),
        ("logdir", at("logs")),
        ("runtimedir", at("run")),
        ("localstatedir", at("run")),
        ("libdir", "/usr/lib/trafficserver".to_owned()),
        ("libexecdir", "/usr/lib/trafficserver/modules".to_owned()),
    ];
    let lines: String = layout.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    std::fs::write(at("runroot.yaml"), lines).expect("a file");
    if rustix::process::geteuid().is_root() {
        for (program, words) in [("chown", ["-R", TRAFFIC_USER]), ("chmod", ["-R", "a+rX"])] {
            let done = command(program).args(words).arg(folder).status().expect("a program that starts");
            assert!(done.success(), "{program}");
        }
        // Its user must get through to its folder.
        std::fs::set_permissions(shared, std::fs::Permissions::from_mode(0o755)).expect("our own folder");
    }
    let mut traffic = command("traffic_server");
    traffic.arg(format!("--run-root={}", at("runroot.yaml")));
    traffic
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Nginx, Kind::Varnish, Kind::TrafficServer];

/// Whether the cache says that it had it.
pub(crate) fn is_hit(reply: &Reply) -> bool {
    reply.header("x-cache").to_ascii_lowercase().starts_with("hit")
}

/// The processes that `id` has started and that run.
fn children(id: u32) -> Vec<u32> {
    let parent_of = |process: u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse::<u32>().ok()
    };
    let entries = std::fs::read_dir("/proc").expect("a list of processes").filter_map(Result::ok);
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| parent_of(*process) == Some(id)).collect()
}

#[test]
fn a_cache_ends_with_all_that_it_has_started() {
    let server = crate::origin();
    for kind in [Kind::Nginx, Kind::Varnish] {
        let shield = Shield::start(kind, &server);
        let workers = children(shield.id());
        assert!(!workers.is_empty(), "{kind:?} has workers");
        drop(shield);
        let is_there = |process: &u32| Path::new(&format!("/proc/{process}")).exists();
        eventually("its workers end", || (!workers.iter().any(is_there)).then_some(()));
    }
}
