//! What is left of events that are gone, deleted: what the servers that were told to free them have not, because they
//! ended, and what came in too late to be freed. Found by whole tables, because its listing may be gone already.

use std::collections::{HashMap, HashSet};
use std::convert::identity;

use headwater_model::row::{EventId, Row};
use headwater_store::StoreError;

use super::find::Found;
use super::report::Case;
use super::{Lives, Mend, Survey};
use crate::chunks;
use crate::entries::Entries;
use crate::events::{FREE_AFTER, FREE_PACE};
use crate::place::Place;
use crate::rows;
use crate::tables::Records;

type RowColumns = (i64, String, i64, String, String, Option<Vec<u8>>);

impl Survey {
    /// Deletes what is left of the lives that are over; how many records each had.
    pub(super) async fn bury(&self, found: &Found, mend: Mend) -> Result<HashMap<i64, u64>, StoreError> {
        let over = found.cases.iter().filter_map(|case| match case {
            Case::Over { event, .. } => Some(*event),
            _ => None,
        });
        let over: HashSet<i64> = over.collect();
        if over.is_empty() {
            return Ok(HashMap::new());
        }
        // Uploads that other processes began before they knew come to their end first.
        if !mend.dry_run {
            self.until(found.began + FREE_AFTER).await;
        }
        let lives = self.lives().await?;
        let known = self.lives_anywhere().await?;
        // What an entry calls over is over. What no entry names may be named in another datacentre.
        let sure =
            |event: &i64| lives.ended.contains_key(event) || known.as_ref().is_some_and(|known| known.is_over(*event));
        let over: HashSet<i64> =
            over.into_iter().filter(|event| lives.any && lives.is_over(*event) && sure(event)).collect();
        if over.is_empty() {
            return Ok(HashMap::new());
        }
        let records = self.bury_records(&over, mend).await?;
        if !mend.dry_run {
            self.bury_listing(&over).await?;
            self.forget(&over, &lives).await?;
        }
        Ok(records)
    }

    /// The lives of events as any node of any datacentre knows them; `None` if not all answer.
    async fn lives_anywhere(&self) -> Result<Option<Lives>, StoreError> {
        match self.cluster.entries_by(&self.statements.everywhere.events, identity).await {
            Ok(entries) => Ok(Some(Lives::of(entries))),
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(error, "not every node can be asked for events");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn bury_records(&self, over: &HashSet<i64>, mend: Mend) -> Result<HashMap<i64, u64>, StoreError> {
        let mut records: HashMap<i64, u64> = over.iter().map(|event| (*event, 0)).collect();
        let mut pages = self.pages("gone", &self.statements.rows);
        while let Some(page) = pages.next::<RowColumns>().await? {
            for (event, shelf, number, name, pipeline, row) in page {
                let Some(count) = records.get_mut(&event) else { continue };
                let row = row.and_then(|row| rows::decode(&row).ok());
                // What only marks that it was passed over is no record that was found.
                *count += u64::from(row.as_ref().is_none_or(Row::has_come));
                if mend.dry_run {
                    continue;
                }
                if let Some(row) = row {
                    chunks::delete(&self.cluster, row.version, row.size).await?;
                }
                if let Some((_, pipeline)) = self.cluster.sites.read(&pipeline) {
                    let place = Place::without_block(event, shelf, number, name, pipeline.to_owned());
                    self.cluster.erase_row(&place).await?;
                }
                self.clock.sleep(FREE_PACE).await;
            }
        }
        Ok(records)
    }

    async fn bury_listing(&self, over: &HashSet<i64>) -> Result<(), StoreError> {
        let mut pages = self.pages("gone", &self.statements.listing);
        let mut last = None;
        while let Some(page) = pages.next::<(i64, String, i64, i64, String, String)>().await? {
            for (event, shelf, block, ..) in page {
                let partition = Some((event, shelf, block));
                if over.contains(&event) && last != partition {
                    let Some((event, shelf, block)) = &partition else { continue };
                    self.cluster.delete_listing(*event, shelf, *block).await?;
                    self.clock.sleep(FREE_PACE).await;
                    last = partition;
                }
            }
        }
        let mut pages = self.pages("gone", &self.statements.blocks);
        let mut last = None;
        while let Some(page) = pages.next::<(i64, String, i64)>().await? {
            for (event, shelf, _) in page {
                let partition = Some((event, shelf));
                if over.contains(&event) && last != partition {
                    let Some((event, shelf)) = &partition else { continue };
                    self.cluster.delete_blocks(*event, shelf).await?;
                    self.clock.sleep(FREE_PACE).await;
                    last = partition;
                }
            }
        }
        for event in over {
            self.cluster.delete_shelves(*event).await?;
        }
        Ok(())
    }

    /// The entries need not name them any more.
    async fn forget(&self, over: &HashSet<i64>, lives: &Lives) -> Result<(), StoreError> {
        for (event, of) in lives.ended.iter().filter(|(event, _)| over.contains(event)) {
            let freed = EventId(event.cast_unsigned());
            // Another list stands if another life has ended meanwhile.
            if !self.cluster.mark_freed(of, freed).await? {
                let (tenant, name) = of.entry.names();
                if let Some(of) = self.cluster.entry_serial(tenant, name).await? {
                    self.cluster.mark_freed(&of, freed).await?;
                }
            }
        }
        Ok(())
    }
}
