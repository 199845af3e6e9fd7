//! How many objects and bytes an event has in the store, kept as records come and go, so that nobody has to count them.
//! Media counts until its retention ends, whenever the engine gets round to freeing it. Pure.

use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};

use headwater_model::Timestamp;
use headwater_model::row::{Keep, Object, Row};

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Candidates: each pipeline's counts.
    pub objects: u64,
    /// Of their bodies.
    pub bytes: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Usage {
    fn sub_assign(&mut self, other: Self) {
        self.objects = self.objects.saturating_sub(other.objects);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// What is kept until the end of a second, of the Unix epoch.
pub(crate) type Step = (i64, Usage);

/// What `rows` use that expires, by the second in which it does.
pub(crate) fn steps(rows: &[&Row]) -> Vec<Step> {
    let mut ledger = Ledger::default();
    rows.iter().for_each(|row| ledger.add(row, Timestamp::MIN));
    ledger.expiring.into_iter().collect()
}

/// The same in at most `most` steps: what expires together is told until the last of it has.
pub(crate) fn coarse(steps: Vec<Step>, most: usize) -> Vec<Step> {
    let together = steps.len().div_ceil(most).max(1);
    let step = |steps: &[Step]| {
        let mut all = Usage::default();
        steps.iter().for_each(|(_, usage)| all += *usage);
        (steps[steps.len() - 1].0, all)
    };
    steps.chunks(together).map(step).collect()
}

/// What the rows of one event use.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Everything that had not expired when a row was last added.
    total: Usage,
    /// The part of it that expires, by the second in which it does.
    expiring: BTreeMap<i64, Usage>,
    /// What expires before this second is not in `total` any more.
    closed: i64,
}

impl Ledger {
    /// A row counts from `now` on.
    pub fn add(&mut self, row: &Row, now: Timestamp) {
        self.close(second(now));
        let Some(usage) = usage(row) else { return };
        if let Keep::Until(until) = row.keep {
            if second(until) < self.closed {
                return;
            }
            *self.expiring.entry(second(until)).or_default() += usage;
        }
        self.total += usage;
    }

    /// A row that was added counts no longer.
    pub fn remove(&mut self, row: &Row) {
        let Some(usage) = usage(row) else { return };
        if let Keep::Until(until) = row.keep {
            let Some(together) = self.expiring.get_mut(&second(until)) else { return };
            *together -= usage;
            if *together == Usage::default() {
                self.expiring.remove(&second(until));
            }
        }
        self.total -= usage;
    }

    /// What these rows use counts, without the rows.
    pub(crate) fn absorb(&mut self, steps: &[Step]) {
        for (second, usage) in steps.iter().filter(|(second, _)| *second >= self.closed) {
            *self.expiring.entry(*second).or_default() += *usage;
            self.total += *usage;
        }
    }

    /// What was absorbed counts no longer.
    pub(crate) fn withdraw(&mut self, steps: &[Step]) {
        for (second, usage) in steps {
            let Some(together) = self.expiring.get_mut(second) else { continue };
            *together -= *usage;
            if *together == Usage::default() {
                self.expiring.remove(second);
            }
            self.total -= *usage;
        }
    }

    /// What counts at `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Usage {
        let mut usage = self.total;
        self.expiring.range(..second(now)).for_each(|(_, expired)| usage -= *expired);
        usage
    }

    /// Takes out what has expired, so that the next look has little to go through.
    fn close(&mut self, now: i64) {
        self.closed = self.closed.max(now);
        while let Some(first) = self.expiring.first_entry().filter(|first| *first.key() < self.closed) {
            self.total -= first.remove();
        }
    }
}

/// `None` for a record without a candidate.
fn usage(row: &Row) -> Option<Usage> {
    let is_segment = matches!(row.key.object, Object::Segment { .. });
    (!is_segment || !row.is_removed()).then_some(Usage { objects: 1, bytes: row.size })
}

fn second(at: Timestamp) -> i64 {
    at.nanos().div_euclid(1_000_000_000).clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use headwater_model::row::{Claim, Digest, Verdict, Version, judge};

    use super::*;
    use crate::conformance::{body, claim, loose, segment};

    fn row(number: u64, length: usize, published: i64, until: i64) -> Row {
        let keep = Keep::Until(Timestamp::from_seconds(until));
        let at = Timestamp::from_seconds(published);
        let claim = Claim { keep, ..claim(segment("v", number, "a"), &body(number, length), at) };
        match judge(None, &claim, Version(number.into()), at) {
            Verdict::Store(row) => row,
            other => panic!("{other:?}"),
        }
    }

    fn at(ledger: &Ledger, second: i64) -> (u64, u64) {
        let usage = ledger.at(Timestamp::from_seconds(second));
        (usage.objects, usage.bytes)
    }

    #[test]
    fn media_counts_until_it_expires() {
        let mut ledger = Ledger::default();
        let (one, two) = (row(1, 100, 10, 20), row(2, 50, 11, 30));
        ledger.add(&one, one.published);
        ledger.add(&two, two.published);
        assert_eq!([at(&ledger, 20), at(&ledger, 21), at(&ledger, 31)], [(2, 150), (1, 50), (0, 0)]);
        ledger.add(&row(3, 7, 25, 40), Timestamp::from_seconds(25));
        assert_eq!(at(&ledger, 25), (2, 57));
        ledger.remove(&one);
        assert_eq!(at(&ledger, 25), (2, 57), "what has expired is given back once");
        ledger.remove(&two);
        assert_eq!(at(&ledger, 25), (1, 7));
    }

    #[test]
    fn what_is_replaced_or_removed_is_given_back() {
        let mut ledger = Ledger::default();
        let old = row(1, 100, 10, 20);
        ledger.add(&old, Timestamp::from_seconds(10));
        let removed = old.removed(Digest(0));
        ledger.add(&removed, Timestamp::from_seconds(10));
        ledger.remove(&old);
        assert_eq!(at(&ledger, 10), (0, 0));
        let standing = Row { keep: Keep::Standing, key: loose("x.mpd", "a"), ..old };
        ledger.remove(&removed);
        ledger.add(&standing, Timestamp::from_seconds(10));
        assert_eq!(at(&ledger, 1_000_000), (1, 100), "what stands never expires");
    }
}
