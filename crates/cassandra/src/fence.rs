//! The fence of architecture §4: before a choice falls on a candidate for ever, those that rank above it and are not
//! sound are marked as passed over, by compare-and-set. A pipeline that comes later finds the mark in its record's place,
//! so every node that reads its record reads the mark too. Rare: a pipeline that ranks above is failing. Once for each
//! segment that the other datacentre has recorded, because its candidate and one recorded here do not know each other.

use std::time::Duration;

use headwater_model::row::{Keep, Key, Row};
use headwater_model::{Pipeline, Region};
use headwater_store::broken::{Fault, broken};
use headwater_store::{Body, StoreError};
use tokio::sync::{MutexGuard, SemaphorePermit};

use crate::copies::{self, Copies};
use crate::engine::Engine;
use crate::options::RACES_MAX;
use crate::place::Place;
use crate::rows::Swap;

impl Engine {
    /// Marks the candidate `key` as passed over in favour of `by`; `false` if it is sound already.
    pub(crate) async fn pass_over(
        &self,
        key: &Key,
        by: &Pipeline,
        keep: Keep,
        region: &Region,
    ) -> Result<bool, StoreError> {
        if broken(Fault::NoFence) {
            return Ok(true);
        }
        // Held readers of one segment ask all at once; the first of them finds the answer for the others.
        if let Some(answer) = self.announcer.known(key).counts().and_then(|row| settled(&row, by)) {
            return Ok(answer);
        }
        let deadline = self.clock.monotonic() + self.options.publish_budget;
        let place = Place::of(key);
        let _turn = self.turn(&place).await?;
        for _ in 0..RACES_MAX {
            let known = self.announcer.known(key);
            if let Some(answer) = known.counts().and_then(|row| settled(&row, by)) {
                return Ok(answer);
            }
            let absent = || Row::absent(key.clone(), keep, region.clone(), Body::default().digest(), by.clone());
            let next = known.own.as_ref().map_or_else(absent, |row| row.passed_over(by));
            self.mark(&place, key, &known, next, deadline).await?;
        }
        Err(StoreError::Unavailable("the record is being changed by many at once; retry".into()))
    }

    /// Whether `row` stays the record that counts of its candidate in this datacentre, whatever is recorded here later.
    pub(crate) fn hold(&self, row: &Row) -> Hold {
        if self.options.replication.len() == 1 || broken(Fault::NoHold) {
            return Hold::Firm;
        }
        hold(&self.announcer.known(&row.key), row)
    }

    /// Makes it so: to be called before `row` is served for ever.
    pub(crate) async fn hold_to(&self, row: &Row) -> Result<bool, StoreError> {
        let key = &row.key;
        let deadline = self.clock.monotonic() + self.options.publish_budget;
        let place = Place::of(key);
        let _turn = self.turn(&place).await?;
        let mut has_looked = false;
        for _ in 0..RACES_MAX {
            let known = self.announcer.known(key);
            match hold(&known, row) {
                Hold::Firm => return Ok(true),
                Hold::Unmarked => {}
                Hold::Lost if has_looked => return Ok(false),
                Hold::Lost => {
                    // Whoever chose it may have read it in the cluster before it was heard of here.
                    has_looked = true;
                    let stands = self.cluster.row(&place).await?;
                    self.announcer.learn(key, &known, stands);
                    continue;
                }
            }
            let next = copies::held(known.own.as_ref(), row);
            self.mark(&place, key, &known, next, deadline).await?;
        }
        Err(StoreError::Unavailable("the record is being changed by many at once; retry".into()))
    }

    /// The turn of whoever changes the record of `place`, and a place among those that do.
    async fn turn(&self, place: &Place) -> Result<(MutexGuard<'_, ()>, SemaphorePermit<'_>), StoreError> {
        let slow = || StoreError::Unavailable("a candidate of the same object is still being recorded; retry".into());
        let turn = self.within(self.options.publish_budget, self.stripe(place).lock()).await.ok_or_else(slow)?;
        let permit = self.within(self.options.publish_budget, self.recording.acquire()).await.ok_or_else(slow)?;
        Ok((turn, permit.map_err(|_| slow())?))
    }

    /// Tries to set the own record, of which `known` is known, to `next`, and takes in what stands then.
    async fn mark(
        &self,
        place: &Place,
        key: &Key,
        known: &Copies,
        next: Row,
        deadline: Duration,
    ) -> Result<(), StoreError> {
        match self.settle(place, known.own.as_ref(), Some(&next), self.ttl_s(next.keep), deadline).await? {
            Swap::Set => self.announcer.mark(known.own.as_ref(), next),
            Swap::Stands(stands) => {
                self.announcer.learn(key, known, stands);
            }
        }
        Ok(())
    }
}

/// How a record stands that is to be served for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// It stays.
    Firm,
    /// It is the other datacentre's, and one that is set here could still hide it.
    Unmarked,
    /// Another counts, or none is known.
    Lost,
}

/// What is `known` of its candidate says how `row` stands.
fn hold(known: &Copies, row: &Row) -> Hold {
    // A mark that the choice did not know of may change it.
    if !known.counts().is_some_and(|counts| counts.is_same(row) && counts.passed == row.passed) {
        return Hold::Lost;
    }
    // An own record that is sound is final.
    let is_marked = || known.own.as_ref().is_some_and(|own| own.passed.contains(&own.key.pipeline));
    if !known.other_counts() || is_marked() { Hold::Firm } else { Hold::Unmarked }
}

/// What is to be answered of a record without touching it.
fn settled(row: &Row, by: &Pipeline) -> Option<bool> {
    match row.sound {
        Some(_) => Some(row.passed.contains(by)),
        None => row.passed.contains(by).then_some(true),
    }
}
