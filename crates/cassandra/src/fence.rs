//! The fence of architecture §4: before a choice falls on a candidate for ever, those that rank above it and are not
//! sound are marked as passed over, by compare-and-set. A pipeline that comes later finds the mark in its record's place,
//! so every node that reads its record reads the mark too. Rare: a pipeline that ranks above is failing.

use headwater_model::row::{Keep, Key, Row};
use headwater_model::{Pipeline, Region};
use headwater_store::{Body, StoreError};

use crate::announce::Change;
use crate::broken::{Fault, broken};
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
        if let Some(answer) = self.announcer.known(key).and_then(|row| settled(&row, by)) {
            return Ok(answer);
        }
        let deadline = self.clock.monotonic() + self.options.publish_budget;
        let place = Place::of(key);
        let slow = || StoreError::Unavailable("a candidate of the same object is still being recorded; retry".into());
        let left = deadline.saturating_sub(self.clock.monotonic());
        let _turn = self.within(left, self.stripe(&place).lock()).await.ok_or_else(slow)?;
        let _place = self.within(left, self.recording.acquire()).await.ok_or_else(slow)?;
        for _ in 0..RACES_MAX {
            let known = self.announcer.known(key);
            if let Some(answer) = known.as_ref().and_then(|row| settled(row, by)) {
                return Ok(answer);
            }
            let absent = || Row::absent(key.clone(), keep, region.clone(), Body::default().digest(), by.clone());
            let next = known.as_ref().map_or_else(absent, |row| row.passed_over(by));
            match self.settle(&place, known.as_ref(), Some(&next), self.ttl_s(next.keep), deadline).await? {
                Swap::Set => self.announcer.mark(known.as_ref(), Change::Row(next, None)),
                Swap::Stands(stands) => {
                    self.announcer.learn(key, known.as_ref(), stands);
                }
            }
        }
        Err(StoreError::Unavailable("the record is being changed by many at once; retry".into()))
    }
}

/// What is to be answered of a record without touching it.
fn settled(row: &Row, by: &Pipeline) -> Option<bool> {
    match row.sound {
        Some(_) => Some(row.passed.contains(by)),
        None => row.passed.contains(by).then_some(true),
    }
}
