//! All processes make the same choice, whichever hears first of which candidate, and it stands.

use std::time::Duration;

use serde_json::json;

use crate::fleet::{Fleet, fresh_name};
use crate::support::event::NEXT;
use crate::support::{Event, eventually, let_pass};

#[test]
fn who_was_passed_over_is_never_chosen_on_any_node() {
    let mut fleet = Fleet::new();
    let (one, two) = (fleet.publisher(), fleet.publisher());
    let readers = [fleet.deliverer(), fleet.deaf().deliverer()];
    let event = Event::new(&one.server, &fresh_name("fence"), json!({"prefer_wait_ms": 100}));
    let on_two = event.on(&two.server);
    let readers = readers.each_ref().map(|reader| event.on(&reader.server));
    // `a` is not healthy: `b` closes the choice at once, and the first reader passes `a` over.
    event.put("b", NEXT - 2, "b before").expect(201);
    eventually("the other node knows the event", || (on_two.put("b", NEXT - 1, "b").status == 201).then_some(()));
    let etag = eventually("b is served", || Some(readers[1].get(NEXT - 1)).filter(|reply| reply.status == 200));
    let etag = etag.header("etag");
    // `a` comes late, to the node that does not have it from the reader.
    event.put("a", NEXT - 1, "a, too late").expect(201);
    on_two.put("a", NEXT - 1, "a, other bytes").expect(409);
    for _ in 0..10 {
        for reader in &readers {
            let reply = reader.get(NEXT - 1).expect(200);
            assert_eq!((reply.text(), reply.header("etag")), ("b".to_owned(), etag.clone()));
        }
        let_pass(Duration::from_millis(50));
    }
    // The late one is there all the same, and counts for what comes next.
    let own = crate::support::get(format!("{}/@a/v/{}.m4s", readers[0].deliver, NEXT - 1)).expect(200);
    assert_eq!(own.text(), "a, too late");
    on_two.put("b", NEXT, "b next").expect(201);
    event.put("a", NEXT, "a next").expect(201);
    for reader in &readers {
        eventually("a, which is back", || (reader.get(NEXT).text() == "a next").then_some(()));
    }
}
