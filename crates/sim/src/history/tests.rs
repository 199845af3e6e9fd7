use super::*;

const BOUNDS: Bounds = Bounds { publishes: 100, masks: 100 };

fn url(number: u64) -> Url {
    Url { event: "live/game".into(), rendition: "v".into(), number }
}

fn name(pipeline: &str) -> Pipeline {
    Pipeline::new(pipeline).unwrap()
}

fn publish(node: &str, span: (u64, u64), pipeline: &str, digest: u128) -> Publish {
    Publish {
        node: node.into(),
        span: Span::micros(span.0, span.1),
        url: url(7),
        pipeline: name(pipeline),
        digest: Digest(digest),
        quality: Quality::Sound,
        outcome: Outcome::Done,
    }
}

fn bad(publish: Publish) -> Publish {
    Publish { quality: Quality::Defective, ..publish }
}

fn read(node: &str, span: (u64, u64), got: Got) -> Read {
    let (reader, node, span) = ("player".into(), node.into(), Span::micros(span.0, span.1));
    Read { reader, node, span, url: url(7), asked: Asked::Chosen, got }
}

fn own(pipeline: &str, read: Read) -> Read {
    Read { asked: Asked::Own(name(pipeline)), ..read }
}

fn media(pipeline: &str, digest: u128, lasting: Lasting) -> Got {
    Got::Media(Media { pipeline: name(pipeline), etag: Digest(digest), body: Some(Digest(digest)), lasting })
}

fn hit(pipeline: &str, digest: u128) -> Got {
    media(pipeline, digest, Lasting::Immutable)
}

fn masked(span: (u64, u64), pipelines: &[&str]) -> Remask {
    let mask = |name| Mask { id: 1, pipeline: name, renditions: None, from: 7, to: Some(7), reason: String::new() };
    let masks = pipelines.iter().map(|pipeline| mask(name(pipeline))).collect();
    Remask { span: Span::micros(span.0, span.1), event: "live/game".into(), masks, outcome: Outcome::Done }
}

#[derive(Default)]
struct Case(History);

impl Case {
    fn publish(mut self, publish: Publish) -> Self {
        self.0.publishes.push(publish);
        self
    }

    fn read(mut self, read: Read) -> Self {
        self.0.reads.push(read);
        self
    }

    fn remask(mut self, remask: Remask) -> Self {
        self.0.remasks.push(remask);
        self
    }

    fn remove(mut self, span: (u64, u64), pipeline: &str) -> Self {
        let span = Span::micros(span.0, span.1);
        self.0.removals.push(Removal { span, url: url(7), pipeline: name(pipeline) });
        self
    }

    #[track_caller]
    fn breaks(self, rules: &[Rule]) {
        let found = check(&self.0, BOUNDS);
        let broken: Vec<Rule> = found.iter().map(|violation| violation.rule).collect();
        assert_eq!(broken, rules, "{found:#?}");
    }
}

/// Pipeline a is published on one node, b on another a little later, both are sound.
fn two() -> Case {
    Case::default().publish(publish("n1", (0, 10), "a", 1)).publish(publish("n2", (5, 20), "b", 2))
}

#[test]
fn a_history_of_one_choice_is_fine() {
    two()
        .read(read("n1", (11, 12), hit("a", 1)))
        .read(read("n2", (15, 16), Got::Nothing(404)))
        .read(read("n2", (30, 31), Got::Silence))
        .read(read("n2", (130, 131), hit("a", 1)))
        .read(own("b", read("n1", (140, 141), media("b", 2, Lasting::ForNow))))
        .breaks(&[]);
}

#[test]
fn the_node_that_acked_knows_at_once_and_the_others_in_time() {
    two().read(read("n1", (11, 12), Got::Nothing(404))).breaks(&[Rule::ReadYourWrite]);
    two().read(read("n3", (110, 112), Got::Nothing(404))).breaks(&[]);
    two().read(read("n3", (121, 122), Got::Nothing(410))).breaks(&[Rule::ReadYourWrite]);
    two().read(own("b", read("n3", (121, 122), Got::Nothing(404)))).breaks(&[Rule::ReadYourWrite]);
    two().read(own("c", read("n3", (121, 122), Got::Nothing(404)))).breaks(&[]);
}

#[test]
fn what_was_not_acked_need_not_be_there() {
    for outcome in [Outcome::Refused, Outcome::Unknown] {
        let publish = Publish { outcome, ..publish("n1", (0, 10), "a", 1) };
        Case::default().publish(publish).read(read("n1", (900, 901), Got::Nothing(410))).breaks(&[]);
    }
    let same = Publish { outcome: Outcome::Same, ..publish("n1", (0, 10), "a", 1) };
    Case::default().publish(same).read(read("n1", (11, 12), Got::Nothing(410))).breaks(&[Rule::ReadYourWrite]);
}

#[test]
fn what_was_removed_or_masked_may_be_absent() {
    let one = || Case::default().publish(publish("n1", (0, 10), "a", 1)).read(read("n1", (11, 12), hit("a", 1)));
    let gone = || read("n1", (300, 301), Got::Nothing(410));
    one().remove((200, 210), "a").read(gone()).breaks(&[]);
    one().remask(masked((200, 210), &["a"])).read(gone()).breaks(&[]);
    let own = own("a", gone());
    one().remask(masked((200, 210), &["a"])).read(own).breaks(&[Rule::ReadYourWrite, Rule::MonotonicReads]);
    let lifted = one().remask(masked((20, 21), &["a"])).remask(masked((40, 41), &[]));
    lifted
        .read(read("n1", (130, 131), Got::Nothing(410)))
        .read(gone())
        .breaks(&[Rule::ReadYourWrite, Rule::MonotonicReads]);
}

#[test]
fn what_one_reader_saw_does_not_go_away() {
    let unknown = || Publish { outcome: Outcome::Unknown, ..publish("n1", (0, 10), "a", 1) };
    let seen = || Case::default().publish(unknown()).read(read("n1", (11, 12), hit("a", 1)));
    seen().read(read("n1", (13, 14), Got::Nothing(404))).breaks(&[Rule::MonotonicReads]);
    seen().read(own("a", read("n1", (13, 14), Got::Nothing(404)))).breaks(&[Rule::MonotonicReads]);
    seen().read(read("n2", (13, 14), Got::Nothing(404))).breaks(&[]);
    seen().read(read("n2", (113, 114), Got::Nothing(404))).breaks(&[Rule::MonotonicReads]);
    seen().read(Read { reader: "other".into(), ..read("n1", (13, 14), Got::Nothing(404)) }).breaks(&[]);
    let now = media("a", 1, Lasting::ForNow);
    seen().read(read("n1", (13, 14), now)).breaks(&[Rule::MonotonicReads]);
}

#[test]
fn what_one_reader_saw_does_not_become_older() {
    let old = || bad(publish("n1", (0, 10), "a", 1));
    let (before, after) = (media("a", 1, Lasting::ForNow), hit("a", 2));
    let case = || Case::default().publish(old()).read(read("n1", (31, 32), after.clone()));
    let back = || read("n1", (33, 34), before.clone());
    case().publish(publish("n1", (20, 30), "a", 2)).read(back()).breaks(&[Rule::MonotonicReads]);
    let at_once = || bad(publish("n1", (5, 30), "a", 2));
    Case::default()
        .publish(old())
        .publish(at_once())
        .read(read("n1", (31, 32), media("a", 2, Lasting::ForNow)))
        .read(back())
        .breaks(&[]);
}

#[test]
fn a_url_has_one_choice_on_all_nodes_under_the_same_masks() {
    let case = || two().read(read("n1", (50, 51), hit("a", 1)));
    let other = |at| Read { reader: "other".into(), ..read("n2", (at, at + 1), hit("b", 2)) };
    case().read(other(60)).breaks(&[Rule::OneChoice]);
    case().remask(masked((70, 80), &["a"])).read(other(300)).breaks(&[]);
    let lifted = || case().remask(masked((70, 80), &["a"])).remask(masked((400, 410), &[]));
    lifted().read(other(600)).breaks(&[Rule::OneChoice]);
    lifted().read(other(300)).read(other(450)).breaks(&[]);
    let same = |got| Read { reader: "third".into(), ..read("n1", (450, 451), got) };
    let third = Case::default().publish(publish("n1", (0, 10), "c", 3));
    let three = Case(History { publishes: [third.0.publishes, lifted().0.publishes].concat(), ..lifted().0 });
    three.read(other(300)).read(same(hit("c", 3))).breaks(&[Rule::OneChoice]);
}

#[test]
fn a_mask_whose_change_got_no_answer_may_be_in_force_or_not() {
    let unsure = Remask { outcome: Outcome::Unknown, ..masked((70, 80), &["a"]) };
    let case = || two().read(read("n1", (50, 51), hit("a", 1))).remask(unsure.clone());
    let later = |pipeline, digest| Read { reader: "other".into(), ..read("n2", (900, 901), hit(pipeline, digest)) };
    case().read(later("a", 1)).read(later("b", 2)).breaks(&[]);
}

#[test]
fn what_is_masked_or_defective_is_never_immutable() {
    two().remask(masked((70, 80), &["a"])).read(read("n1", (300, 301), hit("a", 1))).breaks(&[Rule::OneChoice]);
    let case = Case::default().publish(bad(publish("n1", (0, 10), "a", 1)));
    case.read(read("n1", (20, 21), hit("a", 1))).breaks(&[Rule::OneChoice]);
}

#[test]
fn a_body_is_one_version_of_the_named_pipeline() {
    let mixture =
        Got::Media(Media { pipeline: name("a"), etag: Digest(1), body: Some(Digest(9)), lasting: Lasting::Immutable });
    two().read(read("n1", (50, 51), mixture)).breaks(&[Rule::OneVersion]);
    two().read(read("n1", (50, 51), media("a", 2, Lasting::ForNow))).breaks(&[Rule::OneVersion]);
    two().read(own("b", read("n1", (50, 51), media("a", 1, Lasting::ForNow)))).breaks(&[Rule::OneVersion]);
    let refused = Publish { outcome: Outcome::Refused, ..publish("n1", (0, 10), "a", 3) };
    two().publish(refused).read(read("n1", (50, 51), media("a", 3, Lasting::ForNow))).breaks(&[Rule::OneVersion]);
    let early = Case::default().publish(publish("n1", (60, 70), "a", 1));
    early.read(read("n1", (50, 51), hit("a", 1))).breaks(&[Rule::OneVersion]);
}

#[test]
fn a_sound_candidate_is_final() {
    two().publish(publish("n2", (0, 30), "a", 3)).breaks(&[Rule::Finality]);
    two().publish(bad(publish("n2", (20, 30), "a", 3))).breaks(&[Rule::Finality]);
    two().publish(bad(publish("n2", (5, 30), "a", 3))).breaks(&[]);
    two().publish(publish("n2", (60, 70), "a", 3)).remove((40, 50), "a").breaks(&[]);
    let refused = Publish { outcome: Outcome::Refused, ..publish("n2", (20, 30), "a", 3) };
    two().publish(refused).breaks(&[]);
}

#[test]
fn an_etag_names_a_digest() {
    assert_eq!(etag(&format!("\"{}\"", Digest(77))), Some(Digest(77)));
    assert_eq!([etag("W/\"77\""), etag("77"), etag("\"xyz\"")], [None; 3]);
}

#[test]
fn a_history_is_told_in_the_order_of_its_beginnings() {
    let case = two().read(read("n1", (6, 12), hit("a", 1))).remask(masked((7, 8), &["b"])).remove((9, 10), "b");
    let told = case.0.to_string();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 5, "{told}");
    assert_eq!(lines[0], "0.000000..0.000010 n1: publish live/game/v/7 @a 00000000 sound: done");
    assert_eq!(lines[2], "0.000006..0.000012 n1: player reads live/game/v/7: @a 00000000, immutable");
}
