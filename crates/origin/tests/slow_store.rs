//! A store that has become slow, under a whole server (contract §5, row 11): DVR readers give way, the live edge and
//! publishers never do, and all of it ends with the slowness.

use std::sync::Arc;
use std::time::Duration;

use headwater_origin::config::{Config, StoreConfig};
use headwater_origin::{Origin, Server};
use headwater_store::fault::{Calls, Fault, Faulty};
use headwater_store::stamp::{Clock, SystemClock};
use headwater_wire::client::{Answer, Client};
use http::{HeaderMap, Method};
use tokio::runtime::Runtime;

const SEGMENT_SECONDS: u64 = 2;
/// A segment's bytes. What matters is that the live window holds only a few of them.
const BYTES: usize = 64 << 10;
/// Room for eight of them.
const WINDOW_BYTES: u64 = 8 * (BYTES as u64 + 1024);
/// Slow enough for a few reads to tell, against a target of 250 ms, and to be told from what this machine's disk takes.
const SLOW: Duration = Duration::from_secs(1);
/// Below this utilisation nobody is shed, not even who was.
const CALM: f64 = 0.3;
/// How long this machine's own disk may be slow. What it does is forgotten by half each second.
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    runtime: Runtime,
    client: Client,
    origin: Arc<Origin>,
    store: Arc<Faulty>,
    server: Option<std::thread::JoinHandle<()>>,
    _data: tempfile::TempDir,
}

impl World {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            publish: any,
            deliver: any,
            ops: any,
            data: data.path().to_owned(),
            window_bytes: WINDOW_BYTES,
            // Every read of the past goes to the disk.
            dvr_bytes: 0,
            // The disk beneath may be slow by itself: that is not what is tested.
            store: StoreConfig { publish_budget_ms: 20_000, ..StoreConfig::default() },
            ..Config::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let mut faulty = None;
        let server = Server::load_around(config, Arc::clone(&clock), axum::Router::new(), |engine| {
            Arc::clone(faulty.insert(Arc::new(Faulty::new(engine, clock)))) as _
        });
        let server = server.unwrap();
        let origin = Arc::clone(server.origin());
        let server = Some(std::thread::spawn(move || server.run()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, client: Client::default(), origin, store: faulty.unwrap(), server, _data: data }
    }

    fn send(&self, method: Method, url: &str, body: Vec<u8>) -> Answer {
        let body = bytes::Bytes::from(body).into();
        self.runtime.block_on(self.client.send(method, url, HeaderMap::new(), body, 1 << 20)).unwrap()
    }

    fn publish(&self, number: u64) {
        let url = format!("http://{}/live/game/v/{number}.m4s", self.origin.addresses.publish.unwrap());
        let answer = self.send(Method::PUT, &url, vec![number as u8; BYTES]);
        assert_eq!(answer.status, 201, "{number}");
    }

    /// Status and outcome of a read.
    fn get(&self, number: u64) -> (u16, String) {
        let url = format!("http://{}/live/game/v/{number}.m4s", self.origin.addresses.deliver.unwrap());
        let answer = self.send(Method::GET, &url, Vec::new());
        if answer.status == 503 {
            assert_eq!(answer.headers["cache-control"], "max-age=5");
            assert_eq!(answer.headers["retry-after"], "5");
        }
        (answer.status.as_u16(), answer.headers["headwater-outcome"].to_str().unwrap().to_owned())
    }

    /// Waits until what publishing has cost a slow disk is forgotten.
    fn calm_down(&self) {
        let begun = self.origin.clock.monotonic();
        while self.origin.admission.utilization(self.origin.clock.monotonic()) >= CALM {
            assert!(self.origin.clock.monotonic() - begun < PATIENCE, "the disk beneath is too slow");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn now(&self) -> u64 {
        self.origin.clock.wall().seconds() as u64 / SEGMENT_SECONDS
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.origin.drain.start();
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

#[test]
fn a_slow_store_sheds_dvr_and_never_live() {
    let world = World::start();
    let document = r#"{"inspect": "off", "pipelines": ["a"]}"#;
    let url = format!("http://{}/v1/tenants/live/events/game", world.origin.addresses.ops);
    assert!(world.send(Method::PUT, &url, document.into()).status.is_success());
    let now = world.now();
    let (past, edge) = (now - 100..now - 60, now - 12..=now);
    past.clone().chain(edge.clone()).for_each(|number| world.publish(number));
    world.calm_down();
    let hit = (200, "hit".to_owned());
    assert!(past.clone().chain(edge.clone()).all(|number| world.get(number) == hit), "a fast store serves all");

    world.store.set(Calls::Reads, Fault::Delay(SLOW));
    let shed = past.clone().filter(|number| world.get(*number) == (503, "shed".to_owned())).count();
    assert!(shed >= past.clone().count() / 2, "{shed} DVR reads were shed");
    // The first of them have left the live window's memory: they are read from the slow store, and served.
    for number in edge {
        assert_eq!(world.get(number), hit, "{number}");
        assert_eq!(world.get(past.start), (503, "shed".to_owned()));
    }
    world.publish(world.now() + 1);
    assert!(world.origin.metrics.render().contains("headwater_shed_total{class=\"dvr\"}"));
    assert!(world.origin.metrics.render().contains("headwater_shed_total{class=\"live\"} 0"));

    world.store.set(Calls::Reads, Fault::None);
    let recovered = (0..200).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        world.get(past.start) == hit
    });
    assert!(recovered, "DVR is served again once the store is fast");
}
