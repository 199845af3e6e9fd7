//! What an operator takes back.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::origin;
use crate::shield::{KINDS, Shield};
use crate::support::{self, Event, get, post};

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
        assert!(started.elapsed() < Duration::from_secs(10), "{kind:?} took {:?}", started.elapsed());
    }
}
