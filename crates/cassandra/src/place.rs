//! Where a candidate's record lies: its shelf (a rendition's segments, the init segments, the loose objects), its block
//! of the shelf, and its row. Must never change for what is stored. Pure.

use std::ops::RangeInclusive;

use headwater_model::row::{EventId, Key, Object};
use headwater_model::{Pipeline, Rendition};
use twox_hash::XxHash3_64;

/// Segments in a partition of the listing: 2 minutes of 2 s segments. What asks for a range asks for a few.
const BLOCK_BITS: u32 = 6;
/// Over how many partitions the listing of an event's loose objects is spread: several manifests a second.
const LOOSE_BLOCKS: u64 = 16;

/// The shelf of init segments.
pub(crate) const INITS: &str = "i";
/// The shelf of loose objects.
pub(crate) const LOOSE: &str = "l";
/// Between a name and the datacentre that has recorded it: in no name of either.
pub(crate) const SITE: char = '@';
/// Before the rendition's name.
const SEGMENTS: &str = "s:";

/// The full key of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The event.
    pub event: i64,
    /// The shelf of it.
    pub shelf: String,
    /// The block of the shelf.
    pub block: i64,
    /// Whose candidate.
    pub pipeline: String,
    /// A segment's number in the order of columns.
    pub number: i64,
    /// What it is called that has no number.
    pub name: String,
}

impl Place {
    pub(crate) fn of(key: &Key) -> Self {
        let (shelf, block, number, name) = match &key.object {
            Object::Segment { rendition, number } => (segments(rendition), block(*number), signed(*number), ""),
            Object::Init { rendition } => (INITS.to_owned(), spread(rendition.as_str()), 0, rendition.as_str()),
            Object::Loose { path } => (LOOSE.to_owned(), spread(path), 0, &**path),
        };
        let pipeline = key.pipeline.as_str().to_owned();
        Self { event: event(key.event), shelf, block, pipeline, number, name: name.to_owned() }
    }

    /// The candidate whose place it is; `None` if no candidate has it.
    pub(crate) fn key(&self) -> Option<Key> {
        let object = match (&*self.shelf, self.shelf.strip_prefix(SEGMENTS)) {
            (_, Some(rendition)) => {
                Object::Segment { rendition: Rendition::new(rendition).ok()?, number: unsigned(self.number) }
            }
            (INITS, None) => Object::Init { rendition: Rendition::new(&self.name).ok()? },
            (LOOSE, None) => Object::Loose { path: (*self.name).into() },
            _ => return None,
        };
        let event = EventId(self.event.cast_unsigned());
        let key = Key { event, object, pipeline: Pipeline::new(&self.pipeline).ok()? };
        (Self::of(&key) == *self).then_some(key)
    }

    /// The place of a record of which the block is not told.
    pub(crate) fn without_block(event: i64, shelf: String, number: i64, name: String, pipeline: String) -> Self {
        let block = if holds_segments(&shelf) { block(unsigned(number)) } else { spread(&name) };
        Self { event, shelf, block, pipeline, number, name }
    }

    /// Which of `stripes` it belongs to.
    pub(crate) fn stripe(&self, stripes: usize) -> usize {
        let text = format!("{}/{}/{}/{}/{}", self.event, self.shelf, self.number, self.name, self.pipeline);
        (XxHash3_64::oneshot(text.as_bytes()) % stripes as u64) as usize
    }
}

/// The datacentres whose records count, by their names in Cassandra.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sites {
    /// This one.
    pub(crate) own: String,
    /// The one whose records count here too, and which gets copies of what is recorded here, unless it was given up.
    pub(crate) other: Option<String>,
}

impl Sites {
    /// The name of a thing of this datacentre's alone: a column of the partition in which it is compared and set, because
    /// the proposals of two datacentres must never meet in one.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{name}{SITE}{}", self.own)
    }

    /// As [`Sites::own`], of the other one's.
    pub(crate) fn other(&self, name: &str) -> Option<String> {
        self.other.as_ref().map(|other| format!("{name}{SITE}{other}"))
    }

    /// Whether this datacentre's, and the name; `None` if it is of neither, and so does not count here.
    pub(crate) fn read<'a>(&self, column: &'a str) -> Option<(bool, &'a str)> {
        let (name, site) = of_site(column)?;
        let is_own = site == self.own;
        (is_own || self.other.as_deref() == Some(site)).then_some((is_own, name))
    }
}

/// The name in `column` and the datacentre that has recorded it.
pub(crate) fn of_site(column: &str) -> Option<(&str, &str)> {
    column.split_once(SITE)
}

/// An event as a column.
pub(crate) fn event(event: EventId) -> i64 {
    event.0.cast_signed()
}

/// The shelf of a rendition's segments.
pub(crate) fn segments(rendition: &Rendition) -> String {
    format!("{SEGMENTS}{rendition}")
}

/// Whether a shelf holds segments.
pub(crate) fn holds_segments(shelf: &str) -> bool {
    shelf.starts_with(SEGMENTS)
}

/// A segment's number as a column: in the same order, although columns have a sign.
pub(crate) fn signed(number: u64) -> i64 {
    (number ^ (1 << 63)).cast_signed()
}

fn unsigned(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}

/// The blocks that hold `numbers`.
pub(crate) fn blocks(numbers: &RangeInclusive<u64>) -> RangeInclusive<i64> {
    block(*numbers.start())..=block(*numbers.end())
}

fn block(number: u64) -> i64 {
    (number >> BLOCK_BITS).cast_signed()
}

fn spread(name: &str) -> i64 {
    (XxHash3_64::oneshot(name.as_bytes()) % LOOSE_BLOCKS).cast_signed()
}

#[cfg(test)]
mod tests {
    use headwater_store::conformance::{init, loose, segment};

    use super::*;

    #[test]
    fn places_never_change() {
        let place = |key| {
            let place = Place::of(&key);
            (place.shelf, place.block, place.number, place.name)
        };
        let name = String::new;
        assert_eq!(place(segment("v", 0, "a")), ("s:v".into(), 0, i64::MIN, name()));
        assert_eq!(place(segment("v", 1000, "a")), ("s:v".into(), 15, i64::MIN + 1000, name()));
        assert_eq!(place(segment("v", u64::MAX, "a")), ("s:v".into(), (1 << 58) - 1, i64::MAX, name()));
        assert_eq!(place(init("v", "a")), ("i".into(), 4, 0, "v".into()));
        assert_eq!(place(loose("x/y.mpd", "a")), ("l".into(), 10, 0, "x/y.mpd".into()));
    }

    #[test]
    fn a_place_tells_whose_it_is() {
        let keys = [segment("v", 0, "a"), segment("v-2", u64::MAX, "b"), init("v", "a"), loose("x/y.mpd", "a")];
        for key in keys {
            let place = Place::of(&key);
            assert_eq!(place.key().as_ref(), Some(&key));
            let Place { event, shelf, number, name, pipeline, .. } = place.clone();
            assert_eq!(Place::without_block(event, shelf, number, name, pipeline), place);
            assert_eq!(Place { shelf: "x".into(), ..place }.key(), None);
        }
    }

    #[test]
    fn names_tell_whose_they_are() {
        let sites = |own: &str, other: Option<&str>| Sites { own: own.into(), other: other.map(str::to_owned) };
        let both = sites("east", Some("west"));
        assert_eq!((both.own("a"), both.other("a")), ("a@east".into(), Some("a@west".into())));
        assert_eq!(sites("east", None).other("a"), None);
        assert_eq!((both.read("a@east"), both.read("a@west")), (Some((true, "a")), Some((false, "a"))));
        assert_eq!((both.read("a"), both.read("a@north"), sites("east", None).read("a@west")), (None, None, None));
    }

    #[test]
    fn numbers_keep_their_order() {
        let numbers = [0, 1, 63, 64, 1 << 62, 1 << 63, u64::MAX];
        assert!(
            numbers.is_sorted_by_key(|number| signed(*number)) && numbers.is_sorted_by_key(|number| block(*number))
        );
        assert_eq!(blocks(&(60..=130)), 0..=2);
    }
}
