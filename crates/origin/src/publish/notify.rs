//! `Headwater-Notify` on a segment's upload (contract §6): a notification that takes effect at that segment. Whatever is
//! wrong with it, the media is kept.

use headwater_model::Timestamp;
use headwater_model::event::Event;
use headwater_model::notification::{NotifyError, Source, Value};
use headwater_model::row::{Claim, Object, Verdict, Version, judge};
use headwater_wire::Response;
use http::{HeaderMap, HeaderValue};
use sfv::{Dictionary, ListEntry, Parser};

use crate::Origin;
use crate::control::ControlError;
use crate::deliver::hold;
use crate::live::Live;
use crate::publish::Upload;

/// The request header.
const NOTIFY_HEADER: &str = "headwater-notify";
/// The response header that tells why it was refused.
const REFUSED_HEADER: &str = "headwater-notify-refused";

/// Why the field changed nothing.
pub(super) struct Refused(String);

impl Refused {
    /// Tells the publisher.
    pub(super) fn tell(&self, response: &mut Response) {
        let plain: String = self.0.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
        if let Ok(value) = HeaderValue::try_from(format!("\"{plain}\"")) {
            response.headers_mut().insert(REFUSED_HEADER, value);
        }
    }
}

/// Puts the upload's notifications in force from its segment on. Before the segment is recorded, so that nobody is
/// served the segment without them; not for a segment that the store is going to refuse.
pub(super) async fn apply(
    origin: &Origin,
    upload: &Upload,
    live: &Live,
    claim: &Claim,
    headers: &HeaderMap,
) -> Option<Refused> {
    let Object::Segment { number, .. } = upload.object else { return None };
    if !headers.contains_key(NOTIFY_HEADER) || is_refused(origin, live, claim, number).await {
        return None;
    }
    let values = match parse(headers) {
        Ok(values) => values,
        Err(why) => return Some(Refused(why)),
    };
    let wall = origin.clock.wall();
    let changed = origin.control.change(&upload.route.tenant, &upload.route.event, |live, event| {
        let oldest = live.oldest_number(wall);
        Ok(with(event, &values, number, oldest)?)
    });
    match changed.await {
        Ok(_) => None,
        Err(ControlError::Notify(error)) => Some(Refused(error.to_string())),
        Err(error) => {
            tracing::error!(%error, number, "a notification was not recorded");
            Some(Refused(format!("{error}; the segment is kept, send the notification again")))
        }
    }
}

/// Whether the store is going to answer `claim` with 409 or 412. Of two uploads of one candidate at the same time, both
/// may still be taken for good.
async fn is_refused(origin: &Origin, live: &Live, claim: &Claim, number: u64) -> bool {
    let Object::Segment { rendition, .. } = &claim.key.object else { return false };
    let Some(tail) = live.tail(rendition.as_str()) else { return false };
    // What cannot be looked up is not refused on suspicion: the store judges it next.
    let Ok(Some(slot)) = hold::rows(origin, live, &tail, number).await else { return false };
    let existing = slot.rows.iter().find(|row| row.key.pipeline == claim.key.pipeline);
    matches!(judge(existing, claim, Version(0), Timestamp::MIN), Verdict::Final(_) | Verdict::Exists(_))
}

/// The event with all values set; `None` if that changes nothing. All of them or none.
fn with(event: &Event, values: &[(String, Value)], number: u64, oldest: u64) -> Result<Option<Event>, NotifyError> {
    let mut state = None;
    for (name, value) in values {
        let current = state.as_ref().unwrap_or(&event.notifications);
        if let Some(new) = current.with(name, value, number, event.rev + 1, Source::Upload, oldest)? {
            state = Some(new);
        }
    }
    Ok(state.map(|state| event.next(|event| event.notifications = state)))
}

/// Several lines are one field (RFC 9651 §4.2).
fn parse(headers: &HeaderMap) -> Result<Vec<(String, Value)>, String> {
    let lines: Vec<&[u8]> = headers.get_all(NOTIFY_HEADER).iter().map(HeaderValue::as_bytes).collect();
    let dictionary = Parser::new(&lines.join(&b", "[..])).parse::<Dictionary>();
    let dictionary =
        dictionary.map_err(|error| format!("the field does not parse: {error}; write name=value, name=value"))?;
    let item = |(name, entry): (&sfv::Key, &ListEntry)| match entry {
        ListEntry::Item(item) => Ok((name.as_str().to_owned(), Value::of(&item.bare_item))),
        ListEntry::InnerList(_) => {
            Err(format!("{}: a list is no value; write a string, a number or a boolean", name.as_str()))
        }
    };
    dictionary.iter().map(item).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn a_field_is_a_dictionary_of_values() {
        let headers = |lines: &[&'static str]| {
            let named = |line: &&'static str| (HeaderName::from_static(NOTIFY_HEADER), HeaderValue::from_static(line));
            lines.iter().map(named).collect::<HeaderMap>()
        };
        assert_eq!(parse(&headers(&["ad-break=\"30s\", rating=\"TV-14\", live"])).unwrap().len(), 3);
        assert_eq!(parse(&headers(&["ad-break=\"30s\"", "rating=\"TV-14\""])).unwrap().len(), 2);
        for bad in ["ad-break=", "Ad=1", "a=(1 2)", "=x"] {
            assert!(parse(&headers(&[bad])).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_bad_value_keeps_the_others_out() {
        let event = crate::testing::live("{}").event();
        let value = |text: &str| Value::from_json(&text.into()).unwrap();
        let values = [("a".to_owned(), value("1")), ("rev".to_owned(), value("2"))];
        assert!(with(&event, &values, 5, 0).is_err());
        let set = with(&event, &values[..1], 5, 0).unwrap().unwrap();
        assert_eq!(set.notifications.as_of(5).to_string(), format!("a=\"1\";n=5, rev={}", event.rev + 1));
    }
}
