//! A small world by seed: nodes over one cluster, three pipelines that publish to some of them, readers that ask all of
//! them, an operator, a feed, and trouble. What the clients did and saw is its history.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_model::document::Document;
use headwater_model::event::{Counters, Entry, Event};
use headwater_model::mask::Mask;
use headwater_model::row::EventId;
use headwater_model::{EventName, Pipeline, Tenant};
use headwater_sim::history::{
    Asked, Bounds, Got, History, Outcome, Publish, Quality, Read, Remask, Rule, Span, Url, Violation, check,
};
use headwater_store::Notice;
use headwater_store::disk::simulated::SplitMix64;
use parking_lot::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::cluster::Tables;
use crate::link::{Cluster, Weather};
use crate::node::{Node, Process, Upload};
use crate::time::{BEGINNING, MachineClock, Time};

/// Segments are 1 s long; the windows are short, so that they close within a run.
const DOCUMENT: &str = r#"{"pipelines":["a","b","c"],"segment":{"duration":1,"timescale":1},"renditions":[{"id":"v"}],
    "dvr_window_s":120,"live_window_s":10,"hold_max_ms":1500,"prefer_wait_ms":250,"defect_wait_ms":500,
    "retry_deadline_ms":1500,"inspect":"off"}"#;
const PIPELINES: [&str; 3] = ["a", "b", "c"];
const NUMBERS: u64 = 3;
const READERS: u64 = 3;
/// So often a change of masks is tried.
const ASKED_MAX: u32 = 10;
/// The nodes start before the event does.
const PRELUDE: Duration = Duration::from_secs(2);
/// From the last segment's time until trouble is over.
const OVERTIME: Duration = Duration::from_secs(3);
/// After the trouble: what is under way comes to its end, and everyone hears of it.
const SETTLING: Duration = Duration::from_secs(7);
/// The same where two datacentres have to hear of each other after a cut.
const FAR_SETTLING: Duration = Duration::from_secs(35);
/// A node that is cut off serves what it knows, and masks are in force there once it is not: 3.5 s, and a look.
const BOUNDS: Bounds = Bounds { publishes: 4_600_000, masks: 9_000_000 };
/// In the other datacentre: a cut, what is kept for its end, and the look at everything after that.
const FAR_MASKS: u64 = 40_000_000;
/// But it does not say that there is nothing if its last look at what others have committed began more than 2 s ago.
const ABSENCE: Bounds = Bounds { publishes: 2_100_000, ..BOUNDS };

/// What kind of world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The nodes are of two datacentres in turn.
    pub is_parted: bool,
}

/// What came of a world.
pub struct Lived {
    pub history: History,
    pub violations: Vec<Violation>,
    /// What the nodes did not agree about in the end.
    pub quarrels: Vec<String>,
    /// What went wrong, in words.
    pub troubles: Vec<String>,
    /// Whether there were two datacentres.
    pub is_parted: bool,
}

impl Lived {
    pub fn is_fine(&self) -> bool {
        self.violations.is_empty() && self.quarrels.is_empty()
    }
}

struct World {
    time: Arc<Time>,
    cluster: Arc<Cluster>,
    nodes: Vec<Arc<Node>>,
    /// How many of them publish.
    publishing: usize,
    is_parted: bool,
    weather: Weather,
    history: Mutex<History>,
    troubles: Mutex<Vec<String>>,
}

/// Lives through the world of `seed`.
pub fn live(seed: u64, plan: Plan) -> Lived {
    let time = Arc::<Time>::default();
    let world = Arc::new(World::new(seed, plan, &time));
    time.run(Arc::clone(&world).live(SplitMix64(seed ^ 0x5eed)));
    let history = std::mem::take(&mut *world.history.lock());
    let (mut violations, mut quarrels) = (Vec::new(), Vec::new());
    for site in 0..world.sites() {
        let seen = world.seen_in(site, &history);
        // Masks are changed in the first datacentre, and come over when the way is free.
        let masks = if site == 0 { BOUNDS.masks } else { FAR_MASKS };
        violations.extend(check(&seen, Bounds { masks, ..BOUNDS }));
        let absent = check(&seen, Bounds { masks, ..ABSENCE }).into_iter();
        violations.extend(absent.filter(|found| found.rule == Rule::ReadYourWrite));
        quarrels.extend(quarrels_of(&seen));
    }
    let troubles = std::mem::take(&mut *world.troubles.lock());
    Lived { history, violations, quarrels, troubles, is_parted: plan.is_parted }
}

impl World {
    fn new(seed: u64, plan: Plan, time: &Arc<Time>) -> Self {
        let mut random = SplitMix64(seed);
        let weather = weather(&mut random);
        let publishing = 2 + random.below(2) as usize;
        let skews: Vec<i128> = (0..publishing + 2).map(|_| i128::from(random.below(2_000)) - 1000).collect();
        let sites = if plan.is_parted { 2 } else { 1 };
        let tables = Mutex::new(Tables::new(random, sites));
        let calm = Mutex::new(Weather { way: Duration::from_millis(5), ..Weather::default() });
        let cluster = Arc::new(Cluster { time: Arc::clone(time), tables, weather: calm });
        let node = |(index, ahead): (usize, &i128)| {
            let name = if index < publishing { format!("p{index}") } else { format!("d{index}") };
            let clock = MachineClock { time: Arc::clone(time), ahead_nanos: ahead * 1_000_000 };
            Arc::new(Node::new(name, clock, &cluster, (index % sites, sites)))
        };
        let nodes = skews.iter().enumerate().map(node).collect();
        let (history, troubles) = Default::default();
        let is_parted = plan.is_parted;
        Self { time: Arc::clone(time), cluster, nodes, publishing, is_parted, weather, history, troubles }
    }

    fn sites(&self) -> usize {
        if self.is_parted { 2 } else { 1 }
    }

    /// What clients did and saw in one datacentre. What was published to the other one may come, and need not.
    fn seen_in(&self, site: usize, history: &History) -> History {
        let is_here = |name: &str| self.nodes.iter().any(|node| node.name == name && node.site.0 == site);
        let mut seen = history.clone();
        seen.reads.retain(|read| is_here(&read.node));
        for publish in seen.publishes.iter_mut().filter(|publish| !is_here(&publish.node)) {
            publish.outcome = Outcome::Unknown;
        }
        seen
    }

    /// One of the first datacentre's nodes.
    fn near(&self, random: &mut SplitMix64) -> usize {
        let count = self.nodes.len().div_ceil(self.sites()) as u64;
        random.below(count) as usize * self.sites()
    }

    async fn live(self: Arc<Self>, mut random: SplitMix64) {
        for node in 0..self.nodes.len() {
            self.start(node).await;
        }
        self.make_event().await;
        self.time.sleep(PRELUDE.saturating_sub(self.time.now())).await;
        *self.cluster.weather.lock() = self.weather;
        let mut actors = self.publishers(&mut random);
        for reader in 0..READERS {
            let reading = Arc::clone(&self).reader(format!("r{reader}"), SplitMix64(random.draw()));
            actors.push(tokio::spawn(reading));
        }
        if random.happens(350) {
            actors.push(tokio::spawn(Arc::clone(&self).operator(SplitMix64(random.draw()))));
        }
        actors.push(tokio::spawn(Arc::clone(&self).trouble(SplitMix64(random.draw()))));
        for actor in actors {
            actor.await.expect("an actor ends");
        }
        *self.cluster.weather.lock() = Weather { way: Duration::from_millis(5), ..Weather::default() };
        self.time.sleep(if self.is_parted { FAR_SETTLING } else { SETTLING }).await;
        self.look_back().await;
    }

    fn end() -> Duration {
        PRELUDE + Duration::from_secs(NUMBERS) + OVERTIME
    }

    async fn make_event(&self) {
        let mut document = Document::from_json(DOCUMENT.as_bytes()).expect("a document");
        document.availability_start_time = BEGINNING.offset_nanos(PRELUDE.as_nanos() as i128);
        let (tenant, name): (Tenant, EventName) = names();
        let event = Event::new(EventId(7), tenant, name, document, Counters::default());
        let process = self.nodes[0].process().expect("it has started");
        process.origin.store.write_entry(Entry::Alive(Box::new(event)), 0).await.expect("the weather is calm");
    }

    /// Starts a process on a node, and what tells the others of its commits.
    async fn start(self: &Arc<Self>, node: usize) {
        self.nodes[node].start().await;
        let Some(process) = self.nodes[node].process() else { return };
        tokio::spawn(Arc::clone(self).feed(node, process));
    }

    /// Tells the other nodes what `process` commits: late, in any order, twice or never.
    async fn feed(self: Arc<Self>, from: usize, process: Arc<Process>) {
        let Some(shared) = process.origin.store.shared() else { return };
        let mut commits = shared.commits();
        loop {
            let notice = tokio::select! {
                biased;
                () = process.death() => return,
                notice = commits.recv() => match notice {
                    Ok(notice) => notice,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
            };
            let is_near = |to: &usize| self.nodes[*to].site == self.nodes[from].site;
            for to in (0..self.nodes.len()).filter(|to| *to != from).filter(is_near) {
                for delay in self.deliveries() {
                    tokio::spawn(Arc::clone(&self).tell(to, notice.clone(), delay));
                }
            }
        }
    }

    /// When something told arrives.
    fn deliveries(&self) -> Vec<Duration> {
        let random = &mut self.cluster.tables.lock().random;
        let copies = match random.below(100) {
            0..25 => 0,
            25..35 => 2,
            _ => 1,
        };
        let most = |random: &mut SplitMix64| if random.happens(100) { 2_000_000_000 } else { 30_000_000 };
        (0..copies)
            .map(|_| most(random))
            .collect::<Vec<u64>>()
            .into_iter()
            .map(|most| random.below(most))
            .map(Duration::from_nanos)
            .collect()
    }

    async fn tell(self: Arc<Self>, to: usize, notice: Notice, delay: Duration) {
        self.time.sleep(delay).await;
        if let Some(process) = self.nodes[to].process()
            && let Some(shared) = process.origin.store.shared()
        {
            shared.hear(notice).await;
        }
    }

    /// What each pipeline makes of each segment.
    fn publishers(self: &Arc<Self>, random: &mut SplitMix64) -> Vec<JoinHandle<()>> {
        let mut actors = Vec::new();
        // Some worlds have a pipeline that is always late, and some two only.
        let slow = random.below(6);
        let pipelines = 2 + random.below(2);
        for number in 0..NUMBERS {
            for pipeline in 0..pipelines {
                let due = PRELUDE + Duration::from_secs(number + 1);
                let late = match random.below(10) {
                    0..6 if pipeline != slow => random.below(60),
                    0..8 => 100 + random.below(900),
                    8 => 1000 + random.below(2500),
                    _ => continue,
                };
                let begin = due + Duration::from_millis(late);
                actors.extend(self.uploads(number, PIPELINES[pipeline as usize], begin, random));
            }
        }
        actors
    }

    /// The uploads of one candidate: one, or several at once, or a defective one first.
    fn uploads(
        self: &Arc<Self>,
        number: u64,
        pipeline: &str,
        begin: Duration,
        random: &mut SplitMix64,
    ) -> Vec<JoinHandle<()>> {
        let upload = |version: u64, quality| {
            let bytes = Bytes::from(format!("{pipeline} {number} {version} ").repeat(8));
            Upload { number, pipeline: Pipeline::new(pipeline).expect("a name"), bytes, quality }
        };
        let millis = Duration::from_millis;
        let mut planned = vec![];
        match random.below(10) {
            0..5 => planned.push((millis(0), upload(1, Quality::Sound))),
            // The same from a second sender, and other bytes from a third.
            5 => planned.extend([0, 1].map(|_| (millis(random.below(20)), upload(1, Quality::Sound)))),
            6 => planned.extend([1, 2].map(|version| (millis(random.below(30)), upload(version, Quality::Sound)))),
            7 => planned.push((millis(0), upload(3, Quality::Defective))),
            8 => {
                planned.push((millis(0), upload(3, Quality::Defective)));
                planned.push((millis(random.below(1500)), upload(1, Quality::Sound)));
            }
            _ => {
                planned.extend([3, 4].map(|version| (millis(random.below(300)), upload(version, Quality::Defective))));
                planned.push((millis(random.below(1500)), upload(1, Quality::Sound)));
            }
        }
        let actor = |(after, upload)| {
            let publisher = Arc::clone(self).publisher(begin + after, upload, SplitMix64(random.draw()));
            tokio::spawn(publisher)
        };
        planned.into_iter().map(actor).collect()
    }

    async fn publisher(self: Arc<Self>, begin: Duration, upload: Upload, mut random: SplitMix64) {
        self.time.sleep(begin.saturating_sub(self.time.now())).await;
        for _ in 0..3 {
            let node = &self.nodes[random.below(self.publishing as u64) as usize];
            let begin = self.time.now();
            let outcome = node.publish(upload.clone()).await;
            let publish = Publish {
                node: node.name.clone(),
                span: self.span(begin),
                url: url(upload.number),
                pipeline: upload.pipeline.clone(),
                digest: upload.digest(),
                quality: upload.quality,
                outcome,
            };
            self.history.lock().publishes.push(publish);
            // Who got no answer sends the same again, once more than often.
            if outcome != Outcome::Unknown && !random.happens(60) {
                return;
            }
            self.time.sleep(Duration::from_millis(50 + random.below(300))).await;
        }
    }

    async fn reader(self: Arc<Self>, name: String, mut random: SplitMix64) {
        while self.time.now() < Self::end() {
            self.time.sleep(Duration::from_nanos(10_000_000 + random.below(220_000_000))).await;
            let edge = self.time.now().saturating_sub(PRELUDE).as_secs();
            let number =
                if random.happens(750) { (edge + random.below(3)).saturating_sub(2) } else { random.below(NUMBERS) };
            let asked = match random.below(8) {
                pipeline @ 0..3 if random.happens(500) => Asked::Own(name_of(PIPELINES[pipeline as usize])),
                _ => Asked::Chosen,
            };
            let node = random.below(self.nodes.len() as u64) as usize;
            self.read(&name, node, number.min(NUMBERS - 1), asked).await;
        }
    }

    async fn read(&self, reader: &str, node: usize, number: u64, asked: Asked) {
        let (node, begin) = (&self.nodes[node], self.time.now());
        let got = node.read(number, &asked).await;
        let (reader, node, span, url) = (reader.to_owned(), node.name.clone(), self.span(begin), url(number));
        self.history.lock().reads.push(Read { reader, node, span, url, asked, got });
    }

    /// Masks a pipeline for a while.
    async fn operator(self: Arc<Self>, mut random: SplitMix64) {
        self.time.sleep(PRELUDE + Duration::from_millis(random.below(4000))).await;
        let pipeline = name_of(PIPELINES[random.below(3) as usize]);
        let from = random.below(NUMBERS);
        let mask = Mask { id: 1, pipeline, renditions: None, from, to: Some(from + 1), reason: String::new() };
        for masks in [vec![mask], vec![]] {
            // A node that has not heard of the mask cannot lift it.
            for _ in 0..ASKED_MAX {
                if self.remask(self.near(&mut random), &masks).await {
                    break;
                }
                self.time.sleep(Duration::from_millis(300)).await;
            }
            self.time.sleep(Duration::from_millis(500 + random.below(3000))).await;
        }
    }

    /// Whether it was done, or at least tried.
    async fn remask(&self, node: usize, masks: &[Mask]) -> bool {
        let Some(process) = self.nodes[node].process() else { return false };
        let (begin, (tenant, name)) = (self.time.now(), names());
        let mut is_tried = false;
        let change = process.origin.control.change(&tenant, &name, |_, event| {
            let is_news = event.masks != masks;
            is_tried |= is_news;
            Ok(is_news.then(|| event.next(|event| event.masks = masks.to_vec())))
        });
        let outcome = tokio::select! {
            biased;
            () = process.death() => Outcome::Unknown,
            changed = change => if changed.is_ok() { Outcome::Done } else { Outcome::Unknown },
        };
        if is_tried {
            let remask = Remask { span: self.span(begin), event: "live/game".into(), masks: masks.to_vec(), outcome };
            self.history.lock().remasks.push(remask);
        }
        is_tried && outcome == Outcome::Done
    }

    /// Cuts nodes off and kills them.
    async fn trouble(self: Arc<Self>, mut random: SplitMix64) {
        if self.is_parted && random.happens(500) {
            let (pause, span) = (Duration::from_millis(random.below(4000)), Duration::from_millis(random.below(6000)));
            let world = Arc::clone(&self);
            tokio::spawn(async move {
                world.time.sleep(pause).await;
                world.cluster.tables.lock().cut(span, world.time.now());
                world.troubles.lock().push(format!("the datacentres are parted for {span:?}"));
            });
        }
        let cuts = random.below(3);
        let crashes = random.below(3);
        let mut starts = Vec::new();
        for (kind, _) in
            [(0, cuts), (1, crashes)].into_iter().flat_map(|(kind, times)| (0..times).map(move |n| (kind, n)))
        {
            let pause = random.below(3000);
            self.time.sleep(Duration::from_millis(pause)).await;
            let node = random.below(self.nodes.len() as u64) as usize;
            if kind == 0 {
                // Where there are two datacentres, long enough for a node to read everything again.
                let span = Duration::from_millis(random.below(if self.is_parted { 8000 } else { 3500 }));
                self.nodes[node].process().iter().for_each(|process| process.link.cut(span));
                self.tell_of(node, &format!("is cut off for {span:?}"));
            } else if self.nodes[node].process().is_some() {
                self.nodes[node].kill();
                self.tell_of(node, "dies");
                let (world, pause) = (Arc::clone(&self), Duration::from_millis(random.below(1200)));
                starts.push(tokio::spawn(async move {
                    world.time.sleep(pause).await;
                    world.start(node).await;
                    world.tell_of(node, "is there again");
                }));
            }
        }
        for start in starts {
            start.await.expect("a node starts");
        }
    }

    fn tell_of(&self, node: usize, what: &str) {
        let (at, name) = (self.time.now().as_secs_f64(), &self.nodes[node].name);
        self.troubles.lock().push(format!("{at:.6} {name} {what}"));
    }

    /// In the end every node is asked for everything, twice: once to choose, once to see whether it stays.
    async fn look_back(&self) {
        for reader in ["early", "last"] {
            for number in 0..NUMBERS {
                for node in 0..self.nodes.len() {
                    self.read(reader, node, number, Asked::Chosen).await;
                    for pipeline in PIPELINES.into_iter().filter(|_| reader == "last") {
                        self.read(reader, node, number, Asked::Own(name_of(pipeline))).await;
                    }
                }
            }
        }
    }

    fn span(&self, begin: Duration) -> Span {
        Span::micros(begin.as_micros() as u64, self.time.now().as_micros() as u64)
    }
}

fn weather(random: &mut SplitMix64) -> Weather {
    let millis = Duration::from_millis;
    let calm = Weather { way: millis(6), long_way: millis(60), ..Weather::default() };
    match random.below(4) {
        0 => calm,
        1 => Weather { lost_answers: 30, late: 20, ..calm },
        2 => Weather { lost_requests: 20, lost_answers: 20, late: 20, refused: 20, ..calm },
        _ => Weather {
            lost_requests: 60,
            lost_answers: 60,
            late: 60,
            refused: 60,
            way: millis(40),
            long_way: millis(700),
            is_mute: false,
        },
    }
}

/// What the nodes do not agree about in the answers of the reader who came last.
fn quarrels_of(history: &History) -> Vec<String> {
    let last: Vec<&Read> = history.reads.iter().filter(|read| read.reader == "last").collect();
    let mut quarrels = Vec::new();
    for (index, read) in last.iter().enumerate() {
        let first = last.iter().find(|first| first.url == read.url && first.asked == read.asked);
        if first.is_some_and(|first| first.got != read.got) {
            quarrels.push(format!("[{}], but [{read}]", first.map_or(*read, |first| first)));
        }
        if read.got == Got::Silence {
            quarrels.push(format!("no answer although all is well: [{read}] ({index})"));
        }
    }
    quarrels
}

fn names() -> (Tenant, EventName) {
    (Tenant::new("live").expect("a name"), EventName::new("game").expect("a name"))
}

fn name_of(pipeline: &str) -> Pipeline {
    Pipeline::new(pipeline).expect("a name")
}

fn url(number: u64) -> Url {
    Url { event: "live/game".into(), rendition: "v".into(), number }
}
