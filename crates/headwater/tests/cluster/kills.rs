//! Processes die under load: of Cassandra, memcached, and our own. Nothing acked is lost, nothing wrong is served, and
//! while a quorum stands no publisher is refused.

use std::time::Duration;

use crate::fleet::{Fleet, cluster, fresh_name, mend};
use crate::load::Load;
use crate::support::let_pass;

/// Of each phase.
const SPAN: Duration = Duration::from_secs(6);

#[test]
fn whatever_dies_nothing_acked_is_lost_and_no_publisher_is_refused() {
    mend();
    let mut fleet = Fleet::new();
    let (keeps, dies) = (fleet.publisher(), fleet.publisher());
    let (reader, falls) = (fleet.deliverer(), fleet.deliverer());
    let load = Load::new(&keeps.server, &fresh_name("kills"));
    let [publish, deliver] = [&keeps.server.publish, &reader.server.deliver];
    load.listeners([publish, &dies.server.publish], [deliver, &falls.server.deliver]);
    let mut publishers_end = None;
    load.during(|| {
        let_pass(Duration::from_secs(2));
        load.enter("1 all up");
        let_pass(SPAN);
        load.enter("2 a Cassandra node killed");
        cluster().kill("3").expect("a node");
        let_pass(SPAN);
        load.enter("3 the node starts again");
        mend();
        let_pass(SPAN);
        load.enter("4 memcached killed");
        cluster().kill("a1").expect("a server");
        let_pass(SPAN);
        mend();
        load.enter("5 a publish process killed");
        load.listeners([publish, ""], [deliver, &falls.server.deliver]);
        let dies = dies.kill_and_restart();
        let_pass(SPAN / 2);
        load.listeners([publish, &dies.server.publish], [deliver, &falls.server.deliver]);
        let_pass(SPAN / 2);
        load.enter("6 a deliver process killed");
        load.listeners([publish, &dies.server.publish], [deliver, ""]);
        let falls = falls.kill_and_restart();
        load.listeners([publish, &dies.server.publish], [deliver, &falls.server.deliver]);
        let_pass(SPAN);
        publishers_end = Some((dies, falls));
    });
    println!("{}", load.report());
    let failures = load.failures();
    assert!(failures.is_empty(), "{} uploads were refused, the first: {}", failures.len(), failures[0]);
    assert!(load.acked() > 200, "only {} uploads", load.acked());
    load.check();
}
